package train

import (
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
)

// Options are the numbers of a run. The fields before Epochs decide the weights.
// The others decide which steps are saved, and when the run ends.
type Options struct {
	TrainerOptions // Seed also decides the initial weights and the order of passages

	Shape          rnn.Shape
	Start          *rnn.Weights // first weights, of the same shape; nil: initial weights by Seed
	EmbeddingRange float64      // initial values of the embedding are uniform in ± this; 0: in the range of rnn.Shape.Parameters
	SeqLength      int          // L
	Batch          int          // B
	LR             float64      // learning rate
	Schedule       Schedule     // course of the learning rate; empty is Constant
	WarmupSteps    int64        // steps over which the learning rate rises to LR
	Curriculum     Curriculum

	Epochs     int   // 0 saves the untrained network; with Cosine or Sampling it decides the weights too
	Patience   int   // epochs without a lower validation loss that end the training; 0: never
	MaxSteps   int64 // steps after which the training ends, saved like any end; 0 for none
	EverySteps int64 // steps between two saves within an epoch; 0: only its end is saved

	Every    time.Duration // time between two saves, plus at most a step; 0 for none
	LogEvery int64         // steps between two reports; 0: only the first step is reported

	run.Retention

	// Identity is the origin that checkpoints state: cell, config, vocabulary,
	// unit, normalisation, set, ancestors. A run goes on only from a checkpoint of the
	// same identity, and keeps the ancestors that its checkpoints have.
	Identity checkpoint.Metadata

	// MayDiffer are dotted keys of Identity.Config that may differ nevertheless:
	// lengths over which no option follows a course, such as the number of epochs
	// with a constant learning rate and no sampling.
	MayDiffer []string
}

// Report is a message of Run to its observer. The first of Warning, Resumed, Saved
// and EpochEnd that is set gives the kind of the message; a report without any is
// of a step.
type Report struct {
	Step         int64 // steps done
	Steps        int64 // steps in the whole run
	Epoch        int   // from 1
	Nats         float64
	PerSecond    float64 // characters trained a second, since the last report
	LR           float64 // learning rate of the step
	GradientNorm float64 // of all parameters together, before clipping
	EpochEnd     bool    // with the three fields below
	EpochNats    float64 // mean training loss of the epoch
	Validation   *float64
	Weights      *rnn.Weights // of the model that is saved, until the observer returns
	Warning      error        // for a person to read; the run goes on

	// Saved is the name of the checkpoint just written. latest.json names it after
	// the observer has returned, so that files that the observer writes now are
	// never older than the run.
	Saved string

	// Resumed marks the first report of a run that goes on at Step. With EpochEnd
	// the end of that epoch will be reported once more.
	Resumed bool
}

// Result is the end of a run.
type Result struct {
	Step       int64
	Epoch      int
	TrainNats  *float64 // mean training loss of the last epoch, or of its part; nil before the first step
	Validation *float64
	Checkpoint string  // name of the last checkpoint
	PerSecond  float64 // characters trained a second, by this call
	Resumed    int64   // the step that this call started from
	Done       bool    // false when interrupted
}

// ErrInterrupted is returned by Run when its context was cancelled and the state
// is saved. The same call goes on from that state.
var ErrInterrupted = errors.New("train: interrupted, everything is saved; start again to resume")

// An AheadError says that a run has taken more steps than a training asks for. A run
// does not go back.
type AheadError struct {
	Step  int64 // of the run
	Asked int64 // at which the training ends
	Kept  bool  // the run still has the checkpoint of that step
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("the run is at step %d, further than the %d that are asked for", e.Step, e.Asked)
}

// A DivergedError ends a training whose loss, gradients or weights are NaN or
// infinite. The same training, started again, ends at the same step. A smaller
// learning rate, or clipping, may prevent it.
type DivergedError struct {
	Step  int64
	Cause error
}

func (e *DivergedError) Error() string { return fmt.Sprintf("train: step %d: %v", e.Step, e.Cause) }

// Unwrap returns the cause.
func (e *DivergedError) Unwrap() error { return e.Cause }
