// Package remote runs stages of a round on a node, which is another machine that has the
// workdir too. The request for a stage goes there as an object of the workdir; what the
// stage makes comes back in the workdir. So a stage that runs on a node makes the bytes of
// one that runs here.
//
// A training belongs to whoever has the lease of its run, and not to the machine that has
// asked for it. Follow shows, from the files of the run alone, how far it is.
package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/runners/node"
	"github.com/quire-ml/quire/runners/store"
)

// Stages of requests. Check is not of a round: it looks around on the node.
const (
	Check    = "check"
	Train    = "train"
	Evaluate = "evaluate"
)

const requestFormat = "quire-request/1"

// Folder has the requests, below the workdir. They are named by their sha256, and may be
// deleted when no node works.
const Folder = "requests"

// A Request asks a node for a stage. Paths are below the workdir. It has no secrets: the
// stages of a node read neither the corpus nor the settings of notices.
type Request struct {
	Format  string     `json:"format"`
	Stage   string     `json:"stage"`
	Build   node.Build `json:"build"`   // of the program that asks
	Workdir string     `json:"workdir"` // an absolute path or URL
	Config  string     `json:"config"`  // resolved, in YAML

	Set        string `json:"set,omitempty"`
	Run        string `json:"run,omitempty"`        // of train
	Fresh      bool   `json:"fresh,omitempty"`      // of train: from zero
	Wait       int    `json:"wait,omitempty"`       // of train: seconds for which it waits for another holder of the run
	Checkpoint string `json:"checkpoint,omitempty"` // of evaluate
	SHA256     string `json:"sha256,omitempty"`     // of the checkpoint
	Nonce      string `json:"nonce,omitempty"`      // of check
}

// job writes the request into the workdir in st and returns the job for it. key is that of
// the stage.
func (r *Request) job(ctx context.Context, st *store.Store, key string) (node.Job, error) {
	var err error
	r.Format = requestFormat
	if r.Build, err = node.ThisBuild(); err != nil {
		return node.Job{}, err
	}
	data, err := store.MarshalSealed(r)
	if err != nil {
		return node.Job{}, err
	}
	name := requestName(data)
	if _, err := st.Put(ctx, name, data); err != nil {
		return node.Job{}, err
	}
	command := r.Stage
	if command == Check {
		command = "node"
	}
	j := node.Job{Stage: r.Stage, Key: key, Args: []string{command, "--request", escape(store.Locate(r.Workdir, name)), "--json"}}
	if r.Run != "" {
		j.Run = store.Locate(r.Workdir, r.Run)
	}
	return j, nil
}

// IsRequest reports whether an object of the workdir is a request, or an answer to a check.
// Both go when the work has ended, unless its process was killed.
func IsRequest(name string) bool {
	file, ok := strings.CutPrefix(name, Folder+"/")
	sum, request := strings.CutSuffix(file, ".json")
	return ok && !strings.Contains(file, "/") &&
		(strings.HasPrefix(name, answerName("")) || request && len(sum) == 64 && strings.Trim(sum, "0123456789abcdef") == "")
}

func requestName(data []byte) string {
	sum := sha256.Sum256(data)
	return Folder + "/" + hex.EncodeToString(sum[:]) + ".json"
}

// escape returns a path or URL in characters that no shell changes.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("/._-:", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Read reads the request that an argument of this machine's command names, and the config
// in it. The request is for a stage.
func Read(ctx context.Context, arg, stage string) (*Request, *configs.Config, error) {
	at, err := url.PathUnescape(arg)
	if err != nil {
		return nil, nil, fmt.Errorf("remote: request %q: %w", arg, err)
	}
	st, name, err := store.OpenAt(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	defer st.Close()
	data, _, err := st.Read(ctx, name)
	if err != nil {
		return nil, nil, &unseenError{err}
	}
	r := &Request{}
	if err := store.UnmarshalSealed(at, data, r); err != nil {
		return nil, nil, err
	}
	switch {
	case path.Base(requestName(data)) != name || r.Format != requestFormat:
		return nil, nil, fmt.Errorf("remote: %s: %w: it is no request of the format %s", at, store.ErrDamaged, requestFormat)
	case r.Stage != stage:
		return nil, nil, fmt.Errorf("remote: %s asks for %s, and not for %s", at, r.Stage, stage)
	}
	resolved, err := configs.Parse(at, []byte(r.Config))
	if err != nil {
		return nil, nil, err
	}
	c := resolved.Config
	c.Workdir = r.Workdir
	return r, &c, nil
}

// An unseenError says that a request is not there, as where the workdir is another folder.
type unseenError struct{ error }

func (e *unseenError) Unwrap() error { return e.error }
