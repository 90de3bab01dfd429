package gemm

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// tilePlain computes one row of a tile: width chains of fused multiply-adds.
func tilePlain(width, k int, a *float32, kBytes int, b, c *float32, zero int) {
	out := unsafe.Slice(c, width)
	if zero != 0 {
		clear(out)
	}
	panel := unsafe.Slice(b, k*width)
	for i := range k {
		x := *(*float32)(unsafe.Add(unsafe.Pointer(a), i*kBytes))
		for j, y := range panel[i*width : (i+1)*width] {
			out[j] = fma(x, y, out[j])
		}
	}
}

// fma returns x·y + z rounded once. The product is exact in float64; the sum is rounded to odd there, so that rounding
// it again to float32 gives what one rounding would (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums:
// proved algorithms using rounding to odd", 2008).
func fma(x, y, z float32) float32 {
	p, w := float64(float64(x)*float64(y)), float64(z)
	s := p + w
	if s-s != 0 {
		return float32(s)
	}
	// Knuth's two-sum: s + e is p + w without any error.
	v := s - p
	e := (p - (s - v)) + (w - v)
	if bits := math.Float64bits(s); e != 0 && bits&1 == 0 {
		if (e > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}

// exp is e to the x to about 1e-7 (the polynomial is that of Cephes' expf), for x from -87 to 88; beyond, it is the value
// at the nearer end. Every step is rounded on its own: the conversions keep the compiler from fusing them.
func exp(x float32) float32 {
	if x < -87 {
		x = -87
	}
	if x > 88 {
		x = 88
	}
	const magic = 12582912 // 1.5·2^23: adding it rounds to an integer, which then stands in the low bits
	t := float32(x*1.44269504) + magic
	n := t - magic
	x -= float32(n * 0.693359375)
	x -= float32(n * -2.12194440e-4)
	p := float32(1.9875691500e-4)
	p = float32(p*x) + 1.3981999507e-3
	p = float32(p*x) + 8.3334519073e-3
	p = float32(p*x) + 4.1665795894e-2
	p = float32(p*x) + 1.6666665459e-1
	p = float32(p*x) + 5.0000001201e-1
	p = float32(p * x)
	p = float32(p*x) + x
	p++
	return p * math.Float32frombits(math.Float32bits(t)<<23+0x3f800000)
}

func widenF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

// fromHalf converts IEEE 754 binary16.
func fromHalf(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exponent {
	case 0: // zero, or a subnormal: fraction · 2^-24
		return math.Float32frombits(math.Float32bits(float32(fraction)*(1.0/(1<<24))) | sign)
	case 31:
		if fraction != 0 {
			fraction |= 512 // processors make not-a-numbers quiet
		}
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}
