// Package sampling draws the next token from a model's logits. The same logits, options and seed give the same token,
// whichever engine computed the logits.
package sampling

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is drawn from the model's distribution. The steps are those of Hugging Face's
// generate, in its order: repetition penalty, temperature, top-k, top-p, min-p. The zero value takes the likeliest token.
type Sampling struct {
	Temperature float64 // divides the logits; 0: always the likeliest token
	TopK        int     // only the k likeliest; 0: all
	TopP        float64 // only the likeliest that make up this much together (Holtzman et al., arXiv:1904.09751); 0 or 1: all
	MinP        float64 // only those with this share of the likeliest one's probability (arXiv:2407.01082); 0: all
	Repetition  float64 // divides positive logits of tokens that were there, multiplies negative ones (Keskar et al., arXiv:1909.05858); 0 or 1: none
}

// Check says which option makes no sense.
func (s Sampling) Check() error {
	bad := func(name string, v, low, high float64) error {
		if !(v >= low && v <= high) {
			return fmt.Errorf("%s is %v, not between %v and %v", name, v, low, high)
		}
		return nil
	}
	for _, err := range []error{bad("temperature", s.Temperature, 0, 100), bad("top-p", s.TopP, 0, 1), bad("min-p", s.MinP, 0, 1),
		bad("repetition penalty", s.Repetition, 0, 100), bad("top-k", float64(s.TopK), 0, math.MaxInt32)} {
		if err != nil {
			return err
		}
	}
	return nil
}

// candidate is a token that may come next.
type candidate struct {
	token int32
	p     float64 // a share of the likeliest one's
}

// Sampler draws the tokens of one text. It is not safe for concurrent use.
type Sampler struct {
	Sampling
	random *rand.Rand
	seen   map[int32]bool
	scaled []float64 // logits after penalty and temperature
	list   []candidate
}

// New returns a sampler for a text that begins with prompt, whose tokens count as repeated.
func New(s Sampling, seed uint64, prompt []int32) *Sampler {
	seen := map[int32]bool{}
	for _, t := range prompt {
		seen[t] = true
	}
	return &Sampler{Sampling: s, random: rand.New(rand.NewPCG(seed, 0)), seen: seen}
}

// Next draws a token.
func (s *Sampler) Next(logits []float32) int32 {
	token := s.draw(logits)
	s.seen[token] = true
	return token
}

func (s *Sampler) draw(logits []float32) int32 {
	top := s.scale(logits)
	if s.Temperature == 0 {
		return int32(top)
	}
	list := s.candidates(s.scaled[top])
	var sum float64
	for _, c := range list {
		sum += c.p
	}
	at := s.random.Float64() * sum
	for _, c := range list {
		if at -= c.p; at < 0 {
			return c.token
		}
	}
	return list[len(list)-1].token
}

// scale applies penalty and temperature, and returns the likeliest token, of equals the first.
func (s *Sampler) scale(logits []float32) (top int) {
	s.scaled = slices.Grow(s.scaled[:0], len(logits))[:len(logits)]
	for i, l := range logits {
		s.scaled[i] = float64(l)
	}
	if s.Repetition != 0 && s.Repetition != 1 {
		for t := range s.seen {
			if int(t) >= len(logits) {
				continue
			}
			if s.scaled[t] > 0 {
				s.scaled[t] /= s.Repetition
			} else {
				s.scaled[t] *= s.Repetition
			}
		}
	}
	for i, l := range s.scaled {
		if s.Temperature != 0 {
			l /= s.Temperature
			s.scaled[i] = l
		}
		if l > s.scaled[top] {
			top = i
		}
	}
	return top
}

// candidates returns the tokens that are left after all steps. Only top-k and top-p need an order, and of that only its
// beginning: ever less likely tokens are looked at until those who may stay are among them.
func (s *Sampler) candidates(top float64) []candidate {
	all := slices.Grow(s.list[:0], len(s.scaled))
	var sum float64
	for i, l := range s.scaled {
		c := candidate{int32(i), math.Exp(l - top)}
		sum += c.p
		all = append(all, c)
	}
	s.list = all
	if s.TopK > 0 && s.TopK < len(all) {
		all = likeliest(all, func(n int, _ float64) bool { return n >= s.TopK })[:s.TopK]
		sum = 0
		for _, c := range all {
			sum += c.p
		}
	}
	if s.MinP > 0 { // of two beginnings of one order the shorter is left, whichever comes first: this one needs no sorting
		all = slices.DeleteFunc(all, func(c candidate) bool { return c.p < s.MinP })
	}
	if s.TopP > 0 && s.TopP < 1 {
		all = likeliest(all, func(_ int, mass float64) bool { return mass >= s.TopP*sum })
		var mass float64
		for i, c := range all {
			if mass += c.p; mass >= s.TopP*sum {
				all = all[:i+1]
				break
			}
		}
	}
	return all
}

// likeliest moves the likeliest candidates to the front, in order and equals by token, and returns so many of them that
// enough is true of their number and mass, or all.
func likeliest(all []candidate, enough func(n int, mass float64) bool) []candidate {
	n, mass := 0, 0.0
	for least := 0.1; n < len(all) && !enough(n, mass); least /= 10 {
		rest := least < 1e-12
		for i := n; i < len(all); i++ {
			if rest || all[i].p >= least {
				mass += all[i].p
				all[n], all[i] = all[i], all[n]
				n++
			}
		}
	}
	slices.SortFunc(all[:n], func(a, b candidate) int { return cmp.Or(cmp.Compare(b.p, a.p), cmp.Compare(a.token, b.token)) })
	return all[:n]
}
