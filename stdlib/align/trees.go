package align

import (
	"math"
	"slices"
)

// Settings of the trees.
const (
	treeDepth     = 3    // questions a tree asks
	maxTrees      = 16   // trees tried; held-out loss says how many are kept
	treeShrink    = 0.3  // part of its Newton step that each tree takes
	treeL2        = 20.0 // penalty on leaf values, in weight of rows
	treeBins      = 24   // bins of a feature, cut at quantiles
	treeParts     = 4    // models made, each from the other parts of the corpus
	treeTargets   = 4000 // targets that trees learn from, thinned evenly
	leastAnswers  = 60   // expected answers among them below which no trees are grown
	leastGain     = 0.02 // nats an answer; below, no pair was found better on labelled streams
	treeSteps     = 4    // shifted copies of the speech
	negligibleRow = 1e-3 // rows of less weight are left out
	mostAdded     = 4.0  // log odds that all trees together may add or take
)

// tree asks the same question of all rows at each depth, so that the answers are the number of the leaf.
type tree struct {
	feature [treeDepth]uint8
	above   [treeDepth]float64
	leaf    [1 << treeDepth]float64
}

func (t *tree) at(x *features) float64 {
	leaf := 0
	for d, f := range t.feature {
		if x.v[f] > t.above[d] {
			leaf |= 1 << d
		}
	}
	return t.leaf[leaf]
}

// Ranker says what became of the trees.
type Ranker struct {
	Trees   int     `json:"trees"`   // in use, 0 where the logistic score stands alone
	Answers float64 `json:"answers"` // expected answers that they were learned from
	Gain    float64 `json:"gain"`    // fall of the held-out loss, in nats an answer
	GainErr float64 `json:"gain_se"` // its standard error, over stretches of the streams
}

// ranker corrects the logistic score of candidates by gradient-boosted trees (Friedman 2001, with the Newton steps of Chen
// and Guestrin 2016 and the symmetric trees of Prokhorenkova et al. 2018). A candidate is judged by the trees that were
// grown without its part of the corpus.
type ranker struct {
	parts  int // the corpus is parted by stream, or by time where there is one
	byTime bool
	trees  [treeParts][]tree
}

// adds is what the trees add to the logistic score of a candidate of a target in a part of the corpus.
func (r *ranker) adds(part int, x *features) float64 {
	sum := 0.0
	trees := r.trees[part]
	for i := range trees {
		sum += trees[i].at(x)
	}
	return math.Max(-mostAdded, math.Min(mostAdded, sum))
}

// partOf is the part of the corpus that a fold of a track belongs to.
func (r *ranker) partOf(tr *track, fold uint8) int {
	if r.byTime {
		return int(fold) % r.parts
	}
	return tr.number % r.parts
}

// newRanker parts a corpus.
func newRanker(c *corpus) *ranker {
	if len(c.tracks) == 1 {
		return &ranker{parts: treeParts, byTime: true}
	}
	return &ranker{parts: min(treeParts, len(c.tracks))}
}

// treeRow is one candidate to learn from.
type treeRow struct {
	x       features
	bin     [nFeatures]uint8
	offset  float64 // logistic score
	weight  float64
	answers float64 // 1 for a candidate weighed by its posterior, 0 for one of shifted speech or another stream
	parts   [2]int8 // of the target and of the source: trees for either do not learn from the row
	stretch int32   // stretches of a stream vary together
}

// fitTrees grows trees on the candidates of the learned targets, and keeps them where they judge what they did not see
// better than the logistic score does, by more than the standard error of the difference and enough to matter. The logistic
// score that they correct is fitted anew before, since the texts that it judges by were.
func (l *learner) fitTrees() (*ranker, Ranker) {
	var posts [][]scored
	for _, tr := range l.c.tracks {
		posts = append(posts, l.scoreAll(tr, tr, 0))
	}
	before := l.m.weights
	l.m.weights = l.fitWeights(posts)
	rk, out := l.growTrees()
	if rk == nil {
		l.m.weights = before
	}
	return rk, out
}

// growTrees grows trees for every part of the corpus and says what they are worth; it returns nil where that is too little.
func (l *learner) growTrees() (*ranker, Ranker) {
	rk := newRanker(l.c)
	rows, stretches, answers := l.treeRows(rk)
	out := Ranker{Answers: answers}
	if answers < leastAnswers {
		return nil, out
	}
	cuts := binRows(rows)
	// loss[n] of all held-out rows with n trees, by stretch
	loss := make([][]float64, maxTrees+1)
	for n := range loss {
		loss[n] = make([]float64, stretches)
	}
	parallelTracks(rk.parts, l.c.opt.Workers, func(part int) {
		rk.trees[part] = grow(rows, cuts, int8(part))
	})
	for i := range rows {
		r := &rows[i]
		z := r.offset
		loss[0][r.stretch] += r.loss(z)
		trees := rk.trees[r.parts[0]]
		for n := range maxTrees {
			if n < len(trees) {
				z += trees[n].at(&r.x)
			}
			loss[n+1][r.stretch] += r.loss(z)
		}
	}
	sums := make([]float64, len(loss))
	best := 0
	for n := range loss {
		for _, x := range loss[n] {
			sums[n] += x
		}
		if sums[n] < sums[best] {
			best = n
		}
	}
	mean, square := (sums[0]-sums[best])/float64(stretches), 0.0
	for s := range stretches {
		d := loss[0][s] - loss[best][s] - mean
		square += d * d
	}
	out.Gain = (sums[0] - sums[best]) / answers
	out.GainErr = math.Sqrt(square) / answers
	if out.Gain <= out.GainErr || out.Gain < leastGain {
		return nil, out
	}
	out.Trees = best
	for part := range rk.trees {
		rk.trees[part] = rk.trees[part][:min(best, len(rk.trees[part]))]
	}
	return rk, out
}

func (r *treeRow) loss(z float64) float64 {
	if r.answers == 0 {
		return r.weight * softplus(z)
	}
	return r.weight * softplus(-z)
}

// treeRows lists the candidates of targets, weighed by their posterior, and those that chance gives the same targets:
// beside speech shifted by three to ten windows, and beside another stream. Both have equal weight in all, so that what is
// learned is a log density ratio.
func (l *learner) treeRows(rk *ranker) (rows []treeRow, stretches int, answers float64) {
	all := 0
	for _, learn := range l.learn {
		all += len(learn)
	}
	step := max(1, (all+treeTargets-1)/treeTargets)
	kept := l.learn
	l.learn = make([][]int32, len(kept))
	for k := range kept {
		for i := 0; i < len(kept[k]); i += step {
			t := &l.c.tracks[k].tgt[kept[k][i]]
			if t.class == plain {
				l.learn[k] = append(l.learn[k], kept[k][i])
			}
		}
	}
	defer func() { l.learn = kept }()
	mass := [2]float64{}
	add := func(tr, from *track, t *target, c *candidate, weight float64, answer int, stretch int) {
		if weight < negligibleRow {
			return
		}
		parts := [2]int8{int8(rk.partOf(tr, t.fold)), int8(rk.partOf(from, foldOf(from, from.src[c.src].end)))}
		mass[answer] += weight
		rows = append(rows, treeRow{x: c.phi, offset: c.content, weight: weight, answers: float64(answer), parts: parts, stretch: int32(stretch)})
	}
	for k, tr := range l.c.tracks {
		posts := l.scoreAll(tr, tr, 0)
		stretch := func(t *target) int { return stretches + int(math.Max(0, (t.t-tr.first)/foldSpan)) }
		weight := func(t *target) float64 { return 1 / (1 + 0.5*float64(t.same)) }
		for i, ti := range l.learn[k] {
			t := &tr.tgt[ti]
			for j := range posts[i].cand {
				add(tr, tr, t, &posts[i].cand[j], weight(t)*posts[i].cand[j].r, 1, stretch(t))
			}
		}
		beside := func(from *track, shift float64) {
			for i, s := range l.scoreAll(tr, from, shift) {
				t := &tr.tgt[l.learn[k][i]]
				sum := 0.0
				for j := range s.cand {
					sum += math.Exp(s.cand[j].timing)
				}
				for j := range s.cand {
					add(tr, from, t, &s.cand[j], weight(t)*posts[i].reply*math.Exp(s.cand[j].timing)/sum, 0, stretch(t))
				}
			}
		}
		for _, shift := range l.shifts(tr, treeSteps) {
			beside(tr, shift)
		}
		if other := l.c.tracks[(k+1)%len(l.c.tracks)]; other != tr && len(other.src) > 0 {
			beside(other, 0)
		}
		stretches += int((tr.last-tr.first)/foldSpan) + 1
	}
	if mass[0] == 0 {
		return nil, 0, 0
	}
	for i := range rows {
		if rows[i].answers == 0 {
			rows[i].weight *= mass[1] / mass[0]
		}
	}
	return rows, stretches, mass[1]
}

// foldOf is the fold of a moment of a track, on the sources' clock.
func foldOf(tr *track, at float64) uint8 {
	b := int(math.Floor(at/foldSpan)) + tr.number*3
	return uint8(((b % folds) + folds) % folds)
}

// binRows cuts every feature at quantiles of the rows and gives each row its bins.
func binRows(rows []treeRow) (cuts [nFeatures][]float64) {
	values := make([]float64, 0, len(rows))
	for f := range cuts {
		values = values[:0]
		for i := range rows {
			values = append(values, rows[i].x.v[f])
		}
		slices.Sort(values)
		distinct := slices.Compact(slices.Clone(values))
		if len(distinct) <= treeBins {
			cuts[f] = distinct[:max(0, len(distinct)-1)]
		} else {
			for q := 1; q < treeBins; q++ {
				cuts[f] = append(cuts[f], values[q*len(values)/treeBins])
			}
			cuts[f] = slices.Compact(cuts[f])
		}
		for i := range rows {
			b, _ := slices.BinarySearchFunc(cuts[f], rows[i].x.v[f], func(cut, x float64) int {
				if cut < x {
					return -1
				}
				return 1
			})
			rows[i].bin[f] = uint8(b) // cuts that x is above
		}
	}
	return cuts
}

// grow boosts trees on all rows but those of a part.
func grow(rows []treeRow, cuts [nFeatures][]float64, part int8) []tree {
	var seen []*treeRow
	for i := range rows {
		if r := &rows[i]; r.parts[0] != part && r.parts[1] != part {
			seen = append(seen, r)
		}
	}
	var mass [2]float64
	for _, r := range seen {
		mass[int(r.answers)] += r.weight
	}
	if mass[0] == 0 || mass[1] == 0 {
		return nil
	}
	even := [2]float64{mass[1] / mass[0], 1} // classes weigh the same
	z := make([]float64, len(seen))
	for i, r := range seen {
		z[i] = r.offset
	}
	type slope struct{ g, h float64 } // gradient and curvature of the loss
	slopes := make([]slope, len(seen))
	leaf := make([]uint8, len(seen))
	gain := func(s slope) float64 { return s.g * s.g / (s.h + treeL2) }
	var trees []tree
	for range maxTrees {
		for i, r := range seen {
			p := sigmoid(z[i])
			w := r.weight * even[int(r.answers)]
			slopes[i] = slope{w * (r.answers - p), w * p * (1 - p)}
			leaf[i] = 0
		}
		var t tree
		for d := range treeDepth {
			var hist [1 << (treeDepth - 1)][nFeatures][treeBins]slope
			for i, r := range seen {
				h := &hist[leaf[i]]
				s := slopes[i]
				for f, b := range r.bin {
					h[f][b].g += s.g
					h[f][b].h += s.h
				}
			}
			best := math.Inf(-1)
			bestBin := uint8(0)
			for f := range cuts {
				for b := range cuts[f] {
					sum := 0.0
					for n := range 1 << d {
						var below, above slope
						for k, s := range hist[n][f] {
							if k <= b {
								below.g += s.g
								below.h += s.h
							} else {
								above.g += s.g
								above.h += s.h
							}
						}
						sum += gain(below) + gain(above)
					}
					if sum > best*(1+1e-12) || math.IsInf(best, -1) {
						best, bestBin = sum, uint8(b)
						t.feature[d], t.above[d] = uint8(f), cuts[f][b]
					}
				}
			}
			if math.IsInf(best, -1) {
				return trees // nothing differs
			}
			for i, r := range seen {
				if r.bin[t.feature[d]] > bestBin {
					leaf[i] |= 1 << d
				}
			}
		}
		var sums [1 << treeDepth]slope
		for i, s := range slopes {
			sums[leaf[i]].g += s.g
			sums[leaf[i]].h += s.h
		}
		for n, s := range sums {
			t.leaf[n] = treeShrink * s.g / (s.h + treeL2)
		}
		for i := range z {
			z[i] += t.leaf[leaf[i]]
		}
		trees = append(trees, t)
	}
	return trees
}
