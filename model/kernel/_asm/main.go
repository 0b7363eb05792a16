// Command _asm generates the assembly of package kernel, one file a variant.
//
//	go run . -variant avx512 -out ../kernel_avx512_amd64.s
//
// It is a module of its own, so that its dependency never reaches users.
package main

import (
	"flag"
	"log"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

const noSplit = attr.NOSPLIT

func main() {
	variant := flag.String("variant", "", "avx2 or avx512")
	flag.Parse() // sees avo's own flags too, which Generate acts on
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

// emit generates all kernels of a variant.
func emit(x *isa) {
	x.constants()
	x.hashConstants()
	multiplyAdd := func(b, a, acc reg.VecPhysical) { VFMADD231PS(b, a, acc) }
	for r := 1; r <= x.rows; r++ {
		x.tile(r, "tile", multiplyAdd)
	}
	x.gruForward()
	x.gruBackward()
	x.lstmForward()
	x.lstmBackward()
	x.expSub()
	x.addTo()
	x.adam()
	x.sumSquares()
	x.dropout()
	x.peak("peak", "fused multiply-adds", multiplyAdd)
	if x.lanes < 16 {
		return
	}
	for r := 1; r <= x.rows; r++ {
		x.tile(r, "tileBF16x", dotBF16)
	}
	x.copyRows()
	x.toBF16()
	x.pairBF16()
	x.peak("peakBF16", "products of pairs", dotBF16)
}
