package receipt_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/receipt"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/vocab"
)

// saved writes an untrained model of some bytes below a folder and returns its path.
func saved(t testing.TB, dir string, unit vocab.Unit, characters string, seed int64) string {
	t.Helper()
	return tiny.Model{Shape: rnn.Shape{Layers: 2, Embedding: 5, Hidden: 33}, Vocab: tiny.Vocab(t, unit, characters, false), Weigh: tiny.Drawn(seed, 1),
		Change: func(c *checkpoint.Checkpoint) { c.Step = seed }}.Save(t, dir)
}

var open = tiny.Open

func silent(int, []byte) error { return nil }

// made writes texts and returns their receipt.
func made(t testing.TB, m *text.Model, q *text.Request) (*receipt.Receipt, *text.GenerateResult) {
	t.Helper()
	res, err := m.Write(t.Context(), q, silent)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Of(m, q, res), res
}

// request is a request with every option.
func request(t testing.TB, m *text.Model, prompt string) *text.Request {
	t.Helper()
	q, err := m.Request(configs.Generate{Prompt: prompt, Length: 50, Temperature: 0.9, TopK: 20, TopP: 0.95, MinP: 0.01, RepetitionPenalty: 1.2, Seed: -5, Num: 3,
		Ban: "q", Stop: []string{"ab"}})
	if err != nil {
		t.Fatal(err)
	}
	q.Sampling.Bias = map[int32]float64{2: 0.1, 0: -1}
	return q
}

// TestReplay: a receipt that went through JSON gives the texts again; of a text that is not
// UTF-8, of ids that no text has, and of streams that are not the first.
func TestReplay(t *testing.T) {
	runes, octets := open(t, saved(t, t.TempDir(), vocab.Rune, "abcdefghijq \n", 1)), open(t, saved(t, t.TempDir(), vocab.Byte, "abq\xff\xfe\xc3", 2))
	invalid := request(t, octets, "a\xff")
	invalid.Stop = []string{"\xff\xff", "ab"}
	ids := request(t, octets, "")
	ids.Prompt = &text.Prompt{IDs: []int32{1, 0}, Text: []byte("other")}
	later := request(t, runes, "bad ")
	later.Streams = []uint64{9, 1 << 60}
	for name, c := range map[string]struct {
		m *text.Model
		q *text.Request
	}{"text": {runes, request(t, runes, "bad ")}, "none": {runes, request(t, runes, "")}, "bytes": {octets, invalid},
		"ids": {octets, ids}, "streams": {runes, later}} {
		r, res := made(t, c.m, c.q)
		data, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := receipt.Decode(data)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%s: %s is decoded as %+v, %v", name, data, again, err)
			continue
		}
		replayed, err := again.Replay(t.Context(), c.m, silent)
		if err != nil || !slices.Equal(replayed.Continuations(mustRequest(t, again, c.m)), res.Continuations(c.q)) {
			t.Errorf("%s: %+v, %v, want %q", name, replayed, err, res.Texts)
		}
		for i, written := range res.Continuations(c.q) {
			if want := fmt.Sprintf("%x", sha256.Sum256([]byte(written))); r.Texts[i].SHA256 != want || r.Texts[i].Bytes != len(written) ||
				r.Texts[i].Stream != c.q.Streams[i] {
				t.Errorf("%s: text %d is %+v, want sha256 %s", name, i, r.Texts[i], want)
			}
		}
	}
}

func mustRequest(t *testing.T, r *receipt.Receipt, m *text.Model) *text.Request {
	t.Helper()
	q, err := r.Request(m)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestDifferent: each change of what made the text is found, and another model refused.
func TestDifferent(t *testing.T) {
	m := open(t, saved(t, t.TempDir(), vocab.Rune, "abcdefghijq \n", 1))
	for name, change := range map[string]func(r *receipt.Receipt){
		"prompt":      func(r *receipt.Receipt) { r.Prompt = "bed " },
		"length":      func(r *receipt.Receipt) { r.Length = 51 },
		"seed":        func(r *receipt.Receipt) { r.Seed++ },
		"temperature": func(r *receipt.Receipt) { r.Temperature = 3 },
		"top_k":       func(r *receipt.Receipt) { r.TopK = 2 },
		"top_p":       func(r *receipt.Receipt) { r.TopP = 0.3 },
		"min_p":       func(r *receipt.Receipt) { r.MinP = 0.9 },
		"penalty":     func(r *receipt.Receipt) { r.RepetitionPenalty = 30 },
		"ban":         func(r *receipt.Receipt) { r.Ban = []int32{1, 2} },
		"bias":        func(r *receipt.Receipt) { r.Bias = map[int32]float64{3: 9} },
		"stop":        func(r *receipt.Receipt) { r.Stop = []receipt.Bytes{"a"} },
		"stream":      func(r *receipt.Receipt) { r.Texts[0].Stream = 7 },
		"digest":      func(r *receipt.Receipt) { r.Texts[0].SHA256 = "00" },
		"bytes":       func(r *receipt.Receipt) { r.Texts[0].Bytes++ },
		"finish":      func(r *receipt.Receipt) { r.Texts[0].Finish = "end" },
	} {
		q := request(t, m, "bad ")
		q.Stop, q.Streams = nil, q.Streams[:1]
		r, _ := made(t, m, q)
		if _, err := r.Replay(t.Context(), m, silent); err != nil {
			t.Fatal(err)
		}
		change(r)
		var different *receipt.DifferentError
		says := "differs"
		if name == "finish" {
			says = `its finish is "length"; the receipt has "end"`
		}
		if _, err := r.Replay(t.Context(), m, silent); !errors.As(err, &different) || !strings.Contains(err.Error(), says) {
			t.Errorf("with another %s: %v", name, err)
		}
	}
	r, _ := made(t, m, request(t, m, "bad "))
	other := open(t, saved(t, t.TempDir(), vocab.Rune, "abcdefghijq \n", 2))
	var refused *receipt.ModelError
	if _, err := r.Replay(t.Context(), other, silent); !errors.As(err, &refused) || refused.Got != other.SHA256 || refused.Want != m.SHA256 ||
		!strings.Contains(err.Error(), other.Path) {
		t.Errorf("by another model: %v", err)
	}
	for want, change := range map[string]func(r *receipt.Receipt){
		"receipt: prompt: id 13 at position 1":     func(r *receipt.Receipt) { r.Prompt, r.PromptIDs = "", []int32{0, 13} },
		"receipt: prompt: id -1 at position 0":     func(r *receipt.Receipt) { r.Prompt, r.PromptIDs = "", []int32{-1} },
		"receipt: prompt: vocab: character 'Z'":    func(r *receipt.Receipt) { r.Prompt = "Z" },
		"sample: top_p is -1":                      func(r *receipt.Receipt) { r.TopP = -1 },
		"sample: ban of id 99, which is outside":   func(r *receipt.Receipt) { r.Ban = []int32{99} },
		"sample: bias of id -1, which is outside":  func(r *receipt.Receipt) { r.Bias = map[int32]float64{-1: 1} },
		"sample: none of 13 logits is above -Inf":  func(r *receipt.Receipt) { r.Ban = []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} },
		"sample: repetition_penalty is -1, want a": func(r *receipt.Receipt) { r.RepetitionPenalty = -1 },
	} {
		r, _ := made(t, m, request(t, m, "bad "))
		change(r)
		if _, err := r.Replay(t.Context(), m, silent); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	m := open(t, saved(t, t.TempDir(), vocab.Rune, "abcdefghijq \n", 1))
	r, _ := made(t, m, request(t, m, "bad "))
	good, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("%s has no %s", good, old)
		}
		return bytes.Replace(good, []byte(old), []byte(new), 1)
	}
	cases := map[string][]byte{
		"unexpected end of JSON input":                         nil,
		"it is a JSON array, want an object":                   []byte("[]"),
		`the format is "", this program reads quire-receipt/1`: []byte("{}"),
		"the format is 3, this program reads quire-receipt/1":  []byte(`{"format":3}`),
		`the format is "quire-receipt/2", this program`:        change("receipt/1", "receipt/2"),
		"it has no top_k":                                                               change(`"top_k"`, `"top"`),
		`unknown field "top"`:                                                           change(`"top_k"`, `"top": 1, "top_k"`),
		"invalid character '{' after top-level value":                                   append(slices.Clone(good), good...),
		"length is -1, want 0 to 1000000000":                                            change(`"length": 50`, `"length": -1`),
		"length is 1000000001, want 0 to 1000000000":                                    change(`"length": 50`, `"length": 1000000001`),
		"unknown field \"hex\"":                                                         change(`"bad "`, `{"hex": ""}`),
		"prompt is a JSON number, want a text":                                          change(`"bad "`, `3`),
		"prompt.base64 is a JSON number, want a text in base64":                         change(`"bad "`, `{"base64": 3}`),
		"illegal base64 data":                                                           change(`"bad "`, `{"base64": "~"}`),
		"length is a JSON string, want a whole number in range":                         change(`"length": 50`, `"length": "50"`),
		"length is a JSON number 5.5, want a whole number in":                           change(`"length": 50`, `"length": 5.5`),
		"temperature is a JSON string, want a number in range":                          change(`"temperature": 0.9`, `"temperature": "0.9"`),
		"ban is a JSON object, want a list":                                             change(`"ban": [`, `"ban": {}, "prompt_ids": [`),
		"bias is a JSON array, want an object":                                          change(`"bias": {`, `"bias": [1], "other": {`),
		"texts.stream is a JSON number -1, want a whole number, 0 or more, in range":    change(`"stream": 0`, `"stream": -1`),
		"repetition_penalty is 0, want above 0; 1 is off":                               change(`"repetition_penalty": 1.2`, `"repetition_penalty": 0`),
		"sample: repetition_penalty is -1, want above 0":                                change(`"repetition_penalty": 1.2`, `"repetition_penalty": -1`),
		"sample: top_p is 0, want above 0; 1 is off":                                    change(`"top_p": 0.95`, `"top_p": 0`),
		"stop has an empty text":                                                        change(`"ab"`, `"ab", ""`),
		"it has both a prompt and prompt_ids":                                           change(`"length"`, `"prompt_ids": [1], "length"`),
		"it has no texts":                                                               regexp.MustCompile(`(?s)"texts": .*`).ReplaceAll(good, []byte(`"texts": []}`)),
		`checkpoint_sha256 is "../` + r.SHA256[:61] + `", want 64 hexadecimal digits`:   change(r.SHA256, "../"+r.SHA256[:61]),
		`text 0: sha256 is "` + r.Texts[0].SHA256[1:] + `", want 64 hexadecimal digits`: change(r.Texts[0].SHA256, r.Texts[0].SHA256[1:]),
		`finish is "end", want length or stop`:                                          change(`"finish": "`+string(r.Texts[0].Finish), `"finish": "end`),
	}
	cases["text 0: it has 49 bytes, and a text whose finish is length at least the length, 50"] = change(`"bytes": 50`, `"bytes": 49`)
	cases["the value that ends at byte 40 is null"] = append([]byte(`{"format": "quire-receipt/1", "ban":null,`), good[1:]...)
	cases["is null, which stands for nothing"] = change(`"seed": -5`, `"seed": null`)
	cases[`unknown field "Seed"`] = change(`"seed": -5`, `"Seed": -5`)
	cases[`unknown field "BASE64"`] = change(`"bad "`, `{"BASE64": ""}`)
	cases[`field "seed" comes twice`] = change(`"seed": -5`, `"seed": -5, "seed": 5`)
	cases[`field "base64" comes twice`] = change(`"bad "`, `{"base64": "", "base64": ""}`)
	cases[`field "bytes" comes twice`] = change(`"bytes": 2`, `"bytes": 2, "bytes": 2`)
	cases["null, which stands for nothing"] = change(`"ban": [`, `"ban": [null, `)
	cases["text 1: bytes is -1, want 0 or more"] = change(`"bytes": 2`, `"bytes": -1`)
	cases["text 1: finish is stop, and the receipt has no stop"] = regexp.MustCompile(`(?s)"stop": \[.*?\],`).ReplaceAll(good, nil)
	for _, key := range []string{"checkpoint_sha256", "prompt", "length", "temperature", "top_p", "min_p", "repetition_penalty", "seed"} {
		cases["it has no "+key] = regexp.MustCompile(`"`+key+`": .*\n`).ReplaceAll(good, nil)
	}
	for _, key := range []string{"stream", "bytes", "sha256"} {
		cases["text 0: it has no "+key] = regexp.MustCompile(`"`+key+`": .*\n`).ReplaceAll(good, nil)
	}
	for want, data := range cases {
		if got, err := receipt.Decode(data); err == nil || got != nil || !strings.HasPrefix(err.Error(), "receipt: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %s", data, got, err, want)
		}
	}
}

// TestNewIsWhole: what is off has one form in a receipt, which Decode takes.
func TestNewIsWhole(t *testing.T) {
	m := open(t, saved(t, t.TempDir(), vocab.Rune, "abcdefghijq \n", 1))
	q := &text.Request{Prompt: &text.Prompt{}, Length: 3, Sampling: sample.Options{Temperature: 1, TopP: 1}, Stop: []string{"", "zz", ""}, Streams: []uint64{0}}
	r, _ := made(t, m, q)
	if r.RepetitionPenalty != 1 || !slices.Equal(r.Stop, []receipt.Bytes{"zz"}) {
		t.Errorf("%+v", r)
	}
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if r, err = receipt.Decode(data); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if _, err := r.Replay(t.Context(), m, silent); err != nil {
		t.Error(err)
	}
}

// FuzzDecode: what is decoded has one form.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"format":"quire-receipt/1","checkpoint_sha256":"` + strings.Repeat("5", 64) + `","prompt":{"base64":"/w=="},"length":1,"temperature":1,` +
		`"top_k":0,"top_p":1,"min_p":0,"repetition_penalty":1,"seed":7,"texts":[{"stream":0,"bytes":1,"sha256":"` + strings.Repeat("7", 64) + `","finish":"length"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := receipt.Decode(data)
		if err != nil {
			return
		}
		out, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := receipt.Decode(out)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if more, err := again.Encode(); err != nil || !bytes.Equal(more, out) {
			t.Fatalf("%s becomes %s, %v", out, more, err)
		}
	})
}

// TestReplayOnEveryProcessor replays a receipt in a process for every variant and number of
// threads.
func TestReplayOnEveryProcessor(t *testing.T) {
	if dir := os.Getenv("GO_TEST_RECEIPT_CHILD"); dir != "" {
		if _, err := kernel.Variant(); err != nil {
			t.Log(err)
			return
		}
		data, err := os.ReadFile(filepath.Join(dir, "receipt.json"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := receipt.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Replay(t.Context(), open(t, filepath.Join(dir, "checkpoints", "step-00000001.safetensors")), silent); err != nil {
			t.Fatal(err)
		}
		fmt.Println("the same")
		return
	}
	dir := t.TempDir()
	m := open(t, saved(t, dir, vocab.Rune, "abcdefghijq \n", 1))
	r, _ := made(t, m, request(t, m, "bad "))
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "receipt.json"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, variant := range []string{"generic", "avx2", "avx512", "neon"} {
		for _, procs := range []int{1, 2, 8} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestReplayOnEveryProcessor$", "-test.v")
			cmd.Env = append(os.Environ(), "GO_TEST_RECEIPT_CHILD="+dir, "QUIRE_VARIANT="+variant, fmt.Sprintf("GOMAXPROCS=%d", procs))
			out, err := cmd.CombinedOutput()
			if strings.Contains(string(out), "this processor or build lacks") {
				t.Logf("%s is not here", variant)
				break
			}
			if ran++; err != nil || !strings.Contains(string(out), "the same") {
				t.Errorf("%s, GOMAXPROCS %d: %v\n%s", variant, procs, err, out)
			}
		}
	}
	if ran < 3 {
		t.Errorf("%d processes replayed, want 3 a variant", ran)
	}
}
