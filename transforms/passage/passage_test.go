package passage_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/transforms/passage"
)

// hashes returns the hashes of the passages of texts, given in pieces of n bytes.
func hashes(n int, texts ...string) (list []uint64) {
	r := passage.NewReader(func(hash uint64) { list = append(list, hash) })
	for _, text := range texts {
		r.Begin()
		for piece := range slices.Chunk([]byte(text), n) {
			r.Add(piece)
		}
	}
	return list
}

const german = "Die Öfen wärmen — auch im Frühjahr — die große Häuserzeile"

// TestPassages has hashes that a program in Python computed from the definition, each
// passage by itself.
func TestPassages(t *testing.T) {
	for text, want := range map[string]struct {
		n           int
		first, last uint64
	}{
		"The Rays which differ in Colour, differ also in Degrees": {15, 0x345a926b3bb09601, 0x9410e258435298ff},
		german: {17, 0x1cde6653e95e9cc5, 0x9370022e74cbfe2f},
		"春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。白日依山盡，黃河入海流。欲窮千里目": {10, 0x56ad0e372185ee1, 0x4e3811c71bc5ccf8},
		strings.Repeat("x", passage.Length-1): {},
	} {
		for _, piece := range []int{1, 2, 3, 7, 1000} {
			got := hashes(piece, text)
			if len(got) != want.n || want.n > 0 && (got[0] != want.first || got[len(got)-1] != want.last) {
				t.Errorf("%q in pieces of %d bytes: %x, want %d passages, %x to %x", text, piece, got, want.n, want.first, want.last)
			}
		}
	}
}

// TestSame: other normalisation, layout, line ends and capitals leave the passages;
// another letter changes all that have it.
func TestSame(t *testing.T) {
	want := hashes(100, german)
	for _, same := range []string{
		strings.NewReplacer("Ö", "O\u0308", "ä", "a\u0308", "ü", "u\u0308").Replace(german),
		strings.ReplaceAll(german, " ", "\r\n\t"),
		strings.ToLower(german),
		"Die Ofen warmen — auch im Fruhjahr — die große Hauserzeile",
		strings.ReplaceAll(german, " ", "\x00\x01\x7f\u0085"),
	} {
		if got := hashes(100, same); !slices.Equal(got, want) {
			t.Errorf("%q has other passages than %q", same, german)
		}
	}
	other := hashes(100, strings.Replace(german, "Frühjahr", "Frühjohr", 1))
	for _, h := range other {
		if slices.Contains(want, h) {
			t.Errorf("a passage with another letter has the same hash")
		}
	}
	half := []rune(german)
	if got := hashes(100, string(half[:30]), string(half[30:])); len(got) != 0 {
		t.Errorf("two texts of 24 and 24 letters have %d passages", len(got))
	}
	// A text begins without what the one before left: letters, and the beginning of a character.
	if got := hashes(3, german+"\xe6\x98", german); !slices.Equal(got, slices.Concat(want, want)) {
		t.Errorf("a second text has other passages than the first: %x, want %x", got, want)
	}
	// The last byte may begin a character.
	if got := hashes(5, strings.Repeat("\xe9\xe8", 17)); len(got) != 2 || got[0] == got[1] || got[1] != hashes(5, strings.Repeat("\xe8\xe9", 17))[0] {
		t.Errorf("34 bytes that are not UTF-8 have the passages %x", got)
	}
}

func sketch(list []uint64) passage.Sketch {
	var s passage.Sampler
	for _, h := range list {
		s.Add(h)
	}
	return s.Sketch()
}

// TestSketchAgain: a sketch stays as it is, whatever the text goes on with.
func TestSketchAgain(t *testing.T) {
	var s passage.Sampler
	for hash := range uint64(5) { // there is room for more
		s.Add(hash + 4)
	}
	first := s.Sketch()
	s.Add(3)
	if second := s.Sketch(); !slices.Equal(first, passage.Sketch{4, 5, 6, 7, 8}) || !slices.Equal(second, passage.Sketch{3, 4, 5, 6, 7, 8}) {
		t.Errorf("the sketches are %v and %v", first, second)
	}
}

// TestSketch compares sketches with sorted lists.
func TestSketch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 100, passage.Most - 1, passage.Most, 2*passage.Most + 1, 5 * passage.Most} {
		var a, b []uint64
		for range n {
			a = append(a, r.Uint64()%uint64(3*n))
			b = append(b, r.Uint64())
		}
		for _, list := range [][]uint64{a, b, slices.Concat(a, b)} {
			want := slices.Compact(slices.Sorted(slices.Values(list)))
			limit := uint64(math.MaxUint64)
			if len(want) >= passage.Most {
				want, limit = want[:passage.Most], want[passage.Most-1]
			}
			got := sketch(list)
			if !slices.Equal(got, want) || got.Limit() != limit {
				t.Fatalf("%d hashes: %d in the sketch, limit %x; want %d, limit %x", len(list), len(got), got.Limit(), len(want), limit)
			}
		}
		if got := passage.Union(sketch(a), sketch(b)); !slices.Equal(got, sketch(slices.Concat(a, b))) {
			t.Errorf("%d hashes: the union of two sketches is not the sketch of both texts", n)
		}
		if s := sketch(b); n > 0 && (!s.Has(s[len(s)/2]) || s.Has(s[len(s)/2]+1) && s[len(s)/2+1] != s[len(s)/2]+1) {
			t.Errorf("%d hashes: Has is wrong", n)
		}
		data, err := json.Marshal(sketch(b))
		var back passage.Sketch
		if err == nil {
			err = json.Unmarshal(data, &back)
		}
		if err != nil || !slices.Equal(back, sketch(b)) {
			t.Errorf("%d hashes come back as %d: %v", n, len(back), err)
		}
	}
	for text, want := range map[string]string{
		"AAAAAAAAAAIAAAAAAAAAAQ==": "number 1 of a sketch is 1, after 2",
		"AAAAAAAAAAEAAAAAAAAAAQ==": "number 1 of a sketch is 1, after 1",
		"AAAA":                     "a sketch of 3 bytes",
		"A":                        "sketch: illegal base64",
		strings.Repeat("AAAAAAAA", passage.Most*8/6+1): "want at most 16384 numbers",
	} {
		if err := new(passage.Sketch).UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}
