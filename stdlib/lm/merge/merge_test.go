package merge_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"banter/internal/specimen"
	"banter/internal/worker"
	"banter/internal/worker/native"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
	"banter/stdlib/lm/gguf"
	"banter/stdlib/lm/llama"
	"banter/stdlib/lm/merge"
	"banter/stdlib/lm/safetensors"
	"banter/stdlib/lm/tokenizer"
	"banter/stdlib/lm/transformer"
)

const micro = "../../../testdata/models/lm-micro"

type opened struct{ specimen.Opened }

func open(t testing.TB, path string) opened {
	t.Helper()
	return opened{specimen.Open(t, path)}
}

// changing is an adapter on some projections that changes a model's answers.
func changing(t testing.TB, base *lm.Model) *adapter.Adapter {
	t.Helper()
	a, err := adapter.New(base.Config, 4, 8, []string{"q_proj", "k_proj", "o_proj", "down_proj"})
	if err != nil {
		t.Fatal(err)
	}
	if a.Base, err = base.Digest(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, module := range a.Modules() {
		for _, x := range [][]float32{a.Pairs[module].A, a.Pairs[module].B} {
			for i := range x {
				x[i] = float32(random.NormFloat64() * 0.08)
			}
		}
	}
	return a
}

// logits are those after a prompt.
func logits(t testing.TB, o opened, a *adapter.Adapter) []float32 {
	t.Helper()
	m, err := transformer.New(o.Model, transformer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a != nil {
		if err := m.SetAdapter(a); err != nil {
			t.Fatal(err)
		}
	}
	prompt, err := o.Format.Prompt(chattemplate.Message{Role: "user", Content: "Should we add garlic or honey to the soup?"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := m.Decoder().Append(t.Context(), prompt)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func furthest(a, b []float32) (d float64) {
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}

func merged(t testing.TB, o opened, a *adapter.Adapter) *merge.Merged {
	t.Helper()
	m, err := merge.New(o.Model, a)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// folder writes a merged Hugging Face folder.
func folder(t testing.TB, m *merge.Merged, kind lm.Type) string {
	t.Helper()
	dir := t.TempDir()
	files, err := m.Files(kind)
	if err != nil {
		t.Fatal(err)
	}
	var weights bytes.Buffer
	if err := m.WriteSafetensors(&weights, kind); err != nil {
		t.Fatal(err)
	}
	files["model.safetensors"] = weights.Bytes()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func ggufFile(t testing.TB, o opened, m *merge.Merged, kind lm.Type) string {
	t.Helper()
	var b, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&b, &again} {
		if err := m.WriteGGUF(w, kind, "micro", o.Format); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("two writings differ")
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// tolerances are how far logits may be from those of base and adapter apart, by the type that the merge is stored in.
var tolerances = map[lm.Type]float64{lm.F32: 2e-4, lm.F16: 0.02, lm.BF16: 0.2, lm.Q8_0: 0.3}

func TestMergedFolder(t *testing.T) {
	o := open(t, micro)
	a := changing(t, o.Model)
	want := logits(t, o, a)
	if d := furthest(want, logits(t, o, nil)); d < 0.5 {
		t.Fatalf("the adapter changes logits by %.3g only", d)
	}
	m := merged(t, o, a)
	if m.StoredType() != lm.F16 {
		t.Errorf("stored as %v", m.StoredType())
	}
	for _, kind := range []lm.Type{lm.F32, lm.F16, lm.BF16} {
		dir := folder(t, m, kind)
		got := open(t, dir)
		if d := furthest(want, logits(t, got, nil)); d > tolerances[kind] {
			t.Errorf("%v: logits are off by %.3g", kind, d)
		}
		var config map[string]any
		data, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil || json.Unmarshal(data, &config) != nil || config["torch_dtype"] != map[lm.Type]string{lm.F32: "float32", lm.F16: "float16", lm.BF16: "bfloat16"}[kind] || config["model_type"] != "llama" {
			t.Errorf("%v: configuration %s, %v", kind, data, err)
		}
		for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "generation_config.json"} {
			x, err1 := os.ReadFile(filepath.Join(micro, name))
			y, err2 := os.ReadFile(filepath.Join(dir, name))
			if err1 != nil || err2 != nil || !bytes.Equal(x, y) {
				t.Errorf("%s is not the base's: %v, %v", name, err1, err2)
			}
		}
	}
}

// TestTransformersReadsTheFolder has transformers and PEFT compute. It wants a Python that has both.
func TestTransformersReadsTheFolder(t *testing.T) {
	python := os.Getenv("BANTER_HF_PYTHON")
	if python == "" {
		t.Skip("BANTER_HF_PYTHON names no Python with transformers and peft")
	}
	o := open(t, micro)
	a := changing(t, o.Model)
	dir := t.TempDir()
	if err := a.Write(dir); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), python, "testdata/logits.py", micro, dir, folder(t, merged(t, o, a), lm.F32)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64); err != nil || d > 2e-4 {
		t.Errorf("logits are off by %s, %v", out, err)
	}
}

func TestMergedGGUF(t *testing.T) {
	for _, from := range []string{micro, filepath.Join(micro, "lm-micro-f16.gguf")} {
		o := open(t, from)
		a := changing(t, o.Model)
		want := logits(t, o, a)
		m := merged(t, o, a)
		for _, kind := range []lm.Type{lm.F32, lm.F16, lm.BF16, lm.Q8_0} {
			got := open(t, ggufFile(t, o, m, kind))
			if d := furthest(want, logits(t, got, nil)); d > tolerances[kind] {
				t.Errorf("%s as %v: logits are off by %.3g", from, kind, d)
			}
			if w, _ := got.Weights.Tensor("model.layers.0.self_attn.q_proj.weight"); w.Type != kind {
				t.Errorf("%s as %v: stored as %v", from, kind, w.Type)
			}
			messages := chattemplate.Message{Role: "user", Content: "ok <|im_end|> 123 PogChamp 😂"}
			x, err1 := o.Format.Prompt(messages)
			y, err2 := got.Format.Prompt(messages)
			if err1 != nil || err2 != nil || len(x) != len(y) {
				t.Fatalf("%v, %v, %v, %v", x, y, err1, err2)
			}
			for i := range x {
				if x[i] != y[i] {
					t.Fatalf("%s as %v: the conversation's tokens are %v, not %v", from, kind, y, x)
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	o := open(t, micro)
	a := changing(t, o.Model)
	other := a.Clone()
	other.Base = strings.Repeat("0", 64)
	if _, err := merge.New(o.Model, other); err == nil || !strings.Contains(err.Error(), "another base") {
		t.Errorf("an adapter of another base: %v", err)
	}
	m := merged(t, o, a)
	if err := m.WriteSafetensors(&bytes.Buffer{}, lm.Q8_0); err == nil || !strings.Contains(err.Error(), "write GGUF") {
		t.Errorf("a quantized folder: %v", err)
	}
	if err := m.WriteGGUF(&bytes.Buffer{}, lm.Q4_K, "x", o.Format); err == nil || !strings.Contains(err.Error(), "Q4_K") {
		t.Errorf("Q4_K: %v", err)
	}
	g := open(t, filepath.Join(micro, "lm-micro-f16.gguf"))
	if _, err := merged(t, g, nil).Files(lm.F16); err == nil || !strings.Contains(err.Error(), "GGUF") {
		t.Errorf("a folder of a GGUF base: %v", err)
	}
}

// pool starts the native worker, or skips the test where it was not built.
func pool(t testing.TB) *worker.Pool {
	t.Helper()
	if _, err := worker.Find(""); err != nil {
		if os.Getenv("BANTER_REQUIRE_ENGINE") != "" {
			t.Fatal(err)
		}
		t.Skip("the native worker is not built: ", err)
	}
	p := worker.NewPool(worker.Options{})
	t.Cleanup(func() { p.Close() })
	return p
}

// TestLlamaReadsWhatIsWritten has llama.cpp score with merged files, and quantize one.
func TestLlamaReadsWhatIsWritten(t *testing.T) {
	p := pool(t)
	o := open(t, micro)
	a := changing(t, o.Model)
	own, err := transformer.New(o.Model, transformer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := own.SetAdapter(a); err != nil {
		t.Fatal(err)
	}
	const prompt, response = "Should we add garlic or honey to the soup?", "Both are fine, but I prefer the honey."
	want, err := generate.New(own, o.Format).Score(t.Context(), prompt, response)
	if err != nil {
		t.Fatal(err)
	}
	m := merged(t, o, a)
	check := func(name, file string, tolerance float64) {
		t.Helper()
		got, err := llama.New(p, file, "", o.Format).Score(t.Context(), prompt, response)
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Tokens != want[0].Tokens || math.Abs(got[0].Mean()-want[0].Mean()) > tolerance {
			t.Errorf("%s: llama.cpp scores %+v, here %+v", name, got[0], want[0])
		}
	}
	f16 := ggufFile(t, o, m, lm.F16)
	check("F16", f16, 0.01)
	q8 := ggufFile(t, o, m, lm.Q8_0)
	check("Q8_0", q8, 0.05)

	// Our Q8_0 is llama.cpp's, block by block.
	dir := t.TempDir()
	theirs := filepath.Join(dir, "q8.gguf")
	if _, _, err := p.Call(t.Context(), native.MethodQuantize, native.QuantizeParams{Model: ggufFile(t, o, m, lm.F32), To: theirs, Type: "Q8_0"}, nil); err != nil {
		t.Fatal(err)
	}
	check("Q8_0 by llama.cpp", theirs, 0.05)
	read := func(path string) *gguf.File {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	blocks := map[string][]byte{}
	for _, tensor := range read(theirs).Tensors {
		blocks[tensor.Name] = tensor.Data
	}
	total, differ := 0, 0
	for _, tensor := range read(q8).Tensors {
		data := blocks[tensor.Name]
		if len(data) != len(tensor.Data) {
			t.Fatalf("%s has %d bytes, %d in llama.cpp", tensor.Name, len(tensor.Data), len(data))
		}
		for i := range data {
			if total++; data[i] != tensor.Data[i] {
				differ++
			}
		}
	}
	if differ*10000 > total {
		t.Errorf("%d of %d bytes differ from llama.cpp's Q8_0", differ, total)
	}
	t.Logf("%d of %d bytes differ from llama.cpp's Q8_0", differ, total)
	q4 := filepath.Join(dir, "q4.gguf")
	if _, _, err := p.Call(t.Context(), native.MethodQuantize, native.QuantizeParams{Model: f16, To: q4, Type: "Q4_K"}, nil); err != nil {
		t.Fatal(err)
	}
	check("Q4_K by llama.cpp", q4, 0.7)
	if _, _, err := p.Call(t.Context(), native.MethodQuantize, native.QuantizeParams{Model: f16, To: q4, Type: "Q9"}, nil); err == nil {
		t.Error("Q9 was taken")
	}
}

// TestArchitectures writes random models of each family as GGUF and reads them back.
func TestArchitectures(t *testing.T) {
	tok, err := tokenizer.FromJSON([]byte(`{"added_tokens":[{"id":0,"content":"<|im_end|>","special":true}],
		"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"},
		"model":{"type":"BPE","vocab":{"<|im_end|>":0,"a":1,"b":2,"ab":3},"merges":["a b"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	template, err := chattemplate.Parse("{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}", chattemplate.Options{EOS: "<|im_end|>"})
	if err != nil {
		t.Fatal(err)
	}
	format, err := chattemplate.NewFormat(template, tok)
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range []string{"llama", "llama-linear", "llama-tied-llama3", "llama-yarn", "llama-dynamic", "mistral", "qwen2", "qwen3", "smollm3"} {
		base, err := lm.Open(filepath.Join("../transformer/testdata", family))
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		m, err := merge.New(base, nil)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		err = m.WriteGGUF(&b, lm.F32, family, format)
		if want := map[string]string{"smollm3": "rotary embedding", "llama-dynamic": "dynamic"}[family]; want != "" { // this one's layers are not llama.cpp's
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", family, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", family, err)
			continue
		}
		path := filepath.Join(t.TempDir(), "model.gguf")
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := lm.Open(path)
		if err != nil {
			t.Errorf("%s: %v", family, err)
			continue
		}
		defer got.Close()
		last := func(m *lm.Model) []float32 {
			tr, err := transformer.New(m, transformer.Options{})
			if err != nil {
				t.Fatal(err)
			}
			l, err := tr.Decoder().Append(t.Context(), []int32{1, 5, 3, 9, 2, 7, 4, 4, 8})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		if d := furthest(last(base), last(got)); d > 1e-4 {
			t.Errorf("%s: logits are off by %.3g after GGUF", family, d)
		}
	}
}

// TestLlamaCutsTheSameTokens writes each family's tokenizer into a GGUF file, and holds llama.cpp's tokens against ours.
func TestLlamaCutsTheSameTokens(t *testing.T) {
	p := pool(t)
	texts := []string{"Hello world", " leading", "trailing  ", "a  b   c", "tabs\tand\nlines\n\n\nx", "123 4567 89012", "don't we'LL I'm", "PogChamp KEKW LULW!!!", "x=y+z; // ok",
		"naïve café", "日本語のテキスト", "한국어", "مرحبا بالعالم", "😂👩‍👩‍👧 ok", "a\u200db", "…—“quoted”", "ＡＢＣ", "1\u0301", "<0x41>", "▁", "\u00a0nbsp", "UPPER lower MiXeD", "https://example.org/a?b=c", ""}
	for name, want := range map[string]string{"gpt2": "gpt-2", "llama3": "llama-bpe", "qwen2": "qwen2", "smollm2": "smollm", "llama2": "default", "mistral": "default",
		"gpt2-prefix": "", "unigram": "", "unigram-bytes": "", "inverted": "", "previous": "", "merged": "", "tekken": ""} {
		data, err := os.ReadFile(filepath.Join("../tokenizer/testdata", name+".json.gz"))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if data, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.FromJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			if _, err := tok.GGUF(tok.Size()); err == nil || !strings.Contains(err.Error(), "cannot be said in GGUF") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		o := opened{specimen.Opened{Model: smallest(t, tok.Size())}}
		template, err := chattemplate.Parse("{% for m in messages %}{{ m.content }}.{% endfor %}", chattemplate.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if o.Format, err = chattemplate.NewFormat(template, tok); err != nil {
			t.Fatal(err)
		}
		file := ggufFile(t, o, merged(t, o, nil), lm.F32)
		back, err := lm.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer back.Close()
		again, err := tokenizer.Open(back)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if pre, _ := back.GGUF.String("tokenizer.ggml.pre"); pre != want {
			t.Errorf("%s: tokenizer.ggml.pre is %q", name, pre)
		}
		for _, text := range texts {
			if name == "mistral" && strings.TrimLeft(text, " ▁") != text {
				continue // see [tokenizer.Tokenizer.GGUF]
			}
			ids, err := tok.Encode(text, false)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := again.Encode(text, false); err != nil || !slices.Equal(got, ids) {
				t.Errorf("%s: %q has the tokens %v, after GGUF %v (%v)", name, text, ids, got, err)
			}
			raw, _, err := p.Call(t.Context(), native.MethodTokenize, native.TokenizeParams{LMParams: native.LMParams{Model: file}, Text: text}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var theirs native.Tokens
			if err := json.Unmarshal(raw, &theirs); err != nil {
				t.Fatal(err)
			}
			same := len(theirs.IDs) == len(ids)
			for i := range ids {
				same = same && int(theirs.IDs[i]) == ids[i]
			}
			if !same {
				t.Errorf("%s: %q has the tokens %v, in llama.cpp %v", name, text, ids, theirs.IDs)
			}
		}
	}
}

// smallest is a model of zeros for a vocabulary.
func smallest(t testing.TB, vocabulary int) *lm.Model {
	t.Helper()
	dir := t.TempDir()
	config := `{"model_type":"llama","hidden_size":32,"intermediate_size":32,"num_hidden_layers":1,"num_attention_heads":1,"max_position_embeddings":512,"tie_word_embeddings":true,"vocab_size":` + strconv.Itoa(vocabulary) + `}`
	c, err := lm.ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for name, shape := range c.TensorShapes() {
		size := 4
		for _, d := range shape {
			size *= d
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: "F32", Shape: shape, Data: make([]byte, size)})
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"config.json": []byte(config), "model.safetensors": b.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := lm.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}
