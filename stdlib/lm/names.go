package lm

import (
	"fmt"
	"strconv"
	"strings"
)

// projections are the linear layers of one decoder layer, by the last part of their Hugging Face names and in the order
// in which a forward pass meets them. LoRA adapts these.
var projections = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// Projections returns the names of the linear layers in one decoder layer: q_proj, k_proj, v_proj, o_proj, gate_proj,
// up_proj and down_proj.
func Projections() []string { return append([]string(nil), projections...) }

// ModulePath returns the Hugging Face path of a projection: "model.layers.0.self_attn.q_proj".
func ModulePath(layer int, projection string) string {
	part := "self_attn"
	switch projection {
	case "gate_proj", "up_proj", "down_proj":
		part = "mlp"
	}
	return fmt.Sprintf("model.layers.%d.%s.%s", layer, part, projection)
}

// ProjectionShape returns a projection's [out, in], and false for a name that is none.
func (c Config) ProjectionShape(projection string) (out, in int, ok bool) {
	switch projection {
	case "q_proj":
		return c.Heads * c.HeadDim, c.Hidden, true
	case "k_proj", "v_proj":
		return c.KVHeads * c.HeadDim, c.Hidden, true
	case "o_proj":
		return c.Hidden, c.Heads * c.HeadDim, true
	case "gate_proj", "up_proj":
		return c.Intermediate, c.Hidden, true
	case "down_proj":
		return c.Hidden, c.Intermediate, true
	}
	return 0, 0, false
}

// TensorShapes returns every tensor that a model of this shape has, by name. The output head is left out where it is the
// embedding.
func (c Config) TensorShapes() map[string][]int {
	shapes := map[string][]int{
		"model.embed_tokens.weight": {c.Vocab, c.Hidden},
		"model.norm.weight":         {c.Hidden},
	}
	if !c.TiedEmbeddings {
		shapes["lm_head.weight"] = []int{c.Vocab, c.Hidden}
	}
	for layer := range c.Layers {
		prefix := "model.layers." + strconv.Itoa(layer) + "."
		shapes[prefix+"input_layernorm.weight"] = []int{c.Hidden}
		shapes[prefix+"post_attention_layernorm.weight"] = []int{c.Hidden}
		for _, p := range projections {
			out, in, _ := c.ProjectionShape(p)
			shapes[ModulePath(layer, p)+".weight"] = []int{out, in}
			if c.QKVBias && (p == "q_proj" || p == "k_proj" || p == "v_proj") {
				shapes[ModulePath(layer, p)+".bias"] = []int{out}
			}
		}
		if c.QKNorm {
			shapes[prefix+"self_attn.q_norm.weight"] = []int{c.HeadDim}
			shapes[prefix+"self_attn.k_norm.weight"] = []int{c.HeadDim}
		}
	}
	return shapes
}

// ggufLayerParts pairs the parts of a layer's tensor names: Hugging Face's and GGUF's.
var ggufLayerParts = [][2]string{
	{"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"},
	{"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"}, {"self_attn.v_proj", "attn_v"}, {"self_attn.o_proj", "attn_output"},
	{"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
	{"mlp.gate_proj", "ffn_gate"}, {"mlp.up_proj", "ffn_up"}, {"mlp.down_proj", "ffn_down"},
}

// ggufTopParts pairs the names of tensors outside the layers.
var ggufTopParts = [][2]string{
	{"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, {"lm_head", "output"},
}

// GGUFName translates a tensor's Hugging Face name into GGUF's, and says whether there is one:
// "model.layers.0.self_attn.q_proj.weight" is "blk.0.attn_q.weight".
func GGUFName(name string) (string, bool) {
	return translate(name, "model.layers.", "blk.", 0)
}

// HuggingFaceName is the inverse of [GGUFName].
func HuggingFaceName(gguf string) (string, bool) {
	return translate(gguf, "blk.", "model.layers.", 1)
}

// translate maps a name from column from of the tables to the other one.
func translate(name, prefix, newPrefix string, from int) (string, bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return "", false
	}
	path, kind := name[:dot], name[dot:]
	if kind != ".weight" && kind != ".bias" {
		return "", false
	}
	table, newPath := ggufTopParts, ""
	if rest, ok := strings.CutPrefix(path, prefix); ok {
		layer, part, ok := strings.Cut(rest, ".")
		if _, err := strconv.ParseUint(layer, 10, 31); !ok || err != nil {
			return "", false
		}
		table, path, newPath = ggufLayerParts, part, newPrefix+layer+"."
	}
	for _, row := range table {
		if row[from] == path {
			return newPath + row[1-from] + kind, true
		}
	}
	return "", false
}

// GGUFArchitecture returns general.architecture for a model of this shape. Mistral is a llama to llama.cpp.
func (c Config) GGUFArchitecture() string {
	if c.Architecture == "mistral" {
		return "llama"
	}
	return c.Architecture
}

// GGUFInterleaved says whether llama.cpp rotates neighbouring pairs of a head's values in this architecture, so that GGUF
// stores the rows of q and k in another order than Hugging Face does.
func (c Config) GGUFInterleaved() bool {
	switch c.Architecture {
	case "llama", "mistral", "smollm3":
		return true
	}
	return false
}

// InterleavedRow returns, for row i of a q or k projection in Hugging Face's order, which row of GGUF's holds it. Within
// a head Hugging Face has the first elements of all pairs, then the second ones; GGUF has pair after pair.
func InterleavedRow(i, headDim int) int {
	head, within := i/headDim, i%headDim
	half := headDim / 2
	return head*headDim + (within%half)*2 + within/half
}

// Rotated says whether a module path, or a tensor's name, is that of a q or k projection.
func Rotated(name string) bool {
	for _, p := range []string{".self_attn.q_proj", ".self_attn.k_proj"} {
		if i := strings.Index(name, p); i >= 0 && (i+len(p) == len(name) || name[i+len(p)] == '.') {
			return true
		}
	}
	return false
}
