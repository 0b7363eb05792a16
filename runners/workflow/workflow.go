// Package workflow runs pipelines of stages, each stage once for every change.
//
// A Stage is a Go function that makes one artifact from other artifacts and from
// its part of the config. A Pipeline is stages whose artifacts fit together; New
// checks that. Run is one pass of a pipeline, a round. Plan returns the decisions
// of a round without running it.
//
// A stage's key is a digest of everything its result depends on: the digests of
// its inputs, its part of the config, the version of its code. Its outcome is
// kept under that key, with the digests of the files of its artifact. A stage
// with an outcome and intact files is skipped. So a round that died goes on at
// the stage where it died; and a stage is skipped where an earlier stage ran but
// made the same artifact as before.
//
//	stages/<stage>/<key>.json   outcome, written when the stage is done
//	rounds/<id>.json            record of a round, written once, at its end
//	rounds/latest.json          pointer to the newest record
//
// Times, host names and everything else that differs between two rounds of the
// same inputs are in these files only.
package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// Artifact is the name of a stage's product. T is the type of the product's
// value, which is kept as JSON.
type Artifact[T any] string

// Input is an Artifact of any type.
type Input interface{ artifact() string }

func (a Artifact[T]) artifact() string { return string(a) }

// Of returns the value of an artifact. The artifact must be an input of the task's stage.
func (a Artifact[T]) Of(task *Task) (T, error) {
	var value T
	in, ok := task.inputs[string(a)]
	if !ok {
		return value, fmt.Errorf("workflow: stage %s reads %s, which is not among its inputs; add it", task.Stage, a)
	}
	if err := json.Unmarshal(in.Value, &value); err != nil {
		return value, fmt.Errorf("workflow: stage %s: value of %s: %w", task.Stage, a, err)
	}
	return value, nil
}

// Digest returns the digest of an artifact, which must be an input of the task's stage.
func (a Artifact[T]) Digest(task *Task) string { return task.inputs[string(a)].Digest }

// File returns a file of an artifact as it was last verified. The artifact must be an
// input of the task's stage. ok is false where its stage lists no such file.
func (a Artifact[T]) File(task *Task, name string) (f File, ok bool) {
	files := task.inputs[string(a)].Files
	i := slices.IndexFunc(files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return f, false
	}
	return files[i], true
}

// Recorded returns the value of an artifact in a record, and the record of the stage
// that made it; nil: none did.
func (a Artifact[T]) Recorded(r *Record) (value T, s *StageRecord, err error) {
	if s = r.maker(string(a)); s == nil {
		return value, nil, nil
	}
	if err := json.Unmarshal(s.Value, &value); err != nil {
		return value, s, fmt.Errorf("workflow: round %s: stage %s: value of %s: %w", r.Round, s.Name, a, err)
	}
	return value, s, nil
}

// Stage is one piece of a pipeline. C is the type of its config, T the type of
// its product's value. Name, Version, Artifact and Run are required.
type Stage[C, T any] struct {
	Name    string
	Version int // of the code, from 1: raise it with every change that alters a product

	Config C        // encodes to a JSON object, or to null
	Keys   []string // keys and sections of Config that the product depends on; nil: all

	Inputs   []Input
	Uses     []Input // artifacts that Run reads and Inputs determine: they are not in the key
	Artifact Artifact[T]

	// Run makes the product. It is called again after it failed or was killed, and
	// must then make the same product.
	Run func(ctx context.Context, config C, task *Task) (Product[T], error)

	// Check returns why an intact outcome no longer holds; empty: it holds. It is
	// for a stage whose effect others can undo. nil: an intact outcome holds.
	Check func(ctx context.Context, config C, task *Task, made T) (why string, err error)

	// Estimate returns the cost of Run, for Plan. All inputs are known then. nil:
	// the cost is not known.
	Estimate func(ctx context.Context, config C, task *Task) (Cost, error)

	// Live stages run in every round and every plan and keep no outcome. They
	// observe the world outside of the pipeline, and change nothing.
	Live bool
	// OnDemand stages are left out of a pipeline in which no stage takes their
	// artifact.
	OnDemand bool

	Limit time.Duration // of one attempt; 0: none

	On string // the machine on which Run has the work done, for Plan; empty: this one

	// Follow shows what another process does that holds a lease which Run needs, until it
	// no longer seems to hold it. This part of the wait has no bound. nil: the stage looks
	// for the lease again and again.
	Follow func(ctx context.Context, config C, task *Task) error
}

// Product is the result of a stage: a value, and the files that belong to it.
type Product[T any] struct {
	Value T
	// Digest identifies the content: a stage with this input runs again when the
	// digest changes. Empty: the sha256 of Value as JSON.
	Digest string
	// Files are the files of the product, in the store. The stage runs again where one is
	// missing. The first one is the file that was written last.
	Files []File
}

// File is a file of a product.
type File struct {
	Name       string `json:"name"` // in the store
	Bytes      int64  `json:"bytes"`
	SHA256     string `json:"sha256"`     // hex; a stage may leave it empty
	Generation string `json:"generation"` // of the store, when the digest was last verified
}

// Task is one execution of a stage.
type Task struct {
	Stage  string
	Store  *store.Store
	Key    string // of the stage; a folder named by it belongs to this execution alone
	Forced bool   // make the product again, whatever exists
	Verify bool   // read everything again, also what seems unchanged

	inputs map[string]product
}

// product is a Product of any type.
type product struct {
	Name   string          `json:"name"`
	Digest string          `json:"digest"`
	Value  json.RawMessage `json:"value"`
	Files  []File          `json:"files,omitempty"`
}

// Cost is the amount of work of a stage.
type Cost struct {
	Bytes int64 `json:"bytes,omitempty"` // to read
	Steps int64 `json:"steps,omitempty"` // to train
	Done  int64 `json:"done,omitempty"`  // steps of an earlier attempt that are not trained again
}

// Differ is a value, or a pointer to a value, that can list its differences from
// an older one. They become reasons of the stages with this input.
type Differ[T any] interface{ Differences(old T) []string }
