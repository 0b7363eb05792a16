package dataset

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// tiny returns a manifest without a flaw.
func tiny(t testing.TB) *Manifest {
	return sketch{seqLength: 3, vocab: 4, splits: map[string]int{"train": 5, "validation": 2}, shards: 2}.write(t, t.TempDir())
}

func TestManifestRoundTrip(t *testing.T) {
	m := tiny(t)
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeManifest("set/manifest.json", data)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, %v, want %+v", got, err, m)
	}
	if again, err := got.Encode(); err != nil || !bytes.Equal(again, data) {
		t.Errorf("the bytes differ, %v", err)
	}
}

// TestManifestGolden holds the form of manifest.json.
func TestManifestGolden(t *testing.T) {
	data, err := tiny(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "manifest.json")
	if *update {
		if err := os.WriteFile(golden, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(data, want) {
		t.Errorf("got\n%s\n%v, want\n%s", data, err, want)
	}
}

func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		change func(*Manifest)
		want   string
	}{
		{func(m *Manifest) { m.Format = "quire-set/2" }, `format is "quire-set/2", want "quire-set/1"`},
		{func(m *Manifest) { m.SeqLength = 0 }, "seq_length is 0"},
		{func(m *Manifest) { m.SeqLength = 4 }, "split train: record_bytes is 35, want 36"},
		{func(m *Manifest) { m.Vocab.Name = "../vocab.json" }, "vocab is {Name:../vocab.json"},
		{func(m *Manifest) { m.Vocab.Size = 0 }, "vocab is"},
		{func(m *Manifest) { m.Vocab.Size = 1000 }, "record_bytes is 35, want 39"},
		{func(m *Manifest) { m.Vocab.SHA256 = "xy" }, "vocab is"},
		{func(m *Manifest) { m.Vocab.Digest = m.Vocab.Digest[2:] }, "vocab is"},
		{func(m *Manifest) { m.Splits = nil }, "the first of 0 splits is not train"},
		{func(m *Manifest) { m.Splits[0].Name = "test" }, "the first of 2 splits is not train"},
		{func(m *Manifest) { m.Splits[1] = m.Splits[0] }, "split train comes twice"},
		{func(m *Manifest) { m.Splits[0].Sequences = 6 }, "shard 1 is train-00001-of-00002.tfrecord with 2 records"},
		{func(m *Manifest) { m.Splits[0].Sequences = -1 }, "-1 sequences in 2 shards"},
		{func(m *Manifest) { m.Splits[0].Shards = nil }, "5 sequences in 0 shards"},
		{func(m *Manifest) { m.Splits[0].Shards = m.Splits[0].Shards[:1] }, "want train-00000-of-00001.tfrecord with 5"},
		{func(m *Manifest) { m.Splits[0].Shards[1].Name = "/etc/passwd" }, "shard 1 is /etc/passwd"},
		{func(m *Manifest) { m.Splits[0].Shards[1].Bytes++ }, "with 2 records in 71 bytes, want train-00001-of-00002.tfrecord with 2 in 70"},
		{func(m *Manifest) { m.Splits[0].Shards[1].CRC32C = "123" }, `has crc32c "123"`},
		{func(m *Manifest) { m.Splits[0].Shards[1].SHA256 = "" }, `sha256 ""`},
		{func(m *Manifest) { m.Chars++ }, "chars is 32, but documents have 31, sequences 28 and dropped_chars is 3"},
		{func(m *Manifest) { m.DroppedChars++ }, "dropped_chars is 4"},
		{func(m *Manifest) { m.Documents[0].Chars++ }, "document 0 is"},
		{func(m *Manifest) { m.Documents[0].Name = "" }, "document 0 is"},
		{func(m *Manifest) { // consistent, but a record is larger than memory
			m.SeqLength, m.Chars, m.DroppedChars = 1<<40, 3, 3
			m.Splits = []Split{{Name: "train", RecordBytes: tfexample.Size(1<<40+1, 1) + tfrecord.Overhead,
				Shards: []Shard{{Name: ShardName("train", 0, 1), CRC32C: "00000000", SHA256: m.Vocab.SHA256}}}}
			m.Documents[0].Bytes, m.Documents[0].Chars = 3, 3
		}, "seq_length is 1099511627776"},
		{func(m *Manifest) { // consistent where 2⁶⁴ is 0
			n, bytes := int64(1<<62), int64(1<<62)
			bytes *= int64(m.Splits[0].RecordBytes)
			m.Splits[0].Sequences, m.Chars = n, m.Chars-20
			m.Splits[0].Shards = []Shard{{Name: ShardName("train", 0, 1), Records: n, Bytes: bytes, CRC32C: "00000000", SHA256: m.Vocab.SHA256}}
			m.Documents[0].Bytes, m.Documents[0].Chars = m.Chars, m.Chars
		}, "4611686018427387904 sequences in 1 shards"},
		{func(m *Manifest) { m.Documents = append(m.Documents, m.Documents[0]) }, "document 1 is"},
	} {
		m := tiny(t)
		c.change(m)
		if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), "dataset: manifest: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
		sealed, err := store.MarshalSealed(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest("set/manifest.json", sealed); err == nil || !strings.Contains(err.Error(), "dataset: set/manifest.json: ") ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestUnknownKey(t *testing.T) {
	data, err := json.Marshal(tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]any{}
	if err := json.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	keys["colour"] = "blue"
	sealed, err := store.MarshalSealed(keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeManifest("x", sealed); err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	data, err := tiny(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		// What is accepted comes back as the same manifest.
		m, err := decodeManifest("x", data)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeManifest("x", again); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s came back as %s, %v", data, again, err)
		}
	})
}
