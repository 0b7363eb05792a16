package page

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/workflow"
)

// attacks are texts that would do something in a page that takes them for its own. %s is
// what a script of theirs would do.
var attacks = []string{
	`<script>%s</script>`,
	`"><img src="http://evil.example/x.png" onerror="%s">`,
	`'><svg onload='%s'><use href="http://evil.example/x.svg#a"/></svg>`,
	`</style></title></textarea></text></svg></dl><script>%s</script>`,
	`<style>@import url(http://evil.example/x.css); body { background: url(http://evil.example/y.png) }</style>`,
	`<iframe src="http://evil.example/"></iframe><link rel="stylesheet" href="http://evil.example/z.css">`,
	`<meta http-equiv="refresh" content="0;url=http://evil.example/r"><base href="http://evil.example/">`,
	`<a href="javascript:%s" style="position:fixed;inset:0">x</a>`,
	`<!-- -->--><![CDATA[ ]]><script>%s</script><!--`,
	`{{.}} {{template "page.html"}} &lt;script&gt; &#x3c;script>`,
	"\x00<scr\x00ipt>%s</script>\u202e<tpircs/>\u2066",
	`<form action="http://evil.example/f"><button formaction="http://evil.example/g">x</button></form>`,
}

// attack is all attacks in one text.
func attack() string {
	return strings.ReplaceAll(strings.Join(attacks, " "), "%s", "document.title='done'")
}

// hostile is a workdir in which every text is an attack: a round, and the run that it made.
func hostile(t *testing.T) *lab {
	l := newLab(t)
	evil := attack()
	l.run("runs/one", 1.5, "name: |\n  "+evil[:100]+"\n"+fmt.Sprintf("%q: %q\n", "key"+attacks[0], attacks[1]))
	l.write("runs/one/metrics.jsonl", string(encode(t, map[string]any{"step": 1, "epoch": 1, "epoch_train_nats": 2, "validation_nats": 2,
		"sample": evil}))+"\n"+`{"step":2,"epoch":1,"train_nats":2}`+"\n")
	l.record("20261125T030000Z", func(r *workflow.Record) {
		r.Config = encode(t, map[string]any{"name": evil, "generate.prompt": evil, evil: evil, "corpus.sources": []string{"https://me:s3cr3t@h/x?s3cr3t", evil},
			"model.cell": evil, "model.layers": evil, "model.hidden": map[string]string{evil: evil}})
		r.Versions, r.Host = map[string]string{"go": evil, "quire": evil}, map[string]string{"name": evil, "cpus": evil, "variant": evil, "platform": evil}
		for i := range r.Stages {
			r.Stages[i].Reasons, r.Stages[i].Key = []string{evil, evil}, evil
		}
		r.Stages = append(r.Stages, l.stage(evil, "mine", 1, evil))
		change(t, r, "corpus", func(f *text.CorpusFacts) {
			f.Listed[0] = text.CorpusDocument{Name: evil, SHA256: evil}
		})
		change(t, r, "evaluate", func(e *text.EvaluateResult) { e.Split = evil })
		change(t, r, "drift", func(d *round.DriftResult) { d.Against = "sets/" + "</p>" })
		change(t, r, "gate", func(d *gate.Result) {
			d.Passed, d.Against = false, `promoted/"><script>`
			for i := range d.Checks {
				d.Checks[i].Name, d.Checks[i].Text = evil, evil
			}
		})
		change(t, r, "sample", func(s *round.SampleResult) { s.Text = evil + strings.Repeat("x", 10<<20) })
		r.Exit, r.Error = evil, &workflow.Failure{Stage: evil, Class: evil, Message: evil}
	})
	return l
}

// TestHostile: whatever a model, a corpus, a config or a machine has written is text of the
// page. lab.read checks that no element or attribute comes of it.
func TestHostile(t *testing.T) {
	l := hostile(t)
	p := l.page()
	for _, where := range []string{"As it learned", "The gate", "Stages", "Lineage", "Config", "What it writes"} {
		if s := words(p.section(where)); !strings.Contains(s, "<script>document.title='done'</script>") {
			t.Errorf("the section %s has not the text of the attack: %.200s", where, s)
		}
	}
	all := words(p.root)
	for _, no := range []string{"\u202e", "\u2066", "\x00", "s3cr3t"} {
		if strings.Contains(all, no) {
			t.Errorf("the page has %q", no)
		}
	}
	for _, want := range []string{"U+202E", "U+2066", `\x00`, "https://(secret)@h/x?(secret)", "characters more are left out"} {
		if !strings.Contains(all, want) {
			t.Errorf("the page has not %q", want)
		}
	}
	one, two := l.page("runs/one"), l.page("runs/one", "20261125T030000Z")
	for _, p := range []*tree{one, two} {
		if !strings.Contains(words(p.root), `"><img src="http://evil.example/x.png"`) {
			t.Error("a page without the text of the attack")
		}
	}
}

// TestHostileSweep: the table of a sweep is text, too, and a path in it that leads out of the
// workdir is none.
func TestHostileSweep(t *testing.T) {
	l := newLab(t)
	l.run("runs/a", 1.5, "")
	var b strings.Builder
	b.WriteString(`trial,nats,split,step,parameters,run,"` + strings.ReplaceAll(attacks[1], `"`, `""`) + "\"\n")
	for _, run := range []string{"runs/a", "../../../etc", "runs/gone", attacks[0]} {
		b.WriteString(`"` + attacks[0] + `",1.5,` + attacks[8] + `,1,2,"` + run + `","` + attacks[4] + "\"\n")
	}
	l.write("sweeps/s/sweep.csv", b.String())
	p := l.page("s")
	if got := len(rows(p.section("By loss"))); got != 4 {
		t.Errorf("%d trials", got)
	}
	if notes := texts(p.root, ".note"); len(notes) != 1 || !strings.Contains(notes[0], "etc") {
		t.Errorf("notes: %q", notes)
	}
}

// TestParserSeesAttacks is the other side of lab.read: a page that does not escape fails it.
func TestParserSeesAttacks(t *testing.T) {
	n, err := html.Parse(strings.NewReader("<body><p>" + attacks[0] + attacks[1] + "</p>"))
	if err != nil {
		t.Fatal(err)
	}
	if len(all(n, "script")) != 1 || attribute(all(n, "img")[0], "onerror") == "" {
		t.Error("the parser does not see a script")
	}
}
