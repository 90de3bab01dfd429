package train

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"banter/stdlib/lm"
	"banter/stdlib/lm/safetensors"
)

// writeRandomModel writes a llama of the given shape, stored as F32 or BF16.
func writeRandomModel(t *testing.T, c lm.Config, dtype string) string {
	t.Helper()
	dir := t.TempDir()
	config, err := json.Marshal(map[string]any{"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_size": c.Hidden, "intermediate_size": c.Intermediate,
		"num_hidden_layers": c.Layers, "num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim, "vocab_size": c.Vocab,
		"max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": c.TiedEmbeddings})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var tensors []safetensors.Tensor
	for name, shape := range c.TensorShapes() {
		n := 1
		for _, d := range shape {
			n *= d
		}
		var b []byte
		for range n {
			bits := math.Float32bits(float32(rng.NormFloat64() * 0.02))
			if dtype == "BF16" {
				b = append(b, byte(bits>>16), byte(bits>>24))
			} else {
				b = append(b, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
			}
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: dtype, Shape: shape, Data: b})
	}
	slices.SortFunc(tensors, func(a, b safetensors.Tensor) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(f, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// longPlan has rows of one example with the given number of tokens, the later half of them learned.
func longPlan(rows, tokens, vocabulary int) *Plan {
	rng := rand.New(rand.NewPCG(7, 7))
	p := &Plan{MaxLength: tokens}
	for i := range rows {
		r := Row{IDs: []string{fmt.Sprint("long-", i)}}
		for j := range tokens {
			token := int32(rng.IntN(vocabulary))
			label := token
			if j < tokens/2 {
				label = NotLearned
			}
			r.Tokens, r.Labels, r.Positions = append(r.Tokens, token), append(r.Labels, label), append(r.Positions, int32(j))
		}
		p.Rows = append(p.Rows, r)
	}
	return p
}

// TestTheEstimateIsWhatIsHeld trains in processes of their own and compares the most memory that they held with what was
// forecast.
func TestTheEstimateIsWhatIsHeld(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("models of some size, in processes whose peak Linux tells")
	}
	small := lm.Config{Architecture: "llama", Layers: 6, Hidden: 256, Intermediate: 768, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 8192, TiedEmbeddings: true}
	wide := lm.Config{Architecture: "llama", Layers: 3, Hidden: 512, Intermediate: 2048, Heads: 8, KVHeads: 8, HeadDim: 64, Vocab: 32000}
	for _, c := range []struct {
		name       string
		shape      lm.Config
		dtype      string
		rows, size int // of a batch
		rank       int
		recompute  bool
		holdout    bool
		early      int
		workers    int
	}{
		{"small", small, "F32", 2, 256, 8, false, false, 0, 2},
		{"small, many tokens", small, "F32", 8, 256, 8, false, true, 0, 2},
		{"small, many tokens, recomputed", small, "F32", 8, 256, 8, true, true, 0, 2},
		{"small, one long row, five workers", small, "F32", 1, 1024, 64, false, true, 2, 5},
		{"wide", wide, "F32", 1, 512, 16, false, false, 0, 2},
		{"wide in bfloat16, recomputed", wide, "BF16", 2, 512, 64, true, true, 3, 2},
	} {
		o := childOrders{Model: writeRandomModel(t, c.shape, c.dtype), Plan: writePlan(t, longPlan(2*c.rows, c.size, c.shape.Vocab)),
			Options: Options{Rank: c.rank, Steps: 3, BatchRows: c.rows, EvalEvery: 1, EarlyStop: c.early}, Machine: Machine{Workers: c.workers, Recompute: c.recompute, CheckpointDir: t.TempDir(), CheckpointEvery: 1}}
		if c.holdout {
			o.Holdout = writePlan(t, longPlan(12, c.size, c.shape.Vocab))
		}
		got, _ := child(t, o, nil)
		ratio := float64(got.Forecast.Memory) / float64(got.Peak)
		t.Logf("%-36s forecast %7.1f MiB, held %7.1f MiB: %.3f", c.name, float64(got.Forecast.Memory)/(1<<20), float64(got.Peak)/(1<<20), ratio)
		if ratio < 0.85 || ratio > 1.15 {
			t.Errorf("%s: a forecast of %d bytes, %d were held", c.name, got.Forecast.Memory, got.Peak)
		}
	}
}
