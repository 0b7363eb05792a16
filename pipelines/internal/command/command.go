// Package command is quire's commands: flags and config in, one call of a
// stage, a result or an exit code out.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage or config, 3 the gate refused,
// 75 interrupted with everything saved.
package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/gc"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/memory"
	"github.com/quire-ml/quire/runners/node"
	"github.com/quire-ml/quire/runners/store"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3
	exitInterrupted = 75
)

// Main runs a command as the whole program. On a Beam worker it does not
// return: that process has no command line of ours.
func Main(build func() *cobra.Command) {
	engine.Init()
	if limit := memory.Limit(); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 10 * 9) // the collector works harder before the system ends the process
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the program at once
	}()
	var stderr io.Writer = os.Stderr
	flush := func() {}
	if wantsJSON(os.Args[1:]) {
		stderr, flush = logProcess(os.Stderr)
	}
	code := Execute(ctx, build(), os.Args[1:], os.Stdout, stderr)
	flush()
	os.Exit(code)
}

// Execute runs a command with these arguments and returns its exit code. Errors
// go to stderr, one line each.
func Execute(ctx context.Context, cmd *cobra.Command, args []string, stdout, stderr io.Writer) (code int) {
	if _, ok := stderr.(*report.Log); !ok && wantsJSON(args) {
		stderr = report.NewLog(stderr)
	}
	defer recovered(stderr, &code)
	out := &output{w: stdout, terminal: report.IsTerminal(stdout)}
	if out.terminal {
		out.w = report.NewVisible(stdout)
	}
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(stderr)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(unknownFlag)
	addVersion(cmd)
	addLogFormats(cmd)
	plainHelp(cmd)
	executed := cmd
	_, err := kernel.Variant()
	if err != nil {
		err = usageError{err} // QUIRE_VARIANT names a variant that this processor lacks
	} else if err = checkHome(args); err == nil {
		executed, err = cmd.ExecuteContextC(store.WithNotices(ctx, func(line string) { fmt.Fprintf(stderr, "quire: %s\n", line) }))
		err = unknownCommand(cmd, err)
	}
	if err == nil {
		err = out.err
	}
	code = exitCode(err)
	switch {
	case code == exitDone, errors.As(err, new(toldError)):
	case code == exitInterrupted:
		advice := ""
		if slices.Contains(resumable, executed.Name()) {
			advice = "; what is finished is saved: start the same command again to go on"
		}
		say(stderr, code, "interrupted"+advice)
	default:
		advice := remedy(err)
		if errors.As(err, new(usageError)) {
			advice = "" // usage has said it
		}
		say(stderr, code, err.Error()+advice)
	}
	return code
}

// resumable are the commands that go on where they were interrupted.
var resumable = []string{"prep", "train", "run", "retrain", "sweep", "gc"}

// checkHome refuses a flag such as --out=~/x: a shell expands ~ only where a word
// begins with it.
func checkHome(args []string) error {
	for _, a := range args {
		if flag, path, ok := strings.Cut(a, "=~/"); ok && strings.HasPrefix(flag, "--") && !strings.ContainsAny(flag, " \t\n") {
			return usageError{fmt.Errorf("command: %s: the shell has not expanded ~; write %s=\"$HOME\"/%s", a, flag, path)}
		}
	}
	return nil
}

// output is the standard output of a command. It keeps the first error, so that no
// command has to look at the errors of its prints.
type output struct {
	w        io.Writer
	terminal bool
	err      error
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.err = fmt.Errorf("command: the result cannot be written: %w", err)
	}
	return n, o.err
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usage turns an error of a command line into one that says where the help is.
func usage(c *cobra.Command, err error) error {
	return usageError{fmt.Errorf("%w%s; see `%s --help`", err, remedy(err), c.CommandPath())}
}

// unknownCommand adds the nearest command to cobra's error about an unknown command.
func unknownCommand(root *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	var name string
	if n, _ := fmt.Sscanf(err.Error(), "unknown command %q", &name); n == 0 {
		return err
	}
	return noCommand(root, name, err)
}

// noCommand adds the nearest command of parent to an error about a name that is none. Near
// are those that begin with the name, and those that differ from it in at most two letters.
func noCommand(parent *cobra.Command, name string, err error) error {
	parent.SuggestionsMinimumDistance = 2
	if near := configs.Nearest(name, parent.SuggestionsFor(name)); near != "" {
		err = fmt.Errorf("%w; the nearest is %s", err, near)
	}
	return usage(parent, err)
}

// unknownFlag adds the nearest flag to pflag's error about an unknown flag.
func unknownFlag(c *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	if errors.As(err, &missing) && len(missing.GetSpecifiedName()) > 1 {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if near := configs.Nearest(missing.GetSpecifiedName(), names); near != "" {
			err = fmt.Errorf("%w; the nearest is --%s", err, near)
		}
	}
	return usage(c, err)
}

// exitCode maps an error to the program's exit code.
func exitCode(err error) int {
	var config *configs.Error
	var wrong usageError
	var there *node.ExitError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, train.ErrInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, gate.ErrRefused):
		return exitRefused
	case errors.As(err, &config), errors.As(err, &wrong), errors.Is(err, gc.ErrNoPolicy), errors.As(err, new(*gc.SweepError)),
		errors.Is(err, text.ErrPrompt), errors.As(err, new(*memory.ShortError)),
		errors.As(err, new(*cuda.Unavailable)), errors.As(err, new(*cuda.MemoryError)), errors.As(err, new(*cuda.SizeError)):
		return exitUsage
	case errors.As(err, &there) && there.Code == node.WrongUsage:
		return exitUsage
	}
	return exitFailed
}

// common are the flags that every command has.
type common struct {
	config string
	set    []string
	json   bool
	quiet  bool
	ctx    context.Context // of the command that runs; nil: none does
}

func (o *common) add(f *pflag.FlagSet) {
	f.StringVar(&o.config, "config", "", "config file, or the name of an embedded one (default quickstart)")
	f.StringArrayVar(&o.set, "set", nil, "set a key of the config: --set train.lr=0.002 (repeatable)")
	f.BoolVar(&o.json, "json", false, "print the result as one JSON object, the last line of stdout")
	f.BoolVar(&o.quiet, "quiet", false, "no progress, only warnings and the result")
}

// load resolves the config. flags are the command's own that stand for keys.
func (o *common) load(flags ...configs.Flag) (*configs.Resolved, error) {
	load := func() (*configs.Resolved, error) {
		return configs.Load(configs.Options{Config: o.config, Environ: os.Environ(), Set: o.set, Flags: flags})
	}
	if o.ctx == nil {
		return load()
	}
	return await(o.ctx, load) // a config may come from a pipe
}

// begin says on the console with which config, where and on what a command works.
func (o *common) begin(console *report.Console, r *configs.Resolved) {
	variant, _ := kernel.Variant() // Execute has checked it
	console.Line("quire: config %s, workdir %s, device %s, %s kernels, %s", cmp.Or(o.config, r.Config.Name), r.Config.Workdir,
		r.Config.Train.Device, variant, report.Count(runtime.GOMAXPROCS(0), "thread"))
}

// console is where progress goes.
func (o *common) console(c *cobra.Command) *report.Console {
	return report.NewConsole(c.ErrOrStderr(), o.quiet)
}

// warn tells of files that cannot be read, and that the command does without.
func (o *common) warn(c *cobra.Command, damaged []error) {
	for _, err := range damaged {
		o.console(c).Warn("%v", err)
	}
}

// print writes the result: as JSON, or as text for a person.
func (o *common) print(c *cobra.Command, result any, text func(w io.Writer)) error {
	if !o.json {
		text(c.OutOrStdout())
		return nil
	}
	data, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("command: %s: %w", c.Name(), err)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", data)
	return err
}

// build makes a command with the common flags and no positional arguments.
func build(o *common, use, short, long, example string, run func(c *cobra.Command) error) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Example: example, DisableFlagsInUseLine: true,
		Args:   positional(0, 0),
		PreRun: func(c *cobra.Command, _ []string) { o.ctx = c.Context() },
		RunE:   func(c *cobra.Command, _ []string) error { return run(c) }}
	o.add(c.Flags())
	complete(c, "config", completeConfig)
	complete(c, "set", completeSet)
	return c
}

// checkWhich refuses an unknown --which.
func checkWhich(c *cobra.Command, which string) error {
	if run.CheckWhich(which) != nil {
		return usage(c, fmt.Errorf("--which is %q; use best or latest, or step:500 for the checkpoint of a step", which))
	}
	return nil
}
