package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// RecordFormat is the version of records that this package reads and writes.
const RecordFormat = "quire-round/2"

const (
	latestFormat = "quire-latest/1"
	latestName   = "rounds/latest.json"
)

// Record describes a round. It is written once, at the round's end.
type Record struct {
	Format   string            `json:"format"`
	Round    string            `json:"round"` // its id
	Began    time.Time         `json:"began"`
	Ended    time.Time         `json:"ended"`
	Exit     string            `json:"exit"`            // Done, or the class of the error
	Error    *Failure          `json:"error,omitempty"` // nil when done
	Config   json.RawMessage   `json:"config"`          // the whole config
	Versions map[string]string `json:"versions"`
	Host     map[string]string `json:"host"`
	Stages   []StageRecord     `json:"stages"` // until the round ended
}

// Failure is the error that ended a round.
type Failure struct {
	Stage   string `json:"stage"` // empty: no single stage
	Class   string `json:"class"`
	Message string `json:"message"`
}

// StageRecord describes one stage of a round.
type StageRecord struct {
	Name     string                     `json:"name"`
	Live     bool                       `json:"live,omitempty"` // see Stage
	Action   Action                     `json:"action"`
	Reasons  []string                   `json:"reasons"`
	Key      string                     `json:"key"`
	Version  int                        `json:"version"`
	Config   map[string]json.RawMessage `json:"config"` // by dotted key: the settings that are in Key
	Inputs   map[string]string          `json:"inputs"` // digests by name
	Artifact string                     `json:"output"` // its name
	Digest   string                     `json:"digest"` // of the product; empty: not made
	Files    int                        `json:"files"`
	Bytes    int64                      `json:"bytes"`
	Value    json.RawMessage            `json:"result"`             // of the product
	Seconds  float64                    `json:"seconds"`            // of making it, in this round or an earlier one
	Cost     Cost                       `json:"cost"`               // of making it
	Attempts int                        `json:"attempts,omitempty"` // in this round
}

// Stage returns the record of a stage; nil: the round did not reach it.
func (r *Record) Stage(name string) *StageRecord {
	if r == nil {
		return nil
	}
	for i := range r.Stages {
		if r.Stages[i].Name == name {
			return &r.Stages[i]
		}
	}
	return nil
}

// maker returns the stage that made an artifact; nil: none did.
func (r *Record) maker(artifact string) *StageRecord {
	if r == nil {
		return nil
	}
	for i := range r.Stages {
		if r.Stages[i].Artifact == artifact && r.Stages[i].Digest != "" {
			return &r.Stages[i]
		}
	}
	return nil
}

// set copies the facts of a product into the record.
func (s *StageRecord) set(p product) {
	s.Digest, s.Value, s.Files, s.Bytes = p.Digest, p.Value, len(p.Files), 0
	for _, f := range p.Files {
		s.Bytes += f.Bytes
	}
}

// RecordName is the name of a round's record, below the store.
func RecordName(id string) string { return "rounds/" + id + ".json" }

// newID returns the default id of a round: its start time. The ids of later seconds
// sort later.
func newID(began time.Time) string { return began.UTC().Format("20060102T150405Z") }

// ReadRecord reads the record of a round. The error wraps store.ErrNotExist where
// there is none.
func ReadRecord(ctx context.Context, st *store.Store, id string) (*Record, error) {
	r := &Record{}
	_, err := st.ReadSealed(ctx, RecordName(id), r, store.Sealed{Format: RecordFormat, Check: func() error {
		if r.Round != id {
			return fmt.Errorf("record of round %q, want that of %q", r.Round, id)
		}
		return nil
	}, Else: "delete it: the outcomes of its stages are kept elsewhere"})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Records reads all records, oldest first. damaged is told of each record that cannot
// be read, in order of their names; the others are returned.
func Records(ctx context.Context, st *store.Store, damaged func(error)) ([]*Record, error) {
	list, err := st.List(ctx, "rounds/")
	if err != nil {
		return nil, err
	}
	var all []*Record
	for _, info := range list {
		id, ok := strings.CutSuffix(path.Base(info.Name), ".json")
		if !ok || info.Name == latestName || info.Name != RecordName(id) {
			continue
		}
		r, err := ReadRecord(ctx, st, id)
		switch {
		case err == nil:
			all = append(all, r)
		case ctx.Err() != nil || store.Transient(err):
			return nil, err
		default:
			damaged(err)
		}
	}
	slices.SortStableFunc(all, func(a, b *Record) int {
		return cmp.Or(a.Began.Compare(b.Began), strings.Compare(a.Round, b.Round))
	})
	return all, nil
}

// latest is the pointer to the newest record. It moves after the record is
// written, so a round that is killed in between leaves the pointer one behind.
// Reasons and estimates depend on it, decisions do not.
type latest struct {
	Format string `json:"format"`
	Round  string `json:"round"`
}

// Latest returns the newest record; nil: there is none. damaged is told of a pointer or
// a record that cannot be read. Latest then returns the newest record that can be read.
func Latest(ctx context.Context, st *store.Store, damaged func(error)) (*Record, error) {
	var l latest
	_, err := st.ReadSealed(ctx, latestName, &l, store.Sealed{Format: latestFormat, Else: "delete it"})
	var r *Record
	if err == nil {
		r, err = ReadRecord(ctx, st, l.Round)
	}
	switch {
	case errors.Is(err, store.ErrNotExist): // perhaps the record's owner has deleted it
		return nil, nil
	case err == nil || ctx.Err() != nil || store.Transient(err):
		return r, err
	}
	damaged(err)
	all, err := Records(ctx, st, func(error) {})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[len(all)-1], nil
}

// write stores the record. Where another round has the record's id, it takes the next
// id, unless the id is fixed.
func (r *Record) write(ctx context.Context, st *store.Store, fixed bool) error {
	base := r.Round
	for n := 2; ; n++ {
		data, err := store.MarshalSealed(r)
		if err != nil {
			return fmt.Errorf("workflow: record of round %s: %w", r.Round, err)
		}
		_, err = st.Put(ctx, RecordName(r.Round), data)
		if err == nil || fixed || !errors.Is(err, store.ErrConflict) {
			return err
		}
		r.Round = fmt.Sprintf("%s-%d", base, n)
	}
}

// maxMoves bounds the attempts to move the pointer among other rounds that move it.
const maxMoves = 20

// point moves the pointer to the record, also from a damaged pointer.
func (r *Record) point(ctx context.Context, st *store.Store) error {
	data, err := store.MarshalSealed(latest{latestFormat, r.Round})
	if err != nil {
		return err
	}
	for range maxMoves {
		if err = st.Replace(ctx, latestName, data); !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	return err
}
