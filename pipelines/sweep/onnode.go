package sweep

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/quire-ml/quire/pipelines/remote"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

// onNode reports whether the node of a trial's config trains it. The trials of a sweep agree
// on that: no byte depends on the section, so that it is not swept.
func (t *trial) onNode() bool { return t.Config.Node.Runs(remote.Train) }

// runOnNode trains trials on the node of their config, Node.Parallel at a time. After an
// error no other trial begins, and those at work go on to their end: that is saved, and the
// next sweep has it.
func runOnNode(ctx context.Context, st *store.Store, trials []*trial, w io.Writer, console *report.Console) error {
	first := trials[0]
	n, err := remote.Open(&first.Config.Node)
	if err != nil {
		return err
	}
	client := remote.Client{Node: n, Store: st, Workdir: first.Config.Workdir, Config: first.YAML, Console: console}
	if err := client.Check(ctx); err != nil {
		return err
	}
	console.Line("sweep: %s to run on %s, %d at a time", report.Count(len(trials), "trial"), n, first.Config.Node.Parallel)
	places := make(chan struct{}, first.Config.Node.Parallel)
	errs := make([]error, len(trials))
	var failed atomic.Bool
	var group sync.WaitGroup
	for i, t := range trials {
		places <- struct{}{}
		if failed.Load() || ctx.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-places }()
			if errs[i] = t.work(ctx, w); errs[i] == nil {
				return
			}
			if !failed.Swap(true) && ctx.Err() == nil {
				console.Warn("%v; no other trial begins, and those at work go on to their end", errs[i])
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}
