package charset

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// A candidate is an encoding that likely tells from others.
type candidate struct {
	name   string
	letter func(c rune) float64 // how much a character speaks for the encoding, 0 to 1
}

// The candidates for text that is ASCII but for a letter here and there, for text of
// several bytes a character, and for text of other scripts. Of equals, the first wins.
var (
	sparse = []candidate{{"windows-1252", latin(western)}, {"windows-1254", latin(turkish)}, {"windows-1250", latin(central)}}
	wide   = []candidate{{"shift_jis", kana}, {"euc-jp", kana}, {"euc-kr", hangul}, {"gb18030", chinese(simplified)},
		{"big5", chinese(traditional)}}
	narrow = []candidate{{"windows-1251", script(unicode.Cyrillic, "оеаинтсрвл")}, {"koi8-r", script(unicode.Cyrillic, "оеаинтсрвл")},
		{"windows-1255", script(unicode.Hebrew, "יוהלאמרתבנש")}, {"windows-1253", script(unicode.Greek, "αοιετσνηυρς")},
		{"windows-1256", script(unicode.Arabic, "اليمونترب")}, {"windows-874", script(unicode.Thai, "านรอกเง")}}
)

// Letters of the languages of an encoding, and frequent Chinese characters.
const (
	western    = "àâäáãåæçéèêëíìîïñóòôöõøßúùûüÿÀÂÄÁÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØÚÙÛÜ"
	central    = "ąćęłńóśźżáčďéěíňřšťúůýžăâîşţőűöüäôľĺŕđĄĆĘŁŃÓŚŹŻÁČĎÉĚÍŇŘŠŤÚŮÝŽŐŰÖÜ"
	turkish    = "çğıöşüâîûÇĞİÖŞÜ"
	simplified = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情" +
		"明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太"
	traditional = "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作里用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情" +
		"明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太"
)

// evidence is what a likely encoding must have more of.
const evidence = 0.5

// likely returns the encoding that a sample of bytes, which are not UTF-8, is likely in,
// or "" where none has enough evidence. The sample may start and end inside a character.
func likely(sample []byte) string {
	high, together := 0, 0 // bytes that are not ASCII, and those of them behind another
	for i, b := range sample {
		if b == 0 {
			return "" // no text of these encodings
		}
		if b >= utf8.RuneSelf {
			high++
			if i > 0 && sample[i-1] >= utf8.RuneSelf {
				together++
			}
		}
	}
	if 2*together < high {
		return best(sparse, sample)
	}
	// Few texts of single bytes can be read as several bytes a character.
	return cmp.Or(best(wide, sample), best(narrow, sample))
}

// best returns the candidate that a sample speaks most for, or "".
func best(candidates []candidate, sample []byte) string {
	name, most := "", evidence
	for _, c := range candidates {
		if x := c.speaks(sample); x > most {
			name, most = c.name, x
		}
	}
	return name
}

// speaks returns how much a sample speaks for a candidate, 0 to 1: the mean of its
// characters that are not ASCII.
func (x candidate) speaks(sample []byte) float64 {
	e, err := htmlindex.Get(x.name)
	if err != nil {
		return 0
	}
	text, err := e.NewDecoder().Bytes(sample)
	if err != nil {
		return 0
	}
	sum, all := 0.0, 0
	for _, c := range string(text) {
		switch {
		case c < utf8.RuneSelf:
			continue
		case strings.ContainsRune(punctuation, c):
			sum += 0.6
		default:
			sum += x.letter(c) // an undefined byte, U+FFFD, is no letter
		}
		all++
	}
	return sum / float64(max(all, 1))
}

// punctuation are characters of many languages: they speak for nothing much.
const punctuation = "«»“”‘’„‚–—…•°§€£©®™·¡¿\u00a0"

// script returns a function that counts the letters of a script, the frequent ones
// fully.
func script(table *unicode.RangeTable, frequent string) func(c rune) float64 {
	return func(c rune) float64 {
		switch {
		case strings.ContainsRune(frequent, c):
			return 1
		case unicode.Is(table, c):
			return 0.7
		}
		return 0
	}
}

// latin returns a function that counts some letters.
func latin(letters string) func(c rune) float64 {
	return func(c rune) float64 {
		if strings.ContainsRune(letters, c) {
			return 1
		}
		return 0
	}
}

// kana counts what is Japanese alone, and kanji little. Half-width kana count nothing:
// single bytes of other encodings become these.
func kana(c rune) float64 {
	switch {
	case c >= 0xFF61 && c <= 0xFF9F:
		return 0
	case unicode.In(c, unicode.Hiragana, unicode.Katakana), c >= 0x3000 && c <= 0x303F:
		return 1
	case unicode.Is(unicode.Han, c):
		return 0.3
	}
	return 0
}

// hangul counts Korean syllables that end in a vowel or a frequent consonant: of those
// that other bytes become, most do not.
func hangul(c rune) float64 {
	if !unicode.Is(unicode.Hangul, c) || !slices.Contains([]rune{0, 1, 4, 8, 16, 17, 19, 20, 21}, (c-0xAC00)%28) {
		return 0
	}
	return 1
}

// chinese returns a function that counts frequent characters, and others for less.
func chinese(frequent string) func(c rune) float64 {
	list := []rune(frequent)
	slices.Sort(list)
	return func(c rune) float64 {
		if _, ok := slices.BinarySearch(list, c); ok || c >= 0x3000 && c <= 0x303F || c >= 0xFF00 && c <= 0xFF5E {
			return 1
		}
		if unicode.Is(unicode.Han, c) {
			return 0.4
		}
		return 0
	}
}
