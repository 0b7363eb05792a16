package text_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/passage"
)

// sentences are n sentences, numbered from first on, that have no passage in common.
func sentences(first, n int) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		for _, c := range fmt.Sprintf("%08d", i*i*7919) {
			b.WriteString([]string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}[c-'0'])
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// TestAncestry reads what checkpoints of this program and of earlier ones know.
func TestAncestry(t *testing.T) {
	for _, test := range []struct {
		name, ancestors, config string
		want                    *text.Ancestry
		fails                   string
	}{
		{"none", "", `{"model":{},"train":{"from":""}}`, nil, ""},
		{"of an earlier program", "", `{"model":{},"train":{"from":"9f86"}}`, &text.Ancestry{Unknown: []string{"9f86"}}, ""},
		{"noted", `{"sets":["aa","bb"],"unread":["bb"],"passages":""}`, `{"model":{}}`, &text.Ancestry{Sets: []string{"aa", "bb"}, Unread: []string{"bb"}}, ""},
		{"with what this program does not know", `{"sets":[],"passages":"","more":1}`, `{"model":{}}`, nil, "ancestors: json: unknown field"},
	} {
		m := &text.Model{Path: "m.safetensors", Checkpoint: &checkpoint.Checkpoint{Metadata: checkpoint.Metadata{
			Ancestors: json.RawMessage(test.ancestors), Config: json.RawMessage(test.config)}}}
		got, err := m.Ancestry()
		if test.fails != "" {
			if err == nil || !strings.Contains(err.Error(), "m.safetensors: "+test.fails) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || (got == nil) != (test.want == nil) {
			t.Errorf("%s: %+v, %v", test.name, got, err)
			continue
		}
		if got != nil && (!slices.Equal(got.Sets, test.want.Sets) || !slices.Equal(got.Unread, test.want.Unread) || !slices.Equal(got.Unknown, test.want.Unknown)) {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

// TestDescend: a training knows the sets of its ancestors, the oldest first, each once;
// a set that was not found is looked for again, and an error is no absence.
func TestDescend(t *testing.T) {
	dir := prepared(t, tiny.Config(t, sentences(1, 60)))
	find := func(digest string) (*dataset.Set, func(), error) {
		switch digest {
		case "here", "later":
			return text.FindSet(t.Context(), manifestOf(t, dir), []string{dir})
		case "broken":
			return nil, nil, errors.New("the disk is broken")
		}
		return nil, nil, nil
	}
	for _, test := range []struct {
		name, set, ancestors string
		sets, unread         []string
		read                 bool // the passages of the set are known
		fails                bool
	}{
		{"the first", "here", "", []string{"here"}, nil, true, false},
		{"of a set that is gone", "gone", "", []string{"gone"}, []string{"gone"}, false, false},
		{"a set twice", "here", `{"sets":["here"],"passages":""}`, []string{"here"}, nil, false, false},
		{"found later", "gone", `{"sets":["later"],"unread":["later"],"passages":""}`, []string{"later", "gone"}, []string{"gone"}, true, false},
		{"an error", "broken", "", nil, nil, false, true},
	} {
		m := &text.Model{Path: "m", Checkpoint: &checkpoint.Checkpoint{Metadata: checkpoint.Metadata{
			Set: test.set, Ancestors: json.RawMessage(test.ancestors), Config: json.RawMessage(`{}`)}}}
		a, err := m.Descend(t.Context(), find)
		if test.fails {
			if err == nil {
				t.Errorf("%s: %+v", test.name, a)
			}
			continue
		}
		if err != nil || !slices.Equal(a.Sets, test.sets) || !slices.Equal(a.Unread, test.unread) || (len(a.Passages) > 0) != test.read {
			t.Errorf("%s: sets %v, unread %v, %d passages, %v", test.name, a.Sets, a.Unread, len(a.Passages), err)
		}
	}
}

// TestSketchHeld: a held-out part that the training part has not, has, and has by half.
func TestSketchHeld(t *testing.T) {
	train, half, new := sentences(1, 90), sentences(1, 5), sentences(100, 5)
	for _, test := range []struct {
		name, held string
		want       float64
	}{{"new", new + sentences(105, 5), 0}, {"repeated", sentences(11, 10), 1}, {"half", half + new, 0.5}} {
		fraction := float64(len(test.held)) / float64(len(train+test.held))
		set, done, err := text.OpenSet(t.Context(), prepared(t, tiny.Config(t, train+test.held, "prep.validation.by=tail",
			fmt.Sprintf("prep.validation.fraction=%f", fraction))))
		if err != nil {
			t.Fatal(err)
		}
		h, err := text.SketchHeld(t.Context(), set)
		done()
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Repeated(); math.Abs(got-test.want) > 0.08 || text.MuchRepeated(got) != (test.want > 0) {
			t.Errorf("%s: %.2f of the held-out text is in the training text, want %.2f", test.name, got, test.want)
		}
		// All of the held-out text is in a text that has it, except where the training part has it too.
		if found, of := h.In(h.All); of != len(h.All) || found != len(h.Alone) || of < 100 {
			t.Errorf("%s: %d of %d passages are in the same text", test.name, found, of)
		}
		if found, _ := h.In(nil); found != 0 {
			t.Errorf("%s: %d passages are in no text", test.name, found)
		}
	}
}

// TestMuchRepeated: a fifth of the held-out text is not much.
func TestMuchRepeated(t *testing.T) {
	for share, want := range map[float64]bool{0: false, 0.2: false, 0.21: true, 1: true} {
		if got := text.MuchRepeated(share); got != want {
			t.Errorf("%v: %v, want %v", share, got, want)
		}
	}
}

// TestIn: where the sketch of a long text is full, held-out passages above its highest hash
// cannot be compared, and do not count.
func TestIn(t *testing.T) {
	full := make(passage.Sketch, passage.Most)
	for i := range full {
		full[i] = uint64(2 * i)
	}
	limit := full.Limit()
	h := &text.HeldSketch{All: passage.Sketch{2, 3, 4, limit, limit + 1, limit + 2}, Alone: []uint64{2, 3, limit, limit + 2}}
	if found, of := h.In(full); found != 2 || of != 4 {
		t.Errorf("of a long text: %d of %d, want 2 of 4", found, of)
	}
	if found, of := h.In(full[:8]); found != 1 || of != 6 {
		t.Errorf("of a short text: %d of %d, want 1 of 6", found, of)
	}
}
