package quality

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"banter/internal/progress"
	"banter/stdlib/align"
	"banter/stdlib/chat"
)

// Context is what rules may look at beyond the pairs. The zero value will do for rules about single pairs.
type Context struct {
	Chats  map[string][]chat.Message // the whole chat of each stream, by stream id; rules about repetition and authors use it
	Emotes []string                  // codes of further emotes; those of Chats are known already
	Judges []Judge                   // what Toxicity may ask by name
}

// Judge decides about one text where a word list will not do. It must answer the same for the same text, from many
// goroutines at once.
type Judge interface {
	Name() string
	Version() string // changes whenever an answer may change: it is part of the rule
	// Reason is why the text is to be dropped, or empty.
	Reason(text string) string
}

// Drop says that a pair fell, by which rule and why.
type Drop struct {
	Pair   int    // index into the pairs given
	Rule   int    // index into the rules given
	Reason string // for people: "confidence below 0.6"
}

// Mask is the new text of a pair in which something was masked.
type Mask struct {
	Pair     int
	Response string
	Speech   string
}

// Result is what [Apply] found.
type Result struct {
	Kept   []int  // indexes of the pairs that passed every rule, ascending
	Drops  []Drop // in the order of rules, then pairs
	Masks  []Mask // of kept pairs, ascending
	Report Report
}

// Report is the account of a filter run, and the data of a waterfall chart.
type Report struct {
	In    int    `json:"in"`
	Out   int    `json:"out"`
	Steps []Step `json:"steps"` // one a rule, in order
}

// Step is what one rule did.
type Step struct {
	Rule     string          `json:"rule"` // its name
	With     json.RawMessage `json:"with"` // its canonical form
	In       int             `json:"in"`
	Out      int             `json:"out"`
	Dropped  int             `json:"dropped"`
	Masked   int             `json:"masked"`   // parts masked, not pairs
	Examples []Example       `json:"examples"` // the first few pairs that it took or changed
}

// Example shows one pair that a rule dropped or masked.
type Example struct {
	Stream    string `json:"stream"`
	MessageID string `json:"message_id"`
	Response  string `json:"response"` // as the rule saw it; as masked, where the rule masks
	Reason    string `json:"reason"`
}

// maxExamples bounds the examples of a step.
const maxExamples = 5

// Pairs are the kept pairs, masked.
func (r *Result) Pairs(pairs []align.Pair) []align.Pair {
	out := make([]align.Pair, len(r.Kept))
	next := 0
	for n, i := range r.Kept {
		out[n] = pairs[i]
		for next < len(r.Masks) && r.Masks[next].Pair < i {
			next++
		}
		if next < len(r.Masks) && r.Masks[next].Pair == i {
			out[n].Response, out[n].Speech = r.Masks[next].Response, r.Masks[next].Speech
		}
	}
	return out
}

// scene is what a rule sees: the pairs that are still alive, with the texts that earlier rules left.
type scene struct {
	pairs  []align.Pair
	alive  []int
	masked map[int]Mask
	ctx    *Context
	emotes map[string]bool // made when first asked for
}

// judge is a rule made ready for a scene. Its functions may be called from many goroutines at once.
type judge struct {
	drop func(i int) string                               // the reason to drop pair i, or empty
	mask func(i int) (response, speech string, parts int) // the new texts of pair i, and how many parts were masked
}

func (s *scene) response(i int) string {
	if len(s.masked) > 0 {
		if m, ok := s.masked[i]; ok {
			return m.Response
		}
	}
	return s.pairs[i].Response
}

func (s *scene) speech(i int) string {
	if len(s.masked) > 0 {
		if m, ok := s.masked[i]; ok {
			return m.Speech
		}
	}
	return s.pairs[i].Speech
}

// emoteSet is all the emote codes that are known.
func (s *scene) emoteSet() map[string]bool {
	if s.emotes == nil {
		s.emotes = map[string]bool{}
		for _, name := range s.ctx.Emotes {
			s.emotes[name] = true
		}
		for _, messages := range s.ctx.Chats {
			for _, m := range messages {
				for _, e := range m.Emotes {
					s.emotes[e.Name] = true
				}
			}
		}
	}
	return s.emotes
}

// Apply runs the rules one after another, each over the pairs that those before it kept. The pairs stay as they are; the
// outcome does not depend on how many workers there are, and which of several duplicates stays does not depend on the
// order of the pairs.
func Apply(ctx context.Context, pairs []align.Pair, around Context, rules []Rule) (*Result, error) {
	s := &scene{pairs: pairs, alive: make([]int, len(pairs)), masked: map[int]Mask{}, ctx: &around}
	for i := range s.alive {
		s.alive[i] = i
	}
	res := &Result{Report: Report{In: len(pairs)}}
	for n, rule := range rules {
		with, err := Encode(rule)
		if err != nil {
			return nil, fmt.Errorf("filter: rule %d: %w", n+1, err)
		}
		j, err := rule.prepare(s)
		if err != nil {
			return nil, fmt.Errorf("filter: rule %s: %w", rule.Name(), err)
		}
		step := Step{Rule: rule.Name(), With: with, In: len(s.alive)}
		if j.drop != nil {
			if err := s.drop(ctx, res, n, j.drop, &step); err != nil {
				return nil, fmt.Errorf("filter: rule %s: %w", rule.Name(), err)
			}
		}
		if j.mask != nil {
			if err := s.mask(ctx, j.mask, &step); err != nil {
				return nil, fmt.Errorf("filter: rule %s: %w", rule.Name(), err)
			}
		}
		step.Out = len(s.alive)
		res.Report.Steps = append(res.Report.Steps, step)
		progress.Tell(ctx, progress.Report{Done: int64(n + 1), Total: int64(len(rules)), Unit: "rules", Note: rule.Name()})
	}
	res.Kept = s.alive
	res.Report.Out = len(s.alive)
	if len(s.masked) > 0 {
		for _, i := range res.Kept {
			if m, ok := s.masked[i]; ok {
				res.Masks = append(res.Masks, m)
			}
		}
	}
	return res, nil
}

// chunk is how many pairs a worker takes at once.
const chunk = 1 << 14

// drop asks about every pair alive and takes out those with a reason. It goes over the pairs twice, so that every worker
// writes straight to its place in the outcome.
func (s *scene) drop(ctx context.Context, res *Result, rule int, reason func(int) string, step *Step) error {
	why := make([]string, len(s.alive))
	falls := make([]int, (len(s.alive)+chunk-1)/chunk+1) // by chunk; then how many fall before it
	err := inChunks(ctx, len(s.alive), func(n, from, to int) {
		count := 0
		for k, i := range s.alive[from:to] {
			if r := reason(i); r != "" {
				why[from+k] = r
				count++
			}
		}
		falls[n+1] = count
	})
	if err != nil {
		return err
	}
	for n := range falls[1:] {
		falls[n+1] += falls[n]
	}
	step.Dropped = falls[len(falls)-1]
	if step.Dropped == 0 {
		return nil
	}
	before := len(res.Drops)
	res.Drops = slices.Grow(res.Drops, step.Dropped)[:before+step.Dropped]
	alive := make([]int, len(s.alive)-step.Dropped)
	err = inChunks(ctx, len(s.alive), func(n, from, to int) {
		d, k := before+falls[n], from-falls[n]
		for at := from; at < to; at++ {
			if why[at] != "" {
				res.Drops[d] = Drop{Pair: s.alive[at], Rule: rule, Reason: why[at]}
				d++
			} else {
				alive[k] = s.alive[at]
				k++
			}
		}
	})
	if err != nil {
		return err
	}
	s.alive = alive
	for _, d := range res.Drops[before:min(before+maxExamples, len(res.Drops))] {
		step.Examples = append(step.Examples, s.example(d.Pair, d.Reason))
	}
	return nil
}

// mask gives every pair alive its new texts.
func (s *scene) mask(ctx context.Context, change func(int) (string, string, int), step *Step) error {
	type part struct {
		masks []Mask
		count int
	}
	parts := make([]part, (len(s.alive)+chunk-1)/chunk)
	err := inChunks(ctx, len(s.alive), func(n, from, to int) {
		for _, i := range s.alive[from:to] {
			if response, speech, count := change(i); count > 0 {
				parts[n].masks = append(parts[n].masks, Mask{Pair: i, Response: response, Speech: speech})
				parts[n].count += count
			}
		}
	})
	if err != nil {
		return err
	}
	for _, p := range parts {
		step.Masked += p.count
		for _, m := range p.masks {
			s.masked[m.Pair] = m
			if len(step.Examples) < maxExamples {
				step.Examples = append(step.Examples, s.example(m.Pair, "masked"))
			}
		}
	}
	return nil
}

func (s *scene) example(i int, reason string) Example {
	return Example{Stream: s.pairs[i].Stream, MessageID: s.pairs[i].MessageID, Response: s.response(i), Reason: reason}
}

// inChunks calls f for each run of at most chunk of n items, on all processors.
func inChunks(ctx context.Context, n int, f func(number, from, to int)) error {
	chunks := (n + chunk - 1) / chunk
	workers := min(runtime.GOMAXPROCS(0), chunks)
	next := make(chan int, chunks)
	for c := range chunks {
		next <- c
	}
	close(next)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for c := range next {
				if ctx.Err() != nil {
					return
				}
				f(c, c*chunk, min(n, (c+1)*chunk))
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
