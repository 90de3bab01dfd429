package dsl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"banter/dsl/memo"
	"banter/stdlib/align"
)

// Explanation says why a pair is as confident as it is: the windows that competed, and what each feature added.
type Explanation struct {
	align.Explanation
}

// Explain says how the i-th pair came about. The first call aligns the streams once more, to have the model at hand.
func (p Pairs) Explain(i int) Explanation {
	s := current()
	e, err := s.explainPair(p, p.At(i))
	if err != nil {
		fail("explain", fmt.Sprint("pair ", i), err)
	}
	return Explanation{*e}
}

func (s *Session) explainPair(p Pairs, pair Pair) (*align.Explanation, error) {
	result, err := load(&s.decode, memo.Digest(p.align.Key), func() (*align.Result, error) {
		inputs, err := s.alignInputs(p.words)
		if err != nil {
			return nil, err
		}
		o := p.Alignment().Options
		step, embedder, err := s.withEmbedder(memo.Step{}, p.embedder)
		if err != nil {
			return nil, err
		}
		for _, part := range step.Parts {
			if !slices.Contains(p.align.Parts, part) {
				return nil, fmt.Errorf("embedder %s is not what it was when the pairs were aligned: run Align again", p.embedder)
			}
		}
		o.Embedder = embedder
		return align.Align(s.ctx, inputs, o)
	})
	if err != nil {
		return nil, err
	}
	for i := range result.Streams {
		st := &result.Streams[i]
		if st.Stream != pair.Stream {
			continue
		}
		for k := range st.Pairs {
			if st.Pairs[k].MessageID == pair.MessageID && st.Pairs[k].FirstWord == pair.FirstWord {
				return result.Explain(i, k)
			}
		}
	}
	return nil, errors.New("the alignment no longer gives this pair")
}

// String tells the explanation as a few lines.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q -> %q\n", e.Pair.Speech, e.Pair.Response)
	fmt.Fprintf(&b, "confidence %.3f, false discovery rate %.3f; it answers no speech with probability %.3f\n", e.Pair.Confidence, e.Pair.FDR, e.Background)
	fmt.Fprintf(&b, "lag %.2f s (%.2f to %.2f), in force from %v; the message is %s by its form\n", e.Lag.Lag.Seconds(), e.Lag.Lo.Seconds(), e.Lag.Hi.Seconds(), e.Lag.From, e.Class)
	const most = 5
	for _, c := range e.Candidates[:min(len(e.Candidates), most)] {
		fmt.Fprintf(&b, "  %.3f  %q, %s before; timing %+.2f", c.Probability, c.Text, seconds(c.Delay.Seconds()), c.Timing)
		for _, f := range c.Features {
			if f.Adds != 0 {
				fmt.Fprintf(&b, ", %s %+.2f", f.Name, f.Adds)
			}
		}
		b.WriteByte('\n')
	}
	if n := len(e.Candidates) - most; n > 0 {
		fmt.Fprintf(&b, "  and %d less likely\n", n)
	}
	return b.String()
}
