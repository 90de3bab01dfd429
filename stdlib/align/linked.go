package align

import (
	"context"
	"math"
	"slices"
	"time"
)

// A quiet chat shares few words with the speech, and at some lag or other chance shares as many. Whether there is any link is
// then asked of the whole model: how likely it makes the chat, against the same chat after its stretches changed places, with
// lag, delays and words fitted anew each time (a permutation test, Good 2005).
const (
	linkMessages = 300 // up to so many the test is made
	linkEvident  = 8.0 // score of shared words that needs no test
	linkRepeats  = 12  // permuted chats
	minLinkScore = 2.5 // evidence below which no pair is believed
)

func (tr *track) linkedAtAll() bool { return tr.lagSet || tr.linkScore >= minLinkScore }

// testLink replaces the link score of a quiet chat by that of the whole model, fitted to this stream alone.
func (c *corpus) testLink(ctx context.Context, tr *track) error {
	if n := len(tr.in.Messages); tr.lagSet || n < 10 || n > linkMessages || len(tr.src) == 0 || tr.linkScore >= linkEvident {
		return nil
	}
	opt := *c.opt
	opt.Embedder = nil
	var grid []gridLaw
	real, err := chatLikelihood(ctx, tr.in, &opt, &grid)
	if err != nil {
		return err
	}
	null := make([]float64, linkRepeats)
	for k := range null {
		if null[k], err = chatLikelihood(ctx, permutedChat(tr.in, k), &opt, &grid); err != nil {
			return err
		}
	}
	mean, sd := meanAndDeviation(null)
	tr.linkScore = (real - mean) / math.Max(sd, 0.5)
	return nil
}

// chatLikelihood is the log-likelihood of the times of a stream's plain messages under a model fitted to it: answers and
// background as Poisson processes. The grid of laws is made once for all calls.
func chatLikelihood(ctx context.Context, in *Input, opt *Options, grid *[]gridLaw) (float64, error) {
	c := newCorpus([]*Input{in}, opt)
	tr := c.tracks[0]
	s, path, _ := c.wordLag(tr, tr.thinned(), nil)
	tr.setCurve(s.pieces(path))
	l := newLearner(c)
	l.grid = *grid
	for round := range rounds {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		l.round(round)
	}
	*grid = l.grid
	sum := 0.0
	for i, s := range l.scoreAll(tr, tr, 0) {
		if t := &tr.tgt[l.learn[0][i]]; t.class == plain {
			sum += math.Log(tr.rate * (1 + math.Exp(s.direct-s.odds)))
		}
	}
	return sum, nil
}

// permutedChat is a stream with its chat's stretches in another order.
func permutedChat(in *Input, k int) *Input {
	first, last := in.Messages[0].Time, in.Messages[0].Time
	for i := range in.Messages {
		first, last = min(first, in.Messages[i].Time), max(last, in.Messages[i].Time)
	}
	block := max(permutedBlock, (last-first)/mostBlocks)
	order := blockOrder(int((last-first)/block)+1, k)
	out := *in
	out.Messages = slices.Clone(in.Messages)
	for i := range out.Messages {
		b := (out.Messages[i].Time - first) / block
		out.Messages[i].Time += (time.Duration(order[b]) - b) * block
	}
	return &out
}
