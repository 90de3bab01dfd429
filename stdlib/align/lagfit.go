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
	told float64 // seconds from the last word that both share to the end of the source; negative where there is none
	w    float64 // answers over background, the timing aside
}

// linked is a target whose content says something about which source it answers.
type linked struct {
	target int32
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
)

// earlyShares are the shares of early reactions on the grid. Laws that differ in nothing else stand side by side.
var earlyShares = []float64{0, 0.25, 0.5, 0.75}

func (l *learner) lawGrid() []gridLaw {
	if l.grid != nil {
		return l.grid
	}
	for _, gamma := range []bool{false, true} {
		for mu := 0.3; mu < 1.95; mu += 0.1 {
			for sigma := 0.35; sigma < 0.86; sigma += 0.1 {
				f := newDensity(law{gamma: gamma, mu: mu, sigma: sigma}, -4, l.c.opt.DelayMax.Seconds()+4, wordBlur)
				for _, early := range earlyShares {
					w := law{gamma, mu, sigma, early}
					l.grid = append(l.grid, gridLaw{w, w.logPrior(), f})
				}
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
		m := linked{target: l.learn[tr.number][i], t: t.t, weight: 1 / (1 + 0.5*float64(t.same)), unit: pieceOf(tr.curve, tr.src[s.cand[best].src].end)}
		for j := range s.cand {
			c := &s.cand[j]
			if c.content < top-4 {
				continue
			}
			src := &tr.src[c.src]
			m.links = append(m.links, link{c.src, t.t - src.end, float64(c.phi.anchor), math.Exp(math.Min(12, base+c.content))})
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
	steps := []int{totalHalf}
	if !fixed {
		steps = steps[:0]
		for k := range n {
			steps = append(steps, k)
		}
	} else {
		for u := range out {
			for i := range out[u] {
				out[u][i] = math.Inf(-1)
			}
		}
		for u := range out {
			for g := range grid {
				out[u][g*n+totalHalf] = 0
			}
		}
	}
	var x []link // with the lag taken off
	for i := range links {
		m := &links[i]
		x = append(x[:0], m.links...)
		for k := range x {
			x[k].x -= lagAt(tr.curve, tr.src[x[k].src].end)
		}
		for g := 0; g < len(grid); g += len(earlyShares) {
			f := grid[g].f
			for _, k := range steps {
				shift := l.shiftOf(now, grid[g].law, k, fixed)
				var end, change float64
				for _, y := range x {
					e, c := f.moments(y.x-shift, y.told)
					end, change = end+y.w*e, change+y.w*c
				}
				for e, share := range earlyShares {
					out[m.unit][(g+e)*n+k] += m.weight * math.Log(1+end+share*change)
				}
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
	var kinds [2]struct{ p, mu, sigma, early float64 }
	for g, p := range post {
		k := 0
		if grid[g].gamma {
			k = 1
		}
		kinds[k].p += p
		kinds[k].mu += p * grid[g].mu
		kinds[k].sigma += p * grid[g].sigma
		kinds[k].early += p * grid[g].early
	}
	pick := 0
	if kinds[1].p > kinds[0].p {
		pick = 1
	}
	laws := [2]law{}
	for k := range laws {
		p := math.Max(kinds[k].p, 1e-300)
		laws[k] = law{k == 1, kinds[k].mu / p, kinds[k].sigma / p, kinds[k].early / p}
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
			s += x.w * f.reaction(d, x.told)
		}
		sum += m.weight * math.Log(s)
	}
	return sum
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
