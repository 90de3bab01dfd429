package transformer

import (
	"context"
	"fmt"
	"math"

	"banter/internal/gemm"
)

// Logits returns the logits after the given positions of the batch, [len(rows), vocabulary].
func (m *Model) Logits(ctx context.Context, b Batch, rows []int) ([]float32, error) {
	hidden, err := m.Hidden(ctx, b, rows)
	if err != nil {
		return nil, err
	}
	logits := make([]float32, len(rows)*m.config.Vocab)
	m.engine.Mul(gemm.Dense(logits, len(rows), m.config.Vocab), gemm.Dense(hidden, len(rows), m.config.Hidden), m.head.T(), false)
	return logits, nil
}

// Hidden returns the last layer's normalized output at the given positions of the batch, [len(rows), hidden]: what the
// output head sees, and what serves as an embedding.
func (m *Model) Hidden(ctx context.Context, b Batch, rows []int) ([]float32, error) {
	for _, r := range rows {
		if r < 0 || r >= len(b.Tokens) {
			return nil, fmt.Errorf("row %d of a batch of %d tokens", r, len(b.Tokens))
		}
	}
	buf, err := m.pass(ctx, b)
	if err != nil {
		return nil, err
	}
	defer m.giveBack(buf)
	hidden := make([]float32, len(rows)*m.config.Hidden)
	m.pick(hidden, buf.stream, rows, make([]float32, len(rows)))
	return hidden, nil
}

// LogProbs returns, for each token of the batch with a label of 0 or more, the log-probability of that label given the
// tokens before it in its sequence. Elsewhere, and for the first token of a sequence, it is 0.
func (m *Model) LogProbs(ctx context.Context, b Batch, labels []int32) ([]float64, error) {
	if len(labels) != len(b.Tokens) {
		return nil, fmt.Errorf("%d labels for %d tokens", len(labels), len(b.Tokens))
	}
	buf, err := m.pass(ctx, b)
	if err != nil {
		return nil, err
	}
	defer m.giveBack(buf)
	losses, err := m.losses(ctx, buf, b, labels, 0)
	if err != nil {
		return nil, err
	}
	for i := range losses {
		losses[i] = 0 - losses[i]
	}
	return losses, nil
}

// pass runs all layers.
func (m *Model) pass(ctx context.Context, b Batch) (*buffers, error) {
	if err := b.check(m.config.Vocab); err != nil {
		return nil, err
	}
	buf := m.borrow(b)
	if err := m.forward(ctx, buf, b); err != nil {
		m.giveBack(buf)
		return nil, err
	}
	return buf, nil
}

// forward runs all layers and leaves the residual stream in buf.stream.
func (m *Model) forward(ctx context.Context, buf *buffers, b Batch) error {
	d := m.config.Hidden
	in := func(i int) []float32 { return buf.layers[min(i, len(buf.layers)-1)].in }
	m.lookUp(in(0), b.Tokens)
	tables := m.tables(b)
	for i := range m.layers {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("forward pass at layer %d: %w", i, err)
		}
		next := buf.stream
		if i+1 < len(m.layers) {
			next = in(i + 1)
		}
		m.layerForward(i, buf, &buf.layers[min(i, len(buf.layers)-1)], b, tables)
		m.mlp(i, buf, &buf.layers[min(i, len(buf.layers)-1)], len(b.Tokens), next[:len(b.Tokens)*d])
	}
	return nil
}

// lookUp writes the embeddings of tokens, [N, hidden].
func (m *Model) lookUp(dst []float32, tokens []int32) {
	d := m.config.Hidden
	m.engine.Spans(len(tokens), func(from, to int) {
		for i := from; i < to; i++ {
			m.embed.Row(m.engine.ISA, dst[i*d:(i+1)*d], int(tokens[i]), 0)
		}
	})
}

// tables returns each sequence's turns.
func (m *Model) tables(b Batch) []*turns {
	tables := make([]*turns, len(b.Lengths))
	for i, n := range b.Lengths {
		tables[i] = m.rotary.table(n)
	}
	return tables
}

// layerForward computes a layer's attention half: s.in to s.middle.
func (m *Model) layerForward(i int, buf *buffers, s *saved, b Batch, tables []*turns) {
	c, l, n := m.config, &m.layers[i], len(b.Tokens)
	queries := c.Heads * c.HeadDim
	x := buf.narrow[:n*c.Hidden]
	m.normalize(x, s.in[:n*c.Hidden], l.inputNorm, s.inRoot[:n])
	m.project(s.q, x, n, i, query, s, false)
	m.project(s.k, x, n, i, key, s, false)
	m.project(s.v, x, n, i, value, s, false)
	m.position(i, s, b, tables)
	spans := b.spans()
	m.engine.Each(len(spans)*c.Heads, func(task, worker int) {
		at, h := spans[task/c.Heads], task%c.Heads
		var logSums []float32
		if s.logSums != nil {
			logSums = s.logSums[at.from*c.Heads+h:]
		}
		q := at.from*queries + h*c.HeadDim
		kv := at.from*c.KVHeads*c.HeadDim + h/(c.Heads/c.KVHeads)*c.HeadDim
		m.attend(s.attended[q:], queries, s.q[q:], queries, s.k[kv:], s.v[kv:], c.KVHeads*c.HeadDim, at.to-at.from, 0, buf.scores[worker], logSums, c.Heads)
	})
	copy(s.middle[:n*c.Hidden], s.in[:n*c.Hidden])
	m.project(s.middle, s.attended, n, i, output, s, true)
}

// position normalizes q and k per head where the model does and turns them by their positions.
func (m *Model) position(i int, s *saved, b Batch, tables []*turns) {
	c, l, n := m.config, &m.layers[i], len(b.Tokens)
	queries, keys := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	if c.QKNorm {
		copy(s.rawQ, s.q[:n*queries])
		copy(s.rawK, s.k[:n*keys])
		m.normalize(s.q, s.rawQ, l.queryNorm, s.rootQ[:n*c.Heads])
		m.normalize(s.k, s.rawK, l.keyNorm, s.rootK[:n*c.KVHeads])
	}
	if m.rotates(i) {
		m.turn(s.q, queries, b, tables, 1)
		m.turn(s.k, keys, b, tables, 1)
	}
}

// rotates says whether a layer has rotary positions.
func (m *Model) rotates(i int) bool {
	return i >= len(m.config.NoRopeLayers) || !m.config.NoRopeLayers[i]
}

// turn turns the rows of x, width numbers each, by their positions.
func (m *Model) turn(x []float32, width int, b Batch, tables []*turns, sign float32) {
	spans := b.spans()
	m.engine.Each(len(spans), func(i, _ int) {
		for t := spans[i].from; t < spans[i].to; t++ {
			tables[i].apply(x[t*width:(t+1)*width], t-spans[i].from, m.config.HeadDim, sign)
		}
	})
}

// mlp computes a layer's second half: s.middle to next, [N, hidden].
func (m *Model) mlp(i int, buf *buffers, s *saved, n int, next []float32) {
	m.gates(i, buf, s, n)
	copy(next, s.middle[:n*m.config.Hidden])
	m.project(next, buf.wide, n, i, down, s, true)
}

// gates computes all of mlp but its last projection, whose input it leaves in buf.wide.
func (m *Model) gates(i int, buf *buffers, s *saved, n int) {
	c, l := m.config, &m.layers[i]
	x := buf.narrow[:n*c.Hidden]
	m.normalize(x, s.middle[:n*c.Hidden], l.postNorm, s.middleRoot[:n])
	m.project(s.gate, x, n, i, gate, s, false)
	m.project(s.up, x, n, i, up, s, false)
	m.gated(buf.wide, s, n)
}

// gated sets dst to silu(gate)·up, [N, intermediate].
func (m *Model) gated(dst []float32, s *saved, n int) {
	w := m.config.Intermediate
	m.engine.Spans(n, func(from, to int) {
		m.engine.SiluMul(dst[from*w:to*w], s.gate[from*w:to*w], s.up[from*w:to*w])
	})
}

// project sets y, [N, out], to a projection of x, [N, in], or adds it to y, and keeps what the adapter's way back needs.
func (m *Model) project(y, x []float32, n, i, p int, s *saved, add bool) {
	l := &m.layers[i].linear[p]
	out, in := l.weights.Rows, l.weights.Cols
	ys, xs := gemm.Dense(y[:n*out], n, out), gemm.Dense(x[:n*in], n, in)
	m.multiply(ys, xs, l.weights, add)
	if l.bias != nil {
		m.engine.Spans(n, func(from, to int) {
			for t := from; t < to; t++ {
				m.engine.Axpy(ys.Data[t*out:(t+1)*out], 1, l.bias)
			}
		})
	}
	if low, ok := m.lower(x, n, i, p, s); ok {
		m.engine.Mul(ys, low, gemm.Dense(m.lora.pairs[i][p].B, out, m.lora.rank).T(), true)
	}
}

// lower computes scale·x·Aᵀ, [N, rank], of an adapted projection into s.low, and says whether it is one.
func (m *Model) lower(x []float32, n, i, p int, s *saved) (gemm.View, bool) {
	if m.lora == nil || m.lora.pairs[i][p] == nil {
		return gemm.View{}, false
	}
	pair, rank := m.lora.pairs[i][p], m.lora.rank
	low := gemm.Dense(s.low[p][:n*rank], n, rank)
	m.engine.Mul(low, gemm.Dense(x[:n*pair.In], n, pair.In), gemm.Dense(pair.A, rank, pair.In).T(), false)
	for j := range low.Data {
		low.Data[j] *= m.lora.scale
	}
	return low, true
}

// pick copies rows of the residual stream and normalizes them for the output head.
func (m *Model) pick(dst, stream []float32, rows []int, inverse []float32) {
	d := m.config.Hidden
	for j, r := range rows {
		copy(dst[j*d:(j+1)*d], stream[r*d:(r+1)*d])
	}
	m.normalize(dst[:len(rows)*d], dst[:len(rows)*d], m.norm, inverse)
}

// losses returns the cross-entropy of each labelled token, at the token's own place. With a weight other than 0 it also
// writes the derivative of weight times their sum by the residual stream into buf.grad.
//
// Logits exist only for rows before a labelled token, and a limited number of rows at a time.
func (m *Model) losses(ctx context.Context, buf *buffers, b Batch, labels []int32, weight float32) ([]float64, error) {
	d, v, e := m.config.Hidden, m.config.Vocab, m.engine
	targets := b.targets(labels)
	for _, r := range targets {
		if int(labels[r+1]) >= v {
			return nil, fmt.Errorf("label %d of the batch is %d, the model knows 0 to %d", r+1, labels[r+1], v-1)
		}
	}
	losses := make([]float64, len(labels))
	if weight != 0 {
		clear(buf.grad[:len(b.Tokens)*d])
	}
	inverse, factors := make([]float32, buf.rows), make([]float32, buf.rows)
	for len(targets) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("compute loss: %w", err)
		}
		rows := targets[:min(len(targets), len(inverse))]
		targets = targets[len(rows):]
		n := len(rows)
		picked := gemm.Dense(buf.picked[:n*d], n, d)
		m.pick(picked.Data, buf.stream, rows, inverse[:n])
		logits := gemm.Dense(buf.logits[:n*v], n, v)
		e.Mul(logits, picked, m.head.T(), false)
		e.Each(n, func(j, _ int) {
			row, label := logits.Data[j*v:(j+1)*v], labels[rows[j]+1]
			most := e.Max(row)
			at := row[label]
			sum := e.ExpSum(row, row, 1, most)
			losses[rows[j]+1] = math.Log(float64(sum)) - (float64(at) - float64(most))
			row[label] -= sum // softmax minus one at the label, still times sum
			factors[j] = weight / sum
		})
		if weight == 0 {
			continue
		}
		grad := gemm.Dense(buf.pickedGrad[:n*d], n, d)
		e.Mul(grad, logits, m.head, false)
		// The norm's way back wants its input, which picked no longer is.
		e.Each(n, func(j, _ int) {
			r, g := rows[j], grad.Data[j*d:(j+1)*d]
			for i := range g {
				g[i] *= factors[j]
			}
			m.normalizeBack(buf.grad[r*d:(r+1)*d], g, buf.stream[r*d:(r+1)*d], m.norm, inverse[j:j+1], false)
		})
	}
	return losses, nil
}
