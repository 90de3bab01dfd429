package lm

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"
)

// golden reads a file that testdata/golden.py made.
func golden(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func bytesOf(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func floatsOf(t *testing.T, s string) []float32 {
	b := bytesOf(t, s)
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

type quantGolden struct {
	Read  []struct{ Type, Blocks, Values string }
	Write struct {
		Input, Half, Bfloat string
		Q8Input             string `json:"q8_input"`
		Q8                  string `json:"q8_0"`
	}
}

func TestDequantizeAgainstGGUFPy(t *testing.T) {
	var g quantGolden
	golden(t, "quant.json", &g)
	types := map[string]Type{"Q8_0": Q8_0, "Q4_0": Q4_0, "Q4_K": Q4_K, "Q5_K": Q5_K, "Q6_K": Q6_K}
	if len(g.Read) != len(types) {
		t.Fatalf("%d types in quant.json, want %d", len(g.Read), len(types))
	}
	for _, r := range g.Read {
		t.Run(r.Type, func(t *testing.T) {
			want := floatsOf(t, r.Values)
			tensor := Tensor{Type: types[r.Type], Shape: []int{len(want) / 256, 256}, Data: bytesOf(t, r.Blocks)}
			got := tensor.Float32()
			for i := range want {
				// The order in which scale, sub-scale and value are multiplied may differ by a rounding.
				if d := math.Abs(float64(got[i] - want[i])); d > 1e-6*math.Abs(float64(want[i]))+1e-7 {
					t.Fatalf("value %d is %v, want %v", i, got[i], want[i])
				}
			}
			row := make([]float32, 256)
			Dequantize(row, tensor, 1, 2)
			for i := range row {
				if row[i] != got[256+i] {
					t.Fatalf("row 1 alone differs at %d", i)
				}
			}
		})
	}
}

func TestWriteAgainstNumpyAndGGUFPy(t *testing.T) {
	var g quantGolden
	golden(t, "quant.json", &g)
	input := floatsOf(t, g.Write.Input)
	for _, c := range []struct {
		kind  Type
		input []float32
		want  []byte
	}{
		{F16, input, bytesOf(t, g.Write.Half)}, {BF16, input, bytesOf(t, g.Write.Bfloat)}, {Q8_0, floatsOf(t, g.Write.Q8Input), bytesOf(t, g.Write.Q8)},
	} {
		got, err := Quantize(c.input, c.kind, 256)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(c.want) {
			t.Fatalf("%v: %d bytes, want %d", c.kind, len(got), len(c.want))
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Fatalf("%v: byte %d is %#x, want %#x", c.kind, i, got[i], c.want[i])
			}
		}
	}
	if _, err := Quantize(input[:40], Q8_0, 40); err == nil {
		t.Error("Q8_0 took rows that are not whole blocks")
	}
	if _, err := Quantize(input, Q4_K, 256); err == nil {
		t.Error("Q4_K was written")
	}
}

func TestHalfRoundTrip(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		f := halfToFloat(h)
		if f != f {
			if b := Half(f); b&0x7c00 != 0x7c00 || b&0x3ff == 0 {
				t.Fatalf("NaN %#x comes back as %#x", h, b)
			}
			continue
		}
		if b := Half(f); b != h {
			t.Fatalf("%#x is %v, which comes back as %#x", h, f, b)
		}
	}
	if b := BFloat(float32(math.NaN())); b&0x7f80 != 0x7f80 || b&0x7f == 0 {
		t.Errorf("BFloat(NaN) is %#x", b)
	}
}

func TestRotaryFrequenciesAgainstTransformers(t *testing.T) {
	var cases []struct {
		Config      json.RawMessage
		Length      int
		Frequencies []float64
		Amplitude   float64
	}
	golden(t, "rope.json", &cases)
	for _, c := range cases {
		config, err := ParseConfig(c.Config)
		if err != nil {
			t.Fatalf("%s: %v", c.Config, err)
		}
		got, amplitude := config.RotaryFrequencies(c.Length)
		if math.Abs(amplitude-c.Amplitude) > 1e-6 {
			t.Errorf("%s: amplitude %v, want %v", c.Config, amplitude, c.Amplitude)
		}
		if len(got) != len(c.Frequencies) {
			t.Fatalf("%s: %d frequencies, want %d", c.Config, len(got), len(c.Frequencies))
		}
		for i := range got {
			if math.Abs(got[i]-c.Frequencies[i]) > 2e-6*c.Frequencies[i] { // theirs are float32
				t.Errorf("%s: frequency %d is %v, want %v", c.Config, i, got[i], c.Frequencies[i])
			}
		}
	}
}

func BenchmarkDequantize(b *testing.B) {
	for _, kind := range []Type{F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K} {
		b.Run(kind.String(), func(b *testing.B) {
			t := Tensor{Type: kind, Shape: []int{64, 1024}}
			t.Data = make([]byte, t.Rows()*t.RowBytes())
			dst := make([]float32, 64*1024)
			b.SetBytes(int64(len(dst) * 4))
			for b.Loop() {
				Dequantize(dst, t, 0, 64)
			}
		})
	}
}
