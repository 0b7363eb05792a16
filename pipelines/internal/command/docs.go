package command

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quire-ml/quire/runners/store"
)

// Docs is the command that writes the files which a package of this program installs
// beside it. Help does not list it: it is for packages.
func Docs() *cobra.Command {
	c := &cobra.Command{Use: "docs DIR", Short: "Write man pages and shell completions", Hidden: true, DisableFlagsInUseLine: true,
		Long:    "Docs writes a man page for each command to DIR/man/man1, and completions for bash, zsh and fish to DIR/completions.",
		Example: "  docs ~/.local/share && man -M ~/.local/share/man quire-run", Args: positional(1, 1)}
	c.RunE = func(c *cobra.Command, args []string) error {
		files := map[string][]byte{}
		pages(c.Root(), built(), files)
		if err := completions(c.Root(), files); err != nil {
			return err
		}
		st, err := store.Open(c.Context(), args[0])
		if err != nil {
			return err
		}
		defer st.Close()
		for name, data := range files {
			if err := st.Replace(c.Context(), name, data); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

// completions adds the scripts of the shells, under the names that the shells look for.
func completions(root *cobra.Command, files map[string][]byte) error {
	for name, write := range map[string]func(io.Writer) error{
		root.Name():           func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"_" + root.Name():     root.GenZshCompletion,
		root.Name() + ".fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return fmt.Errorf("command: completions: %w", err)
		}
		files["completions/"+name] = b.Bytes()
	}
	return nil
}

// A source is what a man page says of the program, for its last line.
type source struct{ version, date string }

// built returns the version, and the date of its revision, where the build knows it.
func built() (s source) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return source{version: release}
	}
	s.version = named(info)
	for _, setting := range info.Settings {
		if setting.Key == "vcs.time" {
			s.date, _, _ = strings.Cut(setting.Value, "T")
		}
	}
	return s
}

// pages adds the man page of a command, and those of the commands below it.
func pages(c *cobra.Command, s source, files map[string][]byte) {
	files["man/man1/"+pageName(c)+".1"] = manPage(c, s)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "completion" {
			pages(sub, s, files)
		}
	}
}

// pageName is the name of a command's page: quire-runs-list.
func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPage returns a command's page, in the macros of man(7).
func manPage(c *cobra.Command, s source) []byte {
	b := &bytes.Buffer{}
	fmt.Fprintf(b, ".TH \"%s\" 1 \"%s\" \"%s\" \"%s\"\n", escape(strings.ToUpper(pageName(c))), s.date, "quire "+escape(s.version), "Quire")
	fmt.Fprintf(b, ".SH NAME\n%s \\- %s\n", escape(pageName(c)), escape(c.Short))
	use := c.UseLine()
	if !strings.Contains(use, "[flags]") && c.HasAvailableFlags() {
		use += " [flags]"
	}
	fmt.Fprintf(b, ".SH SYNOPSIS\n.B %s\n", escape(use))
	if c.Long != "" {
		fmt.Fprintf(b, ".SH DESCRIPTION\n%s", paragraphs(c.Long))
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(b, ".SH COMMANDS\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(b, ".TP\n.B %s\n%s\n", escape(sub.Name()), escape(sub.Short))
			}
		}
	}
	if c.HasAvailableFlags() {
		fmt.Fprintf(b, ".SH OPTIONS\n")
		c.Flags().VisitAll(func(f *pflag.Flag) { option(b, f) })
	}
	if c.Example != "" {
		fmt.Fprintf(b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", escape(strings.TrimRight(c.Example, "\n")))
	}
	fmt.Fprintf(b, ".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage or config, 3 the gate refused, 75 interrupted with everything saved.\n")
	if c.HasParent() {
		fmt.Fprintf(b, ".SH SEE ALSO\n.BR %s (1)\n", escape(pageName(c.Root())))
	}
	return b.Bytes()
}

// option writes a flag.
func option(b *bytes.Buffer, f *pflag.Flag) {
	if f.Hidden || f.Deprecated != "" {
		return
	}
	value, text := pflag.UnquoteUsage(f)
	if f.Value.Type() == "bool" || f.Value.Type() == "boolfunc" {
		value = ""
	}
	fmt.Fprintf(b, ".TP\n")
	if f.Shorthand != "" {
		fmt.Fprintf(b, "\\fB%s\\fR, ", escape("-"+f.Shorthand))
	}
	fmt.Fprintf(b, "\\fB%s\\fR", escape("--"+f.Name))
	if value != "" {
		fmt.Fprintf(b, " \\fI%s\\fR", escape(value))
	}
	fmt.Fprintf(b, "\n%s\n", escape(text))
}

// paragraphs writes text that man fills; lines that begin with a space stay as they are.
func paragraphs(text string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(part, " ") {
			fmt.Fprintf(&b, ".PP\n.nf\n%s\n.fi\n", escape(part))
			continue
		}
		fmt.Fprintf(&b, ".PP\n%s\n", escape(part))
	}
	return b.String()
}

// control is the beginning of a line that roff would take for a request.
var control = regexp.MustCompile(`(?m)^[.']`)

// escape returns text that roff prints as it is, in ASCII, whatever roff takes its input for.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "\\(ga", "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`, "'", `\(aq`).Replace(text)
	var b strings.Builder
	for _, c := range control.ReplaceAllString(text, `\&$0`) {
		if c < utf8.RuneSelf {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, c)
		}
	}
	return b.String()
}
