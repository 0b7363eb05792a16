package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// The node's shell reads a script from its standard input. Nothing of a script is in an
// argument, which ssh would have a second shell read and docker would not.
//
// The program is named by its digest, in a cache folder of the node's. It appears there
// under its name only when it is whole: its digest is compared first.
const (
	scriptStart = `set -e
digest() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -c 1-64
}
dir="${XDG_CACHE_HOME:-$HOME/.cache}/quire/bin"
mkdir -p "$dir"
file="$dir/quire-$sha"
`
	scriptFind = `echo "platform $(uname -s) $(uname -m)"
if [ -x "$file" ] && [ "$(digest "$file")" = "$sha" ]; then echo "have $file"; else echo "need $dir/$part"; fi
`
	scriptPlace = `if [ "$(digest "$dir/$part")" != "$sha" ]; then rm -f "$dir/$part"; echo "damaged"; exit 0; fi
chmod 755 "$dir/$part"
mv -f "$dir/$part" "$file"
echo "have $file"
`
)

// plain matches a path that no shell changes.
var plain = regexp.MustCompile(`^/[A-Za-z0-9_./@%+=:,-]*$`)

// fullDisk matches the line in which a tool says that a disk is full.
var fullDisk = regexp.MustCompile(`.*(No space left|[Qq]uota exceeded).*`)

// bring brings this program to the node where it is not there, once, if that is wanted.
func (c *command) bring(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.copy || c.brought {
		return nil
	}
	b, err := ThisBuild()
	if err != nil {
		return err
	}
	part := ".part-" + rand.Text()
	begin := fmt.Sprintf("sha=%s\npart=%s\n%s", b.SHA256, part, scriptStart)
	said, err := c.shell(ctx, begin+scriptFind)
	if err != nil {
		return err
	}
	if there := platform(said["platform"]); there != b.Platform {
		return &CheckError{Node: c.String(), Reason: OtherPlatform, Said: fmt.Sprintf("it is %s, and this program is for %s", there, b.Platform)}
	}
	if said["have"] == "" {
		if err := c.send(ctx, said["need"]); err != nil {
			return err
		}
		if said, err = c.shell(ctx, begin+scriptPlace); err != nil {
			return err
		}
	}
	if !plain.MatchString(said["have"]) {
		return &CheckError{Node: c.String(), Reason: NotCopied, Said: "what came there is not what was sent"}
	}
	c.program, c.brought = said["have"], true
	return nil
}

// shell runs a script on the node. It returns the lines that it wrote, by their first word.
func (c *command) shell(ctx context.Context, script string) (map[string]string, error) {
	stdout, stderr, code, err := output(ctx, append(slices.Clone(c.launch), "sh"), strings.NewReader(script))
	said := map[string]string{}
	for line := range strings.Lines(string(stdout)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[word] = rest
	}
	if err != nil || code != 0 {
		return nil, c.failed(stderr, code, err)
	}
	if len(said) == 0 {
		return nil, &CheckError{Node: c.String(), Reason: Mute, Said: "a shell there did nothing with its standard input"}
	}
	return said, nil
}

// send writes this program to a file of the node. dd needs no quotes and no redirection.
func (c *command) send(ctx context.Context, path string) error {
	if !plain.MatchString(path) {
		return &CheckError{Node: c.String(), Reason: NotCopied, Said: "the folder for it has characters that a shell would change: " + path}
	}
	f, err := openProgram()
	if err != nil {
		return err
	}
	defer f.Close()
	_, stderr, code, err := output(ctx, append(slices.Clone(c.launch), "dd", "of="+path, "bs=65536"), f)
	if err != nil || code != 0 {
		return c.failed(stderr, code, err)
	}
	return nil
}

// failed is the error of a command that was to bring the program.
func (c *command) failed(stderr []byte, code int, err error) error {
	said, full := lastLines(stderr), fullDisk.FindString(string(stderr))
	e := &silentError{LostError: LostError{Node: c.String(), Stage: "check"}, code: code, said: said, err: err}
	k := &CheckError{Node: c.String(), Reason: NotCopied, Said: said}
	switch {
	case err != nil && !errors.Is(err, exec.ErrNotFound):
		return err
	case full != "":
		k.Reason, k.Said = Full, full
	case err != nil || code == 255 || code == -1:
		return c.explain(e)
	}
	return k
}

// lastLines returns the last lines of an output, in one.
func lastLines(out []byte) string {
	list := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(out, []byte("?")))), "\n")
	return strings.Join(list[max(0, len(list)-saidLines):], "; ")
}

// platform is what uname says, in Go's words.
func platform(uname string) string {
	system, machine, _ := strings.Cut(uname, " ")
	system = strings.ToLower(system)
	switch machine {
	case "x86_64":
		machine = "amd64"
	case "aarch64":
		machine = "arm64"
	}
	return system + "/" + machine
}
