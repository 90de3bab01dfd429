package train

import "math/rand/v2"

// batch is the numbers of the plan rows that are computed together.
type batch []int

// schedule says which batches each step takes. It depends on the plan and the options alone, so that a run can go on
// from any step.
type schedule struct {
	plan    *Plan
	options Options
	epochs  [][]batch // made as they are needed
	perStep int
}

func newSchedule(p *Plan, o Options) *schedule {
	return &schedule{plan: p, options: o, perStep: o.GradAccum}
}

// steps returns how many steps the run has.
func (s *schedule) steps() int {
	if s.options.Steps > 0 {
		return s.options.Steps
	}
	n := 0
	for e := range s.options.Epochs {
		n += len(s.epoch(e))
	}
	return (n + s.perStep - 1) / s.perStep
}

// epoch returns one pass over the plan in its own order. A pass ends with what is left: no row is dropped.
func (s *schedule) epoch(e int) []batch {
	for len(s.epochs) <= e {
		order := rand.New(rand.NewPCG(s.options.Seed, uint64(len(s.epochs))+1000)).Perm(len(s.plan.Rows))
		var batches []batch
		tokens := 0
		for _, row := range order {
			n := len(s.plan.Rows[row].Tokens)
			last := len(batches) - 1
			full := last < 0 || len(batches[last]) == s.options.BatchRows || s.options.BatchTokens > 0 && tokens+n > s.options.BatchTokens
			if full {
				batches, tokens, last = append(batches, nil), 0, last+1
			}
			batches[last] = append(batches[last], row)
			tokens += n
		}
		s.epochs = append(s.epochs, batches)
	}
	return s.epochs[e]
}

// step returns the batches of a step, counted from 1.
func (s *schedule) step(n int) []batch {
	var out []batch
	skip := (n - 1) * s.perStep
	for e := 0; len(out) < s.perStep; e++ {
		if s.options.Steps == 0 && e >= s.options.Epochs {
			break // the last step of the run may be short
		}
		batches := s.epoch(e)
		if skip >= len(batches) {
			skip -= len(batches)
			continue
		}
		take := min(len(batches)-skip, s.perStep-len(out))
		out = append(out, batches[skip:skip+take]...)
		skip = 0
	}
	return out
}

// most returns the tokens and the learned tokens of the greatest batches of the run, and the length of its longest example.
func (s *schedule) most() (tokens, longest, learned int) {
	epochs := s.options.Epochs
	if s.options.Steps > 0 {
		epochs = 1
		for n := len(s.epoch(0)); n < s.options.Steps*s.perStep; epochs++ {
			n += len(s.epoch(epochs))
		}
	}
	for e := range epochs {
		for _, b := range s.epoch(e) {
			n, l := 0, 0
			for _, row := range b {
				n += len(s.plan.Rows[row].Tokens)
				l += s.plan.Rows[row].Learned()
			}
			tokens, learned = max(tokens, n), max(learned, l)
		}
	}
	for _, r := range s.plan.Rows {
		for _, n := range r.lengths() {
			longest = max(longest, n)
		}
	}
	return tokens, longest, learned
}

// Looks at the holdout that nobody asked for: about so many in a run, fewer where together they would read more than this
// share of the tokens that training reads. A look is one pass forwards where a step is two or three.
const (
	mostLooks  = 10
	leastLooks = 3 // fewer make no curve
	lookShare  = 0.5
)

// lookEvery is how many steps lie between two looks at the holdout where the options leave that open.
func (s *schedule) lookEvery(holdout *Plan) int {
	all, _ := s.plan.Tokens()
	held, _ := holdout.Tokens()
	steps := s.steps()
	read := float64(all) * float64(steps*s.perStep) / float64(len(s.epoch(0)))
	looks := int(min(mostLooks, max(leastLooks, lookShare*read/float64(held))))
	return (steps + looks - 1) / looks
}
