// Package merge makes one model of a base and a LoRA adapter: W + scale·B·A in place of each adapted projection W. An
// opened base and an adapter flow in; a Hugging Face model file or a GGUF file flows out, the same bytes each time.
// Tensors are widened, changed and narrowed one at a time, so that a model larger than memory can be written.
package merge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/safetensors"

	"golang.org/x/sync/errgroup"
)

// Merged is a base model with an adapter in its weights.
type Merged struct {
	base    *lm.Model
	adapter *adapter.Adapter // nil: the base as it is
}

// New joins an opened base, which must stay open, and an adapter that was made for it. Without an adapter the base is
// written as it is, in another form.
func New(base *lm.Model, a *adapter.Adapter) (*Merged, error) {
	if a != nil {
		digest, err := base.Digest()
		if err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
		if err := a.Check(base.Config, digest); err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
	}
	return &Merged{base, a}, nil
}

// values returns a tensor's numbers after the merge, by its Hugging Face name.
func (m *Merged) values(name string) []float32 {
	t, _ := m.base.Weights.Tensor(name)
	w := t.Float32()
	if m.adapter == nil {
		return w
	}
	p := m.adapter.Pairs[moduleOf(name)]
	if p == nil {
		return w
	}
	scale, rank := m.adapter.Scale(), m.adapter.Rank
	var rows errgroup.Group
	rows.SetLimit(runtime.GOMAXPROCS(0))
	const some = 64 // rows at a time
	for from := 0; from < p.Out; from += some {
		rows.Go(func() error {
			change := make([]float64, p.In)
			for out := from; out < min(from+some, p.Out); out++ {
				clear(change)
				for r := range rank {
					b := float64(p.B[out*rank+r])
					for in, a := range p.A[r*p.In : (r+1)*p.In] {
						change[in] += b * float64(a)
					}
				}
				row := w[out*p.In : (out+1)*p.In]
				for in := range row {
					row[in] = float32(float64(row[in]) + scale*change[in])
				}
			}
			return nil
		})
	}
	_ = rows.Wait() // none of them fails
	return w
}

// moduleOf is the module path that an adapter knows a weight by.
func moduleOf(name string) string {
	const suffix = ".weight"
	if len(name) < len(suffix) || name[len(name)-len(suffix):] != suffix {
		return ""
	}
	return name[:len(name)-len(suffix)]
}

// dtypes are the types that a Hugging Face folder can have, by the names that safetensors and config.json give them.
var dtypes = map[lm.Type][2]string{lm.F32: {"F32", "float32"}, lm.F16: {"F16", "float16"}, lm.BF16: {"BF16", "bfloat16"}}

// StoredType is the type in which the base stores its projections: what a merged model keeps unless told otherwise.
func (m *Merged) StoredType() lm.Type {
	t, _ := m.base.Weights.Tensor(lm.ModulePath(0, "q_proj") + ".weight")
	return t.Type
}

// WriteSafetensors writes the weights as model.safetensors, all of type kind: F32, F16 or BF16.
func (m *Merged) WriteSafetensors(w io.Writer, kind lm.Type) error {
	dtype, ok := dtypes[kind]
	if !ok {
		return fmt.Errorf("merge: a Hugging Face folder holds F32, F16 or BF16, not %v (write GGUF)", kind)
	}
	shapes := m.base.Config.TensorShapes()
	var tensors []safetensors.Tensor
	for name, shape := range shapes {
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: dtype[0], Shape: shape, Load: func() ([]byte, error) {
			return lm.Quantize(m.values(name), kind, shape[len(shape)-1])
		}})
	}
	return safetensors.Write(w, tensors, map[string]string{"format": "pt"})
}

// copied are the files of a Hugging Face folder that a merge does not change.
var copied = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
	"vocab.json", "merges.txt", "chat_template.jinja", "generation_config.json"}

// maxCopied bounds each of them, in bytes.
const maxCopied = 1 << 27

// Files returns what stands beside model.safetensors, by file name: config.json for weights of type kind, and the base's
// tokenizer and chat template as they are.
func (m *Merged) Files(kind lm.Type) (map[string][]byte, error) {
	if m.base.GGUF != nil {
		return nil, errors.New("merge: the base is a GGUF file, which has no Hugging Face configuration (export GGUF, or train on the model's Hugging Face folder)")
	}
	dtype, ok := dtypes[kind]
	if !ok {
		return nil, fmt.Errorf("merge: a Hugging Face folder holds F32, F16 or BF16, not %v", kind)
	}
	files := map[string][]byte{}
	for _, name := range copied {
		path := filepath.Join(m.base.Dir, name)
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
		if info.Size() > maxCopied {
			return nil, fmt.Errorf("merge: %s has %d bytes, which no tokenizer has", path, info.Size())
		}
		if files[name], err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
	}
	config, err := os.ReadFile(filepath.Join(m.base.Dir, "config.json"))
	if err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	// All fields stay, also those that nothing here knows; only the type of the weights is what it is now.
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, fmt.Errorf("merge: config.json: %w", err)
	}
	key := "torch_dtype"
	if _, ok := fields["dtype"]; ok { // as transformers 5 calls it
		key = "dtype"
	}
	fields[key] = json.RawMessage(`"` + dtype[1] + `"`)
	if config, err = json.MarshalIndent(fields, "", "  "); err != nil { // in order of keys
		return nil, fmt.Errorf("merge: config.json: %w", err)
	}
	files["config.json"] = append(config, '\n')
	return files, nil
}

// names lists the model's tensors in an order of their own: as the layers use them.
func (m *Merged) names() []string {
	shapes := m.base.Config.TensorShapes()
	names := make([]string, 0, len(shapes))
	for name := range shapes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
