package configs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An imageStage is a stage of the Dockerfile.
type imageStage struct {
	name, from string
	steps      []imageStep
}

// An imageStep is an instruction of a Dockerfile: RUN and its shell command, or COPY and its
// arguments.
type imageStep struct{ name, args string }

// dockerfile reads the stages of configs/deploy/Dockerfile. It knows the instructions that
// are there, each on a line.
func dockerfile(t *testing.T) (stages []imageStage, text string) {
	t.Helper()
	text = contentOf(t, filepath.Join("deploy", "Dockerfile"))
	for n, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		name, args, _ := strings.Cut(line, " ")
		if words := strings.Fields(args); name == "FROM" && len(words) == 3 && words[1] == "AS" {
			stages = append(stages, imageStage{name: words[2], from: words[0]})
		} else if len(stages) > 0 && slices.Contains([]string{"WORKDIR", "COPY", "RUN", "ARG", "ENV", "USER", "ENTRYPOINT"}, name) {
			last := &stages[len(stages)-1]
			last.steps = append(last.steps, imageStep{name, args})
		} else {
			t.Fatalf("Dockerfile:%d: %q", n+1, line)
		}
	}
	return stages, text
}

func contentOf(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// args returns the arguments of the instructions of a name.
func (s imageStage) args(name string) (list []string) {
	for _, step := range s.steps {
		if step.name == name {
			list = append(list, step.args)
		}
	}
	return list
}

// checkImage says that an example runs in the image that a target of the Dockerfile makes:
// the last one is the default.
func checkImage(t *testing.T, target, image string) {
	t.Helper()
	stages, text := dockerfile(t)
	build := "docker build -f configs/deploy/Dockerfile --target " + target + " -t " + filepath.Base(image) + " .\n"
	if stages[len(stages)-1].name == target {
		build = strings.Replace(build, "--target "+target+" ", "", 1)
	}
	if !strings.Contains(text, "#   "+build) {
		t.Errorf("the Dockerfile does not say %q, for the image %s", build, image)
	}
}

// releaseVariable is what the linker sets in images and archives.
const releaseVariable = "-X github.com/quire-ml/quire/pipelines/internal/command.release"

// TestDockerfile looks at what both images have. With -tags soak, TestImage runs its commands.
func TestDockerfile(t *testing.T) {
	stages, text := dockerfile(t)
	release := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(contentOf(t, filepath.Join("..", "go.mod")))
	if !strings.HasPrefix(stages[0].from, "golang:"+release[1]+"-") {
		t.Errorf("the program is built in %s, and go.mod wants Go %s", stages[0].from, release[1])
	}
	seen := map[string]bool{}
	for _, s := range stages {
		for _, copied := range s.args("COPY") {
			if from, ok := strings.CutPrefix(copied, "--from="); ok && !seen[strings.Fields(from)[0]] {
				t.Errorf("stage %s copies %s from a stage that is not above it", s.name, copied)
			}
		}
		seen[s.name] = true
	}
	for name, from := range map[string]string{"cpu": "scratch", "gpu": "debian:bookworm-slim"} {
		i := slices.IndexFunc(stages, func(s imageStage) bool { return s.name == name })
		if i < 0 {
			t.Fatalf("there is no target %s", name)
		}
		s, has := stages[i], strings.Join(stages[i].args("COPY"), "\n")
		if s.from != from || len(s.args("RUN")) > 0 || !slices.Equal(s.args("USER"), []string{"65532:65532"}) ||
			!slices.Equal(s.args("ENTRYPOINT"), []string{`["/usr/local/bin/quire"]`}) || !slices.Equal(s.args("WORKDIR"), []string{"/work"}) {
			t.Errorf("the target %s is %+v", name, s)
		}
		for _, want := range []string{" /etc/ssl/certs/ca-certificates.crt", " /usr/share/zoneinfo.zip", "--from=build-" + name + " /src/out/quire /usr/local/bin/quire"} {
			if !strings.Contains(has, want) {
				t.Errorf("the target %s lacks %s", name, want)
			}
		}
	}
	if !strings.Contains(text, releaseVariable) || !strings.Contains(contentOf(t, "../.goreleaser.yaml"), releaseVariable+"=v{{ .Version }}\n") ||
		!strings.Contains(contentOf(t, "../pipelines/internal/command/version.go"), "\nvar release string\n") {
		t.Errorf("the linker's %s is not in the Dockerfile, .goreleaser.yaml and version.go", releaseVariable)
	}
}
