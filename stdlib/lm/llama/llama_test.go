package llama_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banter/internal/shipped"
	"banter/internal/specimen"
	"banter/internal/worker"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
	"banter/stdlib/lm/gguf"
	"banter/stdlib/lm/llama"
	"banter/stdlib/lm/transformer"
	"banter/stdlib/train"
)

const micro = "../../../testdata/models/lm-micro"

// pool starts the native worker, or skips the test where it was not built.
func pool(t testing.TB) *worker.Pool {
	t.Helper()
	if _, err := worker.Find(""); err != nil {
		if os.Getenv("BANTER_REQUIRE_ENGINE") != "" {
			t.Fatal(err)
		}
		t.Skip("the native worker is not built: ", err)
	}
	p := worker.NewPool(worker.Options{})
	t.Cleanup(func() { p.Close() })
	return p
}

// opened is a model with what this repository computes of it.
type opened struct{ specimen.Opened }

func open(t testing.TB, path string) opened {
	t.Helper()
	return opened{specimen.Open(t, path)}
}

// own is the go engine's view of the model, with an adapter that may be nil.
func (o opened) own(t testing.TB, a *adapter.Adapter) *generate.Generator {
	t.Helper()
	m, err := transformer.New(o.Model, transformer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a != nil {
		if err := m.SetAdapter(a); err != nil {
			t.Fatal(err)
		}
	}
	return generate.New(m, o.Format)
}

// write writes the adapter as GGUF.
func write(t testing.TB, a *adapter.Adapter, base lm.Config) string {
	t.Helper()
	var b bytes.Buffer
	if err := a.WriteGGUF(&b, base); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "adapter.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// replies returns the replies in a shipped stream's ground truth with the sentences that caused them.
func replies(t testing.TB, stream string) []train.Example {
	t.Helper()
	var out []train.Example
	for _, r := range shipped.Replies(t, filepath.Join("../../../testdata/streams", stream)) {
		out = append(out, train.Example{ID: r.ID, Prompt: r.Prompt, Response: r.Text})
	}
	return out
}

// randomAdapter changes all seven projections noticeably.
func randomAdapter(t testing.TB, base lm.Config, size float64) *adapter.Adapter {
	t.Helper()
	a, err := adapter.New(base, 4, 8, lm.Projections())
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, module := range a.Modules() {
		for _, x := range [][]float32{a.Pairs[module].A, a.Pairs[module].B} {
			for i := range x {
				x[i] = float32(random.NormFloat64() * size)
			}
		}
	}
	return a
}

// perplexity is that of the responses' tokens.
func perplexity(t testing.TB, score func(prompt, response string) generate.Score, examples []train.Example) float64 {
	t.Helper()
	sum, n := 0.0, 0
	for _, x := range examples {
		s := score(x.Prompt, x.Response)
		sum += s.LogProb
		n += s.Tokens
	}
	return math.Exp(-sum / float64(n))
}

// both scores a response with the go engine and with llama.cpp.
func both(t testing.TB, o opened, p *worker.Pool, file string, a *adapter.Adapter) (own, native func(prompt, response string) generate.Score) {
	t.Helper()
	path := ""
	if a != nil {
		path = write(t, a, o.Config)
	}
	g, v := o.own(t, a), llama.New(p, file, path, o.Format)
	first := func(s []generate.Score, err error) generate.Score {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s[0]
	}
	return func(prompt, response string) generate.Score { return first(g.Score(t.Context(), prompt, response)) },
		func(prompt, response string) generate.Score { return first(v.Score(t.Context(), prompt, response)) }
}

// TestAdapterCountsAsMuchInLlama scores with an adapter on all projections. If any factor lay in another order or had
// another scale in GGUF, the scores would be far apart.
func TestAdapterCountsAsMuchInLlama(t *testing.T) {
	p := pool(t)
	file := filepath.Join(micro, "lm-micro-f16.gguf")
	o := open(t, file)
	examples := replies(t, "s3")[:12]
	plain, _ := both(t, o, p, file, nil)
	own, native := both(t, o, p, file, randomAdapter(t, o.Config, 0.05))
	moved := 0.0
	for _, x := range examples {
		a, b := own(x.Prompt, x.Response), native(x.Prompt, x.Response)
		if a.Tokens != b.Tokens || math.Abs(a.LogProb-b.LogProb) > 0.02*float64(a.Tokens) {
			t.Errorf("%q: %+v here, %+v in llama.cpp", x.Response, a, b)
		}
		moved = max(moved, math.Abs(a.Mean()-plain(x.Prompt, x.Response).Mean()))
	}
	if moved < 0.5 {
		t.Errorf("the adapter moves scores by %.3f at most: the test would not see it missing", moved)
	}
}

// TestTrainingShowsInLlama trains an adapter and holds both engines' perplexities of held-out responses, before and
// after, against each other: on the shipped F16 file and on one in F32.
func TestTrainingShowsInLlama(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains an adapter for some seconds")
	}
	p := pool(t)
	base := open(t, micro)
	plan, err := train.NewPlan(t.Context(), append(replies(t, "s1"), replies(t, "s2")...), base.Format, train.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := train.Run(t.Context(), base.Model, plan, train.Options{Rank: 16, LR: 2e-3, Steps: 200, Seed: 1}, train.Machine{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	held := replies(t, "s3")
	for _, file := range []string{filepath.Join(micro, "lm-micro-f16.gguf"), inF32(t)} {
		o := open(t, file)
		var before, after [2]float64
		own, native := both(t, o, p, file, nil)
		before[0], before[1] = perplexity(t, own, held), perplexity(t, native, held)
		own, native = both(t, o, p, file, made.Adapter)
		after[0], after[1] = perplexity(t, own, held), perplexity(t, native, held)
		t.Logf("%s: perplexity %.3f to %.3f here, %.3f to %.3f in llama.cpp", filepath.Base(file), before[0], after[0], before[1], after[1])
		for _, x := range [][2]float64{before, after} {
			if math.Abs(x[0]/x[1]-1) > 0.01 {
				t.Errorf("%s: perplexity %.4f here, %.4f in llama.cpp", file, x[0], x[1])
			}
		}
		if after[1] > 0.8*before[1] {
			t.Errorf("%s: in llama.cpp the perplexity falls from %.3f to %.3f only", file, before[1], after[1])
		}
	}
}

// inF32 writes the shipped GGUF model with all tensors in F32.
func inF32(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(micro, "lm-micro-f16.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	var metadata []gguf.KeyValue
	for key, value := range f.Metadata {
		if key != "general.file_type" {
			metadata = append(metadata, gguf.KeyValue{Key: key, Value: value})
		}
	}
	slices.SortFunc(metadata, func(a, b gguf.KeyValue) int { return strings.Compare(a.Key, b.Key) })
	var tensors []gguf.Tensor
	for _, g := range f.Tensors {
		kind := lm.F32
		if g.Type == gguf.F16 {
			kind = lm.F16
		}
		wide, err := lm.Quantize(lm.Tensor{Type: kind, Shape: g.Shape, Data: g.Data}.Float32(), lm.F32, g.Shape[len(g.Shape)-1])
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, gguf.Tensor{Name: g.Name, Type: gguf.F32, Shape: g.Shape, Data: wide})
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "f32.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAnswersAreTheSame has both engines answer: one template, one tokenizer and one sampler give one text, unless a draw
// falls between two tokens whose probabilities differ in the last bits.
func TestAnswersAreTheSame(t *testing.T) {
	p := pool(t)
	file := filepath.Join(micro, "lm-micro-f16.gguf")
	o := open(t, file)
	a := randomAdapter(t, o.Config, 0.01)
	drawn, apart := 0, 0
	for name, pair := range map[string][2]generate.Voice{
		"base":  {o.own(t, nil), llama.New(p, file, "", o.Format)},
		"tuned": {o.own(t, a), llama.New(p, file, write(t, a, o.Config), o.Format)},
	} {
		for _, options := range []generate.Options{
			{},
			{Sampling: generate.Sampling{Temperature: 0.7, TopP: 0.9, MinP: 0.05, Repetition: 1.1}, Seed: 5, MaxTokens: 16},
			{MaxTokens: 3},
			{Stop: []string{"soup", "e"}},
		} {
			for _, prompt := range []string{"Should we add garlic or honey to the soup?", "Hello everyone, welcome back.", "<|im_end|>"} {
				var texts [2]generate.Answer
				for i, v := range pair {
					var streamed strings.Builder
					var err error
					texts[i], err = v.Answer(t.Context(), []chattemplate.Message{{Role: "user", Content: prompt}}, options, func(s string) { streamed.WriteString(s) })
					if err != nil {
						t.Fatal(err)
					}
					if streamed.String() != texts[i].Text {
						t.Errorf("%s: streamed %q of %q", name, streamed.String(), texts[i].Text)
					}
				}
				if options.Temperature > 0 {
					if drawn++; texts[0] != texts[1] {
						apart++
					}
				} else if texts[0] != texts[1] {
					t.Errorf("%s, %+v, %q: %+v here, %+v in llama.cpp", name, options, prompt, texts[0], texts[1])
				}
			}
		}
	}
	if apart > drawn/3 {
		t.Errorf("%d of %d drawn answers differ", apart, drawn)
	}
	if _, err := llama.New(p, file, "", o.Format).Answer(t.Context(), nil, generate.Options{MaxTokens: -1}, nil); err == nil {
		t.Error("a negative limit was taken")
	}
}
