package generate

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"banter/internal/specimen"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/transformer"
)

func open(t testing.TB, workers int) *Generator {
	t.Helper()
	m := specimen.Open(t, "../../../testdata/models/lm-micro")
	model, err := transformer.New(m.Model, transformer.Options{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	return New(model, m.Format)
}

func user(text string) []chattemplate.Message {
	return []chattemplate.Message{{Role: "user", Content: text}}
}

func TestAgainstTransformers(t *testing.T) {
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Scores []struct {
			Prompt, Response string
			LogProb          float64
			Tokens           int
		}
		Greedy []struct {
			Prompt, Text string
			Penalty      float64
			Tokens       int
			Ended        bool
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Scores) < 10 || len(golden.Greedy) < 6 {
		t.Fatal("golden.json is short")
	}
	g := open(t, 2)
	byPrompt := map[string][]int{}
	for i, c := range golden.Scores {
		byPrompt[c.Prompt] = append(byPrompt[c.Prompt], i)
	}
	for prompt, cases := range byPrompt {
		var responses []string
		for _, i := range cases {
			responses = append(responses, golden.Scores[i].Response)
		}
		scores, err := g.Score(t.Context(), prompt, responses...)
		if err != nil {
			t.Fatal(err)
		}
		for k, i := range cases {
			want := golden.Scores[i]
			if scores[k].Tokens != want.Tokens || math.Abs(scores[k].LogProb-want.LogProb) > 1e-3 {
				t.Errorf("%q to %q: %+v, want %v over %d tokens", want.Response, prompt, scores[k], want.LogProb, want.Tokens)
			}
		}
	}
	for _, c := range golden.Greedy {
		a, err := g.Answer(t.Context(), user(c.Prompt), Options{Sampling: Sampling{Repetition: c.Penalty}, MaxTokens: 24}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Text != c.Text || a.Tokens != c.Tokens || (a.Ending == EndOfTurn) != c.Ended {
			t.Errorf("%q with penalty %v: %+v, want %q in %d tokens", c.Prompt, c.Penalty, a, c.Text, c.Tokens)
		}
	}
}

func TestSameSeedSameAnswer(t *testing.T) {
	o := Options{Sampling: Sampling{Temperature: 1.5, TopP: 0.95}, MaxTokens: 20, Seed: 7}
	var texts []string
	for _, workers := range []int{1, 3} {
		a, err := open(t, workers).Answer(t.Context(), user("Hello everyone!"), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, a.Text)
	}
	if texts[0] != texts[1] {
		t.Errorf("%q with one worker, %q with three", texts[0], texts[1])
	}
	g := open(t, 2)
	different := map[string]bool{}
	for o.Seed = range 8 {
		a, err := g.Answer(t.Context(), user("Hello everyone!"), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		different[a.Text] = true
	}
	if len(different) < 3 {
		t.Errorf("8 seeds give %d answers", len(different))
	}
}

func TestStopAndStreaming(t *testing.T) {
	g := open(t, 2)
	const prompt = "Should we add garlic or honey to the soup?" // "Both are fine, but I prefer the honey."
	var streamed strings.Builder
	a, err := g.Answer(t.Context(), user(prompt), Options{}, func(s string) { streamed.WriteString(s) })
	if err != nil || a.Text != "Both are fine, but I prefer the honey." || streamed.String() != a.Text {
		t.Fatalf("%+v, streamed %q, %v", a, streamed.String(), err)
	}
	streamed.Reset()
	a, err = g.Answer(t.Context(), user(prompt), Options{Stop: []string{"I pre", "zzz"}}, func(s string) { streamed.WriteString(s) })
	if err != nil || a.Text != "Both are fine, but " || a.Ending != Stopped || streamed.String() != a.Text {
		t.Errorf("%+v, streamed %q, %v", a, streamed.String(), err)
	}
	a, err = g.Answer(t.Context(), user(prompt), Options{MaxTokens: 3}, nil)
	if err != nil || a.Tokens != 3 || a.Ending != Limit {
		t.Errorf("%+v, %v", a, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Answer(ctx, user(prompt), Options{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled answer: %v", err)
	}
	if _, err := g.Answer(t.Context(), user(strings.Repeat("soup ", 600)), Options{}, nil); err == nil || !strings.Contains(err.Error(), "reads 512") {
		t.Errorf("a long conversation: %v", err)
	}
	for _, bad := range []Options{{Sampling: Sampling{Temperature: -1}}, {Sampling: Sampling{TopP: 2}}, {Sampling: Sampling{MinP: math.NaN()}}, {Stop: []string{""}}, {MaxTokens: -1}} {
		if _, err := g.Answer(t.Context(), user("x"), bad, nil); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// TestWriterHoldsBack feeds text token by token.
func TestWriterHoldsBack(t *testing.T) {
	var got []string
	w := writer{stops: []string{"END"}, emit: func(s string) { got = append(got, s) }}
	for _, text := range []string{"a", "a\uFFFD", "aé", "aéE", "aéEN", "aéENx", "aéENxEND!"} {
		w.update(text)
	}
	w.finish()
	if !slices.Equal(got, []string{"a", "é", "ENx"}) || !w.stopped || w.text[:w.end()] != "aéENx" {
		t.Errorf("%q", got)
	}
}

func TestScoresDoNotDependOnCompany(t *testing.T) {
	g := open(t, 2)
	all := []string{"lol", "garlic", "I am not sure about the soup.", "no", "lol lol lol"}
	together, err := g.Score(t.Context(), "soup?", all...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		alone, err := g.Score(t.Context(), "soup?", r)
		if err != nil || math.Abs(alone[0].LogProb-together[i].LogProb) > 1e-4 {
			t.Errorf("%q: %v alone, %v with others, %v", r, alone, together[i], err)
		}
	}
	if scores, err := g.Score(t.Context(), "soup?"); err != nil || len(scores) != 0 {
		t.Errorf("no responses: %v, %v", scores, err)
	}
	if _, err := g.Score(t.Context(), strings.Repeat("soup ", 600), "x"); err == nil || !strings.Contains(err.Error(), "reads 512") {
		t.Errorf("a long prompt: %v", err)
	}
}

func BenchmarkScore100(b *testing.B) {
	g := open(b, 0)
	var responses []string
	for i := range 100 {
		responses = append(responses, strings.Repeat("garlic soup ", i%4+1))
	}
	for b.Loop() {
		if _, err := g.Score(b.Context(), "Should we add garlic or honey to the soup? I cannot say.", responses...); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	g := open(b, 0)
	tokens := 0
	for b.Loop() {
		a, err := g.Answer(b.Context(), user("Should we add garlic or honey to the soup?"), Options{Sampling: Sampling{Temperature: 1}, Seed: uint64(tokens)}, nil)
		if err != nil {
			b.Fatal(err)
		}
		tokens += a.Tokens
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}
