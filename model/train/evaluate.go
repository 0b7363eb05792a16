package train

import (
	"context"
	"fmt"
	"sort"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/rnn"
)

const (
	evaluateRows = 32  // streams that Evaluate runs side by side
	evaluateWarm = 256 // characters that a row reads before its first prediction
)

// Evaluate returns the loss of a model on a text: the mean cross-entropy of the
// predicted characters, in nats, and their number. Every loss of a text that quire
// reports or compares is this one, but for that of EvaluateWindows.
//
// Every character of a stretch but the first is predicted once, from the hidden
// that the characters before it leave. To go faster, the predictions are divided
// in order among 32 rows, as evenly as possible. A row starts with zero hidden,
// 256 characters before its first prediction, or where that stretch begins. The
// hidden is zero again where another stretch begins. The losses are summed row by
// row. Without a character to predict nats is NaN.
func Evaluate(ctx context.Context, w *rnn.Weights, text Text) (nats float64, chars int64, err error) {
	return evaluate(ctx, decode.New(w, evaluateRows), text, 0)
}

// EvaluateWindows is Evaluate of a model that forgets: its hidden is zero again at every
// multiple of window characters of a stretch. So a window reads that number of characters and
// predicts those that follow them, one further on; the last window of a stretch may be shorter.
// The same characters are predicted as by Evaluate, each once.
//
// A row begins with the window of its first prediction.
func EvaluateWindows(ctx context.Context, w *rnn.Weights, text Text, window int) (nats float64, chars int64, err error) {
	if window < 1 {
		return 0, 0, fmt.Errorf("train: windows of %d characters", window)
	}
	return evaluate(ctx, decode.New(w, evaluateRows), text, int64(window))
}

// EvaluateMemory returns the bytes that Evaluate and EvaluateWindows take for weights of a
// shape, beside the weights.
func EvaluateMemory(s rnn.Shape) int64 { return decode.Memory(s, evaluateRows) }

// evaluate is Evaluate with evaluateRows streams that have zero hidden, or with a window
// EvaluateWindows.
func evaluate(ctx context.Context, m predictor, text Text, window int64) (nats float64, chars int64, err error) {
	e := newEvaluation(text, window)
	ids, targets := make([]int32, evaluateRows), make([]int32, evaluateRows)
	sums := make([]float64, evaluateRows)
	for {
		busy := false
		for b, r := range e.rows {
			if r.left == 0 {
				continue
			}
			busy = true
			began, err := e.next(ctx, r, &ids[b], &targets[b])
			if err != nil {
				return 0, 0, err
			}
			if began {
				m.Forget(b)
			}
		}
		if !busy {
			break
		}
		losses, err := m.Losses(ids, targets)
		if err != nil {
			return 0, 0, err
		}
		for b, r := range e.rows {
			if r.counts() {
				sums[b] += losses[b]
			}
		}
	}
	for _, s := range sums {
		nats += s
	}
	return nats / float64(e.chars), e.chars, nil
}

// validate returns the loss of the model over the validation part, nil where
// there is none.
func (r *training) validate(ctx context.Context) (*float64, error) {
	if r.val == nil {
		return nil, nil
	}
	m, err := r.trainer.machine.validator()
	if err != nil {
		return nil, err
	}
	nats, chars, err := evaluate(ctx, m, r.val, 0)
	if err != nil || chars == 0 {
		return nil, err
	}
	if !finite(nats) {
		return nil, &DivergedError{r.step, fmt.Errorf("the validation loss is %g", nats)}
	}
	return &nats, nil
}

// evaluation is the progress of one Evaluate.
type evaluation struct {
	text   Text
	window int64   // characters after which the hidden is zero again; 0: a stretch
	starts []int64 // first character of each stretch, and the end
	chars  int64   // to be predicted
	rows   []*evaluationRow
}

// evaluationRow is the progress of one row.
type evaluationRow struct {
	stretch int
	at      int64   // character of the stream that is read next
	warm    int64   // characters to read before one counts
	left    int64   // predictions that count, to be made
	scored  bool    // whether the last prediction counts
	ids     []int32 // the characters from at on
	buffer  []int32
}

func newEvaluation(text Text, window int64) *evaluation {
	const ahead = 1024 // characters that a row reads at once
	e := &evaluation{text: text, window: window, starts: []int64{0}}
	before := []int64{0} // predictions before each stretch
	for k, chars := range text.Stretches() {
		e.chars += max(0, chars-1)
		e.starts, before = append(e.starts, e.starts[k]+chars), append(before, e.chars)
	}
	for b := range int64(evaluateRows) {
		from, to := e.chars*b/evaluateRows, e.chars*(b+1)/evaluateRows
		r := &evaluationRow{left: to - from, buffer: make([]int32, ahead)}
		e.rows = append(e.rows, r)
		if r.left > 0 {
			r.stretch = sort.Search(len(before), func(k int) bool { return before[k] > from }) - 1
			first := from - before[r.stretch]
			r.warm = min(evaluateWarm, first)
			if window > 0 {
				r.warm = first % window
			}
			r.at = e.starts[r.stretch] + first - r.warm
		}
	}
	return e
}

// next sets id to the next character of a row and target to the character after
// that. began says whether a stretch or a window begins with id.
func (e *evaluation) next(ctx context.Context, r *evaluationRow, id, target *int32) (began bool, err error) {
	for r.at+1 >= e.starts[r.stretch+1] {
		r.stretch++
		r.at, r.ids, began = e.starts[r.stretch], nil, true
	}
	if e.window > 0 && (r.at-e.starts[r.stretch])%e.window == 0 {
		began = true
	}
	if len(r.ids) < 2 {
		r.ids = r.buffer[:min(int64(len(r.buffer)), e.starts[r.stretch+1]-r.at)]
		if err := e.text.ReadAt(ctx, r.at, r.ids); err != nil {
			return false, err
		}
	}
	*id, *target = r.ids[0], r.ids[1]
	r.ids = r.ids[1:]
	r.at++
	if r.scored = r.warm == 0; r.scored {
		r.left--
	} else {
		r.warm--
	}
	return began, nil
}

// counts reports whether the last prediction counts. A second call reports false.
func (r *evaluationRow) counts() bool {
	scored := r.scored
	r.scored = false
	return scored
}
