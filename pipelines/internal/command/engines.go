package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/notice"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/runners/engine"
)

// runnerHelp is the part of a command's help about runners.
const runnerHelp = `

--runner flink needs --endpoint, the address of a Beam job server for Flink. Its workers are
this process where the endpoint is on this machine, else processes of this binary, which has
the same path on every machine; with two or more task managers give
--environment_type=PROCESS. Corpus and set lie in folders that all machines share, or in gs://.

--runner dataflow needs --project, --region, --staging_location=gs://…, a set and a corpus in
gs:// (https:// sources are copied there) and Google's credentials. --dry_run prints the job,
--template_location stores it, --async does not wait for it.

Beam's other flags are accepted, and not listed here.`

// shown are Beam's flags that the help has; the others are dozens, and Beam's
// documentation explains them.
var shown = map[string]string{
	"async":              "flink, dataflow: submit the job and do not wait for it",
	"dry_run":            "dataflow: print the job and send nothing",
	"endpoint":           "flink: host:port of the Beam job server",
	"environment_config": "flink: for PROCESS {\"command\": \"PATH\"} of the binary on the workers' machines, for DOCKER an image",
	"environment_type":   "flink: LOOPBACK (this process), PROCESS, DOCKER or EXTERNAL",
	"parallelism":        "flink: workers at a time; -1 is the number that the cluster is set to",
	"project":            "dataflow: ID of the Google Cloud project",
	"region":             "dataflow: where workers run",
	"staging_location":   "dataflow: gs:// folder for the program and the pipeline",
	"template_location":  "dataflow: store the job at this gs:// URL and do not start it",
	"worker_binary":      "dataflow: program for Linux; default: this one, or one built from its source",
}

// A beamFlag is set through the flag package, which remembers that it was: Beam
// asks for that, and sends such flags to its workers.
type beamFlag struct {
	pflag.Value
	name string
}

// Set sets the flag.
func (f beamFlag) Set(value string) error { return flag.Set(f.name, value) }

// beamFlags adds --runner and Beam's own flags.
func beamFlags(c *cobra.Command, runner *string) {
	c.Long += runnerHelp
	c.Flags().StringVar(runner, "runner", "direct", "engine of prep and of the trials of sweep: "+strings.Join(engine.Names(), ", "))
	complete(c, "runner", cobra.FixedCompletions(engine.Names(), cobra.ShellCompDirectiveNoFileComp))
	flag.CommandLine.VisitAll(func(f *flag.Flag) {
		if c.Flags().Lookup(f.Name) != nil || strings.HasPrefix(f.Name, "test.") {
			return
		}
		p := pflag.PFlagFromGoFlag(f)
		p.Value, p.Hidden = beamFlag{p.Value, f.Name}, shown[f.Name] == ""
		if !p.Hidden {
			p.Usage = shown[f.Name]
		}
		c.Flags().AddFlag(p)
	})
}

// moves says, of an input that workers cannot reach, where to put it.
var moves = map[string]string{
	engine.Out:    ": --out=gs://BUCKET/FOLDER, or workdir=gs://…",
	engine.Source: ": copy it to a bucket and name it with --set corpus.sources=gs://BUCKET/NAME",
}

// preflight checks, before any work, that prep can run on a runner and write a set
// to out.
func preflight(c *cobra.Command, config *configs.Config, runner, out string) error {
	if err := engine.Check(runner); err != nil {
		return usage(c, err)
	}
	err := stages.Preflight(c.Context(), config, runner, out)
	var lacks *engine.UsageError
	if errors.As(err, &lacks) {
		for i := range lacks.Lacks {
			lacks.Lacks[i].Text += moves[lacks.Lacks[i].Input]
		}
		return usage(c, err)
	}
	return err
}

// preflightRound is preflight for a round. It refuses a runner's mode in which prep ends
// before the set is there, and notices that nobody could send.
func preflightRound(c *cobra.Command, config *configs.Config, runner string) error {
	if err := notice.Check(config.Notify); err != nil {
		return &configs.Error{Key: "notify.secret", Reason: "cannot be used: " + err.Error()}
	}
	if err := preflight(c, config, runner, config.Workdir); err != nil {
		return err
	}
	if mode := engine.ModeOf(runner); mode != engine.Wait {
		flag := strings.ReplaceAll(string(mode), "template", "template_location")
		return usage(c, fmt.Errorf("a round waits for its set: use prep for --%s", flag))
	}
	return nil
}

// printJob says what became of a job that prep does not wait for.
func printJob(w io.Writer, set string, j *engine.Job) {
	switch j.Mode {
	case engine.DryRun:
		fmt.Fprintf(w, "%s\n", j.Request)
	case engine.Template:
		fmt.Fprintf(w, "template    %s\nset         %s, once a job made from it is done\n", j.Template, set)
	default:
		fmt.Fprintf(w, "job         %s %s runs on\n", j.Name, j.ID)
		fmt.Fprintf(w, "set         %s, once it is done: the same command without --async checks it\n", set)
	}
}
