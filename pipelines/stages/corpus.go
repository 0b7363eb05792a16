package stages

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/quire-ml/quire/transforms/corpus"
)

// CorpusFacts is what a round knows of its corpus.
type CorpusFacts struct {
	Documents int              `json:"documents"`
	Bytes     int64            `json:"bytes"`
	Listed    []CorpusDocument `json:"listed,omitempty"` // all of them, up to maxListed
}

// CorpusDocument is a document of a corpus.
type CorpusDocument struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// maxListed bounds what the record of a round says of its corpus. A set's
// manifest lists all documents.
const maxListed = 1000

func (c *Corpus) list() []CorpusDocument {
	list := make([]CorpusDocument, len(c.Documents))
	for i, d := range c.Documents {
		list[i] = CorpusDocument{d.Name, d.Bytes, c.Digests[i]}
	}
	return list
}

func (c *Corpus) facts() CorpusFacts {
	f := CorpusFacts{Documents: len(c.Documents), Bytes: corpus.Bytes(c.Documents)}
	if len(c.Documents) <= maxListed {
		f.Listed = c.list()
	}
	return f
}

// digest identifies the corpus: the names and contents of its documents.
func (c *Corpus) digest() (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(c.list()); err != nil {
		return "", fmt.Errorf("stages: digest of the corpus: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// maxDifferences bounds the documents that Differences names.
const maxDifferences = 5

// Differences says which documents are not those of an old corpus.
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
		list = append(list[:maxDifferences], fmt.Sprintf("and %d documents more", more))
	}
	return list
}
