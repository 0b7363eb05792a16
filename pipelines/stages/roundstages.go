package stages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// recall decodes the recorded result of a stage into *to; false without one.
func recall[T any](recorded json.RawMessage, to **T) (bool, error) {
	if recorded == nil {
		return false, nil
	}
	*to = new(T)
	if err := json.Unmarshal(recorded, *to); err != nil {
		return false, fmt.Errorf("stages: recorded result: %w", err)
	}
	return true, nil
}

// again is why a stage runs that has nothing but the record to be found in.
const again = "this round has no record yet"

func (r *round) findPrep(ctx context.Context, _ json.RawMessage) (any, string, error) {
	st, err := r.st.Sub(r.set)
	if err != nil {
		return nil, "", err
	}
	diffs, err := setDifferences(ctx, st, r.c, r.corpus)
	switch {
	case errors.Is(err, store.ErrNotExist):
		return nil, "there is no set of this corpus with these prep settings yet", nil
	case err != nil:
		return nil, "", err
	case len(diffs) > 0:
		return nil, "", fmt.Errorf("stages: %s is not the set of its name: %v; delete it", st.URL(), diffs)
	}
	if _, err := r.runPrep(ctx); err != nil {
		return nil, "", err
	}
	return r.prep, "the set is there, made from the same corpus by the same prep settings: " + r.setDir(), nil
}

func (r *round) runPrep(ctx context.Context) (_ any, err error) {
	r.prep, err = Prep(ctx, r.c, r.corpus, PrepOptions{Out: r.setDir(), Runner: r.o.Runner, Verbose: r.o.Verbose, Console: r.o.Console})
	return r.prep, err
}

func (r *round) findTrain(ctx context.Context, recorded json.RawMessage) (any, string, error) {
	st, err := r.st.Sub(r.run)
	if err != nil {
		return nil, "", err
	}
	p, _, err := checkpoint.ReadPointer(ctx, st, "latest")
	if errors.Is(err, store.ErrNotExist) {
		return nil, "no model was trained on this set with these settings yet", nil
	}
	if err != nil {
		return nil, "", badRun(ctx, err)
	}
	ok, err := recall(recorded, &r.train)
	if err != nil {
		return nil, "", err
	}
	if !ok || p.Step != r.train.Step {
		return nil, fmt.Sprintf("the training has come to step %d", p.Step), nil
	}
	if err := r.openModel(ctx); err != nil {
		return nil, "", err
	}
	r.train.Run, r.train.Checkpoint = r.runDir(), Locate(r.runDir(), checkpoint.Path(p.Step))
	return r.train, fmt.Sprintf("trained to step %d on the same set with the same settings: %s", p.Step, r.runDir()), nil
}

func (r *round) runTrain(ctx context.Context) (any, error) {
	var err error
	r.train, err = Train(ctx, r.c, TrainOptions{Set: r.setDir(), Out: r.runDir(), Config: r.o.Config, Console: r.o.Console})
	if err != nil {
		return nil, err
	}
	return r.train, r.openModel(ctx)
}

// openModel reads the run's best checkpoint and verifies it.
func (r *round) openModel(ctx context.Context) (err error) {
	r.model, err = OpenModel(ctx, r.runDir(), "best")
	return err
}

func (r *round) findEvaluate(_ context.Context, recorded json.RawMessage) (any, string, error) {
	ok, err := recall(recorded, &r.eval)
	if err != nil || !ok {
		return nil, again, err
	}
	r.eval.Checkpoint = r.model.Path
	return r.eval, fmt.Sprintf("%.4f nats a character, recorded for this checkpoint", r.eval.NatsPerChar), nil
}

func (r *round) runEvaluate(ctx context.Context) (_ any, err error) {
	if r.eval, err = Evaluate(ctx, r.model, r.setDir()); err != nil {
		return nil, err
	}
	r.o.Console.Line("evaluate: %.4f nats, %.4f bits a character on the %s part (unigram %.4f, bigram %.4f nats)",
		r.eval.NatsPerChar, r.eval.BitsPerChar, r.eval.Split, r.prep.UnigramNats, r.prep.BigramNats)
	return r.eval, nil
}

func (r *round) findGate(_ context.Context, recorded json.RawMessage) (any, string, error) {
	ok, err := recall(recorded, &r.gate)
	if err != nil || !ok {
		return nil, again, err
	}
	return r.gate, "decided before: " + r.gate.Reason, nil
}

func (r *round) runGate(context.Context) (any, error) {
	nats, what := r.eval.NatsPerChar, "validation loss"
	if r.prep.Sequences.Validation == 0 {
		if r.train.TrainNats != nil {
			nats = *r.train.TrainNats
		}
		what = "training loss"
	}
	r.gate = decide(nats, r.prep.UnigramNats, what)
	r.o.Console.Line("gate: %s", r.gate.Reason)
	return r.gate, nil
}

// decide lets a loss pass that is finite and below the unigram entropy.
func decide(nats, unigram float64, what string) *GateResult {
	g := &GateResult{Nats: nats, UnigramNats: unigram, Passed: nats < unigram && !math.IsInf(nats, -1)}
	verdict := "passed"
	if !g.Passed {
		verdict = "refused"
	}
	g.Reason = fmt.Sprintf("%s: %s %.4f nats a character, it must be below the unigram entropy %.4f", verdict, what, nats, unigram)
	return g
}

func (r *round) findPromote(ctx context.Context, _ json.RawMessage) (any, string, error) {
	p, _, err := readPromoted(ctx, r.st)
	switch {
	case errors.Is(err, store.ErrNotExist) && !r.gate.Passed:
		return &Promoted{}, "the gate refused, and no model is promoted", nil
	case errors.Is(err, store.ErrNotExist):
		return nil, "no model is promoted yet", nil
	case err != nil:
		return nil, "", err
	case p.Checkpoint == r.relative():
		return p, "this model is the promoted one", nil
	case !r.gate.Passed:
		return p, "the gate refused; the promoted model stays " + p.Checkpoint, nil
	}
	return nil, "another model is the promoted one: " + p.Checkpoint, nil
}

func (r *round) runPromote(ctx context.Context) (any, error) {
	_, generation, err := readPromoted(ctx, r.st)
	if err != nil && !errors.Is(err, store.ErrNotExist) {
		return nil, err
	}
	p := &Promoted{Format: promotedFormat, Checkpoint: r.relative(), Round: r.key, Nats: r.gate.Nats}
	return p, writePromoted(ctx, r.st, p, generation)
}

// relative returns the checkpoint's name below the workdir.
func (r *round) relative() string {
	return r.run + "/" + checkpoint.Path(r.model.Step)
}

func (r *round) findSample(_ context.Context, recorded json.RawMessage) (any, string, error) {
	ok, err := recall(recorded, &r.sample)
	if err != nil || !ok {
		return nil, again, err
	}
	return r.sample, "written before by this model with these generate settings", nil
}

func (r *round) runSample(ctx context.Context) (any, error) {
	g, err := Generate(ctx, r.model, r.c.Generate, io.Discard)
	if err != nil {
		return nil, err
	}
	r.sample = &SampleResult{Text: g.Texts[0], Seed: g.Seed}
	return r.sample, nil
}
