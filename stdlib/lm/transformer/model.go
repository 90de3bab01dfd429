// Package transformer computes with llama-family decoders: token sequences and weights go in; logits, log-probabilities,
// hidden states and the gradients of LoRA adapters come out.
//
// The base's weights stay as they are stored, quantized or not, and are widened piece by piece inside the matrix kernels.
// Results depend neither on the number of workers nor on the processor (see package gemm).
package transformer

import (
	"fmt"
	"strings"

	"banter/internal/gemm"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
)

// The projections of one layer, in the order of [lm.Projections].
const (
	query = iota
	key
	value
	output
	gate
	up
	down
	projections
)

// Options says how to compute.
type Options struct {
	Workers int // 0: one per processor
}

// Model is a decoder ready to compute, perhaps with an adapter. Its methods may be called from many goroutines, but not
// while SetAdapter or ClearAdapter runs.
type Model struct {
	config lm.Config
	engine *gemm.Engine
	embed  gemm.Weights // [vocabulary, hidden]
	head   gemm.Weights // [vocabulary, hidden]
	norm   []float32    // [hidden]
	layers []layer
	lora   *lora
	rotary rotary
	free   chan *buffers // of forward passes, to use again
}

type layer struct {
	inputNorm, postNorm []float32 // [hidden]
	queryNorm, keyNorm  []float32 // [head]; nil without QKNorm
	linear              [projections]linear
}

// linear is a projection [out, in].
type linear struct {
	weights gemm.Weights
	bias    []float32 // [out] or nil
}

// lora is an adapter as the layers see it. The factors are the adapter's own memory.
type lora struct {
	rank  int
	scale float32
	pairs [][projections]*adapter.Pair
}

// New prepares an opened model for computing. The opened model must stay open.
func New(base *lm.Model, options Options) (*Model, error) {
	m := &Model{config: base.Config, engine: gemm.New(options.Workers), free: make(chan *buffers, 4)}
	if err := m.load(base.Weights); err != nil {
		return nil, err
	}
	m.rotary.config = base.Config
	return m, nil
}

// Config returns the model's shape.
func (m *Model) Config() lm.Config { return m.config }

// SetAdapter adds an adapter's change to every pass from now on. The model uses the adapter's own factors: what is
// written to them later counts.
func (m *Model) SetAdapter(a *adapter.Adapter) error {
	if err := a.Check(m.config, ""); err != nil {
		return err
	}
	m.lora = m.adapt(a)
	return nil
}

// ClearAdapter goes back to the base alone.
func (m *Model) ClearAdapter() { m.lora = nil }

func (m *Model) adapt(a *adapter.Adapter) *lora {
	l := &lora{rank: a.Rank, scale: float32(a.Scale()), pairs: make([][projections]*adapter.Pair, m.config.Layers)}
	for i := range l.pairs {
		for p, name := range lm.Projections() {
			l.pairs[i][p] = a.Pairs[lm.ModulePath(i, name)]
		}
	}
	return l
}

func (m *Model) load(weights lm.Weights) error {
	c := m.config
	if c.Layers < 1 || c.Heads < 1 || c.KVHeads < 1 || c.Heads%c.KVHeads != 0 || c.HeadDim < 2 || c.HeadDim%2 != 0 || c.Hidden < 1 || c.Vocab < 1 {
		return fmt.Errorf("a model of %d layers, %d heads (%d for keys) of %d, %d wide, %d tokens cannot be computed", c.Layers, c.Heads, c.KVHeads, c.HeadDim, c.Hidden, c.Vocab)
	}
	var missing []string
	tensor := func(name string, shape ...int) lm.Tensor {
		t, ok := weights.Tensor(name)
		if !ok {
			missing = append(missing, name)
			return lm.Tensor{}
		}
		if fmt.Sprint(t.Shape) != fmt.Sprint(shape) {
			missing = append(missing, fmt.Sprintf("%s as %v (it is %v)", name, shape, t.Shape))
			return lm.Tensor{}
		}
		if len(t.Data) != t.Rows()*t.RowBytes() {
			missing = append(missing, fmt.Sprintf("%s whole (it has %d of %d bytes)", name, len(t.Data), t.Rows()*t.RowBytes()))
			return lm.Tensor{}
		}
		return t
	}
	vector := func(name string, n int) []float32 {
		t := tensor(name, n)
		if t.Data == nil {
			return nil
		}
		return t.Float32()
	}
	matrix := func(name string, out, in int) gemm.Weights {
		t := tensor(name, out, in)
		if t.Data == nil {
			return gemm.Weights{}
		}
		return stored(t)
	}
	m.embed = matrix("model.embed_tokens.weight", c.Vocab, c.Hidden)
	m.head = m.embed
	if !c.TiedEmbeddings {
		m.head = matrix("lm_head.weight", c.Vocab, c.Hidden)
	}
	m.norm = vector("model.norm.weight", c.Hidden)
	m.layers = make([]layer, c.Layers)
	for i := range m.layers {
		l := &m.layers[i]
		prefix := fmt.Sprintf("model.layers.%d.", i)
		l.inputNorm = vector(prefix+"input_layernorm.weight", c.Hidden)
		l.postNorm = vector(prefix+"post_attention_layernorm.weight", c.Hidden)
		if c.QKNorm {
			l.queryNorm = vector(prefix+"self_attn.q_norm.weight", c.HeadDim)
			l.keyNorm = vector(prefix+"self_attn.k_norm.weight", c.HeadDim)
		}
		for p, name := range lm.Projections() {
			out, in, _ := c.ProjectionShape(name)
			path := lm.ModulePath(i, name)
			l.linear[p].weights = matrix(path+".weight", out, in)
			if c.QKVBias && p <= value {
				l.linear[p].bias = vector(path+".bias", out)
			}
		}
	}
	if len(missing) > 0 {
		more := ""
		if len(missing) > 5 {
			more = fmt.Sprintf(" and %d more", len(missing)-5)
			missing = missing[:5]
		}
		return fmt.Errorf("the model lacks %s%s (fetch it again: a file of it is damaged or of another model)", strings.Join(missing, ", "), more)
	}
	return nil
}

// stored tells the matrix kernels how a tensor lies in memory.
func stored(t lm.Tensor) gemm.Weights {
	w := gemm.Weights{Data: t.Data, Rows: t.Rows(), Cols: t.Columns()}
	switch t.Type {
	case lm.F32:
		w.Format = gemm.F32
	case lm.F16:
		w.Format = gemm.F16
	case lm.BF16:
		w.Format = gemm.BF16
	case lm.Q8_0:
		w.Format = gemm.Q8_0
	default:
		w.Format, w.BlockSize = gemm.Blocks, 256
		if t.Type == lm.Q4_0 {
			w.BlockSize = 32
		}
		blockBytes := t.RowBytes() / (t.Columns() / w.BlockSize)
		w.Read = func(dst []float32, row, block int) {
			from := row*t.RowBytes() + block*blockBytes
			n := len(dst) / w.BlockSize * blockBytes
			lm.Dequantize(dst, lm.Tensor{Type: t.Type, Shape: []int{len(dst)}, Data: t.Data[from : from+n]}, 0, 1)
		}
	}
	return w
}
