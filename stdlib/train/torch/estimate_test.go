package torch

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"banter/internal/specimen"
	"banter/stdlib/lm"
	"banter/stdlib/train"
)

// longPlan has rows of one example with the given number of tokens, the later half of them learned.
func longPlan(rows, tokens, vocabulary int) *train.Plan {
	rng := rand.New(rand.NewPCG(7, 7))
	p := &train.Plan{MaxLength: tokens}
	for i := range rows {
		r := train.Row{IDs: []string{fmt.Sprint("long-", i)}}
		for j := range tokens {
			token := int32(rng.IntN(vocabulary))
			label := token
			if j < tokens/2 {
				label = train.NotLearned
			}
			r.Tokens, r.Labels, r.Positions = append(r.Tokens, token), append(r.Labels, label), append(r.Positions, int32(j))
		}
		p.Rows = append(p.Rows, r)
	}
	return p
}

// TestTheEstimateIsWhatTorchHolds compares the most memory that torch's process held with what was forecast.
func TestTheEstimateIsWhatTorchHolds(t *testing.T) {
	o := options(t)
	tiny := lm.Config{Architecture: "llama", Layers: 2, Hidden: 64, Intermediate: 128, Heads: 2, KVHeads: 2, HeadDim: 32, Vocab: 512, TiedEmbeddings: true}
	small := lm.Config{Architecture: "llama", Layers: 6, Hidden: 256, Intermediate: 768, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 8192, TiedEmbeddings: true}
	deep := lm.Config{Architecture: "llama", Layers: 16, Hidden: 256, Intermediate: 768, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 8192, TiedEmbeddings: true}
	thick := lm.Config{Architecture: "llama", Layers: 6, Hidden: 256, Intermediate: 3072, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 8192, TiedEmbeddings: true}
	wide := lm.Config{Architecture: "llama", Layers: 3, Hidden: 512, Intermediate: 2048, Heads: 8, KVHeads: 8, HeadDim: 64, Vocab: 32000}
	for _, c := range []struct {
		name       string
		shape      lm.Config
		rows, size int // of a batch
		rank       int
		recompute  bool
		precision  string
		processes  int
	}{
		{"tiny", tiny, 1, 64, 8, false, "f32", 1},
		{"small", small, 2, 256, 8, false, "f32", 1},
		{"small, many tokens", small, 8, 256, 8, false, "f32", 1},
		{"small, many tokens, bf16", small, 8, 256, 8, false, "bf16", 1},
		{"small, many tokens, recomputed", small, 8, 256, 8, true, "f32", 1},
		{"small, one long row", small, 1, 1024, 64, false, "f32", 1},
		{"small, one longer row", small, 1, 2048, 8, false, "f32", 1},
		{"deep", deep, 8, 256, 8, false, "f32", 1},
		{"thick", thick, 8, 256, 8, false, "f32", 1},
		{"wide", wide, 1, 512, 16, false, "f32", 1},
		{"wide, many tokens", wide, 4, 512, 16, false, "f32", 1},
		{"wide, recomputed, bf16", wide, 4, 512, 16, true, "bf16", 1},
		{"deep, in two processes", deep, 8, 256, 8, false, "f32", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.Precision, o.Processes = c.precision, c.processes
			e := engine(t, o)
			m := open(t, specimen.Random(t, c.shape, lm.F32))
			how := train.Options{Rank: c.rank, Steps: 2, BatchRows: c.rows}
			plan := longPlan(2*c.rows, c.size, c.shape.Vocab)
			result, err := e.Run(t.Context(), newJob(t, m, plan, how, nil), m.Path, train.Machine{Recompute: c.recompute})
			if err != nil {
				t.Fatal(err)
			}
			forecast, err := train.NewForecast(m, plan, how, train.Machine{Recompute: c.recompute}, nil)
			if err != nil {
				t.Fatal(err)
			}
			want, peak := e.EstimateRun(m, how, forecast.Size, c.recompute), result.Timing.PeakBytes*int64(c.processes)
			ratio := float64(want) / float64(peak)
			t.Logf("%-36s forecast %7.1f MiB, held %7.1f MiB: %.3f; %.1f GFLOP/s", c.name, float64(want)/(1<<20), float64(peak)/(1<<20), ratio,
				forecast.Operations/result.Timing.Seconds/1e9)
			if ratio < 0.85 || ratio > 1.15 {
				t.Errorf("a forecast of %d bytes, %d were held", want, peak)
			}
		})
	}
}
