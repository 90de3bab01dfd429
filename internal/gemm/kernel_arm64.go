package gemm

// The assembly in kernel_arm64.s. Strides are in bytes; see gen.go.

//go:noescape
func tileNEONx6x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tileNEONx4x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tileNEONx2x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

//go:noescape
func tileNEONx1x16(k int, a *float32, rowBytes, kBytes int, b, c *float32, cBytes, zero int)

func pause()
