package text

import (
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
)

// TestReadLimit reads a text of the greatest length, and one of a byte more.
func TestReadLimit(t *testing.T) {
	defer func(old int64) { readBytes = old }(readBytes)
	readBytes = 1000
	c := configs.Corpus{Encoding: "utf-8", Newlines: "keep"}
	for n, want := range map[int]string{1000: "", 1001: "text: more than 1000 bytes"} {
		data, err := Read(strings.NewReader(strings.Repeat("a", n)), c)
		if want == "" && (err != nil || len(data) != n) || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("a text of %d bytes: %d, %v", n, len(data), err)
		}
	}
}
