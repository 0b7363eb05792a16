package command

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// Commands read the set at prep.out and the run at train.out, which prep and train make.
// Where there is none, and no variable or flag names one, they take those of a round.

// setOf returns the path of the set that a command reads. manifest is the sha256 of the
// manifest of the model's set; empty: there is no model. With same, the set is one of the
// command's settings.
func (o *common) setOf(c *cobra.Command, r *configs.Resolved, manifest string, same bool) (string, error) {
	path := store.Locate(r.Config.Workdir, r.Config.Prep.Out)
	there, err := exists(c.Context(), path, dataset.ManifestName)
	if err != nil || there || r.Overridden("prep.out") {
		return path, err
	}
	console := o.console(c)
	made, err := round.FindSet(c.Context(), &r.Config, manifest, func(err error) { console.Warn("%v", err) })
	if err != nil || made == nil || same && !made.Same {
		return path, err
	}
	console.Line("%s: there is no set at %s: this is that of round %s, %s%s", c.Name(), path, made.Round, made.Set, otherwise(made))
	return made.Set, nil
}

// runOf returns the directory of the run that a command reads.
func runOf(c *cobra.Command, r *configs.Resolved, console *report.Console) (string, error) {
	path := store.Locate(r.Config.Workdir, r.Config.Train.Out)
	there, err := exists(c.Context(), path, run.Latest+".json")
	if err != nil || there || r.Overridden("train.out") {
		return path, err
	}
	made, err := round.FindModel(c.Context(), &r.Config, func(err error) { console.Warn("%v", err) })
	if err != nil || made == nil {
		return path, err
	}
	console.Line("%s: there is no run at %s: this is that of round %s (%s), %s%s",
		c.Name(), path, made.Round, made.Exit, made.Run, otherwise(made))
	return made.Run, nil
}

// otherwise says that a round was not asked with the same settings.
func otherwise(m *round.Made) string {
	if m.Same {
		return ""
	}
	return "; it had other settings"
}

// exists reports whether a folder or URL has an object.
func exists(ctx context.Context, path, name string) (bool, error) {
	st, err := store.Open(ctx, path)
	if err != nil {
		return false, err
	}
	defer st.Close()
	_, err = st.Stat(ctx, name)
	if errors.Is(err, store.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
