package gemm

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// stored32 returns rows of a format made from any bytes, with every exponent but those whose sums are not numbers.
func stored32(f Format, rows, cols int, next func() uint32) Weights {
	w := Weights{Format: f, Rows: rows, Cols: cols}
	half := func() { w.Data = binary.LittleEndian.AppendUint16(w.Data, uint16(next())&^0x4000) } // below 2
	for range rows {
		switch f {
		case F32, Blocks:
			for range cols {
				w.Data = binary.LittleEndian.AppendUint32(w.Data, next()&^0x40000000)
			}
		case F16, BF16:
			for range cols {
				half()
			}
		case Q8_0:
			for range cols / 32 {
				half()
				for range 32 {
					w.Data = append(w.Data, byte(next()))
				}
			}
		}
	}
	if f == Blocks {
		w.BlockSize = 32
		w.Read = func(dst []float32, row, block int) { widenF32(dst, w.Data[4*(row*cols+32*block):]) }
	}
	return w
}

func checkRows(t *testing.T, w Weights, x, y []float32) {
	t.Helper()
	want := append([]float32(nil), y...)
	row := make([]float32, w.Cols)
	for i := range want {
		w.Row(plain, row, i+1, 0)
		want[i] += plain.Dot(row, x)
	}
	for _, isa := range Available() {
		got := append([]float32(nil), y...)
		isa.AddRows(got, x, w, 1)
		sameBits(t, fmt.Sprintf("%s: %d rows of %d, format %d", isa.Name, len(y), w.Cols, w.Format), got, want)
	}
}

func TestRowsMultiplyAsDotProducts(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for _, f := range []Format{F32, F16, BF16, Q8_0, Blocks} {
		for _, cols := range []int{1, 31, 32, 33, 64, 256, 288, 576} {
			if f >= Q8_0 && cols%32 != 0 {
				continue
			}
			for _, rows := range []int{0, 1, 2, 3, 4, 5, 8, 11} {
				checkRows(t, stored32(f, rows+2, cols, rng.Uint32), random(rng, cols), random(rng, rows))
			}
		}
	}
	// The extremes of a block: every byte at its least, and scales from the smallest to the greatest.
	for _, scale := range []uint16{0, 1, 0x8001, 0x3ff, 0x400, 0x3c00, 0x7bff, 0xfbff} {
		w := Weights{Format: Q8_0, Rows: 6, Cols: 32}
		for range w.Rows {
			w.Data = binary.LittleEndian.AppendUint16(w.Data, scale)
			for i := range 32 {
				w.Data = append(w.Data, []byte{0x80, 0x7f, 0xff, 0}[i%4])
			}
		}
		checkRows(t, w, random(rng, 32), make([]float32, 5))
	}
}

func FuzzRows(f *testing.F) {
	f.Add([]byte{0x80, 0x7f, 0, 0xff, 1}, uint8(3), uint8(5), uint8(18))
	f.Add([]byte{0x66, 0x2e}, uint8(0), uint8(9), uint8(1))
	f.Add([]byte{1, 0x80, 0x80}, uint8(2), uint8(2), uint8(7))
	f.Fuzz(func(t *testing.T, seed []byte, format, rows, blocks uint8) {
		if len(seed) == 0 {
			return
		}
		at := 0
		next := func() uint32 {
			var v uint32
			for range 4 {
				v = v<<8 | uint32(seed[at%len(seed)]+byte(at/len(seed)))
				at++
			}
			return v
		}
		cols := 32 * (1 + int(blocks)%20)
		x := make([]float32, cols)
		for i := range x {
			x[i] = float32(int32(next())) / (1 << 20)
		}
		checkRows(t, stored32(Format(format%5), int(rows)%16+2, cols, next), x, make([]float32, int(rows)%16))
	})
}

func TestRowsInMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	for _, s := range [][3]int{{1, 64, 64}, {7, 64, 192}, {33, 96, 100}, {9, 80, 160}, {5, 7, 7}, {0, 64, 64}} {
		n, cols, stride := s[0], s[1], s[2]
		rows := Strided(random(rng, n*stride+cols), n, cols, stride)
		x, weights := random(rng, cols), random(rng, n)
		dots, weighted := make([]float32, n), random(rng, cols)
		start := append([]float32(nil), weighted...)
		for i := range n {
			dots[i] = plain.Dot(rows.Data[i*stride:][:cols], x)
			plain.Axpy(weighted, weights[i], rows.Data[i*stride:][:cols])
		}
		for _, isa := range Available() {
			got := make([]float32, n)
			isa.AddDots(got, x, rows)
			sameBits(t, isa.Name+" dots", got, dots)
			got = append([]float32(nil), start...)
			isa.AddWeighted(got, weights, rows)
			sameBits(t, isa.Name+" weighted", got, weighted)
		}
	}
}

func TestMulRowIsTheSameForAnyWorkers(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	w := stored32(BF16, 101, 288, rng.Uint32)
	x, start := random(rng, w.Cols), random(rng, w.Rows)
	for _, add := range []bool{false, true} {
		want := append([]float32(nil), start...)
		if !add {
			clear(want)
		}
		plain.AddRows(want, x, w, 0)
		for _, workers := range []int{1, 2, 5} {
			got := append([]float32(nil), start...)
			New(workers).MulRow(got, x, w, add)
			sameBits(t, fmt.Sprint(workers, " workers"), got, want)
		}
	}
}

func TestTeamDoesEachTaskOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		team := NewISA(workers, plain).Team()
		for n := range 300 {
			did := make([]int, n)
			total := 0
			team.Each(n, func(task, worker int) {
				if worker < 0 || worker >= workers {
					t.Errorf("worker %d of %d", worker, workers)
				}
				did[task]++
			})
			for task, times := range did { // what the workers wrote is seen here
				if times != 1 {
					t.Fatalf("%d workers: task %d of %d was done %d times", workers, task, n, times)
				}
			}
			var spans [300]int
			team.Spans(n, func(from, to int) {
				if from%4 != 0 {
					t.Errorf("a span begins at %d", from)
				}
				for i := from; i < to; i++ {
					spans[i]++
				}
			})
			for _, times := range spans {
				total += times
			}
			if total != n {
				t.Fatalf("spans of %d hold %d", n, total)
			}
			if n%50 == 0 {
				time.Sleep(time.Millisecond) // the workers fall asleep
			}
		}
		team.Close()
	}
}

// BenchmarkMulRow reads a matrix that no cache holds.
func BenchmarkMulRow(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	const rows, cols = 1 << 16, 1536
	x, y := random(rng, cols), make([]float32, rows)
	for _, isa := range Available() {
		if isa == plain {
			continue
		}
		for f, name := range map[Format]string{F32: "f32", BF16: "bf16", Q8_0: "q8_0"} {
			w := Weights{Format: f, Rows: rows, Cols: cols}
			w.Data = make([]byte, rows*w.rowBytes())
			for i := range w.Data {
				w.Data[i] = byte(i) & 0x3f
			}
			for _, workers := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/%s/%d", isa.Name, name, workers), func(b *testing.B) {
					b.SetBytes(int64(len(w.Data)))
					for b.Loop() {
						NewISA(workers, isa).MulRow(y, x, w, false)
					}
				})
			}
		}
	}
	if math.IsNaN(float64(y[0])) {
		b.Fatal("not a number")
	}
}
