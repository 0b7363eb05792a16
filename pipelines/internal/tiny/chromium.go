package tiny

import (
	"os/exec"
	"testing"
)

// Chromium returns the words that start a Chromium without a window, with a profile of its
// own, or skips the test where there is none.
func Chromium(t testing.TB) []string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return []string{path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
				"--disable-background-networking", "--disable-sync", "--user-data-dir=" + t.TempDir()}
		}
	}
	t.Skip("there is no Chromium here to look at a page with")
	return nil
}
