package command

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
)

// await returns what read returns, or the error of ctx once ctx ends: a terminal, a pipe or
// a FIFO may be silent for ever. read is then left to the end of the process.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// readFile returns the text of a file, or of standard input where file is empty or -. On a
// terminal it says that it waits for a text.
func readFile(c *cobra.Command, corpus configs.Corpus, file string) ([]byte, error) {
	in, name := c.InOrStdin(), "standard input"
	typed := file == "" || file == "-"
	if typed && report.IsTerminal(in) {
		fmt.Fprintf(c.ErrOrStderr(), "quire: reads the text from standard input; Ctrl-D on a new line ends it\n")
	}
	data, err := await(c.Context(), func() ([]byte, error) {
		if !typed {
			f, err := os.Open(file)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			in, name = f, file
		}
		data, err := text.Read(in, corpus)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return data, nil
	})
	if err != nil {
		return nil, fmt.Errorf("command: %s: %w", c.Name(), err)
	}
	return data, nil
}
