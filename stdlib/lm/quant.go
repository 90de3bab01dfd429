package lm

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The block formats below are ggml's (ggml-quants.c and ggml-common.h of https://github.com/ggml-org/ggml): each block
// holds a binary16 scale and small integers, K types a second level of scales within a block of 256.

// dequantizeQ8_0 reads a block {d binary16, q [32]int8}: d·q.
func dequantizeQ8_0(dst []float32, block []byte) {
	d := halfTable[binary.LittleEndian.Uint16(block)]
	q := block[2:34]
	dst = dst[:32]
	for i := range dst {
		dst[i] = d * float32(int8(q[i]))
	}
}

// dequantizeQ4_0 reads a block {d binary16, q [16]byte}: d·(nibble - 8), low nibbles first.
func dequantizeQ4_0(dst []float32, block []byte) {
	d := halfTable[binary.LittleEndian.Uint16(block)]
	q := block[2:18]
	dst = dst[:32]
	for i, b := range q {
		dst[i] = d * float32(int(b&15)-8)
		dst[i+16] = d * float32(int(b>>4)-8)
	}
}

// kScale unpacks the 6-bit scale and minimum number i (of 8) from the 12 bytes in which Q4_K and Q5_K pack them.
func kScale(packed []byte, i int) (scale, minimum float32) {
	if i < 4 {
		return float32(packed[i] & 63), float32(packed[i+4] & 63)
	}
	return float32(packed[i+4]&15 | packed[i-4]>>6<<4), float32(packed[i+4]>>4 | packed[i]>>6<<4)
}

// dequantizeQ4_K reads a block {d, dmin binary16, scales [12]byte, q [128]byte}: eight runs of 32, each
// d·scale·nibble - dmin·minimum.
func dequantizeQ4_K(dst []float32, block []byte) {
	d := halfTable[binary.LittleEndian.Uint16(block)]
	dmin := halfTable[binary.LittleEndian.Uint16(block[2:])]
	scales, q := block[4:16], block[16:144]
	for j := range 4 { // 64 values from 32 bytes
		s0, m0 := kScale(scales, 2*j)
		s1, m1 := kScale(scales, 2*j+1)
		d0, off0, d1, off1 := d*s0, dmin*m0, d*s1, dmin*m1
		out, in := dst[64*j:64*j+64], q[32*j:32*j+32]
		for i, b := range in {
			out[i] = d0*float32(b&15) - off0
			out[i+32] = d1*float32(b>>4) - off1
		}
	}
}

// dequantizeQ5_K reads a block {d, dmin binary16, scales [12]byte, high [32]byte, q [128]byte}: as Q4_K with a fifth bit
// per value, bit 2j and 2j+1 of high for the j-th 64 values.
func dequantizeQ5_K(dst []float32, block []byte) {
	d := halfTable[binary.LittleEndian.Uint16(block)]
	dmin := halfTable[binary.LittleEndian.Uint16(block[2:])]
	scales, high, q := block[4:16], block[16:48], block[48:176]
	for j := range 4 {
		s0, m0 := kScale(scales, 2*j)
		s1, m1 := kScale(scales, 2*j+1)
		d0, off0, d1, off1 := d*s0, dmin*m0, d*s1, dmin*m1
		out, in := dst[64*j:64*j+64], q[32*j:32*j+32]
		for i, b := range in {
			h := high[i] >> (2 * j)
			out[i] = d0*float32(b&15|h&1<<4) - off0
			out[i+32] = d1*float32(b>>4|h>>1&1<<4) - off1
		}
	}
}

// dequantizeQ6_K reads a block {low [128]byte, high [64]byte, scales [16]int8, d binary16}: runs of 16, each
// d·scale·(value - 32), the value's low four bits in low and its two high bits in high.
func dequantizeQ6_K(dst []float32, block []byte) {
	low, high, scales := block[:128], block[128:192], block[192:208]
	d := halfTable[binary.LittleEndian.Uint16(block[208:])]
	for half := range 2 { // 128 values
		out, l, h, s := dst[128*half:128*half+128], low[64*half:64*half+64], high[32*half:32*half+32], scales[8*half:8*half+8]
		for i := range 32 {
			k := i / 16
			out[i] = d * float32(int8(s[k])) * float32(int(l[i]&15|h[i]&3<<4)-32)
			out[i+32] = d * float32(int8(s[k+2])) * float32(int(l[i+32]&15|h[i]>>2&3<<4)-32)
			out[i+64] = d * float32(int8(s[k+4])) * float32(int(l[i]>>4|h[i]>>4&3<<4)-32)
			out[i+96] = d * float32(int8(s[k+6])) * float32(int(l[i+32]>>4|h[i]>>6&3<<4)-32)
		}
	}
}

// Quantize stores values as t: F32, F16, BF16 or Q8_0. Rows of columns values must be whole blocks.
func Quantize(values []float32, t Type, columns int) ([]byte, error) {
	switch t {
	case F32:
		out := make([]byte, 0, 4*len(values))
		for _, v := range values {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
		return out, nil
	case F16, BF16:
		convert := Half
		if t == BF16 {
			convert = BFloat
		}
		out := make([]byte, 0, 2*len(values))
		for _, v := range values {
			out = binary.LittleEndian.AppendUint16(out, convert(v))
		}
		return out, nil
	case Q8_0:
		if columns%32 != 0 || len(values)%32 != 0 {
			return nil, fmt.Errorf("rows of %d are not whole blocks of 32, as Q8_0 wants", columns)
		}
		out := make([]byte, 0, len(values)/32*34)
		for i := 0; i < len(values); i += 32 {
			out = quantizeQ8_0(out, values[i:i+32])
		}
		return out, nil
	}
	return nil, fmt.Errorf("writing %v is not supported (use F32, F16, BF16 or Q8_0; llama-quantize makes the others)", t)
}

// quantizeQ8_0 appends one block of 32 values: scale max|v|/127, values rounded half away from zero, as ggml does.
func quantizeQ8_0(out []byte, values []float32) []byte {
	var most float32
	for _, v := range values {
		most = max(most, float32(math.Abs(float64(v))))
	}
	d := most / 127
	var inverse float32
	if d != 0 {
		inverse = 1 / d
	}
	out = binary.LittleEndian.AppendUint16(out, Half(d))
	for _, v := range values {
		out = append(out, byte(int8(math.Round(float64(v*inverse)))))
	}
	return out
}
