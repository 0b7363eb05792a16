package checkpoint

import (
	"fmt"
	"strings"
)

// PointerFormat is the format of a pointer's file.
const PointerFormat = "quire-pointer/1"

// A Pointer names a checkpoint's file and the digest of the file, so that a reader
// can tell it from another file of that name. A run's latest.json and best.json
// hold a Pointer each.
type Pointer struct {
	Format string   `json:"format"`
	Name   string   `json:"name"` // below the run's directory
	Bytes  int64    `json:"bytes"`
	SHA256 string   `json:"sha256"`
	Step   int64    `json:"step"`
	Loss   *float64 `json:"loss"` // validation loss in nats a character; null while unknown
}

// Check refuses a pointer that Save cannot have returned.
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
