package kernel

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestWords: the words of neon_arm64.s are the instructions beside them, as an assembler
// encodes these.
func TestWords(t *testing.T) {
	clang, err := exec.LookPath("clang-16")
	if err != nil {
		t.Skip("clang-16, which encodes the instructions, is not there")
	}
	text, err := os.ReadFile("neon_arm64.s")
	if err != nil {
		t.Fatal(err)
	}
	var words []uint32
	var source bytes.Buffer
	for _, m := range regexp.MustCompile(`WORD \$(0x[0-9a-f]{8}) // (.*)`).FindAllSubmatch(text, -1) {
		w, err := strconv.ParseUint(string(m[1]), 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, uint32(w))
		source.Write(m[2])
		source.WriteByte('\n')
	}
	if n := bytes.Count(text, []byte("WORD")); n != len(words) || n < 800 {
		t.Fatalf("%d words, of which %d have an instruction beside them", n, len(words))
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.s"), filepath.Join(dir, "out.o")
	if err := os.WriteFile(in, source.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command(clang, "--target=aarch64-linux-gnu", "-c", in, "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	object, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 0, 4*len(words))
	for _, w := range words {
		want = binary.LittleEndian.AppendUint32(want, w)
	}
	if !bytes.Contains(object, want) {
		t.Errorf("the %d words are not those of %s", len(words), clang)
	}
}

// TestInnerLoop: at least 60 % of the instructions of the largest tile's loop multiply.
func TestInnerLoop(t *testing.T) {
	text, err := os.ReadFile("neon_arm64.s")
	if err != nil {
		t.Fatal(err)
	}
	_, tile, _ := bytes.Cut(text, []byte("TEXT ·tile6NEON"))
	_, loop, _ := bytes.Cut(tile, []byte("loop:\n"))
	loop, _, ok := bytes.Cut(loop, []byte("BNE loop\n"))
	if !ok {
		t.Fatal("tile6NEON has no loop")
	}
	multiply, all := bytes.Count(loop, []byte("// fmla")), bytes.Count(loop, []byte("\n"))+1
	t.Logf("%d of %d instructions multiply: %.0f %%", multiply, all, 100*float64(multiply)/float64(all))
	if multiply != 24 || 10*multiply < 6*all {
		t.Errorf("%d of %d instructions are fmla", multiply, all)
	}
}
