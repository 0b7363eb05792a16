package promotion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// CutName is what is known of the records that were removed from the history.
const CutName = records + "cut.json"

const (
	records   = "promotions/"
	cutFormat = "quire-promotions-cut/1"
)

// A cut says what was removed from the history. It is written before the first record is
// removed: so a record before it that is missing is no damage.
type cut struct {
	Format    string       `json:"format"`
	Before    int64        `json:"before"`    // records with lower numbers may be missing
	Withdrawn []withdrawal `json:"withdrawn"` // models of removed records, which rounds must not bring back
}

// A withdrawal says how a person took a model out of service.
type withdrawal struct {
	SHA256 string `json:"sha256"`
	By     string `json:"by"`
	Number int64  `json:"number"` // of the promotion that replaced it
	At     string `json:"at"`
}

func (w withdrawal) String() string {
	return fmt.Sprintf("it was withdrawn by %s, promotion %d, at %s; to bring it back, promote it by hand", w.By, w.Number, w.At)
}

// readCut reads the cut and its generation; both are zero where nothing was removed.
func readCut(ctx context.Context, st *store.Store) (c cut, generation string, err error) {
	generation, err = st.ReadSealed(ctx, CutName, &c, store.Sealed{Format: cutFormat})
	if errors.Is(err, store.ErrNotExist) {
		return cut{}, "", nil
	}
	return c, generation, err
}

// missing returns nil where the record with a number, whose reading had the error err, was
// removed with the history before it.
func missing(ctx context.Context, st *store.Store, number int64, err error) error {
	c, _, cerr := readCut(ctx, st)
	if cerr != nil {
		return cerr
	}
	if number < c.Before {
		return nil
	}
	return err
}

// A Survey is the history as one sees it who removes the older part of it.
type Survey struct {
	Kept  []Entry  // the newest first
	Gone  []Entry  // records of the chain that need not stay, the newest first
	Stray []string // names of records outside of the chain: they were never in service, or are beyond a cut
	Ahead []string // likewise, of higher numbers than the model in service: perhaps one comes into service

	cut        cut // with Gone removed
	generation string
}

// An Entry is a record of the history.
type Entry struct {
	Promoted
	Name string
	Why  string // it stays; empty: it need not
}

// Look surveys the history: the last n promotions stay, and the models that n-1 rollbacks
// in a row put into service, with the records that this needs. n is 2 at least. Without a
// promoted model everything stays that the folders hold: the survey is nil.
func Look(ctx context.Context, st *store.Store, n int) (*Survey, error) {
	now, _, err := Read(ctx, st)
	if errors.Is(err, store.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &Survey{}
	if s.cut, s.generation, err = readCut(ctx, st); err != nil {
		return nil, err
	}
	var chain []Entry
	err = history(ctx, st, now, func(p *Promoted) bool {
		e := Entry{Promoted: *p}
		if len(chain) == 0 {
			_, e.Name, err = p.encode()
		} else {
			e.Name = chain[len(chain)-1].Previous
		}
		chain = append(chain, e)
		return err == nil
	}, nil)
	if err != nil {
		return nil, err
	}
	why, err := reasons(ctx, st, chain, max(n, 2))
	if err != nil {
		return nil, err
	}
	known := map[string]bool{CutName: true}
	for _, e := range chain {
		known[e.Name] = true
		if e.Why = why[e.Name]; e.Why != "" {
			s.Kept = append(s.Kept, e)
		} else {
			s.Gone = append(s.Gone, e)
		}
	}
	if err := s.beyond(ctx, st, why, known); err != nil {
		return nil, err
	}
	s.extend(chain)
	return s, nil
}

// beyond adds what lies outside of the chain as far as it can be followed: kept records
// behind a gap, and strays.
func (s *Survey) beyond(ctx context.Context, st *store.Store, why map[string]string, known map[string]bool) error {
	list, err := st.List(ctx, records)
	if err != nil {
		return err
	}
	for _, info := range list {
		switch {
		case known[info.Name] || !IsHistory(info.Name):
		case why[info.Name] == "" && info.Name > fmt.Sprintf("%s%08d-g", records, s.Kept[0].Number):
			s.Ahead = append(s.Ahead, info.Name)
		case why[info.Name] == "":
			s.Stray = append(s.Stray, info.Name)
		default:
			p, _, err := readRecord(ctx, st, info.Name, "")
			if err != nil {
				return err
			}
			s.Kept = append(s.Kept, Entry{*p, info.Name, why[info.Name]})
		}
	}
	return nil
}

// reasons returns why records stay, by name.
func reasons(ctx context.Context, st *store.Store, chain []Entry, n int) (map[string]string, error) {
	why := map[string]string{}
	keep := func(name, reason string) {
		if why[name] == "" {
			why[name] = reason
		}
	}
	for i, e := range chain[:min(n, len(chain))] {
		reason := fmt.Sprintf("one of the last %d promotions", n)
		if i == 0 {
			reason = "the model in service"
		}
		keep(e.Name, reason)
		if e.Restores != "" {
			keep(e.Restores, fmt.Sprintf("promotion %d restores it", e.Number))
		}
	}
	p, name := &chain[0].Promoted, chain[0].Name
	for i := range n { // as rollbacks go
		var err error
		if p, name, err = arrival(ctx, st, p, name); err != nil {
			return nil, err
		}
		keep(name, "a rollback needs it")
		if p.Previous == "" || i == n-1 {
			break
		}
		q, _, err := readRecord(ctx, st, p.Previous, "")
		if errors.Is(err, store.ErrNotExist) && missing(ctx, st, p.Number-1, err) == nil {
			break
		}
		if err != nil {
			return nil, err
		}
		keep(p.Previous, "a rollback needs it")
		p, name = q, p.Previous
	}
	return why, nil
}

// extend notes what the removal of s.Gone makes unknown.
func (s *Survey) extend(chain []Entry) {
	if len(s.Gone) == 0 {
		return
	}
	s.cut.Format = cutFormat
	s.cut.Before = max(s.cut.Before, s.Gone[0].Number+1)
	seen := map[string]bool{} // of each model the newest record counts
	for i, e := range chain {
		// Nobody follows the chain beyond the first record that is gone.
		if i > 0 && e.Number < s.cut.Before && !seen[e.SHA256] {
			s.cut.Withdrawn = slices.DeleteFunc(s.cut.Withdrawn, func(w withdrawal) bool { return w.SHA256 == e.SHA256 })
			if newer := chain[i-1]; newer.By != ByRound && e.SHA256 != "" {
				s.cut.Withdrawn = append(s.cut.Withdrawn, withdrawal{e.SHA256, newer.By, newer.Number, newer.At})
			}
		}
		seen[e.SHA256] = true
	}
}

// Cut notes that s.Gone is removed from now on. The error wraps store.ErrConflict where
// another has removed a part meanwhile.
func (s *Survey) Cut(ctx context.Context, st *store.Store) error {
	if len(s.Gone) == 0 {
		return nil
	}
	data, err := store.MarshalSealed(s.cut)
	if err == nil {
		_, err = st.Swap(ctx, CutName, data, s.generation)
	}
	return err
}

// IsHistory reports whether a name is that of a record of the history.
func IsHistory(name string) bool {
	rest, ok := strings.CutPrefix(name, records)
	number, sum, dashed := strings.Cut(strings.TrimSuffix(rest, ".json"), "-")
	return ok && dashed && len(number) >= 8 && len(sum) == 24 && strings.Trim(number, "0123456789")+strings.Trim(sum, "0123456789abcdef") == ""
}

// CopyOf returns the digest of the model of which a name is the copy.
func CopyOf(name string) (sha256 string, ok bool) {
	sha256, ok = strings.CutPrefix(strings.TrimSuffix(name, checkpoint.Suffix), copies+"/")
	return sha256, ok && len(sha256) == 64 && strings.Trim(sha256, "0123456789abcdef") == "" && name == checkpoint.Named(copies, sha256)
}

// StrayDigest returns the digest of the model of a record outside of the chain; empty where
// the record cannot be read.
func StrayDigest(ctx context.Context, st *store.Store, name string) string {
	p, _, err := readRecord(ctx, st, name, "")
	if err != nil {
		return ""
	}
	return p.SHA256
}
