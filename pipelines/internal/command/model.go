package command

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// modelFlags say which checkpoint a command uses.
type modelFlags struct {
	checkpoint string
	which      string
}

func (m *modelFlags) add(f *pflag.FlagSet) {
	f.StringVar(&m.checkpoint, "checkpoint", "",
		"file or gs:// URL of a checkpoint or run (default: the promoted model, else train.out, else the latest round's)")
	f.StringVar(&m.which, "which", "best", "checkpoint of a run directory, not of the promoted model: best, latest or step:N")
}

// open reads the model: the one asked for, else the promoted one of the workdir, which
// has no --which, else that of a run.
func (m *modelFlags) open(c *cobra.Command, o *common, r *configs.Resolved) (*text.Model, error) {
	if err := checkWhich(c, m.which); err != nil {
		return nil, err
	}
	if m.checkpoint != "" {
		return text.OpenModel(c.Context(), m.checkpoint, m.which)
	}
	if !c.Flags().Changed("which") {
		model, err := promotion.Open(c.Context(), r.Config.Workdir)
		if !errors.Is(err, store.ErrNotExist) || errors.As(err, new(*promotion.ModelError)) {
			return model, err
		}
	}
	path, err := runOf(c, r, o.console(c))
	if err != nil {
		return nil, err
	}
	return text.OpenModel(c.Context(), path, m.which)
}
