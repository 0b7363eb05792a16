package watch

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/quire-ml/quire/pipelines/report"
)

// who returns the part of a holder that tells two apart.
func (h *Holder) who() *Holder { return &Holder{Host: h.Host, PID: h.PID, Since: h.Since} }

func (h *Holder) String() string { return fmt.Sprintf("process %d on %s", h.PID, h.Host) }

// trains says who trains, and since when.
func (h *Holder) trains(now time.Time) string {
	if h.Since.IsZero() {
		return h.String() + " trains"
	}
	return fmt.Sprintf("%v trains since %s, for %v", h, clock(h.Since), age(now, h.Since))
}

// clock is a time for a person.
func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// age is the time since t. The clocks of two machines differ: it is never negative.
func age(now, t time.Time) time.Duration { return max(0, now.Sub(t)).Round(time.Second) }

// nobody says why nobody trains.
func (l *Look) nobody() string {
	switch {
	case l.State == Diverged:
		return fmt.Sprintf("the training diverged at step %d: %s", l.Step, l.Reason)
	case l.State == Expired:
		return fmt.Sprintf("nobody trains: the lease of %v has expired at %s; the last sign of life was %s, at %s", l.Holder,
			clock(l.Holder.Until), clock(*l.LastSign), l.far())
	case l.Step == 0:
		return "nobody trains: it was stopped before the first step"
	}
	return "nobody trains: it was stopped at " + l.far()
}

// far says how far the training is.
func (l *Look) far() string {
	text := fmt.Sprintf("step %d", l.Step)
	if l.Steps > 0 {
		text += fmt.Sprintf(" of %d", l.Steps)
	}
	if l.Checkpoint != "" && l.SavedStep != l.Step {
		text += fmt.Sprintf(", saved at step %d", l.SavedStep)
	}
	if l.Checkpoint == "" {
		text += ", nothing saved yet"
	}
	return text
}

// note is a look at a training in one line.
func (l *Look) note(now time.Time) string {
	parts := []string{fmt.Sprintf("step %d", l.Step)}
	if l.Steps > 0 {
		parts = []string{fmt.Sprintf("step %d/%d", l.Step, l.Steps)}
	}
	if l.Epoch > 0 {
		parts = append([]string{fmt.Sprintf("epoch %d/%d", l.Epoch, max(l.Epoch, l.Epochs))}, parts...)
	}
	if l.TrainNats != nil {
		parts = append(parts, fmt.Sprintf("loss %.3f", *l.TrainNats))
	}
	if l.ValidationNats != nil {
		parts = append(parts, fmt.Sprintf("validation %.3f", *l.ValidationNats))
	}
	if l.CharsPerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%.0f chars/s", l.CharsPerSecond))
	}
	if l.SecondsLeft != nil {
		parts = append(parts, fmt.Sprintf("%v left", time.Duration(*l.SecondsLeft)*time.Second))
	}
	if l.LastSign != nil {
		parts = append(parts, fmt.Sprintf("sign of life %v ago", age(now, *l.LastSign)))
	}
	return strings.Join(parts, "  ")
}

// losses are those of an epoch's end.
func losses(e *report.Line) string {
	text := fmt.Sprintf("training loss %.4f nats a character", *e.EpochTrain)
	if e.Validation != nil {
		text += fmt.Sprintf(", validation %.4f", *e.Validation)
	}
	return text
}

// Print writes a look in words, a line for each fact.
func (l *Look) Print(w io.Writer) {
	now := time.Now()
	fact := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s%s\n", name, fmt.Sprintf(format, args...))
	}
	fact("run", "%s", l.Run)
	switch l.State {
	case Training:
		fact("state", "training: %s", l.note(now))
		fact("holder", "%s", l.Holder.trains(now))
	case Ended:
		fact("state", "ended at step %d of %d, epoch %d", l.Step, l.Steps, l.Epoch)
	default:
		fact("state", "%s", l.nobody())
	}
	if l.LastSign != nil {
		fact("last sign", "%s, %v ago", clock(*l.LastSign), age(now, *l.LastSign))
	}
	if l.EpochTrainNats != nil {
		fact("losses", "%s", losses(&report.Line{EpochTrain: l.EpochTrainNats, Validation: l.ValidationNats}))
	}
	if l.BestNats != nil {
		fact("best", "%.4f nats a character of the held-out text, the lowest of the checkpoints", *l.BestNats)
	}
	if l.Checkpoint != "" {
		fact("saved", "step %d: %s", l.SavedStep, l.Checkpoint)
	}
	if l.Sample != "" {
		fact("sample", "%s", strings.ReplaceAll(l.Sample, "\n", "\n"+strings.Repeat(" ", 10)))
	}
}
