package gemm

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: number %d is %v (%#x), want %v (%#x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// product computes a·b + c in float64 and says by how much each element may be off.
func product(c, a, b View, add bool) (want, slack []float64) {
	for i := range a.Rows {
		for j := range b.Cols {
			var s, size float64
			if add {
				s = float64(c.Data[i*c.RowStride+j])
				size = math.Abs(s)
			}
			for k := range a.Cols {
				p := float64(a.Data[i*a.RowStride+k*a.ColStride]) * float64(b.Data[k*b.RowStride+j*b.ColStride])
				s += p
				size += math.Abs(p)
			}
			want = append(want, s)
			slack = append(slack, size*1e-7*math.Sqrt(float64(a.Cols)+4)+1e-30)
		}
	}
	return want, slack
}

func TestMulAgreesWithFloat64AndBetweenInstructionSets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	shapes := [][3]int{{1, 1, 1}, {1, 33, 5}, {12, 32, 16}, {13, 31, 17}, {7, 8, 300}, {50, 70, 257}, {3, 600, 40}, {100, 16, 33}, {25, 48, 513}, {5, 9, 0}}
	for _, s := range shapes {
		m, n, k := s[0], s[1], s[2]
		for flags := range 8 {
			turnA, turnB, add := flags&1 != 0, flags&2 != 0, flags&4 != 0
			a := Strided(random(rng, m*(k+3)), m, k, k+3)
			if turnA {
				a = Strided(random(rng, k*(m+3)+3), k, m, m+3).T()
			}
			b := Strided(random(rng, k*(n+3)+3), k, n, n+3)
			if turnB {
				b = Strided(random(rng, n*(k+3)), n, k, k+3).T()
			}
			start := random(rng, m*(n+5))
			var first []float32
			for _, isa := range Available() {
				for _, workers := range []int{1, 3} {
					name := fmt.Sprintf("%s %v flags %d workers %d", isa.Name, s, flags, workers)
					data := append([]float32(nil), start...)
					c := Strided(data, m, n, n+5)
					want, slack := product(c, a, b, add)
					NewISA(workers, isa).Mul(c, a, b, add)
					for i := range m {
						for j := range n {
							if got := float64(data[i*(n+5)+j]); math.Abs(got-want[i*n+j]) > slack[i*n+j] {
								t.Fatalf("%s: element %d,%d is %v, want %v", name, i, j, got, want[i*n+j])
							}
						}
						sameBits(t, name+": beyond the row", data[i*(n+5)+n:(i+1)*(n+5)], start[i*(n+5)+n:(i+1)*(n+5)])
					}
					if first == nil {
						first = data
					}
					sameBits(t, name, data, first)
				}
			}
		}
	}
}

func TestMul1IsMul(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const m, n, k = 30, 300, 270
	a, b := Dense(random(rng, m*k), m, k), Dense(random(rng, n*k), n, k).T()
	x, y := make([]float32, m*n), make([]float32, m*n)
	e := New(2)
	e.Mul(Dense(x, m, n), a, b, false)
	e.Mul1(Dense(y, m, n), a, b, false)
	sameBits(t, "Mul1", y, x)
}

// store writes values in a format and returns them as they read back.
func store(f Format, values []float32, cols int) ([]byte, []float32) {
	var data []byte
	back := make([]float32, len(values))
	switch f {
	case F32:
		for i, v := range values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
			back[i] = v
		}
	case BF16:
		for i, v := range values {
			h := uint16(math.Float32bits(v) >> 16)
			data = binary.LittleEndian.AppendUint16(data, h)
			back[i] = math.Float32frombits(uint32(h) << 16)
		}
	case F16:
		for i := range values {
			h := uint16(i*7919) & 0xbfff // any exponent but the greatest ones
			data = binary.LittleEndian.AppendUint16(data, h)
			back[i] = fromHalf(h)
		}
	case Q8_0, Blocks:
		for at := 0; at < len(values); at += 32 {
			data = binary.LittleEndian.AppendUint16(data, 0x2e66+uint16(at%7)) // about 0.1
			d := fromHalf(0x2e66 + uint16(at%7))
			for i := range 32 {
				q := int8(values[at+i] * 30)
				data = append(data, byte(q))
				back[at+i] = float32(q) * d
			}
		}
	}
	return data, back
}

func TestStoredWeightsMultiplyAsTheirNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const rows, cols, m = 75, 288, 13
	for _, f := range []Format{F32, F16, BF16, Q8_0, Blocks} {
		data, back := store(f, random(rng, rows*cols), cols)
		for _, misaligned := range []bool{false, true} {
			if misaligned {
				data = append([]byte{0}, data...)[1:]
			}
			w := Weights{Format: f, Data: data, Rows: rows, Cols: cols}
			if f == Blocks {
				w.BlockSize = 32
				w.Read = func(dst []float32, row, block int) { copy(dst, back[row*cols+block*32:]) }
			}
			x, dy := random(rng, m*cols), random(rng, m*rows)
			for _, isa := range Available() {
				e := NewISA(2, isa)
				got, want := make([]float32, m*rows), make([]float32, m*rows)
				e.Mul(Dense(got, m, rows), Dense(x, m, cols), w.T(), false)
				e.Mul(Dense(want, m, rows), Dense(x, m, cols), Dense(back, rows, cols).T(), false)
				sameBits(t, fmt.Sprintf("%s format %d forward", isa.Name, f), got, want)
				got, want = make([]float32, m*cols), make([]float32, m*cols)
				e.Mul(Dense(got, m, cols), Dense(dy, m, rows), w, false)
				e.Mul(Dense(want, m, cols), Dense(dy, m, rows), Dense(back, rows, cols), false)
				sameBits(t, fmt.Sprintf("%s format %d backward", isa.Name, f), got, want)
				row := make([]float32, 71)
				w.Row(isa, row, 9, 13)
				sameBits(t, "Row", row, back[9*cols+13:9*cols+84])
			}
		}
	}
}

func TestVectorFunctionsAgreeBetweenInstructionSets(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{0, 1, 15, 16, 31, 32, 33, 64, 100, 257} {
		a, b, c := random(rng, n), random(rng, n), random(rng, n)
		if n > 20 {
			a[3], a[17], a[20] = 200, -200, float32(math.Inf(-1))
		}
		var first []float32
		for _, isa := range Available() {
			var out []float32
			dst, other := make([]float32, n), append([]float32(nil), b...)
			out = append(out, isa.ExpSum(dst, a, 0.7, 0.3))
			out = append(out, dst...)
			out = append(out, isa.Max(a), isa.Dot(b, c))
			isa.Axpy(other, 0.37, c)
			out = append(out, other...)
			isa.ScaleMul(dst, 1.7, b, c)
			out = append(out, dst...)
			isa.SiluMul(dst, b, c)
			out = append(out, dst...)
			isa.SiluMulBack(dst, other, a, b, c)
			out = append(append(out, dst...), other...)
			copy(dst, b)
			isa.SoftmaxBack(dst, c, 0.2, 0.125)
			out = append(out, dst...)
			if first == nil {
				first = out
			}
			sameBits(t, fmt.Sprintf("%s with %d", isa.Name, n), out, first)
		}
	}
}

func TestVectorFunctionsAgainstFloat64(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	isa := Best()
	x := make([]float32, 4000)
	for i := range x {
		x[i] = float32(rng.Float64()*170 - 85)
	}
	y := make([]float32, len(x))
	isa.ExpSum(y, x, 1, 0)
	for i, v := range x {
		if want := math.Exp(float64(v)); math.Abs(float64(y[i])-want) > 3e-7*want {
			t.Fatalf("exp(%v) = %v, want %v", v, y[i], want)
		}
	}
	g, u, ds := random(rng, 100), random(rng, 100), random(rng, 100)
	dg, du := make([]float32, 100), make([]float32, 100)
	isa.SiluMulBack(dg, du, ds, g, u)
	for i := range g {
		silu := func(x float64) float64 { return x / (1 + math.Exp(-x)) }
		x := float64(g[i])
		slope := (silu(x+1e-5) - silu(x-1e-5)) / 2e-5
		if want := float64(ds[i]) * silu(x); math.Abs(float64(du[i])-want) > 1e-6 {
			t.Fatalf("du %v, want %v", du[i], want)
		}
		if want := float64(ds[i]) * float64(u[i]) * slope; math.Abs(float64(dg[i])-want) > 1e-6 {
			t.Fatalf("dg %v, want %v", dg[i], want)
		}
	}
}

func TestFMARoundsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	bits := func() float32 { return math.Float32frombits(rng.Uint32()&0x807fffff | uint32(90+rng.IntN(70))<<23) }
	best := Best()
	if best == plain {
		t.Skip("no other instruction set to compare with")
	}
	for range 200000 {
		x, y, z := bits(), bits(), bits()
		var a, b, c [32]float32
		a[0], b[0], c[0] = x, y, z
		best.tile(1, best.width, 1, &a[0], 0, 4, &b[0], &c[0], 0, 0)
		if got := fma(x, y, z); math.Float32bits(got) != math.Float32bits(c[0]) {
			t.Fatalf("fma(%v, %v, %v) = %v, the processor has %v", x, y, z, got, c[0])
		}
	}
}

func BenchmarkMul(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range [][3]int{{512, 1536, 576}, {512, 576, 1536}, {512, 4864, 896}, {512, 2048, 2048}, {512, 8, 576}, {8, 576, 512}, {512, 576, 8}} {
		m, n, k := s[0], s[1], s[2]
		a, w, c := random(rng, m*k), random(rng, n*k), make([]float32, m*n)
		for _, isa := range Available() {
			if isa == plain {
				continue
			}
			e := NewISA(0, isa)
			for _, turned := range []bool{true, false} {
				op := Dense(w, k, n)
				if turned {
					op = Dense(w, n, k).T()
				}
				b.Run(fmt.Sprintf("%s/%dx%dx%d/turned=%v", isa.Name, m, n, k, turned), func(b *testing.B) {
					for b.Loop() {
						e.Mul(Dense(c, m, n), Dense(a, m, k), op, false)
					}
					b.ReportMetric(2*float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}
