package align

import (
	"math"
	"runtime"
	"slices"
	"sync"
)

// folds is the number of parts of the corpus. What is learned about texts and authors is applied to a part only from the
// other parts, so that no message vouches for itself.
const (
	folds    = 8
	foldSpan = 30.0 // s of stream time that stay together
)

// evidence of one candidate: a target and a source that it may answer.
type candidate struct {
	src     int32
	lag     float64 // under which it is looked at
	delay   float64 // from its end, the lag taken off
	timing  float64 // log density of the delay
	phi     features
	content float64 // log density ratio of the content, answers over chance
	r       float64 // posterior probability that the target answers this source
}

// model is what EM estimates. It is read-only while targets are scored.
type model struct {
	c       *corpus
	f       []*density // by track
	laws    []law      // by track
	fits    []lawFit   // by track
	weights weights
	texts   [folds]*textModel // by fold of the target: learned without it, and without others where there are many
	vectors *vectors
	ranker  *ranker // nil where the logistic score stands alone
	ranked  Ranker
	platt   platt // from the log odds of the model to probabilities
}

// textsFor is what a target is judged by.
func (m *model) textsFor(t *target) *textModel { return m.texts[t.fold] }

func (m *model) setTexts(x *textModel) {
	for i := range m.texts {
		m.texts[i] = x
	}
}

// scored is a target's posterior.
type scored struct {
	cand   []candidate
	odds   float64 // log odds that message and author alone give for being an answer
	reply  float64 // probability that it answers any candidate
	direct float64 // log of total answer mass over background
}

// candidatesOf gives the sources whose delay to the target at time t is allowed. shift moves the sources, for decoys.
func (tr *track) candidatesOf(t, shift float64, lo, hi float64, out []int32) []int32 {
	out = out[:0]
	span := math.Max(tr.last-tr.first, 1)
	// with a shift the sources go round: what leaves at the end comes in at the beginning
	for _, turn := range [3]float64{0, span, -span} {
		if shift == 0 && turn != 0 {
			continue
		}
		want := t - shift - turn
		a := tr.searchArrival(want - hi)
		for ; a < len(tr.byArrive); a++ {
			j := tr.byArrive[a]
			if tr.arrive[j] > want-lo {
				break
			}
			out = append(out, j)
		}
	}
	return out
}

func (tr *track) searchArrival(x float64) int {
	lo, hi := 0, len(tr.byArrive)
	for lo < hi {
		mid := (lo + hi) / 2
		if tr.arrive[tr.byArrive[mid]] < x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// delayOf is the delay of a target to a source under a shift, from the source's end.
func (tr *track) delayOf(t float64, j int32, shift float64) float64 {
	d := t - tr.arrive[j] - shift
	if shift == 0 {
		return d
	}
	span := math.Max(tr.last-tr.first, 1)
	if d > span/2 {
		d -= span
	} else if d < -span/2 {
		d += span
	}
	return d
}

// candidates gives the sources of track from that a target of track tr may answer, under one of the lags that are open for it.
func (m *model) candidates(tr *track, t *target, from *track, shift float64, out []int32) []int32 {
	lo, hi := m.c.opt.DelayMin.Seconds(), m.c.opt.DelayMax.Seconds()
	if from != tr || len(t.lags) == 0 {
		return from.candidatesOf(t.t, shift, lo, hi, out)
	}
	out = from.candidatesOf(t.t, shift, lo-tr.openReach, hi+tr.openReach, out)
	return slices.DeleteFunc(out, func(j int32) bool {
		x := from.delayOf(t.t, j, shift) + from.arrive[j] - from.src[j].end
		return x-t.lags[0].lag < lo || x-t.lags[len(t.lags)-1].lag > hi
	})
}

// score computes the posterior of one target of track tr against the sources of track from, which is tr itself but for
// decoys.
func (m *model) score(tr *track, t *target, from *track, shift float64, s *scored, buf *scratch) {
	buf.js = m.candidates(tr, t, from, shift, buf.js)
	s.cand = s.cand[:0]
	f := m.f[tr.number]
	if m.vectors != nil {
		m.vectors.sum(tr.targetIDs(t), &buf.of)
	}
	for _, j := range buf.js {
		src := &from.src[j]
		c := candidate{src: j, delay: from.delayOf(t.t, j, shift), lag: from.arrive[j] - src.end}
		m.features(tr, t, &buf.of, from, src, &c.phi)
		told := float64(c.phi.anchor)
		if from == tr && len(t.lags) > 0 {
			density, lag := t.timing(f, c.delay+c.lag, told)
			c.timing = math.Log(density + 1e-12)
			if density > 0 {
				c.delay, c.lag = c.delay+c.lag-lag, lag
			}
		} else {
			c.timing = math.Log(f.reaction(c.delay, told) + 1e-12)
		}
		c.content = m.weights.score(&c.phi)
		if m.ranker != nil {
			c.content += m.ranker.adds(m.ranker.partOf(tr, t.fold), &c.phi)
		}
		s.cand = append(s.cand, c)
	}
	s.odds = m.textsFor(t).odds(m.c, tr, t)
	s.settle(tr, m.platt)
}

// settle turns the candidates' evidence into probabilities: answers compete with one another and with the background.
func (s *scored) settle(tr *track, p platt) {
	top := math.Inf(-1)
	for i := range s.cand {
		c := &s.cand[i]
		c.r = math.Log(tr.answers+1e-9) + c.timing + c.content
		top = math.Max(top, c.r)
	}
	if len(s.cand) == 0 {
		s.reply, s.direct = 0, math.Inf(-1)
		return
	}
	sum := 0.0
	for i := range s.cand {
		sum += math.Exp(s.cand[i].r - top)
	}
	mass := top + math.Log(sum) // log of the rate of answers
	s.direct = mass + s.odds - math.Log(tr.rate+1e-9)
	s.reply = sigmoid(p.at(s.direct))
	for i := range s.cand {
		s.cand[i].r = s.reply * math.Exp(s.cand[i].r-mass)
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// scratch is what one worker reuses.
type scratch struct {
	js []int32
	of vector // of the target that is scored
}

// chunk is how many targets a worker takes at a time. It does not depend on the number of workers: sums are made per chunk
// and added in order.
const chunk = 4096

// parallel runs f for each chunk of n items. f may write to what belongs to its chunk only.
func parallel(n, workers int, f func(chunk, lo, hi int, buf *scratch)) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	chunks := (n + chunk - 1) / chunk
	next := make(chan int, chunks)
	for i := range chunks {
		next <- i
	}
	close(next)
	var wg sync.WaitGroup
	for range min(workers, chunks) {
		wg.Go(func() {
			buf := &scratch{}
			for i := range next {
				f(i, i*chunk, min(n, (i+1)*chunk), buf)
			}
		})
	}
	wg.Wait()
}

// parallelTracks runs f for each of n streams.
func parallelTracks(n, workers int, f func(k int)) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	slots := make(chan struct{}, workers)
	var wg sync.WaitGroup
	for k := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(k)
		})
	}
	wg.Wait()
}
