package llama_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banter/internal/progress"
	"banter/internal/worker"
	"banter/internal/worker/native"
	"banter/stdlib/lm"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
	"banter/stdlib/lm/llama"
	"banter/stdlib/lm/merge"
	"banter/stdlib/lm/safetensors"
)

// smolLM2 is the shape of SmolLM2-135M.
const smolLM2 = `{"model_type":"llama","hidden_size":576,"intermediate_size":1536,"num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,
	"max_position_embeddings":2048,"rms_norm_eps":1e-5,"rope_theta":100000,"tie_word_embeddings":true,"vocab_size":49152}`

// randomModel writes a model of random weights as a folder of the given type, and the same as GGUF.
func randomModel(b *testing.B, config string, kind lm.Type, ggufKind lm.Type) (dir, file string) {
	b.Helper()
	dir = b.TempDir()
	c, err := lm.ParseConfig([]byte(config))
	if err != nil {
		b.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for name, shape := range c.TensorShapes() {
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: kind.String(), Shape: shape, Load: func() ([]byte, error) {
			random := rand.New(rand.NewPCG(uint64(len(name)), 7))
			n := 1
			for _, d := range shape {
				n *= d
			}
			values := make([]float32, n)
			for i := range values {
				values[i] = float32(random.NormFloat64() * 0.05)
				if len(shape) == 1 {
					values[i]++
				}
			}
			return lm.Quantize(values, kind, shape[len(shape)-1])
		}})
	}
	write := func(name string, f func(w io.Writer) error) {
		b.Helper()
		file, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		if err := f(file); err != nil {
			b.Fatal(err)
		}
		if err := file.Close(); err != nil {
			b.Fatal(err)
		}
	}
	text := func(name, text string) {
		b.Helper()
		write(name, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	}
	write("model.safetensors", func(w io.Writer) error { return safetensors.Write(w, tensors, nil) })
	text("config.json", config)
	text("chat_template.jinja", "{% for m in messages %}{{ m.content }}.{% endfor %}")
	write("tokenizer.json", func(w io.Writer) error {
		f, err := os.Open("../tokenizer/testdata/smollm2.json.gz")
		if err != nil {
			return err
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, z)
		return err
	})
	o := open(b, dir)
	merged, err := merge.New(o.Model, nil)
	if err != nil {
		b.Fatal(err)
	}
	write("model.gguf", func(w io.Writer) error { return merged.WriteGGUF(w, ggufKind, "random", o.Format) })
	return dir, filepath.Join(dir, "model.gguf")
}

// BenchmarkGeneration has the go engine and llama.cpp answer with the same weights, in turn, and reports how long each
// reads until its first token is there, how many tokens a second it writes from then on, and the ratio of these: the
// medians of all rounds.
func BenchmarkGeneration(b *testing.B) {
	p := pool(b)
	_, q8 := randomModel(b, smolLM2, lm.F16, lm.Q8_0)
	o := open(b, q8)
	a := randomAdapter(b, o.Config, 0.001)
	drawn := generate.Sampling{Temperature: 0.8, TopP: 0.95, MinP: 0.1}
	const short, long = 4, 30 // sentences of the prompt
	compare(b, "q8_0/greedy", o.own(b, nil), llama.New(p, q8, "", o.Format), generate.Sampling{}, short)
	compare(b, "q8_0/drawn", o.own(b, nil), llama.New(p, q8, "", o.Format), drawn, short)
	compare(b, "q8_0/long", o.own(b, nil), llama.New(p, q8, "", o.Format), generate.Sampling{}, long)
	compare(b, "q8_0/lora", o.own(b, a), llama.New(p, q8, write(b, a, o.Config), o.Format), generate.Sampling{}, short)
	b.Run("q8_0/worker", func(b *testing.B) { share(b, p, q8, o.Format) })
	for _, kind := range []lm.Type{lm.BF16, lm.F32} {
		dir, file := randomModel(b, smolLM2, kind, kind)
		o := open(b, dir)
		compare(b, strings.ToLower(kind.String())+"/greedy", o.own(b, nil), llama.New(p, file, "", o.Format), generate.Sampling{}, short)
	}
}

// compare has two voices answer in turn.
func compare(b *testing.B, name string, own, cpp generate.Voice, s generate.Sampling, sentences int) {
	b.Run(name, func(b *testing.B) {
		prompt := []chattemplate.Message{{Role: "user", Content: strings.Repeat("Should we add garlic or honey to the soup? ", sentences)}}
		voices := []generate.Voice{own, cpp}
		var first, rates [2][]float64 // of each round
		var ratios []float64
		answer := func(k int, seed uint64) (first, rest time.Duration, tokens int) {
			began := time.Now()
			ctx := progress.With(b.Context(), func(progress.Report) {
				if first == 0 {
					first = time.Since(began)
				}
			})
			answer, err := voices[k].Answer(ctx, prompt, generate.Options{Sampling: s, MaxTokens: 48, Seed: seed}, nil)
			if err != nil {
				b.Fatal(err)
			}
			return first, time.Since(began) - first, answer.Tokens - 1
		}
		for k := range voices {
			answer(k, 0) // loads the model
		}
		for seed := uint64(0); b.Loop(); seed++ {
			for k := range voices {
				reading, writing, tokens := answer(k, seed)
				first[k] = append(first[k], reading.Seconds()*1e3)
				rates[k] = append(rates[k], float64(tokens)/writing.Seconds())
			}
			ratios = append(ratios, rates[0][seed]/rates[1][seed])
		}
		median := func(of []float64) float64 { slices.Sort(of); return of[len(of)/2] }
		b.ReportMetric(median(rates[0]), "go-tokens/s")
		b.ReportMetric(median(rates[1]), "llama-tokens/s")
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(median(first[0]), "go-first-ms")
		b.ReportMetric(median(first[1]), "llama-first-ms")
		b.ReportMetric(0, "ns/op")
	})
}

// share reports in how much of a call's time llama.cpp itself computes: what is left is the sampler, the text and the way
// to the worker and back.
func share(b *testing.B, p *worker.Pool, file string, format *chattemplate.Format) {
	ids, err := format.Prompt(chattemplate.Message{Role: "user", Content: strings.Repeat("Should we add garlic or honey to the soup? ", 4)})
	if err != nil {
		b.Fatal(err)
	}
	var computed, all float64
	for b.Loop() {
		began := time.Now()
		raw, _, err := p.Call(b.Context(), native.MethodGenerate, native.GenerateParams{LMParams: native.LMParams{Model: file}, Tokens: ids, MaxTokens: 48}, nil)
		if err != nil {
			b.Fatal(err)
		}
		all += time.Since(began).Seconds()
		var made native.Generated
		if err := json.Unmarshal(raw, &made); err != nil {
			b.Fatal(err)
		}
		computed += made.DecodeSeconds
	}
	b.ReportMetric(computed/all, "of-bare-llama")
	b.ReportMetric(0, "ns/op")
}
