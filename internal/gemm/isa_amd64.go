package gemm

import "golang.org/x/sys/cpu"

var (
	avx512 = &ISA{Name: "avx512", width: 32, half: 16, rows: []int{12, 8, 4, 2, 1}, turnSize: 16, vector: 512,
		addRows: [Blocks][2]rowsKernel{
			F32:  {addRowsF32_512x4, addRowsF32_512x1},
			F16:  {addRowsF16_512x4, addRowsF16_512x1},
			BF16: {addRowsBF16_512x4, addRowsBF16_512x1},
			Q8_0: {addRowsQ8_512x4, addRowsQ8_512x1},
		}, groupRows: 4, addWeighted: addWeighted512}
	avx2 = &ISA{Name: "avx2", width: 16, rows: []int{6, 4, 2, 1}, turnSize: 8, vector: 256,
		addRows: [Blocks][2]rowsKernel{
			F32:  {addRowsF32_256x2, addRowsF32_256x1},
			F16:  {addRowsF16_256x2, addRowsF16_256x1},
			BF16: {addRowsBF16_256x2, addRowsBF16_256x1},
			Q8_0: {addRowsQ8_256x2, addRowsQ8_256x1},
		}, groupRows: 2, addWeighted: addWeighted256}
)

func native() []*ISA {
	var sets []*ISA
	x := cpu.X86
	// Every processor with AVX2 and FMA has F16C, which the conversions use.
	old := x.HasAVX2 && x.HasFMA
	if old && x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512VL {
		sets = append(sets, avx512)
	}
	if old {
		sets = append(sets, avx2)
	}
	return sets
}

func (isa *ISA) tile(rows, width, k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int) {
	switch isa.vector {
	case 512:
		if width == 32 {
			switch rows {
			case 12:
				tile512x12x32(k, a, rowBytes, kBytes, b, c, cBytes, zero)
			case 8:
				tile512x8x32(k, a, rowBytes, kBytes, b, c, cBytes, zero)
			case 4:
				tile512x4x32(k, a, rowBytes, kBytes, b, c, cBytes, zero)
			case 2:
				tile512x2x32(k, a, rowBytes, kBytes, b, c, cBytes, zero)
			case 1:
				tile512x1x32(k, a, rowBytes, kBytes, b, c, cBytes, zero)
			}
			return
		}
		switch rows {
		case 12:
			tile512x12x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
		case 8:
			tile512x8x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
		case 4:
			tile512x4x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
		case 2:
			tile512x2x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
		case 1:
			tile512x1x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
		}
	case 256:
		switch rows {
		case 6:
			tile256x6x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
		case 4:
			tile256x4x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
		case 2:
			tile256x2x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
		case 1:
			tile256x1x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
		}
	default:
		tilePlain(width, k, a, kBytes, b, c, zero)
	}
}

func (isa *ISA) transpose(dst *float32, dstBytes int, src *float32, srcBytes, blocks int) {
	if isa.vector == 512 {
		transpose512(dst, dstBytes, src, srcBytes, blocks)
	} else {
		transpose256(dst, dstBytes, src, srcBytes, blocks)
	}
}

func (isa *ISA) expSum(dst, x *float32, blocks int, lanes *[16]float32, scale, shift float32) {
	if isa.vector == 512 {
		expSum512(dst, x, blocks, lanes, scale, shift)
	} else {
		expSum256(dst, x, blocks, lanes, scale, shift)
	}
}

func (isa *ISA) maxLanes(x *float32, blocks int, lanes *[16]float32) {
	if isa.vector == 512 {
		maxLanes512(x, blocks, lanes)
	} else {
		maxLanes256(x, blocks, lanes)
	}
}

func (isa *ISA) dot(a, b *float32, blocks int, lanes *[32]float32) {
	if isa.vector == 512 {
		dot512(a, b, blocks, lanes)
	} else {
		dot256(a, b, blocks, lanes)
	}
}

func (isa *ISA) axpy(y, x *float32, blocks int, a float32) {
	if isa.vector == 512 {
		axpy512(y, x, blocks, a)
	} else {
		axpy256(y, x, blocks, a)
	}
}

func (isa *ISA) scaleMul(dst, x, w *float32, blocks int, a float32) {
	if isa.vector == 512 {
		scaleMul512(dst, x, w, blocks, a)
	} else {
		scaleMul256(dst, x, w, blocks, a)
	}
}

func (isa *ISA) siluMul(dst, g, u *float32, blocks int) {
	if isa.vector == 512 {
		siluMul512(dst, g, u, blocks)
	} else {
		siluMul256(dst, g, u, blocks)
	}
}

func (isa *ISA) siluMulBack(dg, du, ds, g, u *float32, blocks int) {
	if isa.vector == 512 {
		siluMulBack512(dg, du, ds, g, u, blocks)
	} else {
		siluMulBack256(dg, du, ds, g, u, blocks)
	}
}

func (isa *ISA) softmaxBack(dp, p *float32, blocks int, d, scale float32) {
	if isa.vector == 512 {
		softmaxBack512(dp, p, blocks, d, scale)
	} else {
		softmaxBack256(dp, p, blocks, d, scale)
	}
}

func (isa *ISA) widenBF16(dst *float32, src *byte, blocks int) { widenBF16(dst, src, blocks) }
func (isa *ISA) widenF16(dst *float32, src *byte, blocks int)  { widenF16(dst, src, blocks) }
func (isa *ISA) widenQ8(dst *float32, src *byte, blocks int)   { widenQ8(dst, src, blocks) }
