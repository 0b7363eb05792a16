package configs

import (
	"reflect"
	"strings"
	"testing"
)

// FuzzParse reads any bytes as a config file. Nothing panics, a mistake is an
// *Error on one line, and a file that is taken comes back from YAML as it was.
func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		data, err := embedded.ReadFile(name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, c := range fileMistakes {
		if len(c.file) < 10_000 {
			f.Add([]byte(c.file))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse("x.yaml", data)
		if err != nil {
			mistake(t, err)
			return
		}
		r, err := resolve(p.settings, nil)
		if err != nil {
			mistake(t, err)
			return
		}
		again, err := parse("y.yaml", r.YAML())
		if err != nil {
			t.Fatalf("%v\n%s", err, r.YAML())
		}
		r2, err := resolve(again.settings, nil)
		if err != nil || !reflect.DeepEqual(r2.Config, r.Config) {
			t.Fatalf("comes back as %+v, %v, want %+v", r2, err, r.Config)
		}
	})
}

// FuzzSet gives any text to --set.
func FuzzSet(f *testing.F) {
	for i := range keys {
		f.Add(keys[i].name, "1")
	}
	f.Add("corpus.sources", "[a, *b]")
	f.Add("generate.prompt", "a\u2028b\n")
	f.Fuzz(func(t *testing.T, key, value string) {
		r, err := Load(Options{Config: "base", Set: []string{key + "=" + value}})
		if err != nil {
			mistake(t, err)
			return
		}
		if k := keyByName[key]; k == nil && !strings.Contains(key, "=") {
			t.Fatalf("%q was taken", key)
		}
		reload(t, r.YAML())
	})
}
