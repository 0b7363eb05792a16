package configs

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mutations is how many damaged files TestMutations makes.
const mutations = 2000

// leaf is a key of a valid file.
type leaf struct {
	key   *key
	line  int // index
	start string
}

// A mutation damages the lines of a valid file at a key. It returns the line,
// key and nearest key that the error must name; what is empty is not compared,
// and a nearest of * is any.
type mutation func(r *rand.Rand, lines []string, at leaf) (out []string, want Error, line int)

var mutators = []struct {
	name   string
	mutate mutation
}{
	{"unknown", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		name := fmt.Sprintf("zz%d", r.IntN(1e6))
		key := strings.TrimSuffix(at.key.name, last(at.key.name)) + name
		return insert(lines, at.line+1, at.start+name+": 1"), Error{Key: key, Nearest: "*"}, at.line + 2
	}},
	{"misspelt", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		name := last(at.key.name)
		wrong := misspell(r, name)
		key := strings.TrimSuffix(at.key.name, name) + wrong
		return replace(lines, at.line, strings.Replace(lines[at.line], name, wrong, 1)), Error{Key: key, Nearest: at.key.name}, at.line + 1
	}},
	{"case", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		name := last(at.key.name)
		wrong := recase(r, name)
		key := strings.TrimSuffix(at.key.name, name) + wrong
		return replace(lines, at.line, strings.Replace(lines[at.line], name, wrong, 1)), Error{Key: key, Nearest: at.key.name}, at.line + 1
	}},
	{"case twin", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		name := last(at.key.name)
		twin := strings.Replace(lines[at.line], name, recase(r, name), 1)
		key := strings.TrimSuffix(at.key.name, name) + strings.TrimSpace(strings.SplitN(twin, ":", 2)[0])
		return insert(lines, at.line+1, twin), Error{Key: key, Nearest: at.key.name, Reason: "only in case"}, at.line + 2
	}},
	{"dotted case twin", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		key := recase(r, at.key.name)
		return append(lines, key+": 1"), Error{Key: key, Reason: "only in case"}, len(lines) + 1
	}},
	{"twice", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		return insert(lines, at.line+1, lines[at.line]), Error{Key: at.key.name, Reason: "is set twice"}, at.line + 2
	}},
	{"type", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		return replace(lines, at.line, at.start+last(at.key.name)+": "+pick(r, wrongType(at.key))), Error{Key: at.key.name}, at.line + 1
	}},
	{"range", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		return replace(lines, at.line, at.start+last(at.key.name)+": "+pick(r, wrongRange(at.key))), Error{Key: at.key.name}, at.line + 1
	}},
	{"deep", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		n := 7 + r.IntN(300)
		return replace(lines, at.line, at.start+last(at.key.name)+": "+strings.Repeat("{a: ", n)+"1"+strings.Repeat("}", n)),
			Error{Nearest: "*", Reason: "is nested deeper"}, at.line + 1
	}},
	{"alias bomb", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		bomb := []string{"b0: &b0 [x, x, x, x, x, x, x, x, x]"}
		for i := range 9 + r.IntN(9) {
			bomb = append(bomb, fmt.Sprintf("b%d: &b%d [%s]", i+1, i+1, strings.Repeat(fmt.Sprintf("*b%d, ", i), 9)))
		}
		bomb = append(bomb, lines...)
		i := at.line + len(bomb) - len(lines)
		bomb[i] = at.start + last(at.key.name) + ": *b9"
		return bomb, Error{Key: "b0", Nearest: "*"}, 1
	}},
	{"alias", func(r *rand.Rand, lines []string, at leaf) ([]string, Error, int) {
		out := replace(lines, at.line, at.start+last(at.key.name)+": *a")
		out[0] = "name: &a x"
		return out, Error{Key: at.key.name, Reason: "alias"}, at.line + 1
	}},
}

// wrongType lists values that a key must not be given, in YAML.
func wrongType(k *key) []string {
	both := []string{"", "null", "~", "{a: 1}", "{}", "!!str x", "!x 1"}
	switch k.domain.(type) {
	case whole:
		return append(both, "3.9", "3.0", "1e2", `"3"`, "'3'", "0x10", "010", "1_000", "0b1", "x", "true", "[3]", ".nan", "NaN", ".inf", "-.inf", "1e400",
			"9223372036854775808", "-9223372036854775809", "18446744073709551617", "99999999999999999999999", "2024-01-01", "3 4", "3s")
	case number:
		return append(both, `"0.5"`, "'0.5'", ".nan", "nan", ".NaN", "NaN", ".inf", "+.Inf", "-.INF", "inf", "Infinity", "1e400", "-1e999", "1e-400",
			"0x1p-1", "1_0.5", "1,5", "x", "false", "[0.5]", "1:30", "0o7")
	case truth:
		return append(both, "yes", "on", "1", "0", "True", "TRUE", `"true"`, "'false'", "[true]", "t")
	case sources, list:
		return append(both, "a.txt", "3", "[1]", "[true]", "[a, null]", "[a, [b]]", "[{a: b}]", "[2024-01-01]", "[.nan]")
	}
	return append(both, "3", "1.5", "true", ".nan", "2024-01-01", "[a]", "0x1")
}

// wrongRange lists values of the right type that a key must not be given.
func wrongRange(k *key) []string {
	switch d := k.domain.(type) {
	case whole:
		if d.lo == math.MinInt64 {
			return []string{"9223372036854775808", "-9223372036854775809"}
		}
		list := []string{fmt.Sprint(d.lo - 1), "-9223372036854775808"}
		if d.hi < math.MaxInt64 {
			list = append(list, fmt.Sprint(d.hi+1), "9223372036854775807")
		}
		return list
	case number:
		return []string{"-1", "-0.001", fmt.Sprint(d.hi * 1.01), "1e300", "-1e-300"}
	case truth:
		return []string{"maybe"}
	case list:
		list := []string{`[""]`}
		for item, word := range map[string]string{`["a\nb"]`: "a\nb", `[~/a]`: "~/a"} {
			if !d.ok(word) {
				list = append(list, item)
			}
		}
		slices.Sort(list)
		return list
	case sources:
		return []string{`[""]`, `["a\nb"]`, `["${HOME}/a"]`, `[a, "${goroot}"]`, `["${"]`}
	case words:
		return []string{`""`, "other", strings.ToUpper(d[0]), `"` + d[0] + ` "`}
	}
	return []string{`"` + strings.Repeat("x", 1<<20) + `"`, "[x]"} // too large a file, or no text
}

func TestMutations(t *testing.T) {
	base, err := Load(Options{Config: "shakespeare"})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(base.YAML())), "\n")
	leaves := leavesOf(t, lines)
	r := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "m.yaml")
	for i := range mutations {
		m, at := mutators[i%len(mutators)], leaves[r.IntN(len(leaves))]
		if m.name == "alias" && at.key.name == "name" {
			continue // its line has the anchor
		}
		out, want, line := m.mutate(r, slices.Clone(lines), at)
		data := strings.Join(out, "\n") + "\n"
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Load(Options{Config: path})
		if err == nil {
			t.Fatalf("mutation %d, %s of %s: loaded\n%s", i, m.name, at.key.name, data)
		}
		want.Source = fmt.Sprintf("%s:%d", path, line)
		if e := mistake(t, err); len(data) <= maxBytes && !meets(e, want) {
			t.Errorf("mutation %d, %s of %s: key %q, source %q, nearest %q: %v\nwant %+v", i, m.name, at.key.name, e.Key, e.Source, e.Nearest, e, want)
		}
	}
}

// meets compares what want has. Nearest may be another key that is as near.
func meets(e *Error, want Error) bool {
	nearest := want.Nearest == "" || e.Nearest != "" &&
		(want.Nearest == "*" || levenshtein(strings.ToLower(e.Key), e.Nearest) <= levenshtein(strings.ToLower(e.Key), want.Nearest))
	return nearest && e.Source == want.Source && (want.Key == "" || e.Key == want.Key) &&
		strings.Contains(e.Reason, want.Reason) && strings.Contains(e.Error(), show(e.Key))
}

// TestMutatedValues gives the same wrong values to variables and --set.
func TestMutatedValues(t *testing.T) {
	for i := range keys {
		k := &keys[i]
		switch k.domain.(type) {
		case words, text, secret, sources, list:
			continue // bare text is always text
		}
		for _, value := range append(wrongType(k), wrongRange(k)...) {
			_, err := Load(Options{Environ: []string{k.variable() + "=" + value}})
			if e := mistake(t, err); e.Key != k.name || e.Source != k.variable() {
				t.Errorf("%s=%s: key %q, source %q: %v", k.variable(), value, e.Key, e.Source, e)
			}
			_, err = Load(Options{Set: []string{k.name + "=" + value}})
			if e := mistake(t, err); e.Key != k.name || e.Source != "--set "+k.name {
				t.Errorf("%s=%s: key %q, source %q: %v", k.name, value, e.Key, e.Source, e)
			}
		}
	}
}

// leavesOf finds the keys in a file as YAML writes it.
func leavesOf(t *testing.T, lines []string) []leaf {
	t.Helper()
	var leaves []leaf
	var path []string
	for i, l := range lines {
		name, _, _ := strings.Cut(strings.TrimSpace(l), ":")
		depth := (len(l) - len(strings.TrimLeft(l, " "))) / 2
		path = append(path[:depth], name)
		if k := keyByName[strings.Join(path, ".")]; k != nil {
			leaves = append(leaves, leaf{k, i, strings.Repeat("  ", depth)})
		}
	}
	if len(leaves) != len(keys) {
		t.Fatalf("the file has %d keys, want %d", len(leaves), len(keys))
	}
	return leaves
}

// misspell drops a letter or puts others in its place.
func misspell(r *rand.Rand, name string) string {
	if len(name) <= 2 { // lr, by
		return name + "q"
	}
	i := r.IntN(len(name))
	return name[:i] + pick(r, []string{"", "qq", "j"}) + name[i+1:]
}

// recase changes the case of some letters.
func recase(r *rand.Rand, name string) string {
	for {
		b := []byte(name)
		for i, c := range b {
			if c >= 'a' && c <= 'z' && r.IntN(3) == 0 {
				b[i] = c - 'a' + 'A'
			}
		}
		if string(b) != name {
			return string(b)
		}
	}
}

func pick(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

func insert(lines []string, at int, line string) []string { return slices.Insert(lines, at, line) }

func replace(lines []string, at int, line string) []string {
	lines[at] = line
	return lines
}
