package prepare

import (
	"errors"
	"slices"
	"testing"

	"github.com/quire-ml/quire/transforms/charset"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/vocab"
)

// TestCheckText refuses documents that are not text in their encoding, each with the
// encoding that helps, and lets pass what the options allow.
func TestCheckText(t *testing.T) {
	bad := charset.Invalid{Count: 3, Offset: 7, Byte: 0xe9}
	latin := corpus.Document{Name: "b.txt", Signs: charset.Signs{Likely: "windows-1252", Invalid: bad}}
	other := corpus.Document{Name: "b.txt", Signs: charset.Signs{Invalid: bad}}
	wide := corpus.Document{Name: "b.txt", Signs: charset.Signs{UTF16: "utf-16le"}}
	partly := corpus.Document{Name: "b.txt", Signs: charset.Signs{Likely: "big5", Invalid: charset.Invalid{Count: 2, Byte: 0xff}}, Undefined: bad}
	binary := corpus.Document{Name: "b.txt", Signs: charset.Signs{Other: "application/pdf", Invalid: bad}}
	of := func(kind string) corpus.Document {
		return corpus.Document{Name: "b.txt", Signs: charset.Signs{Other: kind}}
	}
	const ways = "; correct it, or use invalid_utf8 replace"
	for _, c := range []struct {
		doc          corpus.Document
		o            Options
		want, likely string
	}{
		{corpus.Document{}, Options{}, "", ""},
		{latin, Options{}, "prepare: b.txt: byte 7 (0xe9) is not valid UTF-8, the first of 3; it is likely windows-1252", "windows-1252"},
		{latin, Options{InvalidUTF8: "replace"}, "", ""},
		{latin, Options{Unit: vocab.Byte}, "", ""},
		{other, Options{}, "prepare: b.txt: byte 7 (0xe9) is not valid UTF-8, the first of 3" + ways + " or unit byte", ""},
		{wide, Options{}, "prepare: b.txt: it is UTF-16, and was read as UTF-8", "utf-16le"},
		{wide, Options{InvalidUTF8: "replace"}, "prepare: b.txt: it is UTF-16, and was read as UTF-8", "utf-16le"},
		{wide, Options{Unit: vocab.Byte}, "", ""},
		{wide, Options{Encoding: "koi8-r"}, "prepare: b.txt: it is UTF-16, and was read as koi8-r", "utf-16le"},
		{binary, Options{}, "prepare: b.txt: it is application/pdf, no text in UTF-8; convert it to UTF-8, or leave it out", ""},
		{binary, Options{InvalidUTF8: "replace"}, "", ""},
		{of("application/x-gzip"), Options{}, "prepare: b.txt: it is compressed by gzip, and its name does not end in .gz; rename it, or decompress " +
			"it (gunzip)", ""},
		{of("application/x-bzip2"), Options{}, "prepare: b.txt: it is compressed by bzip2; decompress it (bunzip2)", ""},
		{of("application/x-xz"), Options{}, "prepare: b.txt: it is compressed by xz; decompress it (unxz)", ""},
		{of("application/zstd"), Options{}, "prepare: b.txt: it is compressed by zstd; decompress it (unzstd)", ""},
		{of("application/zip"), Options{}, "prepare: b.txt: it is a zip archive; unpack it (unzip) and name the files, or their folder", ""},
		{of("application/x-tar"), Options{}, "prepare: b.txt: it is a tar archive; unpack it (tar -xf) and name the files, or their folder", ""},
		{of("application/x-tar"), Options{Unit: vocab.Byte}, "", ""},
		{corpus.Document{Name: "b.tgz", Signs: charset.Signs{Other: "application/x-gzip", Invalid: bad}}, Options{},
			"prepare: b.tgz: it is a tar archive; unpack it (tar -xf) and name the files, or their folder", ""},
		{corpus.Document{Name: "b.tgz", Signs: charset.Signs{Other: "application/pdf", Invalid: bad}}, Options{},
			"prepare: b.tgz: it is application/pdf, no text in UTF-8; convert it to UTF-8, or leave it out", ""},
		{binary, Options{Unit: vocab.Byte}, "", ""},
		{partly, Options{Encoding: "windows-1255"}, "prepare: b.txt: byte 7 (0xe9) is not valid windows-1255, the first of 3" + ways, ""},
		{partly, Options{Encoding: "windows-1255", Unit: vocab.Byte}, "prepare: b.txt: byte 7 (0xe9) is not valid windows-1255, the first of 3" + ways, ""},
		{partly, Options{Encoding: "windows-1255", InvalidUTF8: "replace"}, "", ""},
	} {
		err := CheckText([]corpus.Document{{Name: "a.txt"}, c.doc}, c.o)
		var text *TextError
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%+v: %v", c, err)
		case c.want != "" && (!errors.As(err, &text) || text.Error() != c.want || text.Likely != c.likely || text.Binary != (c.doc.Signs.Other != "")):
			t.Errorf("%+v: %v, %+v", c, err, text)
		}
	}
}

// TestHints tells of lines that end in CR alone, unless they are made to end in LF.
func TestHints(t *testing.T) {
	cr := corpus.Document{Name: "b.txt", Signs: charset.Signs{CR: true}}
	for want, docs := range map[string][]corpus.Document{
		"": {{Name: "a.txt"}},
		"b.txt: CR alone ends its lines; with newlines lf, LF does":                                  {{Name: "a.txt"}, cr},
		"b.txt and others, 3 documents in all: CR alone ends their lines; with newlines lf, LF does": {cr, cr, cr},
	} {
		var list []string
		if want != "" {
			list = []string{want}
		}
		if got := Hints(docs, ""); !slices.Equal(got, list) {
			t.Errorf("%q, want %q", got, want)
		}
		if got := Hints(docs, charset.LF); got != nil {
			t.Errorf("with LF: %q", got)
		}
	}
}
