package lm

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
)

// classes are the model classes of transformers.
var classes = map[string]string{"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "smollm3": "SmolLM3ForCausalLM"}

// JSON is the shape as Hugging Face's config.json, for weights of type F32, F16 or BF16: what [ParseConfig] reads back.
func (c Config) JSON(weights Type) ([]byte, error) {
	dtype := map[Type]string{F32: "float32", F16: "float16", BF16: "bfloat16"}[weights]
	if dtype == "" {
		return nil, errors.New("a Hugging Face folder holds F32, F16 or BF16, not " + weights.String())
	}
	fields := map[string]any{
		"architectures": []string{classes[c.Architecture]}, "model_type": c.Architecture, "hidden_size": c.Hidden, "intermediate_size": c.Intermediate,
		"num_hidden_layers": c.Layers, "num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim, "vocab_size": c.Vocab,
		"max_position_embeddings": c.MaxPositions, "rms_norm_eps": c.NormEps, "rope_theta": c.RopeTheta, "tie_word_embeddings": c.TiedEmbeddings,
		"hidden_act": "silu", "torch_dtype": dtype, "use_sliding_window": c.SlidingWindow > 0, "sliding_window": nil,
	}
	if c.SlidingWindow > 0 {
		fields["sliding_window"], fields["max_window_layers"] = c.SlidingWindow, 0
	}
	if c.NoRopeLayers != nil {
		has := make([]int, len(c.NoRopeLayers))
		for i, without := range c.NoRopeLayers {
			if !without {
				has[i] = 1
			}
		}
		fields["no_rope_layers"] = has
	}
	if s := c.RopeScaling; s != nil {
		scaling := map[string]any{"rope_type": s.Type, "factor": s.Factor}
		switch s.Type {
		case "factors":
			llama3, ok := c.llama3()
			if !ok {
				return nil, errors.New("its rotary frequencies are divided as no Hugging Face configuration can say")
			}
			s = llama3
			scaling["rope_type"], scaling["factor"] = s.Type, s.Factor
			fallthrough
		case "llama3":
			scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["original_max_position_embeddings"] = s.LowFreqFactor, s.HighFreqFactor, s.OriginalMax
		case "yarn":
			scaling["original_max_position_embeddings"], scaling["beta_fast"], scaling["beta_slow"] = s.OriginalMax, s.BetaFast, s.BetaSlow
			if s.AttentionFactor != 0 {
				scaling["attention_factor"] = s.AttentionFactor
			}
		}
		fields["rope_scaling"] = scaling
	}
	b, err := json.MarshalIndent(fields, "", "  ") // in order of keys
	return append(b, '\n'), err
}

// llama3 is the scaling that GGUF stores as what each frequency is divided by, if it is that of the Llama 3 models: the
// file does not say its parameters, but all of these models have the same ones except for the factor, which is the greatest.
func (c Config) llama3() (*RopeScaling, bool) {
	s := &RopeScaling{Type: "llama3", Factor: slices.Max(c.RopeScaling.Factors), LowFreqFactor: 1, HighFreqFactor: 4, OriginalMax: 8192}
	guess, plain := c, c
	guess.RopeScaling, plain.RopeScaling = s, nil
	if s.Factor < 1 || guess.Validate() != nil {
		return nil, false
	}
	scaled, _ := guess.RotaryFrequencies(1)
	unscaled, _ := plain.RotaryFrequencies(1)
	for i, f := range c.RopeScaling.Factors {
		if math.Abs(unscaled[i]/scaled[i]-f) > 1e-4*f {
			return nil, false
		}
	}
	return s, true
}
