package lm

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banter/stdlib/lm/gguf"
	"banter/stdlib/lm/safetensors"
)

const micro = "../../testdata/models/lm-micro"

// small is a shape for tests, with everything that an architecture can have.
func small(arch string) string {
	c := map[string]any{"model_type": arch, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
		"num_key_value_heads": 2, "head_dim": 8, "vocab_size": 40, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
		"tie_word_embeddings": arch == "qwen2" || arch == "smollm3", "sliding_window": nil}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// writeModel writes a folder with small numbers in every tensor of the configuration; change may alter the tensors.
func writeModel(t *testing.T, config string, change func(map[string]safetensors.Tensor)) string {
	t.Helper()
	dir := t.TempDir()
	c, err := ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	tensors := map[string]safetensors.Tensor{}
	n := 0
	for _, name := range sortedNames(c.TensorShapes()) {
		shape := c.TensorShapes()[name]
		size := 1
		for _, d := range shape {
			size *= d
		}
		var data []byte
		for range size {
			n++
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(n%97)/97))
		}
		tensors[name] = safetensors.Tensor{Name: name, DType: "F32", Shape: shape, Data: data}
	}
	if change != nil {
		change(tensors)
	}
	write(t, filepath.Join(dir, "config.json"), []byte(config))
	write(t, filepath.Join(dir, "model.safetensors"), encode(t, slices.Collect(maps.Values(tensors))))
	return dir
}

func encode(t *testing.T, tensors []safetensors.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *Model {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestFolderAndGGUFHoldTheSameModel(t *testing.T) {
	folder, file := open(t, micro), open(t, micro+"/lm-micro-f16.gguf")
	if fmt.Sprintf("%+v", folder.Config) != fmt.Sprintf("%+v", file.Config) {
		t.Errorf("configurations differ:\n%+v\n%+v", folder.Config, file.Config)
	}
	if !slices.Equal(folder.Weights.Names(), file.Weights.Names()) || len(folder.Weights.Names()) != 48 {
		t.Fatalf("tensors differ:\n%v\n%v", folder.Weights.Names(), file.Weights.Names())
	}
	for _, name := range folder.Weights.Names() {
		a, _ := folder.Weights.Tensor(name)
		b, _ := file.Weights.Tensor(name)
		if x, y := a.Float32(), b.Float32(); !slices.Equal(a.Shape, b.Shape) || !closeTo(x, y, 1e-3) {
			t.Errorf("tensor %s differs", name)
		}
	}
	for _, m := range []*Model{folder, file} {
		if err := m.CheckFinite(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// closeTo allows for norms, which one file stores as halves and the other does not.
func closeTo(x, y []float32, relative float64) bool {
	for i := range x {
		if math.Abs(float64(x[i]-y[i])) > relative*math.Abs(float64(y[i])) {
			return false
		}
	}
	return len(x) == len(y)
}

func TestArchitecturesOpen(t *testing.T) {
	for _, arch := range architectures {
		t.Run(arch, func(t *testing.T) {
			m := open(t, writeModel(t, small(arch), nil))
			if m.Config.Architecture != arch || m.Config.QKVBias != (arch == "qwen2") || m.Config.QKNorm != (arch == "qwen3") {
				t.Errorf("%+v", m.Config)
			}
			_, head := m.Weights.Tensor("lm_head.weight")
			if head == m.Config.TiedEmbeddings {
				t.Errorf("tied is %v but an output head is there: %v", m.Config.TiedEmbeddings, head)
			}
		})
	}
}

func TestShardedModel(t *testing.T) {
	whole := open(t, writeModel(t, small("llama"), nil))
	dir := t.TempDir()
	config, err := os.ReadFile(filepath.Join(whole.Dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config.json"), config)
	shards := map[string][]safetensors.Tensor{}
	index := map[string]string{}
	for i, name := range whole.Weights.Names() {
		shard := fmt.Sprintf("model-%05d-of-00002.safetensors", i%2+1)
		w, _ := whole.Weights.Tensor(name)
		shards[shard] = append(shards[shard], safetensors.Tensor{Name: name, DType: "F32", Shape: w.Shape, Data: w.Data})
		index[name] = shard
	}
	for shard, tensors := range shards {
		write(t, filepath.Join(dir, shard), encode(t, tensors))
	}
	writeIndex := func(index map[string]string) {
		b, err := json.Marshal(map[string]any{"weight_map": index})
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "model.safetensors.index.json"), b)
	}
	writeIndex(index)
	m := open(t, dir)
	for _, name := range whole.Weights.Names() {
		a, _ := whole.Weights.Tensor(name)
		b, ok := m.Weights.Tensor(name)
		if !ok || !bytes.Equal(a.Data, b.Data) {
			t.Errorf("tensor %s differs", name)
		}
	}

	second := filepath.Join(dir, "model-00002-of-00002.safetensors")
	b, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	write(t, second, b[:len(b)-100])
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "model-00002-of-00002.safetensors") || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("a truncated shard gives %v", err)
	}
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "model-00002-of-00002.safetensors") {
		t.Errorf("a missing shard gives %v", err)
	}
	for _, bad := range []string{"../elsewhere.safetensors", "..", "a/b"} {
		index[whole.Weights.Names()[0]] = bad
		writeIndex(index)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "not a file name") {
			t.Errorf("shard %q gives %v", bad, err)
		}
	}
}

func TestBadModelsAreRefused(t *testing.T) {
	with := func(change func(map[string]safetensors.Tensor)) string { return writeModel(t, small("llama"), change) }
	dir := t.TempDir()
	write(t, filepath.Join(dir, "zero.gguf"), nil)
	write(t, filepath.Join(dir, "text.gguf"), []byte("<html>not found</html>, with some more text"))
	gg, err := os.ReadFile(micro + "/lm-micro-f16.gguf")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cut.gguf"), gg[:len(gg)-1000])
	for _, c := range []struct{ name, path, want string }{
		{"nothing there", filepath.Join(dir, "none"), "no such file"},
		{"folder without config", dir, "no config.json"},
		{"empty file", filepath.Join(dir, "zero.gguf"), "empty"},
		{"not a GGUF", filepath.Join(dir, "text.gguf"), "not a GGUF"},
		{"truncated GGUF", filepath.Join(dir, "cut.gguf"), "truncated"},
		{"missing tensor", with(func(m map[string]safetensors.Tensor) { delete(m, "model.layers.1.mlp.up_proj.weight") }), `"model.layers.1.mlp.up_proj.weight" is missing`},
		{"tensor of another shape", with(func(m map[string]safetensors.Tensor) {
			x := m["model.norm.weight"]
			x.Shape = []int{8, 4}
			m["model.norm.weight"] = x
		}), "[8 4]"},
		{"tensor that would be left out", with(func(m map[string]safetensors.Tensor) {
			m["x"] = safetensors.Tensor{Name: "model.layers.0.self_attn.q_proj.bias", DType: "F32", Shape: []int{1}, Data: make([]byte, 4)}
		}), "q_proj.bias"},
		{"integers", with(func(m map[string]safetensors.Tensor) {
			x := m["model.norm.weight"]
			x.DType = "I32"
			m["model.norm.weight"] = x
		}), "I32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Open(c.path)
			if err == nil {
				m.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q in it", err, c.want)
			}
		})
	}
}

func TestCheckFiniteNamesTheTensor(t *testing.T) {
	dir := writeModel(t, small("qwen2"), func(m map[string]safetensors.Tensor) {
		binary.LittleEndian.PutUint32(m["model.layers.1.self_attn.k_proj.weight"].Data[4*(32*3+5):], math.Float32bits(float32(math.NaN())))
	})
	err := open(t, dir).CheckFinite(t.Context())
	if err == nil || !strings.Contains(err.Error(), `"model.layers.1.self_attn.k_proj.weight" holds NaN at row 3, column 5`) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open(t, dir).CheckFinite(ctx); err == nil {
		t.Error("a cancelled check went on")
	}
}

func TestDigestFollowsContent(t *testing.T) {
	digest := func(m *Model) string {
		d, err := m.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, b := open(t, writeModel(t, small("llama"), nil)), open(t, writeModel(t, small("llama"), nil))
	if digest(a) != digest(b) || len(digest(a)) != 64 {
		t.Errorf("the same model in two places: %s, %s", digest(a), digest(b))
	}
	c := writeModel(t, small("llama"), func(m map[string]safetensors.Tensor) { m["model.norm.weight"].Data[0] ^= 1 })
	if digest(open(t, c)) == digest(a) {
		t.Error("another weight, the same digest")
	}
	write(t, filepath.Join(b.Dir, "tokenizer.json"), []byte("{}"))
	if digest(open(t, b.Dir)) == digest(a) {
		t.Error("another tokenizer, the same digest")
	}
}

// TestGGUFReorderingComesBack writes q and k rows in GGUF's order, for every architecture, and reads them again.
func TestGGUFReorderingComesBack(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2", "qwen3", "smollm3"} {
		t.Run(arch, func(t *testing.T) {
			m := open(t, writeModel(t, small(arch), nil))
			c := m.Config
			var tensors []gguf.Tensor
			for _, name := range m.Weights.Names() {
				w, _ := m.Weights.Tensor(name)
				g, ok := GGUFName(name)
				if !ok {
					t.Fatalf("%s has no GGUF name", name)
				}
				if back, ok := HuggingFaceName(g); !ok || back != name {
					t.Fatalf("%s comes back as %s", name, back)
				}
				data := w.Data
				if Rotated(name) && c.GGUFInterleaved() {
					// As llama.cpp's converter does: reshape(heads, 2, dim/2).swapaxes(1, 2).
					data = make([]byte, len(w.Data))
					heads := w.Shape[0] / c.HeadDim
					at := 0
					for h := range heads {
						for pair := range c.HeadDim / 2 {
							for side := range 2 {
								from := h*c.HeadDim + side*c.HeadDim/2 + pair
								at += copy(data[at:], w.Data[from*w.RowBytes():(from+1)*w.RowBytes()])
							}
						}
					}
				}
				tensors = append(tensors, gguf.Tensor{Name: g, Type: w.Type.GGUFType(), Shape: w.Shape, Data: data})
			}
			u := func(k string, v int) gguf.KeyValue { return gguf.KeyValue{Key: arch + "." + k, Value: uint32(v)} }
			path := filepath.Join(t.TempDir(), "m.gguf")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := gguf.Write(f, []gguf.KeyValue{{Key: "general.architecture", Value: arch}, u("block_count", c.Layers), u("embedding_length", c.Hidden),
				u("feed_forward_length", c.Intermediate), u("attention.head_count", c.Heads), u("attention.head_count_kv", c.KVHeads),
				u("attention.key_length", c.HeadDim), u("attention.value_length", c.HeadDim), u("context_length", c.MaxPositions),
				{Key: arch + ".rope.freq_base", Value: float32(c.RopeTheta)},
				{Key: arch + ".attention.layer_norm_rms_epsilon", Value: float32(c.NormEps)}}, tensors); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			got := open(t, path)
			if fmt.Sprintf("%+v", got.Config) != fmt.Sprintf("%+v", c) {
				t.Errorf("configuration\n%+v, want\n%+v", got.Config, c)
			}
			for _, name := range m.Weights.Names() {
				a, _ := m.Weights.Tensor(name)
				b, _ := got.Weights.Tensor(name)
				if !bytes.Equal(a.Data, b.Data) {
					t.Errorf("%s differs", name)
				}
			}
		})
	}
}

func TestSharedGGUFModelsOpen(t *testing.T) {
	dir := "../../../shared/data/lm"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the shared models are not here:", err)
	}
	file, folder := open(t, dir+"/stories260K.gguf"), open(t, dir+"/stories260K-hf")
	for _, name := range folder.Weights.Names() {
		a, _ := folder.Weights.Tensor(name)
		b, ok := file.Weights.Tensor(name)
		if !ok || !closeTo(b.Float32(), a.Float32(), 1e-6) {
			t.Errorf("tensor %s differs", name)
		}
	}
	if m := open(t, dir+"/llama-2-tiny-random.gguf"); m.Config.Architecture != "llama" {
		t.Errorf("%+v", m.Config)
	}
	if _, err := Open(dir + "/ggml-vocab-gpt-2.gguf"); err == nil {
		t.Error("a vocabulary without weights opened as a model")
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, arch := range architectures {
		f.Add([]byte(small(arch)))
	}
	f.Add([]byte(`{"model_type":"llama","rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4}}`))
	f.Add([]byte(`{"model_type":"smollm3","num_hidden_layers":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("ParseConfig let through what Validate refuses: %v", err)
		}
		if c.HeadDim < 1<<12 {
			if w, _ := c.RotaryFrequencies(10); len(w) != c.HeadDim/2 {
				t.Fatalf("%d frequencies", len(w))
			}
		}
	})
}

func FuzzOpenGGUF(f *testing.F) {
	b, err := os.ReadFile(micro + "/lm-micro-f16.gguf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:30000])
	f.Add([]byte("GGUF\x03\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "m.gguf")
		write(t, path, data)
		m, err := Open(path)
		if err != nil {
			return
		}
		defer m.Close()
		if err := m.CheckFinite(t.Context()); err != nil && !strings.Contains(err.Error(), "holds") {
			t.Error(err)
		}
	})
}
