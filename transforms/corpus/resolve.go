package corpus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quire-ml/quire/configs/secret"
	"github.com/quire-ml/quire/transforms/charset"
)

// ResolveOptions say how sources become documents. The zero value takes neither
// https sources nor documents that are not plain UTF-8, and checks no digest.
type ResolveOptions struct {
	Cache    string       // folder for documents that are downloaded, decompressed or converted; empty: they are errors
	Form     charset.Form // of the documents' bytes
	SHA256   string       // hex, of the only document as it is stored; empty: not checked
	Digested *DigestCache // digests that earlier processes have read; nil: none
	// Verify downloads https sources although the server says that they are unchanged.
	Verify    bool
	Transport http.RoundTripper // of https sources; nil: http.DefaultTransport

	Fetched []Fetch // Resolve appends the https sources

	// LeaveOut are files and folders, or their gs:// URLs, that are no texts, whatever
	// folder or pattern reaches them, through links too. A source inside one is read.
	LeaveOut []string
	// Left is called with each path of LeaveOut that a source has reached; nil: none.
	Left func(path string)
}

// Digests returns the sha256 (hex) of each document, from o.Digested where that has it,
// and puts both digests into docs.
func (o *ResolveOptions) Digests(ctx context.Context, docs []Document) ([]string, error) {
	if o.Digested == nil {
		return Digests(ctx, docs)
	}
	return o.Digested.Digests(ctx, docs)
}

// Resolve finds the documents of sources, ordered by name.
//
// A source is one of
//
//	a file
//	a folder            every regular file below it, but no name that starts with a dot
//	a pattern           of package doublestar: * ? [a-z] {a,b}, and ** for any folders
//	https://host/path   downloaded to o.Cache, when the server has another text than there
//	gs://bucket/name    an object, or every object below name/; name may be a pattern
//
// A file, folder or object of a pattern's very name comes before the pattern. * ? and **
// match no name that starts with a dot.
//
// A link to a file or to a folder counts as that file or folder, under the link's
// name. Errors are a link to nothing, and a link to a folder that holds the link. A
// file with two names is two documents: a corpus is names and bytes, and is the same
// where links are copied as files.
//
// A document whose name ends in .gz is decompressed to o.Cache, once, and loses that
// ending. So are documents converted to o.Form. The digests of all documents are known
// then. Errors are two documents of one name, a source without documents and a
// corpus without bytes. An error that other sources or another digest mend is a
// FieldError. o may be nil.
func Resolve(ctx context.Context, sources []string, o *ResolveOptions) ([]Document, error) {
	if o == nil {
		o = &ResolveOptions{}
	}
	if len(sources) == 0 {
		return nil, wrong(Sources, "corpus: no sources; use files, folders, patterns or URLs")
	}
	var docs []Document
	for i, source := range sources {
		found, err := resolve(ctx, source, o)
		if err != nil {
			err = splitName(err, sources[i:])
			return nil, fmt.Errorf("corpus: %s: %w", secret.URL(source), err)
		}
		docs = append(docs, found...)
	}
	for i := range docs {
		docs[i].Name = strings.TrimSuffix(docs[i].Name, gzipSuffix)
	}
	slices.SortStableFunc(docs, func(a, b Document) int { return strings.Compare(a.Name, b.Name) })
	for i, d := range docs {
		if !utf8.ValidString(d.Name) {
			return nil, fmt.Errorf("corpus: %q: the file's name is not UTF-8; rename it", d.Path)
		}
		if i > 0 && docs[i-1].Name == d.Name {
			return nil, fmt.Errorf("corpus: %s and %s would both be document %q; give their common folder as the source, or rename one",
				docs[i-1].Path, d.Path, d.Name)
		}
	}
	if o.SHA256 != "" {
		if err := checkOnly(ctx, docs, o); err != nil {
			return nil, err
		}
	}
	if err := texts(ctx, docs, o); err != nil {
		return nil, err
	}
	if Bytes(docs) == 0 {
		return nil, wrong(Sources, "corpus: %s: the corpus has 0 bytes; use files with text", strings.Join(secret.URLs(sources), ", "))
	}
	return docs, nil
}

// checkOnly returns an error unless docs are one document with the digest o.SHA256.
func checkOnly(ctx context.Context, docs []Document, o *ResolveOptions) error {
	want := o.SHA256
	if len(docs) != 1 {
		return wrong(SHA256, "corpus: sha256 is for a corpus of one document, but the sources have %d; remove it", len(docs))
	}
	got, err := o.Digests(ctx, docs)
	if err != nil {
		return err
	}
	if !strings.EqualFold(got[0], want) {
		return wrong(SHA256, "corpus: %s: sha256 is %s, want %s: it is another text", docs[0].Path, got[0], strings.ToLower(want))
	}
	return nil
}

// splitName adds to the error of sources[0] that it may be the first half of a file's
// name with a comma.
func splitName(err error, sources []string) error {
	if len(sources) < 2 || !errors.Is(err, ErrNone) {
		return err
	}
	for _, comma := range []string{",", ", "} {
		whole := sources[0] + comma + sources[1]
		if _, statErr := os.Stat(whole); statErr == nil {
			return wrong(Sources, "%w; there is %q: write a list, with this name in quotation marks", err, whole)
		}
	}
	return err
}
