//go:build !purego

package kernel

// variants lists the variants of every arm64 processor, the fastest last.
func variants() []*variant { return []*variant{generic, neon} }

var neon = &variant{name: "neon", rows: 6, cols: 16, lanes: 4,
	tile:       tiles([]tileFunc{tile1NEON, tile2NEON, tile3NEON, tile4NEON, tile5NEON, tile6NEON}, 16),
	gruForward: gruForwardNEON, gruBackward: gruBackwardNEON, lstmForward: lstmForwardNEON, lstmBackward: lstmBackwardNEON,
	greatest: greatestNEON, expSum: expSumNEON, scaleBy: scaleByNEON,
	addTo: addToNEON, adam: adamNEON, sumSquares: sumSquaresNEON, dropout: dropoutNEON,
	peak: func() float64 { peakNEON(peakLoops); return peakLoops * 24 * 4 * 2 }}
