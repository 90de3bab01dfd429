package gemm

// neon is in every arm64 processor.
var neon = &ISA{Name: "neon", width: 16, rows: []int{6, 4, 2, 1}}

func native() []*ISA { return []*ISA{neon} }

func (isa *ISA) tile(rows, width, k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int) {
	if isa != neon {
		tilePlain(width, k, a, kBytes, b, c, zero)
		return
	}
	switch rows {
	case 6:
		tileNEONx6x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
	case 4:
		tileNEONx4x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
	case 2:
		tileNEONx2x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
	case 1:
		tileNEONx1x16(k, a, rowBytes, kBytes, b, c, cBytes, zero)
	}
}
