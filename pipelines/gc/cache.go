package gc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/quire-ml/quire/pipelines/text"
)

// cacheAge is the age from which a file of a cache goes: a younger one may be in use.
const cacheAge = 24 * time.Hour

// cached is a file of a cache.
type cached struct {
	folder, path string
	bytes        int64
	why          string // it stays
}

// findCaches lists the files of the user's downloads and caches. live says that somebody
// uses the workdir, and perhaps a cache.
func findCaches(now time.Time, live bool) ([]cached, error) {
	var all []cached
	for _, folder := range text.CacheFolders() {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			c := cached{folder: folder, path: path, bytes: info.Size()}
			switch {
			case live:
				c.why = "the workdir is in use"
			case now.Sub(info.ModTime()) <= cacheAge:
				c.why = "younger than a day"
			}
			all = append(all, c)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// cacheItems returns an item a folder, of the files that go or of those that stay.
func (p *plan) cacheItems(goes bool) (items []Item) {
	at := map[string]int{}
	for _, c := range p.caches {
		if (c.why == "") != goes {
			continue
		}
		i, ok := at[c.folder+c.why]
		if !ok {
			i = len(items)
			at[c.folder+c.why] = i
			it := Item{Kind: "cache", Name: c.folder}
			if c.why != "" {
				it.Why = []string{c.why}
			}
			items = append(items, it)
		}
		items[i].Files++
		items[i].Bytes += c.bytes
	}
	return items
}

// removeCaches removes the files of caches that go, and their folders where these are empty.
func (r *remover) removeCaches() error {
	for _, c := range r.p.caches {
		if c.why != "" {
			continue
		}
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for dir := filepath.Dir(c.path); dir != c.folder; dir = filepath.Dir(dir) {
			if os.Remove(dir) != nil {
				break // it holds more
			}
		}
	}
	return nil
}
