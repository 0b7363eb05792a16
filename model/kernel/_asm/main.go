// Command _asm generates the assembly of package kernel, one file a variant.
//
//	go run . -variant avx512 -out ../avx512_amd64.s
//
// The command is a separate module, so that its dependency never reaches users.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	variant := flag.String("variant", "", "avx2 or avx512")
	flag.Parse() // reads avo's flags too, which Generate acts on
	ConstraintExpr("!purego")
	switch *variant {
	case "avx2":
		emit(&isa{name: "AVX2", lanes: 8, rows: 6})
	case "avx512":
		emit(&isa{name: "AVX512", lanes: 16, rows: 14})
	default:
		log.Fatalf("_asm: variant %q: use avx2 or avx512", *variant)
	}
	Generate()
}
