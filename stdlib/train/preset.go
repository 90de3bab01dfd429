package train

import (
	"fmt"

	"banter/stdlib/lm"
)

// Preset is a set of training options that suits a machine's memory.
type Preset struct {
	Name        string // "CPU 8 GB", "24 GB", ...
	Memory      int64  // bytes that the machine or the card has
	Rank        int
	Targets     []string
	MaxLength   int    // tokens of an example
	BatchTokens int    // tokens of a batch at most
	GradAccum   int    // batches in a step
	Recompute   bool   // keep only each layer's input
	Precision   string // how the base is best stored: "Q8_0", "BF16" or "F32"
}

const gib = 1 << 30

// Presets returns the presets, the smallest memory first.
func Presets() []Preset {
	all := lm.Projections()
	return []Preset{
		{Name: "CPU 8 GB", Memory: 8 * gib, Rank: 8, Targets: all, MaxLength: 512, BatchTokens: 512, GradAccum: 4, Recompute: true, Precision: "Q8_0"},
		{Name: "8 GB", Memory: 8 * gib, Rank: 8, Targets: all, MaxLength: 512, BatchTokens: 1024, GradAccum: 4, Recompute: true, Precision: "Q8_0"},
		{Name: "12 GB", Memory: 12 * gib, Rank: 16, Targets: all, MaxLength: 512, BatchTokens: 1024, GradAccum: 4, Recompute: true, Precision: "Q8_0"},
		{Name: "16 GB", Memory: 16 * gib, Rank: 16, Targets: all, MaxLength: 1024, BatchTokens: 2048, GradAccum: 2, Recompute: true, Precision: "BF16"},
		{Name: "24 GB", Memory: 24 * gib, Rank: 16, Targets: all, MaxLength: 1024, BatchTokens: 4096, GradAccum: 1, Recompute: true, Precision: "BF16"},
		{Name: "48 GB", Memory: 48 * gib, Rank: 32, Targets: all, MaxLength: 2048, BatchTokens: 8192, GradAccum: 1, Recompute: false, Precision: "BF16"},
		{Name: "80 GB", Memory: 80 * gib, Rank: 64, Targets: all, MaxLength: 2048, BatchTokens: 16384, GradAccum: 1, Recompute: false, Precision: "BF16"},
	}
}

// Options returns the preset's share of a run's options. PlanOptions wants its MaxLength, Machine its Recompute.
func (p Preset) Options() Options {
	return Options{Rank: p.Rank, Targets: p.Targets, BatchRows: max(1, p.BatchTokens/32), BatchTokens: p.BatchTokens, GradAccum: p.GradAccum}
}

// Auto returns the greatest preset whose estimate for base fits into memory, with the estimate in bytes.
func Auto(base *lm.Model, memory int64, workers int) (Preset, int64, error) {
	presets := Presets()
	for i := len(presets) - 1; i >= 0; i-- {
		p := presets[i]
		if p.Memory > memory {
			continue
		}
		tokens := max(p.BatchTokens, p.MaxLength)
		if need := Estimate(base, p.Rank, p.Targets, tokens, p.MaxLength, workers, p.Recompute); need <= memory*9/10 {
			return p, need, nil
		}
	}
	least := presets[0]
	need := Estimate(base, least.Rank, least.Targets, least.BatchTokens, least.MaxLength, workers, true)
	if need <= memory*9/10 {
		return least, need, nil
	}
	return Preset{}, need, fmt.Errorf("the smallest preset needs %.1f GiB for this base, there are %.1f (use a smaller or a quantized base)", float64(need)/gib, float64(memory)/gib)
}
