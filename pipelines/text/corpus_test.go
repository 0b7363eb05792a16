package text_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
)

// TestFindPacked finds a folder with a workdir in it, a copy and an empty file: apart,
// and as the one document of prep.pack.
func TestFindPacked(t *testing.T) {
	c := tiny.Documents(t, map[string]string{"a.txt": "one\n", "b.txt": "two", "c.txt": "one\n", "d.txt": "", "e.txt": ""})
	dir := filepath.Dir(c.Workdir)
	c.Corpus.Sources = []string{dir}
	if err := os.MkdirAll(filepath.Join(c.Workdir, "rounds"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Workdir, "rounds", "latest.json"), []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	digests := map[string]bool{}
	for _, test := range []struct {
		pack string
		want []string // names of the documents
	}{{"none", []string{"a.txt", "b.txt", "c.txt", "d.txt", "e.txt"}}, {"newline", []string{"packed"}}} {
		found, err := text.FindPacked(t.Context(), c.Corpus, configs.Prep{Pack: test.pack, Unit: "rune"}, true, text.Made(c)...)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, d := range found.Documents {
			names = append(names, d.Name)
		}
		if !slices.Equal(names, test.want) || len(found.Digests) != len(names) {
			t.Errorf("pack %s: documents %v with %d digests, want %v", test.pack, names, len(found.Digests), test.want)
		}
		// The record of a round has the files as they were found.
		facts := found.Facts()
		if facts.Documents != 5 || facts.Bytes != 11 || len(facts.Listed) != 5 || facts.Listed[1].Name != "b.txt" || facts.Listed[1].Bytes != 3 ||
			facts.Listed[1].SHA256 != "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3" {
			t.Errorf("pack %s: facts %+v", test.pack, facts)
		}
		digest, err := found.Digest()
		if err != nil || digests[digest] {
			t.Errorf("pack %s: digest %s as before, %v", test.pack, digest, err)
		}
		digests[digest] = true

		var out bytes.Buffer
		found.Describe(report.NewConsole(&out, false))
		equal := "corpus: 1 of 5 documents have the bytes of another: their text counts more than once\n"
		if test.pack != "none" {
			equal = ""
		}
		if want := "corpus: " + filepath.Join(c.Workdir, "rounds") + " left out: quire has made it\n" + equal; out.String() != want {
			t.Errorf("pack %s: it says\n%swant\n%s", test.pack, out.String(), want)
		}
	}
}

// TestOpenWorkdir: a folder that is a link to a disk that is not there stops before any
// work; a link to a folder is one.
func TestOpenWorkdir(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	if err := os.MkdirAll(c.Workdir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"set", "run", "promoted", "promoted.json", "runs", "schedule", "sets"} {
		disk := filepath.Join(t.TempDir(), "disk")
		link := filepath.Join(c.Workdir, name)
		if err := os.Symlink(disk, link); err != nil {
			t.Fatal(err)
		}
		st, err := text.OpenWorkdir(t.Context(), c)
		if err == nil {
			st.Close()
		}
		if want := "text: " + link + " is a link to " + disk + ", and there is none"; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if err := os.Mkdir(disk, 0o777); err != nil {
			t.Fatal(err)
		}
		if st, err = text.OpenWorkdir(t.Context(), c); err != nil {
			t.Errorf("%s, once its disk is there: %v", name, err)
			continue
		}
		st.Close()
	}
}
