package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// oldNote is a diverged.json that revision 596fe11 has written. It has no format.
const oldNote = `{
  "step": 21,
  "reason": "train: step 21: adam: step 21: the norm of the gradients is NaN; use a smaller train.lr, or train.clip_norm: 1",
  "digest": "sha256:a7220f02968bf5b739435cd8406ed3121e494e087ee412661984529c04c98b40"
}
`

// TestDivergence writes a note, reads one, and reads one that is damaged.
func TestDivergence(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if d, err := ReadDivergence(t.Context(), st); d != nil || err != nil {
		t.Errorf("without a note: %v, %v", d, err)
	}
	want := Divergence{21, "train: step 21: adam: step 21: the norm of the gradients is NaN; use a smaller train.lr, or train.clip_norm: 1"}
	if err := WriteDivergence(t.Context(), st, want); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "diverged.json")
	if data, err := os.ReadFile(file); err != nil || string(data) != oldNote {
		t.Errorf("the note is %q, %v", data, err)
	}
	if d, err := ReadDivergence(t.Context(), st); err != nil || *d != want {
		t.Errorf("read %v, %v", d, err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(oldNote, "21", "22", 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = ReadDivergence(t.Context(), st)
	if err == nil || !strings.Contains(err.Error(), file) || !strings.HasSuffix(err.Error(), "delete it: the trial is then trained again") {
		t.Errorf("the damaged note: %v", err)
	}
}
