package train

import (
	"fmt"
	"math"

	"banter/stdlib/lm"
)

// Options says how to train. The zero value of a field means the default that its comment names.
type Options struct {
	Rank  int     // of the adapter; 16
	Alpha float64 // the adapter's scale is Alpha/Rank; twice the rank
	// The adapter's scale is Alpha/sqrt(Rank) instead, so that high ranks learn as fast as low ones (rsLoRA, arXiv:2312.03732).
	RankStabilized bool     `json:",omitempty"`
	Targets        []string // adapted projections; all seven
	LR             float64  // peak learning rate; 2e-4
	Warmup         int      // steps in which the learning rate rises; a twentieth of all
	Epochs         int      // passes over the plan; 1
	Steps          int      // steps to take instead, over as many passes as that needs
	BatchRows      int      // plan rows in a batch; 8
	BatchTokens    int      // tokens in a batch at most, where several rows are; 0: any number
	GradAccum      int      // batches whose gradients make one step; 1
	ClipNorm       float64  // the gradient's norm is cut to this; 1. Negative: it is not cut
	WeightDecay    float64  // of AdamW; 0
	Seed           uint64   // of the adapter's first values and of the order of rows
	EvalEvery      int      // steps between looks at the holdout; 0: about a tenth of all, more where looking would take long
	EarlyStop      int      // stop after so many looks without a better loss, and keep the best; 0: never
	Spike          float64  // a step's loss this many times the recent ones' median stops the run; 5. Negative: never
	// How the go engine holds the base where it is stored wider: "BF16" or "Q8_0". Empty: as it is stored.
	Precision string `json:",omitempty"`
}

// held is the type that Precision names.
func (o Options) held() (kind lm.Type, narrow bool, err error) {
	switch o.Precision {
	case "":
		return 0, false, nil
	case lm.BF16.String():
		return lm.BF16, true, nil
	case lm.Q8_0.String():
		return lm.Q8_0, true, nil
	}
	return 0, false, fmt.Errorf("no precision %q (the go engine holds a base as BF16 or Q8_0, or as it is stored)", o.Precision)
}

// Machine says how a run uses the machine. Nothing here changes the result.
type Machine struct {
	Workers         int                       // 0: one per processor
	Recompute       bool                      // compute layers again on the way back instead of keeping them: less memory, a third more work
	CheckpointDir   string                    // where to keep checkpoints, and to look for one to go on from; empty: none
	CheckpointEvery int                       // steps between checkpoints; 100
	Keep            int                       // checkpoints kept; 2
	Observe         func(StepRecord, float64) `json:"-"` // called after each step with its tokens per second; may be nil
}

// Canonical is m with the defaults of its checkpoints written out.
func (m Machine) Canonical() Machine {
	if m.CheckpointEvery < 1 {
		m.CheckpointEvery = 100
	}
	if m.Keep < 1 {
		m.Keep = 2
	}
	return m
}

// Canonical is o with its defaults written out, so that options which mean the same are the same.
func (o Options) Canonical() Options { return o.withDefaults() }

func (o Options) withDefaults() Options {
	if o.Rank == 0 {
		o.Rank = 16
	}
	if o.Alpha == 0 {
		o.Alpha = 2 * float64(o.Rank)
	}
	if len(o.Targets) == 0 {
		o.Targets = lm.Projections()
	}
	if o.LR == 0 {
		o.LR = 2e-4
	}
	if o.Epochs == 0 {
		o.Epochs = 1
	}
	if o.BatchRows == 0 {
		o.BatchRows = 8
	}
	if o.GradAccum == 0 {
		o.GradAccum = 1
	}
	if o.ClipNorm == 0 {
		o.ClipNorm = 1
	}
	if o.Spike == 0 {
		o.Spike = 5
	}
	return o
}

func (o Options) check() error {
	for name, n := range map[string]int{"Rank": o.Rank, "Warmup": o.Warmup, "Epochs": o.Epochs, "Steps": o.Steps, "BatchRows": o.BatchRows,
		"BatchTokens": o.BatchTokens, "GradAccum": o.GradAccum, "EvalEvery": o.EvalEvery, "EarlyStop": o.EarlyStop} {
		if n < 0 {
			return fmt.Errorf("%s is %d (use 0 for the default, or more)", name, n)
		}
	}
	for name, x := range map[string]float64{"Alpha": o.Alpha, "LR": o.LR, "WeightDecay": o.WeightDecay} {
		if !(x >= 0) || math.IsInf(x, 0) {
			return fmt.Errorf("%s is %v (use 0 for the default, or more)", name, x)
		}
	}
	if math.IsNaN(o.ClipNorm) || math.IsNaN(o.Spike) {
		return fmt.Errorf("ClipNorm and Spike must be numbers")
	}
	if o.EarlyStop > 0 && o.EvalEvery == 0 {
		return fmt.Errorf("EarlyStop needs EvalEvery: say how many steps lie between two looks at the holdout")
	}
	_, _, err := o.held()
	return err
}

// rate is the learning rate of a step, counted from 1: up in a line, then down along half a cosine.
func (o Options) rate(step, steps int) float64 {
	if step <= o.Warmup {
		return o.LR * float64(step) / float64(o.Warmup)
	}
	done := float64(step-o.Warmup) / float64(steps-o.Warmup+1)
	return o.LR * 0.5 * (1 + math.Cos(math.Pi*done))
}
