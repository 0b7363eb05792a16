package corpus

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quire-ml/quire/runners/store"
)

// ResolveOptions say how sources become documents. The zero value takes neither
// https sources nor compressed documents, and checks no digest.
type ResolveOptions struct {
	Cache    string       // folder for documents that are downloaded or decompressed; empty: they are errors
	SHA256   string       // hex, of the only document as it is stored; empty: not checked
	Client   *http.Client // nil: http.DefaultClient
	Digested *DigestCache // digests that earlier processes have read; nil: none
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
//	a pattern           of path/filepath.Match; a file of that very name comes first
//	https://host/path   downloaded to o.Cache, once
//	gs://bucket/name    an object, or every object below name/; name may be a pattern
//
// A document whose name ends in .gz is decompressed to o.Cache, once, and loses that
// ending. Errors are two documents of one name, a source without documents and a
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
	for _, source := range sources {
		found, err := resolve(ctx, source, o)
		if err != nil {
			return nil, fmt.Errorf("corpus: %s: %w", source, err)
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
			return nil, fmt.Errorf("corpus: %s and %s would both be document %q; give their common folder as the source, or rename one", docs[i-1].Path, d.Path, d.Name)
		}
	}
	if o.SHA256 != "" {
		if err := checkOnly(ctx, docs, o); err != nil {
			return nil, err
		}
	}
	for i, d := range docs {
		if strings.HasSuffix(d.Path, gzipSuffix) {
			var err error
			if docs[i], err = gunzip(ctx, d, o); err != nil {
				return nil, fmt.Errorf("corpus: %s: %w", d.Path, err)
			}
		}
	}
	if Bytes(docs) == 0 {
		return nil, wrong(Sources, "corpus: %s: the corpus has 0 bytes; use files with text", strings.Join(sources, ", "))
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

// files resolves a local source.
func files(_ context.Context, source string, _ *ResolveOptions) ([]Document, error) {
	abs, err := filepath.Abs(source)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(abs); err == nil {
		return tree(abs, info, filepath.Base(abs), "")
	} else if !strings.ContainsAny(source, "*?[") {
		return nil, wrong(Sources, "no such file or folder")
	}
	// The pattern is the user's text: cleaned, not made absolute, which would
	// read a working directory with a bracket in its name as a pattern.
	pattern := filepath.ToSlash(filepath.Clean(source))
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, wrong(Sources, "the pattern is malformed: %w", err)
	}
	root := "."
	if path.IsAbs(pattern) {
		root = "/"
	}
	elems := strings.Split(strings.TrimPrefix(pattern, "/"), "/")
	for len(elems) > 1 && !strings.ContainsAny(elems[0], `*?[\`) {
		root, elems = filepath.Join(root, elems[0]), elems[1:]
	}
	if root, err = filepath.Abs(root); err != nil {
		return nil, err
	}
	docs, err := match(root, "", elems)
	if err == nil && len(docs) == 0 {
		err = wrong(Sources, "no file matches the pattern")
	}
	return docs, err
}

// match returns the documents below dir that match a pattern, element by element. name
// is dir's path below the pattern's first folder.
func match(dir, name string, elems []string) ([]Document, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var docs []Document
	for _, e := range entries {
		ok, err := path.Match(elems[0], e.Name())
		if err != nil {
			return nil, err
		}
		if !ok || e.Name()[0] == '.' && elems[0][0] != '.' {
			continue
		}
		file, below := filepath.Join(dir, e.Name()), path.Join(name, e.Name())
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		var found []Document
		switch {
		case len(elems) == 1 && info.Mode().IsRegular():
			found, err = tree(file, info, below, "")
		case len(elems) > 1 && info.IsDir():
			found, err = match(file, below, elems[1:])
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, found...)
	}
	return docs, nil
}

// tree returns the file at abs, or the regular files of the folder at abs. base names
// a file's document; below is the prefix of the names of a folder's documents.
func tree(abs string, info os.FileInfo, base, below string) ([]Document, error) {
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("is not a regular file")
		}
		return []Document{{Name: base, Path: abs, Bytes: info.Size()}}, nil
	}
	entries, err := os.ReadDir(abs)
	if err != nil {
		return nil, err
	}
	var docs []Document
	for _, e := range entries {
		file := filepath.Join(abs, e.Name())
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if e.Name()[0] == '.' || !info.IsDir() && !info.Mode().IsRegular() {
			continue
		}
		name := path.Join(below, e.Name())
		found, err := tree(file, info, name, name)
		if err != nil {
			return nil, err
		}
		docs = append(docs, found...)
	}
	if len(docs) == 0 && below == "" {
		return nil, wrong(Sources, "the folder has no regular file")
	}
	return docs, nil
}

// objects resolves a source in a bucket: scheme://bucket/name.
func objects(ctx context.Context, source string, _ *ResolveOptions) (docs []Document, err error) {
	scheme, rest, _ := strings.Cut(source, "://")
	bucket, name, _ := strings.Cut(rest, "/")
	st, err := store.Open(ctx, scheme+"://"+bucket)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := st.Close(); err == nil {
			err = e
		}
	}()
	name = strings.TrimSuffix(name, "/")
	fixed, pattern := name, ""
	if i := strings.IndexAny(name, "*?["); i >= 0 {
		fixed, pattern = name[:i], name
	}
	prefix := fixed
	if pattern == "" && fixed != "" {
		if info, err := st.Stat(ctx, fixed); err == nil {
			return []Document{{Name: path.Base(fixed), Path: st.Join(fixed), Bytes: info.Bytes, generation: info.Generation}}, nil
		}
		prefix = fixed + "/"
	}
	infos, err := st.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	root := prefix[:strings.LastIndexByte(prefix, '/')+1]
	for _, info := range infos {
		below := strings.TrimPrefix(info.Name, root)
		if pattern != "" {
			if ok, err := path.Match(pattern, info.Name); err != nil {
				return nil, wrong(Sources, "the pattern is malformed: %w", err)
			} else if !ok {
				continue
			}
		}
		if strings.HasSuffix(below, "/") || strings.HasPrefix(below, ".") || strings.Contains(below, "/.") {
			continue
		}
		docs = append(docs, Document{Name: below, Path: st.Join(info.Name), Bytes: info.Bytes, generation: info.Generation})
	}
	if len(docs) == 0 {
		return nil, wrong(Sources, "no such object, and none below it")
	}
	return docs, nil
}
