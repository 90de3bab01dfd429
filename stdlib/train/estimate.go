package train

import (
	"banter/stdlib/lm"
	"banter/stdlib/lm/transformer"
)

// programBytes is what the process holds beside all that is counted: the program itself, its heap's slack, tokenizers.
const programBytes = 48 << 20

// Estimate says how much memory a run of the go engine holds at its peak, in bytes: the base's weights as they are stored,
// the adapter with its gradient and moments, and what a pass over so many tokens in examples of at most longest keeps.
func Estimate(base *lm.Model, rank int, targets []string, tokens, longest, workers int, recompute bool) int64 {
	var weights int64
	for _, name := range base.Weights.Names() {
		t, _ := base.Weights.Tensor(name)
		weights += int64(len(t.Data))
	}
	var factors int64
	for _, target := range targets {
		if out, in, ok := base.Config.ProjectionShape(target); ok {
			factors += int64(base.Config.Layers) * int64(rank) * int64(out+in)
		}
	}
	pass := transformer.TrainingBytes(base.Config, tokens, longest, rank, workers, recompute)
	return weights + 4*4*factors + pass + programBytes
}
