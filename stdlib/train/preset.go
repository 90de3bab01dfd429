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
	Precision   string // in which a base is held that would not fit as it is: "Q8_0" or "BF16"
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

// Estimate says how much memory the go engine holds at its peak with the preset beside options that were said, in bytes.
// With narrow the base is held in the preset's precision.
func (p Preset) Estimate(base *lm.Model, o Options, plan PlanOptions, narrow bool, workers int) int64 {
	o, size := p.Size(o, plan)
	if narrow && o.Precision == "" {
		o.Precision = p.Precision
	}
	size.Look = max(lookTokens, size.Longest)
	return Estimate(base, o, size, Machine{Workers: workers, Recompute: p.Recompute})
}

// Size is how much a run with the preset computes at a time at most, with its options beside those that were said.
func (p Preset) Size(o Options, plan PlanOptions) (Options, Size) {
	o, plan = p.Apply(o, plan)
	tokens := o.BatchTokens
	if tokens == 0 {
		tokens = o.BatchRows * plan.MaxLength
	}
	tokens = max(tokens, plan.MaxLength) // a row alone may have more than a batch should
	return o, Size{Tokens: tokens, Longest: plan.MaxLength, Learned: tokens}
}

// fill is the share of a machine's memory that a preset may take.
const fill = 0.9

// Choice is a preset with what it takes on some base.
type Choice struct {
	Preset
	Narrow bool  // hold the base in the preset's precision; else as it is
	Bytes  int64 // at the peak
	Fits   bool
}

// Weigh says for each preset what it takes in its own memory: with the base as it is where that fits, else narrowed.
// estimate is in bytes; a negative one says that the base cannot be narrowed.
func Weigh(estimate func(p Preset, narrow bool) int64) []Choice {
	var all []Choice
	for _, p := range Presets() {
		all = append(all, weigh(p, p.Memory, estimate))
	}
	return all
}

func weigh(p Preset, memory int64, estimate func(Preset, bool) int64) Choice {
	limit := int64(fill * float64(memory))
	c := Choice{Preset: p, Bytes: estimate(p, false)}
	if c.Bytes > limit {
		if narrowed := estimate(p, true); narrowed >= 0 && narrowed < c.Bytes {
			c.Narrow, c.Bytes = true, narrowed
		}
	}
	c.Fits = c.Bytes <= limit
	return c
}

// Choose returns the greatest preset that is meant for so much memory and whose estimate fits into it.
func Choose(memory int64, estimate func(p Preset, narrow bool) int64) (Choice, error) {
	var least int64
	for i, p := range slices.Backward(Presets()) {
		// What is sold as 8 GB has a little less: some is the system's.
		if p.Memory > memory+memory/8 && i > 0 {
			continue
		}
		c := weigh(p, memory, estimate)
		if c.Fits {
			return c, nil
		}
		least = c.Bytes
	}
	return Choice{}, fmt.Errorf("the smallest preset needs %s for this base, there are %s (use a smaller or a quantized base)", Bytes(least), Bytes(memory))
}
