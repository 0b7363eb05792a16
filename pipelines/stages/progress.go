package stages

import (
	"context"
	"fmt"
	"time"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/prepare"
)

// prepEvery is the time between two readings of prep's progress.
const prepEvery = 200 * time.Millisecond

// showProgress shows the progress of a pipeline that runs in this process until stop
// is called: bytes of the corpus that are done, all its bytes, and MB/s.
func showProgress(ctx context.Context, console *report.Console, runner string, docs []corpus.Document, options prepare.Options,
) (stop func(), err error) {
	if runner != "direct" && runner != "prism" || console == nil {
		return func() {}, nil
	}
	part, err := prepare.Progress(ctx, docs, options)
	if err != nil {
		return nil, err
	}
	all, began := corpus.Bytes(docs), time.Now()
	bar := console.Progress("prep", 0, all)
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticks := time.NewTicker(prepEvery)
		defer ticks.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticks.C:
				done := part() * float64(all)
				rate := done / 1e6 / time.Since(began).Seconds()
				bar.Set(int64(done), fmt.Sprintf("%.0f of %.0f MB  %.0f MB/s", done/1e6, float64(all)/1e6, rate))
			}
		}
	}()
	return func() {
		close(quit)
		<-gone
		bar.Done()
	}, nil
}

// summarizePrep writes the figures of a new set.
func summarizePrep(console *report.Console, r *PrepResult, bytes int64) {
	if console == nil {
		return
	}
	s := r.Sequences
	console.Line("prep: %d characters, %d different, %d dropped; %d sequences for training, %d for validation, %d for test;"+
		" %.1f s, %.1f MB/s",
		r.Chars, r.Vocab, r.DroppedChars, s.Train, s.Validation, s.Test, r.Seconds, float64(bytes)/1e6/r.Seconds)
}

// warnOfSet warns where much of the text is in no sequence, and where the validation
// part says little of other text.
func warnOfSet(console *report.Console, r *PrepResult) {
	if console == nil {
		return
	}
	if share := float64(r.DroppedChars) / float64(r.Chars); r.documents > 1 && share > muchDropped {
		console.Warn("prep: %.0f %% of the characters are in no sequence: the ends of %d documents;"+
			" pack newline joins the documents to one text",
			100*share, r.documents)
	}
	if d := r.Drift; d != nil && d.Large() {
		remedy := ""
		if r.byTail {
			remedy = "; hold out blocks of the whole text in place of its tail"
		}
		console.Warn("prep: the validation part is unlike the training part: %v%s", d, remedy)
	}
	if r.Repeated != nil && text.MuchRepeated(*r.Repeated) {
		console.Warn("prep: %.0f %% of the held-out text is in the training text too: its loss says little of new text", 100**r.Repeated)
	}
}

// muchDropped is the share of dropped characters that is worth a word.
const muchDropped = 0.05
