package eval

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"slices"

	"banter/stdlib/lm/transformer"

	"gopkg.in/yaml.v3"
)

//go:embed neutral.yaml
var neutralFile []byte

// neutral are the shipped plain questions with their answers.
var neutral = func() []Example {
	var list []struct{ Ask, Answer string }
	if err := yaml.Unmarshal(neutralFile, &list); err != nil {
		panic(fmt.Sprintf("eval: neutral.yaml: %v", err)) // it is part of the program
	}
	out := make([]Example, len(list))
	for i, x := range list {
		out[i] = Example{ID: fmt.Sprintf("neutral %d", i+1), Prompt: x.Ask, Response: x.Answer}
	}
	return out
}()

// General is what training did to language that has nothing to do with chat: on plain questions with plain answers.
type General struct {
	Prompts    int      `json:"prompts"`
	Tokens     int      `json:"tokens"`
	Perplexity Compared `json:"perplexity"` // of the answers' tokens; the change is relative
	Drift      Measure  `json:"drift"`      // Kullback–Leibler divergence of the tuned model's next token from the base's, in nats a token
}

// general measures both models on the neutral questions. The divergence is exact: over the whole vocabulary, at each
// token of the answers.
func (e *evaluation) general(ctx context.Context, r *Report) error {
	type seen struct {
		logProb [2]float64
		drift   float64
		tokens  int
	}
	list := make([]seen, len(neutral))
	err := e.once(ctx, len(neutral), "plain questions", func(ctx context.Context, i int) error {
		x := neutral[i]
		tokens, learn, err := e.sides[0].Format().Encode(x.Prompt, x.Response)
		if err != nil {
			return fmt.Errorf("%s: %w", x.ID, err)
		}
		var rows []int
		for at := max(1, slices.Index(learn, true)); at < len(tokens); at++ {
			rows = append(rows, at-1)
		}
		var logits [2][]float32
		for k, s := range e.sides {
			if logits[k], err = s.Model().Logits(ctx, transformer.Sequences(tokens), rows); err != nil {
				return fmt.Errorf("%s: %w", x.ID, err)
			}
		}
		vocabulary := len(logits[0]) / len(rows)
		for n, row := range rows {
			base, tuned := logSoftmax(logits[0][n*vocabulary:(n+1)*vocabulary]), logSoftmax(logits[1][n*vocabulary:(n+1)*vocabulary])
			list[i].logProb[0] += base[tokens[row+1]]
			list[i].logProb[1] += tuned[tokens[row+1]]
			for j := range base {
				list[i].drift += math.Exp(base[j]) * (base[j] - tuned[j])
			}
		}
		list[i].tokens = len(rows)
		return nil
	})
	if err != nil {
		return err
	}
	g := &General{Prompts: len(list)}
	units := make([]perplexityUnit, len(list))
	for i, x := range list {
		units[i] = perplexityUnit{x.logProb, x.tokens}
		g.Tokens += x.tokens
	}
	g.Perplexity = comparePerplexity(units, e.Seed, e.Resamples)
	g.Drift = bootstrap(len(list), e.Seed, e.Resamples, func(weights []int) (float64, float64) {
		var sum float64
		tokens := 0
		for i, w := range weights {
			sum += float64(w) * list[i].drift
			tokens += w * list[i].tokens
		}
		return 0, sum / float64(tokens)
	}, difference).Tuned
	r.General = g
	return nil
}

// logSoftmax is the logarithm of each logit's share.
func logSoftmax(logits []float32) []float64 {
	top := float64(slices.Max(logits))
	var sum float64
	for _, l := range logits {
		sum += math.Exp(float64(l) - top)
	}
	rest := top + math.Log(sum)
	out := make([]float64, len(logits))
	for i, l := range logits {
		out[i] = float64(l) - rest
	}
	return out
}
