// Package checkpoint is the file format of a training's state.
//
// A checkpoint is a safetensors file, which any reader of that format opens:
//
//	+-----------------+------------------------+------------------------------+
//	| length n (8B)   | header (n bytes, JSON) | data: tensors, one after the |
//	| of the header   | ending in spaces       | other, float32               |
//	+-----------------+------------------------+------------------------------+
//
// Numbers are little-endian, 8 + n is a multiple of 8, tensors are ordered by
// name in header and data, with no gaps. The header starts with __metadata__, a
// map of strings:
//
//	digest     sha256 of length and header, with 64 zeros in place of this value
//	format     quire-checkpoint/1
//	cell, config, vocab, unit, normalize, step, epoch, set, metrics
//	ancestors  JSON: what is known of the checkpoints that the training started from; absent for none
//	sha256     JSON: the sha256 of each tensor's bytes, by name
//
// The digest covers the header and the header covers the data, so that damage is
// found in the header or in a tensor of known name and place. A header has only
// one form: another than Save writes for the same content is refused, at the
// first byte that differs. So there are no duplicate keys, other types, gaps or
// overlaps.
//
// The tensors of a training (other readers need only the first kind):
//
//	<parameter>                   PyTorch's names and layout
//	adam.m.<…>, adam.v.<…>        moments of the parameter
//	raw.<…>                       value after the last step, where <parameter> is the mean over the steps
//	hidden.h.l{k}, hidden.c.l{k}  (B, H) hidden and LSTM's c of layer k after the step, where the next step carries them on
//
// Same content, same bytes: a file holds no time, no place and no order of calls. So a
// file can be named by its content (Named): a reader finds another file under that name.
package checkpoint

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/quire-ml/quire/runners/store"
)

// Checkpoint is the content of a file.
type Checkpoint struct {
	Metadata
	Tensors []Tensor // no two of one name; Load orders them by name

	// Of the file that was read. Writers ignore them.
	Digest string // in the header
	Bytes  int64
	SHA256 string // hex, of all bytes
}

// Metadata is the origin of a checkpoint, and the facts that its use needs. JSON
// values may be empty.
type Metadata struct {
	Cell      string          // gru or lstm
	Config    json.RawMessage // the resolved model and train sections
	Vocab     json.RawMessage
	Unit      string // rune or byte
	Normalize string // none or nfc
	Step      int64  // optimizer updates taken
	Epoch     int    // of the last step, from 1
	Set       string // sha256 of the set's manifest
	Metrics   json.RawMessage
	Ancestors json.RawMessage // of the checkpoint that the training started from; empty for none
}

// Tensor is a row-major array. A scalar's shape is empty.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// Tensor returns the tensor of a name; its Data is not copied. The result is false
// for an unknown name.
func (c *Checkpoint) Tensor(name string) (Tensor, bool) {
	for _, t := range c.Tensors {
		if t.Name == name {
			return t, true
		}
	}
	return Tensor{}, false
}

// Folder and Suffix begin and end the name of every checkpoint that Save writes.
const (
	Folder = "checkpoints/"
	Suffix = ".safetensors"
)

const stepPrefix = "step-"

// Path returns the name of the checkpoint of a step, in the store of its run.
func Path(step int64) string { return fmt.Sprintf("%s%s%08d%s", Folder, stepPrefix, step, Suffix) }

// StepOf returns the step of the checkpoint of a name; ok is false for a name
// that Path does not return.
func StepOf(name string) (step int64, ok bool) {
	text := strings.TrimSuffix(strings.TrimPrefix(name, Folder+stepPrefix), Suffix)
	step, err := strconv.ParseInt(text, 10, 64)
	return step, err == nil && step >= 0 && name == Path(step)
}

// Named returns the name of a checkpoint by the sha256 of its file, in a folder. Read
// compares the file under such a name with it.
func Named(folder, sha256 string) string { return folder + "/" + sha256 + Suffix }

// Save writes c below checkpoints/ and returns a pointer to it, without a loss.
// Saving the same content again succeeds; other content for the same step is
// store.ErrConflict. The memory of Save does not grow with the tensors.
func Save(ctx context.Context, st *store.Store, c *Checkpoint) (Pointer, error) {
	p := Pointer{Format: PointerFormat, Name: Path(c.Step), Step: c.Step}
	var err error
	p.Bytes, p.SHA256, err = create(ctx, st, p.Name, c)
	return p, err
}

// Keep writes c, which was read from a file, to the file Named by its SHA256 in a
// folder of st, byte for byte. Keeping the same content again succeeds. Where the file
// exists with other bytes, it is damaged, and the error wraps store.ErrConflict.
func Keep(ctx context.Context, st *store.Store, folder string, c *Checkpoint) (name string, err error) {
	name = Named(folder, c.SHA256)
	_, _, err = create(ctx, st, name, c)
	return name, err
}

// create writes the file of c, and returns its size and sha256.
func create(ctx context.Context, st *store.Store, name string, c *Checkpoint) (bytes int64, sum string, err error) {
	l, err := plan(c)
	if err != nil {
		return 0, "", fmt.Errorf("checkpoint: %s: %w", st.Join(name), err)
	}
	w, err := st.Create(ctx, name)
	if err != nil {
		return 0, "", fmt.Errorf("checkpoint: %w", err)
	}
	defer w.Abort()
	sum, err = l.write(w)
	if err == nil {
		err = fits(name, sum)
	}
	if err == nil {
		_, err = w.Commit()
	}
	if err != nil {
		return 0, "", fmt.Errorf("checkpoint: %w", err)
	}
	return l.size, sum, nil
}

// fits compares a file with the sha256 in its name, where there is one.
func fits(name, sum string) error {
	want := strings.TrimSuffix(path.Base(name), Suffix)
	if len(want) == hexBytes && strings.Trim(want, "0123456789abcdef") == "" && want != sum {
		return fmt.Errorf("the file is intact, but another: its sha256 is %s, not that of its name", sum)
	}
	return nil
}

// Read reads and verifies the checkpoint of a name. Damaged tells damage from a
// failure to read.
func Read(ctx context.Context, st *store.Store, name string) (*Checkpoint, error) {
	c, _, err := load(ctx, st, name)
	return c, err
}

// Load reads the checkpoint that p names, verifies it, and compares it with p.
// Another file under the name of p is damage.
func Load(ctx context.Context, st *store.Store, p Pointer) (*Checkpoint, error) {
	c, file, err := load(ctx, st, p.Name)
	where := st.Join(p.Name)
	switch {
	case err != nil:
		return nil, err
	case file.Bytes != p.Bytes || file.SHA256 != p.SHA256:
		return nil, &damage{fmt.Errorf("checkpoint: %s: the file is intact, but another: it has %d bytes and sha256 %s, "+
			"the pointer says %d and %s",
			where, file.Bytes, file.SHA256, p.Bytes, p.SHA256)}
	case c.Step != p.Step:
		return nil, &damage{fmt.Errorf("checkpoint: %s: the file is of step %d, the pointer says %d", where, c.Step, p.Step)}
	}
	return c, nil
}

// readBytes bounds a read: on object storage each is a request.
const readBytes = 4 << 20

// load reads and verifies a file, and returns its pointer.
func load(ctx context.Context, st *store.Store, name string) (*Checkpoint, Pointer, error) {
	o, err := st.OpenObject(ctx, name)
	if err != nil {
		return nil, Pointer{}, fmt.Errorf("checkpoint: %w", err)
	}
	defer o.Close()
	bytes := o.Size()
	r := &reader{ctx: ctx, r: io.NewSectionReader(o, 0, bytes)}
	c, sum, err := decode(bufio.NewReaderSize(r, int(min(readBytes, bytes))), bytes)
	if err == nil {
		c.Bytes, c.SHA256 = bytes, sum
		err = fits(name, sum)
	}
	if err != nil && r.err == nil {
		err = &damage{err}
	}
	if err != nil {
		return nil, Pointer{}, fmt.Errorf("checkpoint: %s: %w", st.Join(name), err)
	}
	return c, Pointer{Format: PointerFormat, Name: name, Bytes: bytes, SHA256: sum, Step: c.Step}, nil
}

// reader stops when its context is cancelled. err is the last error of reading:
// with it an error is no damage.
type reader struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (r *reader) Read(p []byte) (n int, err error) {
	if r.err = r.ctx.Err(); r.err != nil {
		return 0, r.err
	}
	if n, err = r.r.Read(p); err != io.EOF {
		r.err = err
	}
	return n, err
}

// damage is an error of content: the bytes were read, but are no checkpoint, or
// not the checkpoint of the pointer.
type damage struct{ error }

func (d *damage) Unwrap() error { return d.error }

// Damaged reports whether an error of Read or Load says that the checkpoint is
// damaged or missing. Any other error says that it could not be read.
func Damaged(err error) bool {
	var d *damage
	return errors.As(err, &d) || errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrNotExist)
}
