package lm

import (
	"encoding/binary"
	"fmt"
	"math"

	"banter/stdlib/lm/safetensors"
)

// blockLayout returns how many elements share a stored block of a type, and the block's bytes.
func (t Type) blockLayout() (elements, bytes int) {
	switch t {
	case F32:
		return 1, 4
	case F16, BF16:
		return 1, 2
	case Q8_0:
		return 32, 34
	case Q4_0:
		return 32, 18
	case Q4_K:
		return 256, 144
	case Q5_K:
		return 256, 176
	case Q6_K:
		return 256, 210
	}
	panic(fmt.Sprintf("lm: type %d has no layout", t))
}

func (t Type) String() string {
	return [...]string{"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K"}[t]
}

// Rows returns the number of rows: the product of all dimensions but the last.
func (t Tensor) Rows() int {
	n := 1
	for _, d := range t.Shape[:max(0, len(t.Shape)-1)] {
		n *= d
	}
	return n
}

// Columns returns the length of a row.
func (t Tensor) Columns() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[len(t.Shape)-1]
}

// RowBytes returns the stored bytes of one row.
func (t Tensor) RowBytes() int {
	elements, bytes := t.Type.blockLayout()
	return t.Columns() / elements * bytes
}

// Dequantize writes rows from up to (not including) to of t into dst as float32. It panics when the range is not in the
// tensor or dst is too short, as indexing does.
func Dequantize(dst []float32, t Tensor, from, to int) {
	columns, rowBytes := t.Columns(), t.RowBytes()
	src := t.Data[from*rowBytes : to*rowBytes]
	dst = dst[:(to-from)*columns]
	switch t.Type {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = halfTable[binary.LittleEndian.Uint16(src[2*i:])]
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case Q8_0:
		for i := 0; i < len(dst); i, src = i+32, src[34:] {
			dequantizeQ8_0(dst[i:i+32], src)
		}
	case Q4_0:
		for i := 0; i < len(dst); i, src = i+32, src[18:] {
			dequantizeQ4_0(dst[i:i+32], src)
		}
	case Q4_K:
		for i := 0; i < len(dst); i, src = i+256, src[144:] {
			dequantizeQ4_K(dst[i:i+256], src)
		}
	case Q5_K:
		for i := 0; i < len(dst); i, src = i+256, src[176:] {
			dequantizeQ5_K(dst[i:i+256], src)
		}
	case Q6_K:
		for i := 0; i < len(dst); i, src = i+256, src[210:] {
			dequantizeQ6_K(dst[i:i+256], src)
		}
	}
}

// Float32 returns the whole tensor as float32.
func (t Tensor) Float32() []float32 {
	dst := make([]float32, t.Rows()*t.Columns())
	Dequantize(dst, t, 0, t.Rows())
	return dst
}

// SafetensorsFloat32 returns a safetensors tensor of a floating type as float32.
func SafetensorsFloat32(t safetensors.Tensor) ([]float32, error) {
	kind, ok := safetensorsType(t.DType)
	if !ok {
		return nil, fmt.Errorf("tensor %q holds %s, not F32, F16 or BF16", t.Name, t.DType)
	}
	return Tensor{Name: t.Name, Type: kind, Shape: t.Shape, Data: t.Data}.Float32(), nil
}

func safetensorsType(dtype string) (Type, bool) {
	switch dtype {
	case "F32":
		return F32, true
	case "F16":
		return F16, true
	case "BF16":
		return BF16, true
	}
	return 0, false
}

// halfTable maps every IEEE 754 binary16 to its float32: one look-up is quicker than the bit work, and 256 KiB is small
// beside any model.
var halfTable = func() *[1 << 16]float32 {
	var table [1 << 16]float32
	for i := range table {
		table[i] = halfToFloat(uint16(i))
	}
	return &table
}()

// halfToFloat converts IEEE 754 binary16.
func halfToFloat(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exponent {
	case 0: // zero, or a subnormal: fraction · 2^-24
		v := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// Half converts to IEEE 754 binary16, to the nearest, ties to even.
func Half(f float32) uint16 {
	bits := math.Float32bits(f)
	sign, exponent, fraction := uint16(bits>>16)&0x8000, int(bits>>23)&255, bits&0x7fffff
	switch {
	case exponent == 255 && fraction != 0:
		return sign | 0x7e00 | uint16(fraction>>13)
	case exponent-127 > 15:
		return sign | 0x7c00
	case exponent-127 >= -14:
		// A carry out of the fraction goes into the exponent, up to infinity, as it should.
		h := uint32(exponent-112)<<10 | fraction>>13
		return sign | uint16(h+roundUp(fraction&0x1fff, 0x1000, h))
	case exponent-127 >= -25:
		fraction |= 0x800000
		shift := uint(126 - exponent) // the result counts units of 2^-24
		h := fraction >> shift
		return sign | uint16(h+roundUp(fraction&(1<<shift-1), 1<<(shift-1), h))
	}
	return sign
}

// roundUp returns 1 when rest, cut off below value, is more than half or ties with value odd.
func roundUp(rest, half, value uint32) uint32 {
	if rest > half || rest == half && value&1 == 1 {
		return 1
	}
	return 0
}

// BFloat converts to bfloat16, to the nearest, ties to even.
func BFloat(f float32) uint16 {
	bits := math.Float32bits(f)
	if f != f {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
