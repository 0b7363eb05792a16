package page

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// table is the table of a sweep with a trial for each loss.
func table(losses ...string) string {
	b := "trial,nats,split,step,parameters,run,train.lr,model.hidden\n"
	for i, nats := range losses {
		b += fmt.Sprintf("%d,%s,validation,20,1000,runs/t%d,0.00%d,%d\n", i+1, nats, i+1, i+1, 64<<i)
	}
	return b
}

// TestSweepPage: one picture and one table, the lowest loss first and what diverged last.
func TestSweepPage(t *testing.T) {
	l := newLab(t)
	for i, best := range []float64{1.7, 1.5, 1.6} {
		l.run(fmt.Sprintf("runs/t%d", i+1), best, "name: tuned\n")
	}
	l.write("runs/t4/diverged.json", `{"step": 3, "reason": "step 3: the loss is NaN"}`)
	l.write("sweeps/abc/sweep.csv", table("1.7", "1.5", "1.6", "NaN"))
	l.run("runs/u1", 1.5, "") // diverged at last, and its note is gone
	l.write("sweeps/lost/sweep.csv", strings.Replace(table("NaN", "1.5"), "runs/t1", "runs/u1", 1))
	lost := l.page("lost")
	lost.same("rows of a sweep without a note", rows(lost.section("By loss")), []string{"trial 2|0.002|128|1.5000|1.5000|20|t2",
		"trial 1|0.001|64|diverged|1.5000|20|u1"})
	p := l.page("abc")
	p.same("head", texts(p.root, ".masthead"), []string{"sweep abc 4 trainings trial 2 is best: 1.5000 nats a character. 1 training diverged." +
		" train.lr0.002of the best model.hidden128of the best"})
	p.same("sections", texts(p.root, "h2"), []string{"Side by side", "By loss", "What they write"})
	p.same("columns", texts(all(p.section("By loss"), "thead")[0], "th"),
		[]string{"training", "train.lr", "model.hidden", "loss", "training loss", "step", "run"})
	p.same("rows", rows(p.section("By loss")), []string{
		"trial 2|0.002|128|1.5000|1.5000|20|t2", "trial 3|0.003|256|1.6000|1.6000|20|t3",
		"trial 1|0.001|64|1.7000|1.7000|20|t1", "trial 4|0.004|512|diverged||20|t4"})
	p.same("labels", texts(all(p.section("Side by side"), "svg")[0], ".own"), // of the training losses: each has two of validation
		[]string{"trial 1 1.8000", "trial 3 1.7000", "trial 2 1.6000"})
}

// TestRunsPage: two trainings side by side, with the settings in which they differ.
func TestRunsPage(t *testing.T) {
	l := newLab(t)
	l.run("runs/t1", 1.7, "name: small\nworkdir: /tmp/a\nmodel: {hidden: 64, cell: gru}\ntrain: {lr: 0.002, seed: 1}\n")
	l.run("runs/t2", 1.5, "name: large\nworkdir: /tmp/b\nmodel: {hidden: 512, cell: gru}\ntrain: {lr: 0.002}\ncorpus: {sources: [a, b]}\n")
	p := l.page("runs/t1", filepath.Join(l.dir, "runs", "t2"))
	p.same("head", texts(p.root, ".masthead"), []string{"trainings side by side 2 trainings large is best: 1.5000 nats a character."})
	p.same("sections", texts(p.root, "h2"), []string{"Side by side", "By loss", "Settings that differ", "What they write"})
	p.same("rows", rows(p.section("By loss")), []string{"large|1.5000|1.5000|20|t2", "small|1.7000|1.7000|20|t1"})
	p.same("settings", rows(p.section("Settings that differ")), []string{"corpus.sources|a, b|", "model.hidden|512|64", "train.seed||1"})
	p.same("samples", texts(p.section("What they write"), "li"), []string{"largeepoch 2, validation 1.5000epoch 2 writes",
		"smallepoch 2, validation 1.7000epoch 2 writes"})
	dots := all(p.section("By loss"), ".s1")
	if len(dots) != 1 {
		t.Errorf("%d runs have the first colour", len(dots))
	}
}

// TestUnlikeTexts: of trainings on different texts none is called the best.
func TestUnlikeTexts(t *testing.T) {
	l := newLab(t)
	l.run("runs/t1", 1.7, "name: small\ncorpus: {sources: [a], encoding: utf-8}\nprep: {unit: rune, seq_length: 50}\n")
	l.run("runs/t2", 1.5, "name: large\ncorpus: {sources: [a], newlines: keep}\nprep: {unit: rune, seq_length: 100}\n")
	l.run("runs/t3", 1.4, "name: other\ncorpus: {sources: [b]}\nprep: {unit: byte}\n")
	const ending = ": losses of different texts, or of characters that are counted in different ways, do not compare."
	p := l.page("runs/t1", "runs/t2")
	p.same("head of one text", texts(p.root, ".masthead"), []string{"trainings side by side 2 trainings large is best: 1.5000 nats a character."})
	if n := len(all(p.root, ".best")); n != 1 {
		t.Errorf("%d rows of one text are the best", n)
	}
	p = l.page("runs/t1", "runs/t2", "runs/t3")
	p.same("head of two texts", texts(p.root, ".masthead"), []string{"trainings side by side 3 trainings other has the lowest loss: 1.4000 nats a character." +
		" The trainings differ in corpus.sources, prep.unit" + ending})
	if n := len(all(p.root, ".best")); n != 0 {
		t.Errorf("%d rows of two texts are the best", n)
	}
	l.write("sweeps/abc/sweep.csv", strings.NewReplacer("train.lr", "prep.unit", "0.001", "rune", "0.002", "rune", "0.003", "byte").Replace(table("1.7", "1.5", "1.4")))
	p = l.page("abc")
	p.same("head of a sweep", texts(p.root, ".masthead"), []string{"sweep abc 3 trainings trial 3 has the lowest loss: 1.4000 nats a character." +
		" The trainings differ in corpus.sources, prep.unit" + ending + " prep.unitbyteof the lowest loss model.hidden256of the lowest loss"})
}

// TestTrainingLoss: a loss of training, where nothing is held out, is called so.
func TestTrainingLoss(t *testing.T) {
	l := newLab(t)
	for i, nats := range []string{"2.25", "2.5"} {
		l.write(fmt.Sprintf("runs/p%d/metrics.jsonl", i), `{"step":1,"epoch":1,"epoch_train_nats":`+nats+"}\n")
	}
	p := l.page("runs/p0", "runs/p1")
	p.same("head", texts(p.root, ".masthead"), []string{"trainings side by side 2 trainings p0 has the lowest training loss: 2.2500 nats a character."})
}

// TestUnlikeKeys: every setting that decides which text a loss is of, or what a character is.
func TestUnlikeKeys(t *testing.T) {
	run := func(corpus string, config ...string) *runFacts {
		r := &runFacts{Corpus: corpus, Config: map[string]string{}}
		for i := 0; i < len(config); i += 2 {
			r.Config[config[i]] = config[i+1]
		}
		return r
	}
	for _, key := range []string{"corpus.sources", "corpus.encoding", "corpus.newlines", "corpus.records", "prep.pack", "prep.unit", "prep.normalize",
		"prep.invalid_utf8", "prep.min_count", "prep.stride", "prep.validation.by", "prep.validation.fraction", "prep.test.fraction"} {
		if got := unlike([]*runFacts{run("", key, "a"), run("", key, "b")}); fmt.Sprint(got) != "["+key+"]" {
			t.Errorf("of %s: %v", key, got)
		}
		if got := unlike([]*runFacts{run("", key, "a"), run("")}); got != nil {
			t.Errorf("of %s, which one lacks: %v", key, got)
		}
	}
	for _, key := range []string{"prep.seq_length", "prep.seed"} {
		if got := unlike([]*runFacts{run("", key, "1"), run("", key, "2")}); got != nil {
			t.Errorf("of %s: %v", key, got)
		}
		if got := unlike([]*runFacts{run("", key, "1", "prep.validation.by", "block"), run("", key, "2", "prep.validation.by", "block")}); fmt.Sprint(got) != "["+key+"]" {
			t.Errorf("by block, of %s: %v", key, got)
		}
	}
	if got := unlike([]*runFacts{run("", "prep.seq_length", "1", "prep.stride", "1"), run("", "prep.seq_length", "2", "prep.stride", "1")}); fmt.Sprint(got) != "[prep.seq_length]" {
		t.Errorf("of overlapping sequences: %v", got)
	}
	set := func(set, corpus string, config ...string) *runFacts {
		r := run(corpus, config...)
		r.Set = set
		return r
	}
	const sources = "corpus.sources"
	for _, c := range []struct {
		a, b *runFacts
		want string
	}{
		{run("x", sources, "a"), run("x", sources, "b"), "[]"},
		{run("x", sources, "a"), run("y", sources, "a"), "[corpus.sources]"},
		{run("x", sources, "a"), run("", sources, "a"), "[]"},
		{run("x", sources, "a"), run("", sources, "b"), "[corpus.sources]"},
		{set("s", "", sources, "a"), set("s", "", sources, "b"), "[]"},
		{set("s", "", sources, "a"), set("t", "", sources, "a"), "[their sets]"},
		{set("s", "", sources, "a"), set("t", "", sources, "b"), "[corpus.sources]"},
		{set("s", "", sources, "a"), set("", "", sources, "a"), "[]"},
	} {
		if got := unlike([]*runFacts{c.a, c.b}); fmt.Sprint(got) != c.want {
			t.Errorf("%+v and %+v: %v, want %s", c.a, c.b, got, c.want)
		}
	}
}

// TestRoundsSideBySide: rounds, runs and a sweep stand in one table, by their own names.
func TestRoundsSideBySide(t *testing.T) {
	l := newLab(t)
	l.run("runs/one", 1.5, "name: opticks\n")
	l.run("runs/t1", 1.4, "name: opticks\n")
	l.record("20261125T030000Z", nil)
	l.write("sweeps/abc/sweep.csv", table("1.4"))
	p := l.page("20261125T030000Z", "abc")
	p.same("rows", rows(p.section("By loss")), []string{"trial 1|1.4000|1.4000|20|t1", "20261125T030000Z|1.5000|1.5000|20|one"})
	p.same("settings", texts(p.section("Settings that differ"), "p"), []string{"None."})
	l.run("runs/x", 1.4, "name: opticks\n")
	p = l.page("runs/t1", "runs/x") // of one name
	p.same("rows", rows(p.section("By loss")), []string{"t1|1.4000|1.4000|20|t1", "x|1.4000|1.4000|20|x"})
	p = l.page("runs/x", "runs/x")
	p.same("rows", rows(p.section("By loss")), []string{"training 1|1.4000|1.4000|20|x", "training 2|1.4000|1.4000|20|x"})
}

// TestRunPage: a training alone, one that has no validation part, and one that diverged.
func TestRunPage(t *testing.T) {
	l := newLab(t)
	l.run("elsewhere/mine", 1.5, "name: mine\nmodel: {cell: lstm, layers: 2, hidden: 64}\n")
	p := l.page("elsewhere/mine")
	p.same("head", texts(p.root, ".masthead"), []string{"training mine mine validation loss1.5000nats a character training loss1.5000at the end" +
		" training20 steps1000 characters a second, epoch 2 model64LSTM, 2 layers of 64"})
	p.same("sections", texts(p.root, "h2"), []string{"Losses", "As it learned", "Config"})
	l.write("elsewhere/plain/metrics.jsonl", `{"step":1,"epoch":1,"train_nats":2.5}`+"\n"+`{"step":2,"epoch":1,"epoch_train_nats":2.25}`+"\n")
	p = l.page("elsewhere/plain")
	p.same("figures", texts(p.root, "dd"), []string{"2.2500nats a character", "2 stepsepoch 1"})
	p.same("table", rows(p.section("Losses")), []string{"1|2|2.2500|"})
	l.write("elsewhere/lost/diverged.json", `{"step": 3, "reason": "step 3: the loss is NaN"}`)
	p = l.page("elsewhere/lost")
	p.same("badge", texts(p.root, ".badge"), []string{"diverged"})
	p.same("why", texts(p.root, ".lines"), []string{"step 3: the loss is NaN"})
	l.write("elsewhere/odd/metrics.jsonl", `{"step":1,"epoch":1,"train_nats":2.5}`+"\n")
	l.write("elsewhere/odd/config.yaml", "a: [")
	p = l.page("elsewhere/odd")
	if notes := texts(p.root, ".note"); len(notes) != 1 || !strings.Contains(notes[0], "config.yaml: yaml: ") {
		t.Errorf("notes: %q", notes)
	}
}

// TestOut: where a page goes, and that it replaces no file but a page.
func TestOut(t *testing.T) {
	l := newLab(t)
	l.run("runs/one", 1.5, "")
	l.run("runs/two", 1.6, "")
	l.record("20261125T030000Z", nil)
	l.write("sweeps/abc/sweep.csv", table("1.4"))
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		names []string
		kind  string
		at    string
	}{
		{nil, KindRound, filepath.Join(l.dir, "rounds/20261125T030000Z.html")},
		{[]string{"latest"}, KindRound, filepath.Join(l.dir, "rounds/20261125T030000Z.html")},
		{[]string{"rounds/20261125T030000Z.json"}, KindRound, filepath.Join(l.dir, "rounds/20261125T030000Z.html")},
		{[]string{l.dir}, KindRound, filepath.Join(l.dir, "rounds/20261125T030000Z.html")},
		{[]string{"one"}, KindRun, filepath.Join(l.dir, "runs/one/report.html")},
		{[]string{"on"}, KindRun, filepath.Join(l.dir, "runs/one/report.html")},
		{[]string{"ab"}, KindSweep, filepath.Join(l.dir, "sweeps/abc/report.html")},
		{[]string{l.dir + "/runs/one/"}, KindRun, filepath.Join(l.dir, "runs/one/report.html")},
		{[]string{"abc"}, KindSweep, filepath.Join(l.dir, "sweeps/abc/report.html")},
		{[]string{"sweeps/abc"}, KindSweep, filepath.Join(l.dir, "sweeps/abc/report.html")},
		{[]string{"one", "two"}, KindRuns, "report.html"},
	} {
		for range 2 { // the second time in place of the first
			res, err := Write(t.Context(), l.dir, c.names, "")
			if err != nil {
				t.Errorf("%q: %v", c.names, err)
				continue
			}
			info, err := os.Stat(c.at)
			if filepath.Clean(res.Report) != c.at || res.Kind != c.kind || err != nil || info.Size() != int64(res.Bytes) || len(res.Of) != max(1, len(c.names)) {
				t.Errorf("%q: %+v, want a %s at %s: %v", c.names, res, c.kind, c.at, err)
			}
		}
	}
	l.write("notes.html", "<p>mine</p>")
	_, err := Write(t.Context(), l.dir, nil, filepath.Join(l.dir, "notes.html"))
	var occupied *OccupiedError
	if !errors.As(err, &occupied) || !strings.HasSuffix(occupied.Path, "notes.html") {
		t.Errorf("the error is %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(l.dir, "notes.html")); string(data) != "<p>mine</p>" {
		t.Errorf("the file is now %q, %v", data, err)
	}
}

// TestUnknown: a name of nothing is an error of its own.
func TestUnknown(t *testing.T) {
	l := newLab(t)
	l.write("book.txt", "text")
	for _, name := range []string{"", "latest", "20261125T030000Z", "nothing", "runs/nothing", l.dir, "book.txt", l.dir + "/book.txt", "gs:", ".."} {
		names := []string{name}
		if name == "" {
			names = nil
		}
		_, err := Write(t.Context(), l.dir, names, filepath.Join(l.dir, "out.html"))
		if unknown := new(UnknownError); !errors.As(err, &unknown) {
			t.Errorf("%q: the error is %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(l.dir, "out.html")); err == nil {
		t.Error("a page of nothing is written")
	}
	l.run("runs/ab1", 1, "")
	l.run("runs/ab2", 1, "")
	l.run("runs/ab", 1, "")
	var many *ManyError
	if _, err := Write(t.Context(), l.dir, []string{"a"}, ""); !errors.As(err, &many) || len(many.Names) != 3 ||
		err.Error() != `page: "a" begins the keys of 3 runs and sweeps, runs/ab, runs/ab1, runs/ab2` {
		t.Errorf("the error is %v", err)
	}
	if res, err := Write(t.Context(), l.dir, []string{"ab"}, ""); err != nil || !strings.HasSuffix(res.Of[0], "runs/ab") {
		t.Errorf("a whole key: %+v, %v", res, err)
	}
	l.write("sweeps/odd/sweep.csv", "a,b\n1,2\n")
	if _, err := Write(t.Context(), l.dir, []string{"odd"}, ""); err == nil || !strings.Contains(err.Error(), "sweep.csv: it is no table of a sweep") {
		t.Errorf("of another table: %v", err)
	}
}
