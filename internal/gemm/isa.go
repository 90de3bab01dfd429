package gemm

// ISA is one way to compute: an instruction set with its tile.
type ISA struct {
	Name     string
	width    int // columns of a panel
	half     int // columns of a narrow last panel; 0: none
	rows     []int
	turnSize int // rows and columns that the transposing kernel takes at a time; 0: there is none
	vector   int // bits of a vector register that the vector functions use; 0: plain Go

	// For products with a single vector; nil or 0: plain Go.
	addRows     [Blocks][2]rowsKernel
	groupRows   int // rows that the first of each two takes at a time
	addWeighted func(y, weights, rows *float32, rowBytes, n int)
}

// rowsKernel adds to y the dot products of x with rows of w: `groups` times as many as it takes at a time, of `blocks`
// times 32 numbers.
type rowsKernel func(y, x *float32, w *byte, rowBytes, groups, blocks int)

// plain is the fall-back in Go. It gives the bits of the others, slowly.
var plain = &ISA{Name: "go", width: 16, rows: []int{1}}

// Best returns the best instruction set of this processor.
func Best() *ISA { return Available()[0] }

// Available returns the instruction sets that this processor has, the best first. The last is always plain Go.
func Available() []*ISA { return append(native(), plain) }

// panelWidth returns how wide the panel for some columns is.
func (isa *ISA) panelWidth(columns int) int {
	if columns <= isa.half {
		return isa.half
	}
	return isa.width
}

// tileRows returns how many of the rows that are left the next tile takes.
func (isa *ISA) tileRows(left int) int {
	for _, r := range isa.rows {
		if r <= left {
			return r
		}
	}
	panic("gemm: no tile for so few rows")
}
