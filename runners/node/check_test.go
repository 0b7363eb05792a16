package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

var probe = Job{Stage: "check", Key: "0b", Args: []string{"node", "--request", "/work/requests/0b.json", "--json"}}

// TestCheck names the reason why a node has no answer.
func TestCheck(t *testing.T) {
	for _, test := range []struct {
		text   string
		reason Reason
		said   string
	}{
		{`echo "ssh: connect to host gpu1 port 22: Connection refused" >&2; exit 255`, Unreachable, "Connection refused"},
		{saysBegan + `exit 255`, Unreachable, ""},
		{`kill -9 $$`, Unreachable, ""},
		{`echo "bash: line 1: quire: command not found" >&2; exit 127`, NoProgram, "command not found"},
		{`exit 126`, NoProgram, ""},
		{`echo 'exec: "quire": executable file not found in $PATH' >&2; exit 1`, NoProgram, "not found"},
		{`exit 0`, Mute, ""},
		{`echo hello`, Mute, ""},
		{`echo 'quire: unknown command "node" for "quire"; see quire --help' >&2; exit 2`, OtherBuild, "unknown command"},
		{`echo first >&2; echo second >&2; echo third >&2; echo fourth >&2; exit 255`, Unreachable, "second; third; fourth"},
	} {
		launch, _ := script(t, test.text)
		n := Command(launch, brief)
		_, err := n.Check(t.Context(), probe)
		var k *CheckError
		if !errors.As(err, &k) || k.Reason != test.reason || !strings.Contains(k.Said, test.said) || k.Node != n.String() {
			t.Errorf("%s: %v, want %s: %s", test.text, err, test.reason, test.said)
		}
		if k != nil && strings.Contains(k.Said, "first") {
			t.Errorf("%s: %v has more than the last lines", test.text, err)
		}
		if got := errors.Is(err, store.ErrTransient); got != (test.reason == Unreachable) {
			t.Errorf("%s: it may pass: %v", test.text, got)
		}
	}
	_, err := Command([]string{"no-such-launcher-anywhere", "gpu1"}, brief).Check(t.Context(), probe)
	if k := new(CheckError); !errors.As(err, &k) || k.Reason != NoLauncher {
		t.Errorf("%v, want no launcher", err)
	}
}

// TestCheckAnswer returns the answer of a node, and the error of a job that looked around.
func TestCheckAnswer(t *testing.T) {
	launch, _ := script(t, saysBegan+`printf '{"args":"%s"}\n' "$*"; `+saysEnded)
	result, err := Command(launch, brief).Check(t.Context(), probe)
	if want := `{"args":"quire node --request /work/requests/0b.json --json"}`; err != nil || string(result) != want {
		t.Errorf("%s, %v; want %s", result, err, want)
	}
	launch, _ = script(t, saysBegan+`echo '{"quire":{"word":"ended","code":1,"class":"full","message":"no space"}}'; exit 1`)
	_, err = Command(launch, brief).Check(t.Context(), probe)
	if exit := new(ExitError); !errors.As(err, &exit) || exit.Class != ClassFull || exit.Message != "no space" {
		t.Errorf("%v, want exit code 1 of the class full", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	launch, _ = script(t, `sleep 1000`)
	if _, err := Command(launch, brief).Check(ctx, probe); !errors.Is(err, context.Canceled) {
		t.Errorf("a check that is cancelled: %v", err)
	}
}

// TestCopy brings this program to a node, once, and runs it there by its path.
func TestCopy(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache")
	launch := []string{"env", childVariable + "=1", "XDG_CACHE_HOME=" + cache}
	b, err := ThisBuild()
	if err != nil {
		t.Fatal(err)
	}
	want := `["node","--request","/work/requests/0b.json","--json"]`
	at := filepath.Join(cache, "quire", "bin", "quire-"+b.SHA256)
	check := func() error {
		result, err := Command(launch, &CommandOptions{Copy: true}).Check(t.Context(), probe)
		if err == nil && string(result) != want {
			err = fmt.Errorf("it was run with %s, want %s", result, want)
		}
		return err
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	first, err := os.Stat(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	second, err := os.Stat(at)
	if err != nil || !os.SameFile(first, second) {
		t.Errorf("the program is copied again: %v", err)
	}
	if err := os.WriteFile(at, []byte("damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := check(); err != nil {
		t.Errorf("a damaged program is not replaced: %v", err)
	}
	if names, err := os.ReadDir(filepath.Dir(at)); err != nil || len(names) != 1 {
		t.Errorf("the folder has %v, %v; want the program alone", names, err)
	}
}

// TestCopyFails tries a node on which a command of the shell is another.
func TestCopyFails(t *testing.T) {
	for _, test := range []struct {
		tool, text string
		reason     Reason
		said       string
	}{
		{"dd", `echo "dd: error writing: No space left on device" >&2; echo 1; for i in 1 2 3; do echo "$i records" >&2; done; exit 1`, Full,
			"dd: error writing: No space left on device"},
		{"dd", `for a; do case "$a" in of=*) echo part >"${a#of=}";; esac; done`, NotCopied, "not what was sent"},
		{"dd", `exit 255`, Unreachable, ""},
		{"mkdir", `echo "mkdir: cannot create directory: Permission denied" >&2; exit 1`, NotCopied, "Permission denied"},
		{"uname", `[ "$1" = -s ] && echo Darwin || echo arm64`, OtherPlatform, "it is darwin/arm64, and this program is for "},
		{"sh", `cat >/dev/null`, Mute, "standard input"},
		{"sh", `echo "need /tmp/a b"; echo "platform $(uname -s) $(uname -m)"`, NotCopied, "characters"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, test.tool), []byte("#!/bin/sh\n"+test.text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		launch := []string{"env", childVariable + "=1", "PATH=" + dir + ":" + os.Getenv("PATH"), "XDG_CACHE_HOME=" + filepath.Join(dir, "cache")}
		_, err := Command(launch, &CommandOptions{Copy: true}).Check(t.Context(), probe)
		var k *CheckError
		if !errors.As(err, &k) || k.Reason != test.reason || !strings.Contains(k.Said, test.said) {
			t.Errorf("%s: %s: %v, want %s: %s", test.tool, test.text, err, test.reason, test.said)
		}
		if names, _ := filepath.Glob(filepath.Join(dir, "cache", "quire", "bin", "quire-*")); len(names) > 0 {
			t.Errorf("%s: %s: there is a program: %v", test.tool, test.text, names)
		}
	}
}

func TestSame(t *testing.T) {
	release, other := Build{Version: "v0.1.0", SHA256: "a"}, Build{Version: "v0.2.0", SHA256: "b"}
	commit := Build{Version: devel, Revision: "0a", SHA256: "c"}
	with := func(b Build, change func(*Build)) Build { change(&b); return b }
	for _, test := range []struct {
		a, b Build
		want bool
	}{
		{release, release, true},
		{release, with(release, func(b *Build) { b.SHA256, b.Platform = "d", "darwin/arm64" }), true},
		{release, other, false},
		{commit, with(commit, func(b *Build) { b.SHA256 = "d" }), true},
		{commit, with(commit, func(b *Build) { b.SHA256, b.Revision = "d", "0b" }), false},
		{commit, with(commit, func(b *Build) { b.SHA256, b.Modified = "d", true }), false},
		{with(commit, func(b *Build) { b.Modified = true }), with(commit, func(b *Build) { b.Modified = true }), true}, // one file
		{Build{Version: devel, SHA256: "e"}, Build{Version: devel, SHA256: "f"}, false},                                // no revision says that they are alike
		{Build{Version: devel, SHA256: "e"}, Build{Version: devel, SHA256: "e"}, true},
		{Build{}, Build{}, false},
	} {
		if test.a.Same(test.b) != test.want || test.b.Same(test.a) != test.want {
			t.Errorf("%+v and %+v are the same: %v, want %v", test.a, test.b, !test.want, test.want)
		}
	}
}
