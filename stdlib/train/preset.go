package train

import (
	"fmt"
	"slices"

	"banter/stdlib/lm"
)

// Preset is a set of training options that suits a machine's memory.
type Preset struct {
	Name        string // "CPU 8 GB", "24 GB", ...
	Memory      int64  // bytes that the machine or the card has
	Rank        int
	Targets     []string
	MaxLength   int    // tokens of an example
	BatchRows   int    // rows of a batch
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
		{Name: "CPU 8 GB", Memory: 8 * gib, Rank: 8, Targets: all, MaxLength: 512, BatchRows: 8, BatchTokens: 512, GradAccum: 4, Recompute: true, Precision: "Q8_0"},
		{Name: "8 GB", Memory: 8 * gib, Rank: 8, Targets: all, MaxLength: 512, BatchRows: 8, BatchTokens: 1024, GradAccum: 4, Recompute: true, Precision: "Q8_0"},
		{Name: "12 GB", Memory: 12 * gib, Rank: 16, Targets: all, MaxLength: 512, BatchRows: 8, BatchTokens: 1024, GradAccum: 4, Recompute: true, Precision: "Q8_0"},
		{Name: "16 GB", Memory: 16 * gib, Rank: 16, Targets: all, MaxLength: 1024, BatchRows: 16, BatchTokens: 2048, GradAccum: 2, Recompute: true, Precision: "BF16"},
		{Name: "24 GB", Memory: 24 * gib, Rank: 16, Targets: all, MaxLength: 1024, BatchRows: 32, BatchTokens: 4096, GradAccum: 1, Recompute: true, Precision: "BF16"},
		{Name: "48 GB", Memory: 48 * gib, Rank: 32, Targets: all, MaxLength: 2048, BatchRows: 32, BatchTokens: 8192, GradAccum: 1, Recompute: false, Precision: "BF16"},
		{Name: "80 GB", Memory: 80 * gib, Rank: 64, Targets: all, MaxLength: 2048, BatchRows: 64, BatchTokens: 16384, GradAccum: 1, Recompute: false, Precision: "BF16"},
	}
}

// Options returns the preset's share of a run's options. PlanOptions wants its MaxLength, Machine its Recompute.
func (p Preset) Options() Options {
	return Options{Rank: p.Rank, Targets: p.Targets, BatchRows: p.BatchRows, BatchTokens: p.BatchTokens, GradAccum: p.GradAccum}
}

// Apply fills in what options and plan options leave open.
func (p Preset) Apply(o Options, plan PlanOptions) (Options, PlanOptions) {
	mine := p.Options()
	if o.Rank == 0 {
		o.Rank = mine.Rank
	}
	if len(o.Targets) == 0 {
		o.Targets = mine.Targets
	}
	if o.BatchRows == 0 && o.BatchTokens == 0 {
		o.BatchRows, o.BatchTokens = mine.BatchRows, mine.BatchTokens
	}
	if o.GradAccum == 0 {
		o.GradAccum = mine.GradAccum
	}
	if plan.MaxLength == 0 {
		plan.MaxLength, plan.Truncate = p.MaxLength, true
	}
	return o, plan
}

// Estimate says how much memory the go engine holds at its peak with the preset, in bytes.
func (p Preset) Estimate(base *lm.Model, workers int) int64 {
	tokens := max(p.BatchTokens, p.MaxLength)
	return Estimate(base, p.Options(), Size{Tokens: tokens, Longest: p.MaxLength, Learned: tokens, Look: max(lookTokens, p.MaxLength)}, Machine{Workers: workers, Recompute: p.Recompute})
}

// fill is the share of a machine's memory that a preset may take.
const fill = 0.9

// Auto returns the greatest preset whose estimate for base fits into memory, with the estimate in bytes.
func Auto(base *lm.Model, memory int64, workers int) (Preset, int64, error) {
	return Choose(memory, func(p Preset) int64 { return p.Estimate(base, workers) })
}

// Choose returns the greatest preset that is meant for so much memory and whose estimate fits into it.
func Choose(memory int64, estimate func(Preset) int64) (Preset, int64, error) {
	var least int64
	for i, p := range slices.Backward(Presets()) {
		// What is sold as 8 GB has a little less: some is the system's.
		if p.Memory > memory+memory/8 && i > 0 {
			continue
		}
		need := estimate(p)
		if float64(need) <= fill*float64(memory) {
			return p, need, nil
		}
		least = need
	}
	return Preset{}, least, fmt.Errorf("the smallest preset needs %s for this base, there are %s (use a smaller or a quantized base)", Bytes(least), Bytes(memory))
}
