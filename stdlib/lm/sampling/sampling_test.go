package sampling

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// logitsOf returns logits of the given probabilities.
func logitsOf(p []float64) []float32 {
	l := make([]float32, len(p))
	for i := range p {
		l[i] = float32(math.Log(p[i])) + 2
	}
	return l
}

// TestEachStep draws under each option and holds the counts against the distribution that the option's definition gives,
// worked out by hand.
func TestEachStep(t *testing.T) {
	p := []float64{0.5, 0.1, 0.3, 0.1}
	power := func(q float64) []float64 { // temperature 1/q
		out, sum := make([]float64, len(p)), 0.0
		for i := range p {
			out[i] = math.Pow(p[i], q)
			sum += out[i]
		}
		for i := range out {
			out[i] /= sum
		}
		return out
	}
	for _, c := range []struct {
		name string
		s    Sampling
		seen []int32
		want []float64
	}{
		{"the distribution itself", Sampling{Temperature: 1}, nil, p},
		{"likeliest", Sampling{}, nil, []float64{1, 0, 0, 0}},
		{"cold", Sampling{Temperature: 0.5}, nil, power(2)},
		{"hot", Sampling{Temperature: 2}, nil, power(0.5)},
		{"top-k", Sampling{Temperature: 1, TopK: 2}, nil, []float64{0.625, 0, 0.375, 0}},
		{"top-k of equals takes the first", Sampling{Temperature: 1, TopK: 3}, nil, []float64{0.5 / 0.9, 0.1 / 0.9, 0.3 / 0.9, 0}},
		{"top-p", Sampling{Temperature: 1, TopP: 0.75}, nil, []float64{0.625, 0, 0.375, 0}},
		{"top-p takes at least one", Sampling{Temperature: 1, TopP: 0.01}, nil, []float64{1, 0, 0, 0}},
		{"top-p of what top-k left", Sampling{Temperature: 1, TopK: 2, TopP: 0.6}, nil, []float64{1, 0, 0, 0}},
		{"min-p", Sampling{Temperature: 1, MinP: 0.3}, nil, []float64{0.625, 0, 0.375, 0}},
		{"min-p with a wider top-p", Sampling{Temperature: 1, MinP: 0.3, TopP: 0.95}, nil, []float64{0.625, 0, 0.375, 0}},
		{"min-p with a narrower top-p", Sampling{Temperature: 1, MinP: 0.1, TopP: 0.4}, nil, []float64{1, 0, 0, 0}},
		{"min-p after temperature", Sampling{Temperature: 0.5, MinP: 0.3}, nil, []float64{0.25 / 0.34, 0, 0.09 / 0.34, 0}},
		{"repetition of a likely token", Sampling{Repetition: 10}, []int32{0}, []float64{0, 0, 1, 0}},
		{"a token out of range", Sampling{Repetition: 10}, []int32{99}, []float64{1, 0, 0, 0}},
	} {
		s := New(c.s, 7, c.seen)
		counts := make([]float64, len(p))
		const n = 20000
		for range n {
			counts[s.draw(logitsOf(p))]++
		}
		var chi float64
		for i, want := range c.want {
			switch {
			case want == 0 && counts[i] > 0:
				t.Errorf("%s: token %d was drawn %v times", c.name, i, counts[i])
			case want > 0:
				chi += (counts[i] - n*want) * (counts[i] - n*want) / (n * want)
			}
		}
		if chi > 16.3 { // 0.999 quantile of chi-square with 3 degrees of freedom
			t.Errorf("%s: counts %v, want shares %v: chi-square %v", c.name, counts, c.want, chi)
		}
	}
}

func TestRepetitionPenalty(t *testing.T) {
	s := New(Sampling{Temperature: 1, Repetition: 2}, 0, []int32{0, 1})
	s.scale([]float32{3, -3, 1, -1})
	if !slices.Equal(s.scaled, []float64{1.5, -6, 1, -1}) {
		t.Errorf("penalized logits %v", s.scaled)
	}
	if s.Next([]float32{-50, -50, 50, -50}) != 2 {
		t.Fatal("the only likely token was not drawn")
	}
	if s.scale([]float32{0, 0, 4, 0}); s.scaled[2] != 2 {
		t.Error("a token that was drawn is not penalized")
	}
}

// TestOrderIsThatOfASort holds the shortcut around sorting against a full sort, on distributions of all shapes.
func TestOrderIsThatOfASort(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		logits := make([]float32, 1+random.IntN(400))
		width := math.Pow(10, random.Float64()*3-1)
		for i := range logits {
			logits[i] = float32(math.Round(random.NormFloat64()*width*8) / 8) // with equals among them
		}
		s := New(Sampling{Temperature: 1, TopP: random.Float64(), TopK: random.IntN(3) * random.IntN(100)}, 0, nil)
		got := slices.Clone(s.candidates(s.scaled0(logits)))
		order := make([]int32, len(logits))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int {
			switch {
			case logits[a] > logits[b]:
				return -1
			case logits[a] < logits[b]:
				return 1
			}
			return 0
		})
		if s.TopK > 0 {
			order = order[:min(s.TopK, len(order))]
		}
		weight := func(t int32) float64 { return math.Exp(float64(logits[t] - logits[order[0]])) }
		var sum, mass float64
		for _, t := range order {
			sum += weight(t)
		}
		for i, want := range order {
			if i >= len(got) || got[i].token != want {
				t.Fatalf("top-p %v, top-k %d: candidate %d of %d is not %d", s.TopP, s.TopK, i, len(got), want)
			}
			if mass += weight(want); mass >= s.TopP*sum*(1+1e-12) {
				break
			}
		}
	}
}

// scaled0 prepares logits and returns the largest.
func (s *Sampler) scaled0(logits []float32) float64 { return float64(logits[s.scale(logits)]) }

func TestBadLogitsEnd(t *testing.T) {
	nan := float32(math.NaN())
	New(Sampling{Temperature: 1, TopP: 0.9, TopK: 2, MinP: 0.1}, 0, nil).Next([]float32{nan, nan, nan, nan})
	inf := float32(math.Inf(-1))
	if got := New(Sampling{Temperature: 1, TopK: 3}, 0, nil).Next([]float32{inf, 1, inf, inf}); got != 1 {
		t.Errorf("drew %d, which has no probability", got)
	}
}

func BenchmarkNext(b *testing.B) {
	random := rand.New(rand.NewPCG(3, 4))
	logits := make([]float32, 49152)
	for i := range logits {
		logits[i] = float32(random.NormFloat64() * 3)
	}
	for name, options := range map[string]Sampling{"top-p": {Temperature: 0.8, TopP: 0.95}, "min-p": {Temperature: 0.8, TopP: 0.95, MinP: 0.1}} {
		b.Run(name, func(b *testing.B) {
			s := New(options, 1, nil)
			for b.Loop() {
				s.Next(logits)
			}
		})
	}
}
