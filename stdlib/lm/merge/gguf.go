package merge

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"banter/stdlib/lm"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/gguf"
)

// fileTypes are the values of general.file_type that go with what is written here (llama.h, llama_ftype).
var fileTypes = map[lm.Type]uint32{lm.F32: 0, lm.F16: 1, lm.Q8_0: 7, lm.BF16: 32}

// WriteGGUF writes the model as one GGUF file under a name, its matrices of type kind: F32, F16, BF16 or Q8_0. Vectors
// are F32, and a matrix whose rows are not whole blocks of Q8_0 is F16, as llama.cpp has it. format is the base's.
func (m *Merged) WriteGGUF(w io.Writer, kind lm.Type, name string, format *chattemplate.Format) error {
	fileType, ok := fileTypes[kind]
	if !ok {
		return fmt.Errorf("merge: GGUF of type %v is not written here, only F32, F16, BF16 and Q8_0 (llama.cpp makes the others of F16)", kind)
	}
	metadata, err := m.metadata(name, fileType, format)
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	shapes := m.base.Config.TensorShapes()
	var tensors []gguf.Tensor
	if factors := m.rotaryFactors(); factors != nil {
		data, err := lm.Quantize(factors, lm.F32, len(factors))
		if err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		tensors = append(tensors, gguf.Tensor{Name: "rope_freqs.weight", Type: gguf.F32, Shape: []int{len(factors)}, Data: data})
	}
	for _, name := range m.names() {
		shape, kind := shapes[name], kind
		columns := shape[len(shape)-1]
		switch {
		case len(shape) == 1:
			kind = lm.F32
		case kind == lm.Q8_0 && columns%32 != 0:
			kind = lm.F16
		}
		to, ok := lm.GGUFName(name)
		if !ok {
			return fmt.Errorf("merge: tensor %s has no name in GGUF", name)
		}
		tensors = append(tensors, gguf.Tensor{Name: to, Type: kind.GGUFType(), Shape: shape, Load: func() ([]byte, error) {
			return lm.Quantize(m.ggufRows(name, m.values(name), shape), kind, columns)
		}})
	}
	return gguf.Write(w, metadata, tensors)
}

// ggufRows puts the rows of q and k in the order in which llama.cpp rotates them.
func (m *Merged) ggufRows(name string, values []float32, shape []int) []float32 {
	c := m.base.Config
	if !c.GGUFInterleaved() || !lm.Rotated(name) {
		return values
	}
	columns := 1
	if len(shape) == 2 {
		columns = shape[1]
	}
	out := make([]float32, len(values))
	for row := range shape[0] {
		to := lm.InterleavedRow(row, c.HeadDim)
		copy(out[to*columns:(to+1)*columns], values[row*columns:(row+1)*columns])
	}
	return out
}

// rotaryFactors are what each rotary frequency is divided by where GGUF stores that as a tensor: llama3's scaling.
func (m *Merged) rotaryFactors() []float32 {
	c := m.base.Config
	s := c.RopeScaling
	if s == nil || s.Type != "llama3" && s.Type != "factors" {
		return nil
	}
	plain := c
	plain.RopeScaling = nil
	scaled, _ := c.RotaryFrequencies(1)
	unscaled, _ := plain.RotaryFrequencies(1)
	factors := make([]float32, len(scaled))
	for i := range scaled {
		factors[i] = float32(unscaled[i] / scaled[i])
	}
	return factors
}

// metadata is the base's, where that is GGUF, and otherwise what its configuration, tokenizer and chat template say.
func (m *Merged) metadata(name string, fileType uint32, format *chattemplate.Format) ([]gguf.KeyValue, error) {
	all := []gguf.KeyValue{
		{Key: "general.architecture", Value: m.base.Config.GGUFArchitecture()}, {Key: "general.type", Value: "model"},
		{Key: "general.name", Value: name}, {Key: "general.file_type", Value: fileType}, {Key: "general.quantization_version", Value: uint32(2)},
	}
	if m.base.GGUF != nil {
		own := map[string]bool{"general.alignment": true}
		for _, kv := range all {
			own[kv.Key] = true
		}
		var rest []gguf.KeyValue
		for key, value := range m.base.GGUF.Metadata {
			if !own[key] {
				rest = append(rest, gguf.KeyValue{Key: key, Value: value})
			}
		}
		slices.SortFunc(rest, func(a, b gguf.KeyValue) int { return strings.Compare(a.Key, b.Key) })
		return append(all, rest...), nil
	}
	shape, err := m.shape()
	if err != nil {
		return nil, err
	}
	words, err := format.Tokenizer().GGUF(m.base.Config.Vocab)
	if err != nil {
		return nil, err
	}
	all = append(append(all, shape...), words...)
	for _, kv := range format.GGUF() {
		if !slices.ContainsFunc(words, func(w gguf.KeyValue) bool { return w.Key == kv.Key }) {
			all = append(all, kv)
		}
	}
	return all, nil
}

// shape is the configuration in GGUF's words.
func (m *Merged) shape() ([]gguf.KeyValue, error) {
	c := m.base.Config
	arch := c.GGUFArchitecture()
	var all []gguf.KeyValue
	put := func(key string, value any) { all = append(all, gguf.KeyValue{Key: arch + "." + key, Value: value}) }
	put("vocab_size", uint32(c.Vocab))
	put("context_length", uint32(c.MaxPositions))
	put("embedding_length", uint32(c.Hidden))
	put("block_count", uint32(c.Layers))
	put("feed_forward_length", uint32(c.Intermediate))
	put("attention.head_count", uint32(c.Heads))
	put("attention.head_count_kv", uint32(c.KVHeads))
	put("attention.key_length", uint32(c.HeadDim))
	put("attention.value_length", uint32(c.HeadDim))
	put("attention.layer_norm_rms_epsilon", float32(c.NormEps))
	put("rope.dimension_count", uint32(c.HeadDim))
	put("rope.freq_base", float32(c.RopeTheta))
	if c.SlidingWindow > 0 {
		put("attention.sliding_window", uint32(c.SlidingWindow))
	}
	for i, without := range c.NoRopeLayers {
		if c.Architecture != "smollm3" || without != ((i+1)%4 == 0) {
			return nil, fmt.Errorf("layer %d has its rotary embedding where llama.cpp's %s has none, or the other way round (export a Hugging Face folder)", i, arch)
		}
	}
	if s := c.RopeScaling; s != nil {
		switch s.Type {
		case "llama3", "factors": // a tensor
		case "linear":
			put("rope.scaling.type", "linear")
			put("rope.scaling.factor", float32(s.Factor))
		case "yarn":
			if s.BetaFast != 32 || s.BetaSlow != 1 || s.AttentionFactor != 0 {
				return nil, fmt.Errorf("yarn with beta_fast %v, beta_slow %v and attention_factor %v cannot be said in GGUF (export a Hugging Face folder)", s.BetaFast, s.BetaSlow, s.AttentionFactor)
			}
			put("rope.scaling.type", "yarn")
			put("rope.scaling.factor", float32(s.Factor))
			put("rope.scaling.original_context_length", uint32(s.OriginalMax))
		default:
			return nil, fmt.Errorf("rope scaling of type %q cannot be said in GGUF (export a Hugging Face folder)", s.Type)
		}
	}
	return all, nil
}
