package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/dataset"
)

// A lab is a workdir whose files a test writes.
type lab struct {
	t   *testing.T
	dir string
}

func newLab(t *testing.T) *lab { return &lab{t, t.TempDir()} }

// write writes a file below the workdir.
func (l *lab) write(name, content string) {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		l.t.Fatal(err)
	}
}

// seal writes a file with its digest inside.
func (l *lab) seal(name string, v any) {
	l.t.Helper()
	data, err := store.MarshalSealed(v)
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(name, string(data))
}

func encode(t *testing.T, v any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const digest = "d4d088e1a8d665c852ef46fa616439713c9053fb9b1461dca856b0e701ef6455"

// stage returns the record of a stage that ran.
func (l *lab) stage(name, artifact string, seconds float64, value any) workflow.StageRecord {
	return workflow.StageRecord{Name: name, Action: workflow.ActionRun, Reasons: []string{"no earlier result"}, Key: "key-" + name,
		Artifact: artifact, Digest: digest, Value: encode(l.t, value), Seconds: seconds, Attempts: 1}
}

// record is a round that went well. edit may change it before it is written.
func (l *lab) record(id string, edit func(r *workflow.Record)) {
	l.t.Helper()
	x := func(v float64) *float64 { return &v }
	began := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	live := func(s workflow.StageRecord) workflow.StageRecord { s.Live = true; return s }
	decision := gate.Result{Passed: true, Nats: x(1.5), UnigramNats: 3, Checks: []gate.Check{
		{Name: "weights", Passed: true, Value: x(0), Limit: x(0), Text: "0 of 100 weights are not finite numbers"},
		{Name: "loss", Passed: true, Value: x(1.5), Limit: x(3), Text: "validation loss 1.5, it must be below 3"},
	}}
	r := &workflow.Record{Format: workflow.RecordFormat, Round: id, Began: began, Ended: began.Add(200 * time.Second), Exit: workflow.Done,
		Config: encode(l.t, map[string]any{"name": "opticks", "model.cell": "gru", "model.layers": 1, "model.hidden": 256, "train.lr": 0.002,
			"generate.prompt": "The ", "generate.temperature": 0.5, "corpus.sources": []string{"book.txt"}}),
		Versions: map[string]string{"go": "go1.26.8", "quire": "v0.1.0"}, Host: map[string]string{"name": "forge", "cpus": "2"},
		Stages: []workflow.StageRecord{
			live(l.stage("corpus", "corpus", 0.1, text.CorpusFacts{Documents: 1, Bytes: 9,
				Listed: []text.CorpusDocument{{Name: "book.txt", Bytes: 9, SHA256: digest}}})),
			l.stage("prep", "set", 20, stages.PrepResult{Set: "sets/one", Chars: 567038, Vocab: 91, UnigramNats: 3, BigramNats: 2.4,
				TrigramNats: x(1.7), Drift: &dataset.Drift{PairNats: 0.05, CharNats: 0.01}, Repeated: x(0.001)}),
			live(l.stage("drift", "drift", 0, round.DriftResult{})),
			l.stage("train", "model", 160, stages.TrainResult{Run: "runs/one", Best: "runs/one/checkpoints/step-00000020.safetensors", Step: 20, Epoch: 2,
				CharsPerSecond: 18427.6, Parameters: 276507}),
			l.stage("evaluate", "evaluation", 4, text.EvaluateResult{NatsPerChar: 1.5, BitsPerChar: 2.164, Split: "validation",
				UnigramNats: 3, BigramNats: 2.4, TrigramNats: x(1.7)}),
			l.stage("gate", "decision", 10, decision),
			l.stage("promote", "promotion", 2, promotion.Promoted{Checkpoint: "promoted/x.safetensors"}),
			l.stage("sample", "sample", 4, round.SampleResult{Text: "The Light of the Sun", Seed: 7}),
		}}
	if edit != nil {
		edit(r)
	}
	l.seal(workflow.RecordName(id), r)
	l.seal("rounds/latest.json", map[string]string{"format": "quire-latest/1", "round": id})
}

// change changes the value of a stage of a record.
func change[T any](t *testing.T, r *workflow.Record, stage string, edit func(v *T)) {
	t.Helper()
	var v T
	s := r.Stage(stage)
	if err := json.Unmarshal(s.Value, &v); err != nil {
		t.Fatal(err)
	}
	edit(&v)
	s.Value = encode(t, v)
}

// run writes the directory of a training, with losses that end at best.
func (l *lab) run(name string, best float64, config string) {
	l.t.Helper()
	var b strings.Builder
	for i := 1; i <= 20; i++ {
		fmt.Fprintf(&b, `{"step":%d,"epoch":%d,"train_nats":%g,"chars_per_second":1000}`+"\n", i, (i+9)/10, best+2/float64(i))
		if i%10 == 0 {
			fmt.Fprintf(&b, `{"step":%d,"epoch":%d,"epoch_train_nats":%g,"validation_nats":%g,"sample":"epoch %d writes"}`+"\n",
				i, i/10, best, best+1-float64(i)/20, i/10)
		}
	}
	l.write(name+"/metrics.jsonl", b.String())
	l.write(name+"/config.yaml", config)
	l.seal(name+"/best.json", checkpoint.Pointer{Format: checkpoint.PointerFormat, Name: checkpoint.Path(20), Bytes: 1, SHA256: digest, Step: 20, Loss: &best})
}

// page writes the page of names, and reads it.
func (l *lab) page(names ...string) *tree {
	l.t.Helper()
	out := filepath.Join(l.t.TempDir(), "page.html")
	if _, err := Write(l.t.Context(), l.dir, names, out); err != nil {
		l.t.Fatal(err)
	}
	return l.read(out)
}

// read reads a page, and checks what holds of all pages.
func (l *lab) read(path string) *tree {
	l.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	n, err := html.Parse(bytes.NewReader(data))
	if err != nil {
		l.t.Fatal(err)
	}
	p := &tree{l.t, n, len(data)}
	p.harmless()
	return p
}

// A tree is a page as a browser reads it.
type tree struct {
	t     *testing.T
	root  *html.Node
	bytes int
}

// known are the elements of a page and the attributes that they may have.
var known = map[string]string{"html": "lang", "head": "", "body": "", "meta": "charset http-equiv content name", "title": "id", "style": "",
	"a": "class href", "header": "class", "main": "id", "footer": "", "section": "", "div": "class role aria-label tabindex dir",
	"h1": "", "h2": "", "p": "class", "span": "class", "small": "class", "strong": "", "code": "", "br": "",
	"dl": "class", "dt": "", "dd": "", "ol": "class", "ul": "class", "li": "", "details": "", "summary": "",
	"figure": "", "figcaption": "", "svg": "class viewBox font-size role aria-labelledby aria-hidden preserveAspectRatio", "desc": "id",
	"path": "class d", "circle": "class cx cy r", "text": "class x y text-anchor", "rect": "class x y width height",
	"table": "class", "thead": "", "tbody": "", "tr": "class", "th": "scope class", "td": "class data-label"}

// harmless fails a page that has an element or an attribute which none of its templates
// has, asks a host for something, or is too large.
func (p *tree) harmless() {
	p.t.Helper()
	if p.bytes > 500_000 {
		p.t.Errorf("the page has %d bytes", p.bytes)
	}
	for n := range p.root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attributes, ok := known[n.Data]
		if !ok {
			p.t.Errorf("the page has an element %s: %s", n.Data, words(n))
		}
		for _, a := range n.Attr {
			if !slices.Contains(strings.Fields(attributes), a.Key) {
				p.t.Errorf("an element %s has the attribute %s=%q", n.Data, a.Key, a.Val)
			}
			if a.Key == "href" && a.Val != "#main" {
				p.t.Errorf("the page links to %q", a.Val)
			}
		}
	}
	policy := ""
	for n := range p.root.Descendants() {
		if n.Data == "meta" && attribute(n, "http-equiv") == "Content-Security-Policy" {
			policy = attribute(n, "content")
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") {
		p.t.Errorf("the policy is %q", policy)
	}
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// words is the text of an element, its white space as a browser shows it.
func words(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// all returns the elements of a name, or of a class such as ".badge", below n.
func all(n *html.Node, what string) (list []*html.Node) {
	for c := range n.Descendants() {
		class, isClass := strings.CutPrefix(what, ".")
		if c.Type == html.ElementNode && (!isClass && c.Data == what || isClass && slices.Contains(strings.Fields(attribute(c, "class")), class)) {
			list = append(list, c)
		}
	}
	return list
}

// texts returns the texts of elements.
func texts(n *html.Node, what string) (list []string) {
	for _, c := range all(n, what) {
		list = append(list, words(c))
	}
	return list
}

// section returns the section with a heading.
func (p *tree) section(heading string) *html.Node {
	p.t.Helper()
	for _, s := range all(p.root, "section") {
		if slices.Contains(texts(s, "h2"), heading) {
			return s
		}
	}
	p.t.Fatalf("there is no section %q; there are %q", heading, texts(p.root, "h2"))
	return nil
}

// rows returns the rows of the first table below n, cells joined by bars.
func rows(n *html.Node) (list []string) {
	for _, r := range all(all(n, "tbody")[0], "tr") {
		var cells []string
		for c := range r.ChildNodes() {
			cells = append(cells, words(c))
		}
		list = append(list, strings.Join(cells, "|"))
	}
	return list
}

// same compares lists.
func (p *tree) same(what string, got, want []string) {
	p.t.Helper()
	if !slices.Equal(got, want) {
		p.t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}
