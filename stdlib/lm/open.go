package lm

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"banter/internal/problem"
	"banter/stdlib/lm/gguf"
	"banter/stdlib/lm/safetensors"

	"github.com/zeebo/blake3"
)

// maxSmallFile bounds config.json and the like, in bytes.
const maxSmallFile = 1 << 26

// Model is an opened model: its shape, and its weights where they lie. It is safe for concurrent use until Close.
type Model struct {
	Config  Config
	Weights Weights
	Path    string // what was opened: a folder or a GGUF file
	Dir     string // the folder that holds it

	// GGUF is the opened file, whose metadata holds tokenizer and chat template; nil for a Hugging Face folder.
	GGUF *gguf.File

	files   []modelFile
	release []func() error

	digestOnce sync.Once
	digest     string
	digestErr  error
}

// modelFile is a file that the model's digest covers.
type modelFile struct {
	role    string // "config.json", "tokenizer.json", "weights 1 of 2"
	path    string
	content []byte // the mapped content of a weights file; nil: read path
}

// Open opens a Hugging Face folder or a GGUF file and checks that all tensors of its shape are there. Weights are mapped,
// not read, so that opening takes no time and no memory worth a mention. Close it when done.
func Open(path string) (*Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &problem.Error{Op: "open model", Path: path, Err: errors.Unwrap(err), Fix: "point at a Hugging Face folder or a GGUF file"}
	}
	m := &Model{Path: path, Dir: path}
	if info.IsDir() {
		err = m.openFolder()
	} else {
		m.Dir = filepath.Dir(path)
		err = m.openGGUF()
	}
	if err == nil {
		err = checkTensors(m.Config, m.Weights)
	}
	if err != nil {
		if p := (*problem.Error)(nil); !errors.As(err, &p) {
			err = &problem.Error{Op: "open model", Path: path, Err: err}
		}
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close lets go of the weights; tensors must not be used after it.
func (m *Model) Close() error {
	var err error
	for _, release := range m.release {
		err = errors.Join(err, release())
	}
	m.release = nil
	return err
}

// forget lets the system take back the memory into which mapped files were read. What is looked at again is read again.
func (m *Model) forget() {
	for _, f := range m.files {
		unread(f.content)
	}
}

// mapped maps one of the model's weights files.
func (m *Model) mapped(path, role string) ([]byte, error) {
	content, release, err := mapFile(path)
	if err != nil {
		return nil, &problem.Error{Op: "open model", Path: path, Err: err}
	}
	m.release = append(m.release, release)
	m.files = append(m.files, modelFile{role: role, path: path, content: content})
	return content, nil
}

// openFolder opens config.json and the safetensors beside it.
func (m *Model) openFolder() error {
	config, err := readSmall(filepath.Join(m.Dir, "config.json"))
	if errors.Is(err, os.ErrNotExist) {
		return &problem.Error{Op: "open model", Path: m.Path, Err: errors.New("there is no config.json"), Fix: "point at a Hugging Face model folder, or at a GGUF file itself"}
	} else if err != nil {
		return err
	}
	if m.Config, err = ParseConfig(config); err != nil {
		return &problem.Error{Op: "open model", Path: filepath.Join(m.Path, "config.json"), Err: err}
	}
	m.files = append(m.files, modelFile{role: "config.json", path: filepath.Join(m.Dir, "config.json")})
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"} {
		if _, err := os.Stat(filepath.Join(m.Dir, name)); err == nil {
			m.files = append(m.files, modelFile{role: name, path: filepath.Join(m.Dir, name)})
		}
	}
	shards, index, err := m.shards()
	if err != nil {
		return err
	}
	w := &folderWeights{tensors: map[string]Tensor{}}
	for i, shard := range shards {
		content, err := m.mapped(filepath.Join(m.Dir, shard), fmt.Sprintf("weights %d of %d", i+1, len(shards)))
		if err != nil {
			return err
		}
		if err := w.add(shard, content, index); err != nil {
			return &problem.Error{Op: "open model", Path: filepath.Join(m.Dir, shard), Err: err, Fix: "fetch the file again"}
		}
	}
	for name, shard := range index {
		if _, ok := w.tensors[name]; !ok && wanted(m.Config, name) {
			return &problem.Error{Op: "open model", Path: filepath.Join(m.Dir, shard), Err: fmt.Errorf("tensor %q, which the index places here, is not in it", name), Fix: "fetch the file again"}
		}
	}
	m.Weights = w
	return nil
}

// shards returns the safetensors files in order and, for a sharded model, which tensor is in which.
func (m *Model) shards() ([]string, map[string]string, error) {
	indexPath := filepath.Join(m.Dir, "model.safetensors.index.json")
	data, err := readSmall(indexPath)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(m.Dir, "model.safetensors")); err != nil {
			return nil, nil, &problem.Error{Op: "open model", Path: m.Path, Err: errors.New("there is neither model.safetensors nor model.safetensors.index.json"),
				Fix: "fetch the model's safetensors files; pytorch_model.bin is not read"}
		}
		return []string{"model.safetensors"}, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, nil, &problem.Error{Op: "open model", Path: indexPath, Err: err}
	}
	var shards []string
	for tensor, shard := range index.WeightMap {
		if shard != filepath.Base(shard) || shard == "." || shard == ".." || strings.ContainsAny(shard, `/\`) {
			return nil, nil, &problem.Error{Op: "open model", Path: indexPath, Err: fmt.Errorf("tensor %q is in %q, which is not a file name", tensor, shard)}
		}
		shards = append(shards, shard)
	}
	slices.Sort(shards)
	shards = slices.Compact(shards)
	if len(shards) == 0 || len(shards) > 1<<14 {
		return nil, nil, &problem.Error{Op: "open model", Path: indexPath, Err: fmt.Errorf("it names %d files", len(shards))}
	}
	return shards, index.WeightMap, nil
}

// readSmall reads a file that must not be huge.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSmallFile+1))
	if err == nil && len(b) > maxSmallFile {
		err = fmt.Errorf("%s: more than %d bytes", path, maxSmallFile)
	}
	return b, err
}

// folderWeights are the tensors of a folder's safetensors files.
type folderWeights struct{ tensors map[string]Tensor }

// add takes a shard's tensors. With an index, a tensor counts only in the shard that the index names.
func (w *folderWeights) add(shard string, content []byte, index map[string]string) error {
	f, err := safetensors.Parse(content)
	if err != nil {
		return err
	}
	for _, t := range f.Tensors {
		if index != nil && index[t.Name] != shard {
			continue
		}
		kind, ok := safetensorsType(t.DType)
		if !ok {
			if strings.HasSuffix(t.Name, "rotary_emb.inv_freq") {
				continue
			}
			return fmt.Errorf("tensor %q holds %s; F32, F16 and BF16 are read", t.Name, t.DType)
		}
		w.tensors[t.Name] = Tensor{Name: t.Name, Type: kind, Shape: t.Shape, Data: t.Data}
	}
	return nil
}

func (w *folderWeights) Tensor(name string) (Tensor, bool) {
	t, ok := w.tensors[name]
	return t, ok
}

func (w *folderWeights) Names() []string { return sortedNames(w.tensors) }

func sortedNames[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// wanted says whether a model of this shape computes with the named tensor. What it does not need is harmless only when
// it is known why.
func wanted(c Config, name string) bool {
	return !strings.HasSuffix(name, "rotary_emb.inv_freq") && (!c.TiedEmbeddings || name != "lm_head.weight")
}

// checkTensors holds the weights against the shape: all there, each as it must be, none that would be left out.
func checkTensors(c Config, w Weights) error {
	shapes := c.TensorShapes()
	for _, name := range sortedNames(shapes) {
		t, ok := w.Tensor(name)
		if !ok {
			return fmt.Errorf("tensor %q is missing (fetch the model again, with all its files)", name)
		}
		if !slices.Equal(t.Shape, shapes[name]) {
			return fmt.Errorf("tensor %q is %v, the configuration wants %v", name, t.Shape, shapes[name])
		}
	}
	for _, name := range w.Names() {
		if _, known := shapes[name]; !known && wanted(c, name) {
			return fmt.Errorf("tensor %q does not belong to a %s model as configured, and leaving it out would change the results", name, c.Architecture)
		}
	}
	return nil
}

// CheckFinite reads every tensor and names the first that holds a NaN or an infinity.
func (m *Model) CheckFinite(ctx context.Context) error {
	for _, name := range m.Weights.Names() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("check %s: %w", m.Path, err)
		}
		t, _ := m.Weights.Tensor(name)
		if row, column, v, bad := firstNonFinite(t); bad {
			return m.notFinite(name, row, column, v)
		}
		m.forget()
	}
	return nil
}

func (m *Model) notFinite(tensor string, row, column int, v float32) error {
	return &problem.Error{Op: "check model", Path: m.Path, Err: fmt.Errorf("tensor %q holds %v at row %d, column %d", tensor, v, row, column),
		Fix: "fetch the model again: its weights are damaged"}
}

func firstNonFinite(t Tensor) (row, column int, v float32, bad bool) {
	columns := t.Columns()
	if columns == 0 {
		return 0, 0, 0, false
	}
	step := max(1, (1<<14)/columns)
	buf := make([]float32, step*columns)
	for from := 0; from < t.Rows(); from += step {
		to := min(from+step, t.Rows())
		Dequantize(buf, t, from, to)
		if row, column, v, bad := nonFinite(buf[:(to-from)*columns], columns); bad {
			return from + row, column, v, true
		}
	}
	return 0, 0, 0, false
}

func nonFinite(values []float32, columns int) (row, column int, v float32, bad bool) {
	for i, v := range values {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return i / columns, i % columns, v, true
		}
	}
	return 0, 0, 0, false
}

// Digest names the model's content: configuration, tokenizer, chat template and weights. It reads everything once.
func (m *Model) Digest() (string, error) {
	m.digestOnce.Do(func() { m.digest, m.digestErr = m.computeDigest() })
	return m.digest, m.digestErr
}

func (m *Model) computeDigest() (string, error) {
	all := blake3.New()
	for _, f := range m.files {
		one := blake3.New()
		if f.content == nil {
			file, err := os.Open(f.path)
			if err != nil {
				return "", &problem.Error{Op: "digest model", Path: f.path, Err: err}
			}
			defer file.Close()
			if _, err := io.Copy(one, file); err != nil {
				return "", &problem.Error{Op: "digest model", Path: f.path, Err: err}
			}
		}
		for part := range slices.Chunk(f.content, 1<<26) {
			one.Write(part) // a hash never fails
			m.forget()
		}
		fmt.Fprintf(all, "%s %x\n", f.role, one.Sum(nil))
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}
