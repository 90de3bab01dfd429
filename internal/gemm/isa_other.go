//go:build !amd64 && !arm64

package gemm

func native() []*ISA { return nil }

func (isa *ISA) tile(rows, width, k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int) {
	tilePlain(width, k, a, kBytes, b, c, zero)
}

func pause() {}
