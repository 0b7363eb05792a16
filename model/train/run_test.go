package train_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/runners/store"
)

const (
	testV = 7
	testL = 5
)

// sequences is data of n sequences of a fixed text, in another order each epoch.
type sequences struct {
	n    int64
	read func(epoch int, position int64) error // called first, may be nil
}

func (s *sequences) Len() int64 { return s.n }

func (s *sequences) Read(ctx context.Context, epoch int, position int64, dst []int32) error {
	if s.read != nil {
		if err := s.read(epoch, position); err != nil {
			return err
		}
	}
	at := (position*5 + int64(epoch-1)*3) % s.n * int64(len(dst))
	for i := range dst {
		x := at + int64(i)
		dst[i] = int32((x + x*x/3) % testV)
	}
	return ctx.Err()
}

// options are those of a run of 2 epochs of 4 steps on 9 sequences.
func options() train.Options {
	return train.Options{
		Shape:     rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: testV, Embedding: 3, Hidden: 4},
		SeqLength: testL, Batch: 2, LR: 0.01, TrainerOptions: train.TrainerOptions{Clip: 1, Seed: 1},
		Epochs: 2, EverySteps: 3, LogEvery: 2, Retention: run.Retention{KeepLast: 100, KeepBest: true},
		Identity: checkpoint.Metadata{Cell: "gru", Config: json.RawMessage(`{"model":{"hidden":4},"train":{"epochs":2,"lr":0.01}}`),
			Vocab: json.RawMessage(`["abcdefg"]`), Unit: "rune", Normalize: "none", Set: "5e7"},
		MayDiffer: []string{"train.epochs"},
	}
}

func trainData() *sequences { return &sequences{n: 9} }

// validationData has 3 sequences of 6 characters that do not follow one another.
func validationData() *novel { return &novel{stretches: []int64{6, 6, 6}} }

func newStore(t testing.TB) *store.Store { return openStore(t, t.TempDir()) }

func openStore(t testing.TB, url string) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// runIn holds the run in st while it trains.
func runIn(ctx context.Context, st *store.Store, data train.Data, val train.Text, o train.Options, observe func(train.Report) error) (*train.Result, error) {
	dir, err := run.Acquire(context.WithoutCancel(ctx), st, nil)
	if err != nil {
		return nil, err
	}
	res, err := train.Run(ctx, dir, data, val, o, observe)
	if releaseErr := dir.Release(ctx); err == nil {
		err = releaseErr
	}
	return res, err
}

// compatible holds the run in st while it compares it with o.
func compatible(ctx context.Context, st *store.Store, o train.Options) error {
	dir, err := run.Acquire(ctx, st, nil)
	if err != nil {
		return err
	}
	_, err = train.Compatible(ctx, dir, trainData(), o)
	return errors.Join(err, dir.Release(ctx))
}

// mustRun runs to the end.
func mustRun(t testing.TB, st *store.Store, o train.Options, observe func(train.Report) error) *train.Result {
	t.Helper()
	res, err := runIn(context.Background(), st, trainData(), validationData(), o, observe)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// contents returns the sha256 of each object of a store, by name.
func contents(t testing.TB, st *store.Store) map[string]string {
	t.Helper()
	list, err := st.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, info := range list {
		data, _, err := st.Read(context.Background(), info.Name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		out[info.Name] = hex.EncodeToString(sum[:])
	}
	return out
}

// steps returns the steps of the checkpoints in a store.
func steps(t testing.TB, st *store.Store) []int64 {
	t.Helper()
	var out []int64
	for s := range int64(100) {
		if _, ok := contents(t, st)[checkpoint.Path(s)]; ok {
			out = append(out, s)
		}
	}
	return out
}

func pointerOf(t testing.TB, st *store.Store, which string) checkpoint.Pointer {
	t.Helper()
	p, err := readPointer(st, which)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// readPointer reads latest.json or best.json, without the fallback of run.Find.
func readPointer(st *store.Store, which string) (p checkpoint.Pointer, err error) {
	data, _, err := st.Read(context.Background(), which+".json")
	if err == nil {
		err = store.UnmarshalSealed(which, data, &p)
	}
	return p, err
}

// TestRun pins the reports and the files of a run, to the last bit of its weights.
func TestRun(t *testing.T) {
	st := newStore(t)
	var reports []train.Report
	res := mustRun(t, st, options(), func(r train.Report) error {
		if r.PerSecond < 0 || math.IsNaN(r.PerSecond) || r.Nats > 0 && r.PerSecond == 0 {
			t.Errorf("%g characters a second at step %d", r.PerSecond, r.Step)
		}
		if (r.Weights != nil) != r.EpochEnd || (r.LR != 0) != (r.Nats != 0) {
			t.Errorf("step %d, epoch's end %v: weights %v, learning rate %v", r.Step, r.EpochEnd, r.Weights != nil, r.LR)
		}
		r.PerSecond, r.Weights = 0, nil
		reports = append(reports, r)
		return nil
	})
	v1, v2 := 1.8760256313671042, 1.8041421064997178
	want := []train.Report{
		{Step: 1, Steps: 8, Epoch: 1, Nats: 1.9476872494681152, LR: 0.01, GradientNorm: 0.42478706846343733},
		{Step: 2, Steps: 8, Epoch: 1, Nats: 1.9248718766686792, LR: 0.01, GradientNorm: 0.48586456573217573},
		{Step: 3, Steps: 8, Epoch: 1, Saved: checkpoint.Path(3)},
		{Step: 4, Steps: 8, Epoch: 1, Nats: 1.8990196696702175, LR: 0.01, GradientNorm: 0.44157639501365475},
		{Step: 4, Steps: 8, Epoch: 1, Saved: checkpoint.Path(4)},
		{Step: 4, Steps: 8, Epoch: 1, EpochEnd: true, EpochNats: 1.9230538482919255, Validation: &v1},
		{Step: 6, Steps: 8, Epoch: 2, Nats: 1.8899789149270945, LR: 0.01, GradientNorm: 0.38392021081589456},
		{Step: 6, Steps: 8, Epoch: 2, Saved: checkpoint.Path(6)},
		{Step: 8, Steps: 8, Epoch: 2, Nats: 1.867270266148342, LR: 0.01, GradientNorm: 0.38228017263334824},
		{Step: 8, Steps: 8, Epoch: 2, Saved: checkpoint.Path(8)},
		{Step: 8, Steps: 8, Epoch: 2, EpochEnd: true, EpochNats: 1.8693252120165258, Validation: &v2},
	}
	if !reflect.DeepEqual(reports, want) {
		got, _ := json.MarshalIndent(reports, "", " ")
		t.Errorf("reports are %s", got)
	}
	if res.Step != 8 || res.Epoch != 2 || !res.Done || res.Resumed != 0 || res.Checkpoint != checkpoint.Path(8) || *res.TrainNats != 1.8693252120165258 || *res.Validation != v2 || !(res.PerSecond > 0) {
		t.Errorf("result %+v", res)
	}
	if got := steps(t, st); !slices.Equal(got, []int64{3, 4, 6, 8}) {
		t.Errorf("checkpoints of steps %v", got)
	}
	p := pointerOf(t, st, "latest")
	if p.Step != 8 || *p.Loss != v2 {
		t.Errorf("latest %+v", p)
	}
	if best := pointerOf(t, st, "best"); !reflect.DeepEqual(best, p) {
		t.Errorf("best %+v, want %+v", best, p)
	}
	if p.SHA256 != "70b3b8044eebc31425efb4d2ef2ec2f33581597f7a67a21912be38ddf2c931e6" {
		t.Errorf("sha256 of the last checkpoint is %s", p.SHA256)
	}
	if again := mustRun(t, st, options(), nil); again.Step != 8 || again.Resumed != 8 || !again.Done || again.PerSecond != 0 || *again.Validation != v2 || *again.TrainNats != *res.TrainNats {
		t.Errorf("a finished run again: %+v", again)
	}
}

// TestMetrics: a checkpoint holds the history so far.
func TestMetrics(t *testing.T) {
	st := newStore(t)
	mustRun(t, st, options(), nil)
	for step, want := range map[int64]string{
		3: `{"epochs":null,"epoch_sum_nats":5.793195723497484,"epoch_steps":3}`,
		4: `{"epochs":[{"epoch":1,"step":4,"epoch_train_nats":1.9230538482919255}],"epoch_sum_nats":0,"epoch_steps":0}`,
		6: `{"epochs":[{"epoch":1,"step":4,"epoch_train_nats":1.9230538482919255,"validation_nats":1.8760256313671042}],"epoch_sum_nats":3.7735938802466897,"epoch_steps":2}`,
	} {
		c, _, err := run.Open(context.Background(), st.Join(checkpoint.Path(step)), "")
		if err != nil {
			t.Fatal(err)
		}
		if string(c.Metrics) != want || c.Step != step || c.Epoch != int(step-1)/4+1 {
			t.Errorf("step %d, epoch %d: metrics %s, want %s", c.Step, c.Epoch, c.Metrics, want)
		}
	}
}

// TestUnsavedNumbers: options that do not decide the weights do not change the last
// checkpoint.
func TestUnsavedNumbers(t *testing.T) {
	st := newStore(t)
	mustRun(t, st, options(), nil)
	want := contents(t, st)[checkpoint.Path(8)]
	for name, change := range map[string]func(*train.Options){
		"every_steps 0": func(o *train.Options) { o.EverySteps = 0 }, "every_steps 1": func(o *train.Options) { o.EverySteps = 1 },
		"keep_last": func(o *train.Options) { o.KeepLast = 1 }, "keep_best": func(o *train.Options) { o.KeepBest = false },
		"log_every": func(o *train.Options) { o.LogEvery = 0 }, "max_steps": func(o *train.Options) { o.MaxSteps = 1000 },
	} {
		st, o := newStore(t), options()
		change(&o)
		mustRun(t, st, o, nil)
		if got := contents(t, st)[checkpoint.Path(8)]; got != want {
			t.Errorf("%s changes the last checkpoint", name)
		}
	}
}

func TestKeep(t *testing.T) {
	for _, c := range []struct {
		name     string
		last     int
		keepBest bool
		bestAt   int64 // makes this step's validation loss the lowest
		want     []int64
	}{
		{"all", 100, true, 8, []int64{1, 2, 3, 4, 5, 6, 7, 8}},
		{"3", 3, true, 8, []int64{6, 7, 8}},
		{"1", 1, true, 8, []int64{8}},
		{"none but the pointers'", 0, true, 8, []int64{8}},
		{"best too", 2, true, 4, []int64{4, 7, 8}},
		{"without best", 2, false, 4, []int64{7, 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, o := newStore(t), options()
			o.EverySteps, o.KeepLast, o.KeepBest = 1, c.last, c.keepBest
			if c.bestAt == 4 {
				o.LR = -0.01 // the loss goes up
			}
			mustRun(t, st, o, nil)
			if got := steps(t, st); !slices.Equal(got, c.want) {
				t.Errorf("checkpoints of steps %v, want %v", got, c.want)
			}
			for _, which := range []string{"latest", "best"} {
				got, _, err := run.Open(context.Background(), st.URL(), which)
				if err != nil {
					t.Fatal(err)
				}
				if want := map[string]int64{"latest": 8, "best": c.bestAt}[which]; got.Step != want && (c.keepBest || got.Step != 8) {
					t.Errorf("%s is step %d, want %d", which, got.Step, want)
				}
			}
			// Without KeepBest, an earlier best checkpoint stays readable.
			o.Epochs, o.KeepBest = 3, false
			mustRun(t, st, o, nil)
			if _, _, err := run.Open(context.Background(), st.URL(), "best"); err != nil {
				t.Error(err)
			}
		})
	}
}
