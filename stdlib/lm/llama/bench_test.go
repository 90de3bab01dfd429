package llama_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banter/internal/worker"
	"banter/internal/worker/native"
	"banter/stdlib/lm"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
	"banter/stdlib/lm/llama"
	"banter/stdlib/lm/merge"
	"banter/stdlib/lm/safetensors"
	"banter/stdlib/lm/tokenizer"
)

// smolLM2 is the shape of SmolLM2-135M.
const smolLM2 = `{"model_type":"llama","hidden_size":576,"intermediate_size":1536,"num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,
	"max_position_embeddings":2048,"rms_norm_eps":1e-5,"rope_theta":100000,"tie_word_embeddings":true,"vocab_size":49152}`

// randomModel writes a model of random weights as Q8_0 GGUF.
func randomModel(b *testing.B, config string) string {
	b.Helper()
	dir := b.TempDir()
	c, err := lm.ParseConfig([]byte(config))
	if err != nil {
		b.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for name, shape := range c.TensorShapes() {
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: "F16", Shape: shape, Load: func() ([]byte, error) {
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
			return lm.Quantize(values, lm.F16, shape[len(shape)-1])
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
	write("model.safetensors", func(w io.Writer) error { return safetensors.Write(w, tensors, nil) })
	write("config.json", func(w io.Writer) error { _, err := io.WriteString(w, config); return err })
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
	m, err := lm.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	tok, err := tokenizer.Open(m)
	if err != nil {
		b.Fatal(err)
	}
	template, err := chattemplate.Parse("{% for m in messages %}{{ m.content }}.{% endfor %}", chattemplate.Options{})
	if err != nil {
		b.Fatal(err)
	}
	format, err := chattemplate.NewFormat(template, tok)
	if err != nil {
		b.Fatal(err)
	}
	merged, err := merge.New(m, nil)
	if err != nil {
		b.Fatal(err)
	}
	write("q8.gguf", func(w io.Writer) error { return merged.WriteGGUF(w, lm.Q8_0, "random", format) })
	return filepath.Join(dir, "q8.gguf")
}

// BenchmarkGeneration has the go engine and llama.cpp answer with the same Q8_0 file, in turn, and reports tokens a second
// of each and their ratio: of the model's own speed (greedy), with what a conversation uses (drawn), and with a LoRA.
func BenchmarkGeneration(b *testing.B) {
	p := pool(b)
	file := randomModel(b, smolLM2)
	o := open(b, file)
	a := randomAdapter(b, o.Config, 0.001)
	const tokens = 48
	prompt := []chattemplate.Message{{Role: "user", Content: strings.Repeat("Should we add garlic or honey to the soup? ", 4)}}
	drawn := generate.Sampling{Temperature: 0.8, TopP: 0.95, MinP: 0.1}
	path := write(b, a, o.Config)
	for _, c := range []struct {
		name string
		own  generate.Voice
		cpp  generate.Voice
		s    generate.Sampling
	}{
		{"greedy", o.own(b, nil), llama.New(p, file, "", o.format), generate.Sampling{}},
		{"drawn", o.own(b, nil), llama.New(p, file, "", o.format), drawn},
		{"lora", o.own(b, a), llama.New(p, file, path, o.format), generate.Sampling{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var seconds [2]float64
			var made [2]int
			for i := 0; b.Loop(); i++ {
				for k, v := range []generate.Voice{c.own, c.cpp} {
					began := time.Now()
					answer, err := v.Answer(b.Context(), prompt, generate.Options{Sampling: c.s, MaxTokens: tokens, Seed: uint64(i)}, nil)
					if err != nil {
						b.Fatal(err)
					}
					if i == 0 {
						continue // models are being loaded
					}
					seconds[k] += time.Since(began).Seconds()
					made[k] += answer.Tokens
				}
			}
			if made[0] == 0 || made[1] == 0 {
				return
			}
			own, cpp := float64(made[0])/seconds[0], float64(made[1])/seconds[1]
			b.ReportMetric(own, "go-tokens/s")
			b.ReportMetric(cpp, "llama-tokens/s")
			b.ReportMetric(own/cpp, "ratio")
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(bare(b, p, file, o.format, prompt, c.s, tokens), "of-bare-llama")
		})
	}
}

// bare is the share of a call's time in which llama.cpp itself computes: what is left is the sampler, the text and the way
// to the worker and back.
func bare(b *testing.B, p *worker.Pool, file string, format *chattemplate.Format, turns []chattemplate.Message, s generate.Sampling, tokens int) float64 {
	ids, err := format.Prompt(turns...)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	raw, _, err := p.Call(b.Context(), native.MethodGenerate, native.GenerateParams{LMParams: native.LMParams{Model: file}, Tokens: ids, MaxTokens: tokens, Sampling: s}, nil)
	if err != nil {
		b.Fatal(err)
	}
	all := time.Since(began).Seconds()
	var made native.Generated
	if err := json.Unmarshal(raw, &made); err != nil {
		b.Fatal(err)
	}
	return made.DecodeSeconds / all
}
