package align

import (
	"fmt"
	"math"
	"slices"
)

// baselineNames are the simple methods that alignment is measured against.
var baselineNames = []string{"fixed window", "nearest utterance", "tf-idf", "lag-calibrated tf-idf"}

// BaselineNames lists the methods that Baseline knows. Only the last one is told the lag.
func BaselineNames() []string { return slices.Clone(baselineNames) }

// Settings of the baselines, chosen for the best F1 on streams that are not reported.
const (
	baselineReach  = 30.0 // s that TF-IDF looks back without a lag
	baselineCosine = 0.1  // least similarity of a kept pair
)

// Baseline pairs the messages of one stream by a simple method. Confidence is the method's own score; FDR is 0 for the
// pairs that it would keep and 1 for the others.
//
//   - "fixed window": each message with the 12 s of speech before it;
//   - "nearest utterance": each message with the last utterance that ended before it;
//   - "tf-idf": each message with the utterance of the last 30 s that is most similar to it (cosine of TF-IDF vectors,
//     Salton and Buckley 1988), and its neighbours as far as 12 s allow;
//   - "lag-calibrated tf-idf": the same among the utterances that the given lag curve makes plausible.
func Baseline(method string, in Input, lag []LagPiece) ([]Pair, error) {
	if !slices.Contains(baselineNames, method) {
		return nil, fmt.Errorf("no baseline %q", method)
	}
	opt, err := Options{}.withDefaults(len(in.Messages))
	if err != nil {
		return nil, err
	}
	c := newCorpus([]*Input{&in}, &opt)
	tr := c.tracks[0]
	curve := []piece{{}}
	if method == "lag-calibrated tf-idf" && len(lag) > 0 {
		curve = curve[:0]
		for _, p := range lag {
			curve = append(curve, piece{from: (p.From - tr.t0).Seconds(), lag: p.Lag.Seconds()})
		}
	}
	tr.setCurve(curve)
	m := &model{c: c, laws: []law{{}}}
	texts, hashes := map[[2]int]string{}, map[string]string{}
	var out []Pair
	var js []int32
	for i := range tr.tgt {
		t := &tr.tgt[i]
		reach := 12.0
		if method == "tf-idf" {
			reach = baselineReach
		}
		js = tr.candidatesOf(t.t, 0, 0, reach, js)
		if len(js) == 0 {
			continue
		}
		v := verdict{best: js[len(js)-1]}
		score, keep := 1.0, true
		switch method {
		case "fixed window":
		case "nearest utterance":
		default:
			score = -1
			for k := len(js) - 1; k >= 0; k-- { // the later one among equals
				if s := c.cosine(tr, t, &tr.src[js[k]]); s > score {
					v.best, score = js[k], s
				}
			}
			keep = score >= baselineCosine
		}
		v.first, v.last = v.best, v.best
		if method != "nearest utterance" {
			v.first, v.last = tr.around(v.best, method == "fixed window", opt.MaxWindow.Seconds())
		}
		v.delay = t.t - tr.arrive[v.best]
		p := m.pair(tr, t, &v, texts, hashes)
		p.Confidence = math.Max(0, math.Min(1, score))
		if !keep {
			p.FDR = 1
		}
		out = append(out, p)
	}
	return out, nil
}

// around widens a window to the 12 s before the end of a source, or around it.
func (tr *track) around(best int32, back bool, limit float64) (first, last int32) {
	first, last = best, best
	for {
		grown := false
		if first > 0 && tr.src[last].end-tr.src[first-1].start <= limit {
			first--
			grown = true
		}
		if !back && int(last)+1 < len(tr.src) && tr.src[last+1].end-tr.src[first].start <= limit {
			last++
			grown = true
		}
		if !grown {
			return first, last
		}
	}
}

// cosine is the similarity of the TF-IDF vectors of a target and a source.
func (c *corpus) cosine(tr *track, t *target, s *source) float64 {
	var dot, a, b float64
	ids := tr.sourceIDs(s)
	for _, w := range tr.targetIDs(t) {
		x := c.idf[w] * c.idf[w]
		a += x
		if slices.Contains(ids, w) {
			dot += x
		}
	}
	for _, w := range ids {
		b += c.idf[w] * c.idf[w]
	}
	if a == 0 || b == 0 {
		return 0
	}
	return dot / math.Sqrt(a*b)
}
