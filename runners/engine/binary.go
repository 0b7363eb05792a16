package engine

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
)

// armMachines start the names of Google's machine types with ARM processors.
var armMachines = []string{"t2a-", "c4a-", "n4a-"}

// workerArch returns the processor architecture of workers, as Go names it.
func workerArch() string {
	machine := value("worker_machine_type") + value("machine_type")
	if slices.ContainsFunc(armMachines, func(prefix string) bool { return strings.HasPrefix(machine, prefix) }) {
		return "arm64"
	}
	return "amd64"
}

// workerFlag sets --worker_binary, unless it is set, to a binary for workers in
// containers: this program where it runs in one, else a program built from its
// source.
func workerFlag(ctx context.Context) (restore func(), err error) {
	if *jobopts.WorkerBinary != "" {
		return func() {}, checkBinary(*jobopts.WorkerBinary, workerArch())
	}
	if self := ownBinary(workerArch()); self != "" {
		*jobopts.WorkerBinary = self
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "quire-worker-*")
	if err != nil {
		return nil, fmt.Errorf("engine: worker binary: %w", err)
	}
	binary := filepath.Join(dir, "worker")
	if err := build(ctx, binary, workerArch()); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	*jobopts.WorkerBinary = binary
	return func() { os.RemoveAll(dir) }, nil
}

// checkBinary returns an error unless file is a program for Linux.
func checkBinary(file, arch string) error {
	f, err := elf.Open(file)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) || errors.Is(err, io.EOF) {
			return fmt.Errorf("engine: %s is no program for Linux", file)
		}
		return fmt.Errorf("engine: worker binary: %w", err)
	}
	defer f.Close()
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; f.Machine != want {
		return fmt.Errorf("engine: %s is a program for %v, want %v", file, f.Machine, want)
	}
	return nil
}

// ownBinary returns this program's file, or "" where the program cannot run in a
// container: it is for another system, or needs this machine's libraries.
func ownBinary(arch string) string {
	self, err := os.Executable()
	if err != nil || checkBinary(self, arch) != nil {
		return ""
	}
	f, err := elf.Open(self)
	if err != nil {
		return ""
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return ""
		}
	}
	return self
}

// mainPackage returns the import path of this program's main package.
func mainPackage() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Path == "command-line-arguments" {
		return ""
	}
	return info.Path
}

// canBuild returns an error unless the Go toolchain and the source of this
// program are at hand.
func canBuild(ctx context.Context) error {
	path := mainPackage()
	if path == "" {
		return errors.New("the program does not know its own package")
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Name}}", path).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return fmt.Errorf("the source of %s is not here", path)
	}
	if err != nil {
		return err
	}
	if name := strings.TrimSpace(string(out)); name != "main" {
		return fmt.Errorf("package %s is %s, not main", path, name)
	}
	return nil
}

// build builds this program for Linux, without what needs a loader.
func build(ctx context.Context, file, arch string) error {
	if out, err := buildCommand(ctx, file, arch).CombinedOutput(); err != nil {
		return fmt.Errorf("engine: building the worker for linux/%s: %w: %s; give one with --worker_binary",
			arch, err, blank.ReplaceAllString(strings.TrimSpace(string(out)), " "))
	}
	return nil
}

// buildCommand has the tags of this program too, which may choose its code. Workers
// train nothing: without the GPUs' driver they are static.
func buildCommand(ctx context.Context, file, arch string) *exec.Cmd {
	tags := "nogpu"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				tags += "," + s.Value
			}
		}
	}
	c := exec.CommandContext(ctx, "go", "build", "-tags="+tags, "-ldflags=-s -w", "-o", file, mainPackage())
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	return c
}
