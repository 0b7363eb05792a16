package gate

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/dataset"
)

// TestAncestors judges models whose training started from another: the last of a
// chain, which has taken one step on the lab's set.
func TestAncestors(t *testing.T) {
	l := newLab(t)
	if err := os.Mkdir(filepath.Join(l.dir, "sets"), 0o777); err != nil {
		t.Fatal(err)
	}
	from := func(set, parent string) string {
		return l.train(set, func(c *configs.Config) { c.Train.From, c.Train.MaxSteps = parent, 1 })
	}
	prepared := func(name, text string, validation float64, change func(p *configs.Prep)) string {
		before := *l.c
		defer func() { *l.c = before }()
		if change != nil {
			change(&l.c.Prep)
		}
		return l.prepare("sets/"+name, text, validation)
	}
	trained := func(set string) string { return from(set, "") }
	text := l.text
	all := trained(prepared("all", text, 0, nil))
	elsewhere := t.TempDir()
	gone := trained(prepared("gone", text[:20_000], 0.3, nil))
	if err := os.Rename(filepath.Join(l.dir, "sets/gone"), filepath.Join(elsewhere, "gone")); err != nil {
		t.Fatal(err)
	}
	older := func(path string) string { return l.changed(path, func(c *checkpoint.Checkpoint) { c.Ancestors = nil }) }
	layout := strings.NewReplacer("\n", "\r\n", ". ", ".\n\n", "e", "e\u0301")
	const covers, unknown, missing = "of the held-out text was trained on by a checkpoint", "is of an earlier program",
		"which was not found when the training began"
	for _, test := range []struct {
		name, parent, reason string
	}{
		{"the same set", l.promoted, ""},
		{"the same split, another order", trained(prepared("order", text, 0.1, func(p *configs.Prep) { p.Seed = 2 })), ""},
		{"more held out", trained(prepared("more", text, 0.2, nil)), ""},
		{"an earlier corpus", trained(prepared("earlier", text[:28_000], 0.1, nil)), ""},
		{"another text", trained(prepared("other", strings.ReplaceAll(text, " the ", " a "), 0.1, nil)), ""},
		{"nothing held out", all, covers},
		{"less held out", trained(prepared("less", text, 0.05, nil)), covers},
		{"blocks held out", trained(prepared("block", text, 0.1, func(p *configs.Prep) { p.Validation.By = "block" })), covers},
		{"short blocks held out", trained(prepared("blocks", text, 0.01, func(p *configs.Prep) { p.Validation.By, p.SeqLength = "block", 10 })), covers},
		{"short sequences that overlap", trained(prepared("overlap", text, 0, func(p *configs.Prep) { p.Stride, p.SeqLength = 7, 10 })), covers},
		{"another layout, accents, capitals", trained(prepared("layout", strings.ToUpper(layout.Replace(text)), 0, nil)), covers},
		{"within more text", trained(prepared("within", "A preface.\n"+text[15_000:]+text[:10_000], 0.2, nil)), covers},
		{"the grandparent", from(l.set, all), covers},
		{"the grandparent, between other texts", from(prepared("between", text[:9_000], 0.1, nil), from(l.set, all)), covers},
		{"a set that is gone", gone, missing},
		{"the grandparent's set is gone", from(l.set, gone), missing},
		{"a parent of an earlier program without ancestors", older(l.promoted), ""},
		{"a parent of an earlier program with ancestors", older(from(l.set, l.promoted)), unknown},
	} {
		res := l.judged(l.set, from(l.set, test.parent))
		if test.reason == "" && (res == nil || !res.Passed) || test.reason != "" && (res == nil || res.Passed || !strings.Contains(res.Text, test.reason)) {
			t.Errorf("%s: %+v, want %q", test.name, res, test.reason)
		}
	}
	if res := l.judged(l.set, older(from(l.set, l.promoted))); res == nil || res.Passed || !strings.Contains(res.Text, unknown) {
		t.Errorf("a model of an earlier program with ancestors: %+v", res)
	}
	if res := l.judged(l.set, l.promoted); res != nil {
		t.Errorf("a model without ancestors: %+v", res)
	}
	blocks := prepared("heldblocks", text, 0.1, func(p *configs.Prep) { p.Validation.By = "block" })
	if res := l.judged(blocks, from(blocks, all)); res == nil || res.Passed || !strings.Contains(res.Text, covers) {
		t.Errorf("blocks held out, of text that an ancestor knows: %+v", res)
	}
	pieces := prepared("pieces", text, 0.1, func(p *configs.Prep) { p.Validation.By, p.SeqLength = "block", 20 })
	if res := l.judged(pieces, from(pieces, all)); res == nil || res.Passed || !strings.Contains(res.Text, "too short to tell") {
		t.Errorf("blocks of 21 characters held out: %+v", res)
	}
	tested := prepared("tested", text, 0.1, func(p *configs.Prep) { p.Test.Fraction = 0.1 })
	cut := trained(prepared("cut", text[:24_000]+text[27_000:], 0, nil)) // 24,000 to 27,000 is the validation part
	if res := l.judged(tested, from(tested, cut)); res == nil || res.Passed || !strings.Contains(res.Text, covers) {
		t.Errorf("an ancestor that knows the test part: %+v", res)
	}
	// What the training part has too is no secret of an ancestor's; the gate says that the held-out text repeats it.
	twice := prepared("twice", text[:9_000]+text[:9_000], 0.1, nil)
	candidate, limits := from(twice, all), l.c.Gate
	if res := l.judged(twice, candidate); res == nil || !res.Passed {
		t.Errorf("a text that comes twice: %+v", res)
	}
	limits.Samples = 0
	var lines bytes.Buffer
	res, err := Judge(t.Context(), limits, candidate, Options{Set: twice, Console: report.NewConsole(&lines, true)})
	if err != nil || res.Repeated < 0.99 || res.Drift == nil || !strings.Contains(lines.String(),
		"WARNING: gate: 100 % of the held-out text is in the training text too") {
		t.Errorf("a text that comes twice: %+v, %v; %s", res, err, lines.String())
	}
	whole := filepath.Join(l.dir, "sets/all")
	if res := l.judged(whole, from(whole, all)); res != nil {
		t.Errorf("a set that holds nothing out: %+v", res)
	}
	short := prepared("short", text[28_000:28_510], 0.1, nil)
	if res := l.judged(short, from(short, l.promoted)); res == nil || res.Passed || !strings.Contains(res.Text, "too short to tell") {
		t.Errorf("51 characters held out: %+v", res)
	}
}

// judged is the finding of the check ancestors; nil: there is none.
func (l *lab) judged(set, candidate string) *Check {
	l.t.Helper()
	limits := l.c.Gate
	limits.Samples = 0
	res, err := Judge(l.t.Context(), limits, candidate, Options{Set: set, Console: tiny.Console()})
	if err != nil {
		l.t.Fatal(err)
	}
	i := slices.IndexFunc(res.Checks, func(c Check) bool { return c.Name == "ancestors" })
	if i < 0 {
		return nil
	}
	if (res.Failed("ancestors") == nil) != res.Checks[i].Passed || !res.Checks[i].Passed && res.Nats != nil {
		l.t.Errorf("the result is %+v", res)
	}
	return &res.Checks[i]
}

// TestFewInCommon: one passage in common is chance, of few passages too; two of 16 are not.
func TestFewInCommon(t *testing.T) {
	held := &text.HeldSketch{}
	for hash := range uint64(16) {
		held.All, held.Alone = append(held.All, hash), append(held.Alone, hash)
	}
	for _, test := range []struct {
		known  []uint64
		passes bool
	}{{nil, true}, {[]uint64{3}, true}, {[]uint64{3, 9}, false}} {
		c := &candidate{set: &dataset.Set{}, passages: held, ancestry: &text.Ancestry{Sets: []string{"other"}, Passages: test.known}}
		if res := c.ancestors(); res.Passed != test.passes {
			t.Errorf("with %d of 16 passages: %+v", len(test.known), res)
		}
	}
}
