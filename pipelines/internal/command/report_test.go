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
