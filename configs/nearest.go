package configs

import "strings"

// nearestKey returns the key or section most like a name. A name with the right
// last part but a wrong section, or none, is near to its key; so is the name that
// another program has for the key.
func nearestKey(name string) string {
	name = strings.ToLower(clip(name))
	best, distance := "", 0
	swept := strings.HasPrefix(name, sweepPrefix)
	consider := func(candidate string, also []string) {
		if swept && !strings.HasPrefix(candidate, sweepPrefix) {
			return
		}
		d := levenshtein(name, candidate)
		if l := levenshtein(last(name), last(candidate)); strings.Contains(candidate, ".") && 2*l <= len(last(candidate)) {
			d = min(d, l+1)
		}
		for _, a := range also {
			if l := levenshtein(last(name), a); 4*l <= len(a) {
				d = min(d, l+1)
			}
		}
		if len(name) < 2 && candidate == "gc" { // every name of one letter is near to one of two
			return
		}
		if best == "" || d < distance {
			best, distance = candidate, d
		}
	}
	for i := range keys {
		for j, c := range keys[i].name {
			if c == '.' {
				consider(keys[i].name[:j], nil)
			}
		}
		consider(keys[i].name, keys[i].also)
	}
	if swept {
		for i := range axes {
			consider(axes[i].name, axes[i].domain.(axis).of.also)
		}
	}
	consider(extends, nil)
	return best
}

// Nearest returns the candidate most like a name; empty where there is none.
func Nearest(name string, candidates []string) string {
	name = clip(name)
	best, distance := "", 0
	for _, c := range candidates {
		if d := levenshtein(name, c); best == "" || d < distance {
			best, distance = c, d
		}
	}
	return best
}

// clip bounds the work on a name of any length.
func clip(name string) string { return name[:min(len(name), 128)] }

// last returns what follows the last dot.
func last(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// levenshtein returns the least number of bytes to insert, delete or replace to
// turn a into b.
func levenshtein(a, b string) int {
	row := make([]int, len(b)+1) // distances of a's beginning to b's beginnings
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
