package corpus

import (
	"context"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/quire-ml/quire/runners/store"
)

// objects resolves a source in a bucket: scheme://bucket/name.
func objects(ctx context.Context, source string, o *ResolveOptions) (docs []Document, err error) {
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
	var infos []store.Info
	root, pattern := "", ""
	if name != "" && !strings.Contains(name, `\`) { // the very name, which a pattern's characters may be in
		info, err := st.Stat(ctx, name)
		switch {
		case err == nil:
			return []Document{{Name: path.Base(name), Path: st.Join(name), Bytes: info.Bytes, generation: info.Generation}}, nil
		case store.Transient(err):
			return nil, err
		}
		root = name + "/"
	}
	if i := strings.IndexAny(name, meta); i < 0 || root != "" {
		infos, err = st.List(ctx, root)
	}
	if i := strings.IndexAny(name, meta); err == nil && len(infos) == 0 && i >= 0 {
		if pattern = name; !doublestar.ValidatePattern(pattern) {
			return nil, wrong(Sources, "the pattern is malformed")
		}
		root = name[:strings.LastIndexByte(name[:i], '/')+1]
		infos, err = st.List(ctx, name[:i])
	}
	if err != nil {
		return nil, err
	}
	return matchingObjects(st, infos, root, pattern, o)
}

// matchingObjects returns the objects below root whose names match a pattern; of an empty one, all.
func matchingObjects(st *store.Store, infos []store.Info, root, pattern string, o *ResolveOptions) (docs []Document, err error) {
	if strings.HasSuffix(pattern, "/**") {
		pattern += "/*" // an object is no folder
	}
	for _, info := range infos {
		below := strings.TrimPrefix(info.Name, root)
		switch {
		case strings.HasSuffix(below, "/") || hiddenFrom(pattern, below) || o.leavesObject(st.Join(info.Name), st.Join(root)):
		case pattern != "" && !doublestar.MatchUnvalidated(pattern, info.Name):
		case madeHere(below):
			return nil, notText(st.Join(info.Name))
		default:
			docs = append(docs, Document{Name: below, Path: st.Join(info.Name), Bytes: info.Bytes, generation: info.Generation})
		}
	}
	for _, info := range infos {
		for dir := path.Dir(info.Name); len(docs) == 0 && pattern != "" && dir != "."; dir = path.Dir(dir) {
			if doublestar.MatchUnvalidated(pattern, dir) && !hiddenFrom(pattern, dir) {
				return nil, onlyFolders(st.Join(dir))
			}
		}
	}
	if len(docs) == 0 {
		return nil, wrong(Sources, "no such object, and none below it")
	}
	return docs, nil
}

// hiddenFrom reports whether a name has an element that starts with a dot, and the
// pattern does not spell such an element.
func hiddenFrom(pattern, name string) bool {
	spelt := strings.HasPrefix(pattern, ".") || strings.Contains(pattern, "/.")
	return !spelt && (strings.HasPrefix(name, ".") || strings.Contains(name, "/."))
}

// leavesObject reports whether the object at url, found from the source at root, is left out.
func (o *ResolveOptions) leavesObject(url, root string) bool {
	for _, out := range o.LeaveOut {
		if within(url, out) && !within(root, out) {
			if o.Left != nil {
				o.Left(out)
			}
			return true
		}
	}
	return false
}
