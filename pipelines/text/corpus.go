package text

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/charset"
	"github.com/quire-ml/quire/transforms/corpus"
)

// CorpusFacts are the facts of a corpus that a round's record keeps.
type CorpusFacts struct {
	Folder    store.Path       `json:"folder,omitempty"` // of the documents; empty: corpus.sources
	Documents int              `json:"documents"`
	Bytes     int64            `json:"bytes"`
	Listed    []CorpusDocument `json:"listed,omitempty"` // all of them, up to maxListed
	Fetched   []corpus.Fetch   `json:"fetched,omitempty"`
}

// CorpusDocument is a document of a corpus.
type CorpusDocument struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// maxListed bounds the documents that a round's record lists. A set's manifest lists
// all.
const maxListed = 1000

func list(docs []corpus.Document, digests []string) []CorpusDocument {
	list := make([]CorpusDocument, len(docs))
	for i, d := range docs {
		list[i] = CorpusDocument{d.Name, d.Bytes, digests[i]}
	}
	return list
}

// Facts returns the facts of the corpus, without its folder: of the documents as they
// were found, before they were packed.
func (c *Corpus) Facts() CorpusFacts {
	f := CorpusFacts{Documents: len(c.files), Fetched: c.Fetched}
	for _, d := range c.files {
		f.Bytes += d.Bytes
	}
	if len(c.files) <= maxListed {
		f.Listed = c.files
	}
	return f
}

// Digest identifies the corpus: the names and contents of its documents.
func (c *Corpus) Digest() (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(list(c.Documents, c.Digests)); err != nil {
		return "", fmt.Errorf("text: digest of the corpus: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// maxDifferences bounds the documents that Differences names.
const maxDifferences = 5

// Differences returns a line for each document that is gone, new or changed since an
// old corpus, at most maxDifferences of them and one with the number of the others.
// Where the documents of either corpus are not listed, it is one line with the totals.
func (f *CorpusFacts) Differences(old CorpusFacts) []string {
	if len(f.Listed) != f.Documents || len(old.Listed) != old.Documents {
		return []string{fmt.Sprintf("%d documents of %d bytes → %d of %d", old.Documents, old.Bytes, f.Documents, f.Bytes)}
	}
	var list []string
	i, j := 0, 0
	for i < len(old.Listed) || j < len(f.Listed) {
		switch {
		case j == len(f.Listed) || i < len(old.Listed) && old.Listed[i].Name < f.Listed[j].Name:
			list = append(list, old.Listed[i].Name+" is gone")
			i++
		case i == len(old.Listed) || f.Listed[j].Name < old.Listed[i].Name:
			list = append(list, f.Listed[j].Name+" is new")
			j++
		default:
			if a, b := old.Listed[i], f.Listed[j]; a != b {
				list = append(list, fmt.Sprintf("%s: sha256 %.12s → %.12s", b.Name, a.SHA256, b.SHA256))
			}
			i, j = i+1, j+1
		}
	}
	if more := len(list) - maxDifferences; more > 0 {
		list = append(list[:maxDifferences], fmt.Sprintf("and %s more", report.Count(more, "document")))
	}
	return list
}

// Corpus is a corpus whose documents are found and digested.
type Corpus struct {
	Documents []corpus.Document
	Digests   []string // sha256 in hex, in the order of Documents
	LeftOut   []string // what a folder or pattern holds that quire has made: no texts
	Fetched   []corpus.Fetch

	files []CorpusDocument // that were found; packed, they are Documents
}

// madeNames are the files and folders that quire makes in a workdir.
var madeNames = []string{"corpora", "gc", "promoted", "promoted.json", "promotions", "rounds", "runs", "schedule", "sets", "stages", "sweeps"}

// Made returns the paths of everything that commands with this config make.
func Made(c *configs.Config) []string {
	paths := []string{store.Locate(c.Workdir, c.Prep.Out), store.Locate(c.Workdir, c.Train.Out)}
	for _, name := range madeNames {
		paths = append(paths, store.Locate(c.Workdir, name))
	}
	return paths
}

// OpenWorkdir opens the store of the workdir. A file or folder in it that is a link to
// nothing, such as a disk that is not there, is an error before any work.
func OpenWorkdir(ctx context.Context, c *configs.Config) (*store.Store, error) {
	for _, path := range Made(c) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if to, err := os.Readlink(path); err == nil {
				return nil, fmt.Errorf("text: %s is a link to %s, and there is none; remove the link, or restore what it names", path, to)
			}
		}
	}
	return store.Open(ctx, c.Workdir)
}

// FindCorpus is FindPacked for documents that stay apart.
func FindCorpus(ctx context.Context, c configs.Corpus, verify bool) (*Corpus, error) {
	return FindPacked(ctx, c, configs.Prep{}, verify)
}

// FindPacked resolves the sources of a corpus, downloads those on the web, digests the
// documents, and packs them as c.Records and p.Pack say. With verify it reads and
// downloads every document; without, only documents that have changed since an earlier
// call. It reads them on this machine, also those in a bucket, which workers will read
// there, unless they are packed. The paths leaveOut, see Made, are no texts.
func FindPacked(ctx context.Context, c configs.Corpus, p configs.Prep, verify bool, leaveOut ...string) (_ *Corpus, err error) {
	sources, err := c.Expanded()
	if err != nil {
		return nil, err
	}
	found := &Corpus{}
	form := charset.Form{Encoding: c.Encoding, Newlines: c.Newlines}
	o := &corpus.ResolveOptions{Cache: cacheFolder("downloads"), SHA256: c.SHA256, Form: form, Verify: verify, LeaveOut: leaveOut,
		Left: func(path string) {
			if !slices.Contains(found.LeftOut, path) {
				found.LeftOut = append(found.LeftOut, path)
			}
		}}
	if !verify {
		if o.Digested, err = corpus.OpenDigestCache(ctx, cacheFolder("digests"), sources); err != nil {
			return nil, err
		}
		defer func() { _ = o.Digested.Close(context.WithoutCancel(ctx)) }() // what cannot be kept is read again
	}
	if found.Documents, err = corpus.Resolve(ctx, sources, o); err != nil {
		return nil, err
	}
	slices.Sort(found.LeftOut)
	found.Fetched = o.Fetched
	digests, err := o.Digests(ctx, found.Documents)
	if err != nil {
		return nil, err
	}
	found.files = list(found.Documents, digests)
	packing := corpus.Packing{Records: c.Records, Pack: p.Pack, Bytes: p.Unit == "byte", Replace: p.InvalidUTF8 == "replace"}
	if found.Documents, err = corpus.Packed(ctx, found.Documents, packing, o); err != nil {
		return nil, err
	}
	found.Digests, err = o.Digests(ctx, found.Documents)
	return found, err
}

// Describe writes to a console what became of https sources, what the corpus leaves out,
// and how many documents are equal: links, or copies.
func (c *Corpus) Describe(console *report.Console) {
	for _, f := range c.Fetched {
		console.Line("corpus: %v", f)
	}
	if len(c.LeftOut) > 0 {
		console.Line("corpus: %s left out: quire has made it", strings.Join(c.LeftOut, ", "))
	}
	seen, equal := map[string]bool{}, 0
	for i, d := range c.Documents {
		if seen[c.Digests[i]] && d.Bytes > 0 {
			equal++
		}
		seen[c.Digests[i]] = true
	}
	if equal > 0 {
		console.Line("corpus: %d of %d documents have the bytes of another: their text counts more than once", equal, len(c.Documents))
	}
}

// cacheFolder returns a folder of the user's cache. downloads keeps documents that were
// downloaded or decompressed, digests the digests of documents, shards the shards of
// sets in a bucket. Each may be deleted at any time.
func cacheFolder(name string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "quire", name)
}

// CacheFolders returns the folders of the user's downloads and caches, for all workdirs.
func CacheFolders() []string {
	return []string{cacheFolder("downloads"), cacheFolder("digests"), cacheFolder("shards")}
}
