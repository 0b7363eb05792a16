package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/receipt"
	"github.com/quire-ml/quire/pipelines/score"
	"github.com/quire-ml/quire/runners/store"
)

// An outlet is a file that a flag names for a command to write.
type outlet struct {
	flag, file string
	kind       string                // what it is in words, such as "a receipt"
	fits       func(old []byte) bool // nil: the name says whether it is of the kind
	instead    string                // what to do in place of writing to a file named -
}

// The kinds of files that a command writes for a person. One that is there is replaced by one
// of its kind alone. A text has no form: what has the name of a config, a model or a record
// is none.
func textOutlet(file string) outlet {
	return outlet{"--out", file, "a text", nil, "without --out the text goes to stdout"}
}

func receiptOutlet(file string) outlet {
	return outlet{"--receipt", file, "a receipt", func(old []byte) bool {
		_, err := receipt.Decode(old)
		return err == nil
	}, nameFile}
}

func pageOutlet(file string) outlet {
	return outlet{"--html", file, "a page of quire's", score.IsPage, nameFile}
}

// nameFile is what to do in place of -, where a command writes no such thing to stdout.
const nameFile = "name a file"

// otherNames end the names of files that are no texts.
var otherNames = []string{".json", ".yaml", ".yml", ".safetensors", ".tfrecord"}

// spare refuses, before any work, to replace a file that the command reads, or one that is of
// another kind, and to write two things to one file.
func spare(c *cobra.Command, outlets []outlet, reads ...string) error {
	for i, o := range outlets {
		if o.file == "" {
			continue
		}
		if err := noDash(c, o.flag, o.file, o.instead); err != nil {
			return err
		}
		for _, other := range outlets[:i] {
			if oneFile(o.file, other.file) {
				return usage(c, fmt.Errorf("%s and %s name one file, %s", other.flag, o.flag, o.file))
			}
		}
		for _, read := range reads {
			if oneFile(o.file, read) {
				return usage(c, fmt.Errorf("%s names %s, which the command reads: it is not replaced", o.flag, o.file))
			}
		}
		if err := o.check(c); err != nil {
			return err
		}
	}
	return nil
}

// noDash refuses a file named -, by which a person means standard output.
func noDash(c *cobra.Command, flag, file, instead string) error {
	if file != "-" {
		return nil
	}
	return usage(c, fmt.Errorf("%s is -, which is not standard output here: %s; ./- is a file of that name", flag, instead))
}

// check refuses a file that is there and is of another kind.
func (o outlet) check(c *cobra.Command) error {
	st, name, err := store.OpenAt(c.Context(), o.file)
	if err != nil {
		return err
	}
	defer st.Close()
	if _, err = st.Stat(c.Context(), name); errors.Is(err, store.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	fits := !slices.Contains(otherNames, strings.ToLower(filepath.Ext(o.file)))
	if o.fits != nil {
		old, _, err := st.ReadUpTo(c.Context(), name, receipt.MaxBytes)
		if err != nil && !errors.Is(err, store.ErrDamaged) { // it is larger than any receipt or page
			return err
		}
		fits = o.fits(old)
	}
	if !fits {
		return usage(c, fmt.Errorf("%s names %s, which is there and is not %s: it is not replaced", o.flag, o.file, o.kind))
	}
	return nil
}

// oneFile reports whether two paths or URLs are of one file, also by links.
func oneFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	if a == b {
		return true
	}
	one, err := os.Stat(a)
	other, failed := os.Stat(b)
	if err == nil && failed == nil {
		return os.SameFile(one, other)
	}
	return err != nil && failed != nil && !store.IsURL(a) && !store.IsURL(b) && settled(a) == settled(b)
}

// settled is the path of a file that is not there, by that of its folder.
func settled(file string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		dir = filepath.Dir(file)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return filepath.Join(dir, filepath.Base(file))
}
