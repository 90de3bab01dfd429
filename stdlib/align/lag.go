package align

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// The first estimate of the lag looks at shared words only. A word that is said at time a and written at time t is
// evidence for the lags near t - a: under a Poisson model of how often the word is written anyway, the log-likelihood
// ratio of "said, so written after lag L and a human delay" is log(1 + A f(t-a-L) / lambda_word). A hidden Markov chain
// over the utterances, whose state is the lag on a grid, adds that evidence up and lets the lag jump at a price
// (Rabiner 1989 for the two passes).
const (
	gridStep    = 0.25  // s between lags that are tried
	jumpEvery   = 600.0 // s; expected time between jumps of the lag
	copyRate    = 0.3   // expected messages that repeat a said word: the A above
	maxDelay    = 14.0  // s; the tail of the delays that the first estimate looks at
	lagTargets  = 40000 // messages looked at for the lag, in a stream; more are thinned evenly
	nullRepeats = 24    // block-permuted copies of the chat that say how much evidence chance gives; fewer for long chats
)

// piece is a stretch of source time, in seconds, with one lag.
type piece struct {
	from, lag, lo, hi float64
}

// lagAt gives the lag at a source time. Curves have few pieces.
func lagAt(curve []piece, t float64) float64 {
	l := curve[0].lag
	for _, p := range curve[1:] {
		if t < p.from {
			break
		}
		l = p.lag
	}
	return l
}

// setCurve fixes the lag of a track and the order in which its sources arrive on the targets' clock.
func (tr *track) setCurve(curve []piece) {
	tr.curve = curve
	if tr.arrive == nil {
		tr.arrive = make([]float64, len(tr.src))
		tr.byArrive = make([]int32, len(tr.src))
	}
	for i := range tr.src {
		tr.arrive[i] = tr.src[i].end + lagAt(curve, tr.src[i].end)
		tr.byArrive[i] = int32(i)
	}
	slices.SortFunc(tr.byArrive, func(a, b int32) int { return cmp.Or(cmp.Compare(tr.arrive[a], tr.arrive[b]), cmp.Compare(a, b)) })
}

// defaultDelay is the delay density that the first estimate assumes, blurred for reactions before the sentence is over,
// in steps of delayStep from -1 s.
const delayStep = 0.05

var defaultDelay = func() []float32 {
	out := make([]float32, int((maxDelay+1)/delayStep)+1)
	for i := range out {
		x := float64(i)*delayStep - 1
		out[i] = float32(0.6*lognormal(x, math.Log(2.6), 0.6) + 0.4*lognormal(x+0.6, math.Log(2.6), 0.6))
	}
	return out
}()

// lagSearch is the grid and the per-utterance evidence for each of its lags.
type lagSearch struct {
	lo    float64   // first lag of the grid
	n     int       // lags on the grid
	at    []float64 // times of the sources
	score []float32 // [source][lag] log-likelihood ratios
}

// estimateLag finds a track's lag curve from shared words, or takes the one that the caller set.
func (c *corpus) estimateLag(ctx context.Context, tr *track) error {
	sign := 1.0
	if c.opt.Direction == ChatToSpeech {
		sign = -1 // the targets are speech: their clock minus the sources'
	}
	if set := c.opt.lagMap(tr.in.Stream); len(set) > 0 {
		var curve []piece
		for _, p := range set {
			from := (p.From - tr.t0).Seconds()
			if sign < 0 {
				from += p.Lag.Seconds() // speech time to chat time
			}
			lag := sign * p.Lag.Seconds()
			lo, hi := sign*p.Lo.Seconds(), sign*p.Hi.Seconds()
			if p.Lo == 0 && p.Hi == 0 {
				lo, hi = lag, lag
			}
			curve = append(curve, piece{from, lag, min(lo, hi), max(lo, hi)})
		}
		tr.setCurve(curve)
		tr.lagSet = true
		return nil
	}
	thin := tr.thinned()
	s, path, total := c.wordLag(tr, thin, nil)
	tr.setCurve(s.pieces(path))
	if err := ctx.Err(); err != nil {
		return err
	}
	var null []float64
	repeats := max(6, min(nullRepeats, nullRepeats*500/max(1, len(thin))))
	for k := range repeats {
		_, _, t := c.wordLag(tr, thin, tr.permuted(thin, k))
		null = append(null, t)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	mean, sd := meanAndDeviation(null)
	tr.linkScore = (total - mean) / math.Max(sd, 0.5)
	if len(tr.src) == 0 || len(thin) == 0 {
		tr.linkScore = 0
	}
	return c.testLink(ctx, tr)
}

// wordLag is the path of lags that shared words speak for, on its grid, and its log-likelihood ratio. times, where not nil,
// stand in for the times of the thinned targets.
func (c *corpus) wordLag(tr *track, thin []int32, times []float64) (s *lagSearch, path []int, total float64) {
	lo, hi := c.opt.LagMin.Seconds(), c.opt.LagMax.Seconds()
	if c.opt.Direction == ChatToSpeech {
		lo, hi = -hi, -lo
	}
	s = &lagSearch{lo: lo, n: int(math.Round((hi-lo)/gridStep)) + 1}
	s.collect(c, tr, thin, times)
	path, total = s.viterbi()
	return s, path, total
}

// thinned gives the targets that the lag estimate looks at.
func (tr *track) thinned() []int32 {
	var out []int32
	for i := range tr.tgt {
		if tr.tgt[i].class == plain {
			out = append(out, int32(i))
		}
	}
	if len(out) > lagTargets {
		for i := range lagTargets {
			out[i] = out[i*len(out)/lagTargets]
		}
		out = out[:lagTargets]
	}
	return out
}

// permuted gives the times of the thinned targets after their blocks changed places: bursts and repeats stay as they
// are, any link to the sources is gone. Permutation k reverses and interleaves the blocks in another way.
func (tr *track) permuted(thin []int32, k int) []float64 {
	block := max(permutedBlock.Seconds(), (tr.last-tr.first)/mostBlocks)
	n := int((tr.last-tr.first)/block) + 1
	order := blockOrder(n, k)
	out := make([]float64, len(thin))
	for i, t := range thin {
		x := tr.tgt[t].t - tr.first
		b := min(int(x/block), n-1)
		out[i] = tr.first + float64(order[b])*block + x - float64(b)*block
	}
	return out
}

// permutedBlock is how much of the chat stays together in a permutation; more where a chat spans weeks.
const (
	permutedBlock = 15 * time.Second
	mostBlocks    = 100_000
)

// blockOrder is permutation k of n blocks.
func blockOrder(n, k int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	r := splitmix(uint64(k)*0x9e3779b97f4a7c15 + 12345)
	for i := n - 1; i > 0; i-- {
		j := int(r.next() % uint64(i+1))
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// collect fills in the evidence. times, where not nil, stand in for the times of the thinned targets.
func (s *lagSearch) collect(c *corpus, tr *track, thin []int32, times []float64) {
	s.at = make([]float64, len(tr.src))
	s.score = make([]float32, len(tr.src)*s.n)
	type use struct {
		t      float64
		weight float32
	}
	uses := map[int32][]use{}
	for i, ti := range thin {
		t := &tr.tgt[ti]
		at := t.t
		if times != nil {
			at = times[i]
		}
		for _, id := range tr.targetIDs(t) {
			if c.df[sources][id] > 0 {
				uses[id] = append(uses[id], use{at, float32(1 / (1 + float64(t.same)))})
			}
		}
	}
	if times != nil {
		for _, u := range uses {
			slices.SortFunc(u, func(a, b use) int { return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(a.weight, b.weight)) })
		}
	}
	span := math.Max(30, tr.last-tr.first)
	reach := s.lo + float64(s.n-1)*gridStep + maxDelay
	thinning := 1.0
	if n := len(tr.tgt); n > 0 && len(thin) == lagTargets {
		thinning = float64(len(thin)) / float64(n)
	}
	for j := range tr.src {
		src := &tr.src[j]
		s.at[j] = src.end
		row := s.score[j*s.n : (j+1)*s.n]
		for k := src.lo; k < src.hi; k++ {
			u := uses[tr.ids[k]]
			if len(u) == 0 || c.df[sources][tr.ids[k]] > 0.25*c.docs[sources]+2 {
				continue
			}
			rate := float64(len(u)) / span
			ratio := float32(copyRate * thinning / rate)
			said := src.end - float64(tr.ends[k])
			first, _ := slices.BinarySearchFunc(u, said+s.lo-1, func(x use, t float64) int { return cmp.Compare(x.t, t) })
			for _, x := range u[first:] {
				if x.t-said > reach {
					break
				}
				// lags with -1 < x.t-said-lag < maxDelay
				hi := min(s.n-1, int(math.Floor((x.t-said+1-s.lo)/gridStep)))
				lo := max(0, int(math.Ceil((x.t-said-maxDelay-s.lo)/gridStep)))
				for i := lo; i <= hi; i++ {
					d := int((x.t - said - s.lo - float64(i)*gridStep + 1) / delayStep)
					if d < 0 || d >= len(defaultDelay) {
						continue
					}
					row[i] += x.weight * float32(math.Log1p(float64(ratio*defaultDelay[d])))
				}
			}
		}
	}
}

// viterbi gives the best lag of each source and the log-likelihood ratio of the whole path.
func (s *lagSearch) viterbi() ([]int, float64) {
	n := len(s.at)
	if n == 0 {
		return nil, 0
	}
	best := make([]float64, s.n)
	next := make([]float64, s.n)
	from := make([]int32, n*s.n)
	for j := range n {
		row := s.score[j*s.n : (j+1)*s.n]
		if j == 0 {
			for i := range best {
				best[i] = float64(row[i])
			}
			continue
		}
		top := 0
		for i := range best {
			if best[i] > best[top] {
				top = i
			}
		}
		dt := math.Max(0.1, s.at[j]-s.at[j-1])
		jump := math.Log(-math.Expm1(-dt/jumpEvery)) - math.Log(float64(s.n)/8)
		drift := math.Log(-math.Expm1(-dt / 300))
		for i := range best {
			b, f := best[i], i
			if v := best[top] + jump; v > b {
				b, f = v, top
			}
			if i > 0 && best[i-1]+drift > b {
				b, f = best[i-1]+drift, i-1
			}
			if i+1 < s.n && best[i+1]+drift > b {
				b, f = best[i+1]+drift, i+1
			}
			next[i] = b + float64(row[i])
			from[j*s.n+i] = int32(f)
		}
		best, next = next, best
	}
	top := 0
	for i := range best {
		if best[i] > best[top] {
			top = i
		}
	}
	path := make([]int, n)
	path[n-1] = top
	for j := n - 1; j > 0; j-- {
		path[j-1] = int(from[j*s.n+path[j]])
	}
	return path, best[top]
}

// pieces turns a path into stretches of one lag. Neighbours within half a second are one stretch, at their mean.
func (s *lagSearch) pieces(path []int) []piece {
	if len(path) == 0 {
		return []piece{{lag: 0, lo: s.lo, hi: s.lo + float64(s.n-1)*gridStep}}
	}
	var out []piece
	begin := 0
	for j := 1; j <= len(path); j++ {
		if j < len(path) && abs(path[j]-path[j-1]) <= 2 {
			continue
		}
		sum := 0.0
		for _, i := range path[begin:j] {
			sum += s.lo + float64(i)*gridStep
		}
		p := piece{from: 0, lag: sum / float64(j-begin)}
		if begin > 0 {
			p.from = (s.at[begin-1] + s.at[begin]) / 2
		}
		p.lo, p.hi = p.lag-1, p.lag+1
		out = append(out, p)
		begin = j
	}
	return out
}

func abs(x int) int {
	if x < 0 {
		return -x
	}
	return x
}

func meanAndDeviation(x []float64) (mean, sd float64) {
	if len(x) == 0 {
		return 0, 0
	}
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	for _, v := range x {
		sd += (v - mean) * (v - mean)
	}
	if len(x) > 1 {
		sd = math.Sqrt(sd / float64(len(x)-1))
	}
	return mean, sd
}

// splitmix is a small deterministic generator (Steele, Lea and Flood 2014).
type splitmixState uint64

func splitmix(seed uint64) *splitmixState { s := splitmixState(seed); return &s }

func (s *splitmixState) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// activityLag is the lag at which chat gets busier after speech: the peak of the correlation between the ends of sources
// and the counts of targets, in half seconds, and how many standard deviations it stands out.
func (tr *track) activityLag(lo, hi float64) (lag, z float64, err error) {
	const bin = 0.5
	n := int((tr.last-tr.first)/bin) + 1
	if len(tr.src) < 20 || len(tr.tgt) < 20 {
		return 0, 0, fmt.Errorf("%d utterances and %d messages are too few", len(tr.src), len(tr.tgt))
	}
	said, wrote := make([]float64, n), make([]float64, n)
	for i := range tr.src {
		said[min(n-1, int((tr.src[i].end-tr.first)/bin))]++
	}
	for i := range tr.tgt {
		if tr.tgt[i].class == plain {
			wrote[min(n-1, int((tr.tgt[i].t-tr.first)/bin))]++
		}
	}
	center(said)
	center(wrote)
	var at, r []float64
	for k := int(lo / bin); k <= int((hi+3)/bin); k++ {
		sum, m := 0.0, 0
		for i := range said {
			if j := i + k; j >= 0 && j < n {
				sum += said[i] * wrote[j]
				m++
			}
		}
		if m > n/4 {
			at, r = append(at, float64(k)*bin), append(r, sum/float64(m))
		}
	}
	if len(r) < 10 {
		return 0, 0, fmt.Errorf("the stream is too short for the lags looked at")
	}
	smooth := make([]float64, len(r))
	for i := range r {
		a, b := max(0, i-2), min(len(r), i+3)
		for _, v := range r[a:b] {
			smooth[i] += v / float64(b-a)
		}
	}
	mean, sd := meanAndDeviation(smooth)
	top := 0
	for i := range smooth {
		if smooth[i] > smooth[top] {
			top = i
		}
	}
	const usualDelay = 2.5 // s; the peak is at the lag plus the usual delay
	return at[top] - usualDelay, (smooth[top] - mean) / math.Max(sd, 1e-12), nil
}

func center(x []float64) {
	mean, _ := meanAndDeviation(x)
	for i := range x {
		x[i] -= mean
	}
}
