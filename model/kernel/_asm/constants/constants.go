// Package constants lists the constants of kernel's math.go, which the assembly of every
// variant has in its tables.
package constants

import (
	"fmt"
	"math"
)

// Each calls add with the name and the bits of each constant.
func Each(add func(name string, bits uint32)) {
	float := func(name string, v float64) { add(name, math.Float32bits(float32(v))) }
	float("one", 1)
	float("minusTwo", -2)
	float("expMax", 88.375)
	float("expMin", -87)
	float("log2E", 1.44269504)
	float("ln2Hi", 0.693359375)
	float("ln2Lo", -2.12194440e-4)
	float("roundShift", 3<<22)
	for i, c := range []float64{0.49999994, 0.1666652, 0.041668393, 0.008368781, 0.0013814467} {
		float(fmt.Sprintf("exp%d", i), c)
	}
	for i, c := range []float64{-0.3333328, 0.13331373, -0.0537337, 0.020618634, -0.0056812926} {
		float(fmt.Sprintf("tanh%d", i), c)
	}
	float("tanhSplit", 0.625)
	add("oneBits", 0x3f800000)
	add("sign", 1<<31)
}
