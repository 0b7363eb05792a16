package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// Prep is the command that turns a corpus into a set.
func Prep() *cobra.Command {
	var o common
	var runner, out, way string
	var replace, verbose bool
	c := build(&o, "prep", "Turn a corpus into a set of sharded TFRecords",
		`Prep counts the characters of a corpus, cuts it into sequences of seq_length+1, shuffles
them and writes them as TFRecord shards with a manifest. A finished set is not made again.
Prep needs corpus.sources and writes the set to prep.out, below workdir.`,
		`  prep --config shakespeare --set prep.shards=8 --runner prism
  prep --set corpus.sources=book.txt --out work/book
  prep --runner flink --endpoint localhost:8099
  prep --runner dataflow --project p --region us-central1 --staging_location gs://b/staging \
    --set corpus.sources=gs://b/corpus --out gs://b/set`,
		func(c *cobra.Command) error {
			if way != "" && way != "files" && way != "engine" {
				return usage(c, fmt.Errorf("--way is %q; use files or engine", way))
			}
			var flags []configs.Flag
			if out != "" {
				flags = append(flags, configs.Flag{Key: "prep.out", Value: out, Name: "--out"})
			}
			r, err := o.load(flags...)
			if err != nil {
				return err
			}
			out := store.Locate(r.Config.Workdir, r.Config.Prep.Out)
			console := o.console(c)
			o.begin(console, r)
			if err := preflight(c, &r.Config, runner, out); err != nil {
				return err
			}
			found, err := text.FindPacked(c.Context(), r.Config.Corpus, r.Config.Prep, false, text.Made(&r.Config)...)
			if err != nil {
				return err
			}
			found.Describe(console)
			res, err := stages.Prep(c.Context(), &r.Config, found, stages.PrepOptions{Out: out,
				Runner: runner, Way: way, Replace: replace, Verbose: verbose, Console: console})
			if err != nil {
				return err
			}
			return o.print(c, res, func(w io.Writer) { printPrep(w, res) })
		})
	beamFlags(c, &runner)
	c.Flags().StringVar(&out, "out", "", "the set's directory (prep.out)")
	c.Flags().BoolVar(&replace, "replace", false, "replace a set that came from other inputs or is damaged")
	c.Flags().StringVar(&way, "way", "", "path of records to shards: files, or engine (default on flink and dataflow); same set")
	c.Flags().BoolVar(&verbose, "verbose", false, "show Beam's own log")
	return c
}

func printPrep(w io.Writer, r *stages.PrepResult) {
	if r.Submitted != nil {
		printJob(w, string(r.Set), r.Submitted)
		return
	}
	if r.Skipped {
		fmt.Fprintln(w, "The set is there already, made from the same corpus by the same settings.")
	}
	fmt.Fprintf(w, "set         %s\n", r.Set)
	fmt.Fprintf(w, "characters  %d, %d of them dropped at the ends of documents; vocabulary %d\n", r.Chars, r.DroppedChars, r.Vocab)
	if r.Records > 0 {
		fmt.Fprintf(w, "records     %d\n", r.Records)
	}
	fmt.Fprintf(w, "sequences   %d to train on, %d to validate\n", r.Sequences.Train, r.Sequences.Validation)
	fmt.Fprintf(w, "entropy     unigram %.4f, bigram %.4f nats a character\n", r.UnigramNats, r.BigramNats)
	fmt.Fprintf(w, "manifest    sha256 %s\n", r.ManifestSHA256)
}
