package gc

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/store"
)

// kinds are in the order of results.
var kinds = []string{"round", "outcome", "corpus", "set", "run", "copy", "promotion", "sweep", "slot", "request", "claim", "cache"}

// result returns what a look has found.
func (p *plan) result(o Options) *Result {
	res := &Result{At: p.now.UTC(), Goes: []Item{}, Stays: []Item{}, Left: []Item{}, Foreign: []Foreign{}}
	for _, it := range p.items {
		switch {
		case len(it.Why) > 0:
			res.Stays = append(res.Stays, *it)
		default:
			res.Goes = append(res.Goes, *it)
		}
	}
	res.Goes = append(res.Goes, p.cacheItems(true)...)
	res.Stays = append(res.Stays, p.cacheItems(false)...)
	for _, f := range p.foreign {
		res.Foreign = append(res.Foreign, *f)
		res.ForeignBytes += f.Bytes
	}
	byKind := func(a, b Item) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), strings.Compare(a.Name, b.Name))
	}
	slices.SortFunc(res.Goes, byKind)
	slices.SortFunc(res.Stays, byKind)
	slices.SortFunc(res.Foreign, func(a, b Foreign) int { return strings.Compare(a.Name, b.Name) })
	res.sum()
	res.StaysBytes += p.state
	return res
}

func (res *Result) sum() {
	res.GoesBytes, res.StaysBytes = 0, 0
	for _, it := range res.Goes {
		res.GoesBytes += it.Bytes
	}
	for _, it := range slices.Concat(res.Stays, res.Left) {
		res.StaysBytes += it.Bytes
	}
}

// settle makes the result that of a remover: what was to go and is there, is left.
func (res *Result) settle(r *remover, state int64) {
	went := res.Goes[:0:0]
	for _, it := range res.Goes {
		switch {
		case it.Kind == "cache" || r.is(&it):
			went = append(went, it)
		default:
			it.Why = []string{cmp.Or(r.left[it.Name], "it was not come to")}
			res.Left = append(res.Left, it)
		}
	}
	res.Goes = went
	res.sum()
	res.StaysBytes += state
}

// String says what a removal has done, in a line.
func (res *Result) String() string {
	text := fmt.Sprintf("removed %s of %s, kept %s", report.Count(len(res.Goes), "item"), report.Bytes(res.GoesBytes), report.Bytes(res.StaysBytes))
	if len(res.Left) > 0 {
		text += fmt.Sprintf("; %s in use, and stay until the next time", report.Count(len(res.Left), "item"))
	}
	return text
}

// lastName is the record of the last removal.
const lastName = claim.Folder + "/last.json"

// last is its content.
type last struct {
	Format       string `json:"format"`
	At           string `json:"at"`
	Items        int    `json:"items"`
	Bytes        int64  `json:"bytes"`
	Left         int    `json:"left"`
	StaysBytes   int64  `json:"stays_bytes"`
	ForeignBytes int64  `json:"foreign_bytes"`
}

// write notes a removal in the workdir.
func (res *Result) write(ctx context.Context, st *store.Store) error {
	data, err := store.MarshalSealed(last{Format: "quire-gc/1", At: res.At.Format("2006-01-02T15:04:05Z"), Items: len(res.Goes), Bytes: res.GoesBytes,
		Left: len(res.Left), StaysBytes: res.StaysBytes, ForeignBytes: res.ForeignBytes})
	if err != nil {
		return err
	}
	return st.Replace(ctx, lastName, data)
}
