package command

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/engine"
)

// logFlag is the flag of commands that run long.
const logFlag = "log-format"

// A logFormat is the value of the flag. Execute has read it before the flags are parsed, so
// that the errors of flags have the format too.
type logFormat string

func (f *logFormat) String() string { return string(*f) }
func (f *logFormat) Type() string   { return "string" }

// Set implements pflag.Value.
func (f *logFormat) Set(s string) error {
	if s != "text" && s != "json" {
		return errors.New("it must be text or json")
	}
	*f = logFormat(s)
	return nil
}

// addLogFormat adds the flag to a command that runs long.
func addLogFormat(c *cobra.Command) *cobra.Command {
	format := logFormat("text")
	c.Flags().Var(&format, logFlag, "lines of stderr: text, or json for an object a line with time, level and msg")
	complete(c, logFlag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

// wantsJSON reports whether the arguments ask for JSON: the last of them holds.
func wantsJSON(args []string) bool {
	format := ""
	for i, a := range args {
		if a == "--" {
			break
		}
		if value, ok := strings.CutPrefix(a, "--"+logFlag+"="); ok {
			format = value
		} else if i > 0 && args[i-1] == "--"+logFlag {
			format = a
		}
	}
	return format == "json"
}

// logProcess lets all that this process writes to stderr go to a log: what packages write
// themselves, Beam's log and that of log/slog too. Only Go's own report of a crash does not.
// Call flush before the end.
func logProcess(stderr *os.File) (l *report.Log, flush func()) {
	l = report.NewLog(stderr)
	engine.JSON.Store(true)
	slog.SetDefault(l.Logger())
	r, w, err := os.Pipe()
	if err != nil {
		return l, l.Flush
	}
	os.Stderr = w
	copied := make(chan bool)
	go func() {
		_, _ = io.Copy(l, r)
		close(copied)
	}()
	return l, func() {
		os.Stderr = stderr
		w.Close()
		<-copied
		l.Flush()
	}
}

// say writes a line of the command's own: the program's name and text. Its level is that of
// the exit code.
func say(stderr io.Writer, code int, text string) {
	l, ok := stderr.(*report.Log)
	switch {
	case !ok:
		fmt.Fprintf(stderr, "quire: %s\n", text)
	case code == exitInterrupted:
		l.Logger().Warn(text, "exit", code)
	default:
		l.Logger().Error(text, "exit", code)
	}
}

// exitPanic is Go's exit code of a panic.
const exitPanic = 2

// recovered makes an object of a panic, where stderr is a log.
func recovered(stderr io.Writer, code *int) {
	l, ok := stderr.(*report.Log)
	if !ok {
		return
	}
	if p := recover(); p != nil {
		*code = exitPanic
		l.Logger().Error(fmt.Sprint("panic: ", p), "exit", exitPanic, "stack", string(debug.Stack()))
	}
}

// long are the commands that run long.
var long = []string{"run", "train", "prep", "retrain", "sweep", "serve"}

// addLogFormats adds the flag to those of a program's commands that run long.
func addLogFormats(root *cobra.Command) {
	for _, c := range append(root.Commands(), root) {
		if slices.Contains(long, c.Name()) && c.Flags().Lookup(logFlag) == nil && c.RunE != nil {
			addLogFormat(c)
		}
	}
}
