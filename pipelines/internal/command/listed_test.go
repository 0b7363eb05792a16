package command

import (
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/score"
	"github.com/quire-ml/quire/pipelines/text"
)

// TestMostListed: a result that would hold the log-probabilities of any text is an error that
// says what has no limit.
func TestMostListed(t *testing.T) {
	w := &scoreWriter{flags: &scoreFlags{chars: true}, models: []*text.Model{nil}, json: true, listed: mostListed - 1}
	res, c := &scored{}, score.Char{Text: []byte("a"), Nats: []float64{1}}
	if err := w.char(c, res); err != nil || len(res.LogProbs) != 1 || *res.LogProbs[0] != -1 {
		t.Errorf("the last that is listed: %v, %v", err, res.LogProbs)
	}
	if err := w.char(c, res); err == nil || !strings.Contains(err.Error(), "without --json there is no limit") {
		t.Errorf("one more: %v", err)
	}
}
