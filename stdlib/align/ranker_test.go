package align_test

import (
	"math"
	"testing"

	"banter/stdlib/align"
)

func TestTreesAreUsedWhereTheyHelp(t *testing.T) {
	opt := align.Options{Ranker: align.TreeRanker, Workers: 7}
	many := stream(79, 12)
	r := run(t, opt, many.Input)
	d := r.Streams[0].Diagnostics.Ranker
	if d == nil || d.Trees == 0 || d.Gain <= d.GainErr || d.Answers < 60 {
		t.Fatalf("%+v", d)
	}
	one := opt
	one.Workers = 1
	if !same(t, r, run(t, one, many.Input)) {
		t.Error("the number of workers changed the result")
	}
	told := false
	for i := 0; i < len(r.Streams[0].Pairs); i += 10 {
		e, err := r.Explain(0, i)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range e.Candidates {
			last := c.Features[len(c.Features)-1]
			if last.Name != align.TreeRanker || math.Abs(last.Adds) > 12 {
				t.Fatalf("pair %d: %+v", i, c.Features)
			}
			told = told || last.Adds != 0
		}
	}
	if !told {
		t.Error("the trees are in use and add nothing to any candidate")
	}
	few := run(t, opt, stream(71, 1).Input)
	if d := few.Streams[0].Diagnostics.Ranker; d == nil || d.Trees != 0 {
		t.Errorf("a minute of chat: %+v", d)
	}
	if d := run(t, align.Options{Ranker: align.LogisticRanker}, many.Input).Streams[0].Diagnostics.Ranker; d != nil {
		t.Errorf("nobody asked for trees: %+v", d)
	}
}
