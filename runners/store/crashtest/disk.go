// Package crashtest is a file system that may lose what was not synced, for
// tests.
//
// A Disk watches the file operations of a local store. It knows the content of the disk
// if the machine failed now: the bytes of a file as of its last sync, and the names of a
// folder as of the folder's last sync. Each later name, and each block of 512 later
// bytes, is on the disk or not. Image makes a folder of one such outcome, from which a
// program can be restarted.
package crashtest

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// blockBytes is the size of the blocks that a disk writes or loses as a whole.
const blockBytes = 512

// A Disk is the folder of a store. It is safe for concurrent use.
type Disk struct {
	dir string

	mu      sync.Mutex
	next    int
	ids     map[uint64]int            // of the present files, by inode
	files   map[int][]byte            // synced bytes of a file, by ID
	folders map[string]map[string]int // synced names of a folder: IDs of files, 0 for folders
}

// New watches a folder, whose present content counts as synced.
func New(dir string) (*Disk, error) {
	d := &Disk{dir: dir, next: 1, ids: map[uint64]int{}, files: map[int][]byte{}, folders: map[string]map[string]int{}}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return d.syncFolder(name)
		}
		return d.syncFile(name)
	})
	return d, err
}

// Done tells the Disk of a file operation. It is for store.WatchFiles.
func (d *Disk) Done(op, name string, err error) {
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch op {
	case "create": // its inode may have been another file's
		if info, err := os.Lstat(d.path(name)); err == nil {
			d.ids[inode(info)] = d.fresh()
		}
	case "sync":
		d.syncFile(name)
	case "syncdir":
		d.syncFolder(name)
	}
}

func (d *Disk) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(d.dir, filepath.FromSlash(name))
}

func (d *Disk) fresh() int {
	d.next++
	return d.next
}

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

// id returns the ID of a file.
func (d *Disk) id(info fs.FileInfo) int {
	id, ok := d.ids[inode(info)]
	if !ok {
		id = d.fresh()
		d.ids[inode(info)] = id
	}
	return id
}

func (d *Disk) syncFile(name string) error {
	info, err := os.Lstat(d.path(name))
	if err != nil {
		return err
	}
	data, err := os.ReadFile(d.path(name))
	d.files[d.id(info)] = data
	return err
}

func (d *Disk) syncFolder(name string) error {
	names, err := d.names(name)
	if rel, relErr := filepath.Rel(d.dir, d.path(name)); relErr == nil {
		d.folders[rel] = names
	}
	return err
}

// names returns the present content of a folder.
func (d *Disk) names(name string) (map[string]int, error) {
	entries, err := os.ReadDir(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	names := map[string]int{}
	for _, e := range entries {
		info, infoErr := e.Info()
		switch {
		case errors.Is(infoErr, fs.ErrNotExist):
		case infoErr != nil:
			return nil, infoErr
		case e.IsDir():
			names[e.Name()] = 0
		default:
			names[e.Name()] = d.id(info)
		}
	}
	return names, err
}

// Image writes the content of the disk after a failure of the machine into the folder
// to, which is made if absent. Each unsynced name and block is kept with probability
// keep, from 0 to 1. Equal seeds keep equal parts.
func (d *Disk) Image(to string, keep float64, seed uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return (&image{d: d, to: to, keep: keep, r: rand.New(rand.NewPCG(seed, 1)), files: map[int][]byte{}}).folder(".")
}

type image struct {
	d     *Disk
	to    string
	keep  float64
	r     *rand.Rand
	files map[int][]byte // decided already: a file may have two names
}

func (m *image) kept() bool { return m.r.Float64() < m.keep }

func (m *image) folder(dir string) error {
	now, err := m.d.names(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(m.to, dir), 0o777); err != nil {
		return err
	}
	synced := m.d.folders[dir]
	var all []string
	for name := range now {
		all = append(all, name)
	}
	for name := range synced {
		if _, ok := now[name]; !ok {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	for _, name := range all {
		id, there := synced[name]
		if newID, newThere := now[name]; (newID != id || newThere != there) && m.kept() {
			id, there = newID, newThere
		}
		path := filepath.Join(dir, name)
		switch {
		case !there:
		case id == 0:
			err = m.folder(path)
		default:
			err = os.WriteFile(filepath.Join(m.to, path), m.file(id, path, now[name] == id), 0o666)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// file decides the bytes of a file; path is one of its names, if it is present.
func (m *image) file(id int, path string, there bool) []byte {
	if data, ok := m.files[id]; ok {
		return data
	}
	synced := m.d.files[id]
	data := slices.Clone(synced)
	if now, err := os.ReadFile(m.d.path(path)); err == nil && there {
		if len(now) != len(data) && m.kept() {
			data = append(data[:min(len(data), len(now))], make([]byte, max(0, len(now)-len(data)))...)
		}
		for at := 0; at < min(len(data), len(now)); at += blockBytes {
			if m.kept() {
				copy(data[at:min(len(data), at+blockBytes)], now[at:])
			}
		}
	}
	m.files[id] = data
	return data
}
