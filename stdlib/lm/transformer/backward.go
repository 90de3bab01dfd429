package transformer

import (
	"context"
	"fmt"

	"banter/internal/gemm"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
)

// Trainer computes the gradients of an adapter on a frozen base. It holds the memory of a training pass, so it does one
// batch at a time.
type Trainer struct {
	model *Model
	lora  *lora
	kind  kind
	buf   *buffers
}

// Trainer returns a trainer of the adapter, which becomes the model's ([Model.SetAdapter]). With recompute, a pass keeps
// only each layer's input and computes layers again on the way back: about a third more work for much less memory.
func (m *Model) Trainer(a *adapter.Adapter, recompute bool) (*Trainer, error) {
	if err := m.SetAdapter(a); err != nil {
		return nil, err
	}
	t := &Trainer{model: m, lora: m.lora, kind: training}
	if recompute {
		t.kind = recomputed
	}
	return t, nil
}

// TrainingBytes estimates the memory of a training pass over batches of so many tokens, in sequences of at most the
// given length, of which so many are learned: what a [Trainer] holds, without the model's weights and the adapter.
func TrainingBytes(c lm.Config, tokens, longest, learned, rank, workers int, recompute bool) int64 {
	k := training
	if recompute {
		k = recomputed
	}
	_, n := lay(c, k, tokens, longest, learned, rank, workers, nil)
	return 4 * n
}

// InferenceBytes estimates the memory of a forward pass as [TrainingBytes] does that of a training pass.
func InferenceBytes(c lm.Config, tokens, longest, learned, rank, workers int) int64 {
	_, n := lay(c, inference, tokens, (longest+255)/256*256, learned, rank, workers, nil)
	return 4 * n
}

// Reserve makes room for batches of so many tokens, in sequences of at most the given length, of which so many are learned.
func (t *Trainer) Reserve(tokens, longest, learned int) {
	c := t.model.config
	if t.buf != nil && t.buf.tokens >= tokens && t.buf.longest >= longest && t.buf.rows >= min(lossRows(c), learned) {
		return
	}
	if t.buf != nil {
		tokens, longest, learned = max(tokens, t.buf.tokens), max(longest, t.buf.longest), max(learned, t.buf.rows)
	}
	t.buf = nil // before the new ones are made
	t.buf, _ = lay(c, t.kind, tokens, longest, learned, t.lora.rank, t.model.engine.Workers(), func(n int) []float32 { return make([]float32, n) })
}

// Gradients adds to sum, an adapter of the same shape, the derivative of weight times the batch's summed cross-entropy
// by the adapter's factors. It returns the cross-entropy of each labelled token at the token's own place. labels holds
// -100 (or any negative number) where a token is not to be learned.
func (t *Trainer) Gradients(ctx context.Context, b Batch, labels []int32, weight float32, sum *adapter.Adapter) ([]float64, error) {
	m := t.model
	if m.lora != t.lora {
		return nil, fmt.Errorf("the model's adapter was changed during training")
	}
	if len(labels) != len(b.Tokens) {
		return nil, fmt.Errorf("%d labels for %d tokens", len(labels), len(b.Tokens))
	}
	if err := b.check(m.config.Vocab); err != nil {
		return nil, err
	}
	t.Reserve(len(b.Tokens), b.longest(), len(b.targets(labels)))
	if err := m.forward(ctx, t.buf, b); err != nil {
		return nil, err
	}
	losses, err := m.losses(ctx, t.buf, b, labels, weight)
	if err != nil {
		return nil, err
	}
	grads := m.adapt(sum)
	tables := m.tables(b)
	for i := len(m.layers) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("backward pass at layer %d: %w", i, err)
		}
		s := &t.buf.layers[i]
		if t.kind == recomputed {
			m.layerForward(i, t.buf, s, b, tables)
			m.gates(i, t.buf, s, len(b.Tokens))
			m.lower(t.buf.wide, len(b.Tokens), i, down, s)
		}
		m.mlpBack(i, t.buf, s, len(b.Tokens), grads)
		m.attentionBack(i, t.buf, s, b, tables, grads)
	}
	return losses, nil
}

// mlpBack takes buf.grad from the loss by the layer's output to the loss by s.middle. It spoils s.
func (m *Model) mlpBack(i int, buf *buffers, s *saved, n int, grads *lora) {
	c, l := m.config, &m.layers[i]
	m.gated(buf.wide, s, n)
	m.factorsBack(buf.grad, buf.wide, n, i, down, s, grads)
	m.inputBack(buf.wide, buf.grad, n, i, down, s, false)
	w := c.Intermediate
	m.engine.Spans(n, func(from, to int) {
		g, u := s.gate[from*w:to*w], s.up[from*w:to*w]
		m.engine.SiluMulBack(g, u, buf.wide[from*w:to*w], g, u)
	})
	x := buf.narrow[:n*c.Hidden]
	m.renormalize(x, s.middle, l.postNorm, s.middleRoot[:n])
	m.factorsBack(s.gate, x, n, i, gate, s, grads)
	m.factorsBack(s.up, x, n, i, up, s, grads)
	m.inputBack(x, s.gate, n, i, gate, s, false)
	m.inputBack(x, s.up, n, i, up, s, true)
	m.normalizeBack(buf.grad, x, s.middle, l.postNorm, s.middleRoot[:n], true)
}

// attentionBack takes buf.grad from the loss by s.middle to the loss by s.in. It spoils s.
func (m *Model) attentionBack(i int, buf *buffers, s *saved, b Batch, tables []*turns, grads *lora) {
	c, l, n := m.config, &m.layers[i], len(b.Tokens)
	d, queries, keys, group := c.HeadDim, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim, c.Heads/c.KVHeads
	m.factorsBack(buf.grad, s.attended, n, i, output, s, grads)
	m.inputBack(buf.gradOut, buf.grad, n, i, output, s, false)

	// Each head has its own share of the keys' and values' derivatives; the shares of a group are added up in order.
	clear(buf.gradK[:n*queries])
	clear(buf.gradV[:n*queries])
	spans := b.spans()
	m.engine.Each(len(spans)*c.Heads, func(task, worker int) {
		at, h := spans[task/c.Heads], task%c.Heads
		q := at.from*queries + h*d
		kv := at.from*keys + h/group*d
		half := len(buf.scores[worker]) / 2
		m.attendBack(buf.gradQ[q:], buf.gradK[q:], buf.gradV[q:], queries, buf.gradOut[q:], s.attended[q:], queries, s.q[q:], queries, s.k[kv:], s.v[kv:], keys,
			at.to-at.from, buf.scores[worker][:half], buf.scores[worker][half:], s.logSums[at.from*c.Heads+h:], c.Heads)
	})
	dq, dk, dv := buf.gradQ[:n*queries], buf.gradKV[0][:n*keys], buf.gradKV[1][:n*keys]
	m.engine.Spans(n, func(from, to int) {
		for t := from; t < to; t++ {
			for h := range c.KVHeads {
				at, first := t*keys+h*d, t*queries+h*group*d
				copy(dk[at:at+d], buf.gradK[first:])
				copy(dv[at:at+d], buf.gradV[first:])
				for g := 1; g < group; g++ {
					m.engine.Axpy(dk[at:at+d], 1, buf.gradK[first+g*d:][:d])
					m.engine.Axpy(dv[at:at+d], 1, buf.gradV[first+g*d:][:d])
				}
			}
		}
	})
	if m.rotates(i) {
		m.turn(dq, queries, b, tables, -1)
		m.turn(dk, keys, b, tables, -1)
	}
	if c.QKNorm {
		m.normalizeBack(s.q, dq, s.rawQ, l.queryNorm, s.rootQ[:n*c.Heads], false)
		m.normalizeBack(s.k, dk, s.rawK, l.keyNorm, s.rootK[:n*c.KVHeads], false)
		dq, dk = s.q[:n*queries], s.k[:n*keys]
	}

	x := buf.narrow[:n*c.Hidden]
	m.renormalize(x, s.in, l.inputNorm, s.inRoot[:n])
	m.factorsBack(dq, x, n, i, query, s, grads)
	m.factorsBack(dk, x, n, i, key, s, grads)
	m.factorsBack(dv, x, n, i, value, s, grads)
	if i == 0 {
		return // nothing below is trained
	}
	m.inputBack(x, dq, n, i, query, s, false)
	m.inputBack(x, dk, n, i, key, s, true)
	m.inputBack(x, dv, n, i, value, s, true)
	m.normalizeBack(buf.grad, x, s.in, l.inputNorm, s.inRoot[:n], true)
}

// factorsBack adds the loss by a projection's factors to grads, from dy, the loss by its output [N, out], and its input
// x [N, in]. In s.low it leaves the loss by x·Aᵀ, for inputBack.
//
// With y = x·Wᵀ + z·Bᵀ and z = scale·x·Aᵀ, as s.low holds it: dB = dyᵀ·z, dA = (scale·dy·B)ᵀ·x.
func (m *Model) factorsBack(dy, x []float32, n, i, p int, s *saved, grads *lora) {
	pair := m.lora.pairs[i][p]
	if pair == nil {
		return
	}
	e, rank, sum := m.engine, m.lora.rank, grads.pairs[i][p]
	dys, low := gemm.Dense(dy[:n*pair.Out], n, pair.Out), gemm.Dense(s.low[p][:n*rank], n, rank)
	e.Mul(gemm.Dense(sum.B, pair.Out, rank), dys.T(), low, true)
	e.Mul(low, dys, gemm.Dense(pair.B, pair.Out, rank), false)
	for j := range low.Data {
		low.Data[j] *= m.lora.scale
	}
	e.Mul(gemm.Dense(sum.A, rank, pair.In), low.T(), gemm.Dense(x[:n*pair.In], n, pair.In), true)
}

// inputBack sets dx to the loss by a projection's input, or adds it, from dy and what factorsBack left.
func (m *Model) inputBack(dx, dy []float32, n, i, p int, s *saved, add bool) {
	w, pair := m.layers[i].linear[p].weights, m.lora.pairs[i][p]
	dxs := gemm.Dense(dx[:n*w.Cols], n, w.Cols)
	m.engine.Mul(dxs, gemm.Dense(dy[:n*w.Rows], n, w.Rows), w, add)
	if pair != nil {
		m.engine.Mul(dxs, gemm.Dense(s.low[p][:n*m.lora.rank], n, m.lora.rank), gemm.Dense(pair.A, m.lora.rank, pair.In), true)
	}
}
