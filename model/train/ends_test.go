package train_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
)

// TestEnds: the step at which a run ends, by its options.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name       string
		epochs     int
		max        int64
		data       int64
		step       int64
		epoch      int
		hasNats    bool
		validation bool
	}{
		{"epochs", 2, 0, 9, 8, 2, true, true},
		{"no epochs", 0, 0, 9, 0, 0, false, true},
		{"no epochs, no data", 0, 0, 0, 0, 0, false, true},
		{"one step", 2, 1, 9, 1, 1, true, true},
		{"within epoch 2", 2, 5, 9, 5, 2, true, true},
		{"end of epoch 1", 2, 4, 9, 4, 1, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, o := newStore(t), options()
			o.Epochs, o.MaxSteps, o.EverySteps = c.epochs, c.max, 0
			var val train.Text = validationData()
			if !c.validation {
				val = &novel{} // a split of no sequences
			}
			res, err := runIn(context.Background(), st, &sequences{n: c.data}, val, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.Step != c.step || res.Epoch != c.epoch || !res.Done || (res.TrainNats != nil) != c.hasNats || (res.Validation != nil) != c.validation || res.Checkpoint != checkpoint.Path(c.step) {
				t.Errorf("result %+v", res)
			}
			p := pointerOf(t, st, "latest")
			if p.Step != c.step || (p.Loss != nil) != c.validation {
				t.Errorf("latest %+v", p)
			}
			if _, err := readPointer(st, "best"); (err == nil) != c.validation {
				t.Errorf("best: %v", err)
			}
			if got, _, err := run.Open(context.Background(), st.URL(), "best"); err != nil || got.Step != c.step {
				t.Errorf("best opens %+v, %v", got, err)
			}
		})
	}
	o := options()
	if _, err := runIn(context.Background(), newStore(t), &sequences{n: 1}, nil, o, nil); err == nil || !strings.Contains(err.Error(), "a batch takes 2 sequences, and the set has 1") {
		t.Errorf("too little data: %v", err)
	}
}

// TestMoreSteps: a run that ended early goes on to the end of an undisturbed one.
func TestMoreSteps(t *testing.T) {
	whole, o := newStore(t), options()
	mustRun(t, whole, o, nil)
	st := newStore(t)
	for _, o.MaxSteps = range []int64{1, 4, 6, 0} {
		mustRun(t, st, o, nil)
	}
	if got, want := contents(t, st)[checkpoint.Path(8)], contents(t, whole)[checkpoint.Path(8)]; got != want {
		t.Error("the last checkpoint is another")
	}
	o.Epochs = 3
	o.Identity.Config = json.RawMessage(strings.Replace(string(o.Identity.Config), `"epochs":2`, `"epochs":3`, 1))
	if res := mustRun(t, st, o, nil); res.Step != 12 || res.Resumed != 8 {
		t.Errorf("a third epoch: %+v", res)
	}
	whole = newStore(t)
	mustRun(t, whole, o, nil)
	if got, want := contents(t, st)[checkpoint.Path(12)], contents(t, whole)[checkpoint.Path(12)]; got != want {
		t.Error("with a third epoch, the last checkpoint is another")
	}
}

// outOfRange has an id outside the vocabulary in the batch of step 3.
type outOfRange struct{ *sequences }

func (d *outOfRange) Read(ctx context.Context, epoch int, position int64, dst []int32) error {
	err := d.sequences.Read(ctx, epoch, position, dst)
	if epoch == 1 && position == 4 {
		dst[0] = testV
	}
	return err
}

// TestNaN: a loss that is NaN ends a run, and the step is not saved.
func TestNaN(t *testing.T) {
	ctx := context.Background()
	st, o := newStore(t), options()
	o.EverySteps, o.MaxSteps = 0, 4
	mustRun(t, st, o, nil)
	before := contents(t, st)
	o.LR, o.MaxSteps = 1e38, 0 // nothing compares the options with the identity, so this goes on
	_, err := runIn(ctx, st, trainData(), validationData(), o, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "train: step 6: ") || !strings.Contains(err.Error(), "is NaN") {
		t.Errorf("%v", err)
	}
	after := contents(t, st)
	for _, files := range []map[string]string{after, before} {
		delete(files, run.JournalName) // it says where the training would have ended
	}
	if !reflect.DeepEqual(after, before) {
		t.Errorf("it left %v, before were %v", after, before)
	}

	st, o = newStore(t), options()
	o.EverySteps, o.MaxSteps = 0, 2
	mustRun(t, st, o, nil)
	best := pointerOf(t, st, "best")
	o.LR, o.MaxSteps = 1e38, 0
	_, err = runIn(ctx, st, trainData(), validationData(), o, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "train: step 4: the validation loss is NaN") {
		t.Errorf("validation: %v", err)
	}
	if got := pointerOf(t, st, "best"); !reflect.DeepEqual(got, best) {
		t.Errorf("validation: best is %+v, before was %+v", got, best)
	}

	var diverged *train.DivergedError
	if !errors.As(err, &diverged) || diverged.Step != 4 {
		t.Errorf("validation: %v is no divergence of step 4", err)
	}
	data := &outOfRange{trainData()}
	if _, err := runIn(ctx, newStore(t), data, nil, options(), nil); err == nil || errors.As(err, &diverged) || !strings.HasPrefix(err.Error(), "train: step 3: ") {
		t.Errorf("an id outside the vocabulary: %v, which is no divergence", err)
	}

	st, o.LR, o.MaxSteps = newStore(t), 1e200, 1
	_, err = runIn(ctx, st, trainData(), nil, o, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "train: step 1: value 0 of embedding.weight is ") {
		t.Errorf("weights: %v", err)
	}
	if got := contents(t, st); len(got) != 1 || got[run.JournalName] == "" {
		t.Errorf("weights: it left %v", got)
	}
}

// TestFurther: a run that is further than a training ends is an error, and stays as it
// is. The training may end by its epochs, its steps, or because no loss is lower.
func TestFurther(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(o *train.Options)
		want   train.AheadError
	}{
		{"epochs", func(o *train.Options) { o.Epochs = 1 }, train.AheadError{Step: 8, Asked: 4, Kept: true}},
		{"no epochs", func(o *train.Options) { o.Epochs = 0 }, train.AheadError{Step: 8, Asked: 0}},
		{"steps", func(o *train.Options) { o.MaxSteps = 7 }, train.AheadError{Step: 8, Asked: 7}},
	} {
		st, o := newStore(t), options()
		o.EverySteps, o.KeepLast = 0, 3
		mustRun(t, st, o, nil)
		before := contents(t, st)
		c.change(&o)
		var got *train.AheadError
		if _, err := runIn(t.Context(), st, trainData(), validationData(), o, nil); !errors.As(err, &got) || *got != c.want {
			t.Errorf("%s: %v, want %+v", c.name, err, c.want)
		}
		if err := compatible(t.Context(), st, o); !errors.As(err, &got) || *got != c.want {
			t.Errorf("%s: compatible: %v, want %+v", c.name, err, c.want)
		}
		if after := contents(t, st); !reflect.DeepEqual(after, before) {
			t.Errorf("%s: it left %v, before were %v", c.name, after, before)
		}
	}

	st, o := newStore(t), options()
	o.EverySteps, o.Epochs, o.Patience, o.LR = 0, 50, 2, 0.3 // validation never agrees with the data
	early := mustRun(t, st, o, nil)
	if again := mustRun(t, st, o, nil); again.Step != early.Step || early.Epoch == 50 {
		t.Errorf("with patience it ends at %+v, started again at %+v", early, again)
	}
	st, o.Patience, o.Epochs, o.KeepLast = newStore(t), 0, early.Epoch+1, 2
	whole := mustRun(t, st, o, nil)
	o.Patience = 2
	var got *train.AheadError
	_, err := runIn(t.Context(), st, trainData(), validationData(), o, nil)
	if want := (train.AheadError{Step: whole.Step, Asked: early.Step, Kept: true}); !errors.As(err, &got) || *got != want {
		t.Errorf("patience: %v, want %+v", err, want)
	}
}
