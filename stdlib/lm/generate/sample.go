package generate

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

func (s Sampling) check() error {
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
	logit float64
	p     float64 // not normalized
}

type sampler struct {
	Sampling
	random *rand.Rand
	seen   map[int32]bool
	list   []candidate
}

func newSampler(s Sampling, random *rand.Rand, prompt []int32) *sampler {
	seen := map[int32]bool{}
	for _, t := range prompt {
		seen[t] = true
	}
	return &sampler{Sampling: s, random: random, seen: seen}
}

// next draws a token.
func (s *sampler) next(logits []float32) int32 {
	token := s.draw(logits)
	s.seen[token] = true
	return token
}

func (s *sampler) draw(logits []float32) int32 {
	list := s.candidates(logits)
	if s.Temperature == 0 {
		return list[0].token
	}
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

// candidates returns the tokens that are left after all steps, the likeliest first and equals by id.
func (s *sampler) candidates(logits []float32) []candidate {
	s.list = s.list[:0]
	for i, logit := range logits {
		c := candidate{token: int32(i), logit: float64(logit)}
		if s.Repetition != 0 && s.Repetition != 1 && s.seen[c.token] {
			if c.logit > 0 {
				c.logit /= s.Repetition
			} else {
				c.logit *= s.Repetition
			}
		}
		if s.Temperature != 0 {
			c.logit /= s.Temperature
		}
		s.list = append(s.list, c)
	}
	likelier := func(a, b candidate) int {
		if a.logit != b.logit {
			return cmp.Compare(b.logit, a.logit)
		}
		return cmp.Compare(a.token, b.token)
	}
	if s.Temperature == 0 {
		return []candidate{slices.MinFunc(s.list, likelier)}
	}
	slices.SortFunc(s.list, likelier)
	list := s.list
	if s.TopK > 0 && s.TopK < len(list) {
		list = list[:s.TopK]
	}
	var sum float64
	for i := range list {
		list[i].p = math.Exp(list[i].logit - list[0].logit)
		sum += list[i].p
	}
	if s.TopP > 0 && s.TopP < 1 {
		var mass float64
		for i := range list {
			if mass += list[i].p; mass >= s.TopP*sum {
				list = list[:i+1]
				break
			}
		}
	}
	if s.MinP > 0 {
		for i := range list {
			if list[i].p < s.MinP*list[0].p {
				list = list[:i]
				break
			}
		}
	}
	return list
}
