package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/node"
	"github.com/quire-ml/quire/runners/store"
)

// An Answer is what a node says when it is asked whether stages can run there.
type Answer struct {
	Build  node.Build `json:"build"`
	Host   string     `json:"host"`
	Device string     `json:"device"` // that it trains on
}

// Do does the work of a request on this machine, the node, and returns its result.
func (r *Request) Do(ctx context.Context, c *configs.Config, device string, console *report.Console) (any, error) {
	b, err := node.ThisBuild()
	if err != nil {
		return nil, err
	}
	if !b.Same(r.Build) {
		return nil, &otherBuildError{here: b, asked: r.Build}
	}
	switch r.Stage {
	case Check:
		return r.answer(ctx, c, b, device)
	case Train:
		return r.train(ctx, c, console)
	case Evaluate:
		m, err := text.OpenModel(ctx, store.Locate(r.Workdir, r.Checkpoint), "best")
		if err != nil {
			return nil, err
		}
		if r.SHA256 != "" && r.SHA256 != m.SHA256 {
			return nil, fmt.Errorf("remote: %s: %w: its sha256 is %s there, and was %s when it was asked for", m.Path, store.ErrDamaged,
				m.SHA256, r.SHA256)
		}
		return text.Evaluate(ctx, m, store.Locate(r.Workdir, r.Set), "")
	}
	return nil, fmt.Errorf("remote: a request for %q", r.Stage)
}

// train trains, once nobody else does or r.Wait is over.
func (r *Request) train(ctx context.Context, c *configs.Config, console *report.Console) (any, error) {
	for began := time.Now(); ; {
		res, err := stages.Train(ctx, c, stages.TrainOptions{Set: store.Locate(r.Workdir, r.Set), Out: store.Locate(r.Workdir, r.Run),
			Owned: true, Fresh: r.Fresh, Config: []byte(r.Config), Console: console})
		var held *store.HeldError
		switch {
		case err == nil:
			return res, nil
		case !errors.As(err, &held) || time.Since(began) >= time.Duration(r.Wait)*time.Second:
			return nil, err // of a training that is interrupted, the figures are of no use
		}
		console.Line("train: waits: %v", held)
		if store.Wait(ctx, heldEvery) != nil {
			return nil, train.ErrInterrupted
		}
	}
}

// heldEvery is the time between two looks at a run that another process has.
const heldEvery = 5 * time.Second

// answerName is the object that a node writes when it is asked.
func answerName(nonce string) string { return Folder + "/answer-" + nonce }

// answer looks around: the workdir can be written, and has room for a checkpoint; what the
// config trains fits this machine.
func (r *Request) answer(ctx context.Context, c *configs.Config, b node.Build, device string) (*Answer, error) {
	st, err := store.Open(ctx, r.Workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if _, err := st.Put(ctx, answerName(r.Nonce), []byte(r.Nonce)); err != nil {
		return nil, &unseenError{err}
	}
	if free, ok, err := st.Free(); err == nil && ok && free < stages.LeastBytes(c) {
		return nil, &roomError{fmt.Errorf("%s has %d bytes left, and a checkpoint needs %d at least", st.URL(), free, stages.LeastBytes(c))}
	}
	if err := stages.CheckMemory(c, stages.SmallestVocabulary, c.Prep.SeqLength); err != nil {
		return nil, &deviceError{err}
	}
	a := &Answer{Build: b, Device: device}
	if a.Host, err = os.Hostname(); err != nil {
		a.Host = "an unknown host"
	}
	return a, nil
}

type (
	otherBuildError struct{ here, asked node.Build }
	roomError       struct{ error }
	deviceError     struct{ error }
)

func (e *otherBuildError) Error() string {
	return fmt.Sprintf("it is %v, and this is %v", e.here, e.asked)
}

func (e *deviceError) Unwrap() error { return e.error }

// Ended is how a job with an error ends, for the machine that asked for it. message is the
// error with what to do about it.
func Ended(err error, code int, message string) node.Control {
	e := node.Control{Code: code, Message: message}
	var diverged *train.DivergedError
	var held *store.HeldError
	switch {
	case err == nil:
	case errors.As(err, &diverged):
		e.Class, e.Step, e.Message = node.ClassDiverged, diverged.Step, diverged.Cause.Error()
	case errors.As(err, &held):
		e.Class = node.ClassHeld
	case errors.As(err, new(*otherBuildError)):
		e.Class = string(node.OtherBuild)
	case errors.As(err, new(*roomError)), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Class = node.ClassFull
	case errors.As(err, new(*unseenError)):
		e.Class = string(node.NoWorkdir)
	case errors.As(err, new(*deviceError)):
		e.Class = string(node.NoDevice)
	case store.Transient(err):
		e.Class = node.ClassTransient
	}
	return e
}
