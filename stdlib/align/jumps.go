package align

import (
	"cmp"
	"math"
	"slices"
)

// jumpCost is what a jump of the lag has to pay, in nats, for its place and height: the more linked messages there are, the
// more places it could have had (Schwarz 1978), and far jumps are rarer than near ones.
func jumpCost(links []linked, height float64) float64 {
	const near = 6.0 // s
	return 0.95*math.Log(float64(len(links)+2)) + math.Log1p(height*height/(near*near)) - 0.25
}

// jumpCosts is what all jumps of a curve pay.
func jumpCosts(links []linked, curve []piece) float64 {
	sum := 0.0
	for u := 1; u < len(curve); u++ {
		sum += jumpCost(links, curve[u].lag-curve[u-1].lag)
	}
	return sum
}

// coverage says how many answers a lag makes one expect. A source whose answers would come after the chat's end, or before
// its beginning, has none to expect; one that a lag brings among the chat has to show them (the exposure of a Poisson process).
type coverage struct {
	tr          *track
	f           *density
	first, last float64 // targets lie between
	answers     float64 // linked answers that a source has, where chat covers all of them
}

// covers is the share of a source's answers that fall into the chat under a lag.
func (c *coverage) covers(j int, lag float64) float64 {
	arrive := c.tr.src[j].end + lag
	return c.f.between(c.first-arrive, c.last-arrive)
}

// expected is the number of linked answers to the sources [lo, hi).
func (c *coverage) expected(lo, hi int, lagOf func(j int32) float64) float64 {
	sum := 0.0
	for j := lo; j < hi; j++ {
		sum += c.covers(j, lagOf(int32(j)))
	}
	return c.answers * sum
}

// coverage counts the answers of linked targets under the present curve.
func (l *learner) coverage(tr *track, links []linked) *coverage {
	c := &coverage{tr: tr, f: l.m.f[tr.number]}
	if n := len(tr.tgt); n > 0 {
		c.first, c.last = tr.tgt[0].t, tr.tgt[n-1].t
	}
	found := 0.0
	for i := range links {
		sum := 1.0
		for k := range links[i].links {
			x := &links[i].links[k]
			sum += x.w * c.f.reaction(x.x-lagAt(tr.curve, tr.src[x.src].end), x.told)
		}
		found += links[i].weight * (1 - 1/sum)
	}
	covered := 0.0
	for j := range tr.src {
		covered += c.covers(j, lagAt(tr.curve, tr.src[j].end))
	}
	c.answers = found / math.Max(1, covered)
	return c
}

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
		if !l.split(tr, wide, of, l.coverage(tr, wide), lo, hi) {
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
	cov := l.coverage(tr, wide)
	cost := func() float64 {
		lagOf := func(j int32) float64 { return lagAt(tr.curve, tr.src[j].end) }
		return l.logLik(tr, wide, lagOf) - cov.expected(0, len(tr.src), lagOf) - jumpCosts(wide, tr.curve)
	}
	before := cost()
	tr.setCurve(curve)
	l.moveChangePoints(tr, wide)
	if cost() < before {
		tr.setCurve(was)
	}
}

// split makes the best split of any piece, if it is worth it.
func (l *learner) split(tr *track, wide []linked, of [][][2]int32, cov *coverage, lo, hi float64) bool {
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
					g -= cov.answers * (cov.covers(j, lag) - cov.covers(j, tr.curve[u].lag))
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
		whole, before := gain[0][b-a], jumpCosts(wide, tr.curve)
		for n := 1; n < b-a; n++ {
			short := math.Min(tr.src[a+n-1].end-tr.src[a].start, tr.src[b-1].end-tr.src[a+n].start) < smallest
			if short || math.Abs(at[0][n]-at[1][n]) < 1 {
				continue
			}
			g := gain[0][n] + gain[1][n] - whole - (jumpCosts(wide, splitAt(tr.curve, u, piece{lag: at[0][n]}, piece{lag: at[1][n]})) - before)
			if g > best.gain {
				best.gain, best.unit, best.at, best.before, best.after = g, u, a+n, at[0][n], at[1][n]
			}
		}
	}
	if best.gain == 0 {
		return false
	}
	first := tr.curve[best.unit]
	first.lag = best.before
	tr.setCurve(splitAt(tr.curve, best.unit, first, piece{from: (tr.src[best.at-1].end + tr.src[best.at].end) / 2, lag: best.after,
		lo: best.after - 1, hi: best.after + 1}))
	return true
}

// splitAt is a curve with two pieces in place of its piece u.
func splitAt(curve []piece, u int, first, second piece) []piece {
	out := append(slices.Clone(curve[:u]), first, second)
	return append(out, curve[u+1:]...)
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
		m := linked{target: learn[i], t: t.t, weight: 1 / (1 + 0.5*float64(t.same))}
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

// moveChangePoints drops pieces that the links do not support and puts each jump where the links have it: a jump lies between
// two sources, and each gap is as likely as it is long and as the links fit.
func (l *learner) moveChangePoints(tr *track, links []linked) {
	if len(tr.curve) < 2 || len(links) == 0 {
		return
	}
	l.prune(tr, links)
	cov := l.coverage(tr, links)
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
		touched := touching(links, int32(lo), int32(hi))
		post := make([]float64, hi-lo+1)
		for k := lo; k <= hi; k++ {
			lagOf := func(j int32) float64 {
				switch {
				case int(j) < lo || int(j) >= hi:
					return lagAt(curve, tr.src[j].end)
				case int(j) < k:
					return curve[u-1].lag
				}
				return curve[u].lag
			}
			ll := l.logLik(tr, touched, lagOf) - cov.expected(lo, hi, lagOf)
			from, to := tr.gap(k)
			post[k-lo] = ll + math.Log(math.Max(0.05, to-from)) - 0.01*math.Abs(float64(k-now))
		}
		// half of the posterior lies before the median, which errs least
		all, before := logSumExp(post), 0.0
		for k := lo; k <= hi; k++ {
			p := math.Exp(post[k-lo] - all)
			if before+p >= 0.5 || k == hi {
				from, to := tr.gap(k)
				curve[u].from = from + (to-from)*math.Min(1, (0.5-before)/math.Max(p, 1e-9))
				break
			}
			before += p
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

// gap gives the bounds between which the lag jumps when source k is the first with the new one.
func (tr *track) gap(k int) (from, to float64) {
	switch n := len(tr.src); {
	case k == n:
		return tr.src[n-1].end + 1, tr.src[n-1].end + 2
	case k == 0:
		return tr.src[0].start, tr.src[0].end
	}
	return tr.src[k-1].end, tr.src[k].end
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
	cov := l.coverage(tr, links)
	worth := func(curve []piece) float64 {
		lagOf := func(j int32) float64 { return lagAt(curve, tr.src[j].end) }
		return l.logLik(tr, links, lagOf) - cov.expected(0, len(tr.src), lagOf) - jumpCosts(links, curve)
	}
	for len(tr.curve) > 1 {
		base := worth(tr.curve)
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
				loss := base - worth(curve)
				if loss < bestLoss {
					best, bestLoss = curve, loss
				}
			}
		}
		if bestLoss > 0 {
			return
		}
		tr.setCurve(best)
	}
}
