package align

import (
	"math"
	"testing"
)

// TestOpenLags compares the chain with the sum over all paths of lags, written out.
func TestOpenLags(t *testing.T) {
	ch := newLagChain([]piece{{lag: 4}})
	times := []float64{0, 20, 500}
	evidence := make([][]float64, 3)
	for _, k := range []int{0, 2} {
		evidence[k] = make([]float64, ch.n)
		for g := range evidence[k] {
			z := (ch.lag(g) - 3 - float64(k)) / 0.7
			evidence[k][g] = 0.01 + math.Exp(-z*z/2)
		}
	}
	step := func(a, b int, dt float64) float64 {
		from := make([]float64, ch.n)
		from[a] = 1
		return ch.forward(from, dt)[b]
	}
	var near, far [][]float64 // probabilities of a step between two times
	for a := range ch.n {
		near, far = append(near, make([]float64, ch.n)), append(far, make([]float64, ch.n))
		sum := 0.0
		for b := range ch.n {
			near[a][b], far[a][b] = step(a, b, 20), step(a, b, 480)
			sum += far[a][b]
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Fatalf("from lag %d the chain goes somewhere with probability %v", a, sum)
		}
	}
	want := [3][]float64{make([]float64, ch.n), make([]float64, ch.n), make([]float64, ch.n)}
	for a := range ch.n {
		for b := range ch.n {
			for c := range ch.n {
				p := near[a][b] * far[b][c]
				want[0][a] += p * evidence[2][c] // the evidence of a time itself is left out
				want[1][b] += p * evidence[0][a] * evidence[2][c]
				want[2][c] += p * evidence[0][a]
			}
		}
	}
	for i, got := range ch.others(times, evidence) {
		normalised(want[i])
		for g := range got {
			if math.Abs(got[g]-want[i][g]) > 1e-9 {
				t.Fatalf("time %d, lag %.2f: probability %v, want %v", i, ch.lag(g), got[g], want[i][g])
			}
		}
	}
}

// TestTimingOfOpenLags: the density is the mean over the open lags, the lag the one that fits.
func TestTimingOfOpenLags(t *testing.T) {
	f := newDensity(law{mu: 1, sigma: 0.5}, -1.5, 21.5, 0.2)
	tg := target{lags: []openLag{{5, 0.25}, {15, 0.75}}}
	density, lag := tg.timing(f, 7.5, -1)
	if want := 0.25*f.reaction(2.5, -1) + 0.75*f.reaction(-7.5, -1); math.Abs(density-want) > 1e-12 {
		t.Errorf("density %v, want %v", density, want)
	}
	if math.Abs(lag-5) > 0.1 {
		t.Errorf("lag %v, want that of the only delay that people can have, 5", lag)
	}
}
