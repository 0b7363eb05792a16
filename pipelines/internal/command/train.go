package command

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/device"
	"github.com/quire-ml/quire/pipelines/remote"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/runners/store"
)

// Train is the command that trains a model on a set.
func Train() *cobra.Command {
	var o common
	var out, request string
	var replace, fresh bool
	c := build(&o, "train", "Train a model on a set, or go on with a training",
		`Train reads the set at prep.out and writes checkpoints to train.out. It goes on from the
last checkpoint by itself; SIGINT and SIGTERM save and end with exit code 75. It needs the
set that prep writes, or a round with the same settings.`,
		"  train --config shakespeare\n  train --config shakespeare --set train.epochs=20 --out work/long",
		func(c *cobra.Command) error {
			if request != "" {
				return attend(c, request, remote.Train)
			}
			var flags []configs.Flag
			if out != "" {
				flags = append(flags, configs.Flag{Key: "train.out", Value: out, Name: "--out"})
			}
			r, err := o.load(flags...)
			if err != nil {
				return err
			}
			cfg, console := &r.Config, o.console(c)
			if _, err := device.Check(cfg.Train.Device, nil, 0); err != nil {
				return err // also where there is no set yet
			}
			o.begin(console, r)
			set, err := o.setOf(c, r, "", true)
			if err != nil {
				return err
			}
			res, err := stages.Train(c.Context(), cfg, stages.TrainOptions{Set: set,
				Out: store.Locate(cfg.Workdir, cfg.Train.Out), Replace: replace, Fresh: fresh, Config: r.Portable(), Console: console})
			if err != nil && !errors.Is(err, train.ErrInterrupted) {
				return otherRun(cfg, err)
			}
			return errors.Join(o.print(c, res, func(w io.Writer) { printTrain(w, res) }), err)
		})
	addRequest(c, &request)
	c.Flags().StringVar(&out, "out", "", "the run's directory (train.out)")
	c.Flags().BoolVar(&replace, "replace", false, "start from zero where the run has other inputs, is further or is damaged")
	c.Flags().BoolVar(&fresh, "fresh", false, "start from zero in any case: what the run has is deleted")
	return c
}

// otherRun adds to the error of a run from other inputs what to do, and why more
// epochs do not continue it.
func otherRun(c *configs.Config, err error) error {
	var other *train.IdentityError
	var ahead *train.AheadError
	switch {
	case errors.As(err, &ahead):
		step := ""
		if ahead.Kept {
			step = fmt.Sprintf("; evaluate and generate take the checkpoint of that step with --which step:%d", ahead.Asked)
		}
		return fmt.Errorf("%w%s; use the train.epochs, train.max_steps and train.early_stop.patience in the run's config.yaml,"+
			" another train.out, or --replace to start from zero", err, step)
	case !errors.As(err, &other):
		return err
	}
	for length, effect := range configs.Effects() {
		differs := func(d string) bool { return strings.HasPrefix(d, length+": ") }
		if names := c.Followers(length); effect == configs.Course && len(names) > 0 && slices.ContainsFunc(other.Differences, differs) {
			err = fmt.Errorf("%w; %s follows a course over %s, so that other weights came of it", err, strings.Join(names, " and "), length)
		}
	}
	return fmt.Errorf("%w; use another train.out, with train.from to start from the weights of this run,"+
		" or --replace to start from zero", err)
}

func printTrain(w io.Writer, r *stages.TrainResult) {
	fmt.Fprintf(w, "run         %s\n", r.Run)
	fmt.Fprintf(w, "checkpoint  %s\n", r.Checkpoint)
	fmt.Fprintf(w, "trained     %s, epoch %d, %.0f characters a second\n", report.Count(int(r.Step), "step"), r.Epoch, r.CharsPerSecond)
	if r.TrainNats != nil {
		fmt.Fprintf(w, "training    %.4f nats a character\n", *r.TrainNats)
	}
	if r.ValidationNats != nil {
		fmt.Fprintf(w, "validation  %.4f nats a character\n", *r.ValidationNats)
	}
}
