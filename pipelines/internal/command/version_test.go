package command_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/pipelines/internal/command"
)

func TestVersion(t *testing.T) {
	l := newLab(t)
	r := l.result("version revision modified go platform kernels device gpu lacks threads formats", "version")
	variant, err := kernel.Variant()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH, "kernels": variant,
		"threads": float64(runtime.GOMAXPROCS(0))} {
		if r[key] != want {
			t.Errorf("%s is %v, want %v", key, r[key], want)
		}
	}
	formats := r["formats"].(map[string]any)
	for kind, want := range map[string]string{"set": "quire-set/1", "checkpoint": "quire-checkpoint/1", "record": "quire-round/2"} {
		if formats[kind] != want {
			t.Errorf("the format of a %s is %v, want %s", kind, formats[kind], want)
		}
	}
	text := l.ok("version").stdout
	for _, want := range []string{"quire     ", "\nkernels   " + variant + "\n", "\nformats   quire-set/1, quire-checkpoint/1, quire-round/2, quire-receipt/1\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("version prints\n%swithout %q", text, want)
		}
	}
	var flag, errors bytes.Buffer
	if code := command.Execute(context.Background(), command.Quire(), []string{"--version"}, &flag, &errors); code != 0 || flag.String() != text {
		t.Errorf("--version ends with %d and prints\n%s%swant\n%s", code, flag.String(), errors.String(), text)
	}
}

// completions is what a shell is offered for the last word, which it compares with
// that itself, without the descriptions; and cobra's directive.
func (l *lab) completions(args ...string) (offered []string, directive string) {
	l.t.Helper()
	var stdout, stderr bytes.Buffer
	if code := command.Execute(context.Background(), command.Quire(), append([]string{"__complete"}, args...), &stdout, &stderr); code != 0 {
		l.t.Fatalf("completion of %v ends with %d: %s", args, code, stderr.String())
	}
	lines := strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
	for _, line := range lines[:len(lines)-1] {
		word, _, _ := strings.Cut(line, "\t")
		offered = append(offered, word)
	}
	return offered, lines[len(lines)-1]
}

func TestCompletions(t *testing.T) {
	const files, noFiles, noSpace, kept, keptFiles = ":0", ":4", ":6", ":36", ":32"
	l := newLab(t)
	l.ok("run", "--quiet")
	l.ok("prep", "--quiet")
	l.ok("train", "--quiet")
	runs, err := filepath.Glob(filepath.Join(l.work, "runs", "*"))
	if err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	rounds, err := filepath.Glob(filepath.Join(l.work, "rounds", "2*.json"))
	if err != nil || len(rounds) != 1 {
		t.Fatal(rounds, err)
	}
	id := strings.TrimSuffix(filepath.Base(rounds[0]), ".json")
	const steps, embedded = "best latest step:30 step:60", "base quickstart shakespeare-3min shakespeare tutorial"
	for _, c := range []struct {
		args      string
		want      string
		directive string
	}{
		{"train --config|", embedded, files},
		{"run --set|train.m", "train.max_steps=", noSpace},
		{"run --set|train.lr=", "", noSpace},
		{"config explain|corpus.n", "corpus.newlines", noFiles},
		{"config explain|train.lr|", "", noFiles},
		{"prep --runner|", "direct prism flink dataflow", noFiles},
		{"runs list --config|sh", embedded, files},
		{"runs show --config|" + l.config + "|", id, kept},
		{"runs show --config|" + l.config + "|" + id + "|", "", noFiles},
		{"runs diff --config|" + l.config + "|" + id + "|", id, kept},
		{"runs show --config|nothing.yaml|", "", noFiles},
		{"report --config|" + l.config + "|", id + " " + filepath.Base(runs[0]), ":32"},
		{"report --config|" + l.config + "|" + id + "|", id + " " + filepath.Base(runs[0]), ":32"},
		{"report --config|nothing.yaml|", "", files},
		{"runs watch --config|" + l.config + "|", filepath.Base(runs[0]) + " " + id, keptFiles},
		{"runs watch --config|" + l.config + "|" + id + "|", "", noFiles},
		{"generate --config|" + l.config + "|--which|", steps, kept},
		{"generate --checkpoint|" + runs[0] + "|--which|", steps, kept},
		{"promote " + runs[0] + "|--which|step", steps, kept},
		{"inspect " + runs[0] + "|--which|step:6", steps, kept},
		{"score --checkpoint|" + filepath.Join(l.dir, "none") + "|--which|", "best latest", kept},
	} {
		var args []string
		for _, part := range strings.Split(c.args, "|") {
			if len(args) == 0 {
				args = strings.Fields(part)
			} else {
				args = append(args, part)
			}
		}
		if strings.HasSuffix(c.args, "--config|") {
			args = append(args[:len(args)-1], "")
		}
		offered, directive := l.completions(args...)
		if got := strings.Join(offered, " "); got != c.want || directive != c.directive {
			t.Errorf("quire %s: %q with directive %s, want %q with %s", strings.Join(args, " "), got, directive, c.want, c.directive)
		}
	}
	if _, err := os.Stat(filepath.Join(l.dir, "none")); !os.IsNotExist(err) {
		t.Errorf("a completion made a folder: %v", err)
	}
}

// TestFirstLine reads the first line of the commands that work for long.
func TestFirstLine(t *testing.T) {
	variant, err := kernel.Variant()
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	want := "quire: config " + l.config + ", workdir " + l.work + ", device auto, " + variant + " kernels, "
	for _, name := range []string{"prep", "train", "run"} {
		first, _, _ := strings.Cut(l.ok(name).stderr, "\n")
		if !strings.HasPrefix(first, want) || !strings.HasSuffix(first, " threads") && !strings.HasSuffix(first, " 1 thread") {
			t.Errorf("%s begins with %q, want %q", name, first, want)
		}
	}
	if quiet := l.ok("run", "--quiet").stderr; quiet != "" {
		t.Errorf("run --quiet prints %q", quiet)
	}
}
