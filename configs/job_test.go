package configs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestJob reads the shipped manifest of a Job, one of a person's, and one that is not there.
func TestJob(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("deploy", "train-job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{Kind: KubernetesNode}
	if data, err := n.Job(); err != nil || !bytes.Equal(data, want) {
		t.Errorf("the shipped one: %d bytes, %v", len(data), err)
	}
	n.Template = filepath.Join(t.TempDir(), "job.yaml")
	var wrong *Error
	if _, err := n.Job(); !errors.As(err, &wrong) || wrong.Key != "node.template" || !strings.Contains(err.Error(), n.Template) {
		t.Errorf("one that is not there: %v", err)
	}
	if err := os.WriteFile(n.Template, []byte("kind: Job\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if data, err := n.Job(); err != nil || string(data) != "kind: Job\n" {
		t.Errorf("a person's: %q, %v", data, err)
	}
}
