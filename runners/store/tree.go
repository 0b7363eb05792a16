package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A tree is the open folder of a local store. Names are those of objects.
//
// A folder directly in the store may be a link to a folder anywhere, such as another
// disk: whoever has placed it wants the objects there. Links further below do not lead
// out of the folder that they are in. An operation on two names is on two of one folder.
type tree struct {
	dir   string
	root  *os.Root
	links map[string]*os.Root // by the first element of names
}

// openTree opens the folder of a store.
func openTree(dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, broken(dir, err)
	}
	return &tree{dir: dir, root: root}, nil
}

// broken returns the error of opening a folder: one that is not "no such file" where the
// folder is a link to nothing, such as a disk that is not there.
func broken(dir string, err error) error {
	if to, linkErr := os.Readlink(dir); linkErr == nil && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is a link to %s, and there is none; put that back, or delete the link", dir, to)
	}
	return err
}

// find returns the folder in which a name is looked up, and the name there.
func (t *tree) find(name string) (*os.Root, string, error) {
	first, rest, _ := strings.Cut(filepath.FromSlash(name), string(filepath.Separator))
	if linked, ok := t.links[first]; ok {
		return linked, or(rest), nil
	}
	info, err := t.root.Lstat(first)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return t.root, filepath.FromSlash(name), nil
	}
	at := filepath.Join(t.dir, first)
	if info, err := os.Stat(at); err == nil && !info.IsDir() {
		return t.root, filepath.FromSlash(name), nil
	}
	linked, err := os.OpenRoot(at)
	if err != nil {
		return nil, "", broken(at, err)
	}
	if t.links == nil {
		t.links = map[string]*os.Root{}
	}
	t.links[first] = linked
	return linked, or(rest), nil
}

// or returns a name below a folder; the folder itself is ".".
func or(name string) string {
	if name == "" {
		return "."
	}
	return name
}

// Close closes the folder.
func (t *tree) Close() {
	for _, linked := range t.links {
		linked.Close()
	}
	t.root.Close()
}

func (t *tree) Open(name string) (*os.File, error) { return t.OpenFile(name, os.O_RDONLY, 0) }

func (t *tree) OpenFile(name string, flag int, mode os.FileMode) (*os.File, error) {
	root, name, err := t.find(name)
	if err != nil {
		return nil, err
	}
	return root.OpenFile(name, flag, mode)
}

func (t *tree) Stat(name string) (fs.FileInfo, error) {
	root, name, err := t.find(name)
	if err != nil {
		return nil, err
	}
	return root.Stat(name)
}

func (t *tree) Lstat(name string) (fs.FileInfo, error) {
	root, name, err := t.find(name)
	if err != nil {
		return nil, err
	}
	return root.Lstat(name)
}

func (t *tree) Mkdir(name string, mode os.FileMode) error {
	root, name, err := t.find(name)
	if err != nil {
		return err
	}
	return root.Mkdir(name, mode)
}

func (t *tree) Remove(name string) error {
	root, name, err := t.find(name)
	if err != nil {
		return err
	}
	return root.Remove(name)
}

func (t *tree) Link(old, name string) error {
	root, name, err := t.find(name)
	if err != nil {
		return err
	}
	_, old, _ = t.find(old) // of the same folder
	return root.Link(old, name)
}

func (t *tree) Rename(old, name string) error {
	root, name, err := t.find(name)
	if err != nil {
		return err
	}
	_, old, _ = t.find(old)
	return root.Rename(old, name)
}
