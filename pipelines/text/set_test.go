package text_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// manifestOf returns the digest of the manifest in a directory.
func manifestOf(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// TestFindSet looks for a set by its digest: in a directory, below the folder sets of
// one, behind directories without it, and where its copy there is damaged.
func TestFindSet(t *testing.T) {
	a := prepared(t, tiny.Config(t, tiny.Line()))
	other := prepared(t, tiny.Config(t, tiny.Line(), "prep.seed=2"))
	workdir, damaged := t.TempDir(), t.TempDir()
	in := filepath.Join(workdir, "sets", "key")
	for _, dir := range []string{in, damaged} {
		if err := os.CopyFS(dir, os.DirFS(a)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(damaged, "vocab.json"), []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	digest := manifestOf(t, a)
	for name, test := range map[string]struct {
		digest string
		dirs   []string
		found  bool
	}{
		"in a directory":        {digest, []string{a}, true},
		"below sets":            {digest, []string{workdir}, true},
		"behind others":         {digest, []string{filepath.Join(workdir, "absent"), other, t.TempDir(), workdir}, true},
		"behind a damaged copy": {digest, []string{damaged, workdir}, true},
		"damaged alone":         {digest, []string{damaged}, false},
		"another digest":        {strings.Repeat("0", 64), []string{a, workdir}, false},
		"nowhere":               {digest, nil, false},
	} {
		set, done, err := text.FindSet(t.Context(), test.digest, test.dirs)
		if err != nil || (set != nil) != test.found {
			t.Errorf("%s: found %v, %v", name, set != nil, err)
			continue
		}
		if set != nil {
			if set.Manifest().Seed != 1 {
				t.Errorf("%s: the set of seed %d", name, set.Manifest().Seed)
			}
			done()
		}
	}
}

// TestCheckSet takes each file of a set away, and damages each: with and without
// reading all.
func TestCheckSet(t *testing.T) {
	dir := prepared(t, tiny.Config(t, tiny.Line()))
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	m, _, err := dataset.ReadManifest(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{m.Vocab.Name}
	for _, split := range m.Splits {
		for _, shard := range split.Shards {
			names = append(names, shard.Name)
		}
	}
	if len(names) != 3 {
		t.Fatalf("the set has the files %v", names)
	}
	for _, all := range []bool{false, true} {
		if missing, err := text.CheckSet(t.Context(), st, m, all); missing != "" || err != nil {
			t.Errorf("all %v: an intact set: %q, %v", all, missing, err)
		}
		for _, name := range names {
			path := filepath.Join(dir, name)
			intact, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if missing, err := text.CheckSet(t.Context(), st, m, all); missing != name || err != nil {
				t.Errorf("all %v: without %s: %q, %v", all, name, missing, err)
			}
			flipped := append([]byte(nil), intact...)
			flipped[len(flipped)/2] ^= 1
			if err := os.WriteFile(path, flipped, 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := text.CheckSet(t.Context(), st, m, all); !errors.Is(err, dataset.ErrDamaged) || !strings.Contains(err.Error(), name) {
				t.Errorf("all %v: a flipped bit of %s: %v", all, name, err)
			}
			if err := os.WriteFile(path, intact, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}
