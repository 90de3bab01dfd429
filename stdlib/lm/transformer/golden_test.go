package transformer

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banter/internal/gemm"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/safetensors"
)

// The folders in testdata hold what PyTorch computed; golden.py there says how.
var goldenNames = []string{"llama", "llama-tied-llama3", "llama-linear", "llama-dynamic", "llama-yarn", "mistral", "qwen2", "qwen3", "smollm3", "long"}

type golden struct {
	base       *lm.Model
	adapter    *adapter.Adapter
	batch      Batch
	labels     []int32
	baseLogits []float32
	logits     []float32
	losses     []float32
	grads      map[string][]float32
}

func loadGolden(t testing.TB, name string) *golden {
	t.Helper()
	dir := filepath.Join("testdata", name)
	base, err := lm.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { base.Close() })
	g := &golden{base: base, grads: map[string][]float32{}}
	if g.adapter, err = adapter.Read(filepath.Join(dir, "adapter")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	ints := func(b []byte) []int32 {
		x := make([]int32, len(b)/4)
		for i := range x {
			x[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return x
	}
	for _, s := range file.Tensors {
		switch s.Name {
		case "tokens":
			g.batch.Tokens = ints(s.Data)
		case "labels":
			g.labels = ints(s.Data)
		case "lengths":
			for _, n := range ints(s.Data) {
				g.batch.Lengths = append(g.batch.Lengths, int(n))
			}
		default:
			x, err := lm.SafetensorsFloat32(s)
			if err != nil {
				t.Fatal(err)
			}
			switch s.Name {
			case "base_logits":
				g.baseLogits = x
			case "logits":
				g.logits = x
			case "losses":
				g.losses = x
			default:
				g.grads[strings.TrimPrefix(s.Name, "grad.")] = x
			}
		}
	}
	return g
}

// apart returns the greatest difference relative to the greatest number wanted.
func apart(got, want []float32) float64 {
	var most, size float64
	for i := range want {
		most = max(most, math.Abs(float64(got[i])-float64(want[i])))
		size = max(size, math.Abs(float64(want[i])))
	}
	return most / size
}

// last returns the positions of the last n tokens.
func (g *golden) last(n int) []int {
	var rows []int
	for i := len(g.batch.Tokens) - n; i < len(g.batch.Tokens); i++ {
		rows = append(rows, i)
	}
	return rows
}

func TestAgreesWithTransformersAndAutograd(t *testing.T) {
	for _, name := range goldenNames {
		t.Run(name, func(t *testing.T) {
			g := loadGolden(t, name)
			for _, recompute := range []bool{false, true} {
				m, err := New(g.base, Options{Workers: 2})
				if err != nil {
					t.Fatal(err)
				}
				rows := g.last(len(g.logits) / g.base.Config.Vocab)
				logits, err := m.Logits(t.Context(), g.batch, rows)
				if err != nil {
					t.Fatal(err)
				}
				if d := apart(logits, g.baseLogits); d > 2e-5 {
					t.Errorf("base logits are off by %.2g", d)
				}
				trainer, err := m.Trainer(g.adapter, recompute)
				if err != nil {
					t.Fatal(err)
				}
				if logits, err = m.Logits(t.Context(), g.batch, rows); err != nil {
					t.Fatal(err)
				}
				if d := apart(logits, g.logits); d > 2e-5 {
					t.Errorf("logits with the adapter are off by %.2g", d)
				}
				count := len(g.batch.targets(g.labels))
				sum, err := adapter.New(g.base.Config, g.adapter.Rank, g.adapter.Alpha, g.adapter.Targets)
				if err != nil {
					t.Fatal(err)
				}
				losses, err := trainer.Gradients(t.Context(), g.batch, g.labels, 1/float32(count), sum)
				if err != nil {
					t.Fatal(err)
				}
				lossesAsFloat := make([]float32, len(losses))
				for i, l := range losses {
					lossesAsFloat[i] = float32(l)
				}
				if d := apart(lossesAsFloat, g.losses); d > 2e-5 {
					t.Errorf("losses are off by %.2g", d)
				}
				for _, module := range sum.Modules() {
					p := sum.Pairs[module]
					for factor, x := range map[string][]float32{"lora_A": p.A, "lora_B": p.B} {
						want := g.grads[fmt.Sprintf("%s.%s.weight", module, factor)]
						if len(want) != len(x) {
							t.Fatalf("%s %s: %d numbers, PyTorch has %d", module, factor, len(x), len(want))
						}
						if d := apart(x, want); d > 2e-5 {
							t.Errorf("recompute %v: gradient of %s %s is off by %.2g", recompute, module, factor, d)
						}
					}
				}
			}
		})
	}
}

func TestSameBitsOnAllWorkersAndInstructionSets(t *testing.T) {
	for _, name := range []string{"qwen3", "mistral", "long"} {
		g := loadGolden(t, name)
		var first string
		for _, isa := range gemm.Available() {
			for _, workers := range []int{1, 2, 5} {
				if isa != gemm.Best() && workers == 5 {
					continue
				}
				m, err := New(g.base, Options{})
				if err != nil {
					t.Fatal(err)
				}
				m.engine = gemm.NewISA(workers, isa)
				trainer, err := m.Trainer(g.adapter, workers == 2)
				if err != nil {
					t.Fatal(err)
				}
				sum, err := adapter.New(g.base.Config, g.adapter.Rank, g.adapter.Alpha, g.adapter.Targets)
				if err != nil {
					t.Fatal(err)
				}
				losses, err := trainer.Gradients(t.Context(), g.batch, g.labels, 0.1, sum)
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprint(losses, sum.Digest()); first == "" {
					first = got
				} else if got != first {
					t.Fatalf("%s: %s with %d workers computes other bits", name, isa.Name, workers)
				}
			}
		}
	}
}
