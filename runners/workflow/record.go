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

const (
	recordFormat = "quire-round/2"
	latestFormat = "quire-latest/1"
	latestName   = "rounds/latest.json"
)

// Record is what remains of a round. It is written once, at the round's end.
type Record struct {
	Format   string            `json:"format"`
	Round    string            `json:"round"` // its id
	Began    time.Time         `json:"began"`
	Ended    time.Time         `json:"ended"`
	Exit     string            `json:"exit"`            // done, or the class of the error
	Error    *Failure          `json:"error,omitempty"` // nil when done
	Config   json.RawMessage   `json:"config"`          // the whole of it
	Versions map[string]string `json:"versions"`
	Host     map[string]string `json:"host"`
	Stages   []StageRecord     `json:"stages"` // as far as the round came
}

// Failure is why a round ended early.
type Failure struct {
	Stage   string `json:"stage"` // empty: no single one
	Class   string `json:"class"`
	Message string `json:"message"`
}

// StageRecord is what a round did at one stage.
type StageRecord struct {
	Name     string                     `json:"name"`
	Live     bool                       `json:"live,omitempty"` // see Stage
	Action   Action                     `json:"action"`
	Reasons  []string                   `json:"reasons"`
	Key      string                     `json:"key"`
	Version  int                        `json:"version"`
	Config   map[string]json.RawMessage `json:"config"` // by dotted key: what the key takes in
	Inputs   map[string]string          `json:"inputs"` // digests by name
	Output   string                     `json:"output"` // name of the artifact
	Digest   string                     `json:"digest"` // of the artifact; empty: not made
	Files    int                        `json:"files"`
	Bytes    int64                      `json:"bytes"`
	Result   json.RawMessage            `json:"result"`             // the artifact's value
	Seconds  float64                    `json:"seconds"`            // that making it took, in this round or an earlier one
	Cost     Cost                       `json:"cost"`               // of the same
	Attempts int                        `json:"attempts,omitempty"` // in this round
}

// Stage returns what the round did at a stage, nil when it did not come to it.
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

// maker returns the stage that made an artifact, nil when none did.
func (r *Record) maker(artifact string) *StageRecord {
	if r == nil {
		return nil
	}
	for i := range r.Stages {
		if r.Stages[i].Output == artifact && r.Stages[i].Digest != "" {
			return &r.Stages[i]
		}
	}
	return nil
}

// set puts what a product says into the record.
func (s *StageRecord) set(p product) {
	s.Digest, s.Result, s.Files, s.Bytes = p.Digest, p.Value, len(p.Files), 0
	for _, f := range p.Files {
		s.Bytes += f.Bytes
	}
}

// RecordName is where the record of a round lies, below the store.
func RecordName(id string) string { return "rounds/" + id + ".json" }

// NewID returns an id for a round that begins at a time. Ids of later seconds
// come later in the order of text.
func NewID(began time.Time) string { return began.UTC().Format("20060102T150405Z") }

// ReadRecord reads the record of a round. The error wraps store.ErrNotExist
// when there is none.
func ReadRecord(ctx context.Context, st *store.Store, id string) (*Record, error) {
	name, r := RecordName(id), &Record{}
	_, err := readSealed(ctx, st, name, r)
	if errors.Is(err, store.ErrNotExist) {
		return nil, err
	}
	if err == nil && (r.Format != recordFormat || r.Round != id) {
		err = fmt.Errorf("workflow: %s: format %q of round %q, want %q of round %q", st.Join(name), r.Format, r.Round, recordFormat, id)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; put back an intact copy, or delete it: what its stages made is kept elsewhere", err)
	}
	return r, nil
}

// Records reads all records, the oldest first.
func Records(ctx context.Context, st *store.Store) ([]*Record, error) {
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
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b *Record) int {
		return cmp.Or(a.Began.Compare(b.Began), strings.Compare(a.Round, b.Round))
	})
	return all, nil
}

// latest is the pointer to the newest record. It is moved after the record is
// written, so a round that is killed in between leaves it one behind: it serves
// reasons and estimates, not what is done.
type latest struct {
	Format string `json:"format"`
	Round  string `json:"round"`
}

// Latest returns the newest record, nil where there is none.
func Latest(ctx context.Context, st *store.Store) (*Record, error) {
	var l latest
	_, err := readSealed(ctx, st, latestName, &l)
	if errors.Is(err, store.ErrNotExist) {
		return nil, nil
	}
	if err == nil && l.Format != latestFormat {
		err = fmt.Errorf("workflow: %s: format %q, want %q", st.Join(latestName), l.Format, latestFormat)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; put back an intact copy, or delete it", err)
	}
	r, err := ReadRecord(ctx, st, l.Round)
	if errors.Is(err, store.ErrNotExist) {
		return nil, nil // deleted by its owner
	}
	return r, err
}

// write stores the record under its id, or, where none was asked for and
// another round has it, under the next, and moves the pointer.
func (r *Record) write(ctx context.Context, st *store.Store, fixed bool) error {
	base := r.Round
	for n := 2; ; n++ {
		data, err := store.MarshalSealed(r)
		if err != nil {
			return fmt.Errorf("workflow: record of round %s: %w", r.Round, err)
		}
		_, err = st.Put(ctx, RecordName(r.Round), data)
		if err == nil {
			break
		}
		if fixed || !errors.Is(err, store.ErrConflict) {
			return err
		}
		r.Round = fmt.Sprintf("%s-%d", base, n)
	}
	data, err := store.MarshalSealed(latest{latestFormat, r.Round})
	if err != nil {
		return err
	}
	for {
		generation := ""
		if info, err := st.Stat(ctx, latestName); err == nil {
			generation = info.Generation
		} else if !errors.Is(err, store.ErrNotExist) {
			return err
		}
		if _, err = st.Swap(ctx, latestName, data, generation); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}
