package transformer

import (
	"context"
	"fmt"
	"slices"

	"banter/internal/gemm"
)

// Decoder reads one sequence step by step and keeps its keys and values, so that each step costs only its own tokens.
// It is not safe for concurrent use; clones are independent.
type Decoder struct {
	model  *Model
	length int
	keys   [][]float32 // for each layer, [length, key heads·head]
	values [][]float32
}

// Decoder returns a decoder that has read nothing. The model's adapter must not change while it is used.
func (m *Model) Decoder() *Decoder {
	return &Decoder{model: m, keys: make([][]float32, len(m.layers)), values: make([][]float32, len(m.layers))}
}

// Len returns how many tokens have been read.
func (d *Decoder) Len() int { return d.length }

// Clone returns a decoder that has read the same tokens.
func (d *Decoder) Clone() *Decoder {
	c := &Decoder{model: d.model, length: d.length}
	for i := range d.keys {
		c.keys, c.values = append(c.keys, slices.Clone(d.keys[i])), append(c.values, slices.Clone(d.values[i]))
	}
	return c
}

// Truncate forgets all but the first n tokens.
func (d *Decoder) Truncate(n int) {
	if n < 0 || n >= d.length {
		return
	}
	d.length = n
	width := d.model.config.KVHeads * d.model.config.HeadDim
	for i := range d.keys {
		d.keys[i], d.values[i] = d.keys[i][:n*width], d.values[i][:n*width]
	}
}

// Append reads tokens and returns the logits after the last of them, [vocabulary]. On an error the decoder stands as
// before.
func (d *Decoder) Append(ctx context.Context, tokens []int32) ([]float32, error) {
	m := d.model
	b := Sequences(tokens)
	if err := b.check(m.config.Vocab); err != nil {
		return nil, err
	}
	// A long text goes through in pieces: scores of a piece are as long as all that was read.
	const piece = 512
	start := d.length
	for len(tokens) > 0 {
		some := tokens[:min(piece, len(tokens))]
		tokens = tokens[len(some):]
		read := d.read
		if len(some) == 1 {
			read = d.step
		}
		logits, err := read(ctx, some, len(tokens) == 0)
		if err != nil {
			d.rewind(start)
			return nil, err
		}
		if logits != nil {
			return logits, nil
		}
	}
	return nil, nil
}

func (d *Decoder) rewind(n int) {
	width := d.model.config.KVHeads * d.model.config.HeadDim
	for i := range d.keys {
		d.keys[i], d.values[i] = d.keys[i][:n*width], d.values[i][:n*width]
	}
	d.length = n
}

// read reads some tokens, and returns the logits after the last of them if they are wanted.
func (d *Decoder) read(ctx context.Context, tokens []int32, wanted bool) ([]float32, error) {
	m, c, n := d.model, d.model.config, len(tokens)
	b := Sequences(tokens)
	buf := m.borrow(Batch{Tokens: tokens, Lengths: []int{d.length + n}})
	defer m.giveBack(buf)
	s := &buf.layers[0]
	queries, keys := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	table := m.rotary.table(d.length + n)
	m.lookUp(s.in, tokens)
	for i := range m.layers {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("decode at layer %d: %w", i, err)
		}
		l := &m.layers[i]
		x := buf.narrow[:n*c.Hidden]
		m.normalize(x, s.in[:n*c.Hidden], l.inputNorm, s.inRoot[:n])
		for p, y := range [][]float32{s.q, s.k, s.v} {
			m.project(y, x, n, i, p, s, false)
		}
		d.position(i, s, b, table)
		d.keys[i] = append(d.keys[i], s.k[:n*keys]...)
		d.values[i] = append(d.values[i], s.v[:n*keys]...)
		m.engine.Each(c.Heads, func(h, worker int) {
			kv := h / (c.Heads / c.KVHeads) * c.HeadDim
			m.attend(s.attended[h*c.HeadDim:], queries, s.q[h*c.HeadDim:], queries, d.keys[i][kv:], d.values[i][kv:], keys, n, d.length, buf.scores[worker], nil, 0)
		})
		copy(s.middle[:n*c.Hidden], s.in[:n*c.Hidden])
		m.project(s.middle, s.attended, n, i, output, s, true)
		m.mlp(i, buf, s, n, s.in[:n*c.Hidden])
	}
	d.length += n
	if !wanted {
		return nil, nil
	}
	hidden, logits := make([]float32, c.Hidden), make([]float32, c.Vocab)
	m.pick(hidden, s.in, []int{n - 1}, make([]float32, 1))
	m.multiply(gemm.Dense(logits, 1, c.Vocab), gemm.Dense(hidden, 1, c.Hidden), m.head, false)
	return logits, nil
}

// position is [Model.position] for tokens after those that were read.
func (d *Decoder) position(i int, s *saved, b Batch, table *turns) {
	m, c, n := d.model, d.model.config, len(b.Tokens)
	queries, keys := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	if c.QKNorm {
		l := &m.layers[i]
		copy(s.rawQ, s.q[:n*queries])
		copy(s.rawK, s.k[:n*keys])
		m.normalize(s.q, s.rawQ, l.queryNorm, s.rootQ[:n*c.Heads])
		m.normalize(s.k, s.rawK, l.keyNorm, s.rootK[:n*c.KVHeads])
	}
	if m.rotates(i) {
		for t := range n {
			table.apply(s.q[t*queries:(t+1)*queries], d.length+t, c.HeadDim, 1)
			table.apply(s.k[t*keys:(t+1)*keys], d.length+t, c.HeadDim, 1)
		}
	}
}

// multiply sets c to a·wᵀ or adds it. A single row is cheaper as one dot product for each of w's rows, which then need
// not be packed.
func (m *Model) multiply(c, a gemm.View, w gemm.Weights, add bool) {
	if a.Rows > 1 {
		m.engine.Mul(c, a, w.T(), add)
		return
	}
	m.engine.MulRow(c.Data[:w.Rows], a.Data[:w.Cols], w, add)
}
