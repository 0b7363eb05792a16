package charset

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A candidate is an encoding that likely tells from others.
type candidate struct {
	name   string
	letter func(c rune) float64 // how much a character speaks for the encoding, 0 to 1
}

// The candidates for text that is ASCII but for a letter here and there, for text of
// several bytes a character, and for text of other scripts. Of equals, the first wins.
var (
	sparse = []candidate{{western1252, latin(western)}, {"windows-1254", latin(turkish)}, {"windows-1258", latin(vietnamese)},
		{"windows-1250", latin(central)},
		{"macintosh", latin(western)}, {"ibm850", latin(western)}}
	wide = []candidate{{"shift_jis", kana}, {"euc-jp", kana}, {"euc-kr", hangul}, {"gb18030", chinese(simplified)},
		{"big5", chinese(traditional)}}
	narrow = []candidate{{"windows-1251", cyrillic}, {"koi8-r", cyrillic}, {"ibm866", cyrillic}, {"iso-8859-5", cyrillic},
		{"x-mac-cyrillic", cyrillic}, {"windows-1255", script(unicode.Hebrew, "יוהלאמרתבנש")},
		{"windows-1253", script(unicode.Greek, "αοιετσνηυρς")}, {"windows-1256", arabic}, {"iso-8859-6", arabic},
		{"windows-874", script(unicode.Thai, "านรอกเง")}}

	cyrillic = script(unicode.Cyrillic, "оеаинтсрвл")
	arabic   = script(unicode.Arabic, "اليمونترب")
)

// western1252 is the name of the encoding of Western Europe, by far the most frequent one.
const western1252 = "windows-1252"

// Letters of the languages of an encoding, and frequent Chinese characters.
const (
	western    = "àâäáãåæçéèêëíìîïñóòôöõøßúùûüÀÂÄÁÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØÚÙÛÜ"
	central    = "ąćęłńóśźżáčďéěíňřšťúůýžăâîşţőűöüäôľĺŕđĄĆĘŁŃÓŚŹŻÁČĎÉĚÍŇŘŠŤÚŮÝŽŐŰÖÜ"
	vietnamese = "ăâđêôơưàáãèéìíòóõùúýĂÂĐÊÔƠƯ\u0300\u0301\u0303\u0309\u0323"
	turkish    = "çğıöşüâîûÇĞİÖŞÜ"
	simplified = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情" +
		"明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太"
	traditional = "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作里用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情" +
		"明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太"
)

// The evidence that a likely encoding must have more of, and the characters that are not ASCII
// which it takes, but for windows-1252. The letters of an alphabet, in any order, speak 0.7 for it.
const (
	sparseEvidence = 0.65
	wideEvidence   = 0.55
	narrowEvidence = 0.77
	fewest         = 4
)

// likely returns the encoding that a sample of bytes, which are not UTF-8, is likely in,
// or "" where none has enough evidence. The sample may start and end inside a character.
func likely(sample []byte) string {
	high, together := 0, 0 // bytes that are not ASCII, and those of them behind another
	for i, b := range sample {
		if isControl(rune(b)) {
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
		return best(sparse, sample, sparseEvidence)
	}
	// Few texts of single bytes can be read as several bytes a character.
	return cmp.Or(best(wide, sample, wideEvidence), best(narrow, sample, narrowEvidence))
}

// isControl reports whether a character is a control character that no text has.
func isControl(c rune) bool {
	return c < utf8.RuneSelf && unicode.IsControl(c) && !strings.ContainsRune("\t\n\r\f\x1b", c)
}

// best returns the candidate that a sample speaks most for, with more than some evidence, or "".
func best(candidates []candidate, sample []byte, evidence float64) string {
	name, most := "", evidence
	for _, c := range candidates {
		if x, n := c.speaks(sample); x > most && (n >= fewest || c.name == western1252) {
			name, most = c.name, x
		}
	}
	return name
}

// speaks returns how much a sample speaks for a candidate, 0 to 1: the mean of its
// characters that are not ASCII, and their number.
func (x candidate) speaks(sample []byte) (mean float64, all int) {
	e, err := find(x.name)
	if err != nil {
		return 0, 0
	}
	decoded, err := e.NewDecoder().Bytes(sample)
	if err != nil {
		return 0, 0
	}
	text := []rune(" " + string(decoded) + " ")
	sum, undefined := 0.0, 0
	for i := 1; i < len(text)-1; i++ {
		before, c, after := text[i-1], text[i], text[i+1]
		if c < utf8.RuneSelf || i == 1 && isASCIILetter(after) && !unicode.IsLetter(c) {
			continue // a letter may be before it, in front of the sample
		}
		all++
		switch {
		case c == utf8.RuneError || unicode.IsControl(c):
			undefined++
		case strings.ContainsRune(punctuation, c):
			sum += mark(before, c, after)
		case unicode.IsLetter(c) && !inWord(before, c, after):
		default:
			sum += x.letter(c)
		}
	}
	if undefined > 1+all/50 {
		return 0, all
	}
	return sum / float64(max(all, 1)), all
}

// inWord reports whether a letter can be in its place: no capital is behind a small letter, no letter
// of another script beside a Latin one, and few Latin letters that are not ASCII stand alone.
func inWord(before, c, after rune) bool {
	switch {
	case unicode.IsUpper(c) && unicode.IsLower(before):
		return false
	case unicode.Is(unicode.Latin, c):
		return unicode.IsLetter(before) || unicode.IsLetter(after) || strings.ContainsRune("àáäåæèéíñòóôöøüÀÁÅÈÉÍÓÔÖØ", c)
	}
	return !isASCIILetter(before) && !isASCIILetter(after)
}

// mark returns how much a punctuation mark speaks for an encoding: 1 where it is in its usual place
// among Latin letters, 0 where it is in none.
func mark(before, c, after rune) float64 {
	left, right := unicode.IsLetter(before), unicode.IsLetter(after)
	inside := strings.ContainsRune("’–—·", c)
	switch {
	case left && right && !inside:
		return 0
	case left && !unicode.Is(unicode.Latin, before), right && !unicode.Is(unicode.Latin, after):
	case c == '’' && left, inside && left == right, strings.ContainsRune("“”‘„‚«»…", c) && left != right, c == '•' && !left && !right:
		return 1
	}
	return 0.6
}

func isASCIILetter(c rune) bool { return c < utf8.RuneSelf && unicode.IsLetter(c) }

// punctuation are characters of many languages.
const punctuation = "«»“”‘’„‚–—…•·°§€£©®™¡¿\u00a0"

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

// hangul counts frequent Korean syllables, and for less those that end in a vowel or a frequent
// consonant: of those that other bytes become, most do not.
func hangul(c rune) float64 {
	switch {
	case strings.ContainsRune("이다는을를의에가은로고지하한도서기사자나라시수있그어대인일아해리과와만게면", c):
		return 1
	case unicode.Is(unicode.Hangul, c) && slices.Contains([]rune{0, 1, 4, 8, 16, 17, 19, 20, 21}, (c-0xAC00)%28):
		return 0.5
	}
	return 0
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
