package transformer

import (
	"math"

	"banter/internal/gemm"
)

// Attention goes through the queries in blocks: scores exist for one block of queries and one head at a time, never for
// a whole sequence squared. The way back computes them again from the log-sums that the forward pass kept, as
// FlashAttention does (arXiv:2205.14135).

// queryBlock is how many queries are taken at a time.
const queryBlock = 96

// reach returns the keys that some of the queries [from, to) see: key positions [low, high).
func (m *Model) reach(from, to int) (low, high int) {
	if w := m.config.SlidingWindow; w > 0 {
		low = max(0, from-w+1)
	}
	return low, to
}

// attend computes one head's attention of n queries at positions first, first+1, … over the keys and values at positions
// 0 to first+n-1. The query, key, value and out slices begin at the head's first number; their rows are strides apart.
// logSums, where it is not nil, takes each query's log of the sum of exponentials, stride numbers apart.
func (m *Model) attend(out []float32, outStride int, q []float32, qStride int, k, v []float32, kvStride int, n, first int, scores []float32, logSums []float32, logStride int) {
	e, d := m.engine, m.config.HeadDim
	scale := float32(1 / math.Sqrt(float64(d)))
	for b := 0; b < n; b += queryBlock {
		rows := min(queryBlock, n-b)
		low, high := m.reach(first+b, first+b+rows)
		width := high - low
		s := scores[:rows*width]
		e.Mul1(gemm.Dense(s, rows, width), gemm.Strided(q[b*qStride:], rows, d, qStride), gemm.Strided(k[low*kvStride:], width, d, kvStride).T(), false)
		var sums [queryBlock]float32
		for i := range rows {
			row := s[i*width : (i+1)*width]
			from, to := m.reach(first+b+i, first+b+i+1)
			clear(row[:from-low])
			clear(row[to-low:])
			row = row[from-low : to-low]
			most := float32(e.Max(row) * scale)
			sums[i] = e.ExpSum(row, row, scale, most)
			if logSums != nil {
				logSums[(b+i)*logStride] = float32(float64(most) + math.Log(float64(sums[i])))
			}
		}
		o := gemm.Strided(out[b*outStride:], rows, d, outStride)
		e.Mul1(o, gemm.Dense(s, rows, width), gemm.Strided(v[low*kvStride:], width, d, kvStride), false)
		for i := range rows {
			inverse := 1 / sums[i]
			row := o.Data[i*outStride:][:d]
			for j := range row {
				row[j] *= inverse
			}
		}
	}
}

// attendBack is the derivative of attend over a whole sequence of n: from dOut it sets dq and adds to dk and dv, which
// begin as zero and are the head's own, with rows dStride apart.
//
// With P = softmax(S) and D = rowsum(dO∘O): dV = Pᵀ·dO, dS = P∘(dO·Vᵀ - D), dQ = dS·K, dK = dSᵀ·Q.
func (m *Model) attendBack(dq, dk, dv []float32, dStride int, dOut, out []float32, outStride int, q []float32, qStride int, k, v []float32, kvStride int, n int, scores, dScores []float32, logSums []float32, logStride int) {
	e, d := m.engine, m.config.HeadDim
	scale := float32(1 / math.Sqrt(float64(d)))
	for b := 0; b < n; b += queryBlock {
		rows := min(queryBlock, n-b)
		low, high := m.reach(b, b+rows)
		width := high - low
		s, ds := gemm.Dense(scores[:rows*width], rows, width), gemm.Dense(dScores[:rows*width], rows, width)
		qs := gemm.Strided(q[b*qStride:], rows, d, qStride)
		ks, vs := gemm.Strided(k[low*kvStride:], width, d, kvStride), gemm.Strided(v[low*kvStride:], width, d, kvStride)
		dos := gemm.Strided(dOut[b*outStride:], rows, d, outStride)
		e.Mul1(s, qs, ks.T(), false)
		e.Mul1(ds, dos, vs.T(), false)
		for i := range rows {
			p, dp := s.Data[i*width:(i+1)*width], ds.Data[i*width:(i+1)*width]
			from, to := m.reach(b+i, b+i+1)
			clear(p[:from-low])
			clear(p[to-low:])
			e.ExpSum(p[from-low:to-low], p[from-low:to-low], scale, logSums[(b+i)*logStride])
			at := (b + i) * outStride
			e.SoftmaxBack(dp, p, e.Dot(dOut[at:at+d], out[at:at+d]), scale)
		}
		e.Mul1(gemm.Strided(dv[low*dStride:], width, d, dStride), s.T(), dos, true)
		e.Mul1(gemm.Strided(dq[b*dStride:], rows, d, dStride), ds, ks, false)
		e.Mul1(gemm.Strided(dk[low*dStride:], width, d, dStride), ds.T(), qs, true)
	}
}
