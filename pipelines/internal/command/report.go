package command

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/page"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/store"
)

// Report is the command that writes what was made as a page of HTML.
func Report() *cobra.Command {
	var o common
	var out string
	c := build(&o, "report [ROUND | RUN | SWEEP ...]", "Write a round, a run, a sweep, or several side by side, as one HTML file",
		`Report writes a page that needs nothing else: losses, samples, the gate, changes, lineage.
It takes the ID of a round, the key of a run or of a sweep in the workdir or its beginning, or
their paths; without one, the newest round. Several are shown side by side, the lowest loss
first. A round writes its own page at its end, beside its record.`,
		`  report
  report 20261125T030000Z --out report.html
  report work/a/run work/b/run`, nil)
	c.Args, c.ValidArgsFunction = cobra.ArbitraryArgs, completeReports(&o)
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		if err := noDash(c, "--out", out, nameFile); err != nil {
			return err
		}
		res, err := page.Write(c.Context(), r.Config.Workdir, args, out)
		if err != nil {
			return err
		}
		return o.print(c, res, func(w io.Writer) { fmt.Fprintf(w, "report    %s\n", res.Report) })
	}
	c.Flags().StringVar(&out, "out", "", "file or URL of the page (default: beside what it shows; of several, report.html here)")
	return c
}

// completeReports offers the rounds of the workdir, the newest first, its sweeps and its
// runs; the shell adds files.
func completeReports(o *common) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		ids, directive := completeRounds(o, len(args)+1)(c, nil, typed)
		r, err := o.load()
		if err != nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		st, err := store.Open(c.Context(), r.Config.Workdir)
		if err != nil {
			return ids, directive
		}
		defer st.Close()
		for _, kind := range []string{"sweep", "run"} {
			list, err := st.List(c.Context(), kind+"s/")
			if err != nil {
				continue
			}
			var keys []string
			for _, info := range list {
				key, _, _ := strings.Cut(strings.TrimPrefix(info.Name, kind+"s/"), "/")
				keys = append(keys, key)
			}
			for _, key := range slices.Compact(keys) {
				ids = append(ids, cobra.CompletionWithDesc(path.Base(key), kind))
			}
		}
		return ids, cobra.ShellCompDirectiveKeepOrder
	}
}

// reportOf is the page that a round writes at its end.
var reportOf round.Reporter = page.Round
