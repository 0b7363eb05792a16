// Package workflow runs the stages of a round in order and skips those whose
// outcome is there already.
//
// A key is a digest of everything an outcome depends on. A round has one; its
// record, rounds/<key>.json, is written when the last stage is done. A stage is
// skipped when it finds its outcome: in the record, or as an intact artifact.
package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/quire-ml/quire/runners/store"
)

// keyLength is the number of hex digits of a key: 80 bits.
const keyLength = 20

// Key returns the digest of a name and of values as JSON. Values are structs,
// slices and scalars: what marshals the same way every time.
func Key(name string, values ...any) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(append([]any{name}, values...)); err != nil {
		return "", fmt.Errorf("workflow: key of %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil))[:keyLength], nil
}

// Stage is one piece of a round.
type Stage struct {
	Name string
	// Find returns the result and what was found, when the outcome is there
	// and intact; a nil result means that the stage must run, for the reason in
	// found. recorded is the result in the round's record, nil without one.
	Find func(ctx context.Context, recorded json.RawMessage) (result any, found string, err error)
	// Run does the work and returns the result.
	Run func(ctx context.Context) (any, error)
}

// Observer is told what happens to each stage before it happens: skip is true
// where nothing is to be done, and why says the reason either way.
type Observer func(stage string, skip bool, why string)

// Record is what remains of a round.
type Record struct {
	Format string        `json:"format"`
	Round  string        `json:"round"`
	Stages []StageResult `json:"stages"`
}

// StageResult is the outcome of one stage, as JSON.
type StageResult struct {
	Name   string          `json:"name"`
	Result json.RawMessage `json:"result"`
}

// Result returns the result of a stage, nil when there is none.
func (r *Record) Result(name string) json.RawMessage {
	for _, s := range r.Stages {
		if s.Name == name {
			return s.Result
		}
	}
	return nil
}

const recordFormat = "quire-round/1"

// RecordName is where the record of a round lies.
func RecordName(round string) string { return "rounds/" + round + ".json" }

// Run runs the stages of the round with that key in st, in order; the first
// error ends the round, and the next Run goes on there. The record is written
// when a stage ran; the one returned has what this call found.
func Run(ctx context.Context, st *store.Store, round string, stages []Stage, observe Observer) (*Record, error) {
	old, err := readRecord(ctx, st, round)
	if err != nil {
		return nil, err
	}
	record := &Record{Format: recordFormat, Round: round}
	ran := old == nil
	for _, s := range stages {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		result, did, err := s.do(ctx, old, observe)
		if err != nil {
			return nil, err
		}
		ran = ran || did
		record.Stages = append(record.Stages, StageResult{Name: s.Name, Result: result})
	}
	if !ran {
		return record, nil
	}
	return record, writeRecord(ctx, st, record, old)
}

// do finds or makes the outcome of one stage.
func (s Stage) do(ctx context.Context, old *Record, observe Observer) (result json.RawMessage, ran bool, err error) {
	var recorded json.RawMessage
	if old != nil {
		recorded = old.Result(s.Name)
	}
	found, why, err := s.Find(ctx, recorded)
	if err != nil {
		return nil, false, err
	}
	observe(s.Name, found != nil, why)
	if found == nil {
		if found, err = s.Run(ctx); err != nil {
			return nil, true, err
		}
		ran = true
	}
	result, err = json.Marshal(found)
	if err != nil {
		return nil, ran, fmt.Errorf("workflow: result of %s: %w", s.Name, err)
	}
	return result, ran, nil
}

func readRecord(ctx context.Context, st *store.Store, round string) (*Record, error) {
	name := RecordName(round)
	data, _, err := st.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &Record{}
	err = store.UnmarshalSealed(st.Join(name), data, r)
	if err == nil && (r.Format != recordFormat || r.Round != round) {
		err = fmt.Errorf("workflow: %s: format %q of round %q, want %q of round %q", st.Join(name), r.Format, r.Round, recordFormat, round)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; put back an intact copy, or delete it: the round then finds its set and run again", err)
	}
	return r, nil
}

// writeRecord writes the record of a finished round; one that was there, and
// whose artifacts had to be made again, is replaced.
func writeRecord(ctx context.Context, st *store.Store, r, old *Record) error {
	data, err := store.MarshalSealed(r)
	if err != nil {
		return err
	}
	name := RecordName(r.Round)
	if old == nil {
		_, err = st.Put(ctx, name, data)
		return err
	}
	info, err := st.Stat(ctx, name)
	if err != nil {
		return err
	}
	_, err = st.Swap(ctx, name, data, info.Generation)
	return err
}
