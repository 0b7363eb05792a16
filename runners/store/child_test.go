package store

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// childVariable makes the test binary a child that works on a folder:
// "count FOLDER", "hang FOLDER" or "open URL".
const childVariable = "QUIRE_STORE_CHILD"

const childSteps = 25

func child() {
	what, dir, _ := strings.Cut(os.Getenv(childVariable), " ")
	err := func() error {
		s, err := Open(ctx, dir)
		if err != nil {
			return err
		}
		switch what {
		case "count":
			return count(s, "counter", childSteps)
		case "open":
			_, err := Open(ctx, dir)
			return err
		}
		w, err := s.Create(ctx, "x/big")
		if err == nil {
			_, err = w.Write(make([]byte, 1000))
		}
		fmt.Println("written")
		io.Copy(io.Discard, os.Stdin) // until it is killed
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func startChild(t *testing.T, what, dir string) (*exec.Cmd, io.Reader) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childVariable+"="+what+" "+dir)
	c.Stderr = os.Stderr
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, out
}

func TestSwapsOfProcesses(t *testing.T) {
	dir := t.TempDir()
	var children []*exec.Cmd
	for range 3 {
		c, _ := startChild(t, "count", dir)
		children = append(children, c)
	}
	for _, c := range children {
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	data, _, err := mustOpen(t, dir).Read(ctx, "counter")
	if err != nil || string(data) != strconv.Itoa(3*childSteps) {
		t.Fatalf("counted to %s, %v, want %d", data, err, 3*childSteps)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("files left: %v, %v", entries, err)
	}
}

// TestKilledWriter kills a process that writes. Its object stays invisible. The next
// writer removes its temporary file, but not that of a living writer.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	c, out := startChild(t, "hang", dir)
	if _, err := io.ReadFull(out, make([]byte, len("written\n"))); err != nil {
		t.Fatal(err)
	}
	temps := func() int {
		found, err := filepath.Glob(filepath.Join(dir, "x", tempPrefix+"*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if _, err := mustOpen(t, dir).Put(ctx, "x/other", nil); err != nil || temps() != 1 {
		t.Fatalf("with a writer that lives: %d temporary files, %v, want 1", temps(), err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	s := mustOpen(t, dir)
	list, err := s.List(ctx, "")
	if err != nil || len(list) != 1 || list[0].Name != "x/other" || temps() != 1 {
		t.Fatalf("after the kill: %v, %v, %d temporary files", list, err, temps())
	}
	if err := os.WriteFile(filepath.Join(dir, "x", tempPrefix+"of-someone-else"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, "x/big", []byte("whole")); err != nil || temps() != 1 {
		t.Fatalf("after the next writer: %d temporary files, %v, want someone else's", temps(), err)
	}
}
