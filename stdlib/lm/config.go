package lm

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bounds on a model's shape; each is far above any real model's, and keeps products of them within an int.
const (
	maxLayers    = 1 << 12
	maxWidth     = 1 << 20
	maxVocab     = 1 << 24
	maxPositions = 1 << 30
)

// architectures are the model types that Banter computes with.
var architectures = []string{"llama", "mistral", "qwen2", "qwen3", "smollm3"}

// hfConfig is the part of config.json that says how to compute. Pointers tell "absent" from zero, since the defaults
// differ by architecture.
type hfConfig struct {
	ModelType           string          `json:"model_type"`
	HiddenSize          int             `json:"hidden_size"`
	IntermediateSize    int             `json:"intermediate_size"`
	Layers              int             `json:"num_hidden_layers"`
	Heads               int             `json:"num_attention_heads"`
	KVHeads             *int            `json:"num_key_value_heads"`
	HeadDim             *int            `json:"head_dim"`
	Vocab               int             `json:"vocab_size"`
	MaxPositions        int             `json:"max_position_embeddings"`
	OriginalMax         *int            `json:"original_max_position_embeddings"`
	NormEps             *float64        `json:"rms_norm_eps"`
	RopeTheta           *float64        `json:"rope_theta"`
	RopeScaling         *hfRope         `json:"rope_scaling"`
	RopeParameters      *hfRope         `json:"rope_parameters"` // where transformers 5 keeps theta and scaling
	PartialRotary       *float64        `json:"partial_rotary_factor"`
	Activation          *string         `json:"hidden_act"`
	Tied                *bool           `json:"tie_word_embeddings"`
	AttentionBias       bool            `json:"attention_bias"`
	MLPBias             bool            `json:"mlp_bias"`
	UseSlidingWindow    bool            `json:"use_sliding_window"`
	SlidingWindow       json.RawMessage `json:"sliding_window"`
	MaxWindowLayers     *int            `json:"max_window_layers"`
	LayerTypes          []string        `json:"layer_types"`
	NoRopeLayers        []int           `json:"no_rope_layers"`
	NoRopeLayerInterval *int            `json:"no_rope_layer_interval"`
	Quantization        json.RawMessage `json:"quantization_config"`
}

// hfRope is rope_scaling or rope_parameters.
type hfRope struct {
	Type            string   `json:"rope_type"`
	OldType         string   `json:"type"`
	Theta           *float64 `json:"rope_theta"`
	Factor          *float64 `json:"factor"`
	LowFreqFactor   *float64 `json:"low_freq_factor"`
	HighFreqFactor  *float64 `json:"high_freq_factor"`
	OriginalMax     *int     `json:"original_max_position_embeddings"`
	BetaFast        *float64 `json:"beta_fast"`
	BetaSlow        *float64 `json:"beta_slow"`
	AttentionFactor *float64 `json:"attention_factor"`
	MScale          *float64 `json:"mscale"`
	MScaleAllDim    *float64 `json:"mscale_all_dim"`
	Truncate        *bool    `json:"truncate"`
	PartialRotary   *float64 `json:"partial_rotary_factor"`
}

// ParseConfig reads a Hugging Face config.json. What it asks for and Banter cannot compute is refused.
func ParseConfig(data []byte) (Config, error) {
	var h hfConfig
	if err := json.Unmarshal(data, &h); err != nil {
		return Config{}, err
	}
	if !slices.Contains(architectures, h.ModelType) {
		return Config{}, fmt.Errorf("model_type %q is not supported (use a model of type %s)", h.ModelType, strings.Join(architectures, ", "))
	}
	if err := h.refuseUnsupported(); err != nil {
		return Config{}, err
	}
	c := Config{
		Architecture: h.ModelType, Layers: h.Layers, Hidden: h.HiddenSize, Intermediate: h.IntermediateSize,
		Heads: h.Heads, KVHeads: h.Heads, Vocab: h.Vocab, MaxPositions: h.MaxPositions,
		NormEps: 1e-6, QKVBias: h.ModelType == "qwen2", QKNorm: h.ModelType == "qwen3",
	}
	if h.KVHeads != nil {
		c.KVHeads = *h.KVHeads
	}
	switch {
	case h.HeadDim != nil:
		c.HeadDim = *h.HeadDim
	case h.ModelType == "qwen3":
		c.HeadDim = 128
	case h.Heads > 0:
		c.HeadDim = h.HiddenSize / h.Heads
	}
	if h.NormEps != nil {
		c.NormEps = *h.NormEps
	}
	c.TiedEmbeddings = h.ModelType == "smollm3"
	if h.Tied != nil {
		c.TiedEmbeddings = *h.Tied
	}
	if err := h.rope(&c); err != nil {
		return Config{}, err
	}
	if err := h.window(&c); err != nil {
		return Config{}, err
	}
	if err := h.noRope(&c); err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

// refuseUnsupported names what the file asks for and Banter does not compute.
func (h *hfConfig) refuseUnsupported() error {
	switch {
	case h.Activation != nil && *h.Activation != "silu" && *h.Activation != "swish":
		return fmt.Errorf("hidden_act %q is not supported, only silu", *h.Activation)
	case h.AttentionBias:
		return errors.New("attention_bias is not supported: it puts a bias on the output projection too")
	case h.MLPBias:
		return errors.New("mlp_bias is not supported")
	case len(h.Quantization) > 0 && string(h.Quantization) != "null":
		return errors.New("quantization_config is not supported (use the unquantized folder, or a GGUF file)")
	case h.PartialRotary != nil && *h.PartialRotary != 1:
		return fmt.Errorf("partial_rotary_factor %v is not supported", *h.PartialRotary)
	}
	return nil
}

// rope reads theta and scaling from wherever the file's age put them.
func (h *hfConfig) rope(c *Config) error {
	c.RopeTheta = 10000
	if c.Architecture == "smollm3" {
		c.RopeTheta = 2000000
	}
	if h.RopeTheta != nil {
		c.RopeTheta = *h.RopeTheta
	}
	r := h.RopeParameters
	if r == nil {
		r = h.RopeScaling
	}
	if r == nil {
		return nil
	}
	if r.Theta != nil {
		c.RopeTheta = *r.Theta
	}
	if r.PartialRotary != nil && *r.PartialRotary != 1 {
		return fmt.Errorf("partial_rotary_factor %v is not supported", *r.PartialRotary)
	}
	kind := r.Type
	if kind == "" {
		kind = r.OldType
	}
	if kind == "" || kind == "default" {
		return nil
	}
	or := func(p *float64, otherwise float64) float64 {
		if p != nil {
			return *p
		}
		return otherwise
	}
	s := &RopeScaling{Type: kind, Factor: or(r.Factor, 0), OriginalMax: h.MaxPositions}
	switch {
	case h.OriginalMax != nil:
		s.OriginalMax = *h.OriginalMax
	case r.OriginalMax != nil:
		s.OriginalMax = *r.OriginalMax
	}
	switch kind {
	case "linear", "dynamic":
		s.OriginalMax = 0
	case "llama3":
		s.LowFreqFactor, s.HighFreqFactor = or(r.LowFreqFactor, 0), or(r.HighFreqFactor, 0)
	case "yarn":
		if r.Truncate != nil && !*r.Truncate {
			return errors.New("yarn rope scaling with truncate false is not supported")
		}
		if s.Factor == 0 && s.OriginalMax > 0 {
			s.Factor = float64(h.MaxPositions) / float64(s.OriginalMax)
		}
		s.BetaFast, s.BetaSlow = or(r.BetaFast, 32), or(r.BetaSlow, 1)
		s.AttentionFactor = or(r.AttentionFactor, 0)
		if m, all := or(r.MScale, 0), or(r.MScaleAllDim, 0); s.AttentionFactor == 0 && m != 0 && all != 0 && s.Factor > 1 {
			s.AttentionFactor = (0.1*m*math.Log(s.Factor) + 1) / (0.1*all*math.Log(s.Factor) + 1)
		}
	default:
		return fmt.Errorf("rope scaling of type %q is not supported (linear, dynamic, llama3 and yarn are)", kind)
	}
	c.RopeScaling = s
	return nil
}

// window reads how far attention reaches back. Models that differ by layer are refused.
func (h *hfConfig) window(c *Config) error {
	size := 0
	if s := string(h.SlidingWindow); s != "" && s != "null" {
		if err := json.Unmarshal(h.SlidingWindow, &size); err != nil || size < 1 {
			return fmt.Errorf("sliding_window %s is not a number of positions", s)
		}
	} else if s == "" { // these are the defaults that transformers fills in for an absent key
		switch c.Architecture {
		case "mistral", "qwen2", "qwen3":
			size = 4096
		}
	}
	from := 0 // the first layer with a window
	switch c.Architecture {
	case "llama":
		size = 0
	case "qwen2", "qwen3":
		from = 28
		if h.MaxWindowLayers != nil {
			from = *h.MaxWindowLayers
		}
		if !h.UseSlidingWindow || from >= c.Layers {
			size = 0
		}
	case "smollm3":
		if !h.UseSlidingWindow {
			size = 0
		}
	}
	if len(h.LayerTypes) > 0 && c.Architecture != "mistral" && c.Architecture != "llama" {
		if len(h.LayerTypes) != c.Layers {
			return fmt.Errorf("layer_types has %d entries for %d layers", len(h.LayerTypes), c.Layers)
		}
		sliding := 0
		for _, t := range h.LayerTypes {
			switch t {
			case "sliding_attention":
				sliding++
			case "full_attention":
			default:
				return fmt.Errorf("layer_types names %q, which is not supported", t)
			}
		}
		if sliding > 0 && sliding < c.Layers || sliding > 0 && size == 0 {
			return errors.New("layer_types mixes sliding and full attention, which is not supported")
		}
		if sliding == 0 {
			size = 0
		}
	} else if size > 0 && (from > 0 || c.Architecture == "smollm3") {
		return errors.New("a sliding window in some layers only is not supported")
	}
	if size >= c.MaxPositions {
		size = 0 // reaches everything
	}
	c.SlidingWindow = size
	return nil
}

// noRope reads which layers SmolLM3 leaves without positions: a 1 in the file means that the layer has them.
func (h *hfConfig) noRope(c *Config) error {
	if c.Architecture != "smollm3" {
		return nil
	}
	if c.Layers < 0 || c.Layers > maxLayers {
		return fmt.Errorf("num_hidden_layers is %d", c.Layers)
	}
	c.NoRopeLayers = make([]bool, c.Layers)
	if h.NoRopeLayers != nil {
		if len(h.NoRopeLayers) < c.Layers {
			return fmt.Errorf("no_rope_layers has %d entries for %d layers", len(h.NoRopeLayers), c.Layers)
		}
		for i := range c.NoRopeLayers {
			c.NoRopeLayers[i] = h.NoRopeLayers[i] == 0
		}
		return nil
	}
	every := 4
	if h.NoRopeLayerInterval != nil {
		every = *h.NoRopeLayerInterval
	}
	if every < 1 {
		return fmt.Errorf("no_rope_layer_interval is %d", every)
	}
	for i := range c.NoRopeLayers {
		c.NoRopeLayers[i] = (i+1)%every == 0
	}
	return nil
}

// Validate says what is wrong with a model's shape.
func (c Config) Validate() error {
	within := func(name string, v, most int) error {
		if v < 1 || v > most {
			return fmt.Errorf("%s is %d, not between 1 and %d", name, v, most)
		}
		return nil
	}
	finite := func(name string, v float64) error {
		if !(v > 0) || math.IsInf(v, 0) {
			return fmt.Errorf("%s is %v, not a number above 0", name, v)
		}
		return nil
	}
	if err := errors.Join(
		within("num_hidden_layers", c.Layers, maxLayers), within("hidden_size", c.Hidden, maxWidth), within("intermediate_size", c.Intermediate, maxWidth),
		within("num_attention_heads", c.Heads, maxWidth), within("num_key_value_heads", c.KVHeads, maxWidth), within("head_dim", c.HeadDim, maxWidth),
		within("vocab_size", c.Vocab, maxVocab), within("max_position_embeddings", c.MaxPositions, maxPositions),
		finite("rms_norm_eps", c.NormEps), finite("rope_theta", c.RopeTheta),
	); err != nil {
		return err
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("num_attention_heads %d is not a multiple of num_key_value_heads %d", c.Heads, c.KVHeads)
	case c.HeadDim%2 != 0:
		return fmt.Errorf("head_dim is %d; rotary embeddings want an even number", c.HeadDim)
	case c.Heads*c.HeadDim > maxWidth:
		return fmt.Errorf("%d heads of %d are too wide", c.Heads, c.HeadDim)
	}
	s := c.RopeScaling
	if s == nil {
		return nil
	}
	if s.Type == "factors" {
		if len(s.Factors) != c.HeadDim/2 {
			return fmt.Errorf("%d rope factors for heads of %d", len(s.Factors), c.HeadDim)
		}
		for _, f := range s.Factors {
			if err := finite("a rope factor", f); err != nil {
				return err
			}
		}
		return nil
	}
	if !(s.Factor >= 1) || math.IsInf(s.Factor, 0) {
		return fmt.Errorf("rope scaling factor is %v, not 1 or more", s.Factor)
	}
	switch s.Type {
	case "dynamic":
		if c.HeadDim < 4 {
			return fmt.Errorf("dynamic rope scaling with head_dim %d", c.HeadDim)
		}
	case "llama3":
		if err := errors.Join(within("original_max_position_embeddings", s.OriginalMax, maxPositions), finite("low_freq_factor", s.LowFreqFactor)); err != nil {
			return err
		}
		if !(s.HighFreqFactor > s.LowFreqFactor) {
			return fmt.Errorf("high_freq_factor %v is not above low_freq_factor %v", s.HighFreqFactor, s.LowFreqFactor)
		}
	case "yarn":
		if err := errors.Join(within("original_max_position_embeddings", s.OriginalMax, maxPositions),
			finite("beta_fast", s.BetaFast), finite("beta_slow", s.BetaSlow)); err != nil {
			return err
		}
		if c.RopeTheta <= 1 {
			return fmt.Errorf("yarn rope scaling with rope_theta %v", c.RopeTheta)
		}
	}
	return nil
}
