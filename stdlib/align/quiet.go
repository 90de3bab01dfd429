package align

import "math"

// A quiet chat leaves its lag open: a dozen linked messages do not say to the second what it is, nor where it jumps. To judge
// by the one best curve would be to believe its errors. So each message of a quiet chat is judged under all lags that the
// other messages leave open for it, each by its probability: the chain over lags of lag.go, run forward and backward
// (Rabiner 1989) with the message itself left out, since none vouches for itself.
const (
	quietMessages = 100    // plain messages; with more the curve is certain enough
	openReach     = 9.0    // s around the curve's lags that are looked at
	driftEvery    = 1200.0 // s in which a lag moves to its neighbour on the grid once
	jumpNear      = 6.0    // s; height above which jumps get rare
	leastOpen     = 1e-3   // probability below which a lag is left out
)

// openLag is a lag that a target may have, and how probable it is.
type openLag struct{ lag, p float64 }

// quiet says whether the lags of a track are left open.
func (tr *track) quiet() bool {
	n := 0
	for i := range tr.tgt {
		if tr.tgt[i].class == plain {
			n++
		}
	}
	return !tr.lagSet && n <= quietMessages && len(tr.src) > 0 && len(tr.tgt) > 1
}

// openLags gives every target of a track the lags that the others leave open for it.
func (l *learner) openLags(tr *track) {
	ch := newLagChain(tr.curve)
	evidence := make([][]float64, len(tr.tgt)) // by lag, up to a factor; nil where a target says nothing
	f := l.m.f[tr.number]
	for _, m := range l.wideLinks(tr, l.scoreAll(tr, tr, 0), ch.lo, ch.lag(ch.n-1)) {
		row, top := make([]float64, ch.n), 0.0
		for g := range row {
			sum := 1.0
			for _, x := range m.links {
				sum += x.w * f.reaction(x.x-ch.lag(g), x.told)
			}
			row[g] = math.Pow(sum, m.weight)
			top = math.Max(top, row[g])
		}
		for g := range row {
			row[g] /= top
		}
		evidence[m.target] = row
	}
	times := make([]float64, len(tr.tgt))
	for i := range times {
		times[i] = tr.tgt[i].t
	}
	for i, p := range ch.others(times, evidence) {
		tr.tgt[i].lags = ch.open(p)
	}
	tr.openReach = ch.lag(ch.n-1) - ch.lo
}

// lagChain is a Markov chain over lags on a grid: they stay, drift to a neighbour, or jump, far seldom.
type lagChain struct {
	lo   float64
	n    int
	land [][]float64 // [from][to] probability of a jump's end
}

func newLagChain(curve []piece) *lagChain {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, p := range curve {
		lo, hi = math.Min(lo, p.lag), math.Max(hi, p.lag)
	}
	ch := &lagChain{lo: lo - openReach, n: int((hi-lo+2*openReach)/gridStep) + 1}
	for a := range ch.n {
		row := make([]float64, ch.n)
		for b := range row {
			h := float64(a-b) * gridStep / jumpNear
			row[b] = 1 / (1 + h*h)
		}
		ch.land = append(ch.land, normalised(row))
	}
	return ch
}

func (ch *lagChain) lag(g int) float64 { return ch.lo + float64(g)*gridStep }

func (ch *lagChain) even() []float64 {
	p := make([]float64, ch.n)
	for g := range p {
		p[g] = 1 / float64(ch.n)
	}
	return p
}

// move gives the probabilities that a lag jumps, and drifts to either side, within dt seconds.
func (ch *lagChain) move(dt float64) (jump, drift float64) {
	dt = math.Max(0.1, dt)
	return -math.Expm1(-dt / jumpEvery), -math.Expm1(-dt/driftEvery) / 2
}

// others gives, for each of some times in order, the probabilities of its lag under the evidence of all the others.
func (ch *lagChain) others(times []float64, evidence [][]float64) [][]float64 {
	out := make([][]float64, len(times))
	state := ch.even()
	for i := range times {
		if i > 0 {
			state = ch.forward(state, times[i]-times[i-1])
		}
		out[i] = state
		state = ch.learn(state, evidence[i])
	}
	state = ch.even()
	for i := len(times) - 1; i >= 0; i-- {
		if i+1 < len(times) {
			state = ch.backward(state, times[i+1]-times[i])
		}
		out[i] = ch.learn(state, out[i])
		state = ch.learn(state, evidence[i])
	}
	return out
}

// forward gives the probabilities of the lags dt seconds later.
func (ch *lagChain) forward(p []float64, dt float64) []float64 {
	jump, drift := ch.move(dt)
	out := make([]float64, ch.n)
	for a, v := range p {
		stay := (1 - jump) * v
		out[a] += (1 - 2*drift) * stay
		out[max(0, a-1)] += drift * stay
		out[min(ch.n-1, a+1)] += drift * stay
		if v > 1e-12 {
			for b, x := range ch.land[a] {
				out[b] += jump * v * x
			}
		}
	}
	return out
}

// backward gives the likelihood, by lag, of what is known of the lags dt seconds later.
func (ch *lagChain) backward(p []float64, dt float64) []float64 {
	jump, drift := ch.move(dt)
	out := make([]float64, ch.n)
	for a := range out {
		out[a] = (1 - jump) * ((1-2*drift)*p[a] + drift*(p[max(0, a-1)]+p[min(ch.n-1, a+1)]))
		for b, x := range ch.land[a] {
			out[a] += jump * x * p[b]
		}
	}
	return out
}

// learn multiplies in what evidence says, nil for nothing.
func (ch *lagChain) learn(p, evidence []float64) []float64 {
	if evidence == nil {
		return p
	}
	out := make([]float64, ch.n)
	for g := range out {
		out[g] = p[g] * evidence[g]
	}
	return normalised(out)
}

// open gives the lags with a probability worth looking at.
func (ch *lagChain) open(p []float64) []openLag {
	var out []openLag
	sum := 0.0
	for g, v := range p {
		if v > leastOpen {
			out = append(out, openLag{ch.lag(g), v})
			sum += v
		}
	}
	for k := range out {
		out[k].p /= sum
	}
	return out
}

// normalised scales p in place to a sum of 1.
func normalised(p []float64) []float64 {
	sum := 0.0
	for _, v := range p {
		sum += v
	}
	for g := range p {
		p[g] /= sum
	}
	return p
}

// timing is the density of an answer x seconds after the end of what it answers, on the two clocks, and the lag that it then
// has: the mean over the lags that are open, each by how well the answer fits it.
func (t *target) timing(f *density, x, told float64) (density, lag float64) {
	for _, o := range t.lags {
		v := o.p * f.reaction(x-o.lag, told)
		density += v
		lag += v * o.lag
	}
	if density > 0 {
		lag /= density
	}
	return density, lag
}
