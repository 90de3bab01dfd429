package train

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"banter/internal/specimen"
	"banter/stdlib/lm"
)

// longPlan has rows of one example with the given number of tokens, the later half of them learned.
func longPlan(rows, tokens, vocabulary int) *Plan {
	rng := rand.New(rand.NewPCG(7, 7))
	p := &Plan{MaxLength: tokens}
	for i := range rows {
		r := Row{IDs: []string{fmt.Sprint("long-", i)}}
		for j := range tokens {
			token := int32(rng.IntN(vocabulary))
			label := token
			if j < tokens/2 {
				label = NotLearned
			}
			r.Tokens, r.Labels, r.Positions = append(r.Tokens, token), append(r.Labels, label), append(r.Positions, int32(j))
		}
		p.Rows = append(p.Rows, r)
	}
	return p
}

// TestTheEstimateIsWhatIsHeld trains in processes of their own and compares the most memory that they held with what was
// forecast.
func TestTheEstimateIsWhatIsHeld(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("models of some size, in processes whose peak Linux tells")
	}
	small := lm.Config{Architecture: "llama", Layers: 6, Hidden: 256, Intermediate: 768, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 8192, TiedEmbeddings: true}
	wide := lm.Config{Architecture: "llama", Layers: 3, Hidden: 512, Intermediate: 2048, Heads: 8, KVHeads: 8, HeadDim: 64, Vocab: 32000}
	for _, c := range []struct {
		name       string
		shape      lm.Config
		stored     lm.Type
		rows, size int // of a batch
		rank       int
		recompute  bool
		holdout    bool
		early      int
		workers    int
		precision  string
	}{
		{"small", small, lm.F32, 2, 256, 8, false, false, 0, 2, ""},
		{"small, many tokens", small, lm.F32, 8, 256, 8, false, true, 0, 2, ""},
		{"small, many tokens, recomputed", small, lm.F32, 8, 256, 8, true, true, 0, 2, ""},
		{"small, one long row, five workers", small, lm.F32, 1, 1024, 64, false, true, 2, 5, ""},
		{"wide", wide, lm.F32, 1, 512, 16, false, false, 0, 2, ""},
		{"wide, held as Q8_0", wide, lm.F32, 1, 512, 16, false, false, 0, 2, "Q8_0"},
		{"wide, held in bfloat16", wide, lm.F32, 1, 512, 16, false, true, 0, 2, "BF16"},
		{"wide in bfloat16, recomputed", wide, lm.BF16, 2, 512, 64, true, true, 3, 2, ""},
	} {
		o := childOrders{Model: specimen.Random(t, c.shape, c.stored), Plan: writePlan(t, longPlan(2*c.rows, c.size, c.shape.Vocab)),
			Options: Options{Rank: c.rank, Steps: 3, BatchRows: c.rows, EvalEvery: 1, EarlyStop: c.early, Precision: c.precision}, Machine: Machine{Workers: c.workers, Recompute: c.recompute, CheckpointDir: t.TempDir(), CheckpointEvery: 1}}
		if c.holdout {
			o.Holdout = writePlan(t, longPlan(12, c.size, c.shape.Vocab))
		}
		got, _ := child(t, o, nil)
		ratio := float64(got.Forecast.Memory) / float64(got.Peak)
		t.Logf("%-36s forecast %7.1f MiB, held %7.1f MiB: %.3f", c.name, float64(got.Forecast.Memory)/(1<<20), float64(got.Peak)/(1<<20), ratio)
		if ratio < 0.85 || ratio > 1.15 {
			t.Errorf("%s: a forecast of %d bytes, %d were held", c.name, got.Forecast.Memory, got.Peak)
		}
	}
}
