package gemm

// The assembly in kernel_amd64.s. Strides are in bytes; see gen.go.

//go:noescape
func tile512x12x32(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile512x12x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile512x8x32(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile512x8x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile512x4x32(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile512x4x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile512x2x32(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile512x2x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile512x1x32(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile512x1x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile256x6x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile256x4x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile256x2x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tile256x1x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func transpose512(dst *float32, dstBytes int, src *float32, srcBytes, blocks int)

//go:noescape
func transpose256(dst *float32, dstBytes int, src *float32, srcBytes, blocks int)

//go:noescape
func expSum512(dst, x *float32, blocks int, lanes *[16]float32, scale, shift float32)

//go:noescape
func maxLanes512(x *float32, blocks int, lanes *[16]float32)

//go:noescape
func dot512(a, b *float32, blocks int, lanes *[32]float32)

//go:noescape
func axpy512(y, x *float32, blocks int, a float32)

//go:noescape
func scaleMul512(dst, x, w *float32, blocks int, a float32)

//go:noescape
func siluMul512(dst, gate, up *float32, blocks int)

//go:noescape
func siluMulBack512(dgate, dup, ds, gate, up *float32, blocks int)

//go:noescape
func softmaxBack512(dp, p *float32, blocks int, d, scale float32)

//go:noescape
func expSum256(dst, x *float32, blocks int, lanes *[16]float32, scale, shift float32)

//go:noescape
func maxLanes256(x *float32, blocks int, lanes *[16]float32)

//go:noescape
func dot256(a, b *float32, blocks int, lanes *[32]float32)

//go:noescape
func axpy256(y, x *float32, blocks int, a float32)

//go:noescape
func scaleMul256(dst, x, w *float32, blocks int, a float32)

//go:noescape
func siluMul256(dst, gate, up *float32, blocks int)

//go:noescape
func siluMulBack256(dgate, dup, ds, gate, up *float32, blocks int)

//go:noescape
func softmaxBack256(dp, p *float32, blocks int, d, scale float32)

//go:noescape
func widenBF16(dst *float32, src *byte, blocks int)

//go:noescape
func widenF16(dst *float32, src *byte, blocks int)

//go:noescape
func widenQ8(dst *float32, src *byte, blocks int)

//go:noescape
func addRowsF32_512x4(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsF16_512x4(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsBF16_512x4(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsQ8_512x4(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsF32_512x1(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsF16_512x1(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsBF16_512x1(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsQ8_512x1(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addWeighted512(y, weights, rows *float32, rowBytes, n int)

//go:noescape
func addRowsF32_256x2(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsF16_256x2(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsBF16_256x2(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsQ8_256x2(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsF32_256x1(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsF16_256x1(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsBF16_256x1(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addRowsQ8_256x1(y, x *float32, w *byte, rowBytes, groups, blocks int)

//go:noescape
func addWeighted256(y, weights, rows *float32, rowBytes, n int)

func pause()
