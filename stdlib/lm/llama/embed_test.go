package llama_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banter/internal/progress"
	"banter/internal/worker"
	"banter/internal/worker/native"
	"banter/stdlib/lm/llama"
	"banter/stdlib/lm/tokenizer"
	"banter/stdlib/lm/transformer"
)

const bert = "testdata/bert.gguf"

// vectorsOf embeds texts one by one.
func vectorsOf(t *testing.T, p *worker.Pool, model string, texts []string) [][]float32 {
	t.Helper()
	v, width, err := llama.NewEmbedder(p, model, 1).Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	if len(v) != width*len(texts) {
		t.Fatalf("%d numbers for %d texts of width %d", len(v), len(texts), width)
	}
	return slices.Collect(slices.Chunk(v, width))
}

func cosine(a, b []float32) (dot float64) {
	for k := range a {
		dot += float64(a[k]) * float64(b[k])
	}
	return dot
}

// TestBERT holds an embedding model against what transformers makes of the same weights, and against itself.
func TestBERT(t *testing.T) {
	p := pool(t)
	data, err := os.ReadFile("testdata/bert.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Text   string
		Vector []float32
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, g := range golden {
		texts = append(texts, g.Text)
	}
	got := vectorsOf(t, p, bert, texts)
	for i, g := range golden {
		for k, want := range g.Vector {
			if math.Abs(float64(got[i][k]-want)) > 2e-4 {
				t.Errorf("%.40q: number %d is %v, want %v", g.Text, k, got[i][k], want)
				break
			}
		}
	}
	if cosine(got[1], got[3]) > 0.98 {
		t.Errorf("different texts have the cosine %v: the golden vectors tell nothing", cosine(got[1], got[3]))
	}
}

// TestEmbedMeansHiddenStates holds a language model's vectors against the mean of what this repository computes.
func TestEmbedMeansHiddenStates(t *testing.T) {
	p := pool(t)
	file := filepath.Join(micro, "lm-micro-f16.gguf")
	o := open(t, file)
	m, err := transformer.New(o.Model, transformer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Open(o.Model)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"Do I take the shield or the hammer?", "soup", "The soup is burning! The dragon is back, run again."}
	for i, v := range vectorsOf(t, p, file, texts) {
		ids, err := tok.Encode(texts[i], false)
		if err != nil {
			t.Fatal(err)
		}
		rows, tokens := make([]int, len(ids)), make([]int32, len(ids))
		for k, id := range ids {
			rows[k], tokens[k] = k, int32(id)
		}
		hidden, err := m.Hidden(t.Context(), transformer.Sequences(tokens), rows)
		if err != nil {
			t.Fatal(err)
		}
		mean := make([]float32, len(v))
		norm := 0.0
		for k, x := range hidden {
			mean[k%len(mean)] += x
		}
		for _, x := range mean {
			norm += float64(x) * float64(x)
		}
		if c := cosine(v, mean) / math.Sqrt(norm); c < 0.9999 {
			t.Errorf("%q: cosine %v with the mean of the hidden states", texts[i], c)
		}
	}
}

// TestEmbedIsSteady checks that a text's vector depends neither on the texts beside it nor on when it is asked for, and
// that what the model cannot read is cut or empty.
func TestEmbedIsSteady(t *testing.T) {
	p := pool(t)
	var texts []string
	for i := range 700 {
		texts = append(texts, strings.Repeat(fmt.Sprintf("dragon %c soup ", 'a'+i%26), i%9))
	}
	long := strings.Repeat("the dragon is back ", 5000)
	texts = append(texts, long, long[:len(long)/2], "")
	one, two := vectorsOf(t, p, bert, texts), vectorsOf(t, p, bert, texts)
	first := map[string]int{}
	for i, text := range texts {
		if !slices.Equal(one[i], two[i]) {
			t.Fatalf("text %d has another vector the second time", i)
		}
		if length := cosine(one[i], one[i]); text == "" && length != 0 || text != "" && math.Abs(length-1) > 1e-5 {
			t.Fatalf("%.30q has a vector of length %v", text, length)
		}
		if k, seen := first[text]; seen && text != "" && cosine(one[i], one[k]) < 1-1e-5 {
			t.Fatalf("the same text has cosine %v with itself elsewhere", cosine(one[i], one[k]))
		}
		first[text] = i
	}
	n := len(texts)
	if cosine(one[n-3], one[n-2]) < 1-1e-5 {
		t.Error("texts that differ behind what is read differ")
	}
}

func TestEmbedStops(t *testing.T) {
	p := pool(t)
	texts := slices.Repeat([]string{"the dragon is back"}, 2000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := 0
	ctx = progress.With(ctx, func(r progress.Report) {
		if told++; r.Total != int64(len(texts)) || r.Done > r.Total {
			t.Errorf("progress %+v", r)
		}
		cancel()
	})
	if _, _, err := llama.NewEmbedder(p, bert, 1).Embed(ctx, texts); !errors.Is(err, context.Canceled) || told == 0 {
		t.Errorf("after %d reports: %v", told, err)
	}
	if _, _, err := llama.NewEmbedder(p, bert, 1).Embed(t.Context(), texts[:1]); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
	if v, width, err := llama.NewEmbedder(p, bert, 1).Embed(t.Context(), nil); err != nil || len(v) != 0 || width != 0 {
		t.Errorf("no texts: %v, %d, %v", v, width, err)
	}
	if _, _, err := llama.NewEmbedder(p, "testdata/bert.json", 1).Embed(t.Context(), texts[:1]); err == nil || !strings.Contains(err.Error(), "does not take this model") {
		t.Errorf("a file that is no model: %v", err)
	}
}

// liar answers with fewer vectors than it is asked for.
type liar struct{}

func (liar) Call(context.Context, string, any, []byte) (json.RawMessage, []byte, error) {
	return json.RawMessage(`{"count":1,"width":2}`), native.Bytes([]float32{1, 0}), nil
}

func TestEmbedChecksTheAnswer(t *testing.T) {
	if _, _, err := llama.NewEmbedder(liar{}, "x.gguf", 1).Embed(t.Context(), []string{"a", "b"}); err == nil {
		t.Error("one vector for two texts is taken")
	}
}
