package sample

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestVectors compares the distribution of every case of sampling.json with
// probabilities of an independent implementation.
func TestVectors(t *testing.T) {
	dir := os.Getenv("QUIRE_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	data, err := os.ReadFile(filepath.Join(dir, "sampling.json"))
	if err != nil {
		t.Skipf("no reference vectors (QUIRE_VECTORS names their folder): %v", err)
	}
	var table struct {
		Tolerance64 float64               `json:"tolerance64"`
		Vectors     map[string][]*float64 `json:"vectors"`
		Cases       []struct {
			Vector      string
			Temperature float64
			TopK        int     `json:"top_k"`
			TopP        float64 `json:"top_p"`
			Kept        []int32
			Probs       []float64
		}
	}
	if err := json.Unmarshal(data, &table); err != nil {
		t.Fatal(err)
	}
	if len(table.Cases) == 0 || !(table.Tolerance64 > 0) {
		t.Fatalf("%s: %d cases, tolerance %g", dir, len(table.Cases), table.Tolerance64)
	}
	for _, c := range table.Cases {
		t.Run(fmt.Sprintf("%s_t%g_k%d_p%g", c.Vector, c.Temperature, c.TopK, c.TopP), func(t *testing.T) {
			s, err := New(Options{Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP}, 1, 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := probabilities(s, logitsOf(t, table.Vectors[c.Vector]))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, got, c.Probs, table.Tolerance64)
			kept := slices.Sorted(slices.Values(s.ids))
			if want := slices.Sorted(slices.Values(c.Kept)); !slices.Equal(kept, want) {
				t.Errorf("kept %v, want %v", kept, want)
			}
		})
	}
}

// logitsOf turns numbers into logits; null is -Inf.
func logitsOf(t *testing.T, numbers []*float64) []float32 {
	var out []float32
	for i, x := range numbers {
		l := negInf
		if x != nil {
			if l = float32(*x); float64(l) != *x {
				t.Fatalf("logit %d is %v, no float32", i, *x)
			}
		}
		out = append(out, l)
	}
	return out
}

func compare(t *testing.T, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Fatalf("%d probabilities, want %d", len(got), len(want))
	}
	worst, at := 0.0, 0
	for i, w := range want {
		if d := math.Abs(got[i] - w); d > worst || math.IsNaN(d) {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance) {
		t.Errorf("probability of id %d is %.17g, want %.17g: difference %.3g, tolerance %.3g", at, got[at], want[at], worst, tolerance)
	}
}
