package page

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/workflow"
)

// TestRoundPage: a round that went well, from its headline back to its sources.
func TestRoundPage(t *testing.T) {
	l := newLab(t)
	l.record("20261124T030000Z", nil)
	l.run("runs/one", 1.5, "name: opticks\n")
	l.record("20261125T030000Z", func(r *workflow.Record) {
		r.Config = bytes.Replace(r.Config, []byte("0.002"), []byte("0.004"), 1)
		change(t, r, "drift", func(d *round.DriftResult) {
			x := 0.0123
			*d = round.DriftResult{Against: "sets/zero", Chars: 567038, CharsBefore: 500000, NewChars: 3, GoneChars: 1, UnigramNats: &x}
		})
	})
	l.record("20261126T030000Z", func(r *workflow.Record) { r.Config = bytes.Replace(r.Config, []byte("0.002"), []byte("0.009"), 1) }) // a later one
	p := l.page("20261125T030000Z")
	p.same("title", texts(p.root, "h1"), []string{"opticks"})
	p.same("kicker", texts(p.root, ".kicker"), []string{"round 20261125T030000Z"})
	p.same("verdict", texts(p.root, ".masthead")[:1], []string{"round 20261125T030000Z opticks promoted 25 November 2026, 03:00 UTC, took 3 min 20 s" +
		" The model has passed the gate, and went into service." +
		" validation loss1.5000nats a character, 2.164 bits; below trigram 1.7000" +
		" training2 min 40 s2 epochs, 20 steps, 18,427 characters a second" +
		" model276,507parameters: GRU, 1 layer of 256 text567,038characters, 91 different"})
	p.same("sections", texts(p.root, "h2"), []string{"Losses", "What it writes", "As it learned", "The gate", "What changed in the config",
		"Drift of the corpus", "Stages", "Lineage", "Config"})
	p.same("losses", rows(p.section("Losses")), []string{"1|10|1.5000|2.0000", "2|20|1.5000|1.5000"})
	if svg := all(p.section("Losses"), "svg"); len(svg) != 2 || attribute(svg[0], "class") != "wide" || attribute(svg[1], "class") != "narrow" {
		t.Errorf("%d pictures of the losses", len(svg))
	}
	p.same("names in the picture", texts(all(p.section("Losses"), "svg")[0], ".own"),
		[]string{"unigram 3.0000", "bigram 2.4000", "trigram 1.7000", "training 1.6000", "validation 1.5000"})
	p.same("sample", texts(p.section("What it writes"), ".sample"), []string{"The Light of the Sun"})
	p.same("how", texts(p.section("What it writes"), "small"), []string{`Written at temperature 0.5 with seed 7, after the prompt "The ".`})
	p.same("epochs", texts(p.section("As it learned"), "li"), []string{"Epoch 1step 10, validation 2.0000epoch 1 writes",
		"Epoch 2step 20, validation 1.5000epoch 2 writes"})
	p.same("gate", rows(p.section("The gate")), []string{"weights|passed|0|0|0 of 100 weights are not finite numbers",
		"loss|passed|1.5|3|validation loss 1.5, it must be below 3"})
	p.same("changes", rows(p.section("What changed in the config")), []string{"train.lr|0.002|0.004"})
	p.same("drift", texts(p.section("Drift of the corpus"), "div"), []string{"characters567,038500,000 before", "new characters31 are gone",
		"divergence0.0123nats, from 0 for the same frequencies of characters to 0.6931",
		"held-out part0.0500nats more a character, for a model of pairs: the two are alike", "repeated0.10 %of the held-out part is in the training part too"})
	p.same("stages", rows(p.section("Stages")), []string{"prep|ran|20 s||no earlier result", "train|ran|2 min 40 s||no earlier result",
		"evaluate|ran|4.0 s||no earlier result", "gate|ran|10 s||no earlier result", "promote|ran|2.0 s||no earlier result", "sample|ran|4.0 s||no earlier result"})
	var bars []string
	for _, r := range all(p.section("Stages"), "rect") {
		bars = append(bars, attribute(r, "x")+"+"+attribute(r, "width"))
	}
	p.same("bars", bars, []string{"0+100", "100+800", "900+20", "920+50", "970+10", "980+20"}) // of 200 seconds
	p.same("lineage", texts(p.section("Lineage"), "li"), []string{"sample stages/sample/key-sample.jsonsha256 " + digest,
		"checkpoint runs/one/checkpoints/step-00000020.safetensorssha256 " + digest, "set sets/onesha256 " + digest, "source book.txtsha256 " + digest})
	p.same("config", rows(p.section("Config"))[:2], []string{"corpus.sources|book.txt", "generate.prompt|The"})
	p.same("footer", texts(p.root, "footer"), []string{"Made by quire v0.1.0, go1.26.8, on forge, 2 CPUs.Losses are in nats a character: ln 2 nats are a bit."})
}

// TestEndings: what the head of a page says of each way in which a round may end.
func TestEndings(t *testing.T) {
	refuse := func(r *workflow.Record) {
		change(t, r, "gate", func(d *gate.Result) {
			d.Passed, d.Against = false, "promoted/abcdef0123456789.safetensors"
			d.Checks[1].Passed = false
		})
		r.Exit, r.Error = "refused", &workflow.Failure{Class: "refused", Message: "round: the gate refused the model: too high"}
	}
	cut := func(n int, exit string, failure *workflow.Failure) func(r *workflow.Record) {
		return func(r *workflow.Record) {
			r.Stages, r.Exit, r.Error = r.Stages[:n], exit, failure
			if failure != nil && failure.Stage != "" {
				r.Stages[n-1].Digest, r.Stages[n-1].Value = "", nil
			}
		}
	}
	for _, c := range []struct {
		name            string
		edit            func(r *workflow.Record)
		badge, lede     string
		fault, sections string
	}{
		{"promoted before", func(r *workflow.Record) { r.Stage("promote").Action = workflow.ActionSkip }, "passed good",
			"The model has passed the gate.", "", "Losses What it writes As it learned The gate"},
		{"refused", refuse, "refused bad", "The gate has refused the model: the one in service stayed.", "the gate refused the model: too high",
			"Losses What it writes As it learned The gate"},
		{"a set alone", cut(2, workflow.Done, nil), "done good", "The round has come to its end.", "", ""},
		{"failed in prep", cut(2, "fault", &workflow.Failure{Stage: "prep", Class: "fault", Message: "book.txt: byte 3 is no UTF-8"}), "failed bad",
			"The round has ended at the stage prep.", "book.txt: byte 3 is no UTF-8", ""},
		{"failed in training", cut(4, "fault", &workflow.Failure{Stage: "train", Class: "fault", Message: "the disk is full"}), "failed bad",
			"The round has ended at the stage train.", "the disk is full", ""},
		{"interrupted", cut(4, workflow.Interrupted, &workflow.Failure{Stage: "train", Class: workflow.Interrupted, Message: "interrupted"}), "interrupted warn",
			"The round was interrupted. Everything is saved, and the next round goes on from there.", "", ""},
		{"failed before any stage", cut(0, "user", &workflow.Failure{Class: "user", Message: "no such file"}), "failed bad", "", "no such file", ""},
	} {
		l := newLab(t)
		l.run("runs/one", 1.5, "name: opticks\n")
		l.record("20261125T030000Z", c.edit)
		p := l.page()
		badge := all(p.root, ".masthead")[0]
		b := all(badge, ".badge")[0]
		if got := words(b) + " " + strings.TrimPrefix(attribute(b, "class"), "badge "); got != c.badge {
			t.Errorf("%s: the badge is %q, want %q", c.name, got, c.badge)
		}
		if got := strings.Join(texts(badge, ".lede"), ""); got != c.lede {
			t.Errorf("%s: %q, want %q", c.name, got, c.lede)
		}
		if got := strings.Join(texts(badge, ".lines"), ""); got != c.fault {
			t.Errorf("%s: the error is %q, want %q", c.name, got, c.fault)
		}
		if got := strings.Join(texts(p.root, "h2"), " "); !strings.HasPrefix(got, c.sections) {
			t.Errorf("%s: sections %s, want first %s", c.name, got, c.sections)
		}
	}
}

// TestUnfinishedTraining: the page of a round that ended in its training has the losses and
// samples until then.
func TestUnfinishedTraining(t *testing.T) {
	l := newLab(t)
	l.run("runs/key-train", 1.5, "name: opticks\n")
	l.record("20261125T030000Z", func(r *workflow.Record) {
		r.Stages, r.Exit = r.Stages[:4], "fault"
		r.Error = &workflow.Failure{Stage: "train", Class: "fault", Message: "the disk is full"}
		r.Stages[3].Digest, r.Stages[3].Value, r.Stages[3].Attempts = "", nil, 3
	})
	p := l.page()
	p.same("epochs", texts(p.section("As it learned"), "strong"), []string{"Epoch 1", "Epoch 2"})
	p.same("figures", texts(p.root, "dd")[:2], []string{"1.5000nats a character", "20 stepsso far"})
	p.same("stages", rows(p.section("Stages")), []string{"prep|ran|20 s||no earlier result", "train|failed|2 min 40 s||no earlier result; 3 attempts"})
}

// TestSkipped: a skipped stage says why, has no bar, and the bars of the others fill the scale.
func TestSkipped(t *testing.T) {
	l := newLab(t)
	l.run("runs/one", 1.5, "")
	l.record("20261125T030000Z", func(r *workflow.Record) {
		for _, name := range []string{"prep", "train", "evaluate", "promote", "sample"} {
			s := r.Stage(name)
			s.Action, s.Reasons, s.Attempts = workflow.ActionSkip, []string{"inputs are as before"}, 0
		}
	})
	p := l.page()
	p.same("stages", rows(p.section("Stages"))[:3], []string{"prep|skipped|||inputs are as before; it took 20 s then",
		"train|skipped|||inputs are as before; it took 2 min 40 s then", "evaluate|skipped|||inputs are as before; it took 4.0 s then"})
	if bars := all(p.section("Stages"), "rect"); len(bars) != 1 || attribute(bars[0], "width") != "1000" {
		t.Errorf("%d bars", len(bars))
	}
}

// TestMissing: what is gone, or damaged, is named; the rest of the page is there.
func TestMissing(t *testing.T) {
	l := newLab(t)
	l.record("20261125T030000Z", nil)
	p := l.page()
	p.same("notes", texts(p.root, ".note"), []string{"The files of the training are not there any more: its losses and samples are not shown."})
	l.run("runs/one", 1.5, "")
	l.write("runs/one/metrics.jsonl", `{"step":1,"epoch":1,"train_nats":2}`+"\n{")
	l.write("runs/one/best.json", "{}")
	p = l.page()
	notes := texts(p.root, ".note")
	if len(notes) != 2 || !strings.Contains(notes[0], "metrics.jsonl: line 2 at byte 36") || !strings.Contains(notes[1], "best.json") {
		t.Errorf("notes: %q", notes)
	}
	p.same("sections", texts(p.root, "h2")[:3], []string{"Losses", "What it writes", "The gate"})
	l.write("rounds/20261101T030000Z.json", "{}") // the round before
	p = l.page()
	if notes := texts(p.root, ".note"); len(notes) != 3 || !strings.Contains(notes[2], "20261101T030000Z.json") {
		t.Errorf("notes: %q", notes)
	}
}

// TestLong: of many epochs, sources and settings a page shows some, and says so.
func TestLong(t *testing.T) {
	l := newLab(t)
	l.run("runs/one", 1.5, "")
	var b strings.Builder
	for i := 1; i <= 5000; i++ {
		fmt.Fprintf(&b, `{"step":%d,"epoch":%d,"epoch_train_nats":2,"validation_nats":2,"sample":"epoch %d writes %s"}`+"\n", i, i, i, strings.Repeat("x", 9000))
	}
	l.write("runs/one/metrics.jsonl", b.String())
	l.record("20261125T030000Z", func(r *workflow.Record) {
		change(t, r, "corpus", func(f *text.CorpusFacts) {
			f.Documents = 900
			for i := range 899 {
				f.Listed = append(f.Listed, text.CorpusDocument{Name: fmt.Sprintf("%d-%s.txt", i, strings.Repeat("n", 900)), SHA256: digest})
			}
		})
		r.Stage("gate").Reasons = []string{strings.Repeat("because ", 10000)}
		change(t, r, "sample", func(s *round.SampleResult) { s.Text = strings.Repeat("to be or not ", 1e5) })
	})
	p := l.page()
	if n := len(all(p.section("As it learned"), "li")); n != shownEpochs {
		t.Errorf("%d epochs", n)
	}
	epochs := texts(p.section("As it learned"), "strong")
	if epochs[0] != "Epoch 1" || epochs[len(epochs)-1] != "Epoch 5000" {
		t.Errorf("epochs %q", epochs)
	}
	small := texts(p.section("As it learned"), "p")
	p.same("left out", small, []string{"4988 epochs between them are left out; the run's metrics.jsonl has them."})
	lineage := p.section("Lineage")
	if n := len(all(lineage, "li")); n != 3+shownSources {
		t.Errorf("%d ancestors", n)
	}
	if got := texts(lineage, "p")[1]; got != "840 source files more are left out; the set's manifest has them." {
		t.Error(got)
	}
	if got := texts(p.section("What it writes"), ".mark"); len(got) != 1 || got[0] != "… 1,294,000 characters more are left out" {
		t.Errorf("of a sample of 1.3 MB: %q", got)
	}
}

// TestSameBytes: a page has the same bytes every time, and a round's page, once written, stays.
func TestSameBytes(t *testing.T) {
	l := newLab(t)
	l.run("runs/one", 1.5, "name: opticks\n")
	l.record("20261125T030000Z", nil)
	at, err := Round(t.Context(), l.dir, "20261125T030000Z")
	if err != nil || at != filepath.Join(l.dir, "rounds/20261125T030000Z.html") {
		t.Fatal(at, err)
	}
	first, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		out := filepath.Join(t.TempDir(), "again.html")
		if _, err := Write(t.Context(), l.dir, nil, out); err != nil {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(out); err != nil || !bytes.Equal(again, first) {
			t.Fatal("another page", err)
		}
	}
	l.write("rounds/20261125T030000Z.html", "kept")
	if _, err := Round(t.Context(), l.dir, "20261125T030000Z"); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(at); err != nil || string(kept) != "kept" {
		t.Errorf("the page of a round is written twice: %.40s", kept)
	}
}
