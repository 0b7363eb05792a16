package gate

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// A loop is consecutive characters that repeat their first loopPeriod or fewer, at
// least loopTimes, and are at least loopChars: "no, no, no, no, ".
const (
	loopPeriod = 64
	loopTimes  = 4
	loopChars  = 12
)

// looped returns the share of ids that are part of a loop.
func looped(ids []int32) float64 {
	in := make([]bool, len(ids))
	for p := 1; p <= min(loopPeriod, len(ids)/loopTimes); p++ {
		same := 0 // consecutive ids before i that equal the id a period earlier
		for i := p; i <= len(ids); i++ {
			if i < len(ids) && ids[i] == ids[i-p] {
				same++
				continue
			}
			if n := same + p; same > 0 && n >= max(loopTimes*p, loopChars) {
				for j := i - n; j < i; j++ {
					in[j] = true
				}
			}
			same = 0
		}
	}
	n := 0
	for _, loop := range in {
		if loop {
			n++
		}
	}
	return share(n, len(ids))
}

// meanLooped returns the share of the ids of several texts that are part of a loop.
func meanLooped(texts [][]int32) float64 {
	var sum, chars float64
	for _, text := range texts {
		sum += looped(text) * float64(len(text))
		chars += float64(len(text))
	}
	if chars == 0 {
		return 0
	}
	return sum / chars
}

// coverage returns the share of the ids of texts that occur in samples.
func coverage(samples, texts [][]int32) float64 {
	has := map[int32]bool{}
	for _, s := range samples {
		for _, id := range s {
			has[id] = true
		}
	}
	covered, all := 0, 0
	for _, text := range texts {
		for _, id := range text {
			all++
			if has[id] {
				covered++
			}
		}
	}
	return share(covered, all)
}

// coverageOfRest returns the share of the ids of texts that occur in another of them; 1 for
// fewer than two texts. Of thousands of characters, as Chinese has, many are rare.
func coverageOfRest(texts [][]int32) float64 {
	if len(texts) < 2 {
		return 1
	}
	in := map[int32]int{} // texts with an id
	for _, text := range texts {
		for _, id := range slices.Compact(slices.Sorted(slices.Values(text))) {
			in[id]++
		}
	}
	covered, all := 0, 0
	for _, text := range texts {
		for _, id := range text {
			all++
			if in[id] > 1 {
				covered++
			}
		}
	}
	return share(covered, all)
}

// invalid returns the share of characters that are no text: bytes that are not
// UTF-8, and U+FFFD, which replaces such bytes. A character that the start or the
// end of the text cuts in two does not count.
func invalid(text []byte) float64 {
	for i := 0; i < utf8.UTFMax-1 && len(text) > 0 && !utf8.RuneStart(text[0]); i++ {
		text = text[1:]
	}
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if end := text[len(text)-i:]; utf8.RuneStart(end[0]) {
			if !utf8.FullRune(end) {
				text = text[:len(text)-i]
			}
			break
		}
	}
	return share(bytes.Count([]byte(string([]rune(string(text)))), []byte("\uFFFD")), utf8.RuneCount(text))
}
