package page

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/gcstest"
)

// good is a config whose model passes the gate.
func good(t *testing.T) *configs.Config {
	c := tiny.Config(t, tiny.Line())
	c.Train.Epochs, c.Train.LR = 6, 0.02
	return c
}

func options(said *bytes.Buffer) round.Options {
	return round.Options{Runner: "direct", Console: report.NewConsole(said, false), Report: Round}
}

// TestRealRounds: each round writes its page at its end: promoted, without news, refused,
// failed and interrupted.
func TestRealRounds(t *testing.T) {
	c, said := good(t), &bytes.Buffer{}
	res, err := round.Run(t.Context(), c, options(said))
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t, c.Workdir}
	if want := filepath.Join(c.Workdir, "rounds", res.Round+".html"); filepath.Clean(res.Report) != want {
		t.Errorf("the report is %s, want %s", res.Report, want)
	}
	p := l.read(res.Report)
	p.same("badge", texts(p.root, ".badge")[:1], []string{"promoted"})
	p.same("epochs", texts(p.section("As it learned"), "strong"), []string{"Epoch 1", "Epoch 2", "Epoch 3", "Epoch 4", "Epoch 5", "Epoch 6"})
	p.same("sample", texts(p.section("What it writes"), ".sample"), []string{strings.Join(strings.Fields(res.Sample), " ")})
	first, err := os.ReadFile(res.Report)
	if err != nil {
		t.Fatal(err)
	}
	again, err := round.Run(t.Context(), c, options(said))
	if err != nil || again.Report != res.Report {
		t.Errorf("a round without news has the report %s, %v", again.Report, err)
	}
	if err := os.Remove(res.Report); err != nil { // as if the process had died before
		t.Fatal(err)
	}
	if _, err := round.Run(t.Context(), c, options(said)); err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(res.Report); err != nil || !bytes.Equal(second, first) {
		t.Errorf("the page that was written again is another: %v", err)
	}

	c.Gate.Margin, c.Train.Seed = 9, 2
	o := options(said)
	o.ID = "20991231T000000Z"
	if _, err := round.Run(t.Context(), c, o); !errors.Is(err, gate.ErrRefused) {
		t.Fatal(err)
	}
	p = l.read(filepath.Join(c.Workdir, "rounds", o.ID+".html"))
	p.same("badge", texts(p.root, ".badge")[:1], []string{"refused"})
	if len(rows(p.section("What changed in the config"))) != 2 {
		t.Errorf("changes: %q", rows(p.section("What changed in the config")))
	}

	ctx, cancel := context.WithCancel(t.Context())
	c.Train.Seed, o.ID = 3, ""
	o.Report = func(ctx context.Context, workdir, id string) (string, error) {
		at, err := Round(ctx, workdir, id)
		if err != nil {
			t.Errorf("of a round that was told to stop: %v", err)
		}
		return at, err
	}
	o.Console = report.NewConsole(stopper{func(line string) bool { return strings.Contains(line, "epoch 2:") }, cancel}, false)
	if _, err := round.Run(ctx, c, o); !errors.Is(err, train.ErrInterrupted) {
		t.Fatal(err)
	}
	p = l.page("latest")
	p.same("badge", texts(p.root, ".badge")[:1], []string{"interrupted"})
	if got := texts(p.section("As it learned"), "strong"); len(got) < 1 || got[0] != "Epoch 1" {
		t.Errorf("epochs: %q", got)
	}
	if strings.Contains(said.String(), "is not written") {
		t.Error(said.String())
	}
}

// A stopper is a console that stops a round at a line.
type stopper struct {
	at   func(line string) bool
	stop func()
}

func (s stopper) Write(p []byte) (int, error) {
	if s.at(string(p)) {
		s.stop()
	}
	return len(p), nil
}

// TestReportFails: a page that cannot be written is a warning, whatever goes wrong, and the
// round is what it was.
func TestReportFails(t *testing.T) {
	c, said := good(t), &bytes.Buffer{}
	o := options(said)
	o.Report = func(context.Context, string, string) (string, error) { return "", errors.New("no room") }
	res, err := round.Run(t.Context(), c, o)
	if err != nil || res.Promoted == "" || res.Report != "" {
		t.Errorf("%+v, %v", res, err)
	}
	if !strings.Contains(said.String(), "WARNING: the report of round "+res.Round+" is not written: no room") {
		t.Errorf("the console says %s", said)
	}
	if at, err := Round(t.Context(), c.Workdir, "20991231T000000Z"); at != "" || err != nil {
		t.Errorf("of a round without a record: %q, %v", at, err)
	}
	if err := os.WriteFile(filepath.Join(c.Workdir, "rounds", res.Round+".json"), []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	if at, err := Round(t.Context(), c.Workdir, res.Round); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("of a record that is damaged: %q, %v", at, err)
	}
	t.Run("panic", func(t *testing.T) {
		defer func(f func(*document) ([]byte, error)) { rendered = f }(rendered)
		rendered = func(*document) ([]byte, error) { panic("a mistake of the page") }
		l, id := newLab(t), "20261125T030000Z"
		l.record(id, nil)
		if _, err := Round(t.Context(), l.dir, id); err == nil || err.Error() != "page: round "+id+": a mistake of the page" {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestBucket: a workdir in a bucket has its pages there, and a page of it can lie here.
func TestBucket(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	server := gcstest.New(t)
	server.Set("bucket", "corpus/a.txt", []byte(tiny.Line()))
	c, said := good(t), &bytes.Buffer{}
	c.Workdir, c.Corpus.Sources = "gs://bucket/work", []string{"gs://bucket/corpus"}
	res, err := round.Run(t.Context(), c, options(said))
	if err != nil {
		t.Fatal(err)
	}
	if want := "gs://bucket/work/rounds/" + res.Round + ".html"; res.Report != want {
		t.Errorf("the report is %s, want %s", res.Report, want)
	}
	key := strings.TrimPrefix(res.Run, "gs://bucket/work/runs/")
	l := newLab(t)
	for _, name := range []string{res.Round, key, "gs://bucket/work/runs/" + key, "gs://bucket/work"} {
		out := filepath.Join(l.dir, "page.html")
		if _, err := Write(t.Context(), c.Workdir, []string{name}, out); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p := l.read(out); len(all(p.section("Losses"), "svg")) != 2 {
			t.Errorf("%s: a page without its pictures", name)
		}
	}
	made, err := Write(t.Context(), c.Workdir, []string{key}, "")
	if err != nil || made.Report != "gs://bucket/work/runs/"+key+"/report.html" {
		t.Errorf("%+v, %v", made, err)
	}
	st, err := store.Open(t.Context(), "gs://bucket/work")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if data, _, err := st.Read(t.Context(), "rounds/"+res.Round+".html"); err != nil || !bytes.HasPrefix(data, []byte("<!doctype html>")) {
		t.Errorf("%v, %.40s", err, data)
	}
}

// TestBaselines: the page of a training alone has the entropies of its text, where the set
// is in the workdir.
func TestBaselines(t *testing.T) {
	c, said := good(t), &bytes.Buffer{}
	res, err := round.Run(t.Context(), c, options(said))
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t, c.Workdir}
	names := func() string {
		var list []string
		p := l.page(res.Run)
		for _, s := range texts(all(p.section("Losses"), "svg")[0], ".own") {
			list = append(list, strings.Fields(s)[0])
		}
		return strings.Join(list, " ")
	}
	if got := names(); !strings.Contains(got, "unigram") || !strings.Contains(got, "bigram") || !strings.Contains(got, "trigram") {
		t.Errorf("the picture names %s", got)
	}
	if err := os.RemoveAll(res.Set); err != nil {
		t.Fatal(err)
	}
	if got := names(); strings.Contains(got, "gram") || !strings.Contains(got, "validation") {
		t.Errorf("without the set, the picture names %s", got)
	}
}
