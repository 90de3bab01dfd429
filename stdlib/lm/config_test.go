package lm

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseConfigDefaultsAndVariants(t *testing.T) {
	const dims = `"hidden_size":64,"intermediate_size":96,"num_hidden_layers":4,"num_attention_heads":4,"vocab_size":10,"max_position_embeddings":8192`
	for _, c := range []struct {
		name, json string
		want       Config
	}{
		{"llama leaves much out", `{"model_type":"llama",` + dims + `}`,
			Config{Architecture: "llama", Layers: 4, Hidden: 64, Intermediate: 96, Heads: 4, KVHeads: 4, HeadDim: 16, Vocab: 10, MaxPositions: 8192, NormEps: 1e-6, RopeTheta: 10000}},
		{"mistral has a window unless null", `{"model_type":"mistral",` + dims + `}`,
			Config{Architecture: "mistral", Layers: 4, Hidden: 64, Intermediate: 96, Heads: 4, KVHeads: 4, HeadDim: 16, Vocab: 10, MaxPositions: 8192, NormEps: 1e-6, RopeTheta: 10000, SlidingWindow: 4096}},
		{"mistral null", `{"model_type":"mistral","sliding_window":null,` + dims + `}`,
			Config{Architecture: "mistral", Layers: 4, Hidden: 64, Intermediate: 96, Heads: 4, KVHeads: 4, HeadDim: 16, Vocab: 10, MaxPositions: 8192, NormEps: 1e-6, RopeTheta: 10000}},
		{"qwen2 window switched off", `{"model_type":"qwen2","use_sliding_window":false,"sliding_window":32,"max_window_layers":2,"rope_theta":1e6,"num_key_value_heads":2,"tie_word_embeddings":true,` + dims + `}`,
			Config{Architecture: "qwen2", Layers: 4, Hidden: 64, Intermediate: 96, Heads: 4, KVHeads: 2, HeadDim: 16, Vocab: 10, MaxPositions: 8192, NormEps: 1e-6, RopeTheta: 1e6, QKVBias: true, TiedEmbeddings: true}},
		{"qwen2 window everywhere", `{"model_type":"qwen2","use_sliding_window":true,"sliding_window":32,"max_window_layers":0,` + dims + `}`,
			Config{Architecture: "qwen2", Layers: 4, Hidden: 64, Intermediate: 96, Heads: 4, KVHeads: 4, HeadDim: 16, Vocab: 10, MaxPositions: 8192, NormEps: 1e-6, RopeTheta: 10000, QKVBias: true, SlidingWindow: 32}},
		{"qwen3 heads are 128 wide", `{"model_type":"qwen3",` + dims + `}`,
			Config{Architecture: "qwen3", Layers: 4, Hidden: 64, Intermediate: 96, Heads: 4, KVHeads: 4, HeadDim: 128, Vocab: 10, MaxPositions: 8192, NormEps: 1e-6, RopeTheta: 10000, QKNorm: true}},
		{"smollm3", `{"model_type":"smollm3",` + dims + `}`,
			Config{Architecture: "smollm3", Layers: 4, Hidden: 64, Intermediate: 96, Heads: 4, KVHeads: 4, HeadDim: 16, Vocab: 10, MaxPositions: 8192, NormEps: 1e-6, RopeTheta: 2e6, TiedEmbeddings: true, NoRopeLayers: []bool{false, false, false, true}}},
		{"smollm3 says which", `{"model_type":"smollm3","no_rope_layers":[1,0,1,1],` + dims + `}`,
			Config{Architecture: "smollm3", Layers: 4, Hidden: 64, Intermediate: 96, Heads: 4, KVHeads: 4, HeadDim: 16, Vocab: 10, MaxPositions: 8192, NormEps: 1e-6, RopeTheta: 2e6, TiedEmbeddings: true, NoRopeLayers: []bool{false, true, false, false}}},
		{"rope as transformers 5 writes it", `{"model_type":"llama","rope_parameters":{"rope_type":"linear","rope_theta":5e5,"factor":2},` + dims + `}`,
			Config{Architecture: "llama", Layers: 4, Hidden: 64, Intermediate: 96, Heads: 4, KVHeads: 4, HeadDim: 16, Vocab: 10, MaxPositions: 8192, NormEps: 1e-6, RopeTheta: 5e5, RopeScaling: &RopeScaling{Type: "linear", Factor: 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseConfig([]byte(c.json))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
	for name, bad := range map[string]string{
		`"mamba"`:               `{"model_type":"mamba",` + dims + `}`,
		"hidden_act":            `{"model_type":"llama","hidden_act":"gelu",` + dims + `}`,
		"attention_bias":        `{"model_type":"llama","attention_bias":true,` + dims + `}`,
		"mlp_bias":              `{"model_type":"llama","mlp_bias":true,` + dims + `}`,
		"quantization_config":   `{"model_type":"llama","quantization_config":{"bits":4},` + dims + `}`,
		"partial_rotary_factor": `{"model_type":"llama","partial_rotary_factor":0.5,` + dims + `}`,
		`"longrope"`:            `{"model_type":"llama","rope_scaling":{"rope_type":"longrope","factor":2},` + dims + `}`,
		"some layers":           `{"model_type":"qwen2","use_sliding_window":true,"sliding_window":32,"max_window_layers":2,` + dims + `}`,
		"layer_types mixes":     `{"model_type":"qwen3","use_sliding_window":true,"sliding_window":32,"layer_types":["full_attention","sliding_attention","full_attention","full_attention"],` + dims + `}`,
		"not a multiple":        `{"model_type":"llama","num_key_value_heads":3,` + dims + `}`,
		"vocab_size":            `{"model_type":"llama","hidden_size":64,"intermediate_size":96,"num_hidden_layers":4,"num_attention_heads":4,"max_position_embeddings":8}`,
		"rope_theta":            `{"model_type":"llama","rope_theta":0,` + dims + `}`,
		"num_hidden_layers":     `{"model_type":"smollm3","num_hidden_layers":1000000000000,"hidden_size":64}`,
	} {
		if _, err := ParseConfig([]byte(bad)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want %q in it", bad, err, name)
		}
	}
}
