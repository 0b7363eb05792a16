package checkpoint

import (
	"strings"
	"testing"
)

// TestPointerCheck: what Save cannot have returned is refused, one field at a time.
func TestPointerCheck(t *testing.T) {
	whole := Pointer{Format: PointerFormat, Name: Path(7), Bytes: 1, SHA256: strings.Repeat("0a", 32), Step: 7}
	if err := whole.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(p *Pointer){
		"format is ":    func(p *Pointer) { p.Format = "quire-pointer/2" },
		"step is -7":    func(p *Pointer) { p.Step = -7 },
		"name is ":      func(p *Pointer) { p.Name = Path(8) },
		"bytes is 0":    func(p *Pointer) { p.Bytes = 0 },
		"sha256 is ":    func(p *Pointer) { p.SHA256 = strings.Repeat("0A", 32) },
		`sha256 is "a0`: func(p *Pointer) { p.SHA256 = p.SHA256[1:] + "z" },
	} {
		p := whole
		if change(&p); p.Check() == nil {
			t.Errorf("%s: not refused", want)
		} else if err := p.Check(); !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
