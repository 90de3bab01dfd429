package eval

import (
	"math"
	"time"
)

// delayBins are the upper edges of the histogram of delays, in seconds; the last bin is open.
var delayBins = []float64{1, 2, 3, 4, 5, 6, 8, 10, 14, 20}

func delayBin(d time.Duration) int {
	for i, edge := range delayBins {
		if d.Seconds() <= edge {
			return i
		}
	}
	return len(delayBins)
}

// pace says how soon people write what they write. A model has no clock, but its answers are of a kind: what a crowd
// shouts at once, or what takes a while to think of and to type. Of an answer, pace is the distribution of the delays
// that such a text had in training: those of the same text, else those of the most similar by tf-idf, else those of
// texts with as many words, or nearly.
type pace struct {
	pool    *pool
	byText  map[string][]float64 // histograms by normal form, and by number of words
	byWords map[int][]float64    // never empty
}

// newPace is nil where the training examples have no delays.
func newPace(training []Example) *pace {
	p := &pace{byText: map[string][]float64{}, byWords: map[int][]float64{}}
	known := false
	add := func(h *[]float64, bin int) {
		if *h == nil {
			*h = make([]float64, len(delayBins)+1)
		}
		(*h)[bin]++
	}
	for _, x := range training {
		if x.Delay <= 0 {
			continue
		}
		known = true
		bin := delayBin(x.Delay)
		text, n := p.byText[normal(x.Response)], p.byWords[len(words(x.Response))]
		add(&text, bin)
		add(&n, bin)
		p.byText[normal(x.Response)], p.byWords[len(words(x.Response))] = text, n
	}
	if !known {
		return nil
	}
	p.pool = newPool(training, nil)
	return p
}

// of returns a text's distribution over delayBins.
func (p *pace) of(text string) []float64 {
	h := p.byText[normal(text)]
	if h == nil {
		v := p.pool.vector(text)
		keys := sortedKeys(v)
		best := 0.5 // less alike is not of a kind
		for i := range p.pool.normals {
			var dot float64
			for _, w := range keys {
				dot += v[w] * p.pool.vectors[i][w]
			}
			if other := p.byText[p.pool.normals[i]]; dot > best && other != nil {
				best, h = dot, other
			}
		}
	}
	for d, n := 0, len(words(text)); h == nil; d++ {
		if h = p.byWords[n-d]; h == nil {
			h = p.byWords[n+d]
		}
	}
	var sum float64
	for _, n := range h {
		sum += n
	}
	out := make([]float64, len(h))
	for i, n := range h {
		out[i] = n / math.Max(1, sum)
	}
	return out
}

// timing compares the delays of the real responses with the pace of the answers. The floor is what the real responses
// themselves come to when they are judged by their texts alone.
func (e *evaluation) timing(asked []answered) *Timing {
	p := newPace(e.training)
	if p == nil {
		return nil
	}
	bins := len(delayBins) + 1
	actual := func(a answered) [][]float64 {
		var out [][]float64
		for _, d := range a.delays {
			if d > 0 {
				out = append(out, one(bins, delayBin(d)))
			}
		}
		return out
	}
	for _, a := range asked {
		if len(actual(a)) > 0 {
			t := &Timing{Divergence: e.divergence(asked, bins, actual, p.of)}
			real, expected := make([]float64, bins), make([]float64, bins)
			n := 0.0
			for _, a := range asked {
				for i, d := range a.delays {
					if d <= 0 {
						continue
					}
					n++
					real[delayBin(d)]++
					for bin, share := range p.of(a.truths[i]) {
						expected[bin] += share
					}
				}
			}
			for bin := range real {
				real[bin] /= n
				expected[bin] /= n
			}
			t.Floor = jensenShannon(real, expected)
			return t
		}
	}
	return nil
}

// one is all of a distribution in one bin.
func one(bins, bin int) []float64 {
	h := make([]float64, bins)
	h[bin] = 1
	return h
}
