package lm

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"banter/internal/problem"
	"banter/stdlib/lm/gguf"
)

// ggufTypes pairs GGUF's storage types with ours.
var ggufTypes = map[gguf.Type]Type{
	gguf.F32: F32, gguf.F16: F16, gguf.BF16: BF16, gguf.Q8_0: Q8_0, gguf.Q4_0: Q4_0, gguf.Q4_K: Q4_K, gguf.Q5_K: Q5_K, gguf.Q6_K: Q6_K,
}

// GGUFType returns GGUF's name for a storage type.
func (t Type) GGUFType() gguf.Type {
	for g, own := range ggufTypes {
		if own == t {
			return g
		}
	}
	panic(fmt.Sprintf("lm: type %d is not GGUF's", t))
}

// openGGUF opens one GGUF file.
func (m *Model) openGGUF() error {
	content, err := m.mapped(m.Path, "gguf")
	if err != nil {
		return err
	}
	if m.GGUF, err = gguf.Parse(content); err != nil {
		return &problem.Error{Op: "open model", Path: m.Path, Err: err, Fix: "point at a Hugging Face folder or a GGUF model, and fetch it again if it is damaged"}
	}
	if kind, ok := m.GGUF.String("general.type"); ok && kind != "model" {
		return fmt.Errorf("it holds a GGUF of type %q, not a model", kind)
	}
	if n, ok := m.GGUF.Int("split.count"); ok && n > 1 {
		return fmt.Errorf("it is one of %d parts (join them with llama-gguf-split --merge)", n)
	}
	if m.Config, err = ggufConfig(m.GGUF); err != nil {
		return err
	}
	w := &ggufWeights{config: m.Config, tensors: map[string]gguf.Tensor{}, reordered: map[string]Tensor{}}
	for _, t := range m.GGUF.Tensors {
		if t.Name == "rope_freqs.weight" {
			continue // in the configuration
		}
		name, ok := HuggingFaceName(t.Name)
		if !ok {
			return fmt.Errorf("tensor %q is not one of a %s model", t.Name, m.Config.Architecture)
		}
		if _, ok := ggufTypes[t.Type]; !ok {
			return fmt.Errorf("tensor %q is stored as %v; F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K and Q6_K are read (convert it with llama-quantize)", t.Name, t.Type)
		}
		w.tensors[name] = t
	}
	m.Weights = w
	return nil
}

// ggufConfig reads a model's shape from GGUF metadata.
func ggufConfig(f *gguf.File) (Config, error) {
	arch, _ := f.String("general.architecture")
	if !slices.Contains([]string{"llama", "qwen2", "qwen3", "smollm3"}, arch) {
		return Config{}, fmt.Errorf("general.architecture %q is not supported (llama, qwen2, qwen3 and smollm3 are)", arch)
	}
	if n, ok := f.Int(arch + ".expert_count"); ok && n > 0 {
		return Config{}, fmt.Errorf("a mixture of %d experts is not supported", n)
	}
	var missing []string
	number := func(key string) int {
		n, ok := f.Int(arch + "." + key)
		if !ok {
			missing = append(missing, arch+"."+key)
		}
		return n
	}
	c := Config{
		Architecture: arch, Layers: number("block_count"), Hidden: number("embedding_length"), Intermediate: number("feed_forward_length"),
		Heads: number("attention.head_count"), MaxPositions: number("context_length"),
		RopeTheta: 10000, QKVBias: arch == "qwen2", QKNorm: arch == "qwen3",
	}
	if len(missing) > 0 {
		return Config{}, fmt.Errorf("metadata %s is missing", strings.Join(missing, ", "))
	}
	c.KVHeads = c.Heads
	if n, ok := f.Int(arch + ".attention.head_count_kv"); ok {
		c.KVHeads = n
	}
	if c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	if n, ok := f.Int(arch + ".attention.key_length"); ok {
		c.HeadDim = n
	}
	if n, ok := f.Int(arch + ".attention.value_length"); ok && n != c.HeadDim {
		return Config{}, fmt.Errorf("keys of %d and values of %d are not supported", c.HeadDim, n)
	}
	if n, ok := f.Int(arch + ".rope.dimension_count"); ok && n != c.HeadDim {
		return Config{}, fmt.Errorf("rotary embeddings of %d in heads of %d are not supported", n, c.HeadDim)
	}
	eps, ok := f.Float(arch + ".attention.layer_norm_rms_epsilon")
	if !ok {
		return Config{}, fmt.Errorf("metadata %s.attention.layer_norm_rms_epsilon is missing", arch)
	}
	c.NormEps = shortest(eps)
	if theta, ok := f.Float(arch + ".rope.freq_base"); ok {
		c.RopeTheta = shortest(theta)
	}
	if n, ok := f.Int(arch + ".attention.sliding_window"); ok && n > 0 && n < c.MaxPositions {
		c.SlidingWindow = n
	}
	c.TiedEmbeddings = true
	for _, t := range f.Tensors {
		switch t.Name {
		case "output.weight":
			c.TiedEmbeddings = false
		case "token_embd.weight":
			if len(t.Shape) == 2 {
				c.Vocab = t.Shape[0]
			}
		}
	}
	if err := ggufRope(f, arch, &c); err != nil {
		return Config{}, err
	}
	if arch == "smollm3" { // llama.cpp has it built in: every fourth layer goes without
		if c.Layers < 0 || c.Layers > maxLayers {
			return Config{}, fmt.Errorf("smollm3.block_count is %d", c.Layers)
		}
		c.NoRopeLayers = make([]bool, c.Layers)
		for i := range c.NoRopeLayers {
			c.NoRopeLayers[i] = (i+1)%4 == 0
		}
	}
	return c, c.Validate()
}

// shortest turns a number stored as float32 into the decimal that was meant: 1e-05, not 9.999999747378752e-06.
func shortest(stored float64) float64 {
	var v float64
	if _, err := fmt.Sscan(fmt.Sprint(float32(stored)), &v); err != nil {
		return stored
	}
	return v
}

// ggufRope reads rotary scaling.
func ggufRope(f *gguf.File, arch string, c *Config) error {
	for _, t := range f.Tensors {
		if t.Name != "rope_freqs.weight" {
			continue
		}
		if t.Type != gguf.F32 || len(t.Shape) != 1 || t.Shape[0] > maxWidth {
			return fmt.Errorf("rope_freqs.weight is %v %v", t.Type, t.Shape)
		}
		s := &RopeScaling{Type: "factors", Factor: 1}
		for _, v := range (Tensor{Type: F32, Shape: t.Shape, Data: t.Data}).Float32() {
			s.Factors = append(s.Factors, float64(v))
		}
		c.RopeScaling = s
	}
	kind, ok := f.String(arch + ".rope.scaling.type")
	if !ok || kind == "none" {
		if factor, ok := f.Float(arch + ".rope.scale_linear"); ok && factor != 1 && factor != 0 { // files from before scaling.type
			kind = "linear"
		} else {
			return nil
		}
	}
	if c.RopeScaling != nil {
		return fmt.Errorf("rope_freqs.weight together with rope scaling of type %q is not supported", kind)
	}
	factor, ok := f.Float(arch + ".rope.scaling.factor")
	if !ok {
		factor, ok = f.Float(arch + ".rope.scale_linear")
	}
	if !ok {
		return fmt.Errorf("metadata %s.rope.scaling.factor is missing", arch)
	}
	s := &RopeScaling{Type: kind, Factor: shortest(factor)}
	switch kind {
	case "linear":
	case "yarn":
		s.BetaFast, s.BetaSlow, s.OriginalMax = 32, 1, c.MaxPositions
		if n, ok := f.Int(arch + ".rope.scaling.original_context_length"); ok {
			s.OriginalMax = n
		}
		for _, key := range []string{"yarn_log_multiplier", "attn_factor", "yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow"} {
			if _, ok := f.Metadata[arch+".rope.scaling."+key]; ok {
				return fmt.Errorf("metadata %s.rope.scaling.%s is not supported", arch, key)
			}
		}
	default:
		return fmt.Errorf("rope scaling of type %q is not supported", kind)
	}
	c.RopeScaling = s
	return nil
}

// ggufWeights are a GGUF file's tensors under Hugging Face's names and in its row order.
type ggufWeights struct {
	config  Config
	tensors map[string]gguf.Tensor

	mu        sync.Mutex        // guards reordered
	reordered map[string]Tensor // q and k projections whose rows have been put in Hugging Face's order
}

func (w *ggufWeights) Names() []string { return sortedNames(w.tensors) }

func (w *ggufWeights) Tensor(name string) (Tensor, bool) {
	g, ok := w.tensors[name]
	if !ok {
		return Tensor{}, false
	}
	t := Tensor{Name: name, Type: ggufTypes[g.Type], Shape: g.Shape, Data: g.Data}
	if !w.config.GGUFInterleaved() || !Rotated(name) {
		return t, true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if done, ok := w.reordered[name]; ok {
		return done, true
	}
	t.Data = deinterleave(t, w.config.HeadDim)
	w.reordered[name] = t
	return t, true
}

// deinterleave returns the tensor's rows in Hugging Face's order. For a bias, each number is a row.
func deinterleave(t Tensor, headDim int) []byte {
	rows, rowBytes := t.Rows(), t.RowBytes()
	if len(t.Shape) == 1 {
		rows, rowBytes = t.Shape[0], len(t.Data)/max(1, t.Shape[0])
	}
	if rows%headDim != 0 {
		return t.Data // the shape is refused before anything is computed
	}
	out := make([]byte, len(t.Data))
	for row := range rows {
		from := InterleavedRow(row, headDim)
		copy(out[row*rowBytes:(row+1)*rowBytes], t.Data[from*rowBytes:(from+1)*rowBytes])
	}
	return out
}
