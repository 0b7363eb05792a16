package remote_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// refused runs a round that must end before any work, with one line that has the parts.
func (l *lab) refused(code int, parts ...string) {
	l.t.Helper()
	s := l.start("run", "--quiet")
	if got := s.end(); got != code {
		l.t.Errorf("exit code %d, want %d: %s", got, code, s.stderr.String())
	}
	if said := s.stderr.String(); strings.Count(said, "\n") != 1 {
		l.t.Errorf("want one line, not\n%s", said)
	}
	for _, part := range parts {
		if !strings.Contains(s.stderr.String(), part) {
			l.t.Errorf("the error has no %q: %s", part, s.stderr.String())
		}
	}
	for _, name := range []string{"sets", "runs", "stages", "rounds"} {
		if exists(filepath.Join(l.work, name)) {
			l.t.Errorf("there is %s: the round has worked", name)
		}
	}
	if names, _ := os.ReadDir(filepath.Join(l.work, "requests")); len(names) > 0 {
		l.t.Errorf("requests are left: %v", names)
	}
}

// TestRefused: a node that cannot run stages is an error with what to do, before any work.
func TestRefused(t *testing.T) {
	h := newHost(t)
	gone := append([]string{"ssh", "-o", fmt.Sprintf("Port=%d", freePort(t))}, h.launch[1:]...)
	newLab(t, 1, gone).refused(1, "it does not answer: ssh: connect to host", "try it by hand, without a password: ssh -o Port=")
	newLab(t, 1, []string{"no-such-launcher", "gpu1"}).refused(1, "not on this machine", "install it, or correct node.launch")
	newLab(t, 1, []string{"true"}).refused(1, "that is not quire", "docker run does with -i; try: true quire version")
	newLab(t, 1, h.launch[:4]).refused(1, "there is no quire", "or use node.binary copy")

	// A quire of another build: its file is longer, so its digest is another.
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(h.dir, "other")
	if err := os.WriteFile(other, append(program, '\n'), 0o755); err != nil {
		t.Fatal(err)
	}
	h.script(t, "quire", `exec `+other+` "$@"`)
	newLab(t, 1, h.launch).refused(1, "there is another quire than here: it is (devel) of sha256 ", "and this is (devel) of sha256 ",
		"install the same version there")
	h.script(t, "quire", `echo 'quire: unknown command "node" for "quire"; see quire --help' >&2; exit 2`)
	newLab(t, 1, h.launch).refused(1, "there is another quire than here: quire: unknown command", "install the same version there")
}

// TestRefusedDevice: what the node lacks to train is said by the node.
func TestRefusedDevice(t *testing.T) {
	h := newHost(t)
	l := newLab(t, 1, h.launch)
	l.write("tiny.yaml", l.read("tiny.yaml")+"train.device: gpu\n")
	if s := l.start("run", "--quiet", "--set", "node.kind=none"); s.end() == 0 {
		t.Skip("this machine has a GPU")
	}
	_ = os.RemoveAll(l.work)
	l.refused(1, "it cannot train there", "or use train.device cpu, which makes the same bytes")
}

// TestRefusedWorkdir: a workdir that is another folder there.
func TestRefusedWorkdir(t *testing.T) {
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("this user may not hide a folder from a process: %v: %s", err, out)
	}
	h := newHost(t)
	h.script(t, "elsewhere", `exec unshare --mount sh -c 'mount -t tmpfs none "$0" && exec "$@"' "$@"`)
	l := newLab(t, 1, nil)
	launch := append(append([]string{}, h.launch...), "elsewhere", l.dir)
	hidden := newLab(t, 1, launch)
	if err := os.Rename(filepath.Join(hidden.dir, "tiny.yaml"), filepath.Join(l.dir, "tiny.yaml")); err != nil {
		t.Fatal(err)
	}
	l.refused(1, "the workdir is not the same there as here", l.work, "use a workdir that both machines have at the same path")
}

// TestRefusedFull: a disk of the node that is full, when this program is brought there.
func TestRefusedFull(t *testing.T) {
	h := newHost(t)
	small := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "none", small).CombinedOutput(); err != nil {
		t.Skipf("this user may not mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", small).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	launch := append(append([]string{}, h.launch...), "XDG_CACHE_HOME="+small)
	newLab(t, 1, launch, "binary: copy").refused(1, "a disk there is full: ", "No space left on device", "free space there, and run again")
}

// TestCopied: a program that is brought to the node runs there.
func TestCopied(t *testing.T) {
	h := newHost(t)
	h.script(t, "quire", "exit 127")
	l := newLab(t, 1, append(append([]string{}, h.launch...), "XDG_CACHE_HOME="+filepath.Join(h.dir, "cache")), "binary: copy")
	l.ok("run")
	if names, _ := filepath.Glob(filepath.Join(h.dir, "cache", "quire", "bin", "quire-*")); len(names) != 1 {
		t.Errorf("the programs there are %v, want one", names)
	}
}
