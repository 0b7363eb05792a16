package text

import "testing"

func TestLocate(t *testing.T) {
	for _, c := range []struct{ workdir, path, want string }{
		{"work", "set", "work/set"},
		{"work", "", "work"},
		{"work", ".", "work"},
		{"work", "../set", "set"},
		{"/w/", "set", "/w/set"},
		{"work", "/abs/set", "/abs/set"},
		{"work", "gs://bucket/set", "gs://bucket/set"},
		{"gs://bucket", "set", "gs://bucket/set"},
		{"gs://bucket/a/", "runs/1", "gs://bucket/a/runs/1"},
		{"gs://bucket", "/abs/set", "/abs/set"},
	} {
		if got := Locate(c.workdir, c.path); got != c.want {
			t.Errorf("Locate(%q, %q) is %q, want %q", c.workdir, c.path, got, c.want)
		}
	}
}
