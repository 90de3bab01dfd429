package align

import (
	"cmp"
	"math"
	"slices"
)

// The delay law and the lag are estimated together: a longer lag and slower people look alike, and only the shape of the
// delays tells them apart. On a grid of (total delay, location, spread) the likelihood of all linked messages is summed
// up per piece of the lag curve; location and spread are shared by all pieces of all streams with the same crowd. What is
// reported are posterior means, which err less than the maximum where the likelihood is flat.

// lawFit is the law of one track and how well it fits.
type lawFit struct {
	law
	logEvidence float64 // of the chosen law
	other       law     // the best of the other kind
	otherLog    float64
	links       int // messages it rests on
}

// link is a candidate pair as the lag sees it.
type link struct {
	src  int32
	x    float64 // target time minus end of the source: lag plus delay
	late float64 // seconds back to the other likely moment of reaction
	w    float64 // answers over background, the timing aside
}

// linked is a target whose content says something about which source it answers.
type linked struct {
	t      float64
	weight float64
	unit   int // piece of the curve that its best source lies in
	links  []link
}

// grid of laws.
type gridLaw struct {
	law
	prior float64
	f     *density
}

const (
	totalStep = 0.1  // s; grid of lag change plus delay
	totalHalf = 14   // grid points on either side of the present value
	wordBlur  = 0.05 // s; deviation of the ends of words
	jumpCost  = 5.0  // nats that a jump of the lag has to pay for its place and height
)

func (l *learner) lawGrid() []gridLaw {
	if l.grid != nil {
		return l.grid
	}
	for _, gamma := range []bool{false, true} {
		for mu := 0.3; mu < 1.95; mu += 0.1 {
			for sigma := 0.35; sigma < 0.86; sigma += 0.05 {
				w := law{gamma, mu, sigma}
				l.grid = append(l.grid, gridLaw{w, w.logPrior(), newDensity(w, -4, l.c.opt.DelayMax.Seconds()+4, wordBlur)})
			}
		}
	}
	return l.grid
}

// links gathers what the scored targets of a track say about time.
func (l *learner) links(tr *track, posts []scored) []linked {
	var out []linked
	for i := range posts {
		s := &posts[i]
		t := &tr.tgt[l.learn[tr.number][i]]
		if t.class != plain || len(s.cand) == 0 {
			continue
		}
		base := math.Log(tr.answers+1e-9) - math.Log(tr.rate+1e-9) + s.odds
		best, top := -1, 0.0
		for j := range s.cand {
			if c := &s.cand[j]; best < 0 || c.content > top {
				best, top = j, c.content
			}
		}
		if top < 0.7 || top+base < -2 {
			continue
		}
		m := linked{t: t.t, weight: 1 / (1 + 0.5*float64(t.same)), unit: pieceOf(tr.curve, tr.src[s.cand[best].src].end)}
		for j := range s.cand {
			c := &s.cand[j]
			if c.content < top-4 {
				continue
			}
			src := &tr.src[c.src]
			late := src.late
			if c.phi.anchor >= 0 {
				late = float64(c.phi.anchor)
			}
			m.links = append(m.links, link{c.src, t.t - src.end, late, math.Exp(math.Min(12, base+c.content))})
		}
		out = append(out, m)
	}
	if len(out) > lawTargets {
		for i := range lawTargets {
			out[i] = out[i*len(out)/lawTargets]
		}
		out = out[:lawTargets]
	}
	return out
}

func pieceOf(curve []piece, t float64) int {
	k := 0
	for k+1 < len(curve) && t >= curve[k+1].from {
		k++
	}
	return k
}

// fitDelays re-estimates laws, lags and change points; again looks for jumps anew.
func (l *learner) fitDelays(posts [][]scored, again bool) {
	c := l.c
	grid := l.lawGrid()
	all := make([][]linked, len(c.tracks))
	perTrack := make([][]float64, len(c.tracks)) // log-likelihood by law, lags of its pieces integrated out
	surfaces := make([][][]float64, len(c.tracks))
	parallelTracks(len(c.tracks), c.opt.Workers, func(k int) {
		tr := c.tracks[k]
		all[k] = l.links(tr, posts[k])
		fixed := len(c.opt.lagMap(tr.in.Stream)) > 0
		if !fixed {
			if again {
				l.resegment(tr, posts[k])
				all[k] = l.links(tr, posts[k])
			}
			l.moveChangePoints(tr, all[k])
		}
		surfaces[k], perTrack[k] = l.surface(tr, all[k], grid, fixed)
	})
	pooled := make([]bool, len(c.tracks))
	for k := range pooled {
		pooled[k] = len(all[k]) > 0
	}
	post := lawPosterior(grid, perTrack, pooled)
	top := argmax(post)
	for k := range c.tracks {
		if !pooled[k] {
			continue
		}
		own := lawPosterior(grid, perTrack[k:k+1], []bool{true})
		if b := argmax(own); perTrack[k][b]+grid[b].prior-perTrack[k][top]-grid[top].prior > 6 {
			pooled[k] = false // another crowd
		}
	}
	post = lawPosterior(grid, perTrack, pooled)
	for k, tr := range c.tracks {
		if len(all[k]) == 0 {
			continue
		}
		mine := post
		if !pooled[k] {
			mine = lawPosterior(grid, perTrack[k:k+1], []bool{true})
		}
		l.applyLaw(tr, grid, mine, surfaces[k], len(all[k]))
	}
}

// surface gives the log-likelihood of each piece for each law and each total shift, and their sum by law.
func (l *learner) surface(tr *track, links []linked, grid []gridLaw, fixed bool) ([][]float64, []float64) {
	const n = 2*totalHalf + 1
	out := make([][]float64, len(tr.curve))
	for u := range out {
		out[u] = make([]float64, len(grid)*n)
	}
	now := l.m.laws[tr.number]
	for g := range grid {
		for k := range n {
			shift := l.shiftOf(now, grid[g].law, k, fixed)
			if fixed && k != totalHalf {
				for u := range out {
					out[u][g*n+k] = math.Inf(-1)
				}
				continue
			}
			f := grid[g].f
			for i := range links {
				m := &links[i]
				sum := 1.0
				for _, x := range m.links {
					d := x.x - lagAt(tr.curve, tr.src[x.src].end) - shift
					sum += x.w * ((1-lateShare)*f.at(d) + lateShare*f.at(d+x.late))
				}
				out[m.unit][g*n+k] += m.weight * math.Log(sum)
			}
		}
	}
	by := make([]float64, len(grid))
	for g := range grid {
		for u := range out {
			by[g] += logSumExp(out[u][g*n : (g+1)*n])
		}
	}
	return out, by
}

// shiftOf is the change of the lag at which law w has its centre k steps from where the present law has it.
func (l *learner) shiftOf(now, w law, k int, fixed bool) float64 {
	if fixed {
		return 0
	}
	return math.Exp(now.mu) - math.Exp(w.mu) + float64(k-totalHalf)*totalStep
}

// lawPosterior gives the probability of each law of the grid under the tracks that are pooled.
func lawPosterior(grid []gridLaw, perTrack [][]float64, pooled []bool) []float64 {
	out := make([]float64, len(grid))
	for g := range grid {
		out[g] = grid[g].prior
		for k := range perTrack {
			if pooled[k] {
				out[g] += perTrack[k][g]
			}
		}
	}
	all := logSumExp(out)
	for g := range out {
		out[g] = math.Exp(out[g] - all)
	}
	return out
}

// applyLaw takes over the posterior: the likelier kind of law at its mean, and each piece's lag with its interval under
// both kinds.
func (l *learner) applyLaw(tr *track, grid []gridLaw, post []float64, surface [][]float64, links int) {
	const n = 2*totalHalf + 1
	var kinds [2]struct{ p, mu, sigma float64 }
	for g, p := range post {
		k := 0
		if grid[g].gamma {
			k = 1
		}
		kinds[k].p += p
		kinds[k].mu += p * grid[g].mu
		kinds[k].sigma += p * grid[g].sigma
	}
	pick := 0
	if kinds[1].p > kinds[0].p {
		pick = 1
	}
	laws := [2]law{}
	for k := range laws {
		laws[k] = law{k == 1, kinds[k].mu / math.Max(kinds[k].p, 1e-300), kinds[k].sigma / math.Max(kinds[k].p, 1e-300)}
	}
	now := l.m.laws[tr.number]
	curve := slices.Clone(tr.curve)
	if len(l.c.opt.lagMap(tr.in.Stream)) == 0 {
		for u := range curve {
			type point struct{ shift, p float64 }
			var points []point
			sum, mean := 0.0, 0.0
			for g, pg := range post {
				if pg < 1e-6 {
					continue
				}
				row := surface[u][g*n : (g+1)*n]
				all := logSumExp(row)
				for k, v := range row {
					p := pg * math.Exp(v-all)
					if p < 1e-7 {
						continue
					}
					s := l.shiftOf(now, grid[g].law, k, false)
					points = append(points, point{s, p})
					sum += p
					mean += p * s
				}
			}
			if sum == 0 {
				continue
			}
			slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.shift, b.shift) })
			lo, hi, acc := points[0].shift, points[len(points)-1].shift, 0.0
			for _, p := range points {
				if acc < 0.025*sum {
					lo = p.shift
				}
				if acc < 0.975*sum {
					hi = p.shift
				}
				acc += p.p
			}
			was := curve[u].lag
			curve[u].lag = was + mean/sum
			curve[u].lo, curve[u].hi = was+lo, was+hi
		}
	}
	tr.setCurve(curve)
	l.m.laws[tr.number] = laws[pick]
	l.m.f[tr.number] = l.density(laws[pick], anchorBlur)
	l.m.fits[tr.number] = lawFit{law: laws[pick], logEvidence: math.Log(kinds[pick].p + 1e-300), other: laws[1-pick],
		otherLog: math.Log(kinds[1-pick].p + 1e-300), links: links}
}

// logLik is the log-likelihood of linked targets when source j has lag lagOf(j).
func (l *learner) logLik(tr *track, links []linked, lagOf func(j int32) float64) float64 {
	f := l.m.f[tr.number]
	sum := 0.0
	for i := range links {
		m := &links[i]
		s := 1.0
		for _, x := range m.links {
			d := x.x - lagOf(x.src)
			s += x.w * ((1-lateShare)*f.at(d) + lateShare*f.at(d+x.late))
		}
		sum += m.weight * math.Log(s)
	}
	return sum
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
		if bestLoss > jumpCost {
			return
		}
		tr.setCurve(best)
	}
}

func logSumExp(x []float64) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = math.Max(top, v)
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}

func argmax(x []float64) int {
	k := 0
	for i, v := range x {
		if v > x[k] {
			k = i
		}
	}
	return k
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
					sum += x.w * ((1-lateShare)*f.at(d) + lateShare*f.at(d+x.late))
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
		return l.logLik(tr, wide, func(j int32) float64 { return lagAt(tr.curve, tr.src[j].end) }) - jumpCost*float64(len(tr.curve)-1)
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
		return x.w * ((1-lateShare)*f.at(d) + lateShare*f.at(d+x.late))
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
	if best.gain < jumpCost {
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
			late := src.late
			if phi.anchor >= 0 {
				late = float64(phi.anchor)
			}
			m.links = append(m.links, link{int32(j), t.t - src.end, late, math.Exp(math.Min(12, base+content))})
		}
		if top < 0.7 || len(m.links) == 0 {
			continue
		}
		out = append(out, m)
	}
	return out
}
