package eval

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"banter/internal/progress"
	"banter/internal/shipped"
	"banter/internal/specimen"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/train"
)

// replies returns the replies in a shipped stream's ground truth with the sentences that caused them.
func replies(t testing.TB, stream string) []Example {
	t.Helper()
	var out []Example
	for _, r := range shipped.Replies(t, filepath.Join("../../testdata/streams", stream)) {
		out = append(out, Example{ID: r.ID, Stream: stream, Prompt: r.Prompt, Response: r.Text})
	}
	return out
}

// fixture is lm-micro with the replies of two streams to train on and of a third to hold out.
type fixture struct {
	base              *lm.Model
	format            *chattemplate.Format
	tuned             *adapter.Adapter
	holdout, training []Example
}

func open(t testing.TB) fixture {
	t.Helper()
	base := specimen.Open(t, "../../testdata/models/lm-micro")
	f := fixture{base: base.Model, format: base.Format, holdout: replies(t, "s3"), training: append(replies(t, "s1"), replies(t, "s2")...)}
	// An adapter that changes something; which is told by seed alone.
	var err error
	f.tuned, err = adapter.New(base.Config, 2, 2, []string{"q_proj", "down_proj"})
	if err != nil {
		t.Fatal(err)
	}
	random := randomFor(1, "adapter")
	for _, module := range f.tuned.Modules() {
		p := f.tuned.Pairs[module]
		for _, x := range [][]float32{p.A, p.B} {
			for i := range x {
				x[i] = float32(random.NormFloat64() * 0.05)
			}
		}
	}
	return f
}

// trained returns an adapter that was fitted to the examples.
func (f fixture) trained(t *testing.T) *adapter.Adapter {
	t.Helper()
	var examples []train.Example
	for _, x := range f.training {
		examples = append(examples, train.Example{ID: x.ID, Prompt: x.Prompt, Response: x.Response})
	}
	plan, err := train.NewPlan(t.Context(), examples, f.format, train.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	result, err := train.Run(t.Context(), f.base, plan, train.Options{Rank: 16, LR: 2e-3, Steps: 200, Seed: 1}, train.Machine{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.Adapter
}

const kitchen = `
name: kitchen
cases:
  - name: short and lowercase
    prompt: Should we add garlic or honey to the soup?
    require:
      - max_words: 7
      - lowercase: true
    forbid:
      - any_of: [I would, perhaps]
  - name: stays short
    prompt: Hello everyone, welcome back to the stream.
    samples: 2
    require:
      - max_words: 5
`

func small(t testing.TB) Options {
	t.Helper()
	suite, err := ParseSuite([]byte(kitchen))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Seed: 3, AskAtMost: 30, Resamples: 300, Suites: []Suite{suite}}
}

func TestTrainingShowsInTheReport(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains an adapter for some seconds")
	}
	f := open(t)
	var last progress.Report
	var mu sync.Mutex
	most := int64(0)
	ctx := progress.With(t.Context(), func(r progress.Report) {
		mu.Lock()
		defer mu.Unlock()
		last, most = r, max(most, r.Done)
	})
	r, err := Run(ctx, f.base, f.format, f.trained(t), f.holdout, f.training, small(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", r.Table())
	gate := Gate{AtLeast(PerplexityFall, 0.2).Sure(), AtLeast(MRRGain, 0.05).Sure(), AtMost(LengthDivergence, r.Style.LengthDivergence.Base.Value), AtLeast(Rubric("kitchen"), 0.5)}
	if err := gate.Err(r); err != nil {
		t.Error(err)
	}
	if p := r.Perplexity; p.Tuned.High >= p.Base.Low {
		t.Errorf("the perplexities' intervals overlap: %+v", p)
	}
	if r.Ranking.Truths < r.Ranking.Prompts || r.Ranking.MeanCandidates < 50 || len(r.Samples) != 30 || len(r.Responses) != len(f.holdout) || len(r.Skipped) != 0 {
		t.Errorf("%+v", r.Ranking)
	}
	if most != last.Total {
		t.Errorf("progress ends at %d of %d", most, last.Total)
	}
}

func TestAnIdleAdapterChangesNothing(t *testing.T) {
	f := open(t)
	idle, err := adapter.New(f.base.Config, 4, 8, []string{"q_proj"})
	if err != nil {
		t.Fatal(err)
	}
	o := small(t)
	o.RankAtMost, o.AskAtMost, o.Suites = 5, 5, nil
	r, err := Run(t.Context(), f.base, f.format, idle, f.holdout[:30], nil, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows() {
		if row.Change != (Measure{}) || row.Base != row.Tuned {
			t.Errorf("%s: %+v", row.Name, row.Compared)
		}
	}
	if err := (Gate{AtLeast(PerplexityFall, 0.05), AtMost(Memorised, 1), AtLeast(Rubric("none"), 0)}).Err(r); err == nil ||
		!strings.Contains(err.Error(), "wanted perplexity fall at least 0.05, got") || !strings.Contains(err.Error(), "has no rubric none") || strings.Contains(err.Error(), "memorised") {
		t.Errorf("gate: %v", err)
	}
}

func TestSameReportForAnyWorkersAndOrder(t *testing.T) {
	f := open(t)
	o := small(t)
	o.RankAtMost, o.AskAtMost, o.Resamples = 4, 4, 50
	var reports [][]byte
	for _, workers := range []int{1, 4} {
		o.Workers = workers
		holdout := append([]Example{}, f.holdout[:24]...)
		if workers == 4 {
			for i, j := 0, len(holdout)-1; i < j; i, j = i+1, j-1 {
				holdout[i], holdout[j] = holdout[j], holdout[i]
			}
		}
		r, err := Run(t.Context(), f.base, f.format, f.tuned, holdout, f.training, o)
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, b)
		back, err := ReadReport(b)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := back.JSON(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("the report changes by reading: %v", err)
		}
	}
	if !bytes.Equal(reports[0], reports[1]) {
		t.Error("the report depends on workers or on the order of examples")
	}
}

func TestLongPromptsAreNamedAndLeftOut(t *testing.T) {
	f := open(t)
	o := Options{RankAtMost: 3, AskAtMost: 3, Resamples: 20, Candidates: 5}
	holdout := append([]Example{{ID: "long", Stream: "s9", Prompt: strings.Repeat("soup ", 700), Response: "lol"}}, f.holdout[:6]...)
	r, err := Run(t.Context(), f.base, f.format, f.tuned, holdout, f.training, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Skipped) != 1 || r.Skipped[0].ID != "long" || !strings.Contains(r.Skipped[0].Reason, "reads 512") || len(r.Responses) != 6 {
		t.Errorf("%+v", r.Skipped)
	}
	if !strings.Contains(r.Table(), "Left out: 1; the first, long") {
		t.Error(r.Table())
	}
	if _, err := Run(t.Context(), f.base, f.format, f.tuned, holdout[:1], f.training, o); err == nil || !strings.Contains(err.Error(), "none of 1 examples") {
		t.Errorf("nothing to score: %v", err)
	}
	if _, err := Run(t.Context(), f.base, f.format, f.tuned, nil, f.training, o); err == nil || !strings.Contains(err.Error(), "holdout is empty") {
		t.Errorf("no holdout: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, f.base, f.format, f.tuned, f.holdout, f.training, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
