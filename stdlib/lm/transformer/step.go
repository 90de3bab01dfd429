package transformer

import (
	"context"
	"fmt"
	"math"

	"banter/internal/gemm"
)

// step is read for a single token, which is how a text is written: every weight is read once, and the jobs are so small
// that the workers are kept awake between them.
func (d *Decoder) step(ctx context.Context, tokens []int32, wanted bool) ([]float32, error) {
	m, c := d.model, d.model.config
	buf := m.borrow(Batch{Tokens: tokens, Lengths: []int{d.length + 1}})
	defer m.giveBack(buf)
	team := m.engine.Team()
	defer team.Close()
	table := m.rotary.table(d.length + 1)
	s := &buf.layers[0]
	stream, middle, x := s.in[:c.Hidden], s.middle[:c.Hidden], buf.narrow[:c.Hidden]
	qkv := [][]float32{query: s.q[:c.Heads*c.HeadDim], key: s.k[:c.KVHeads*c.HeadDim], value: s.v[:c.KVHeads*c.HeadDim]}
	wide := buf.wide[:c.Intermediate]
	m.embed.Row(m.engine.ISA, stream, int(tokens[0]), 0)
	for i := range m.layers {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("decode at layer %d: %w", i, err)
		}
		l := &m.layers[i]
		m.normalizeRow(x, stream, l.inputNorm)
		m.lowerRow(team, i, x, s, query, key, value)
		across(team, []int{len(qkv[query]), len(qkv[key]), len(qkv[value])}, func(p, from, to int) {
			clear(qkv[p][from:to])
			m.addRows(qkv[p], x, i, p, from, to, s)
		})
		m.positionRow(i, qkv[query], l.queryNorm, table, d.length)
		m.positionRow(i, qkv[key], l.keyNorm, table, d.length)
		d.keys[i], d.values[i] = append(d.keys[i], qkv[key]...), append(d.values[i], qkv[value]...)
		team.Each(c.Heads, func(h, worker int) { d.attendRow(s, i, h, buf.scores[worker]) })
		attended := s.attended[:c.Heads*c.HeadDim]
		m.lowerRow(team, i, attended, s, output)
		copy(middle, stream)
		team.Spans(c.Hidden, func(from, to int) { m.addRows(middle, attended, i, output, from, to, s) })

		m.normalizeRow(x, middle, l.postNorm)
		m.lowerRow(team, i, x, s, gate, up)
		team.Spans(c.Intermediate, func(from, to int) {
			clear(s.gate[from:to])
			clear(s.up[from:to])
			m.addRows(s.gate, x, i, gate, from, to, s)
			m.addRows(s.up, x, i, up, from, to, s)
			m.engine.SiluMul(wide[from:to], s.gate[from:to], s.up[from:to])
		})
		m.lowerRow(team, i, wide, s, down)
		copy(stream, middle)
		team.Spans(c.Hidden, func(from, to int) { m.addRows(stream, wide, i, down, from, to, s) })
	}
	d.length++
	if !wanted {
		return nil, nil
	}
	logits := make([]float32, c.Vocab)
	m.normalizeRow(x, stream, m.norm)
	team.Spans(c.Vocab, func(from, to int) { m.engine.AddRows(logits[from:to], x, m.head, from) })
	return logits, nil
}

// across cuts matrices of so many rows, as if they lay end to end, into pieces of work: rows from to to of matrix k.
func across(team *gemm.Team, rows []int, f func(k, from, to int)) {
	total := 0
	for _, n := range rows {
		total += n
	}
	team.Spans(total, func(from, to int) {
		for k, n := range rows {
			if from < n && to > 0 {
				f(k, max(from, 0), min(to, n))
			}
			from, to = from-n, to-n
		}
	})
}

// lowerRow is lower for one token and for projections of the same x, of which there may be unadapted ones.
func (m *Model) lowerRow(team *gemm.Team, i int, x []float32, s *saved, ps ...int) {
	if m.lora == nil {
		return
	}
	ranks := make([]int, len(ps))
	for k, p := range ps {
		if m.lora.pairs[i][p] != nil {
			ranks[k] = m.lora.rank
		}
	}
	across(team, ranks, func(k, from, to int) {
		p := ps[k]
		low, in := s.low[p][from:to], m.lora.pairs[i][p].In
		clear(low)
		m.engine.AddDots(low, x, gemm.Dense(m.lora.pairs[i][p].A[from*in:to*in], to-from, in))
		for j := range low {
			low[j] *= m.lora.scale
		}
	})
}

// addRows adds rows from to to of a projection of one token to y.
func (m *Model) addRows(y, x []float32, i, p, from, to int, s *saved) {
	l := &m.layers[i].linear[p]
	y = y[from:to]
	m.engine.AddRows(y, x, l.weights, from)
	if l.bias != nil {
		m.engine.Axpy(y, 1, l.bias[from:to])
	}
	if m.lora != nil && m.lora.pairs[i][p] != nil {
		r := m.lora.rank
		m.engine.Mul1(gemm.Dense(y, 1, to-from), gemm.Dense(s.low[p][:r], 1, r), gemm.Dense(m.lora.pairs[i][p].B[from*r:to*r], to-from, r).T(), true)
	}
}

// positionRow normalizes the heads of q or k where the model does (norm is nil where it does not) and turns them.
func (m *Model) positionRow(i int, heads, norm []float32, table *turns, position int) {
	if norm != nil {
		for at := 0; at < len(heads); at += len(norm) {
			head := heads[at : at+len(norm)]
			m.normalizeRow(head, head, norm)
		}
	}
	if m.rotates(i) {
		table.apply(heads, position, m.config.HeadDim, 1)
	}
}

// attendRow is attend for the token that is read, whose key and value have been kept.
func (d *Decoder) attendRow(s *saved, i, head int, scores []float32) {
	m, c := d.model, d.model.config
	e, n, width := m.engine, c.HeadDim, c.KVHeads*c.HeadDim
	low, high := m.reach(d.length, d.length+1)
	at := low*width + head/(c.Heads/c.KVHeads)*n
	p := scores[:high-low]
	clear(p)
	e.AddDots(p, s.q[head*n:(head+1)*n], gemm.Strided(d.keys[i][at:], len(p), n, width))
	scale := float32(1 / math.Sqrt(float64(n)))
	inverse := 1 / e.ExpSum(p, p, scale, float32(e.Max(p)*scale))
	out := s.attended[head*n : (head+1)*n]
	clear(out)
	e.AddWeighted(out, p, gemm.Strided(d.values[i][at:], len(p), n, width))
	for j := range out {
		out[j] *= inverse
	}
}
