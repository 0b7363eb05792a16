package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// numbers calls visit for every number in a JSON value, with its place and a function
// that replaces it.
func numbers(v any, place string, replace func(any), visit func(place string, old json.Number, replace func(any))) {
	switch x := v.(type) {
	case json.Number:
		visit(place, x, replace)
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			numbers(x[k], place+"."+k, func(n any) { x[k] = n }, visit)
		}
	case []any:
		for i, e := range x {
			numbers(e, fmt.Sprintf("%s[%d]", place, i), func(n any) { x[i] = n }, visit)
		}
	}
}

// TestAbsurdNumbers puts into every place of an intact manifest a number that no set
// has: an error, or a set that reads as before.
func TestAbsurdNumbers(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	data, err := sketch{seqLength: 3, vocab: 4, splits: map[string]int{"train": 5, "validation": 2}, shards: 2}.write(t, dir).Encode()
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil {
		t.Fatal(err)
	}
	delete(all, "digest")
	all["validation"].(map[string]any)["by"] = "block"
	shown := regexp.MustCompile(`bytes$|nats$|replaced|seed|min_count`) // nothing is computed from these
	refused, tried := 0, 0
	numbers(all, "", nil, func(place string, old json.Number, replace func(any)) {
		for _, n := range []json.Number{"-9223372036854775808", "-1", "0", "1", "4294967296", "4611686018427387904", "9223372036854775807"} {
			replace(n)
			sealed, err := store.MarshalSealed(all)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, ManifestName), sealed, 0o666); err != nil {
				t.Fatal(err)
			}
			tried++
			if err := readAll(ctx, t, dir); err != nil {
				refused++
			} else if n == "9223372036854775807" && !shown.MatchString(place) {
				t.Errorf("%s of %s is read", place, n)
			}
		}
		replace(old)
	})
	if tried < 150 || refused < 120 {
		t.Errorf("%d manifests, %d refused", tried, refused)
	}
}

// readAll reads everything of a set.
func readAll(ctx context.Context, t *testing.T, dir string) error {
	st, err := store.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(ctx, st)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, split := range s.Manifest().Splits {
		d, err := s.Text(split.Name, 1)
		if err != nil {
			return err
		}
		ids := make([]int32, s.Manifest().SeqLength+1)
		if err := d.Read(ctx, 2, 0, ids); err != nil {
			return err
		}
	}
	return s.Verify(ctx)
}
