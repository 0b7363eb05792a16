// Package workflow runs pipelines of stages, each once for every change.
//
// A Stage makes one Artifact from others, by a Go function, from a section of
// the config. A Pipeline is stages whose artifacts fit together: New says what
// does not. Run is a round, one pass of it; Plan says what a round would do.
//
// A stage's key is a digest of what its outcome depends on: the digests of its
// inputs, its part of the config, the version of its code. What it made lies in
// its outcome, stages/<stage>/<key>.json, with the digests of the files that
// belong to it. A stage whose outcome is there, and whose files are intact, is
// skipped. So a round that died goes on at the stage where it died, and a stage
// whose input comes out as it was is skipped although the stage before it ran.
//
//	stages/<stage>/<key>.json   what a stage made, written when it is done
//	rounds/<id>.json            the record of a round, written at its end, once
//	rounds/latest.json          which record is the newest
//
// Times, host names and everything else that differs between two rounds of the
// same inputs are in these files only.
package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// Artifact is the name of what a stage makes. T is the type of its value, which
// is kept as JSON.
type Artifact[T any] string

// Input is an Artifact of any type.
type Input interface{ artifact() string }

func (a Artifact[T]) artifact() string { return string(a) }

// Of returns the value of an artifact that is among the inputs of w's stage.
func (a Artifact[T]) Of(w *Work) (T, error) {
	var value T
	in, ok := w.inputs[string(a)]
	if !ok {
		return value, fmt.Errorf("workflow: stage %s reads %s, which is not among its inputs; add it", w.Stage, a)
	}
	if err := json.Unmarshal(in.Value, &value); err != nil {
		return value, fmt.Errorf("workflow: stage %s: value of %s: %w", w.Stage, a, err)
	}
	return value, nil
}

// Stage is one piece of a pipeline: C is the type of its config, T of the value
// of what it makes. Name, Version, Output and Run are needed.
type Stage[C, T any] struct {
	Name    string
	Version int // of the code, from 1: raise it with a change that alters an outcome

	Config C        // encodes to a JSON object, or to null where there is none
	Keys   []string // the keys and sections of it that the outcome depends on; nil: all
	Ignore []string // keys and sections among these that alter no outcome

	Inputs []Input
	Output Artifact[T]

	// Run makes the output. It may be called again after it failed, or was
	// killed, and must then come to the same.
	Run func(ctx context.Context, config C, w *Work) (Output[T], error)

	// Check says why an outcome that is there, and intact, does not hold any
	// more; empty: it holds. For stages whose effect can be undone by others.
	Check func(ctx context.Context, config C, w *Work, made T) (why string, err error)

	// Estimate says what Run would do, for Plan. It is called when all inputs
	// are known.
	Estimate func(ctx context.Context, config C, w *Work) (Cost, error)

	// Live stages run in every round and every plan and keep no outcome: they
	// look at what is outside of the pipeline, and change nothing.
	Live bool

	Limit time.Duration // of one attempt; 0: none
}

// Output is what a stage has made.
type Output[T any] struct {
	Value T
	// Digest identifies the content: stages that take it as input run again
	// when it changes. Empty: the sha256 of Value as JSON.
	Digest string
	// Files are those of the store that belong to it. The first is the one that
	// was written last: without it the artifact is not there.
	Files []File
}

// File is a file of an artifact, by its name in the store.
type File struct {
	Name       string `json:"name"`
	Bytes      int64  `json:"bytes"`
	SHA256     string `json:"sha256"`     // hex; empty in an Output: computed
	Generation string `json:"generation"` // the store's, when the digest was last verified
}

// Work is what a stage is given.
type Work struct {
	Stage  string
	Store  *store.Store
	Key    string // of the stage and all it depends on; folders named by it are its own
	Forced bool   // make anew also what is there
	Verify bool   // read again also what seems unchanged

	inputs map[string]product
}

// product is an artifact that was made.
type product struct {
	Name   string          `json:"name"`
	Digest string          `json:"digest"`
	Value  json.RawMessage `json:"value"`
	Files  []File          `json:"files,omitempty"`
}

// Cost is what a stage has to do.
type Cost struct {
	Bytes int64 `json:"bytes,omitempty"` // to read
	Steps int64 `json:"steps,omitempty"` // to train
	Done  int64 `json:"done,omitempty"`  // steps of an earlier attempt that are not trained again
}

// Differ is a value, or a pointer to one, that can say how it differs from an
// earlier one, for the reasons of stages that take it as input.
type Differ[T any] interface{ Differences(old T) []string }
