package gemm

import (
	"encoding/binary"
	"math"
)

// sum adds up lanes in a fixed order.
func sum(lanes []float32) float32 {
	for w := len(lanes) / 2; w > 0; w /= 2 {
		for i := range w {
			lanes[i] += lanes[i+w]
		}
	}
	return lanes[0]
}

// body returns how many of n numbers the assembly takes, in blocks of the given size.
func (isa *ISA) body(n, block int) int {
	if isa.vector == 0 {
		return 0
	}
	return n / block * block
}

// ExpSum sets dst to exp(scale·x - shift) and returns its sum.
func (isa *ISA) ExpSum(dst, x []float32, scale, shift float32) float32 {
	dst = dst[:len(x)]
	var lanes [16]float32
	n := isa.body(len(x), 16)
	if n > 0 {
		isa.expSum(&dst[0], &x[0], n/16, &lanes, scale, shift)
	}
	for i := n; i < len(x); i++ {
		dst[i] = exp(float32(x[i]*scale) - shift)
		lanes[i&15] += dst[i]
	}
	return sum(lanes[:])
}

// Max returns the greatest of x; of none, minus infinity.
func (isa *ISA) Max(x []float32) float32 {
	most := float32(math.Inf(-1))
	n := isa.body(len(x), 16)
	if n > 0 {
		var lanes [16]float32
		for i := range lanes {
			lanes[i] = most
		}
		isa.maxLanes(&x[0], n/16, &lanes)
		for _, v := range lanes {
			if v > most {
				most = v
			}
		}
	}
	for _, v := range x[n:] {
		if v > most {
			most = v
		}
	}
	return most
}

// Dot returns the sum of a·b.
func (isa *ISA) Dot(a, b []float32) float32 {
	var lanes [32]float32
	isa.dotLanes(&lanes, a, b)
	return sum(lanes[:])
}

// dotLanes adds the product of a and b at i to lane i mod 32.
func (isa *ISA) dotLanes(lanes *[32]float32, a, b []float32) {
	b = b[:len(a)]
	n := isa.body(len(a), 32)
	if n > 0 {
		isa.dot(&a[0], &b[0], n/32, lanes)
	}
	for i := n; i < len(a); i++ {
		lanes[i&31] += float32(a[i] * b[i])
	}
}

// Axpy adds a·x to y.
func (isa *ISA) Axpy(y []float32, a float32, x []float32) {
	y = y[:len(x)]
	n := isa.body(len(x), 16)
	if n > 0 {
		isa.axpy(&y[0], &x[0], n/16, a)
	}
	for i := n; i < len(x); i++ {
		y[i] += float32(a * x[i])
	}
}

// ScaleMul sets dst to a·x·w, element by element.
func (isa *ISA) ScaleMul(dst []float32, a float32, x, w []float32) {
	dst, w = dst[:len(x)], w[:len(x)]
	n := isa.body(len(x), 16)
	if n > 0 {
		isa.scaleMul(&dst[0], &x[0], &w[0], n/16, a)
	}
	for i := n; i < len(x); i++ {
		dst[i] = float32(x[i]*a) * w[i]
	}
}

// SiluMul sets dst to silu(g)·u, the gate of SwiGLU (arXiv:2002.05202).
func (isa *ISA) SiluMul(dst, g, u []float32) {
	dst, u = dst[:len(g)], u[:len(g)]
	n := isa.body(len(g), 16)
	if n > 0 {
		isa.siluMul(&dst[0], &g[0], &u[0], n/16)
	}
	for i := n; i < len(g); i++ {
		dst[i] = float32(g[i]*(1/(exp(-g[i])+1))) * u[i]
	}
}

// SiluMulBack is the derivative of [ISA.SiluMul]: from ds = dL/d(silu(g)·u) it sets dg and du. They may be the same
// memory as g and u.
func (isa *ISA) SiluMulBack(dg, du, ds, g, u []float32) {
	dg, du, ds, u = dg[:len(g)], du[:len(g)], ds[:len(g)], u[:len(g)]
	n := isa.body(len(g), 16)
	if n > 0 {
		isa.siluMulBack(&dg[0], &du[0], &ds[0], &g[0], &u[0], n/16)
	}
	for i := n; i < len(g); i++ {
		sigmoid := 1 / (exp(-g[i]) + 1)
		silu := float32(g[i] * sigmoid)
		slope := float32(silu*(1-sigmoid)) + sigmoid
		d := ds[i]
		du[i], dg[i] = d*silu, float32(d*u[i])*slope
	}
}

// SoftmaxBack is the derivative of softmax(scale·x): dp = dL/dp becomes p·(dp - d)·scale, where d is the sum of p·dp.
func (isa *ISA) SoftmaxBack(dp, p []float32, d, scale float32) {
	dp = dp[:len(p)]
	n := isa.body(len(p), 16)
	if n > 0 {
		isa.softmaxBack(&dp[0], &p[0], n/16, d, scale)
	}
	for i := n; i < len(p); i++ {
		dp[i] = float32((dp[i]-d)*p[i]) * scale
	}
}

// WidenBF16 reads bfloat16 numbers.
func (isa *ISA) WidenBF16(dst []float32, src []byte) {
	src = src[:2*len(dst)]
	n := isa.body(len(dst), 32)
	if n > 0 {
		isa.widenBF16(&dst[0], &src[0], n/32)
	}
	for i := n; i < len(dst); i++ {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

// WidenF16 reads IEEE 754 binary16 numbers.
func (isa *ISA) WidenF16(dst []float32, src []byte) {
	src = src[:2*len(dst)]
	n := isa.body(len(dst), 32)
	if n > 0 {
		isa.widenF16(&dst[0], &src[0], n/32)
	}
	for i := n; i < len(dst); i++ {
		dst[i] = fromHalf(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

// WidenQ8 reads whole blocks of ggml's Q8_0: a binary16 scale and 32 signed bytes.
func (isa *ISA) WidenQ8(dst []float32, src []byte) {
	src = src[:len(dst)/32*34]
	if isa.vector != 0 && len(dst) >= 32 {
		isa.widenQ8(&dst[0], &src[0], len(dst)/32)
		return
	}
	for ; len(dst) >= 32; dst, src = dst[32:], src[34:] {
		scale := fromHalf(binary.LittleEndian.Uint16(src))
		for i, q := range src[2:34] {
			dst[i] = float32(int8(q)) * scale
		}
	}
}
