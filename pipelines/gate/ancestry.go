package gate

import (
	"context"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/pipelines/text"
)

// Bounds of the check ancestors.
const (
	maxCovered  = 0.05 // share of the held-out passages that ancestors may have been trained on
	minCovered  = 2    // fewer passages in common are chance
	minPassages = 16   // with fewer held-out passages in the sample, nothing can be said
)

// know finds how the held-out part differs from the training part, its passages, and the
// ancestors.
func (c *candidate) know(ctx context.Context) (err error) {
	if c.set.Split("validation") == nil {
		return nil
	}
	if c.res.Drift, err = c.set.Drift(ctx); err != nil {
		return err
	}
	if c.passages, err = text.NewHeldSketch(ctx, c.set); err != nil {
		return err
	}
	c.ancestry, err = c.model.Ancestry()
	return err
}

// suspect reports whether the check ancestors would fail if the training part had nothing
// of the held-out text. Before the training part is compared, this is not decided yet.
func (c *candidate) suspect() bool {
	found := c.ancestors()
	return found != nil && !found.Passed
}

// compareParts finds what of the held-out text the training part has too, in the set.
func (c *candidate) compareParts(ctx context.Context) error {
	if c.passages == nil || c.compared {
		return nil
	}
	if err := c.passages.Compare(ctx, c.set); err != nil {
		return err
	}
	c.partsCompared()
	return nil
}

// partsCompared keeps what was found of the held-out text in the training part.
func (c *candidate) partsCompared() {
	c.compared, c.res.Repeated = true, c.passages.Repeated()
	if text.MuchRepeated(c.res.Repeated) {
		c.o.Console.Warn("gate: %.0f %% of the held-out text is in the training text too: its loss says little of new text", 100*c.res.Repeated)
	}
}

// ancestors is the finding that no checkpoint from which the candidate comes was
// trained on the held-out text. Text that the training part has too does not count.
// Where this cannot be told, the candidate does not pass.
func (c *candidate) ancestors() *Check {
	if c.ancestry == nil || c.passages == nil {
		return nil
	}
	a, own := c.ancestry, c.set.SHA256()
	other := func(digests []string) bool {
		return slices.ContainsFunc(digests, func(d string) bool { return d != own })
	}
	found, of := c.passages.In(a.Passages)
	share := share(found, of)
	switch {
	case found >= minCovered && share > maxCovered:
		return atMost(share, maxCovered, fmt.Sprintf("%s of the held-out text was trained on by a checkpoint"+
			" that the training started from, or an ancestor of it; %s is allowed", percent(share), percent(maxCovered)))
	case len(a.Unknown) > 0:
		return holds(false, fmt.Sprintf("the training that started from the checkpoint %.12s is of an earlier program,"+
			" and does not say what that was trained on: it may know the held-out text", a.Unknown[0]))
	case other(a.Unread):
		return holds(false, fmt.Sprintf("an ancestor was trained on the set %.12s, which was not found when the training began:"+
			" it may know the held-out text", a.Unread[0]))
	case other(a.Sets) && of < minPassages:
		return holds(false, fmt.Sprintf("the held-out text is too short to tell whether an ancestor was trained on it:"+
			" %d passages of it can be compared, %d are needed", of, minPassages))
	}
	return figure(true, share, maxCovered, fmt.Sprintf("%s of the held-out text was trained on by ancestors;"+
		" %s, or less than %d passages, is allowed", percent(share), percent(maxCovered), minCovered))
}
