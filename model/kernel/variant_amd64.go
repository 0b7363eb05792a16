//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// variants lists the variants that this processor has, the fastest last.
func variants() []*variant {
	list := []*variant{generic}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		list = append(list, avx2)
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL {
		if cpu.X86.HasAVX512BF16 {
			avx512.half = bf16
		}
		list = append(list, avx512)
	}
	return list
}

var avx2 = &variant{name: "avx2", rows: 6, cols: 16, lanes: 8,
	tile:       tiles([]tileFunc{tile1AVX2, tile2AVX2, tile3AVX2, tile4AVX2, tile5AVX2, tile6AVX2}, 16),
	gruForward: gruForwardAVX2, gruBackward: gruBackwardAVX2, lstmForward: lstmForwardAVX2, lstmBackward: lstmBackwardAVX2,
	greatest: greatestAVX2, expSum: expSumAVX2, scaleBy: scaleByAVX2,
	addTo: addToAVX2, adam: adamAVX2, sumSquares: sumSquaresAVX2, dropout: dropoutAVX2,
	peak: func() float64 { peakAVX2(peakLoops); return peakLoops * 12 * 8 * 2 }}

var avx512 = &variant{name: "avx512", rows: 14, cols: 32, lanes: 16,
	tile: tiles([]tileFunc{tile1AVX512, tile2AVX512, tile3AVX512, tile4AVX512, tile5AVX512, tile6AVX512, tile7AVX512,
		tile8AVX512, tile9AVX512, tile10AVX512, tile11AVX512, tile12AVX512, tile13AVX512, tile14AVX512}, 32),
	gruForward: gruForwardAVX512, gruBackward: gruBackwardAVX512, lstmForward: lstmForwardAVX512, lstmBackward: lstmBackwardAVX512,
	greatest: greatestAVX512, expSum: expSumAVX512, scaleBy: scaleByAVX512,
	addTo: addToAVX512, adam: adamAVX512, sumSquares: sumSquaresAVX512, dropout: dropoutAVX512, copyRows: copyRowsAVX512,
	peak: func() float64 { peakAVX512(peakLoops); return peakLoops * 12 * 16 * 2 }}

var bf16 = &halfVariant{
	tile: tiles([]tileFunc{tileBF16x1AVX512, tileBF16x2AVX512, tileBF16x3AVX512, tileBF16x4AVX512, tileBF16x5AVX512, tileBF16x6AVX512,
		tileBF16x7AVX512, tileBF16x8AVX512, tileBF16x9AVX512, tileBF16x10AVX512, tileBF16x11AVX512, tileBF16x12AVX512, tileBF16x13AVX512, tileBF16x14AVX512}, 32),
	toBF16: toBF16AVX512, pairBF16: pairBF16AVX512,
	peak: func() float64 { peakBF16AVX512(peakLoops); return peakLoops * 12 * 32 * 2 }}
