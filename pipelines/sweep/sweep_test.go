package sweep

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
)

// childVariable makes the test binary a child that runs the sweep of a config file.
const childVariable = "SWEEP_TEST_CONFIG"

func TestMain(m *testing.M) {
	engine.Init()
	if file := os.Getenv(childVariable); file != "" {
		os.Exit(child(file))
	}
	os.Exit(m.Run())
}

// A lab is a config file with a sweep, in a folder with its corpus and its workdir.
type lab struct {
	t       *testing.T
	file    string
	book    string // its corpus, tiny.Line
	work    string
	set     []string
	console bytes.Buffer
}

const labConfig = `workdir: %q
corpus: {sources: [%q]}
prep: {seq_length: 10}
model: {embedding: 4, hidden: 8}
train: {epochs: 1, batch: 4, lr: 0.01}
`

// newLab returns a lab with settings such as "sweep.train.lr=0.01,0.02".
func newLab(t *testing.T, set ...string) *lab {
	t.Helper()
	dir := t.TempDir()
	l := &lab{t: t, file: filepath.Join(dir, "tiny.yaml"), book: filepath.Join(dir, "book.txt"), work: filepath.Join(dir, "work"), set: set}
	for name, data := range map[string]string{l.book: tiny.Line(), l.file: fmt.Sprintf(labConfig, l.work, l.book)} {
		if err := os.WriteFile(name, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// load returns the config and its trials.
func (l *lab) load() (*configs.Resolved, []configs.Trial) {
	l.t.Helper()
	r, err := configs.Load(configs.Options{Config: l.file, Set: l.set})
	if err != nil {
		l.t.Fatal(err)
	}
	trials, err := r.Trials()
	if err != nil {
		l.t.Fatal(err)
	}
	return r, trials
}

// options drop the workers' lines, and keep those of the console.
func (l *lab) options() Options {
	l.console.Reset()
	return Options{Runner: "direct", Quiet: true, Config: l.file, Console: report.NewConsole(&l.console, false)}
}

// run runs the sweep.
func (l *lab) run() (*Result, error) {
	l.t.Helper()
	r, trials := l.load()
	return Run(l.t.Context(), r, trials, l.options())
}

// swept runs a sweep that must succeed.
func (l *lab) swept() *Result {
	l.t.Helper()
	res, err := l.run()
	if err != nil {
		l.t.Fatal(err)
	}
	return res
}

// store opens the workdir.
func (l *lab) store() *store.Store {
	l.t.Helper()
	st, err := store.Open(l.t.Context(), l.work)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { st.Close() })
	return st
}

// trials returns the messages to workers, with the sets made and the keys set.
func (l *lab) trials() []*trial {
	l.t.Helper()
	_, trials := l.load()
	st := l.store()
	all, err := withSets(l.t.Context(), st, trials, nil, l.options())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, t := range all {
		if _, err := t.plan(l.t.Context(), st); err != nil {
			l.t.Fatal(err)
		}
	}
	return all
}

func (l *lab) read(name string) string {
	l.t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(data)
}

// lastLine is the last line of the console.
func (l *lab) lastLine() string {
	lines := strings.Split(strings.TrimSpace(l.console.String()), "\n")
	return lines[len(lines)-1]
}

// TestRun runs two trials: their outcome, the files of the sweep, and a second sweep,
// which has nothing to do.
func TestRun(t *testing.T) {
	l := newLab(t, "sweep.train.lr=0.01,0.02")
	res := l.swept()
	if len(res.Trials) != 2 || !reflect.DeepEqual(res.Best, res.Trials[0]) || !(*res.Trials[0].Nats < *res.Trials[1].Nats) {
		t.Fatalf("the result is %+v", res)
	}
	for _, trial := range res.Trials {
		if lr := []float64{0.01, 0.02}[trial.Trial-1]; trial.Set["train.lr"] != lr || trial.Split != "validation" || trial.TestNats != nil {
			t.Errorf("trial %d is %+v", trial.Trial, trial)
		}
		m, err := text.OpenModel(t.Context(), trial.Checkpoint, "best")
		if err != nil {
			t.Fatal(err)
		}
		loss, err := text.Evaluate(t.Context(), m, store.Path(l.trials()[0].Set.Set).In(l.work), "")
		if err != nil || loss.NatsPerChar != *trial.Nats || filepath.Dir(filepath.Dir(trial.Checkpoint)) != trial.Run {
			t.Errorf("trial %d is %+v; its checkpoint has %+v, %v", trial.Trial, trial, loss, err)
		}
	}
	r, trials := l.load()
	for _, trial := range res.Trials {
		if got, want := l.read(filepath.Join(trial.Run, "config.yaml")), string(trials[trial.Trial-1].Resolved.Portable()); got != want {
			t.Errorf("the run of trial %d has the config\n%swant\n%s", trial.Trial, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(r.Config.Workdir, "rounds")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a sweep has records of rounds: %v", err)
	}
	for name, begins := range map[string]string{
		res.Table:   "trial,nats,split,step,parameters,run,train.lr\n2,",
		res.Picture: "\x89PNG",
		res.Config:  "extends: " + l.file + "\n",
	} {
		if !strings.HasPrefix(l.read(name), begins) {
			t.Errorf("%s does not begin with %q", name, begins)
		}
	}

	table := l.read(res.Table)
	again := l.swept()
	if !reflect.DeepEqual(again, res) || l.read(again.Table) != table {
		t.Errorf("the second sweep is %+v, the first %+v", again, res)
	}
	if n := strings.Count(l.console.String(), "prep      nothing to do: "); n != 1 {
		t.Errorf("the set of both trials is looked for %d times", n)
	}
	if n := strings.Count(l.console.String(), "): nothing to do, "); n != 2 || strings.Contains(l.console.String(), "to run, on") {
		t.Errorf("the console of the second sweep has\n%s", l.console.String())
	}
}

// TestDrawn looks at a trial of the picture: it has the lines of its run's metrics.
func TestDrawn(t *testing.T) {
	l := newLab(t, "sweep.train.lr=0.01")
	l.swept()
	row, err := l.trials()[0].result(t.Context(), l.store())
	if err != nil {
		t.Fatal(err)
	}
	row.Set = map[string]any{"train.lr": 0.01}
	d, err := row.drawn(t.Context(), l.store(), []string{"train.lr"})
	if err != nil || d.Number != 1 || d.Nats != *row.Nats || fmt.Sprint(d.Values) != "[0.01]" {
		t.Fatalf("the trial is drawn as %+v, %v", d, err)
	}
	if reflect.DeepEqual(d.Curves, report.Curves{}) {
		t.Error("the trial has no losses")
	}
}

// TestBestConfig loads best.yaml: its values are those of the best trial, and it
// extends the swept config.
func TestBestConfig(t *testing.T) {
	l := newLab(t, "sweep.train.lr=0.001,0.02,0.01", "sweep.model.hidden=6,8")
	res := l.swept()
	r, trials := l.load()
	best := trials[res.Best.Trial-1]
	l.file, l.set = res.Config, nil
	loaded, err := configs.Load(configs.Options{Config: res.Config})
	if err != nil {
		t.Fatal(err)
	}
	got, want := loaded.Config, best.Resolved.Config
	got.Sweep, want.Sweep = configs.Sweep{}, configs.Sweep{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("best.yaml is\n%s\nthe best trial is\n%s", loaded.YAML(), best.Resolved.YAML())
	}
	if r.Config.Train == want.Train {
		t.Error("the best trial is the swept config itself")
	}
}

// TestTestSplit chooses the best by the validation loss, and measures it, and no
// other trial, on the test split.
func TestTestSplit(t *testing.T) {
	l := newLab(t, "sweep.train.lr=0.01,0.02", "prep.test.fraction=0.2")
	// The end of the text, its test part, is unlike the rest: models that know the rest
	// better know it less.
	if err := os.WriteFile(l.book, []byte(tiny.Line()+strings.Repeat("?q,uiaqq.uh.,i?", 30)), 0o666); err != nil {
		t.Fatal(err)
	}
	res := l.swept()
	test := map[int]float64{} // losses on the split, by number
	least := res.Best.Trial
	for _, trial := range res.Trials {
		if trial.TestNats != nil {
			t.Errorf("trial %d has a test loss", trial.Trial)
		}
		m, err := text.OpenModel(t.Context(), trial.Checkpoint, "best")
		if err != nil {
			t.Fatal(err)
		}
		loss, err := text.Evaluate(t.Context(), m, l.trials()[0].Set.Set.In(l.work), "test")
		if err != nil {
			t.Fatal(err)
		}
		if test[trial.Trial] = loss.NatsPerChar; loss.NatsPerChar < test[least] {
			least = trial.Trial
		}
		if *trial.Nats < *res.Best.Nats {
			t.Errorf("trial %d has a lower validation loss than the best", trial.Trial)
		}
		t.Logf("trial %d: %.6f validation, %.6f test", trial.Trial, *trial.Nats, loss.NatsPerChar)
	}
	if least == res.Best.Trial {
		t.Error("the best trial has the lowest test loss too: the losses do not tell which of them chose it")
	}
	if res.Best.TestNats == nil || *res.Best.TestNats != test[res.Best.Trial] || *res.Best.TestNats == *res.Best.Nats {
		t.Errorf("the best is %+v, its test loss %v", res.Best, test[res.Best.Trial])
	}
	want := fmt.Sprintf("sweep: trial 2 (train.lr=0.02) is best: %.4f nats a character of the validation part, %.4f of the test part",
		*res.Best.Nats, *res.Best.TestNats)
	if l.swept(); l.lastLine() != want {
		t.Errorf("the last line is %q, want %q", l.lastLine(), want)
	}
}

// TestNoTestSplit has no test split in the set of the best trial.
func TestNoTestSplit(t *testing.T) {
	l := newLab(t, "sweep.prep.test.fraction=0,0.5")
	res := l.swept()
	want := fmt.Sprintf("sweep: trial 1 (prep.test.fraction=0) is best: %.4f nats a character of the validation part", *res.Best.Nats)
	if res.Best.Trial != 1 || res.Best.TestNats != nil || l.lastLine() != want {
		t.Errorf("the best is %+v, the last line %q, want %q", res.Best, l.lastLine(), want)
	}
}

// TestSameModel has two trials with the same set and key: the model is trained once.
func TestSameModel(t *testing.T) {
	l := newLab(t, "sweep.prep.stride=0,11")
	res := l.swept()
	ran := strings.Contains(l.console.String(), "sweep: 1 of 2 trials to run, on direct\n")
	if res.Trials[0].Run != res.Trials[1].Run || res.Best.Trial != 1 || !ran {
		t.Errorf("the trials are %+v, the console has\n%s", res.Trials, l.console.String())
	}
}

// TestImpossible has a trial that cannot be prepared, and one that cannot be trained:
// the error names it.
func TestImpossible(t *testing.T) {
	for set, want := range map[string]string{
		"sweep.prep.seq_length=10,5000": "sweep: trial 2 (prep.seq_length=5000): engine: direct: prepare: ",
		"sweep.train.batch=4,500":       "sweep: trial 2 (train.batch=500): train: ",
	} {
		if _, err := newLab(t, set).run(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %s…", set, err, want)
		}
	}
}

// TestDiverges has one trial that diverges, and then no other.
func TestDiverges(t *testing.T) {
	l := newLab(t, "sweep.train.weight_decay=10,0", "train.lr=10") // 10·10: each weight is taken away a hundred times
	res := l.swept()
	last := res.Trials[1]
	reason := fmt.Sprintf("train: step %d: ", last.Step)
	if res.Best.Trial != 2 || last.Trial != 1 || last.Nats != nil || last.Step == 0 || !strings.HasPrefix(last.Diverged, reason) {
		t.Errorf("the trials are %+v", res.Trials)
	}
	if _, err := os.Stat(filepath.Join(last.Run, "diverged.json")); err != nil {
		t.Error(err)
	}
	if l.swept(); strings.Count(l.console.String(), "nothing to do, ") != 2 {
		t.Errorf("the console of the second sweep has\n%s", l.console.String())
	}
	l.set[0] = "sweep.train.weight_decay=10"
	_, err := l.run()
	want := "sweep: trial 1 (train.weight_decay=10): it diverged, as did all others: " + last.Diverged
	if !errors.Is(err, ErrDiverged) || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

// TestByLoss orders equal losses by number, and trials without a loss last.
func TestByLoss(t *testing.T) {
	var trials []Trial
	for i, nats := range []float64{math.NaN(), 2, 1.5, math.NaN(), 2, -1, math.Inf(1)} {
		trial := Trial{Trial: i + 1, Nats: &nats}
		if math.IsNaN(nats) {
			trial.Nats = nil
		}
		trials = append(trials, trial)
	}
	for range 2 {
		slices.SortFunc(trials, byLoss)
		var got []int
		for _, trial := range trials {
			got = append(got, trial.Trial)
		}
		if want := []int{6, 3, 2, 5, 7, 1, 4}; !slices.Equal(got, want) {
			t.Errorf("the order is %v, want %v", got, want)
		}
		slices.Reverse(trials)
	}
}

// TestSecrets looks for the secrets of a config in the messages to workers and in the
// workdir after a sweep.
func TestSecrets(t *testing.T) {
	l := newLab(t, "sweep.train.lr=0.01,0.02", "notify.webhook=http://127.0.0.1:1/hushhush", "notify.command=echo hushhush")
	for _, trial := range l.trials() {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(trial); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b.Bytes(), []byte("hushhush")) || !bytes.Contains(b.Bytes(), []byte(l.work)) {
			t.Errorf("the message of trial %d is %q", trial.Number, b.Bytes())
		}
	}
	l.swept()
	files := 0
	err := filepath.WalkDir(l.work, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if files++; strings.Contains(l.read(path), "hushhush") {
				t.Errorf("%s has the secret", path)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

// TestHide: the sources of a trial have no secrets.
func TestHide(t *testing.T) {
	tried := &trial{Config: configs.Config{Notify: configs.Notify{Webhook: "https://hushhush", Command: "hushhush"},
		Corpus: configs.Corpus{Sources: []string{"https://me:hushhush@h.test/x?hushhush", "text.txt"}}}}
	tried.hide()
	if got := fmt.Sprintf("%+v", tried); strings.Contains(got, "hushhush") || !strings.Contains(got, "https://(secret)@h.test/x?(secret) text.txt") {
		t.Errorf("the trial is %s", got)
	}
}

// TestWorkdir sends workers the absolute path of a relative workdir.
func TestWorkdir(t *testing.T) {
	l := newLab(t, "sweep.train.lr=0.01", "workdir=work")
	t.Chdir(filepath.Dir(l.file))
	if got := l.trials()[0].Config.Workdir; got != l.work {
		t.Errorf("the workdir is %s, want %s", got, l.work)
	}
}

// TestSweepKey has the keys by which sweeps are found, also those of other versions of
// the program.
func TestSweepKey(t *testing.T) {
	two := []*trial{{Key: "0a1b2c", Values: "train.lr=0.01"}, {Key: "3d4e5f", Values: "train.lr=0.02"}}
	if got, want := sweepKey(two), "17aaa9bf42c1dd53659f"; got != want {
		t.Errorf("the key is %s, want %s", got, want)
	}
	slices.Reverse(two)
	if got, want := sweepKey(two), "68b57dbc261653c4e69d"; got != want {
		t.Errorf("the key in the other order is %s, want %s", got, want)
	}
	// Of a lab's trials, and the sweep of revision 596fe11.
	all := newLab(t, "sweep.train.lr=0.01,0.02").trials()
	if got, want := all[0].Key+" "+all[1].Key, "61a0c2deb66c360db0c8 0a4f6cd26e0ea3ceb274"; got != want {
		t.Errorf("the keys of the trials are %s, want %s", got, want)
	}
	if got, want := sweepKey(all), "a022e0e6e318b86a131e"; got != want {
		t.Errorf("the key of the sweep is %s, want %s", got, want)
	}
}
