// Package eval measures what an adapter changed. A base model, an adapter, held-out examples and the responses that were
// trained on flow in; a [Report] flows out: perplexity, ranking, style, memorisation and rubrics before and after, each
// with a bootstrap interval. A [Gate] turns a report into pass or fail, with reasons.
//
// The same inputs, options and seed give the same report for any number of workers.
package eval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"banter/internal/progress"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
	"banter/stdlib/lm/transformer"

	"golang.org/x/sync/errgroup"
)

// Example is one exchange: a response that somebody really gave to a prompt.
type Example struct {
	ID       string
	Stream   string
	Prompt   string
	Response string
	Delay    time.Duration // how long its writer took; 0: not known
}

// Options says how to measure. The zero value is usable.
type Options struct {
	Seed       uint64
	Candidates int      // responses to rank for each prompt, the true ones included; 0: 100
	RankAtMost int      // prompts that are ranked, drawn by seed; 0: 100
	AskAtMost  int      // prompts that the models answer, for style and memorisation, drawn by seed; 0: 100
	Resamples  int      // of the bootstrap; 0: 1000
	Emotes     []string // words that are emotes; those of the shape chefWave and emoji are known without
	Suites     []Suite  // rubrics to judge answers by
	Judge      Judge    `json:"-"` // for rubrics that ask one; may be nil
	Workers    int      // examples at a time; 0: one per processor
	Sampling   generate.Sampling
	MaxTokens  int // of an answer; 0: 48
}

func (o Options) withDefaults() Options {
	o.Candidates = cmp.Or(o.Candidates, 100)
	o.RankAtMost = cmp.Or(o.RankAtMost, 100)
	o.AskAtMost = cmp.Or(o.AskAtMost, 100)
	o.Resamples = cmp.Or(o.Resamples, 1000)
	o.Workers = cmp.Or(o.Workers, runtime.GOMAXPROCS(0))
	o.MaxTokens = cmp.Or(o.MaxTokens, 48)
	if o.Sampling == (generate.Sampling{}) {
		o.Sampling = generate.Sampling{Temperature: 0.8, TopP: 0.95, MinP: 0.1}
	}
	return o
}

// Canonical is the options with their defaults said aloud, so that options that mean the same are the same. How many
// workers there are changes nothing that is measured, and is left out.
func (o Options) Canonical() Options {
	o = o.withDefaults()
	o.Workers = 0
	return o
}

func (o Options) check() error {
	for name, n := range map[string]int{"candidates": o.Candidates, "prompts to rank": o.RankAtMost, "prompts to ask": o.AskAtMost,
		"resamples": o.Resamples, "workers": o.Workers, "tokens": o.MaxTokens} {
		if n < 1 {
			return fmt.Errorf("%s: %d is not a number above 0", name, n)
		}
	}
	if o.Candidates < 2 {
		return errors.New("ranking wants at least 2 candidates")
	}
	for _, suite := range o.Suites {
		if where, criterion, asks := suite.Asks(); asks && o.Judge == nil {
			return fmt.Errorf("rubric %s: case %q asks a judge whether %s, and no judge is named: name a GGUF model with Judge", suite.Name, where, criterion)
		}
	}
	return nil
}

// side is one of the two models that are compared.
type side struct {
	name string
	*generate.Generator
}

// evaluation is a run under way.
type evaluation struct {
	Options
	sides    [2]side // base and tuned
	holdout  []Example
	training []Example
	done     atomic.Int64
	total    int64
}

// Run measures base alone and base with the adapter on the holdout. training holds the examples that were trained on:
// they lend candidates to the ranking and show what was learnt by heart.
func Run(ctx context.Context, base *lm.Model, format *chattemplate.Format, a *adapter.Adapter, holdout, training []Example, o Options) (*Report, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	if len(holdout) == 0 {
		return nil, errors.New("evaluate: the holdout is empty (keep some streams or minutes out of training)")
	}
	// Examples go side by side, so each pass has one worker to itself.
	before, err := transformer.New(base, transformer.Options{Workers: 1})
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	after, err := transformer.New(base, transformer.Options{Workers: 1})
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	if err := after.SetAdapter(a); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	e := &evaluation{Options: o, sides: [2]side{{"base", generate.New(before, format)}, {"tuned", generate.New(after, format)}}}
	e.holdout, e.training = sorted(holdout), sorted(training)
	return e.run(ctx)
}

// sorted puts examples in an order that does not depend on how they came.
func sorted(examples []Example) []Example {
	s := slices.Clone(examples)
	slices.SortFunc(s, func(a, b Example) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Prompt, b.Prompt), cmp.Compare(a.Response, b.Response))
	})
	return s
}

func (e *evaluation) run(ctx context.Context) (*Report, error) {
	all := groupPrompts(e.holdout)
	e.total = 2 * int64(len(e.holdout)+min(len(all), e.RankAtMost)+min(len(all), e.AskAtMost))
	for _, s := range e.Suites {
		e.total += 2 * int64(s.answers())
	}
	r := &Report{Version: reportVersion, Examples: len(e.holdout), Training: len(e.training), Seed: e.Seed, Resamples: e.Resamples,
		Vocabulary: e.sides[0].Model().Config().Vocab}
	// Before anything costs time: what stands on both sides makes all that follows look better than it is.
	if err := e.leaks(r); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	scored, err := e.perplexity(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	prompts := groupPrompts(scored)
	r.Prompts = len(prompts)
	if err := e.ranking(ctx, r, draw(prompts, e.RankAtMost, e.Seed, "rank")); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	if err := e.answers(ctx, r, draw(prompts, e.AskAtMost, e.Seed, "ask")); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	if err := e.rubrics(ctx, r); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	if err := e.general(ctx, r); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	r.round()
	return r, nil
}

// each runs f for both sides of n items, a bounded number at a time, and counts them as progress.
func (e *evaluation) each(ctx context.Context, n int, note string, f func(ctx context.Context, s side, which, i int) error) error {
	return e.work(ctx, len(e.sides)*n, func(ctx context.Context, i int) (string, error) {
		s := e.sides[i/n]
		return s.name + " " + note, f(ctx, s, i/n, i%n)
	})
}

// once runs f for n items that e.total does not know of yet.
func (e *evaluation) once(ctx context.Context, n int, note string, f func(ctx context.Context, i int) error) error {
	e.total += int64(n)
	return e.work(ctx, n, func(ctx context.Context, i int) (string, error) { return note, f(ctx, i) })
}

func (e *evaluation) work(ctx context.Context, n int, f func(ctx context.Context, i int) (note string, err error)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.Workers)
	for i := range n {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			note, err := f(ctx, i)
			if err != nil {
				return err
			}
			progress.Tell(ctx, progress.Report{Done: e.done.Add(1), Total: e.total, Unit: "examples", Note: note})
			return nil
		})
	}
	return g.Wait()
}

// perplexity scores each real response and returns the examples that it could score. One that does not fit into the
// model's positions is skipped by name.
func (e *evaluation) perplexity(ctx context.Context, r *Report) ([]Example, error) {
	var scores [2][]generate.Score
	for which := range scores {
		scores[which] = make([]generate.Score, len(e.holdout))
	}
	var mu sync.Mutex
	skipped := map[int]string{}
	err := e.each(ctx, len(e.holdout), "perplexity", func(ctx context.Context, s side, which, i int) error {
		score, err := s.Score(ctx, e.holdout[i].Prompt, e.holdout[i].Response)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			skipped[i] = err.Error()
			return nil
		}
		scores[which][i] = score[0]
		return nil
	})
	if err != nil {
		return nil, err
	}
	var units []perplexityUnit
	var kept []Example
	for i, x := range e.holdout {
		if reason, bad := skipped[i]; bad {
			r.Skipped = append(r.Skipped, Skipped{x.ID, reason})
			continue
		}
		kept = append(kept, x)
		units = append(units, perplexityUnit{[2]float64{scores[0][i].LogProb, scores[1][i].LogProb}, scores[0][i].Tokens})
		r.Responses = append(r.Responses, ResponseScore{x.ID, scores[0][i].Tokens, scores[0][i].LogProb, scores[1][i].LogProb})
		r.Tokens += scores[0][i].Tokens
	}
	if len(units) == 0 {
		return nil, fmt.Errorf("none of %d examples could be scored: %s", len(e.holdout), r.Skipped[0].Reason)
	}
	r.Perplexity = comparePerplexity(units, e.Seed, e.Resamples)
	return kept, nil
}
