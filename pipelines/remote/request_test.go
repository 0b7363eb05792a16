package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/runners/node"
	"github.com/quire-ml/quire/runners/store"
)

func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func config(t *testing.T, set ...string) *configs.Resolved {
	t.Helper()
	r, err := configs.Load(configs.Options{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// safe are the characters that neither a shell nor a launcher changes.
var safe = regexp.MustCompile(`^[A-Za-z0-9/._:%-]+$`)

// TestRequest writes a request and reads it by its argument, whatever the workdir is called.
func TestRequest(t *testing.T) {
	for _, name := range []string{"work", "a b", "it's $HOME; rm -rf `x` & \"y\" #1 %20 ü", "~"} {
		dir := filepath.Join(t.TempDir(), name)
		st := openStore(t, dir)
		c := config(t, "workdir=elsewhere", "train.lr=0.0625", "notify.webhook=https://hooks.example/token", "node.kind=command", "node.launch=ssh,gpu1",
			"corpus.sources=https://user:password@example.com/a.txt?key=1")
		r := &Request{Stage: Train, Workdir: dir, Config: string(c.Portable()), Set: "sets/0a", Run: "runs/0b", Fresh: true}
		job, err := r.job(t.Context(), st, "0c")
		if err != nil {
			t.Fatal(err)
		}
		if len(job.Args) != 4 || job.Args[0] != "train" || job.Args[1] != "--request" || job.Args[3] != "--json" || !safe.MatchString(job.Args[2]) {
			t.Errorf("the arguments are %q", job.Args)
		}
		if job.Run != filepath.Join(dir, "runs/0b") || job.Key != "0c" || job.Stage != "train" {
			t.Errorf("the job is %+v", job)
		}
		again, read, err := Read(t.Context(), job.Args[2], Train)
		if err != nil {
			t.Fatal(err)
		}
		if *again != *r || read.Workdir != dir || read.Train.LR != 0.0625 || read.Node.Kind != configs.NoNode {
			t.Errorf("the request is read as %+v, %+v", again, read)
		}
		if same, err := r.job(t.Context(), st, "0c"); err != nil || same.Args[2] != job.Args[2] {
			t.Errorf("the same request has another name: %s, %v", same.Args[2], err)
		}
		data, err := os.ReadFile(filepath.Join(dir, requestName(mustSeal(t, r))))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"token", "password", "key=1"} {
			if strings.Contains(string(data)+strings.Join(job.Args, " "), secret) {
				t.Errorf("the request has the secret %s", secret)
			}
		}
	}
}

func mustSeal(t *testing.T, r *Request) []byte {
	t.Helper()
	data, err := store.MarshalSealed(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestReadWrong refuses what is no request of the name, and what is for another command.
func TestReadWrong(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir)
	write := func(r Request) string {
		job, err := r.job(t.Context(), st, "0c")
		if err != nil {
			t.Fatal(err)
		}
		return job.Args[2]
	}
	good := Request{Stage: Train, Workdir: dir, Config: "name: x\n"}
	at := write(good)
	if _, _, err := Read(t.Context(), at, Evaluate); err == nil || !strings.Contains(err.Error(), "asks for train, and not for evaluate") {
		t.Errorf("read for another stage: %v", err)
	}
	if _, _, err := Read(t.Context(), filepath.Join(dir, "requests", "0a.json"), Train); !errors.Is(err, fs.ErrNotExist) ||
		Ended(err, 1, "").Class != string(node.NoWorkdir) {
		t.Errorf("absent: %v", err)
	}
	if _, _, err := Read(t.Context(), "%zz", Train); err == nil {
		t.Error("an argument that is no path is read")
	}
	if _, _, err := Read(t.Context(), write(Request{Stage: Train, Workdir: dir, Config: "train.lrr: 1\n"}), Train); err == nil ||
		!strings.Contains(err.Error(), "train.lrr") {
		t.Errorf("an unknown key: %v", err)
	}
	if _, _, err := Read(t.Context(), write(Request{Stage: Train, Workdir: dir, Config: "extends: quickstart\n"}), Train); err == nil ||
		!strings.Contains(err.Error(), "extends") {
		t.Errorf("a config that extends another: %v", err)
	}
	other := good
	other.Run = "runs/0d"
	path, err := os.ReadFile(write(other))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, path, 0o666); err != nil { // intact, under the name of another
		t.Fatal(err)
	}
	if _, _, err := Read(t.Context(), at, Train); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("another request under the name: %v", err)
	}
	if err := os.WriteFile(at, append(path, '\n'), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(t.Context(), at, Train); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a damaged request: %v", err)
	}
}

// TestEnded is what the other machine is told of an error.
func TestEnded(t *testing.T) {
	diverged := &train.DivergedError{Step: 7, Cause: errors.New("NaN")}
	for _, test := range []struct {
		err  error
		want node.Control
	}{
		{nil, node.Control{}},
		{errors.New("x"), node.Control{Code: 1, Message: "said"}},
		{fmt.Errorf("stages: %w", diverged), node.Control{Code: 1, Class: node.ClassDiverged, Message: "NaN", Step: 7}},
		{fmt.Errorf("run: %w", &store.HeldError{}), node.Control{Code: 1, Class: node.ClassHeld, Message: "said"}},
		{fmt.Errorf("x: %w", syscall.ENOSPC), node.Control{Code: 1, Class: node.ClassFull, Message: "said"}},
		{&unseenError{fmt.Errorf("x: %w", syscall.ENOSPC)}, node.Control{Code: 1, Class: node.ClassFull, Message: "said"}},
		{&unseenError{fs.ErrPermission}, node.Control{Code: 1, Class: "no workdir", Message: "said"}},
		{&roomError{errors.New("x")}, node.Control{Code: 1, Class: "full", Message: "said"}},
		{&deviceError{errors.New("x")}, node.Control{Code: 1, Class: "no device", Message: "said"}},
		{&otherBuildError{}, node.Control{Code: 1, Class: "other build", Message: "said"}},
		{fmt.Errorf("x: %w", store.ErrTransient), node.Control{Code: 1, Class: node.ClassTransient, Message: "said"}},
	} {
		code, message := 0, ""
		if test.err != nil {
			code, message = 1, "said"
		}
		if got := Ended(test.err, code, message); got != test.want {
			t.Errorf("%v is told as %+v, want %+v", test.err, got, test.want)
		}
	}
}

// TestAnswer looks around: it writes the nonce, and refuses a program of another build, a
// disk without room for a checkpoint, and a network that no machine has the memory for.
func TestAnswer(t *testing.T) {
	dir := t.TempDir()
	b, err := node.ThisBuild()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(b node.Build, workdir string, set ...string) (any, error) {
		c := config(t, set...).Config
		r := &Request{Stage: Check, Workdir: workdir, Nonce: "0a", Build: b}
		return r.Do(context.Background(), &c, "cpu", nil)
	}
	made, err := ask(b, dir)
	if a, ok := made.(*Answer); err != nil || !ok || a.Build != b || a.Device != "cpu" || a.Host == "" {
		t.Errorf("the answer is %+v, %v", made, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "requests", "answer-0a")); err != nil || string(data) != "0a" {
		t.Errorf("what is written is %q, %v", data, err)
	}
	for class, ask := range map[string]func() (any, error){
		"other build": func() (any, error) { return ask(node.Build{Version: "v0.0.1"}, dir) },
		"no workdir":  func() (any, error) { return ask(b, filepath.Join("/dev/null", "work")) },
		"full":        func() (any, error) { return ask(b, dir, "model.layers=64", "model.hidden=65536") },
		"no device":   func() (any, error) { return ask(b, dir, "train.batch=65536", "prep.seq_length=1048576") },
	} {
		if _, err := ask(); err == nil || Ended(err, 1, "").Class != class {
			t.Errorf("%v, of the class %q; want %s", err, Ended(err, 1, "").Class, class)
		}
	}
}

// TestOpen opens the kinds of node.
func TestOpen(t *testing.T) {
	if n, err := Open(&configs.Node{Kind: configs.NoNode}); n != nil || err != nil {
		t.Errorf("no node: %v, %v", n, err)
	}
	n, err := Open(&configs.Node{Kind: configs.CommandNode, Launch: []string{"ssh", "gpu1"}})
	if err != nil || n.String() != "ssh gpu1" {
		t.Errorf("%v, %v", n, err)
	}
}
