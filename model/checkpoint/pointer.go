package checkpoint

import (
	"fmt"
	"strings"
)

// PointerFormat is the format of a pointer as an object of its own.
const PointerFormat = "quire-pointer/1"

// A Pointer names a checkpoint's file and its digest, so that a reader knows
// whether it has that very file. It is the content of a run's latest.json and
// best.json.
type Pointer struct {
	Format string   `json:"format"`
	Name   string   `json:"name"` // below the run's directory
	Bytes  int64    `json:"bytes"`
	SHA256 string   `json:"sha256"`
	Step   int64    `json:"step"`
	Loss   *float64 `json:"loss"` // validation loss in nats a character, null before it is known
}

// Check refuses a pointer whose fields contradict each other, or that Save cannot
// have returned.
func (p Pointer) Check() error {
	switch {
	case p.Format != PointerFormat:
		return fmt.Errorf("format is %q, want %q", p.Format, PointerFormat)
	case p.Step < 0:
		return fmt.Errorf("step is %d, want 0 or more", p.Step)
	case p.Name != Path(p.Step):
		return fmt.Errorf("name is %q, want %q for step %d", p.Name, Path(p.Step), p.Step)
	case p.Bytes < 1:
		return fmt.Errorf("bytes is %d, want 1 or more", p.Bytes)
	case len(p.SHA256) != hexBytes || strings.Trim(p.SHA256, "0123456789abcdef") != "":
		return fmt.Errorf("sha256 is %q, want %d hex digits", p.SHA256, hexBytes)
	}
	return nil
}
