package remote_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// A host is an sshd of this user's on loopback, with keys of its own.
type host struct {
	dir    string // of keys, configs and the program quire
	launch []string
	port   int
}

// newHost starts an sshd. Commands there have the environment env, and this test binary as
// quire in their PATH.
func newHost(t *testing.T, env ...string) *host {
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		if sshd = "/usr/sbin/sshd"; !exists(sshd) {
			t.Skip("there is no sshd: install openssh-server")
		}
	}
	for _, tool := range []string{"ssh", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s: install openssh-client", tool)
		}
	}
	if os.Getuid() == 0 { // where sshd of root confines itself
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skipf("sshd of root needs /run/sshd: %v", err)
		}
	}
	h := &host{dir: t.TempDir(), port: freePort(t)}
	for _, name := range []string{"host", "id"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", h.at(name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	key, err := os.ReadFile(h.at("host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, "known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s", h.port, key))
	h.write(t, "sshd_config", fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nPidFile none\nAuthorizedKeysFile %s\n"+
		"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 100\n", h.port, h.at("host"), h.at("id.pub")))
	h.write(t, "ssh_config", fmt.Sprintf("Host gpu1\nHostName 127.0.0.1\nPort %d\nIdentityFile %s\nIdentitiesOnly yes\n"+
		"UserKnownHostsFile %s\nStrictHostKeyChecking yes\nBatchMode yes\nLogLevel ERROR\n", h.port, h.at("id"), h.at("known_hosts")))
	if err := os.Mkdir(h.at("bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, h.at("bin/quire")); err != nil {
		t.Fatal(err)
	}
	h.serve(t, sshd)
	h.launch = append([]string{"ssh", "-F", h.at("ssh_config"), "gpu1", "env", childVariable + "=1",
		"PATH=" + h.at("bin") + ":/usr/local/bin:/usr/bin:/bin"}, env...)
	return h
}

// serve starts the sshd and waits until it takes connections.
func (h *host) serve(t *testing.T, sshd string) {
	t.Helper()
	c := exec.Command(sshd, "-D", "-e", "-f", h.at("sshd_config"))
	var log bytes.Buffer
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", h.port))
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			_ = c.Process.Kill()
			_ = c.Wait()
			t.Fatalf("sshd does not listen: %s", log.String())
		}
		_ = store.Wait(t.Context(), 20*time.Millisecond)
	}
	if out, err := exec.Command("ssh", "-F", h.at("ssh_config"), "gpu1", "true").CombinedOutput(); err != nil {
		t.Skipf("this user cannot log in by sshd on loopback: %v: %s", err, strings.TrimSpace(string(out)))
	}
}

func (h *host) at(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(h.at(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// script puts a program into the PATH of the host.
func (h *host) script(t *testing.T, name, text string) {
	t.Helper()
	_ = os.Remove(h.at("bin/" + name)) // quire is a link to the test binary
	if err := os.WriteFile(h.at("bin/"+name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
