package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banter/stdlib/lm"
	"banter/stdlib/lm/gguf"
	"banter/stdlib/train"
)

// shapes are those of models that people use; the weights are random.
var shapes = map[string]lm.Config{
	"SmolLM2-135M": {Architecture: "llama", Layers: 30, Hidden: 576, Intermediate: 1536, Heads: 9, KVHeads: 3, HeadDim: 64, Vocab: 49152,
		MaxPositions: 8192, NormEps: 1e-5, RopeTheta: 100000, TiedEmbeddings: true},
	"Qwen2.5-0.5B": {Architecture: "qwen2", Layers: 24, Hidden: 896, Intermediate: 4864, Heads: 14, KVHeads: 2, HeadDim: 64, Vocab: 151936,
		MaxPositions: 32768, NormEps: 1e-6, RopeTheta: 1000000, TiedEmbeddings: true, QKVBias: true},
}

// writeModel writes a Hugging Face folder of a shape, with random float32 weights. It streams: the file may be larger
// than memory.
func writeModel(dir string, c lm.Config) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	class := map[string]string{"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[c.Architecture]
	config, err := json.MarshalIndent(map[string]any{
		"architectures": []string{class}, "model_type": c.Architecture, "hidden_size": c.Hidden, "intermediate_size": c.Intermediate, "num_hidden_layers": c.Layers,
		"num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim, "vocab_size": c.Vocab, "max_position_embeddings": c.MaxPositions,
		"rms_norm_eps": c.NormEps, "rope_theta": c.RopeTheta, "tie_word_embeddings": c.TiedEmbeddings, "hidden_act": "silu", "torch_dtype": "float32",
		"use_sliding_window": false,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		return err
	}
	tensors := c.TensorShapes()
	var names []string
	for name := range tensors {
		names = append(names, name)
	}
	slices.Sort(names)
	header, at := map[string]any{"__metadata__": map[string]string{"format": "pt"}}, 0
	for _, name := range names {
		size := 4
		for _, n := range tensors[name] {
			size *= n
		}
		header[name] = map[string]any{"dtype": "F32", "shape": tensors[name], "data_offsets": []int{at, at + size}}
		at += size
	}
	head, err := json.Marshal(header)
	if err != nil {
		return err
	}
	head = append(head, bytes.Repeat([]byte(" "), (8-len(head)%8)%8)...)
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(head)))) // the writer keeps its first error for Flush
	w.Write(head)
	rng := rand.New(rand.NewPCG(1, 1))
	var b []byte
	for _, name := range names {
		n := 1
		for _, d := range tensors[name] {
			n *= d
		}
		for i := range n {
			v := float32(rng.NormFloat64() * 0.02)
			if strings.Contains(name, "norm") {
				v = 1
			}
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			if len(b) >= 1<<16 || i == n-1 {
				w.Write(b)
				b = b[:0]
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// writeRows writes the plan that both engines train on, as Parquet for go and as JSON for torch.
func (s *settings) writeRows(dir string, c lm.Config) error {
	rng := rand.New(rand.NewPCG(2, 2))
	p := &train.Plan{MaxLength: s.tokens}
	for i := range s.rows {
		r := train.Row{IDs: []string{fmt.Sprintf("row-%d", i)}}
		for j := range s.tokens {
			token := int32(rng.IntN(c.Vocab))
			label := token
			if j < s.tokens/4 {
				label = train.NotLearned
			}
			r.Tokens, r.Labels, r.Positions = append(r.Tokens, token), append(r.Labels, label), append(r.Positions, int32(j))
		}
		p.Rows = append(p.Rows, r)
	}
	f, err := os.Create(filepath.Join(dir, "plan.parquet"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := train.WritePlan(f, p); err != nil {
		return err
	}
	type row struct {
		InputIDs []int32 `json:"input_ids"`
		Labels   []int32 `json:"labels"`
	}
	var rows []row
	for _, r := range p.Rows {
		rows = append(rows, row{r.Tokens, r.Labels})
	}
	data, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "rows.json"), data, 0o644); err != nil {
		return err
	}
	return f.Close()
}

// convert writes a model again as a GGUF file, its matrices stored in another type. The rows of q and k are not put into
// GGUF's order: of random weights any order is as good.
func convert(path, folder string, c lm.Config, storage string) error {
	kind := slices.IndexFunc([]lm.Type{lm.F32, lm.F16, lm.BF16, lm.Q8_0}, func(t lm.Type) bool { return t.String() == storage })
	if kind < 0 {
		return fmt.Errorf("no storage type %q (use F32, F16, BF16 or Q8_0)", storage)
	}
	stored := []lm.Type{lm.F32, lm.F16, lm.BF16, lm.Q8_0}[kind]
	base, err := lm.Open(folder)
	if err != nil {
		return err
	}
	defer base.Close()
	var tensors []gguf.Tensor
	for _, name := range base.Weights.Names() {
		t, _ := base.Weights.Tensor(name)
		as := stored
		if len(t.Shape) < 2 {
			as = lm.F32
		}
		g, ok := lm.GGUFName(name)
		if !ok {
			return fmt.Errorf("no GGUF name for %s", name)
		}
		tensors = append(tensors, gguf.Tensor{Name: g, Type: as.GGUFType(), Shape: t.Shape, Load: func() ([]byte, error) {
			return lm.Quantize(t.Float32(), as, t.Columns())
		}})
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	arch := c.GGUFArchitecture()
	number := func(key string, n int) gguf.KeyValue {
		return gguf.KeyValue{Key: arch + "." + key, Value: uint32(n)}
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err := gguf.Write(w, []gguf.KeyValue{{Key: "general.architecture", Value: arch}, number("block_count", c.Layers), number("embedding_length", c.Hidden),
		number("feed_forward_length", c.Intermediate), number("attention.head_count", c.Heads), number("attention.head_count_kv", c.KVHeads),
		number("attention.key_length", c.HeadDim), number("attention.value_length", c.HeadDim), number("context_length", c.MaxPositions),
		{Key: arch + ".rope.freq_base", Value: float32(c.RopeTheta)}, {Key: arch + ".attention.layer_norm_rms_epsilon", Value: float32(c.NormEps)}}, tensors); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
