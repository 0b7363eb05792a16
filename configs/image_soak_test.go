//go:build soak && linux

package configs

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
)

// TestImage makes the images: with Docker where its daemon answers, else by the commands of
// the Dockerfile, in a copy of the source. The program of the CPU's image then runs where
// nothing is but the image's files.
func TestImage(t *testing.T) {
	if out, err := exec.Command("docker", "info").CombinedOutput(); err == nil {
		withDocker(t)
	} else {
		t.Logf("SKIPPED, docker build: %s", strings.TrimSpace(string(out[max(0, len(out)-200):])))
	}
	stages, _ := dockerfile(t)
	b := &builder{t: t, stages: stages, source: copySource(t), done: map[string][]string{}}
	for _, target := range []string{"gpu", "cpu"} {
		b.image = t.TempDir()
		env := b.build(target)
		program := filepath.Join(b.image, "usr/local/bin/quire")
		segments, err := exec.Command("readelf", "-l", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		if loader := bytes.Contains(segments, []byte("INTERP")); loader != (target == "gpu") {
			t.Errorf("the program of %s needs a loader: %v", target, loader)
		}
		if info, err := os.Stat(program); err != nil || info.Size() > 80e6 {
			t.Errorf("the program of %s has %d bytes: %v", target, info.Size(), err)
		}
		if target == "cpu" {
			inImage(t, b.image, env)
		}
	}
}

// withDocker builds the targets and runs their programs.
func withDocker(t *testing.T) {
	for _, target := range []string{"cpu", "gpu"} {
		tag := "quire-test:" + target
		for _, args := range [][]string{{"build", "-f", "configs/deploy/Dockerfile", "--target", target, "--build-arg", "VERSION=v0.0.1-test", "-t", tag, "."},
			{"run", "--rm", tag, "version"}, {"run", "--rm", tag, "prep", "--set", "schedule.timezone=Europe/Berlin", "--quiet"}} {
			c := exec.Command("docker", args...)
			c.Dir = ".."
			if out, err := c.CombinedOutput(); err != nil || args[len(args)-1] == "version" && !strings.Contains(string(out), "v0.0.1-test") {
				t.Errorf("docker %q: %v: %s", args, err, out)
			}
		}
	}
}

// copySource copies the files of the source that .dockerignore lets through.
func copySource(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	rules := strings.Split(contentOf(t, filepath.Join("deploy", "Dockerfile.dockerignore")), "\n")
	files, err := exec.Command("git", "-C", "..", "ls-files", "-co", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("the files of the source are not known: %v", err)
	}
	for name := range strings.FieldsSeq(string(files)) {
		if ignored(t, rules, name) {
			continue
		}
		from, err := os.ReadFile(filepath.Join("..", name))
		if os.IsNotExist(err) {
			continue // deleted, and not yet committed
		}
		to := filepath.Join(dir, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, from, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ignored applies the rules of a .dockerignore: the last one that matches a file, or a folder
// above it, decides.
func ignored(t *testing.T, rules []string, name string) (out bool) {
	t.Helper()
	for _, rule := range rules {
		if rule == "" || rule[0] == '#' {
			continue
		}
		pattern, back := strings.CutPrefix(rule, "!")
		for at := name; at != "."; at = filepath.Dir(at) {
			if ok, err := doublestar.Match(pattern, at); err != nil {
				t.Fatal(err)
			} else if ok {
				out = !back
			}
		}
	}
	return out
}

// A builder does what a Dockerfile says on this machine: /src is the copy of the source,
// /usr/local/go is this machine's Go, other files are this machine's.
type builder struct {
	t      *testing.T
	stages []imageStage
	source string
	image  string              // the folder that the target is made in
	done   map[string][]string // the environments of the stages that are built
}

// build makes a target and the stages that it needs, and returns its environment.
func (b *builder) build(target string) (env []string) {
	b.t.Helper()
	if env, ok := b.done[target]; ok {
		return env
	}
	for _, s := range b.stages {
		if s.name != target {
			continue
		}
		final := s.from == "scratch" || strings.HasPrefix(s.from, "debian:")
		if !final && !strings.HasPrefix(s.from, "golang:") {
			env = b.build(s.from)
		}
		for _, step := range s.steps {
			switch step.name {
			case "ARG":
				env = append(env, "VERSION=v0.0.1-test")
			case "ENV":
				env = append(env, assignments(step.args)...)
			case "RUN":
				c := exec.Command("sh", "-c", step.args)
				c.Dir, c.Env = b.source, append(os.Environ(), env...)
				if out, err := c.CombinedOutput(); err != nil {
					b.t.Fatalf("RUN %s: %v: %s", step.args, err, out)
				}
			case "COPY":
				if final {
					b.copy(step.args)
				}
			}
		}
		b.done[target] = slices.Clip(env)
		return env
	}
	b.t.Fatalf("no stage %s", target)
	return nil
}

// copy does COPY --from=stage from to.
func (b *builder) copy(args string) {
	b.t.Helper()
	words := strings.Fields(args)
	stage, owned := strings.TrimPrefix(words[0], "--from="), false
	if strings.HasPrefix(words[1], "--chown=") {
		words, owned = words[1:], true
	}
	if strings.HasPrefix(stage, "build-") {
		b.build(stage)
	}
	from, to := words[1], filepath.Join(b.image, words[2])
	if rest, ok := strings.CutPrefix(from, "/src/"); ok {
		from = filepath.Join(b.source, rest)
	} else if rest, ok := strings.CutPrefix(from, "/usr/local/go/"); ok {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			b.t.Fatal(err)
		}
		from = filepath.Join(strings.TrimSpace(string(out)), rest)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-RpL", from, to).CombinedOutput(); err != nil {
		b.t.Fatalf("COPY %s: %v: %s", args, err, out)
	}
	if owned && os.Getuid() == 0 {
		if err := os.Chown(to, 65532, 65532); err != nil {
			b.t.Fatal(err)
		}
	}
}

// assignments splits the arguments of ENV: A=b C="d e".
func assignments(args string) (list []string) {
	for args != "" {
		name, rest, _ := strings.Cut(args, "=")
		value, after, _ := strings.Cut(rest, " ")
		if strings.HasPrefix(rest, `"`) {
			value, after, _ = strings.Cut(rest[1:], `"`)
		}
		list, args = append(list, name+"="+value), strings.TrimLeft(after, " ")
	}
	return list
}

// inImage runs the program in a root that is the image: it knows time zones and the roots of
// HTTPS, has the text of quickstart, and writes to its folders alone.
func inImage(t *testing.T, image string, env []string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("the program does not run in a root of its own: that needs the user root")
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, strings.Repeat("to be or not to be. ", 50))
	}))
	defer server.Close()
	roots := filepath.Join(image, "etc/ssl/certs/ca-certificates.crt")
	public := contentOf(t, roots)
	if n := strings.Count(public, "BEGIN CERTIFICATE"); n < 50 {
		t.Errorf("the image has %d roots of HTTPS", n)
	}
	ours := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	run := func(args ...string) (string, error) {
		c := exec.Command("/usr/local/bin/quire", args...)
		c.Dir, c.Env = "/work", env
		c.SysProcAttr = &syscall.SysProcAttr{Chroot: image, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := run("version"); err != nil || !strings.HasPrefix(out, "quire     v0.0.1-test\n") {
		t.Errorf("version: %v: %s", err, out)
	}
	if out, err := run("prep", "--set", "schedule.timezone=Europe/Berlin", "--quiet"); err != nil {
		t.Errorf("prep of quickstart: %v: %s", err, out)
	}
	if out, err := run("prep", "--set", "schedule.timezone=Europe/Nowhere"); err == nil {
		t.Errorf("a time zone that does not exist is taken: %s", out)
	}
	book := []string{"prep", "--quiet", "--set", "corpus.sources=" + server.URL + "/book.txt", "--set", "prep.seq_length=10", "--set", "workdir=work/book"}
	if out, err := run(book...); err == nil || !strings.Contains(out, "certificate") {
		t.Errorf("a server of which no root is known is believed: %v: %s", err, out)
	}
	if err := os.WriteFile(roots, fmt.Appendf(nil, "%s\n%s", public, ours), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := run(book...); err != nil {
		t.Errorf("prep from https: %v: %s", err, out)
	}
}
