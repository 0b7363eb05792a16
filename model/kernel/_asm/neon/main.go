// Command neon generates the assembly of package kernel for arm64.
//
//	go run ./neon -out ../neon_arm64.s -stubs ../neon_arm64.go
//
// Go's assembler knows few vector instructions in floating point, so they are written
// as words, with the instruction beside them (Arm Architecture Reference Manual for
// A-profile, section C7.2).
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
)

func main() {
	out := flag.String("out", "", "file of the assembly")
	stubs := flag.String("stubs", "", "file of the Go declarations")
	flag.Parse()
	f := &file{}
	f.constants()
	for r := 1; r <= tileRows; r++ {
		f.tile(r)
	}
	f.gruForward()
	f.gruBackward()
	f.lstmForward()
	f.lstmBackward()
	f.greatest()
	f.expSum()
	f.scaleBy()
	f.addTo()
	f.adam()
	f.sumSquares()
	f.dropout()
	f.peak()
	for name, text := range map[string]string{*out: f.assembly(), *stubs: f.declarations()} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			log.Fatal(fmt.Errorf("neon: %w", err))
		}
	}
}
