package dsl

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"banter/dsl/memo"
	"banter/stdlib/quality"
)

// Predicate is a user's func(p Pair) bool together with what it depends on. The kernel makes one of each literal that a
// cell gives to Filter, so that its result can be remembered: Source and Captures enter the key.
type Predicate struct {
	Keep        func(*Pair) bool
	KeepAll     func(pairs []Pair, keep []bool) // the same for many pairs at once; nil where that is no faster
	Source      string                          // the literal and all user functions that it reaches, in normal form
	Captures    []Capture                       // the variables that it reads, with their values
	Uncacheable string                          // why its result cannot be remembered, or empty

	// Changed, asked after Keep, says what of Captures Keep changed, "it changes seen", or is empty. A result that comes
	// with such an effect is not remembered: who finds it would go without the effect. nil: Keep changes nothing.
	Changed func() string
}

// Capture is a variable that a predicate reads.
type Capture struct {
	Name  string
	Type  string
	Value string // in canonical form
}

// identify adds what the predicate depends on to a step.
func (p *Predicate) identify(step memo.Step, name string) memo.Step {
	step = step.With(name+".predicate", p.Source)
	captures := slices.Clone(p.Captures)
	slices.SortStableFunc(captures, func(a, b Capture) int { return strings.Compare(a.Name, b.Name) })
	same := 0 // captures of this name so far: two functions may each read a variable of one name
	for i, c := range captures {
		if same++; i == 0 || captures[i-1].Name != c.Name {
			same = 1
		}
		part := name + ".captured." + c.Name
		if same > 1 {
			part += fmt.Sprintf("#%d", same)
		}
		step = step.With(part, c.Type+" "+c.Value)
	}
	return step
}

// apply splits pairs into those that the predicate keeps and those that it drops.
func (p *Predicate) apply(pairs []Pair) (kept []Pair, dropped []quality.Dropped, step quality.Step) {
	const reason = "the predicate is false"
	step = quality.Step{Rule: "predicate", With: []byte("{}"), In: len(pairs), Examples: []quality.Example{}}
	keep := make([]bool, len(pairs))
	if p.KeepAll != nil {
		p.KeepAll(pairs, keep)
	} else {
		for i := range pairs {
			keep[i] = p.Keep(&pairs[i])
		}
	}
	n := 0
	for _, k := range keep {
		if k {
			n++
		}
	}
	kept, dropped = make([]Pair, 0, n), make([]quality.Dropped, 0, len(pairs)-n)
	for i := range pairs {
		if keep[i] {
			kept = append(kept, pairs[i])
			continue
		}
		dropped = append(dropped, quality.NewDropped(pairs[i], "predicate", reason))
		if len(step.Examples) < 5 {
			step.Examples = append(step.Examples, quality.Example{Stream: pairs[i].Stream, MessageID: pairs[i].MessageID, Response: pairs[i].Response, Reason: reason})
		}
	}
	step.Out, step.Dropped = len(kept), len(dropped)
	return kept, dropped, step
}

// doAnew does a step whose result must not be found again: its key is of the bytes it makes. What follows it is
// remembered all the same, since keys are made of what was read and not of how it came about.
func (s *Session) doAnew(step memo.Step, work func(context.Context, *memo.Draft) error) (memo.Manifest, error) {
	step.Once = true
	step.Parts = append(slices.Clone(step.Parts), anewPart())
	return s.do(step, work)
}

// anewPart is a part that no other step has: a number and a process.
func anewPart() memo.Part {
	return memo.Part{Name: "anew", Value: fmt.Sprintf("%d.%s", anewCount.Add(1), anewProcess)}
}

var (
	anewCount   atomic.Int64
	anewProcess = rand.Text()
)
