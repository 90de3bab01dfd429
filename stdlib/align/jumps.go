package align

import (
	"cmp"
	"math"
	"slices"
)

// jumpCost is what a jump of the lag has to pay, in nats, for its place and height: the more linked messages there are, the
// more places it could have had (Schwarz 1978).
func jumpCost(links []linked) float64 { return 0.95 * math.Log(float64(len(links)+2)) }

// resegment looks for jumps that shared words alone did not show: it splits a piece at the source, and gives the part
// before or after it the lag, that explain all linked messages best, as long as a split pays for itself.
func (l *learner) resegment(tr *track, posts []scored) {
	const reach = 9.0 // s around the present lags
	const most = 4    // splits a round
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, p := range tr.curve {
		lo, hi = math.Min(lo, p.lag), math.Max(hi, p.lag)
	}
	lo, hi = lo-reach, hi+reach
	wide := l.wideLinks(tr, posts, lo, hi)
	of := make([][][2]int32, len(tr.src)) // by source: target and place among its links
	for i := range wide {
		for k, x := range wide[i].links {
			of[x.src] = append(of[x.src], [2]int32{int32(i), int32(k)})
		}
	}
	l.trace(tr, wide, lo, hi)
	for range most {
		if !l.split(tr, wide, of, lo, hi) {
			return
		}
	}
}

// trace runs the chain over lags along the linked messages, each with all its candidates under the lag in question, and
// takes the path where it explains them better than the present curve.
func (l *learner) trace(tr *track, wide []linked, lo, hi float64) {
	if len(wide) < 2 {
		return
	}
	f := l.m.f[tr.number]
	s := &lagSearch{lo: lo, n: int((hi-lo)/gridStep) + 1, at: make([]float64, len(wide))}
	s.score = make([]float32, len(wide)*s.n)
	for i := range wide {
		m := &wide[i]
		s.at[i] = m.t
		row := s.score[i*s.n : (i+1)*s.n]
		for g := range row {
			sum := 1.0
			for _, x := range m.links {
				d := x.x - lo - float64(g)*gridStep
				if d > f.lo && d < maxDelay {
					sum += x.w * f.reaction(d, x.told)
				}
			}
			row[g] = float32(m.weight * math.Log(sum))
		}
	}
	path, _ := s.viterbi()
	curve := s.pieces(path)
	for u := 1; u < len(curve); u++ { // from the clock of chat to that of speech
		curve[u].from -= (curve[u-1].lag+curve[u].lag)/2 + 0.7*medianOf(l.m.laws[tr.number])
	}
	for u := 1; u < len(curve); u++ {
		if curve[u].from <= curve[u-1].from && u > 1 {
			return
		}
	}
	was := tr.curve
	cost := func() float64 {
		return l.logLik(tr, wide, func(j int32) float64 { return lagAt(tr.curve, tr.src[j].end) }) - jumpCost(wide)*float64(len(tr.curve)-1)
	}
	before := cost()
	tr.setCurve(curve)
	l.moveChangePoints(tr, wide)
	if cost() < before {
		tr.setCurve(was)
	}
}

// split makes the best split of any piece, if it is worth it.
func (l *learner) split(tr *track, wide []linked, of [][][2]int32, lo, hi float64) bool {
	const smallest = 8.0 // s; a shorter piece is not looked for
	f := l.m.f[tr.number]
	value := func(x *link, lag float64) float64 {
		d := x.x - lag
		return x.w * f.reaction(d, x.told)
	}
	now := make([]float64, len(wide)) // 1 + all candidates under the present curve
	for i := range wide {
		now[i] = 1
		for k := range wide[i].links {
			x := &wide[i].links[k]
			now[i] += value(x, lagAt(tr.curve, tr.src[x.src].end))
		}
	}
	var best struct {
		gain          float64
		unit, at      int
		before, after float64
	}
	sum := make([]float64, len(wide))
	for u := range tr.curve {
		a, b := 0, len(tr.src)
		if u > 0 {
			a = sourceAfter(tr, tr.curve[u].from)
		}
		if u+1 < len(tr.curve) {
			b = sourceAfter(tr, tr.curve[u+1].from)
		}
		if b-a < 4 {
			continue
		}
		// gain[side][n]: the best that a lag of its own gives the sources before, or from, a+n on
		var gain, at [2][]float64
		for side := range gain {
			gain[side], at[side] = make([]float64, b-a+1), make([]float64, b-a+1)
			for n := range at[side] {
				at[side][n] = tr.curve[u].lag
			}
		}
		for lag := lo; lag <= hi; lag += 2 * gridStep {
			for side := range gain {
				copy(sum, now)
				g := 0.0
				// the new lag eats its way into the piece, source by source
				for n := range b - a {
					j, place := a+n, n+1
					if side == 1 {
						j, place = b-1-n, b-a-1-n
					}
					for _, at := range of[j] {
						m := &wide[at[0]]
						x := &m.links[at[1]]
						old := sum[at[0]]
						sum[at[0]] += value(x, lag) - value(x, tr.curve[u].lag)
						g += m.weight * math.Log(sum[at[0]]/old)
					}
					if g > gain[side][place] {
						gain[side][place], at[side][place] = g, lag
					}
				}
			}
		}
		whole := gain[0][b-a]
		for n := 1; n < b-a; n++ {
			short := math.Min(tr.src[a+n-1].end-tr.src[a].start, tr.src[b-1].end-tr.src[a+n].start) < smallest
			if g := gain[0][n] + gain[1][n] - whole; g > best.gain && !short && math.Abs(at[0][n]-at[1][n]) >= 1 {
				best.gain, best.unit, best.at, best.before, best.after = g, u, a+n, at[0][n], at[1][n]
			}
		}
	}
	if best.gain < jumpCost(wide) {
		return false
	}
	curve := slices.Clone(tr.curve)
	curve[best.unit].lag = best.before
	curve = slices.Insert(curve, best.unit+1, piece{from: (tr.src[best.at-1].end + tr.src[best.at].end) / 2, lag: best.after,
		lo: best.after - 1, hi: best.after + 1})
	tr.setCurve(curve)
	return true
}

// wideLinks gathers, for the targets that links would take, all sources that some lag in [lo, hi] would make candidates.
func (l *learner) wideLinks(tr *track, posts []scored, lo, hi float64) []linked {
	var out []linked
	learn := l.learn[tr.number]
	step := max(1, len(posts)/lawTargets)
	for i := 0; i < len(posts); i += step {
		s := &posts[i]
		t := &tr.tgt[learn[i]]
		if t.class != plain {
			continue
		}
		base := math.Log(tr.answers+1e-9) - math.Log(tr.rate+1e-9) + s.odds
		if base < -2.5 {
			continue
		}
		m := linked{t: t.t, weight: 1 / (1 + 0.5*float64(t.same))}
		first := sourceAfter(tr, t.t-hi-maxDelay)
		top := math.Inf(-1)
		var phi features
		var of vector
		if l.m.vectors != nil {
			l.m.vectors.sum(tr.targetIDs(t), &of)
		}
		for j := first; j < len(tr.src) && tr.src[j].end < t.t-lo+1.5; j++ {
			src := &tr.src[j]
			l.m.features(tr, t, &of, tr, src, &phi)
			content := l.m.weights.score(&phi)
			top = math.Max(top, content)
			m.links = append(m.links, link{int32(j), t.t - src.end, float64(phi.anchor), math.Exp(math.Min(12, base+content))})
		}
		if top < 0.7 || len(m.links) == 0 {
			continue
		}
		out = append(out, m)
	}
	return out
}

// moveChangePoints drops pieces that the links do not support and puts each jump between the two sources where the links
// fit best.
func (l *learner) moveChangePoints(tr *track, links []linked) {
	if len(tr.curve) < 2 || len(links) == 0 {
		return
	}
	l.prune(tr, links)
	curve := slices.Clone(tr.curve)
	for u := 1; u < len(curve); u++ {
		lo := sourceAfter(tr, curve[u-1].from)
		if u == 1 {
			lo = 0
		}
		hi := len(tr.src)
		if u+1 < len(curve) {
			hi = sourceAfter(tr, curve[u+1].from)
		}
		now := sourceAfter(tr, curve[u].from)
		lo, hi = max(lo, now-40), min(hi, now+40)
		best, bestLL := now, math.Inf(-1)
		touched := touching(links, int32(lo), int32(hi))
		for k := lo; k <= hi; k++ {
			ll := l.logLik(tr, touched, func(j int32) float64 {
				switch {
				case int(j) < lo || int(j) >= hi:
					return lagAt(curve, tr.src[j].end)
				case int(j) < k:
					return curve[u-1].lag
				}
				return curve[u].lag
			})
			ll -= 0.01 * math.Abs(float64(k-now))
			if ll > bestLL {
				best, bestLL = k, ll
			}
		}
		switch {
		case best == 0:
			curve[u].from = tr.src[0].start
		case best == len(tr.src):
			curve[u].from = tr.src[best-1].end + 1
		default:
			curve[u].from = (tr.src[best-1].end + tr.src[best].end) / 2
		}
	}
	slices.SortStableFunc(curve[1:], func(a, b piece) int { return cmp.Compare(a.from, b.from) })
	tr.setCurve(curve)
	for i := range links {
		m := &links[i]
		best := 0
		for k := range m.links {
			if m.links[k].w > m.links[best].w {
				best = k
			}
		}
		m.unit = pieceOf(tr.curve, tr.src[m.links[best].src].end)
	}
}

// touching gives the linked targets with a candidate among the sources [lo, hi).
func touching(links []linked, lo, hi int32) []linked {
	var out []linked
	for _, m := range links {
		for _, x := range m.links {
			if x.src >= lo && x.src < hi {
				out = append(out, m)
				break
			}
		}
	}
	return out
}

func sourceAfter(tr *track, t float64) int {
	k, _ := slices.BinarySearchFunc(tr.src, t, func(s source, t float64) int { return cmp.Compare(s.end, t) })
	return k
}

// prune removes pieces whose loss costs less likelihood than a jump is worth.
func (l *learner) prune(tr *track, links []linked) {

	for len(tr.curve) > 1 {
		base := l.logLik(tr, links, func(j int32) float64 { return lagAt(tr.curve, tr.src[j].end) })
		bestLoss := math.Inf(1)
		var best []piece
		for u := range tr.curve {
			for _, left := range []bool{true, false} {
				curve := slices.Clone(tr.curve)
				switch {
				case left && u > 0: // the piece before goes on
					curve = slices.Delete(curve, u, u+1)
				case !left && u+1 < len(curve): // the next one begins earlier
					curve[u+1].from = curve[u].from
					curve = slices.Delete(curve, u, u+1)
				default:
					continue
				}
				loss := base - l.logLik(tr, links, func(j int32) float64 { return lagAt(curve, tr.src[j].end) })
				if loss < bestLoss {
					best, bestLoss = curve, loss
				}
			}
		}
		if bestLoss > jumpCost(links) {
			return
		}
		tr.setCurve(best)
	}
}
