package torch

import (
	"banter/stdlib/lm"
	"banter/stdlib/train"
)

// What torch itself holds, in bytes: its libraries on the CPU, its context and cache on a card.
const (
	cpuBytes  = 850 << 20
	cudaBytes = 1200 << 20
)

// Estimate says about how much memory the engine holds at its peak with a preset beside options that were said, in bytes:
// on a card, or on the CPU.
func (e *Engine) Estimate(base *lm.Model, p train.Preset, o train.Options, plan train.PlanOptions) int64 {
	o, size := p.Size(o, plan)
	return e.EstimateRun(base, o, size, p.Recompute)
}

// EstimateRun is [Engine.Estimate] of a run. It counts what torch's automatic differentiation keeps of a decoder layer for
// each token: about ten times its width, in float32 because norms are computed so, and the projections' inputs and outputs.
// On its way back torch holds about as much again as a layer keeps.
func (e *Engine) EstimateRun(base *lm.Model, o train.Options, size train.Size, recompute bool) int64 {
	c := base.Config
	number := int64(4) // bytes of an activation
	if e.Precision != "f32" {
		number = 2
	}
	var projections, rest, factors int64
	for _, shape := range c.TensorShapes() {
		n := int64(1)
		for _, d := range shape {
			n *= int64(d)
		}
		rest += n
	}
	for _, target := range lm.Projections() {
		out, in, _ := c.ProjectionShape(target)
		projections += int64(c.Layers) * int64(out) * int64(in)
	}
	o = o.Canonical()
	for _, target := range o.Targets {
		if out, in, ok := c.ProjectionShape(target); ok {
			factors += int64(c.Layers) * int64(o.Rank) * int64(out+in)
		}
	}
	rest -= projections
	weights := number * (projections + rest)
	if e.Precision == "4bit" {
		weights = projections*9/16 + number*rest // four bits, and scales that are themselves quantized
	}
	share := int64((size.Tokens + e.Processes - 1) / e.Processes)
	queries, keys := int64(c.Heads*c.HeadDim), int64(c.KVHeads*c.HeadDim)
	layer := share * (4*10*int64(c.Hidden) + number*(4*queries+4*keys+5*int64(c.Intermediate)))
	kept := int64(c.Layers)*layer + layer*5/4
	if recompute {
		kept = int64(c.Layers)*share*int64(c.Hidden)*number + layer*7/2
	}
	learned := min(share, int64(size.Learned))
	logits := 3 * 4 * min(learned, 1024) * int64(c.Vocab)
	own := int64(cpuBytes)
	if e.kind == "cuda" {
		own = cudaBytes
	} else {
		own *= int64(e.Processes)
		weights, kept, logits = weights*int64(e.Processes), kept*int64(e.Processes), logits*int64(e.Processes)
	}
	return own + weights + 16*factors + kept + logits
}
