package specimen

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"banter/stdlib/lm"
	"banter/stdlib/lm/safetensors"
)

// Random writes a llama of the given shape as a Hugging Face folder, with random weights stored as kind: lm.F32 or lm.BF16.
func Random(t testing.TB, c lm.Config, kind lm.Type) (dir string) {
	t.Helper()
	dir = t.TempDir()
	config, err := json.Marshal(map[string]any{"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_size": c.Hidden, "intermediate_size": c.Intermediate,
		"num_hidden_layers": c.Layers, "num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim, "vocab_size": c.Vocab,
		"max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": c.TiedEmbeddings})
	if err != nil {
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
			if kind == lm.BF16 {
				b = binary.LittleEndian.AppendUint16(b, uint16(bits>>16))
			} else {
				b = binary.LittleEndian.AppendUint32(b, bits)
			}
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: kind.String(), Shape: shape, Data: b})
	}
	var weights bytes.Buffer
	if err := safetensors.Write(&weights, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"config.json": config, "model.safetensors": weights.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
