package adapter

import (
	"fmt"
	"io"

	"banter/stdlib/lm"
	"banter/stdlib/lm/gguf"
)

// WriteGGUF writes the adapter as llama.cpp loads it (general.type "adapter"), for a base of the given shape.
func (a *Adapter) WriteGGUF(w io.Writer, base lm.Config) error {
	if err := a.checkShapes(base); err != nil {
		return fmt.Errorf("write gguf adapter: %w", err)
	}
	// llama.cpp divides by the rank itself; alpha carries what differs from that.
	alpha := a.Scale() * float64(a.Rank)
	metadata := []gguf.KeyValue{
		{Key: "general.architecture", Value: base.GGUFArchitecture()},
		{Key: "general.type", Value: "adapter"},
		{Key: "adapter.type", Value: "lora"},
		{Key: "adapter.lora.alpha", Value: float32(alpha)},
	}
	if a.BaseName != "" {
		metadata = append(metadata, gguf.KeyValue{Key: "general.base_model.count", Value: uint32(1)},
			gguf.KeyValue{Key: "general.base_model.0.name", Value: a.BaseName})
	}
	var tensors []gguf.Tensor
	for _, module := range a.Modules() {
		p := a.Pairs[module]
		name, ok := lm.GGUFName(module + ".weight")
		if !ok {
			return fmt.Errorf("write gguf adapter: module %s has no name in GGUF", module)
		}
		tensors = append(tensors,
			gguf.Tensor{Name: name + ".lora_a", Type: gguf.F32, Shape: []int{a.Rank, p.In}, Data: floatBytes(p.A)},
			gguf.Tensor{Name: name + ".lora_b", Type: gguf.F32, Shape: []int{p.Out, a.Rank}, Data: floatBytes(a.ggufB(module, p, base))})
	}
	return gguf.Write(w, metadata, tensors)
}

// ggufB returns B with its rows in GGUF's order.
func (a *Adapter) ggufB(module string, p *Pair, base lm.Config) []float32 {
	if !base.GGUFInterleaved() || !lm.Rotated(module) {
		return p.B
	}
	out := make([]float32, len(p.B))
	for row := range p.Out {
		to := lm.InterleavedRow(row, base.HeadDim)
		copy(out[to*a.Rank:(to+1)*a.Rank], p.B[row*a.Rank:(row+1)*a.Rank])
	}
	return out
}
