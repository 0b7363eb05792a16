package train_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
)

// learning are runs with every state that a resume must restore: dropout,
// schedules, weight decay, early stop, the mean of the weights.
func learning() map[string]train.Options {
	all := map[string]train.Options{}
	for _, schedule := range []train.Schedule{train.Cosine, train.Plateau} {
		o := options()
		o.Shape.Layers, o.Epochs, o.Decay = 2, 3, 0.1
		o.Dropout, o.InputDropout, o.WeightDropout = 0.4, 0.1, 0.2
		o.Schedule, o.WarmupSteps, o.Patience = schedule, 3, 1
		o.Identity.Config = json.RawMessage(fmt.Sprintf(`{"train":{"epochs":3,"schedule":%q}}`, schedule))
		all[string(schedule)] = o
	}
	o := all[string(train.Cosine)]
	o.Average = 0.9
	all["average"] = o
	return all
}

// TestLearningResumes stops a run after every step and demands the files of an
// undisturbed one.
func TestLearningResumes(t *testing.T) {
	for name, o := range learning() {
		t.Run(name, func(t *testing.T) {
			whole := newStore(t)
			res := mustRun(t, whole, o, nil)
			want := last(t, whole)
			st := newStore(t)
			for range res.Step + 1 {
				ctx, cancel := context.WithCancel(context.Background())
				data := trainData()
				reads := 0
				data.read = func(int, int64) error {
					if reads++; reads > o.Batch { // one step done
						cancel()
					}
					return nil
				}
				_, err := runIn(ctx, st, data, validationData(), o, nil)
				cancel()
				if err == nil {
					break
				}
				if !errors.Is(err, train.ErrInterrupted) {
					t.Fatal(err)
				}
			}
			if got := last(t, st); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("files %v, want %v", got, want)
			}
		})
	}
}

// TestDropoutChanges demands that dropout, weight decay and the schedule each
// make other weights, and that the seed decides the values dropped.
func TestDropoutChanges(t *testing.T) {
	sums := map[string]string{}
	for name, change := range map[string]func(o *train.Options){
		"plain":    func(*train.Options) {},
		"dropout":  func(o *train.Options) { o.Dropout = 0.5 },
		"input":    func(o *train.Options) { o.InputDropout = 0.5 },
		"weights":  func(o *train.Options) { o.WeightDropout = 0.5 },
		"decay":    func(o *train.Options) { o.Decay = 0.5 },
		"cosine":   func(o *train.Options) { o.Schedule = train.Cosine },
		"warm-up":  func(o *train.Options) { o.WarmupSteps = 5 },
		"bad luck": func(o *train.Options) { o.Dropout, o.Seed = 0.5, 2 },
	} {
		o := options()
		change(&o)
		st := newStore(t)
		mustRun(t, st, o, nil)
		sum := pointerOf(t, st, "latest").SHA256
		for other, s := range sums {
			if s == sum {
				t.Errorf("%s and %s give the same checkpoint", name, other)
			}
		}
		sums[name] = sum
	}
}

// TestEarlyStop trains on data that validation never agrees with.
func TestEarlyStop(t *testing.T) {
	o := options()
	o.Epochs, o.Patience, o.LR = 50, 2, 0.3
	st := newStore(t)
	res := mustRun(t, st, o, nil)
	if res.Epoch >= 50 || res.Epoch < 3 || !res.Done {
		t.Fatalf("ended in epoch %d, done %v; want before epoch 50", res.Epoch, res.Done)
	}
	best := pointerOf(t, st, "best")
	if perEpoch := trainData().Len() / int64(o.Batch); res.Step-best.Step != 2*perEpoch {
		t.Errorf("ended at step %d, %d after the best; want %d", res.Step, res.Step-best.Step, 2*perEpoch)
	}
	if s, err := run.ReadState(context.Background(), st); err != nil || *s.Goal != (run.Goal{Steps: res.Step, Epochs: 50}) {
		t.Errorf("the journal says that it ends at %+v (%v), want step %d", s.Goal, err, res.Step)
	}
	again, err := runIn(context.Background(), st, trainData(), validationData(), o, nil)
	if err != nil || again.Step != res.Step {
		t.Errorf("started again, it came to step %d (%v), want %d", again.Step, err, res.Step)
	}
}

// TestEpochsOfIdentity: the number of epochs is part of the identity, unless the
// caller says that it may differ.
func TestEpochsOfIdentity(t *testing.T) {
	o := learning()["cosine"]
	st := newStore(t)
	mustRun(t, st, o, nil)
	o.Epochs, o.MayDiffer = 4, nil
	o.Identity.Config = json.RawMessage(`{"train":{"epochs":4,"schedule":"cosine"}}`)
	_, err := runIn(context.Background(), st, trainData(), validationData(), o, nil)
	var other *train.IdentityError
	if !errors.As(err, &other) || !strings.Contains(err.Error(), "train.epochs: the run has 3, now 4") {
		t.Errorf("error %v", err)
	}
}
