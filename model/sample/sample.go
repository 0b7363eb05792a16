// Package sample draws the next character from a network's logits.
//
// A distribution is made in this order, that of Hugging Face's generate:
//
//  1. bias: a number is added to the logits of some ids;
//  2. repetition penalty: the logits of the ids seen so far, in the prompt and in the
//     text, all of both, are divided by it where they are positive, and multiplied by it
//     where they are not (Keskar et al., CTRL, 2019; in the form of Hugging Face); 1 is
//     off;
//  3. ban: the logits of some ids become -Inf;
//  4. logits / temperature; a temperature of 0 keeps the largest logit alone;
//  5. top-k: the k largest stay, equal ones in order of id; 0 is off;
//  6. top-p: of the softmax over the ids left, in descending order, equal ones in
//     order of id, the shortest prefix whose sum is at least p stays; it has at
//     least one id; 1 is off;
//  7. min-p: of the ids left, those stay whose probability is at least p of the
//     likeliest's (Nguyen et al., 2024); 0 is off;
//  8. softmax over the ids left.
//
// An id whose logit is -Inf is never drawn. The results of steps 1 and 2 are float32,
// each rounded once. From step 4 on everything is float64, relative to the largest
// logit, so that no logits overflow and small differences of large ones count.
//
// Draws are the same on every processor: exponentials are a polynomial without
// fused operations, sums have one order (that of ids where top-k and top-p are
// off, else descending), and random numbers come from SplitMix64.
package sample

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Options shape the distribution. The zero value with TopP: 1 takes the most
// likely character; without, it is not valid.
type Options struct {
	Temperature       float64           // divides the logits; 0 takes the largest
	TopK              int               // characters kept, 0 for all
	TopP              float64           // probability kept, above 0; 1 and more keep all
	MinP              float64           // probability kept, as a share of the likeliest's, 0 to 1; 0 keeps all
	RepetitionPenalty float64           // above 1 for less of what was seen, below 1 for more; 0 and 1 are off
	Ban               []int32           // never drawn
	Bias              map[int32]float64 // added to the logits
}

func (o Options) check() error {
	switch {
	case !(o.Temperature >= 0) || math.IsInf(o.Temperature, 1):
		return fmt.Errorf("sample: temperature is %g, want 0 or more", o.Temperature)
	case o.TopK < 0:
		return fmt.Errorf("sample: top_k is %d, want 0 (off) or more", o.TopK)
	case !(o.TopP > 0):
		return fmt.Errorf("sample: top_p is %g, want above 0; 1 is off", o.TopP)
	case !(o.MinP >= 0 && o.MinP <= 1):
		return fmt.Errorf("sample: min_p is %g, want 0 (off) to 1", o.MinP)
	case !(o.RepetitionPenalty >= 0) || math.IsInf(o.RepetitionPenalty, 1):
		return fmt.Errorf("sample: repetition_penalty is %g, want above 0; 1 is off", o.RepetitionPenalty)
	}
	for _, id := range slices.Sorted(maps.Keys(o.Bias)) {
		if b := o.Bias[id]; math.IsNaN(b) || math.IsInf(b, 0) {
			return fmt.Errorf("sample: bias of id %d is %g, want a finite number", id, b)
		}
	}
	return nil
}

// Sampler draws ids for one text. It is for one goroutine at a time.
type Sampler struct {
	o       Options
	random  random
	ids     []int32   // kept, in the order of their sum
	weights []float64 // e^(logit/temperature) of ids, the largest being 1
	sum     float64   // of weights, in order
	heap    []entry
	adjust  adjust
}

// New returns a sampler. The same options, seed and stream give the same draws
// from the same logits. Streams of one seed are independent. An option out of
// range is an error.
func New(o Options, seed int64, stream uint64) (*Sampler, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Sampler{o: o, random: newRandom(seed, stream), adjust: newAdjust(o)}, nil
}

// Next draws an id from logits (V), by one random number. A logit that is NaN or
// +Inf, after bias and penalty too, no logits, or only -Inf are an error, and use up no
// random number; so is a ban or a bias of an id outside of them. After the first call
// Next allocates nothing.
func (s *Sampler) Next(logits []float32) (int32, error) {
	if err := s.keep(logits); err != nil {
		return 0, err
	}
	id := s.ids[s.pick(s.random.uniform()*s.sum)]
	s.adjust.see(id)
	return id, nil
}

// See tells of a character of the text that Next has not drawn, such as one of its
// prompt. The repetition penalty alone depends on it.
func (s *Sampler) See(id int32) { s.adjust.see(id) }

// pick returns the first position at which the running sum of the weights exceeds
// at. at is below their sum.
func (s *Sampler) pick(at float64) int {
	var sum float64
	for i, w := range s.weights {
		if sum += w; sum > at {
			return i
		}
	}
	panic("sample: a uniform number is not below 1")
}

// keep fills ids, weights and sum.
func (s *Sampler) keep(logits []float32) error {
	s.ids, s.weights, s.sum = s.ids[:0], s.weights[:0], 0
	logits, err := s.adjust.adjusted(logits)
	if err != nil {
		return err
	}
	best, err := argmax(logits)
	if err != nil {
		return err
	}
	top := float64(logits[best])
	switch {
	case s.o.Temperature == 0 || s.o.TopK == 1:
		s.add(best, 1)
	case s.o.TopK > 0 && s.o.TopK < len(logits):
		s.topK(logits, top)
		s.topP(s.sum)
	case s.o.TopP < 1:
		s.nucleus(logits, top)
	default:
		s.all(logits, top)
	}
	s.minP()
	return nil
}

// all keeps every id above -Inf.
func (s *Sampler) all(logits []float32, top float64) {
	ids, weights, sum := s.ids, s.weights, 0.0
	for id, l := range logits {
		if l > negInf {
			w := s.weight(l, top)
			ids, weights, sum = append(ids, int32(id)), append(weights, w), sum+w
		}
	}
	s.ids, s.weights, s.sum = ids, weights, sum
}

func (s *Sampler) add(id int32, weight float64) {
	s.ids, s.weights, s.sum = append(s.ids, id), append(s.weights, weight), s.sum+weight
}

// weight returns e^((l-top)/temperature).
func (s *Sampler) weight(l float32, top float64) float64 {
	return exp((float64(l) - top) / s.o.Temperature)
}

var negInf = float32(math.Inf(-1))

// argmax returns the id of the largest logit, the smallest of equals.
func argmax(logits []float32) (int32, error) {
	best, at := negInf, -1
	for id, l := range logits {
		if l > best {
			best, at = l, id
		}
		if l != l {
			return 0, fmt.Errorf("sample: logit of id %d is NaN", id)
		}
	}
	if at < 0 {
		return 0, fmt.Errorf("sample: none of %d logits is above -Inf", len(logits))
	}
	if math.IsInf(float64(best), 1) {
		return 0, fmt.Errorf("sample: logit of id %d is +Inf", at)
	}
	return int32(at), nil
}
