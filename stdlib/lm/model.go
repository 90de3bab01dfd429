// Package lm reads language models as they lie on disk: their shape ([Config]) and their weights ([Weights]), from
// Hugging Face folders and GGUF files. What is computed with them lives in the packages below this one.
package lm

// Config is the shape of a llama-family decoder. Names in brackets are those of Hugging Face's config.json.
type Config struct {
	Architecture   string  // "llama", "mistral", "qwen2", "qwen3", "smollm3"
	Layers         int     // num_hidden_layers
	Hidden         int     // hidden_size: width of the residual stream
	Intermediate   int     // intermediate_size: width of the gated MLP
	Heads          int     // num_attention_heads
	KVHeads        int     // num_key_value_heads; Heads is a multiple of it
	HeadDim        int     // head_dim; Hidden/Heads where the file does not say
	Vocab          int     // vocab_size: rows of the embedding, padding included
	MaxPositions   int     // max_position_embeddings
	NormEps        float64 // rms_norm_eps
	RopeTheta      float64 // rope_theta
	RopeScaling    *RopeScaling
	NoRopeLayers   []bool // per layer, true where no rotary embedding is applied (SmolLM3); nil: all have it
	SlidingWindow  int    // attention sees this many positions, its own included; 0: all before it
	TiedEmbeddings bool   // the output head is the embedding
	QKVBias        bool   // q, k and v projections have a bias (Qwen2)
	QKNorm         bool   // q and k are RMS-normed per head (Qwen3)
}

// RopeScaling stretches rotary positions beyond the length a model was trained on.
type RopeScaling struct {
	Type            string // "linear", "dynamic", "llama3", "yarn", or "factors" as GGUF stores llama3's
	Factor          float64
	LowFreqFactor   float64   // llama3
	HighFreqFactor  float64   // llama3
	OriginalMax     int       // original_max_position_embeddings
	BetaFast        float64   // yarn
	BetaSlow        float64   // yarn
	AttentionFactor float64   // yarn; 0: derived from Factor
	Factors         []float64 // factors: what each of the HeadDim/2 frequencies is divided by
}

// Type is how a tensor's numbers are stored.
type Type uint8

// The storage types, named as GGUF names them.
const (
	F32 Type = iota
	F16
	BF16
	Q8_0
	Q4_0
	Q4_K
	Q5_K
	Q6_K
)

// Tensor is one stored array, row-major. For a linear layer Shape is [out, in]: quantized blocks run along "in".
type Tensor struct {
	Name  string // Hugging Face's name, also when read from GGUF: "model.layers.0.self_attn.q_proj.weight"
	Type  Type
	Shape []int
	Data  []byte // little-endian; may be memory-mapped: read only
}

// Weights gives a model's tensors by their Hugging Face names. Rotary halves are laid out as Hugging Face does
// (first half, second half), whatever the file's own order was.
type Weights interface {
	Tensor(name string) (Tensor, bool)
	Names() []string // sorted
}
