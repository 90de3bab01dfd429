package gguf

import (
	"fmt"
	"math"
)

// Type is ggml's number for how a tensor's elements are stored.
type Type uint32

// The storage types that Banter reads.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q8_0 Type = 8
	Q4_K Type = 12
	Q5_K Type = 13
	Q6_K Type = 14
	BF16 Type = 30
)

// layouts gives, per storage type, how many elements share a block and how many bytes the block takes. Types that
// Banter does not compute with are here too, so that a file with one of them can be checked and named.
var layouts = map[Type]struct {
	name            string
	elements, bytes int
}{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2},
	Q4_0: {"Q4_0", 32, 18}, 3: {"Q4_1", 32, 20}, 6: {"Q5_0", 32, 22}, 7: {"Q5_1", 32, 24}, Q8_0: {"Q8_0", 32, 34}, 9: {"Q8_1", 32, 36},
	10: {"Q2_K", 256, 84}, 11: {"Q3_K", 256, 110}, Q4_K: {"Q4_K", 256, 144}, Q5_K: {"Q5_K", 256, 176}, Q6_K: {"Q6_K", 256, 210}, 15: {"Q8_K", 256, 292},
	24: {"I8", 1, 1}, 25: {"I16", 1, 2}, 26: {"I32", 1, 4}, 27: {"I64", 1, 8}, 28: {"F64", 1, 8},
}

func (t Type) String() string {
	if l, ok := layouts[t]; ok {
		return l.name
	}
	return fmt.Sprintf("ggml type %d", uint32(t))
}

// Size returns the bytes that a row-major array of this type and shape takes. Blocks run along the last dimension.
func Size(t Type, shape []int) (int, error) {
	l, ok := layouts[t]
	if !ok {
		return 0, fmt.Errorf("%v is not known (convert the model with llama-quantize to Q8_0 or Q4_K)", t)
	}
	n := l.bytes
	for i, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative dimension in shape %v", shape)
		}
		if i == len(shape)-1 {
			if d%l.elements != 0 {
				return 0, fmt.Errorf("rows of %d are not whole blocks of %d, as %v wants", d, l.elements, t)
			}
			d /= l.elements
		}
		if d != 0 && n > math.MaxInt/d {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n *= d
	}
	return n, nil
}
