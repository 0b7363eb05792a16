package configs

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed *.yaml
var embedded embed.FS

// maxBytes bounds the size of a config file.
const maxBytes = 1 << 20

// fromFiles reads a config file and the files that it extends. Settings come in
// order, those of the farthest base first.
func fromFiles(config string) ([]setting, error) {
	var chain []*parsed
	seen := map[string]bool{}
	name, dir, source := config, ".", "--config"
	for name != "" {
		f, err := find(name, dir, source)
		if err != nil {
			return nil, err
		}
		if seen[f.id] {
			return nil, &Error{Key: extends, Source: source,
				Reason: fmt.Sprintf("goes round in a circle: %s is already part of this config", f.shown)}
		}
		seen[f.id] = true
		p, err := parse(f.shown, f.data)
		if err != nil {
			return nil, err
		}
		for i := range p.settings {
			p.settings[i].shipped = f.dir == ""
		}
		chain = append(chain, p)
		name, dir, source = p.extends, f.dir, p.extendsSource
	}
	var all []setting
	for _, p := range slices.Backward(chain) {
		all = append(all, alone(p.settings)...)
	}
	return all, nil
}

// file is a config file.
type file struct {
	shown string // name in messages
	id    string // equal for the same file under two names
	dir   string // folder that its extends is relative to; empty for an embedded file
	data  []byte
}

// find reads the file that is called name by a file in dir. In this order: an
// embedded config by its bare name, a file, an embedded config by its file name.
// dir is empty for an embedded file, which extends only embedded files.
func find(name, dir, source string) (*file, error) {
	if data, err := embedded.ReadFile(name + ".yaml"); err == nil {
		return inside(name+".yaml", data), nil
	}
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(dir, name)
	}
	var err error
	if dir != "" {
		var f *file
		if f, err = outside(path); err == nil {
			return f, nil
		}
	}
	if dir == "" || errors.Is(err, fs.ErrNotExist) {
		if data, err := embedded.ReadFile(name); err == nil {
			return inside(name, data), nil
		}
		names := Names()
		return nil, &Error{Source: source, Nearest: Nearest(name, names),
			Reason: fmt.Sprintf("there is no config file %s; embedded configs are %s", quote(path), strings.Join(names, ", "))}
	}
	return nil, &Error{Source: source, Reason: "config file " + quote(path), Err: cause(err)}
}

// cause strips the path from an error of the file system: the message has it.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// inside returns an embedded file.
func inside(name string, data []byte) *file {
	return &file{shown: "embedded " + name, id: "embedded " + name, data: data}
}

// outside reads a file of the file system.
func outside(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("has more than %d bytes", maxBytes)
	}
	id, err := filepath.EvalSymlinks(path)
	if err != nil {
		id = path // a pipe of the shell, as in --config <(…)
	}
	if id, err = filepath.Abs(id); err != nil {
		return nil, err
	}
	return &file{shown: path, id: id, dir: filepath.Dir(path), data: data}, nil
}

// Names returns the names of the embedded configs, sorted.
func Names() []string {
	entries, err := embedded.ReadDir(".")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}
