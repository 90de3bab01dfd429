//go:build !amd64

package gemm

// Only amd64 has vector functions in assembly; elsewhere ISA.vector and ISA.turnSize are 0 and none of these is reached.
const noVectors = "gemm: no vector functions for this processor"

func (isa *ISA) expSum(dst, x *float32, blocks int, lanes *[16]float32, scale, shift float32) {
	panic(noVectors)
}
func (isa *ISA) maxLanes(x *float32, blocks int, lanes *[16]float32)      { panic(noVectors) }
func (isa *ISA) dot(a, b *float32, blocks int, lanes *[32]float32)        { panic(noVectors) }
func (isa *ISA) axpy(y, x *float32, blocks int, a float32)                { panic(noVectors) }
func (isa *ISA) scaleMul(dst, x, w *float32, blocks int, a float32)       { panic(noVectors) }
func (isa *ISA) siluMul(dst, g, u *float32, blocks int)                   { panic(noVectors) }
func (isa *ISA) siluMulBack(dg, du, ds, g, u *float32, blocks int)        { panic(noVectors) }
func (isa *ISA) softmaxBack(dp, p *float32, blocks int, d, scale float32) { panic(noVectors) }
func (isa *ISA) widenBF16(dst *float32, src *byte, blocks int)            { panic(noVectors) }
func (isa *ISA) widenF16(dst *float32, src *byte, blocks int)             { panic(noVectors) }
func (isa *ISA) widenQ8(dst *float32, src *byte, blocks int)              { panic(noVectors) }
func (isa *ISA) transpose(dst *float32, dstBytes int, src *float32, srcBytes, blocks int) {
	panic(noVectors)
}
