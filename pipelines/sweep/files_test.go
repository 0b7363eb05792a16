package sweep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// TestTable has trials with and without a loss, and a value that CSV quotes.
func TestTable(t *testing.T) {
	nats := 1.25
	got, err := table([]string{"model.cell", "train.lr"}, []Trial{
		{Trial: 2, Nats: &nats, Split: "validation", Step: 60, Parameters: 583, Run: "runs/ab", Set: map[string]any{"train.lr": 0.001, "model.cell": "lstm"}},
		{Trial: 1, Step: 7, Run: "runs/cd", Diverged: "train: step 7: NaN", Set: map[string]any{"train.lr": 10.0, "model.cell": `g,"u`}},
	})
	want := "trial,nats,split,step,parameters,run,model.cell,train.lr\n" +
		"2,1.25,validation,60,583,runs/ab,lstm,0.001\n" +
		"1,NaN,,7,0,runs/cd,\"g,\"\"u\",10\n"
	if err != nil || string(got) != want {
		t.Errorf("the table is\n%s%v, want\n%s", got, err, want)
	}
}

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
	if d, err := readDivergence(t.Context(), st, "runs/ab"); d != nil || err != nil {
		t.Errorf("without a note: %v, %v", d, err)
	}
	want := divergence{21, "train: step 21: adam: step 21: the norm of the gradients is NaN; use a smaller train.lr, or train.clip_norm: 1"}
	if err := writeDivergence(t.Context(), st, "runs/ab", want); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "runs", "ab", "diverged.json")
	if data, err := os.ReadFile(file); err != nil || string(data) != oldNote {
		t.Errorf("the note is %q, %v", data, err)
	}
	if d, err := readDivergence(t.Context(), st, "runs/ab"); err != nil || *d != want {
		t.Errorf("read %v, %v", d, err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(oldNote, "21", "22", 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = readDivergence(t.Context(), st, "runs/ab")
	if err == nil || !strings.Contains(err.Error(), file) || !strings.HasSuffix(err.Error(), "delete it: the trial is then trained again") {
		t.Errorf("the damaged note: %v", err)
	}
}
