package score

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/text"
)

// Adapt is Text, with as many sums after those of the models: of models that learn from the
// text at a rate, as train.Adaptive does. At every text they begin with the weights of the
// models, which stay. An *AdaptError says that one has become worse than none.
func Adapt(ctx context.Context, models []*text.Model, r io.Reader, c configs.Corpus, rate float64, visit func(Char) error) ([]Sum, error) {
	if err := CheckRate(rate); err != nil {
		return nil, fmt.Errorf("score: %w", err)
	}
	return measure(ctx, models, r, c, rate, visit)
}

// mostRate is far above any rate that helps.
const mostRate = 10

// CheckRate returns an error for a rate that Adapt does not take.
func CheckRate(rate float64) error {
	if !(rate > 0 && rate <= mostRate) {
		return fmt.Errorf("the learning rate is %g, want above 0 and at most %d", rate, mostRate)
	}
	return nil
}

// An AdaptError says that a model that learns has become worse than none: over a passage
// it costs more than the model of the checkpoint by what a guess among all characters costs.
// A smaller rate may prevent it.
type AdaptError struct {
	Path  string  // of the model
	Rate  float64 // at which it learns
	Chars int     // characters of the text read
	Err   error
}

func (e *AdaptError) Error() string {
	return fmt.Sprintf("score: %s, which learns at a rate of %g, at character %d: %v", e.Path, e.Rate, e.Chars, e.Err)
}

// Unwrap returns the cause.
func (e *AdaptError) Unwrap() error { return e.Err }

// addAdaptive adds a reader for each reader that there is, which learns at a rate.
func (s *scorer) addAdaptive(rate float64) error {
	s.rate = rate
	for i, m := range s.models {
		a, err := train.NewAdaptive(m.Weights, rate)
		if err != nil {
			return err
		}
		s.adaptive = append(s.adaptive, a)
		s.readers = append(s.readers, reader{vocab: s.readers[i].vocab, model: a})
	}
	return nil
}

// judge returns an *AdaptError where, over the passage that ends here, a model that learns
// is worse than none.
func (s *scorer) judge() error {
	for i := range s.adaptive {
		plain, own := s.readers[i].passage(), s.readers[len(s.models)+i].passage()
		guess := math.Log(float64(s.readers[i].vocab.Size()))
		if chars := float64(train.AdaptChars); !(own-plain <= chars*guess) {
			return s.adaptError(i, fmt.Errorf("a passage costs %.4g nats a character; the model that does not learn pays %.4g",
				own/chars, plain/chars))
		}
	}
	return nil
}

func (s *scorer) adaptError(model int, err error) error {
	return &AdaptError{Path: s.models[model].Path, Rate: s.rate, Chars: s.chars, Err: err}
}

// passage returns the nats since the last call.
func (r *reader) passage() float64 {
	nats := r.sum - r.before
	r.before = r.sum
	return nats
}
