package transformer

import (
	"context"
	"errors"
	"math"
	"testing"
)

func TestDecoderReadsAsTheWholePassDoes(t *testing.T) {
	for _, name := range []string{"llama", "mistral", "qwen2", "qwen3", "smollm3"} {
		t.Run(name, func(t *testing.T) {
			g := loadGolden(t, name)
			m, err := New(g.base, Options{Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.SetAdapter(g.adapter); err != nil {
				t.Fatal(err)
			}
			tokens := g.batch.Tokens[:g.batch.Lengths[0]]
			n, v := len(tokens), g.base.Config.Vocab
			rows := make([]int, n)
			for i := range rows {
				rows[i] = i
			}
			want, err := m.Logits(t.Context(), Sequences(tokens), rows)
			if err != nil {
				t.Fatal(err)
			}
			check := func(what string, logits []float32, at int) {
				t.Helper()
				if d := apart(logits, want[at*v:(at+1)*v]); d > 2e-5 {
					t.Fatalf("%s: logits after token %d are off by %.2g", what, at, d)
				}
			}
			d := m.Decoder()
			for i := range tokens {
				logits, err := d.Append(t.Context(), tokens[i:i+1])
				if err != nil {
					t.Fatal(err)
				}
				check("one by one", logits, i)
			}
			d.Truncate(4)
			c := d.Clone()
			for what, d := range map[string]*Decoder{"truncated": d, "cloned": c} {
				logits, err := d.Append(t.Context(), tokens[4:])
				if err != nil {
					t.Fatal(err)
				}
				check(what, logits, n-1)
				if d.Len() != n {
					t.Fatalf("%s: it has read %d tokens, want %d", what, d.Len(), n)
				}
			}
			c.Truncate(2)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := c.Append(ctx, tokens[2:5]); !errors.Is(err, context.Canceled) || c.Len() != 2 {
				t.Fatalf("a cancelled step gave %v and left %d tokens", err, c.Len())
			}
			logits, err := c.Append(t.Context(), tokens[2:])
			if err != nil {
				t.Fatal(err)
			}
			check("after a cancelled step", logits, n-1)
		})
	}
}

func TestDecoderReadsLongTextsInPieces(t *testing.T) {
	g := loadGolden(t, "long")
	m, err := New(g.base, Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	var tokens []int32
	for range 2 {
		tokens = append(tokens, g.batch.Tokens...)
	}
	want, err := m.Logits(t.Context(), Sequences(tokens), []int{len(tokens) - 1})
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Decoder().Append(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	if d := apart(got, want); d > 2e-5 {
		t.Fatalf("off by %.2g", d)
	}
}

func TestLogProbsAreThoseOfTheLogits(t *testing.T) {
	g := loadGolden(t, "llama")
	m, err := New(g.base, Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	probs, err := m.LogProbs(t.Context(), g.batch, g.labels)
	if err != nil {
		t.Fatal(err)
	}
	v := g.base.Config.Vocab
	first := map[int]bool{0: true, g.batch.Lengths[0]: true, g.batch.Lengths[0] + g.batch.Lengths[1]: true}
	for i, label := range g.labels {
		want := 0.0
		if label >= 0 && !first[i] {
			var sum float64
			row := g.baseLogits[(i-1)*v : i*v]
			for _, x := range row {
				sum += math.Exp(float64(x))
			}
			want = float64(row[label]) - math.Log(sum)
		}
		if math.Abs(probs[i]-want) > 1e-4 {
			t.Fatalf("token %d: log-probability %v, want %v", i, probs[i], want)
		}
	}
}

func TestBadBatchesAreRefused(t *testing.T) {
	g := loadGolden(t, "llama")
	m, err := New(g.base, Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]Batch{
		"empty":           {},
		"empty sequence":  {Tokens: []int32{1}, Lengths: []int{1, 0}},
		"lengths too few": {Tokens: []int32{1, 2}, Lengths: []int{1}},
		"unknown token":   Sequences([]int32{1, 48}),
		"negative token":  Sequences([]int32{-1}),
	} {
		if _, err := m.Logits(t.Context(), b, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := m.Logits(t.Context(), Sequences([]int32{1}), []int{1}); err == nil {
		t.Error("row beyond the batch: no error")
	}
	if _, err := m.LogProbs(t.Context(), Sequences([]int32{1, 2}), []int32{-100, 48}); err == nil {
		t.Error("unknown label: no error")
	}
}
