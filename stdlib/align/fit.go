package align

import (
	"context"
	"math"
)

// Settings of EM.
const (
	priorShare    = 0.45  // share of messages that answer speech, before any is seen
	priorMessages = 120   // messages that this is worth
	firstBlur     = 0.5   // s; how little the first lag is trusted
	blurredRounds = 1     // rounds in which texts are learned before the lag is touched
	fewTargets    = 2500  // up to here every fold is judged by a model of its own
	crossRounds   = 6     // rounds of EM for each
	chanceShifts  = 4     // shifted copies of the speech that say, in each round, what chance gives
	rounds        = 7     // EM rounds; the likelihood changes little after the fifth
	learnTargets  = 20000 // targets that EM learns from; more are thinned evenly
	lawTargets    = 800   // linked targets that the delay law and the lag are fitted to, in a stream
)

// learner is the state of EM.
type learner struct {
	c     *corpus
	m     *model
	learn [][]int32 // by track: the targets that are learned from
	grid  []gridLaw // laws tried, made once
}

// newLearner starts EM for a corpus whose tracks have a first lag curve.
func newLearner(c *corpus) *learner {
	l := &learner{c: c, m: &model{c: c, platt: platt{0, 1}}}
	m := l.m
	m.setTexts(newTextModel(c))
	if c.opt.has("semantic") && c.embedded == nil {
		m.vectors = newVectors(c)
	}
	m.weights = weights{bias: -0.5}
	m.weights.b[fOverlap], m.weights.b[fAddress] = 1.5, 1.5
	all := 0
	for _, tr := range c.tracks {
		all += len(tr.tgt)
	}
	for _, tr := range c.tracks {
		first := law{mu: math.Log(2.6), sigma: 0.6, early: priorEarly}
		m.laws = append(m.laws, first)
		m.fits = append(m.fits, lawFit{law: first})
		m.f = append(m.f, l.density(first, firstBlur))
		span := math.Max(30, tr.last-tr.first)
		tr.rate = (1 - priorShare) * float64(len(tr.tgt)) / span
		tr.answers = priorShare * float64(len(tr.tgt)) / math.Max(1, float64(len(tr.src)))
		var learn []int32
		step := math.Max(1, float64(all)/learnTargets)
		for x := 0.0; int(x) < len(tr.tgt); x += step {
			learn = append(learn, int32(x))
		}
		l.learn = append(l.learn, learn)
		l.fold(tr)
	}
	return l
}

// fit estimates the model of a corpus whose tracks have a first lag curve.
func fit(ctx context.Context, c *corpus) (*model, error) {
	if c.opt.Embedder != nil && c.opt.has("semantic") {
		var err error
		if c.embedded, err = embedTexts(ctx, c); err != nil {
			return nil, err
		}
	}
	l := newLearner(c)
	for round := range rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.round(round)
	}
	for _, tr := range c.tracks {
		if tr.quiet() {
			l.openLags(tr)
		}
	}
	if err := l.crossFit(ctx); err != nil {
		return nil, err
	}
	return l.m, nil
}

func (l *learner) density(w law, blur float64) *density {
	return newDensity(w, l.c.opt.DelayMin.Seconds(), l.c.opt.DelayMax.Seconds()+1.5, blur)
}

// fold gives every target its part of the corpus: blocks of time on the sources' clock, dealt out in turn.
func (l *learner) fold(tr *track) {
	shift := tr.number * 3
	for i := range tr.tgt {
		t := &tr.tgt[i]
		at := t.t - tr.curve[0].lag
		at = t.t - lagAt(tr.curve, at) - 2.5
		b := int(math.Floor(at/foldSpan)) + shift
		t.fold = uint8(((b % folds) + folds) % folds)
	}
}

// round is one round of EM: score, learn texts and rates, then weights, delays and lags.
func (l *learner) round(round int) {
	c, m := l.c, l.m
	posts, chance, _ := l.expect()
	texts := newTextModel(c)
	for k, tr := range c.tracks {
		var answers, others float64
		for i, ti := range l.learn[k] {
			t, s := &tr.tgt[ti], &posts[k][i]
			texts.learn(c, m.texts[0], tr, t, s, chance[k][i])
			answers += s.reply
			others += 1 - s.reply
		}
		scale := float64(len(tr.tgt)) / math.Max(1, float64(len(l.learn[k])))
		span := math.Max(30, tr.last-tr.first)
		tr.rate = (others*scale + (1-priorShare)*priorMessages) / span
		tr.answers = (answers*scale + priorShare*priorMessages) / (float64(len(tr.src)) + 1)
	}
	texts.finish()
	m.weights = l.fitWeights(posts)
	m.setTexts(texts)
	if round == blurredRounds-1 {
		for k := range m.f {
			m.f[k] = l.density(m.laws[k], anchorBlur)
		}
	}
	if round >= blurredRounds {
		l.fitDelays(posts, round <= rounds-2)
	}
	for _, tr := range c.tracks {
		l.fold(tr)
	}
}

// expect scores the learned targets, beside their own speech and beside shifted speech: the posteriors, the mean
// probability of being an answer that chance gives, and the log odds of both.
func (l *learner) expect() (posts [][]scored, chance [][]float64, odds []evidence) {
	for k, tr := range l.c.tracks {
		posts = append(posts, l.scoreAll(tr, tr, 0))
		chance = append(chance, make([]float64, len(l.learn[k])))
		at := len(odds)
		for i := range posts[k] {
			odds = append(odds, evidence{real: posts[k][i].direct, plain: tr.tgt[l.learn[k][i]].class == plain && len(posts[k][i].cand) > 0})
		}
		for n, shift := range l.shifts(tr, chanceShifts) {
			for i, s := range l.scoreAll(tr, tr, shift) {
				chance[k][i] += s.reply / chanceShifts
				odds[at+i].chance[n] = s.direct
			}
		}
	}
	return posts, chance, odds
}

// crossFit learns the texts anew for each part of the corpus, from the other parts alone. What EM made of a text in one
// stretch of a stream has by then coloured what it made of it in all others: only a model that never saw a stretch can judge
// it without favour. Then it calibrates what comes out.
func (l *learner) crossFit(ctx context.Context) error {
	all, kept := l.learn, l.m.texts
	n := 0
	for _, learn := range all {
		n += len(learn)
	}
	parts := uint8(folds)
	for n > fewTargets && parts > 2 {
		n, parts = n/3, parts/2
	}
	for part := range parts {
		l.learn = make([][]int32, len(all))
		for k, tr := range l.c.tracks {
			for _, i := range all[k] {
				if tr.tgt[i].fold%parts != part {
					l.learn[k] = append(l.learn[k], i)
				}
			}
		}
		l.m.setTexts(newTextModel(l.c))
		for range crossRounds {
			if err := ctx.Err(); err != nil {
				return err
			}
			posts, chance, _ := l.expect()
			texts := newTextModel(l.c)
			for k, tr := range l.c.tracks {
				for i, ti := range l.learn[k] {
					texts.learn(l.c, l.m.texts[0], tr, &tr.tgt[ti], &posts[k][i], chance[k][i])
				}
			}
			texts.finish()
			l.m.setTexts(texts)
		}
		for f := part; f < folds; f += parts {
			kept[f] = l.m.texts[0]
		}
	}
	l.learn, l.m.texts = all, kept
	if l.c.opt.Ranker == TreeRanker {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.m.ranker, l.m.ranked = l.fitTrees()
	}
	_, _, odds := l.expect()
	l.m.platt = calibrate(odds, l.m.platt)
	return nil
}

// scoreAll scores the learned targets of a track against the sources of another, or its own, under a shift.
func (l *learner) scoreAll(tr, from *track, shift float64) []scored {
	learn := l.learn[tr.number]
	out := make([]scored, len(learn))
	parallel(len(learn), l.c.opt.Workers, func(_, lo, hi int, buf *scratch) {
		for i := lo; i < hi; i++ {
			l.m.score(tr, &tr.tgt[learn[i]], from, shift, &out[i], buf)
		}
	})
	return out
}

// shifts gives the decoy shifts of a track: three to ten windows away on either side, less on short streams, never so
// near that a shifted candidate may be the true one.
func (l *learner) shifts(tr *track, n int) []float64 { return decoyShifts(l.c.opt, tr, n) }

func decoyShifts(opt *Options, tr *track, n int) []float64 {
	span := tr.last - tr.first
	reach := opt.DelayMax.Seconds() - opt.DelayMin.Seconds()
	near := math.Max(3*opt.MaxWindow.Seconds(), reach+2)
	far := math.Min(10*opt.MaxWindow.Seconds(), span/2)
	if far < near { // too short for room on both sides
		near = math.Min(near, span/3)
		far = math.Max(near, span/2)
	}
	out := make([]float64, n)
	half := (n + 1) / 2
	for i := range out {
		d := near
		if half > 1 {
			d += (far - near) * (float64(i/2) + 0.25*float64(i%2)) / (float64(half) - 0.5)
		}
		if i%2 == 1 {
			d = -d
		}
		out[i] = d
	}
	return out
}

// fitWeights learns how much each feature tells, without labels: candidates weighed by their posterior against candidates
// of shifted speech and of other streams, by logistic regression with both classes of equal mass, so that the score is a
// log density ratio.
func (l *learner) fitWeights(posts [][]scored) weights {
	type row struct {
		x    [nFeatures]float64
		w, y float64
	}
	var rows []row
	var mass [2]float64
	const perTrack = 4000
	for k, tr := range l.c.tracks {
		step := max(1, len(l.learn[k])/perTrack)
		for i := 0; i < len(l.learn[k]); i += step {
			t := &tr.tgt[l.learn[k][i]]
			if t.class != plain {
				continue
			}
			dup := 1 / (1 + 0.5*float64(t.same))
			s := &posts[k][i]
			for j := range s.cand {
				if w := dup * s.cand[j].r; w > 1e-4 {
					rows = append(rows, row{s.cand[j].phi.v, w, 1})
					mass[1] += w
				}
			}
		}
		negatives := func(from *track, shift float64) {
			buf := &scratch{}
			var s scored
			for i := 0; i < len(l.learn[k]); i += step {
				t := &tr.tgt[l.learn[k][i]]
				if t.class != plain {
					continue
				}
				dup := 1 / (1 + 0.5*float64(t.same))
				l.m.score(tr, t, from, shift, &s, buf)
				// weigh by what the target would be as an answer, so that both classes hold the same texts
				reply := dup * posts[k][i].reply
				sum := 0.0
				for j := range s.cand {
					sum += math.Exp(s.cand[j].timing)
				}
				for j := range s.cand {
					if w := reply * math.Exp(s.cand[j].timing) / sum; w > 1e-4 {
						rows = append(rows, row{s.cand[j].phi.v, w, 0})
						mass[0] += w
					}
				}
			}
		}
		for _, shift := range l.shifts(tr, 4) {
			negatives(tr, shift)
		}
		if len(l.c.tracks) > 1 {
			if other := l.c.tracks[(k+1)%len(l.c.tracks)]; len(other.src) > 0 {
				negatives(other, 0)
			}
		}
	}
	if mass[0] == 0 || mass[1] == 0 {
		return l.m.weights
	}
	// Newton's method on the penalised log-likelihood; positives keep their mass, negatives are scaled to it
	const n = nFeatures + 1
	var beta [n]float64
	prior := [n]float64{0, 1, 0.8, 0, 0, 1}
	ridge := [n]float64{1e-3, 2, 2, 4, 4, 4}
	beta = prior
	for range 12 {
		var g [n]float64
		var h [n][n]float64
		for i := range n {
			g[i] = -ridge[i] * (beta[i] - prior[i])
			h[i][i] = ridge[i]
		}
		for i := range rows {
			r := &rows[i]
			w := r.w
			if r.y == 0 {
				w *= mass[1] / mass[0]
			}
			z := beta[0]
			for k, v := range r.x {
				z += beta[k+1] * v
			}
			p := sigmoid(z)
			d, q := w*(r.y-p), w*p*(1-p)
			g[0] += d
			h[0][0] += q
			for a, v := range r.x {
				if v == 0 {
					continue
				}
				g[a+1] += d * v
				h[0][a+1] += q * v
				for b := a; b < nFeatures; b++ {
					h[a+1][b+1] += q * v * r.x[b]
				}
			}
		}
		for a := range n {
			for b := range a {
				h[a][b] = h[b][a]
			}
		}
		step := solve(h, g)
		big := 0.0
		for i := range beta {
			beta[i] += step[i]
			big = math.Max(big, math.Abs(step[i]))
		}
		if big < 1e-6 {
			break
		}
	}
	out := weights{bias: beta[0]}
	copy(out.b[:], beta[1:])
	out.b[fOverlap] = math.Max(0, out.b[fOverlap])
	out.b[fAssociation] = math.Max(0, out.b[fAssociation])
	return out
}

// solve solves h x = g for a symmetric positive definite h, by Gaussian elimination with pivoting.
func solve(h [nFeatures + 1][nFeatures + 1]float64, g [nFeatures + 1]float64) [nFeatures + 1]float64 {
	const n = nFeatures + 1
	for i := range n {
		p := i
		for k := i + 1; k < n; k++ {
			if math.Abs(h[k][i]) > math.Abs(h[p][i]) {
				p = k
			}
		}
		h[i], h[p] = h[p], h[i]
		g[i], g[p] = g[p], g[i]
		if math.Abs(h[i][i]) < 1e-12 {
			continue
		}
		for k := i + 1; k < n; k++ {
			f := h[k][i] / h[i][i]
			for j := i; j < n; j++ {
				h[k][j] -= f * h[i][j]
			}
			g[k] -= f * g[i]
		}
	}
	var x [n]float64
	for i := n - 1; i >= 0; i-- {
		v := g[i]
		for j := i + 1; j < n; j++ {
			v -= h[i][j] * x[j]
		}
		if math.Abs(h[i][i]) >= 1e-12 {
			x[i] = v / h[i][i]
		}
	}
	return x
}
