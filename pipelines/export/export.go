// Package export is a model for other programs: a folder in the layout of Hugging Face.
//
//	model.safetensors   the weights alone, in PyTorch's names and layout
//	vocab.json          {"\n":0," ":1,…}: the id of each character; a byte b is the character U+00b
//	*_quire.py          load the folder in PyTorch alone, and in Transformers
//	README.md           the model card: losses, the gate's figures, lineage, a sample
//	config.json         shape and kind of the model, and the sha256 of model.safetensors
//
// They are written in this order, each complete or absent, so that a folder with
// config.json is whole. A model that replaces another takes config.json away first.
//
// The same checkpoint, judged by the same round, gives the same bytes. The card holds what
// no checkpoint knows, the gate's figures and the names of the sources, from the oldest
// round of a workdir that judged this very file, and says so where there is none. Names and
// samples are chosen by a corpus: they are escaped for Markdown.
package export

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/vocab"
)

// The files of a folder.
const (
	weightsName = "model.safetensors"
	vocabName   = "vocab.json"
	codeName    = "modeling_quire.py"
	autoName    = "transformers_quire.py"
	cardName    = "README.md"
	configName  = "config.json"
)

//go:embed modeling_quire.py
var code []byte

//go:embed transformers_quire.py
var auto []byte

// Options are the inputs of Folder beside the model.
type Options struct {
	Workdir string      // whose rounds the card tells of
	Replace bool        // the folder may hold another model, and other files, which stay
	Damaged func(error) // is told of records of rounds that cannot be read
}

// Result is what Folder has made.
type Result struct {
	Folder     store.Path `json:"folder"`
	Checkpoint store.Path `json:"checkpoint"`
	SHA256     string     `json:"sha256"` // of the checkpoint
	Model      string     `json:"model_sha256"`
	Parameters int        `json:"parameters"`
	Round      string     `json:"round"` // that judged the model; empty: none did
}

// Folder writes a model to a folder or gs:// URL. A folder that holds this export stays as
// it is. The error is a *ForeignError where it holds other files, and an *OtherError where it
// holds another model.
func Folder(ctx context.Context, m *text.Model, dir string, o Options) (*Result, error) {
	st, err := store.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if err := checkFolder(ctx, st, o.Replace); err != nil {
		return nil, err
	}
	past, err := find(ctx, m, o)
	if err != nil {
		return nil, err
	}
	card, err := card(ctx, m, past)
	if err != nil {
		return nil, err
	}
	out := &writer{ctx: ctx, st: st, replace: o.Replace}
	sum := out.weights(m)
	out.bytes(vocabName, vocabulary(m.Vocab))
	out.bytes(codeName, code)
	out.bytes(autoName, auto)
	out.bytes(cardName, card)
	out.bytes(configName, config(m, sum))
	if out.err != nil {
		return nil, out.err
	}
	return &Result{Folder: store.Path(dir), Checkpoint: store.Path(m.Path), SHA256: m.SHA256, Model: sum,
		Parameters: m.Weights.Shape.Count(), Round: past.round}, nil
}

// A writer writes the files of a folder, up to the first error.
type writer struct {
	ctx     context.Context
	st      *store.Store
	replace bool
	err     error
}

// weights writes the parameters, and returns the sha256 of their file.
func (w *writer) weights(m *text.Model) (sum string) {
	var tensors []checkpoint.Tensor
	for i, p := range m.Weights.Shape.Parameters() {
		tensors = append(tensors, checkpoint.Tensor{Name: p.Name, Shape: p.Dims, Data: m.Weights.ByPos[i]})
	}
	w.file(weightsName, func(f io.Writer) (err error) {
		sum, err = checkpoint.WritePlain(f, tensors)
		return err
	})
	return sum
}

func (w *writer) bytes(name string, data []byte) {
	w.file(name, func(f io.Writer) error {
		_, err := f.Write(data)
		return err
	})
}

// file writes a file whose content write gives, where it does not exist, and in place of
// another where that may be.
func (w *writer) file(name string, write func(f io.Writer) error) {
	if w.err != nil {
		return
	}
	w.err = w.commit(write, func() (*store.Writer, error) { return w.st.Create(w.ctx, name) })
	if !errors.Is(w.err, store.ErrConflict) {
		return
	}
	if !w.replace {
		w.err = &OtherError{Dir: w.st.URL(), File: name, Err: w.err}
		return
	}
	if w.err = w.st.Delete(w.ctx, configName, ""); w.err != nil { // until all is there
		return
	}
	info, err := w.st.Stat(w.ctx, name) // without an object the generation is empty
	if err != nil && !errors.Is(err, store.ErrNotExist) {
		w.err = err
		return
	}
	w.err = w.commit(write, func() (*store.Writer, error) { return w.st.CreateSwap(w.ctx, name, info.Generation) })
}

func (w *writer) commit(write func(f io.Writer) error, create func() (*store.Writer, error)) error {
	f, err := create()
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := write(f); err != nil {
		return err
	}
	_, err = f.Commit()
	return err
}

// vocabulary returns vocab.json: ids by character, in the order of ids.
func vocabulary(v *vocab.Vocab) []byte {
	b := []byte{'{'}
	for id := range int32(v.Size()) {
		if id > 0 {
			b = append(b, ',')
		}
		char := v.AppendText(nil, id)
		if v.Unit() == vocab.Byte && !(v.HasUnknown() && id == 0) {
			char = []byte(string(rune(char[0])))
		}
		b = fmt.Appendf(b, "%s:%d", encode(string(char)), id)
	}
	return append(b, "}\n"...)
}

// config returns config.json of a model whose weights have a file of this sha256.
func config(m *text.Model, sum string) []byte {
	s := m.Weights.Shape
	c := struct {
		Architectures []string `json:"architectures"`
		ModelType     string   `json:"model_type"`
		Auto          struct {
			Config string `json:"AutoConfig"`
			Model  string `json:"AutoModelForCausalLM"`
		} `json:"auto_map"`
		Cell       string `json:"cell"`
		Embedding  int    `json:"embedding_size"`
		Hidden     int    `json:"hidden_size"`
		Layers     int    `json:"num_hidden_layers"`
		Vocabulary int    `json:"vocab_size"`
		Unit       string `json:"unit"`
		Normalize  string `json:"normalize"`
		Unknown    *int   `json:"unk_token_id"`
		Dtype      string `json:"dtype"`
		Quire      struct {
			Checkpoint string `json:"checkpoint_sha256"`
			Model      string `json:"model_sha256"`
			Set        string `json:"set_sha256"`
			Step       int64  `json:"step"`
			Epoch      int    `json:"epoch"`
		} `json:"quire"`
	}{Architectures: []string{"QuireForCausalLM"}, ModelType: "quire", Cell: string(s.Cell), Embedding: s.Embedding, Hidden: s.Hidden, Layers: s.Layers,
		Vocabulary: s.Vocabulary, Unit: m.Unit, Normalize: cmp.Or(m.Normalize, "none"), Dtype: "float32"}
	c.Auto.Config, c.Auto.Model = "transformers_quire.QuireConfig", "transformers_quire.QuireForCausalLM"
	if m.Vocab.HasUnknown() {
		c.Unknown = new(int)
	}
	c.Quire.Checkpoint, c.Quire.Model, c.Quire.Set, c.Quire.Step, c.Quire.Epoch = m.SHA256, sum, m.Set, m.Step, m.Epoch
	var b bytes.Buffer
	if err := json.Indent(&b, encode(c), "", "  "); err != nil {
		panic(err) // encode returns JSON
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// encode returns the JSON form of a value that has one.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
