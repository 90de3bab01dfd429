package transformer

import "math"

// normalize is RMSNorm (arXiv:1910.07467): each row of x, len(weight) wide, over its root mean square, times weight. It
// keeps the inverse roots for the way back.
func (m *Model) normalize(dst, x, weight, inverse []float32) {
	n := len(weight)
	m.engine.Spans(len(inverse), func(from, to int) {
		for i := from; i < to; i++ {
			inverse[i] = m.normalizeRow(dst[i*n:(i+1)*n], x[i*n:(i+1)*n], weight)
		}
	})
}

// normalizeRow is normalize for one row.
func (m *Model) normalizeRow(dst, x, weight []float32) (inverse float32) {
	square := float64(m.engine.Dot(x, x)) / float64(len(weight))
	inverse = float32(1 / math.Sqrt(square+m.config.NormEps))
	m.engine.ScaleMul(dst, inverse, x, weight)
	return inverse
}

// renormalize is normalize with the inverse roots known.
func (m *Model) renormalize(dst, x, weight, inverse []float32) {
	n := len(weight)
	m.engine.Spans(len(inverse), func(from, to int) {
		for i := from; i < to; i++ {
			m.engine.ScaleMul(dst[i*n:(i+1)*n], inverse[i], x[i*n:(i+1)*n], weight)
		}
	})
}

// normalizeBack takes dy, the loss by normalize's result, and adds the loss by x to dx, or sets it. It spoils dy.
//
// With y = x·r·w and r = (mean(x²)+ε)^-½: dx = r·(w·dy) - x·r³/n·Σ(w·dy·x).
func (m *Model) normalizeBack(dx, dy, x, weight, inverse []float32, add bool) {
	n := len(weight)
	e := m.engine
	e.Spans(len(inverse), func(from, to int) {
		for i := from; i < to; i++ {
			x, dx, g := x[i*n:(i+1)*n], dx[i*n:(i+1)*n], dy[i*n:(i+1)*n]
			e.ScaleMul(g, 1, g, weight)
			r := inverse[i]
			pull := -float32(float64(e.Dot(g, x)) * float64(r) * float64(r) * float64(r) / float64(n))
			if !add {
				clear(dx)
			}
			e.Axpy(dx, r, g)
			e.Axpy(dx, pull, x)
		}
	})
}
