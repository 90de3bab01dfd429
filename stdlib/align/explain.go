package align

import (
	"fmt"
	"slices"
	"time"

	"banter/internal/problem"
)

// Explanation says why a pair is as confident as it is.
type Explanation struct {
	Pair       Pair
	Class      string   // what the message is by its form: "plain", "command", ...
	Lag        LagPiece // the piece of the lag curve that was used
	Background float64  // probability that the message answers no speech
	Prior      float64  // log odds of being an answer from text and author alone
	Weights    []FeatureWeight
	Candidates []Candidate // in order of probability
}

// FeatureWeight is how much one unit of a feature adds to the log odds of a candidate.
type FeatureWeight struct {
	Name   string
	Weight float64
}

// Candidate is one utterance (or message) that competes for being what is answered.
type Candidate struct {
	Text        string
	Start, End  time.Duration // on the clock of the recording; for a message its time, lag not taken off
	Delay       time.Duration // between its end and the answer, lag taken off
	Probability float64       // of being what is answered
	Timing      float64       // log density of the delay
	Features    []Contribution
}

// Contribution is what one feature adds to a candidate's log odds.
type Contribution struct {
	Name  string
	Value float64 // of the feature
	Adds  float64 // value times weight
}

// Explain says how the pair with this index in r.Streams[stream].Pairs came about. It works on results that Align made, not
// on pairs read from a table.
func (r *Result) Explain(stream, pair int) (*Explanation, error) {
	fail := func(err error) (*Explanation, error) { return nil, &problem.Error{Op: "explain", Err: err} }
	if stream < 0 || stream >= len(r.Streams) || pair < 0 || pair >= len(r.Streams[stream].Pairs) {
		return fail(fmt.Errorf("no pair %d in stream %d", pair, stream))
	}
	m := r.Streams[stream].model
	if m == nil {
		return nil, &problem.Error{Op: "explain", Err: fmt.Errorf("the model is not at hand"), Fix: "align again in this process and explain that result"}
	}
	tr := m.c.tracks[r.Streams[stream].track]
	target := -1
	for i, n := 0, 0; i < len(tr.tgt); i++ {
		if !m.hasCandidate(tr, &tr.tgt[i]) {
			continue
		}
		if n == pair {
			target = i
			break
		}
		n++
	}
	if target < 0 {
		return fail(fmt.Errorf("pair %d of stream %d has no message", pair, stream))
	}
	t := &tr.tgt[target]
	var s scored
	m.score(tr, t, tr, 0, &s, &scratch{})
	out := &Explanation{Pair: r.Streams[stream].Pairs[pair], Class: t.class.String(), Background: 1 - s.reply, Prior: s.odds}
	for _, p := range r.Streams[stream].Lag {
		if out.Lag == (LagPiece{}) || p.From <= out.Pair.SpeechStart {
			out.Lag = p
		}
	}
	for k, name := range partNames {
		out.Weights = append(out.Weights, FeatureWeight{name, m.weights.b[k]})
	}
	if m.ranker != nil {
		out.Weights = append(out.Weights, FeatureWeight{TreeRanker, 1})
	}
	for i := range s.cand {
		c := &s.cand[i]
		src := &tr.src[c.src]
		o := Candidate{Probability: c.r, Timing: c.timing, Delay: seconds(c.delay), Start: seconds(src.start) + tr.t0, End: seconds(src.end) + tr.t0}
		if m.c.opt.Direction == SpeechToChat {
			o.Text = tr.text(tr.utts[src.index].First, tr.utts[src.index].Last)
		} else {
			o.Text = tr.in.Messages[src.index].Text
		}
		for k, name := range partNames {
			o.Features = append(o.Features, Contribution{name, c.phi.v[k], m.weights.b[k] * c.phi.v[k]})
		}
		if m.ranker != nil {
			adds := c.content - m.weights.score(&c.phi)
			o.Features = append(o.Features, Contribution{TreeRanker, adds, adds})
		}
		out.Candidates = append(out.Candidates, o)
	}
	slices.SortStableFunc(out.Candidates, func(a, b Candidate) int {
		switch {
		case a.Probability > b.Probability:
			return -1
		case a.Probability < b.Probability:
			return 1
		}
		return 0
	})
	return out, nil
}

// hasCandidate says whether a target has a pair at all.
func (m *model) hasCandidate(tr *track, t *target) bool {
	return len(m.candidates(tr, t, tr, 0, nil)) > 0
}
