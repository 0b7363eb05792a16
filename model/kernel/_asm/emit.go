package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

const noSplit = attr.NOSPLIT

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
	x.greatest()
	x.expSum()
	x.scaleBy()
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
