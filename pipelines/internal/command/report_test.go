package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reportKeys are the keys of the result of report.
const reportKeys = "report kind of bytes"

// TestReport: run writes a page, report writes it again, or that of a run, and mistakes have
// a remedy.
func TestReport(t *testing.T) {
	l := newLab(t)
	l.fails(1, []string{`"latest" is no round, run or sweep of ` + l.work, "; `runs list` lists the rounds"}, "report")
	made := l.result(runKeys+" report", "run")
	id := made["round"].(string)
	page := filepath.Join(l.work, "rounds", id+".html")
	if made["report"] != page {
		t.Errorf("the round's report is %v, want %s", made["report"], page)
	}
	first := l.read(page)
	if err := os.Remove(page); err != nil {
		t.Fatal(err)
	}
	if r := l.result(reportKeys, "report"); r["report"] != page || r["kind"] != "round" || r["bytes"] != float64(len(first)) || l.read(page) != first {
		t.Errorf("report gives %v", r)
	}
	if o := l.ok("report", filepath.Base(made["run"].(string))[:5]); o.stdout != "report    "+filepath.Join(made["run"].(string), "report.html")+"\n" {
		t.Errorf("report prints %q", o.stdout)
	}
	out := filepath.Join(l.dir, "two.html")
	if r := l.result(reportKeys, "report", id, made["run"].(string), "--out", out); r["kind"] != "runs" || len(r["of"].([]any)) != 2 {
		t.Errorf("report gives %v", r)
	}
	if !strings.HasPrefix(l.read(out), "<!doctype html>") {
		t.Error("that is no page")
	}
	l.fails(1, []string{`"nothing" is no round, run or sweep`, "; `runs list` lists the rounds"}, "report", "nothing")
	l.fails(1, []string{l.corpus + " is there, and is no report of quire's", "; use another --out"}, "report", "--out", l.corpus)
	l.ok("train", "--fresh", "--set", "prep.out="+made["set"].(string), "--set", "train.out="+made["run"].(string))
	if _, err := os.Stat(filepath.Join(made["run"].(string), "report.html")); err == nil {
		t.Error("the page of a run outlives its training")
	}
}

// TestReportGrown: runs on a text that has grown in between are not called better or worse than
// one another, by whatever name; runs on one text are, wherever its copies lie.
func TestReportGrown(t *testing.T) {
	l := newLab(t)
	head := func(names ...string) string {
		out := filepath.Join(l.t.TempDir(), "page.html")
		l.ok(append([]string{"report", "--out", out}, names...)...)
		_, head, _ := strings.Cut(l.read(out), "<header")
		head, _, _ = strings.Cut(head, "</header>")
		return head
	}
	first := l.result(runKeys+" report", "run")
	copied := filepath.Join(l.dir, "copy", filepath.Base(l.corpus))
	if err := os.Mkdir(filepath.Dir(copied), 0o755); err != nil {
		t.Fatal(err)
	}
	l.write(copied, l.read(l.corpus))
	same := l.result(runKeys+" report", "run", "--set", "corpus.sources="+copied, "--set", "train.lr=0.011")
	l.write(l.corpus, l.read(l.corpus)+l.read(l.corpus))
	grown := l.result(runKeys+" report", "run")
	for _, key := range []string{"run", "round"} {
		if h := head(first[key].(string), same[key].(string)); !strings.Contains(h, " is best: ") {
			t.Errorf("two %ss on one text: %s", key, h)
		}
		if h := head(first[key].(string), grown[key].(string)); strings.Contains(h, " is best: ") || !strings.Contains(h, "do not compare") {
			t.Errorf("two %ss on texts that differ: %s", key, h)
		}
	}
}
