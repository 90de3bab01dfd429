package align

import (
	"cmp"
	"math"
	"slices"
)

// spareAnswers is how far a decoy of what seems to be an answer is spared: it looks like an answer by its text and author,
// as messages that answer nothing do not. In a quiet chat, where few decoys pass at all, it is spared whole: doubts about
// the lag are in its posterior already.
const spareAnswers = 0.95

// fdr estimates, for every target, the false discovery rate of the targets at least as confident as it. Two things can be
// wrong with a pair. The message may answer no speech: how many of those pass is counted on decoys, the same messages
// against shifted speech, times the share of messages that answer nothing (Storey 2002). Or it answers speech outside of
// the window: the posterior says how often.
func (m *model) fdr(tr *track, real []verdict, decoys [][]float32, conf []float64) ([]float64, []FDRPoint) {
	n := len(real)
	order := make([]int, 0, n)
	for i := range real {
		if real[i].best >= 0 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case conf[a] > conf[b]:
			return -1
		case conf[a] < conf[b]:
			return 1
		}
		return 0
	})
	type copyOf struct{ conf, weight float32 }
	spare := spareAnswers
	if tr.quiet() {
		spare = 1
	}
	null := make([]copyOf, 0, n*len(decoys))
	for _, d := range decoys {
		for i := range d {
			null = append(null, copyOf{d[i], float32((1 - spare*real[i].reply) / float64(len(decoys)))})
		}
	}
	slices.SortFunc(null, func(a, b copyOf) int { return cmp.Compare(b.conf, a.conf) })
	const low = 0.3
	below := 0.0
	for i := range real {
		if conf[i] < low {
			below++
		}
	}
	nullBelow := 0.0
	for _, d := range null {
		if d.conf < low {
			nullBelow += float64(d.weight)
		}
	}
	pi0 := 1.0
	if nullBelow > 0 {
		pi0 = math.Min(1, (below+1)/nullBelow)
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = 1
	}
	var curve []FDRPoint
	misplaced, passed, k := 0.0, 0.0, 0
	for r, i := range order {
		for k < len(null) && float64(null[k].conf) >= conf[i] {
			passed += float64(null[k].weight)
			k++
		}
		wrong := passed * pi0
		if v := &real[i]; v.reply > 0 {
			misplaced += 1 - v.window/v.reply
		}
		out[i] = math.Min(1, (wrong+misplaced)/float64(r+1))
		if !tr.linkedAtAll() {
			out[i] = 1
		}
	}
	// a false discovery rate that may be had with more pairs may be had with fewer
	best := 1.0
	for r := len(order) - 1; r >= 0; r-- {
		best = math.Min(best, out[order[r]])
		out[order[r]] = best
	}
	step := max(1, len(order)/200)
	for r := step - 1; r < len(order); r += step {
		curve = append(curve, FDRPoint{conf[order[r]], out[order[r]], r + 1})
	}
	return out, curve
}
