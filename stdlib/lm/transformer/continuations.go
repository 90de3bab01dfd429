package transformer

import (
	"context"
	"fmt"
)

// LogProbs scores many ways to go on after what the decoder has read, which is computed no second time. For each
// continuation it returns the log-probability of each of its tokens but the first, given all before it: a caller lets the
// decoder read a prompt up to its last token, and begins each continuation with that one. The decoder stands as before.
func (d *Decoder) LogProbs(ctx context.Context, continuations ...[]int32) ([][]float64, error) {
	m, c := d.model, d.model.config
	b := Sequences(continuations...)
	if err := b.check(c.Vocab); err != nil {
		return nil, err
	}
	n, longest := len(b.Tokens), d.length+b.longest()
	buf := m.borrow(Batch{Tokens: b.Tokens, Lengths: []int{longest}})
	defer m.giveBack(buf)
	s, spans := &buf.layers[0], b.spans()
	queries, keys := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	tables := make([]*turns, len(spans))
	for i, at := range spans {
		tables[i] = m.rotary.table(d.length + at.to - at.from)
	}
	// Attention wants the keys of one sequence in a row: for each worker, those read and then a continuation's own.
	type row struct{ keys, values []float32 }
	rows := make([]row, m.engine.Workers())
	for i := range rows {
		rows[i] = row{make([]float32, longest*keys), make([]float32, longest*keys)}
	}
	m.lookUp(s.in, b.Tokens)
	for i := range m.layers {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("score at layer %d: %w", i, err)
		}
		l := &m.layers[i]
		x := buf.narrow[:n*c.Hidden]
		m.normalize(x, s.in[:n*c.Hidden], l.inputNorm, s.inRoot[:n])
		for p, y := range [][]float32{s.q, s.k, s.v} {
			m.project(y, x, n, i, p, s, false)
		}
		if c.QKNorm {
			copy(s.rawQ, s.q[:n*queries])
			copy(s.rawK, s.k[:n*keys])
			m.normalize(s.q, s.rawQ, l.queryNorm, s.rootQ[:n*c.Heads])
			m.normalize(s.k, s.rawK, l.keyNorm, s.rootK[:n*c.KVHeads])
		}
		m.engine.Each(len(spans), func(j, worker int) {
			at := spans[j]
			if m.rotates(i) {
				for t := at.from; t < at.to; t++ {
					tables[j].apply(s.q[t*queries:(t+1)*queries], d.length+t-at.from, c.HeadDim, 1)
					tables[j].apply(s.k[t*keys:(t+1)*keys], d.length+t-at.from, c.HeadDim, 1)
				}
			}
			r := rows[worker]
			copy(r.keys, d.keys[i])
			copy(r.values, d.values[i])
			copy(r.keys[d.length*keys:], s.k[at.from*keys:at.to*keys])
			copy(r.values[d.length*keys:], s.v[at.from*keys:at.to*keys])
			for h := range c.Heads {
				kv := h / (c.Heads / c.KVHeads) * c.HeadDim
				q := at.from*queries + h*c.HeadDim
				m.attend(s.attended[q:], queries, s.q[q:], queries, r.keys[kv:], r.values[kv:], keys, at.to-at.from, d.length, buf.scores[worker], nil, 0)
			}
		})
		copy(s.middle[:n*c.Hidden], s.in[:n*c.Hidden])
		m.project(s.middle, s.attended, n, i, output, s, true)
		m.mlp(i, buf, s, n, s.in[:n*c.Hidden])
	}
	copy(buf.stream, s.in[:n*c.Hidden])
	losses, err := m.losses(ctx, buf, b, b.Tokens, 0)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(spans))
	for j, at := range spans {
		for t := at.from + 1; t < at.to; t++ {
			out[j] = append(out[j], 0-losses[t])
		}
	}
	return out, nil
}
