package configs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// defaultName is the embedded config that Load takes by default.
const defaultName = "quickstart"

// Options are the layers of Load above the defaults.
type Options struct {
	Config  string   // path, or name of an embedded config; empty is quickstart
	Environ []string // NAME=value, as of os.Environ; only QUIRE_ variables count
	Set     []string // key=value
	Flags   []Flag
}

// Flag is a flag of a command that stands for a key.
type Flag struct {
	Key   string // train.out
	Value string // bare text, read by the key's type
	Name  string // --out, for messages
}

// Load resolves a config. A mistake of the user is an *Error.
func Load(o Options) (*Resolved, error) {
	if o.Config == "" {
		o.Config = defaultName
	}
	files, err := fromFiles(o.Config)
	if err != nil {
		return nil, err
	}
	environ, err := fromEnviron(o.Environ)
	if err != nil {
		return nil, err
	}
	set, err := fromSet(o.Set)
	if err != nil {
		return nil, err
	}
	flags, err := fromFlags(o.Flags)
	if err != nil {
		return nil, err
	}
	return resolve(files, slices.Concat(alone(environ), alone(set), alone(flags)))
}

// Parse resolves the text of a config that extends none, such as that of Portable, by the
// defaults alone. name is its name in messages.
func Parse(name string, text []byte) (*Resolved, error) {
	p, err := parse(name, text)
	if err != nil {
		return nil, err
	}
	if p.extends != "" {
		return nil, &Error{Key: extends, Source: p.extendsSource, Reason: "is for a file, and this config stands by itself"}
	}
	return resolve(alone(p.settings), nil)
}

// alone completes a layer that sets corpus.sources and not corpus.sha256: it
// empties the digest, which belongs to the sources of a layer below.
func alone(layer []setting) []setting {
	const sources, digest = "corpus.sources", "corpus.sha256"
	last := map[string]setting{}
	for _, s := range layer {
		last[s.key.name] = s
	}
	if s, ok := last[sources]; ok && last[digest].key == nil {
		return append(layer, setting{key: keyByName[digest], value: "", source: s.source + ", with other sources", implied: true})
	}
	return layer
}

// resolve merges the layers. viper sees only keys of the table, in lower case,
// with values of the right type, and its decoder converts nothing.
func resolve(files, overrides []setting) (*Resolved, error) {
	v := viper.New()
	r := &Resolved{history: map[string][]setting{}}
	for i := range axes {
		r.history[axes[i].name] = []setting{{key: &axes[i], value: axes[i].initial, source: "default"}}
	}
	for i := range keys {
		k := &keys[i]
		v.SetDefault(k.name, k.initial)
		r.history[k.name] = []setting{{key: k, value: k.initial, source: "default", shipped: true}}
	}
	r.files, r.overrides = r.split(files), r.split(overrides)
	for _, s := range r.files {
		if err := v.MergeConfigMap(nest(s.key.name, s.value)); err != nil {
			return nil, fmt.Errorf("configs: %s: %w", s.key.name, err)
		}
		r.record(s)
	}
	for _, s := range r.overrides {
		v.Set(s.key.name, s.value)
		r.record(s)
	}
	exact := func(c *mapstructure.DecoderConfig) {
		c.WeaklyTypedInput, c.DecodeHook, c.ErrorUnset = false, nil, true
	}
	if err := v.UnmarshalExact(&r.Config, exact); err != nil {
		return nil, fmt.Errorf("configs: %w", err) // the table and Config disagree
	}
	err := r.Config.Validate()
	var e *Error
	if errors.As(err, &e) {
		e.Source = r.last(e.Key).source
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// record adds a setting to the history of its key. One that is implied, and
// alters nothing, is not worth telling.
func (r *Resolved) record(s setting) {
	if name := s.key.name; !s.implied || r.last(name).value != s.value {
		r.history[name] = append(r.history[name], s)
	}
}

// split records the settings of axes, which have no place in Config, and returns
// the others.
func (r *Resolved) split(layer []setting) (others []setting) {
	for _, s := range layer {
		if axisByName[s.key.name] == nil {
			others = append(others, s)
			continue
		}
		r.record(s)
	}
	return others
}

// nest returns value below the parts of a dotted key.
func nest(key string, value any) map[string]any {
	first, rest, dotted := strings.Cut(key, ".")
	if dotted {
		value = nest(rest, value)
	}
	return map[string]any{first: value}
}

// variablePrefix begins the name of every variable that sets a key.
const variablePrefix = "QUIRE_"

// switches are variables for developers. They are not config.
var switches = []string{"QUIRE_VARIANT", "QUIRE_VECTORS", "QUIRE_PYTHON", "QUIRE_FLINK", "QUIRE_GPU", "QUIRE_PTXAS"}

// fromEnviron reads the QUIRE_ variables, in order of name. It also refuses a
// variable whose name differs only in case from the variable of a key.
func fromEnviron(environ []string) ([]setting, error) {
	byVariable := make(map[string]*key, len(keys))
	for i := range keys {
		byVariable[keys[i].variable()] = &keys[i]
	}
	for i := range axes {
		byVariable[axes[i].variable()] = &axes[i]
	}
	given := map[string]string{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		_, twin := byVariable[strings.ToUpper(name)]
		if twin || strings.HasPrefix(name, variablePrefix) && !slices.Contains(switches, name) {
			given[name] = value
		}
	}
	var all []setting
	for _, name := range slices.Sorted(maps.Keys(given)) {
		k := byVariable[name]
		if k == nil {
			known := slices.Concat(slices.Sorted(maps.Keys(byVariable)), switches)
			return nil, &Error{Key: name, Source: "environment", Reason: "is an unknown variable",
				Nearest: Nearest(strings.ToUpper(name), known)}
		}
		value, err := k.read(given[name])
		if err != nil {
			return nil, &Error{Key: k.name, Source: name, Reason: err.Error()}
		}
		all = append(all, setting{key: k, value: value, source: name})
	}
	return all, nil
}

// fromSet reads the values of --set.
func fromSet(set []string) ([]setting, error) {
	var flags []Flag
	for _, s := range set {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, &Error{Source: "--set " + show(s), Reason: "has no value; write --set key=value", Nearest: nearestKey(s)}
		}
		flags = append(flags, Flag{Key: key, Value: value, Name: "--set " + show(key)})
	}
	return fromFlags(flags)
}

// fromFlags reads flags that stand for keys.
func fromFlags(flags []Flag) ([]setting, error) {
	var all []setting
	for _, f := range flags {
		k := lookup(f.Key)
		switch {
		case f.Key == extends:
			return nil, &Error{Key: f.Key, Source: f.Name, Reason: "can only be set in a file"}
		case sections[f.Key]:
			return nil, &Error{Key: f.Key, Source: f.Name, Reason: "is a section; set its keys one by one", Nearest: KeysOf(f.Key)[0]}
		case k == nil:
			return nil, unknown(f.Key, f.Name)
		}
		value, err := k.read(f.Value)
		if err != nil {
			return nil, &Error{Key: k.name, Source: f.Name, Reason: err.Error()}
		}
		all = append(all, setting{key: k, value: value, source: f.Name})
	}
	return all, nil
}
