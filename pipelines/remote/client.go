package remote

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/pipelines/watch"
	"github.com/quire-ml/quire/runners/node"
	"github.com/quire-ml/quire/runners/store"
)

// Open returns the node of a config, nil where stages run here.
func Open(c *configs.Node) (node.Node, error) {
	switch c.Kind {
	case configs.NoNode:
		return nil, nil
	case configs.CommandNode:
		return node.Command(c.Launch, &node.CommandOptions{Copy: c.Binary == configs.CopyBinary}), nil
	case configs.KubernetesNode:
		template, err := c.Job()
		return node.Kubernetes(node.KubernetesOptions{Template: template, Namespace: c.Namespace}), err
	}
	return nil, fmt.Errorf("remote: a node of kind %s", c.Kind)
}

// A Client asks a node for stages.
type Client struct {
	Node    node.Node
	Store   *store.Store // the workdir
	Workdir string
	Config  []byte // the resolved config
	Console *report.Console
}

// request returns a request for a stage.
func (c *Client) request(stage string) (*Request, error) {
	workdir, err := store.Absolute(c.Workdir)
	if err == nil && c.Config == nil {
		err = errors.New("remote: a stage on a node needs the text of the resolved config")
	}
	return &Request{Stage: stage, Workdir: workdir, Config: string(c.Config)}, err
}

// Check returns a *node.CheckError where the node cannot run stages: it does not answer, is
// not the same program, or has another workdir. An object that is written here is read
// there, and the other way round. Where the node is to train, Check asks there for the
// memory and the device that the config needs.
func (c *Client) Check(ctx context.Context) error {
	r, err := c.request(Check)
	if err != nil {
		return err
	}
	r.Nonce = rand.Text()
	job, err := r.job(ctx, c.Store, r.Nonce)
	if err != nil {
		return err
	}
	defer c.forget(ctx, job, answerName(r.Nonce))
	c.Console.Line("node: asks %s whether stages can run there", c.Node)
	data, err := c.Node.Check(ctx, job)
	var failed *node.ExitError
	if errors.As(err, &failed) && failed.Class != "" {
		return &node.CheckError{Node: c.Node.String(), Reason: node.Reason(failed.Class), Said: failed.Message}
	}
	if err != nil || data == nil {
		return err
	}
	var a Answer
	if err := json.Unmarshal(data, &a); err != nil {
		return fmt.Errorf("remote: answer of %s: %w", c.Node, err)
	}
	if written, _, err := c.Store.Read(ctx, answerName(r.Nonce)); err != nil || string(written) != r.Nonce {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &node.CheckError{Node: c.Node.String(), Reason: node.NoWorkdir,
			Said: fmt.Sprintf("what was written there is not at %s here", c.Store.Join(answerName(r.Nonce)))}
	}
	c.Console.Line("node: %s answers: %s, %s", c.Node, a.Host, a.Device)
	return nil
}

// forget deletes the request of a job, and further objects. What is left of a job that
// never ended does no harm.
func (c *Client) forget(ctx context.Context, job node.Job, more ...string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for _, name := range append(more, Folder+"/"+path.Base(job.Args[2])) { // its name needs no escapes
		_ = c.Store.Delete(ctx, name, "")
	}
}

// A Training is what a node is asked to train. Paths are below the workdir.
type Training struct {
	Key   string // of the stage
	Set   string
	Run   string
	Fresh *bool // from zero; Train clears it once a trainer does so
}

// Train trains on the node. The error is a *store.HeldError while a process has the run,
// also where that is the one that the node has started, of which nothing more is heard:
// the caller follows the run, and calls Train again. It is train.ErrInterrupted where the
// training has saved and ended early, and a *train.DivergedError where it diverged.
func (c *Client) Train(ctx context.Context, t Training) (*stages.TrainResult, error) {
	st, err := c.Store.Sub(t.Run)
	if err != nil {
		return nil, err
	}
	held, err := holding(ctx, st)
	if err != nil && !errors.Is(err, store.ErrDamaged) { // of damage the node speaks
		return nil, err
	}
	r, err := c.request(Train)
	if err != nil {
		return nil, err
	}
	r.Set, r.Run, r.Fresh = t.Set, t.Run, *t.Fresh
	quiet, isQuiet := c.Node.(node.Quiet)
	if isQuiet {
		r.Wait = int(podWait.Seconds())
	}
	job, err := r.job(ctx, c.Store, t.Key)
	if err != nil {
		return nil, err
	}
	if held != nil && held.Believable(time.Now()) && !(isQuiet && quiet.Has(ctx, job)) {
		c.forget(ctx, job)
		return nil, heldError(st, held)
	}
	if !*t.Fresh {
		job.Made = func(ctx context.Context) bool { return ended(ctx, st) }
	}
	c.Console.Line("train: on %s", c.Node)
	data, err := c.work(ctx, st, job)
	if err != nil {
		return nil, c.trainError(ctx, st, t, err)
	}
	res := &stages.TrainResult{}
	if err := json.Unmarshal(data, res); err != nil {
		return nil, fmt.Errorf("remote: result of train on %s: %w", c.Node, err)
	}
	return res, nil
}

// podWait is the time for which a job that nobody watches waits for a lease of its run:
// that of a pod before it, which has died with its node, expires and is watched for a lease.
const podWait = 5 * time.Minute

// ended reports whether the training of a run has ended, and its checkpoint is there.
func ended(ctx context.Context, st *store.Store) bool {
	l, err := watch.Take(ctx, st)
	if err != nil || l.State != watch.Ended {
		return false
	}
	_, err = run.Find(ctx, st, run.Latest)
	return err == nil
}

// work runs a job. Where its node is quiet, the run is followed meanwhile.
func (c *Client) work(ctx context.Context, st *store.Store, job node.Job) ([]byte, error) {
	if _, quiet := c.Node.(node.Quiet); quiet && st != nil {
		following, stop := context.WithCancel(ctx)
		followed := make(chan struct{})
		go func() {
			defer close(followed)
			show(following, st, c.Console)
		}()
		defer func() { stop(); <-followed }()
	}
	data, err := c.Node.Run(ctx, job, func(line string) {
		if text, warning := strings.CutPrefix(line, "WARNING: "); warning {
			c.Console.Warn("%s", text)
		} else {
			c.Console.Line("%s", line)
		}
	})
	var lost *node.LostError
	if !errors.As(err, &lost) { // else it may still be read
		c.forget(ctx, job)
	}
	return data, err
}

// trainError is the error of Train for that of its job.
func (c *Client) trainError(ctx context.Context, st *store.Store, t Training, err error) error {
	var failed *node.ExitError
	var lost *node.LostError
	switch {
	case ctx.Err() != nil && errors.As(err, &lost):
		c.Console.Warn("%v", lost)
		return err
	case errors.As(err, &failed) && failed.Code == node.Interrupted:
		if ctx.Err() == nil {
			c.Console.Warn("train: %s was told to stop there", c.Node)
		}
		return fmt.Errorf("remote: %s: %w", c.Node, train.ErrInterrupted)
	case errors.As(err, &failed) && failed.Class == node.ClassDiverged:
		return &train.DivergedError{Step: failed.Step, Cause: errors.New(failed.Message)}
	case errors.As(err, &failed) && failed.Class == string(node.NoWorkdir):
		return fmt.Errorf("%w: %w", err, store.ErrTransient) // another round with the same request has ended
	case errors.As(err, &failed) && failed.Class == node.ClassHeld:
		if held, herr := holding(ctx, st); herr == nil && held != nil {
			return heldError(st, held)
		}
		return fmt.Errorf("%w: %w", err, store.ErrTransient) // it has ended meanwhile
	case !errors.As(err, &lost):
		return err
	}
	held, lives := alive(ctx, st)
	if !lives {
		return err
	}
	c.Console.Warn("%v", lost)
	if held.Host == lost.Host && held.PID == lost.PID {
		*t.Fresh = false // it has begun from zero
	}
	return heldError(st, held)
}

// Measure is what a node is asked to evaluate. Paths are below the workdir.
type Measure struct {
	Key        string // of the stage
	Set        string
	Checkpoint string
	SHA256     string // of the checkpoint; empty: not compared
}

// Evaluate measures a model on the node.
func (c *Client) Evaluate(ctx context.Context, m Measure) (*text.EvaluateResult, error) {
	r, err := c.request(Evaluate)
	if err != nil {
		return nil, err
	}
	r.Set, r.Checkpoint, r.SHA256 = m.Set, m.Checkpoint, m.SHA256
	job, err := r.job(ctx, c.Store, m.Key)
	if err != nil {
		return nil, err
	}
	c.Console.Line("evaluate: on %s", c.Node)
	data, err := c.work(ctx, nil, job)
	if err != nil {
		return nil, err
	}
	res := &text.EvaluateResult{}
	if err := json.Unmarshal(data, res); err != nil {
		return nil, fmt.Errorf("remote: result of evaluate on %s: %w", c.Node, err)
	}
	return res, nil
}
