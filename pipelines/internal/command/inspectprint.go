package command

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/inspect"
	"github.com/quire-ml/quire/pipelines/report"
)

// printInspect says in words what inspect has found.
func printInspect(w io.Writer, r *inspect.Result) {
	switch r.Kind {
	case "checkpoint":
		printCheckpoint(w, r.Path, r.Checkpoint)
	case "set":
		printSet(w, r.Path, r.Set)
	case "shard":
		printShard(w, r.Path, r.Shard)
	case "metrics":
		printMetrics(w, r.Metrics)
	case "diff":
		printCheckpoints(w, r.Diff)
	}
}

func printCheckpoint(w io.Writer, path string, f *inspect.CheckpointFacts) {
	fmt.Fprintf(w, "checkpoint   %s, intact\n", path)
	fmt.Fprintf(w, "trained      step %d, epoch %d, on the set %s\n", f.Step, f.Epoch, f.Set)
	if a := f.Ancestors; a != nil {
		fmt.Fprintf(w, "ancestors    on the sets %s; not found: %s; checkpoints of which nothing is known: %s\n",
			list(a.Sets), list(a.Unread), list(a.Unknown))
	}
	fmt.Fprintf(w, "model        %s, %s, embedding %d, hidden %d: %d parameters\n",
		f.Cell, report.Count(f.Layers, "layer"), f.Embedding, f.Hidden, f.Parameters)
	fmt.Fprintf(w, "vocabulary   %s, normalize %s: %q\n", symbols(f.Vocab, f.Unit), f.Normalize, f.Characters)
	fmt.Fprintf(w, "config       %s\n", f.Config)
	fmt.Fprintf(w, "metrics      %s\n", f.Metrics)
	fmt.Fprintf(w, "tensors\n")
	for _, name := range slices.Sorted(maps.Keys(f.Tensors)) {
		fmt.Fprintf(w, "  %-32s (%s)\n", name, strings.ReplaceAll(strings.Trim(fmt.Sprint(f.Tensors[name].Shape), "[]"), " ", ", "))
	}
}

// symbols is the size of a vocabulary.
func symbols(n int, unit string) string {
	if unit == "byte" {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d characters (%s)", n, unit)
}

// list joins digests; "none" for none.
func list(digests []string) string { return cmp.Or(strings.Join(digests, " "), "none") }

func printSet(w io.Writer, path string, f *inspect.SetFacts) {
	m := f.Manifest
	fmt.Fprintf(w, "set          %s, intact\n", path)
	fmt.Fprintf(w, "manifest     sha256 %s\n", f.ManifestSHA256)
	fmt.Fprintf(w, "corpus       %s, %d characters, %d dropped\n", report.Count(len(m.Documents), "document"), m.Chars, m.DroppedChars)
	for _, d := range m.Documents {
		fmt.Fprintf(w, "  %s: %d bytes, %d characters, sha256 %s\n", d.Name, d.Bytes, d.Chars, d.SHA256)
	}
	fmt.Fprintf(w, "vocabulary   %s\n", symbols(m.Vocab.Size, m.Unit))
	fmt.Fprintf(w, "entropy      unigram %.4f, bigram %.4f nats a character\n", m.Entropy.UnigramNats, m.Entropy.BigramNats)
	for _, s := range m.Splits {
		fmt.Fprintf(w, "%-12s %d sequences of %d+1 characters in %s\n",
			s.Name, s.Sequences, m.SeqLength, report.Count(len(s.Shards), "shard"))
	}
	for i, e := range f.First {
		fmt.Fprintf(w, "sequence %d\n  input   %q\n  target  %q\n", i, e.Input, e.Target)
	}
}

func printShard(w io.Writer, path string, f *inspect.ShardFacts) {
	for i, ids := range f.First {
		fmt.Fprintf(w, "record %d   %v\n", i, ids)
	}
	var lengths []string
	for _, n := range slices.Sorted(maps.Keys(f.Lengths)) {
		lengths = append(lengths, fmt.Sprintf("%d of %d ids", f.Lengths[n], n))
	}
	fmt.Fprintf(w, "shard      %s, intact: %d records, %d bytes (%s)\n", path, f.Records, f.Bytes, strings.Join(lengths, ", "))
	fmt.Fprintf(w, "sha256     %s", f.SHA256)
	if f.Listed {
		fmt.Fprintf(w, ", as the manifest says\n")
	} else {
		fmt.Fprintf(w, "; there is no manifest beside it, so records missing at its end would not show\n")
	}
}

func printMetrics(w io.Writer, lines []report.Line) {
	fmt.Fprintf(w, "%6s %10s %10s %12s\n", "epoch", "step", "training", "validation")
	var last report.Line
	for _, l := range lines {
		if last = l; l.EpochTrain != nil {
			validation := "-"
			if l.Validation != nil {
				validation = fmt.Sprintf("%.4f", *l.Validation)
			}
			fmt.Fprintf(w, "%6d %10d %10.4f %12s\n", l.Epoch, l.Step, *l.EpochTrain, validation)
		}
	}
	if last.Train != nil {
		fmt.Fprintf(w, "%6d %10d %10.4f %12s\n", last.Epoch, last.Step, *last.Train, "of one step")
	}
}

func printCheckpoints(w io.Writer, d *inspect.DiffFacts) {
	fmt.Fprintf(w, "A  %s\nB  %s\n", d.A, d.B)
	for _, part := range []struct {
		name string
		list []train.Difference
	}{{"origin", d.Origin}, {"config", d.Config}, {"metrics", d.Metrics}} {
		for _, x := range part.list {
			fmt.Fprintf(w, "%-8s %s: %s, %s\n", part.name, x.Key, cmp.Or(x.A, "none"), cmp.Or(x.B, "none"))
		}
	}
	same := 0
	for _, t := range d.Tensors {
		switch {
		case t.Same():
			same++
		case t.ShapeA == nil:
			fmt.Fprintf(w, "tensor   %s: only in B\n", t.Name)
		case t.ShapeB == nil:
			fmt.Fprintf(w, "tensor   %s: only in A\n", t.Name)
		case !slices.Equal(t.ShapeA, t.ShapeB):
			fmt.Fprintf(w, "tensor   %s: shape %v, %v\n", t.Name, t.ShapeA, t.ShapeB)
		default:
			most := "not finite"
			if t.MaxAbs != nil {
				most = fmt.Sprintf("%.3g", *t.MaxAbs)
			}
			fmt.Fprintf(w, "tensor   %s: %d values differ, at most by %s, at %d\n", t.Name, t.Differ, most, t.At)
		}
	}
	fmt.Fprintf(w, "%d of %d tensors are the same\n", same, len(d.Tensors))
}
