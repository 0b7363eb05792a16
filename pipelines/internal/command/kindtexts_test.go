package command_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
)

// A writer makes up texts from a small grammar. Every text is our own, and the same on
// every call.
type writer struct {
	*rand.Rand
	strings.Builder
}

// written returns what a grammar writes until the text has size bytes.
func written(size int, grammar func(w *writer, i int)) string {
	w := &writer{Rand: rand.New(rand.NewPCG(14, 26))}
	for i := 0; w.Len() < size; i++ {
		grammar(w, i)
	}
	return w.String()
}

// one returns one of the words of a list, the first ones more often, as in a language.
func (w *writer) one(words ...string) string {
	n := float64(len(words))
	return words[int(n*w.Float64()*w.Float64())]
}

// of returns one of the words of a text.
func (w *writer) of(words string) string { return w.one(strings.Fields(words)...) }

// joined returns low to high words of a list, with sep between them.
func (w *writer) joined(low, high int, sep string, word func() string) string {
	list := make([]string, low+w.IntN(high-low+1))
	for i := range list {
		list[i] = word()
	}
	return strings.Join(list, sep)
}

const english = "the of a light glass and in is to red prism water blue shadow morning bent through colour small window mirror falls on edge " +
	"white paper turns slowly green lens behind every garden stone carries evening sound"

func (w *writer) sentence() string {
	s := w.joined(5, 14, " ", func() string { return w.of(english) })
	return strings.ToUpper(s[:1]) + s[1:] + w.one(".", ".", ".", "?", "!")
}

// abcTune is a tune in the ABC notation.
func abcTune(w *writer, i int) {
	fmt.Fprintf(w, "X:%d\nT:The %s %s\nR:%s\nM:6/8\nL:1/8\nK:%s\n", i+1, w.of("Miller's Blue Crooked Little Wandering"), w.of("Hornpipe Jig Road Garden Bridge"),
		w.of("jig reel hornpipe"), w.of("G D Am Em"))
	for range 4 {
		w.WriteString("|:" + w.joined(4, 4, "|", func() string {
			return w.joined(2, 3, " ", func() string { return w.of("GAB c2A BGD dBG A3 (3ABc d^cd =f2e g>fe _B2G [GB]2D z2A,") })
		}) + ":|\n")
	}
	w.WriteString("\n")
}

// chessGame is a game in PGN; its moves look like those of a game.
func chessGame(w *writer, i int) {
	result := w.of("1-0 0-1 1/2-1/2")
	fmt.Fprintf(w, "[Event \"Club evening %d\"]\n[Site \"?\"]\n[Date \"1998.%02d.??\"]\n[White \"%s\"]\n[Black \"%s\"]\n[Result \"%s\"]\n[ECO \"C%02d\"]\n\n",
		i/8+1, 1+i%12, w.of("Arden Brook Calder Dunn"), w.of("Esk Fenn Gale Holt"), result, w.IntN(99))
	line := ""
	for move := range 18 + w.IntN(30) {
		token := func() string {
			return w.of("e4 d4 Nf3 Nc6 Bb5 O-O exd5 Qe2 Rfe1 Bxf6 Nbd7 h6 c5 Qxd4+ Rad8 a3 Kh1 g5 Bg3 Nxe5 f8=Q# Rxe1+")
		}
		line += fmt.Sprintf("%d. %s %s ", move+1, token(), token())
		if len(line) > 64 {
			w.WriteString(strings.TrimSpace(line) + "\n")
			line = ""
		}
	}
	w.WriteString(line + result + "\n\n")
}

// protein is a sequence in FASTA: amino acids of different frequency, with some motifs.
func protein(w *writer, i int) {
	fmt.Fprintf(w, ">qr|P%05d|SYN_%d synthetic protein OS=Exemplum fictum\n", 10000+7*i, i)
	s := "M" + w.joined(80, 240, "", func() string {
		if w.IntN(8) == 0 {
			return w.of("GSGKST HHC DPWQN EELKR KKQRE")
		}
		return w.of("L A G V E S I K R D T P N Q F Y M H C W")
	})
	for len(s) > 60 {
		w.WriteString(s[:60] + "\n")
		s = s[60:]
	}
	w.WriteString(s + "\n")
}

func (w *writer) name() string {
	return w.of("a e i an el jo ma sa ri ka le be da no") + w.joined(1, 2, "", func() string { return w.of("ra li na mi so vi ne ta dri len mar") }) +
		w.of("a n h e s yn on ia el")
}

func nameLine(w *writer, _ int) { w.WriteString(w.name() + "\n") }

// chineseQuatrain is four lines of five or seven characters. A third of the words are
// rare ones: a real collection has thousands of characters, many of them once.
func chineseQuatrain(w *writer, i int) {
	per := 2 + i%2
	fmt.Fprintf(w, "%s%s\n", w.of("春夜 江上 山中 秋思 送别 月下"), w.of("寄友 独坐 有感 听雨"))
	for line := range 4 {
		for range per {
			if w.IntN(3) > 0 {
				w.WriteString(w.of("明月 清风 白云 流水 青山 落花 孤舟 故人 秋雨 春草 夕阳 寒江 远树 归鸟 空林 古道 烟波 疏钟"))
				continue
			}
			w.WriteRune(rune(0x4e00 + int(3000*w.Float64()*w.Float64())*6))
			w.WriteString(w.of("色 声 影 心 夜 里 中 上"))
		}
		w.WriteString(w.of("来 去 归 寒 深 远 新 长") + []string{"，", "。", "，", "。"}[line])
		if line%2 == 1 {
			w.WriteString("\n")
		}
	}
	w.WriteString("\n")
}

// poem is a grammar of stanzas of four lines of a language's words.
func poem(words, space, end string) func(w *writer, i int) {
	return func(w *writer, _ int) {
		for range 4 {
			w.WriteString(w.joined(4, 7, space, func() string { return w.of(words) }) + w.one(end, "", ",") + "\n")
		}
		w.WriteString("\n")
	}
}

const (
	hebrew   = "אור לילה ים שקט רוח בוקר לב דרך גשם עץ שיר חלון אבן כוכב הולך שלי אל מן הבית זמן"
	arabic   = "نورٌ لَيْلٌ بَحْرٌ رِيحٌ صَباحٌ قَلْبٌ طَريقٌ مَطَرٌ شَجَرٌ حَجَرٌ نَجْمٌ في على مِنْ إلى البَيْتِ يَمْشي"
	japanese = "月の 光が 静かな 海へ 風 と 花 散る 夜明け カモメ 遠く 山に 雪が 降る しずく ラムネ 匂い 帰り道 を 歩く"
	thai     = "แสง จันทร์ ทะเล ลม เช้า หัวใจ ทาง ฝน ต้นไม้ เพลง หน้าต่าง ก้อนหิน ดวงดาว เดิน ที่ บ้าน ของ ฉัน เวลา กลับ"
)

// reviewCSV is a table whose texts have commas, quotes and line breaks.
func reviewCSV(w *writer, i int) {
	if i == 0 {
		w.WriteString("id,title,review,stars\r\n")
	}
	text := w.sentence() + w.one(" ", "\r\n", ` ""quite so"" `) + w.sentence()
	fmt.Fprintf(w, "%d,%s,\"%s\",%d\r\n", 1000+i, w.of("Lamp Mirror Prism Window"), text, 1+w.IntN(5))
}

// postJSON is a line of a JSONL file, as an archive of short messages has them.
func postJSON(w *writer, i int) {
	text := w.joined(1, 2, w.one(" ", "\n"), w.sentence) + w.one("", "", " 🌈", " #prism", " @newton")
	data, err := json.Marshal(map[string]any{"id": 9000 + i, "user": w.name(), "text": text, "likes": w.IntN(40), "reply_to": nil})
	if err != nil {
		panic(err)
	}
	w.Write(append(data, '\n'))
}

// iconSVG is a drawing.
func iconSVG(w *writer, i int) {
	fmt.Fprintf(w, "<svg id=\"%s-%d\" width=\"%d\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 24 24\">\n", w.of("arrow box circle home"), i, 8*(2+w.IntN(4)))
	for range 2 + w.IntN(4) {
		fmt.Fprintf(w, "  <path fill=\"%s\" d=\"M%d %d", w.of("none #333 #c00 currentColor"), w.IntN(24), w.IntN(24))
		for range 4 + w.IntN(8) {
			fmt.Fprintf(w, "%s%.1f %.1f", w.of("l L c h v a"), 12*w.Float64(), 12*w.Float64())
		}
		w.WriteString("z\"/>\n")
	}
	w.WriteString("</svg>\n")
}

func proseLine(w *writer, i int) {
	w.WriteString(w.sentence() + " ")
	if i%5 == 4 {
		w.WriteString("\n")
	}
}

// utf16Text returns a text in UTF-16, little-endian, after a byte order mark.
func utf16Text(text string, order binary.ByteOrder) string {
	var b []byte
	for _, unit := range append([]uint16{0xfeff}, utf16.Encode([]rune(text))...) {
		b = append(b, 0, 0)
		order.PutUint16(b[len(b)-2:], unit)
	}
	return string(b)
}

// windows1255 returns a Hebrew text in the bytes of old Windows.
func windows1255(text string) string {
	s, err := charmap.Windows1255.NewEncoder().String(text)
	if err != nil {
		panic(err)
	}
	return s
}
