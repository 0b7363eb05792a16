package charset

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// encoded are texts and their bytes, as Python's codecs have them: text.encode(name).hex(),
// with cp1252 for windows-1252 and so on, cp932 for shift_jis.
var encoded = []struct{ name, text, hex string }{
	{"windows-1252", "It’s a “test” – don’t worry.", "49749273206120937465737494209620646f6e927420776f7272792e"},
	{"gb18030", "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。", "b0d7c8d5d2c0c9bdbea1a3acbbc6bad3c8ebbaa3c1f7a1a3d3fbc7eec7a7c0efc4bfa3acb8fcc9cfd2bbb2e3c2a5a1a3"},
	{"big5", "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。", "a5d5a4e9a8cca473bac9a141b6c0aa65a44aaefcac79a143b1fdbd61a464a8bda5d8a141a7f3a457a440bc68bcd3a143"},
	{"windows-1251", "Мама мыла раму.", "cce0ece020ecfbebe020f0e0ecf32e"},
	{"windows-1255", "אברהם יצחק יעקב שרה רבקה", "e0e1f8e4ed20e9f6e7f720e9f2f7e120f9f8e420f8e1f7e4"},
	{"windows-1252", "Der Käse schmeckt süß, größer als früher. L’été, déjà à Genève: «où est la forêt?» El niño comió mañana.",
		"446572204be47365207363686d65636b742073fcdf2c206772f6df657220616c73206672fc6865722e204c92e974e92c2064e96ae020e02047656ee876653a20ab6ff920657374206c6120666f72ea743fbb20456c206e69f16f20636f6d69f3206d61f1616e612e"},
	{"windows-1250", "Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy.",
		"5a61bff3b3e62067ea9c6cb9206a619ff12e2050f8ed6c699a209e6c759d6f75e86bfd206bf9f220fa70ec6c20efe162656c736be920f364792e"},
	{"windows-1254", "Işık hızla çarşıya doğru gitti, güneş gökyüzünde yükseliyordu.",
		"49fefd6b2068fd7a6c6120e76172fefd796120646ff072752067697474692c2067fc6e65fe2067f66b79fc7afc6e64652079fc6b73656c69796f7264752e"},
	{"windows-1255", "בראשית ברא אלהים את השמים ואת הארץ", "e1f8e0f9e9fa20e1f8e020e0ece4e9ed20e0fa20e4f9eee9ed20e5e0fa20e4e0f8f5"},
	{"windows-1253", "Μήνιν άειδε θεά Πηληιάδεω Αχιλήος ουλομένην", "ccdeede9ed20dce5e9e4e520e8e5dc20d0e7ebe7e9dce4e5f920c1f7e9ebdeeff220eff5ebefecddede7ed"},
	{"windows-1251", "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.",
		"c2f1e520f1f7e0f1f2ebe8e2fbe520f1e5ecfce820efeef5eee6e820e4f0f3e320ede020e4f0f3e3e02c20eae0e6e4e0ff20ede5f1f7e0f1f2ebe8e2e0ff20f1e5ecfcff20ede5f1f7e0f1f2ebe8e2e020efee2df1e2eee5ecf32e"},
	{"koi8-r", "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.",
		"f7d3c520d3dec1d3d4ccc9d7d9c520d3c5cdd8c920d0cfc8cfd6c920c4d2d5c720cec120c4d2d5c7c12c20cbc1d6c4c1d120cec5d3dec1d3d4ccc9d7c1d120d3c5cdd8d120cec5d3dec1d3d4ccc9d7c120d0cf2dd3d7cfc5cdd52e"},
	{"windows-1256", "في البدء خلق الله السموات والأرض وكانت الأرض خربة وخالية",
		"dded20c7e1c8cfc120cee1de20c7e1e1e520c7e1d3e3e6c7ca20e6c7e1c3d1d620e6dfc7e4ca20c7e1c3d1d620ced1c8c920e6cec7e1edc9"},
	{"windows-874", "กาลครั้งหนึ่งนานมาแล้ว มีเด็กหญิงคนหนึ่ง", "a1d2c5a4c3d1e9a7cbb9d6e8a7b9d2b9c1d2e1c5e9c720c1d5e0b4e7a1cbadd4a7a4b9cbb9d6e8a7"},
	{"shift_jis", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "8ce1947982cd944c82c582a082e9814296bc914f82cd82dc82be96b382a2814282c782b182c590b682ea82bd82a982c682f182c68ca9939682aa82c282a982ca8142"},
	{"euc-jp", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "b8e3c7daa4cfc7ada4c7a4a2a4eba1a3ccbec1b0a4cfa4dea4c0ccb5a4a4a1a3a4c9a4b3a4c7c0b8a4eca4bfa4aba4c8a4f3a4c8b8abc5f6a4aca4c4a4aba4cca1a3"},
	{"euc-kr", "나랏말이 중국과 달라 문자와 서로 통하지 아니하므로", "b3aab6f9b8bbc0cc20c1dfb1b9b0fa20b4deb6f320b9aec0dabfcd20bcadb7ce20c5ebc7cfc1f620bec6b4cfc7cfb9c7b7ce"},
	{"x-mac-cyrillic", "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.",
		"82f1e520f1f7e0f1f2ebe8e2fbe520f1e5ecfce820efeef5eee6e820e4f0f3e320ede020e4f0f3e3e02c20eae0e6e4e0df20ede5f1f7e0f1f2ebe8e2e0df20f1e5ecfcdf20ede5f1f7e0f1f2ebe8e2e020efee2df1e2eee5ecf32e"},
	{"ibm866", "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.",
		"82e1a520e1e7a0e1e2aba8a2eba520e1a5aceca820afaee5aea6a820a4e0e3a320ada020a4e0e3a3a02c20aaa0a6a4a0ef20ada5e1e7a0e1e2aba8a2a0ef20e1a5acecef20ada5e1e7a0e1e2aba8a2a020afae2de1a2aea5ace32e"},
	{"iso-8859-5", "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.",
		"b2e1d520e1e7d0e1e2dbd8d2ebd520e1d5dcecd820dfdee5ded6d820d4e0e3d320ddd020d4e0e3d3d02c20dad0d6d4d0ef20ddd5e1e7d0e1e2dbd8d2d0ef20e1d5dcecef20ddd5e1e7d0e1e2dbd8d2d020dfde2de1d2ded5dce32e"},
	{"macintosh", "Der Käse schmeckt süß, größer als früher. L’été, déjà à Genève: «où est la forêt?»",
		"446572204b8a7365207363686d65636b7420739fa72c2067729aa7657220616c732066729f6865722e204cd58e748e2c20648e6a8820882047656e8f76653a20c76f9d20657374206c6120666f7290743fc8"},
	{"ibm850", "Der Käse schmeckt süß, größer als früher. Été, déjà à Genève: «où est la forêt?»",
		"446572204b847365207363686d65636b74207381e12c20677294e1657220616c73206672816865722e209074822c2064826a8520852047656e8a76653a20ae6f9720657374206c6120666f7288743faf"},
	{"iso-8859-6", "في البدء خلق الله السموات والأرض وكانت الأرض خربة وخالية",
		"e1ea20c7e4c8cfc120cee4e220c7e4e4e720c7e4d3e5e8c7ca20e8c7e4c3d1d620e8e3c7e6ca20c7e4c3d1d620ced1c8c920e8cec7e4eac9"},
	{"windows-1258", "Tu\u0300 xưa đê\u0301n nay, ngươ\u0300i ta vâ\u0303n sô\u0301ng bên sông.",
		"5475cc2078fd6120f0eaec6e206e61792c206e67fdf5cc692074612076e2de6e2073f4ec6e672062ea6e2073f46e672e"},
	{"gb18030", "床前明月光，疑是地上霜。举头望明月，低头思故乡。", "b4b2c7b0c3f7d4c2b9e2a3acd2c9cac7b5d8c9cfcbaaa1a3bed9cdb7cdfbc3f7d4c2a3acb5cdcdb7cbbcb9cacfe7a1a3"},
	{"big5", "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。", "a7c9ab65a9faa4eba5faa141bac3ac4fa661a457c1f7a143c17cc059b1e6a9faa4eba141a743c059abe4ac47b66da143"},
}

func unhex(t *testing.T, s string) string {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// readings are ways to read bytes: in pieces of every size.
var readings = map[string]func(io.Reader) io.Reader{
	"whole": func(r io.Reader) io.Reader { return r },
	"bytes": iotest.OneByteReader,
	"half":  iotest.HalfReader,
}

// decoded reads data in each way, and returns the text and what was not decoded.
func decoded(t *testing.T, data string, f Form) (text string, invalid Invalid) {
	t.Helper()
	for name, way := range readings {
		r, err := NewReader(way(strings.NewReader(data)), f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if text != "" && text != string(got) || invalid.Count > 0 && invalid != r.Undefined() {
			t.Fatalf("%v, %s: %q with %v, else %q with %v", f, name, got, r.Undefined(), text, invalid)
		}
		text, invalid = string(got), r.Undefined()
	}
	return text, invalid
}

// signs scans data in pieces of every size up to 9.
func signs(t *testing.T, data string) Signs {
	t.Helper()
	var first Signs
	for size := 1; size < 10; size++ {
		var s Scanner
		for at := 0; at < len(data); at += size {
			s.Write([]byte(data[at:min(at+size, len(data))]))
		}
		switch got := s.Signs(); {
		case size == 1:
			first = got
		case got != first:
			t.Fatalf("%q: %+v in pieces of %d, %+v in pieces of 1", data, got, size, first)
		}
	}
	return first
}

// TestEncodings decodes texts of many encodings, at lengths around those of buffers,
// and recognises each.
func TestEncodings(t *testing.T) {
	for _, c := range encoded {
		data := unhex(t, c.hex)
		for _, times := range []int{1, 200} {
			text, invalid := decoded(t, strings.Repeat(data+"\n", times), Form{Encoding: c.name})
			if want := strings.Repeat(c.text+"\n", times); text != want || invalid.Count > 0 {
				t.Errorf("%s, %d times: got %q, %+v", c.name, times, text[:min(300, len(text))], invalid)
			}
		}
		// The other way to read these bytes is by upper case, as the name may be written.
		if text, _ := decoded(t, data, Form{Encoding: strings.ToUpper(c.name)}); text != c.text {
			t.Errorf("%s in capitals: %q", c.name, text)
		}
		s := signs(t, "some ASCII before: "+data)
		if s.Likely != c.name || s.Invalid.Count == 0 || s.UTF16 != "" || s.Mark || s.CR {
			t.Errorf("%s: signs %+v", c.name, s)
		}
	}
}

// TestSample: the first byte that is not UTF-8 may end a piece, and the evidence is behind it.
func TestSample(t *testing.T) {
	for _, before := range []string{"caf", ""} {
		for _, pieces := range [][]string{{before + "\xe9", " au lait, d\xe9j\xe0 vu\x00"}, {before + "\xe9", " a", "u lait, d\xe9j\xe0 vu\x00"}} {
			var s Scanner
			for _, piece := range pieces {
				s.Write([]byte(piece))
			}
			s.Signs()
			if got := string(s.sample); got != "\xe9 au lait, d\xe9j\xe0 vu\x00" {
				t.Errorf("%q: the sample is %q", pieces, got)
			}
		}
	}
}

// TestUTF16 reads and recognises UTF-16 of both orders, with a byte order mark and
// without. The bytes are Python's text.encode("utf-16-le") and so on.
func TestUTF16(t *testing.T) {
	for _, c := range []struct{ name, text, le, be string }{
		{"Latin", "Hi 𝄞\r\n", "480069002000" + "34d81edd" + "0d000a00", "004800690020" + "d834dd1e" + "000d000a"},
		{"Cyrillic", "Да, нет", "140430042c0020003d0435044204", "04140430002c0020043d04350442"},
		{"Hebrew", "שלום לך\n", "e905dc05d505dd052000dc05da050a00", "05e905dc05d505dd002005dc05da000a"},
	} {
		le, be := unhex(t, c.le), unhex(t, c.be)
		for _, x := range []struct{ data, encoding, sign string }{
			{"\xff\xfe" + le, "utf-16", "utf-16"}, {"\xfe\xff" + be, "utf-16", "utf-16"},
			{"\xff\xfe" + le, "UTF-16LE", "utf-16"}, {"\xfe\xff" + be, "utf-16be", "utf-16"},
			{"\xfe\xff" + be, "utf-16le", "utf-16"}, // the mark decides
			{le, "utf-16le", "utf-16le"}, {be, "utf-16be", "utf-16be"}, {le, "utf-16", "utf-16le"},
		} {
			if text, invalid := decoded(t, x.data, Form{Encoding: x.encoding}); text != c.text || invalid.Count > 0 {
				t.Errorf("%s %q as %s: %q, %+v", c.name, x.data, x.encoding, text, invalid)
			}
			if s := signs(t, x.data); s.UTF16 != x.sign || s.Likely != "" {
				t.Errorf("%s %q: %+v", c.name, x.data, s)
			}
		}
	}
}

// TestOrder: the order of UTF-16 without a mark, where the lower bytes are control
// characters and the upper ones are not. The bytes are Python's.
func TestOrder(t *testing.T) {
	// "不上两今，\n久亮" and "不上两今。\n久亮", ten times.
	for _, le := range []string{"0d4e0a4e244eca4e0cff0a00454eae4e", "0d4e0a4e244eca4e02300a00454eae4e"} {
		le := unhex(t, strings.Repeat(le, 10))
		be := []byte(le)
		for i := 0; i < len(be); i += 2 {
			be[i], be[i+1] = be[i+1], be[i]
		}
		for data, want := range map[string]string{le: "utf-16le", string(be): "utf-16be"} {
			if s := signs(t, data); s.UTF16 != want {
				t.Errorf("%q: %+v, want %s", data, s, want)
			}
		}
	}
}

// TestOrderOfSpaces: a character whose bytes are those of a space the other way round.
func TestOrderOfSpaces(t *testing.T) {
	var le, be []byte
	for _, c := range strings.Repeat("plain\u2000text\u2000with\u2000some quads ", 10) {
		le, be = binary.LittleEndian.AppendUint16(le, uint16(c)), binary.BigEndian.AppendUint16(be, uint16(c))
	}
	for data, want := range map[string]string{string(le): "utf-16le", string(be): "utf-16be"} {
		if s := signs(t, data); s.UTF16 != want {
			t.Errorf("%+v, want %s", s, want)
		}
	}
}

// TestOther recognises what no encoding reads.
func TestOther(t *testing.T) {
	// The first block of an archive: name, mode, owner, group, size, time, sum, type, 100 bytes, "ustar".
	tar := "t.txt" + strings.Repeat("\x00", 95) + "0000644\x000000000\x000000000\x0000000000004\x0014000000000\x00010000\x00 0" +
		strings.Repeat("\x00", 100) + "ustar  \x00" + strings.Repeat("\x00", 247) + "text"
	for data, want := range map[string]string{
		"\xff\xfe\x00\x00a\x00\x00\x00": "UTF-32", "\x00\x00\xfe\xff\x00\x00\x00a": "UTF-32",
		"%PDF-1.4\n%\xe2\xe3\xcf\xd3": "application/pdf", "PK\x03\x04\xe9\xe9": "application/zip",
		"\xff\xd8\xff\xe0": "image/jpeg", "BZh91AY&SY\x8b\xd9": "application/x-bzip2", "\xfd7zXZ\x00\x00\x04": "application/x-xz",
		"\x28\xb5\x2f\xfd\x24\x00": "application/zstd", "7z\xbc\xaf\x27\x1c\x00\x04": "application/x-7z-compressed", "BZh in a text": "",
		tar: "application/x-tar", tar + "\xe9\xe9": "application/x-tar", tar[:300]: "", strings.ReplaceAll(tar, "\x00", "0"): "",
		"a\xc0\x80b": "modified UTF-8", "\xed\xa0\xb4\xed\xb4\x9e": "modified UTF-8", "é \xed\xa0\xb4\xed\xb4\x9e ü\xc0\x80": "modified UTF-8",
		strings.Repeat("\xed\xa0\xb4\xed\xb4\x9e", 20000): "modified UTF-8", strings.Repeat("\xed\xa0\xb4\xed\xb4\x9e", 2000) + "\xff": "",
		"a\xed\xa0\xb4 and \xed\xb4\x9e": "", "a\xed\xb4\x9e\xed\xa0\xb4": "",
		"a\xc0\x80b\xff": "", "a\xc0\x80b\xc0": "", "%PDF-1.4 in ASCII": "", "\xe9t\xe9": "", "<html>\xe9": "", "\xff\xfea\x00": "",
	} {
		if s := signs(t, data); s.Other != want || want != "" && (s.UTF16 != "" || s.Likely != "") {
			t.Errorf("%q: %+v, want %q", data, s, want)
		}
	}
}

// TestNoGuess: where nothing speaks for an encoding, none is likely.
func TestNoGuess(t *testing.T) {
	russian, japanese := "Все счастливые семьи похожи друг на друга.", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ"
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(n, lowest int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(lowest + random.IntN(256-lowest))
		}
		return string(b)
	}
	for name, data := range map[string]string{
		"cut":                 japanese[:len(japanese)-1],
		"cut, Russian":        strings.TrimSuffix(russian, "а.") + "\xd0",
		"cut in front":        japanese[1:],
		"a byte dropped":      russian[:21] + russian[22:],
		"a byte damaged":      russian[:20] + "\xff" + russian[21:],
		"long":                strings.Repeat(russian+"\n", 3000) + "caf\xe9\n", // beyond the samples of the beginning
		"Latin-1 in UTF-8":    russian + "\nD\xe9j\xe0 vu \xe0 la carte\n",
		"half a pair":         "half \xed\xa0\xb4 of a pair",
		"overlong":            "a\xc0\xafb \xe0\x80\xaf",
		"beyond Unicode":      "\xf8\x88\x80\x80\x80 \xf4\x90\x80\x80 \xfd\xbf\xbf\xbf\xbf\xbf",
		"undefined bytes":     "D\xe9j\xe0 \x81 vu, \xe9t\xe9, for\xeat, \x8d p\xe2te, \x90 na\xefve",
		"one byte":            "abc\xff",
		"one byte in a word":  "ab\x80cd",
		"noise":               noise(3000, 1),
		"noise, not ASCII":    noise(3000, 128),
		"a control character": "D\xe9j\xe0 vu \xe0 la carte\x01",
		"EBCDIC":              strings.Repeat(unhex(t, "c88593939640e6969993846b40a38889a24089a24094a8"), 20), // Hello World, this is my, in cp037
		"Johab":               unhex(t, "a1a1976520b7a58865b76520c881b4e19069209881"),
		"kanji alone":         unhex(t, "b4c1bbfacab8bdf1baeec0aec6fccbdcb8ec20c2e7b3d820c5ecb5fec5d4c0e9c2e5c5c4b6e8"), // euc-jp
		"a few of a Mac":      "K\x8ase",
	} {
		if s := signs(t, data); s.Likely != "" || s.Other != "" || s.UTF16 != "" || s.Invalid.Count == 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for data, want := range map[string]string{
		"caf\xe9": "windows-1252", "It\x92s a \x93test\x94 \x96 ok": "windows-1252", "\x95 one\n\x95 two\n": "windows-1252",
	} {
		if s := signs(t, data); s.Likely != want {
			t.Errorf("%q: %+v, want %s", data, s, want)
		}
	}
}

// TestUndefined counts the bytes that an encoding does not define. U+FFFD that is
// written as such is a character.
func TestUndefined(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		data, encoding, text string
		want                 Invalid
	}{
		{"ab\xd9c\xd9", "windows-1255", "ab\xffc\xff", Invalid{2, 2, 0xd9}}, // Python: undefined
		{long + "\xd9c", "windows-1255", long + "\xffc", Invalid{1, 5000, 0xd9}},
		{"\x82\xa0\x82", "shift_jis", "あ\xff", Invalid{1, 2, 0x82}},
		{"\x1b$B$\"\x1b(Bx\x80y", "iso-2022-jp", "あx\xffy", Invalid{1, 9, 0x80}},
		{"\x00\xd8x\x00", "utf-16le", "\xffx", Invalid{1, 0, 0x00}}, // half of a pair
		{"\xff\xfex\x00y", "utf-16", "x\xff", Invalid{1, 4, 'y'}},   // half of a character
		{"x\x00\xfd\xff", "utf-16le", "x\uFFFD", Invalid{}},
		{"\x84\x31\xa4\x37x", "gb18030", "\uFFFDx", Invalid{}},
		{"\x1b$B" + strings.Repeat("$\"", 3000) + "\x1b(B\x80", "iso-2022-jp", strings.Repeat("あ", 3000) + "\xff", Invalid{1, 6006, 0x80}},
		{"a\xffb", "utf-8", "a\xffb", Invalid{}}, // a Scanner counts it
	} {
		if text, invalid := decoded(t, c.data, Form{Encoding: c.encoding}); text != c.text || invalid != c.want {
			t.Errorf("%q as %s: %q with %+v, want %q with %+v", c.data, c.encoding, text, invalid, c.text, c.want)
		}
	}
}

// TestMark drops a byte order mark at the start of a text, and nowhere else.
func TestMark(t *testing.T) {
	for data, want := range map[string]string{"\ufeffa\ufeff": "a\ufeff", "\ufeff": "", "": "", "\xef\xbb": "\xef\xbb", "a": "a"} {
		for _, encoding := range []string{"", "utf-8", "windows-1252"} {
			if encoding == "windows-1252" && !strings.HasPrefix(data, "\ufeff") {
				continue
			}
			if text, _ := decoded(t, data, Form{Encoding: encoding}); text != want {
				t.Errorf("%q as %q: %q, want %q", data, encoding, text, want)
			}
		}
		if s := signs(t, data); s.Mark != strings.HasPrefix(data, "\ufeff") {
			t.Errorf("%q: %+v", data, s)
		}
	}
	for data, want := range map[string]string{"\xfe\xffab": "þÿab", "\xff\xfeab": "ÿþab"} { // the marks of UTF-16, which this is not
		if text, _ := decoded(t, data, Form{Encoding: "windows-1252"}); text != want {
			t.Errorf("%q as windows-1252: %q, want %q", data, text, want)
		}
	}
}

func TestNewlines(t *testing.T) {
	long := strings.Repeat("x", 4095)
	for data, want := range map[string]string{
		"a\r\nb\rc\n\r\r\n": "a\nb\nc\n\n\n", "\r": "\n", "\n": "\n", long + "\r\n" + long + "\r" + long: long + "\n" + long + "\n" + long,
		strings.Repeat("\r\n", 5000): strings.Repeat("\n", 5000),
	} {
		if text, _ := decoded(t, data, Form{Newlines: LF}); text != want {
			t.Errorf("%.30q: %.30q, want %.30q", data, text, want)
		}
		if text, _ := decoded(t, data, Form{Newlines: Keep}); text != data {
			t.Errorf("%.30q does not stay: %.30q", data, text)
		}
	}
	if text, _ := decoded(t, "\xff\xfea\x00\r\x00\n\x00", Form{Encoding: "utf-16", Newlines: LF}); text != "a\n" {
		t.Errorf("of UTF-16: %q", text)
	}
	for data, want := range map[string]bool{"\xff\xfea\x00\r\x00": false, "a\rb": true, "a\r\nb": false, "a\nb\rc": false, "a": false} {
		if s := signs(t, data); s.CR != want {
			t.Errorf("%q: CR alone: %v", data, s.CR)
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "utf-8", "UTF8", "latin1", "IBM850", "ibm866", "macintosh", " Shift_JIS "} {
		if _, err := NewReader(strings.NewReader("a"), Form{Encoding: name}); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"utf", "hz-gb-2312", "utf-7", "windows-9999"} {
		if _, err := NewReader(strings.NewReader("a"), Form{Encoding: name}); err == nil || err.Error() != `charset: "`+name+`" is no known encoding` {
			t.Errorf("%s: %v", name, err)
		}
	}
	for f, want := range map[Form]bool{{}: true, {"UTF-8", "keep"}: true, {"utf-8", "lf"}: false, {"utf-16", ""}: false} {
		if f.Plain() != want {
			t.Errorf("%+v is plain: %v", f, f.Plain())
		}
	}
}

// TestNoSigns looks at texts that have nothing to tell, among them binary ones.
func TestNoSigns(t *testing.T) {
	for _, c := range []struct{ data, likely string }{
		{"", ""}, {"plain", ""}, {"naïve 日本語 𝄞\n", ""}, {"a\x00b", ""}, {"\x00\x00\x00\x00", ""},
		{strings.Repeat("\x00\x01\x02\x03\xfe\xfd", 50), ""}, {strings.Repeat("a\x01", 30), ""},
		{"a\x00\x0b" + strings.Repeat("plain", 20) + "\x00", ""}, // two of 104, both at odd places
	} {
		s := signs(t, c.data)
		if s.Likely != c.likely || s.UTF16 != "" || s.Mark || s.CR || s.Invalid.Count > 0 != !utf8.ValidString(c.data) {
			t.Errorf("%q: %+v", c.data, s)
		}
	}
}

// FuzzInvalid compares a Scanner's count of invalid bytes with Go's own decoding.
func FuzzInvalid(f *testing.F) {
	for _, s := range []string{"a\xe2\x82", "\xe2\x82\xac\x82", "\xf0\x9d\x84a", "\xed\xa0\x80", "é\xc3\xc3\xa9", "\x80\x80\x80\x80\x80", "\xef\xbb\xbfx"} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		want := Invalid{}
		for i := 0; i < len(data); {
			c, n := utf8.DecodeRune(data[i:])
			if c == utf8.RuneError && n == 1 {
				if want.Count == 0 {
					want = Invalid{0, int64(i), data[i]}
				}
				want.Count++
			}
			i += n
		}
		var s Scanner
		for rest := data; len(rest) > 0; {
			n := min(int(size)%7+1, len(rest))
			s.Write(rest[:n])
			rest = rest[n:]
		}
		if got := s.Signs().Invalid; got != want {
			t.Fatalf("%q in pieces of %d: %+v, want %+v", data, size%7+1, got, want)
		}
		r, err := NewReader(bytes.NewReader(data), Form{})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(r); err != nil || string(text) != string(bytes.TrimPrefix(data, []byte("\ufeff"))) {
			t.Fatalf("%q: %q, %v", data, text, err)
		}
	})
}
