package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// textFlags say where the texts go that a command writes with a model.
type textFlags struct {
	stream bool
	out    string
}

func (f *textFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.stream, "stream", false, "print the text as it comes, also where stdout is no terminal")
	flags.StringVar(&f.out, "out", "", "file or gs:// URL that the text is written to, whole or not at all, in place of stdout")
}

// check refuses, before any work, flags that name no file. others are flags like --out.
func (f *textFlags) check(c *cobra.Command, others ...string) error {
	for _, name := range append([]string{"out"}, others...) {
		flag := c.Flags().Lookup(name)
		if !flag.Changed {
			continue
		}
		file := flag.Value.String()
		if file == "" {
			return usage(c, fmt.Errorf("--%s is empty; name a file, or leave the flag out", name))
		}
		if name == "prompt-file" || store.IsURL(file) {
			continue
		}
		switch info, err := os.Stat(file); {
		case err == nil && info.IsDir():
			return usage(c, fmt.Errorf("--%s names %s, which is a folder; name a file in it", name, file))
		case err == nil && !info.Mode().IsRegular():
			return usage(c, fmt.Errorf("--%s names %s, which is no regular file and cannot be replaced; without --out the text goes to stdout", name, file))
		}
	}
	return nil
}

// between stands between two texts.
const between = "---------------\n"

// write runs work, which writes texts, and puts them where the flags say: as they come,
// or all at the end.
func (f *textFlags) write(c *cobra.Command, o *common,
	work func(show func(i int, part []byte) error) (*text.GenerateResult, error)) (*text.GenerateResult, error) {
	to := c.OutOrStdout()
	stdout, _ := to.(*output)
	stream := f.stream || f.out == "" && !o.json && stdout != nil && stdout.terminal
	if o.json {
		to = c.ErrOrStderr()
	}
	last := 0
	res, err := work(func(i int, part []byte) error {
		if !stream {
			return nil
		}
		if i > last {
			last = i
			part = append([]byte("\n"+between), part...)
		}
		if _, err := to.Write(part); err != nil {
			return fmt.Errorf("command: write text: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := strings.Join(res.Texts, "\n"+between)
	exact := len(res.Bytes) > 0 // the model is one of bytes: a file and a pipe get these alone
	if !exact {
		all += "\n"
	}
	switch {
	case stream && exact && !o.json && (stdout == nil || !stdout.terminal):
	case stream:
		fmt.Fprintln(to)
	case f.out == "" && !o.json:
		if _, err := io.WriteString(to, all); err != nil {
			return nil, err
		}
	}
	if f.out != "" {
		err = save(c.Context(), f.out, []byte(all))
	}
	return res, err
}

// save writes a file of the user's, whole or not at all. A file that is there is replaced.
func save(ctx context.Context, file string, data []byte) error {
	st, name, err := store.OpenAt(ctx, file)
	if err != nil {
		return err
	}
	defer st.Close()
	return st.Replace(ctx, name, data)
}
