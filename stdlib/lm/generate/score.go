package generate

import (
	"context"
	"fmt"
	"slices"

	"banter/stdlib/lm/transformer"
)

// Score is how likely a model finds a response to a prompt.
type Score struct {
	LogProb float64 // natural logarithm, summed over the tokens
	Tokens  int     // of the response, the mark that ends its turn included
}

// Mean is the log-probability of a token of the response, so that long and short responses compare.
func (s Score) Mean() float64 {
	if s.Tokens == 0 {
		return 0
	}
	return s.LogProb / float64(s.Tokens)
}

// scoredTokens is how many tokens of continuations are computed at a time; it bounds memory.
const scoredTokens = 1 << 12

// Score scores responses to one prompt. The prompt is read once for all of them.
func (g *Generator) Score(ctx context.Context, prompt string, responses ...string) ([]Score, error) {
	var head []int32 // the prompt's tokens
	tails := make([][]int32, len(responses))
	for i, response := range responses {
		tokens, learn, err := g.format.Encode(prompt, response)
		if err != nil {
			return nil, fmt.Errorf("score response %q: %w", response, err)
		}
		from := slices.Index(learn, true)
		if slices.Contains(learn[from:], false) {
			return nil, fmt.Errorf("score response %q: its tokens are not in one piece", response)
		}
		switch {
		case from < 1:
			return nil, fmt.Errorf("score response %q: nothing stands before it", response)
		case i == 0:
			head = tokens[:from]
		case !slices.Equal(head, tokens[:from]):
			return nil, fmt.Errorf("score response %q: the template writes its prompt differently from that of %q", response, responses[0])
		}
		if most := g.model.Config().MaxPositions; len(tokens) > most {
			return nil, fmt.Errorf("score response %q: %d tokens with its prompt, the model reads %d (shorten the prompt)", response, len(tokens), most)
		}
		tails[i] = append([]int32{head[len(head)-1]}, tokens[from:]...)
	}
	if len(responses) == 0 {
		return nil, nil
	}
	d := g.model.Decoder()
	if len(head) > 1 {
		if _, err := d.Append(ctx, head[:len(head)-1]); err != nil {
			return nil, fmt.Errorf("score: %w", err)
		}
	}
	scores := make([]Score, 0, len(tails))
	for len(tails) > 0 {
		n, size := 0, 0
		for n < len(tails) && (n == 0 || size+len(tails[n]) <= scoredTokens) {
			size += len(tails[n])
			n++
		}
		part, err := logProbs(ctx, d, tails[:n])
		if err != nil {
			return nil, err
		}
		scores, tails = append(scores, part...), tails[n:]
	}
	return scores, nil
}

func logProbs(ctx context.Context, d *transformer.Decoder, tails [][]int32) ([]Score, error) {
	all, err := d.LogProbs(ctx, tails...)
	if err != nil {
		return nil, fmt.Errorf("score: %w", err)
	}
	scores := make([]Score, len(all))
	for i, one := range all {
		for _, p := range one {
			scores[i].LogProb += p
		}
		scores[i].Tokens = len(one)
	}
	return scores, nil
}
