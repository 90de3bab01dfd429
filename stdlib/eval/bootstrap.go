package eval

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Measure is a number with its 95 % bootstrap interval (percentile method; Efron and Tibshirani 1993, chapter 13).
type Measure struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Compared is a measure before and after. Change comes from the same resamples of both, so that it is surer than the
// two intervals apart.
type Compared struct {
	Base   Measure `json:"base"`
	Tuned  Measure `json:"tuned"`
	Change Measure `json:"change"` // what it is a change of, the field's comment says
}

// The bounds of the interval.
const (
	lowQuantile  = 0.025
	highQuantile = 0.975
)

// bootstrap resamples n units with replacement. statistic gets how often each unit was drawn and returns the base's and
// the tuned model's value; change combines them.
func bootstrap(n int, seed uint64, resamples int, statistic func(weights []int) (base, tuned float64), change func(base, tuned float64) float64) Compared {
	weights := make([]int, n)
	for i := range weights {
		weights[i] = 1
	}
	base, tuned := statistic(weights)
	c := Compared{Measure{Value: base}, Measure{Value: tuned}, Measure{Value: change(base, tuned)}}
	random := rand.New(rand.NewPCG(seed, 0xB007))
	var all [3][]float64
	for range resamples {
		clear(weights)
		for range n {
			weights[random.IntN(n)]++
		}
		b, t := statistic(weights)
		for k, v := range []float64{b, t, change(b, t)} {
			all[k] = append(all[k], v)
		}
	}
	for k, m := range []*Measure{&c.Base, &c.Tuned, &c.Change} {
		slices.Sort(all[k])
		m.Low, m.High = quantile(all[k], lowQuantile), quantile(all[k], highQuantile)
	}
	return c
}

// quantile interpolates in sorted values.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// difference is the change of measures that are compared by subtraction.
func difference(base, tuned float64) float64 { return tuned - base }

// perplexityUnit is one example's score under both models.
type perplexityUnit struct {
	logProb [2]float64
	tokens  int
}

// comparePerplexity returns exp of the mean loss of a token; the change is relative.
func comparePerplexity(units []perplexityUnit, seed uint64, resamples int) Compared {
	return bootstrap(len(units), seed, resamples, func(weights []int) (float64, float64) {
		var sum [2]float64
		tokens := 0
		for i, w := range weights {
			for k := range sum {
				sum[k] += float64(w) * units[i].logProb[k]
			}
			tokens += w * units[i].tokens
		}
		return math.Exp(-sum[0] / float64(tokens)), math.Exp(-sum[1] / float64(tokens))
	}, func(base, tuned float64) float64 { return tuned/base - 1 })
}
