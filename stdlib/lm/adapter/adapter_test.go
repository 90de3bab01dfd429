package adapter

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"banter/stdlib/lm"
	"banter/stdlib/lm/gguf"
)

// tiny is the shape for which testdata/golden.py had PEFT make an adapter.
var tiny = lm.Config{Architecture: "llama", Layers: 2, Hidden: 16, Intermediate: 24, Heads: 4, KVHeads: 2, HeadDim: 4, Vocab: 40, MaxPositions: 64, NormEps: 1e-6, RopeTheta: 10000}

func fromPEFT(t *testing.T) *Adapter {
	t.Helper()
	a, err := Read("testdata/peft")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestReadPEFT(t *testing.T) {
	a := fromPEFT(t)
	if a.Rank != 2 || a.Alpha != 6 || a.Scale() != 3 || a.BaseName != "tiny" || !slices.Equal(a.Targets, []string{"down_proj", "q_proj", "v_proj"}) || len(a.Pairs) != 6 {
		t.Fatalf("%+v", a)
	}
	if err := a.Check(tiny, "any"); err != nil {
		t.Fatal(err)
	}
	// What PEFT computed for x = [0, 1/16, …, 15/16] through layer 1's q_proj, printed by golden.py.
	want := []float64{-0.026977870613336563, 0.023813486099243164, 0.07887707650661469, -0.008596424013376236, -0.08670090138912201, 0.08248943090438843,
		0.04260881245136261, -0.044056911021471024, -0.04145663231611252, -0.14126455783843994, -0.18734435737133026, 0.022039810195565224,
		0.06109266355633736, -0.0016427012160420418, 0.04204700142145157, -0.08853186666965485}
	p := a.Pairs["model.layers.1.self_attn.q_proj"]
	for out := range p.Out {
		var y float64
		for r := range a.Rank {
			var h float64
			for in := range p.In {
				h += float64(p.A[r*p.In+in]) * float64(in) / 16
			}
			y += h * float64(p.B[out*a.Rank+r])
		}
		if y *= a.Scale(); math.Abs(y-want[out]) > 1e-6 {
			t.Errorf("output %d is %v, want %v", out, y, want[out])
		}
	}
}

func TestWriteReadsBack(t *testing.T) {
	a := fromPEFT(t)
	a.Base, a.RankStabilized = "0123456789abcdef", true
	dirs := []string{t.TempDir(), t.TempDir()}
	for _, dir := range dirs {
		if err := a.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	b, err := Read(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) || a.Digest() != b.Digest() {
		t.Errorf("came back as %+v", b)
	}
	for _, name := range []string{configFile, weightsFile} {
		x, err := os.ReadFile(filepath.Join(dirs[0], name))
		if err != nil {
			t.Fatal(err)
		}
		if y, err := os.ReadFile(filepath.Join(dirs[1], name)); err != nil || !bytes.Equal(x, y) {
			t.Errorf("%s differs from one writing to the next: %v", name, err)
		}
	}
	c := a.Clone()
	c.Pairs["model.layers.0.mlp.down_proj"].B[0]++
	if c.Digest() == a.Digest() {
		t.Error("another factor, the same digest")
	}
}

// TestWeightsAreWhatPEFTWrites holds the tensors file against PEFT's own, byte for byte.
func TestWeightsAreWhatPEFTWrites(t *testing.T) {
	want, err := os.ReadFile("testdata/peft/" + weightsFile)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := fromPEFT(t).WriteSafetensors(&got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes differ from PEFT's %d", got.Len(), len(want))
	}
}

func TestGGUFRowsAreInterleaved(t *testing.T) {
	a := fromPEFT(t)
	a.RankStabilized = true
	var b bytes.Buffer
	if err := a.WriteGGUF(&b, tiny); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if kind, _ := f.String("general.type"); kind != "adapter" {
		t.Errorf("general.type %q", kind)
	}
	if kind, _ := f.String("adapter.type"); kind != "lora" {
		t.Errorf("adapter.type %q", kind)
	}
	// llama.cpp scales by alpha/rank: with rank 2 and rsLoRA's 6/sqrt(2) that wants 12/sqrt(2).
	if alpha, _ := f.Float("adapter.lora.alpha"); math.Abs(alpha-12/math.Sqrt2) > 1e-6 {
		t.Errorf("alpha %v", alpha)
	}
	got := map[string]gguf.Tensor{}
	for _, x := range f.Tensors {
		got[x.Name] = x
	}
	if len(got) != 12 || !reflect.DeepEqual(got["blk.0.attn_q.weight.lora_a"].Shape, []int{2, 16}) || !reflect.DeepEqual(got["blk.1.ffn_down.weight.lora_b"].Shape, []int{16, 2}) {
		t.Fatalf("tensors %v", f.Tensors)
	}
	q := a.Pairs["model.layers.1.self_attn.q_proj"].B
	var want []float32
	for _, row := range []int{0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15} { // heads of 4: pairs (0,2), (1,3)
		want = append(want, q[2*row], q[2*row+1])
	}
	if !bytes.Equal(got["blk.1.attn_q.weight.lora_b"].Data, floatBytes(want)) {
		t.Error("q's rows are not in llama.cpp's order")
	}
	if !bytes.Equal(got["blk.1.attn_v.weight.lora_b"].Data, floatBytes(a.Pairs["model.layers.1.self_attn.v_proj"].B)) {
		t.Error("v's rows were moved")
	}
	qwen := tiny
	qwen.Architecture = "qwen2"
	b.Reset()
	if err := a.WriteGGUF(&b, qwen); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b.Bytes(), floatBytes(q)) {
		t.Error("qwen2's q rows were moved")
	}
}

func TestAdapterForAnotherBase(t *testing.T) {
	a := fromPEFT(t)
	a.Base = "aaaaaaaaaaaaaaaa"
	wide := tiny
	wide.Hidden = 32
	shallow := tiny
	shallow.Layers = 1
	for _, c := range []struct {
		base         lm.Config
		digest, want string
	}{{tiny, "bbbbbbbbbbbbbbbb", "another base"}, {wide, "", "[16, 24] but the base has [32, 24]"}, {shallow, "", "model.layers.1"}} {
		if err := a.Check(c.base, c.digest); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q in it", err, c.want)
		}
	}
	if err := a.Check(tiny, a.Base); err != nil {
		t.Error(err)
	}
}

func TestBadAdaptersAreRefused(t *testing.T) {
	good, err := os.ReadFile("testdata/peft/" + configFile)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile("testdata/peft/" + weightsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"use_dora": false`, `"use_dora": true`, "use_dora"},
		{`"bias": "none"`, `"bias": "all"`, "bias"},
		{`"modules_to_save": null`, `"modules_to_save": ["lm_head"]`, "modules_to_save"},
		{`"rank_pattern": {}`, `"rank_pattern": {"q_proj": 4}`, "differs by layer"},
		{`"r": 2`, `"r": 3`, "rank 2, adapter_config.json says 3"},
		{`"r": 2`, `"r": -1`, "r is -1"},
		{`"peft_type": "LORA"`, `"peft_type": "IA3"`, "IA3"},
		{`{`, ``, "adapter_config.json"},
	} {
		dir := t.TempDir()
		config := strings.Replace(string(good), c.old, c.new, 1)
		if config == string(good) {
			t.Fatalf("%q is not in the file", c.old)
		}
		for name, data := range map[string][]byte{configFile: []byte(config), weightsFile: weights} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.new, err)
		}
	}
	if _, err := New(tiny, 0, 1, []string{"q_proj"}); err == nil {
		t.Error("rank 0")
	}
	if _, err := New(tiny, 1, 1, []string{"lm_head"}); err == nil {
		t.Error("an adapter on lm_head")
	}
	a, err := New(tiny, 4, 8, []string{"up_proj", "q_proj", "q_proj"})
	if err != nil || len(a.Pairs) != 4 || a.Parameters() != 2*(4*(16+16)+4*(16+24)) {
		t.Errorf("%+v, %v", a, err)
	}
	a.Pairs["model.layers.0.mlp.up_proj"].A[3] = float32(math.Inf(1))
	if err := a.Write(t.TempDir()); err == nil || !strings.Contains(err.Error(), "model.layers.0.mlp.up_proj") {
		t.Errorf("an infinite factor was written: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	config, err := os.ReadFile("testdata/peft/" + configFile)
	if err != nil {
		f.Fatal(err)
	}
	weights, err := os.ReadFile("testdata/peft/" + weightsFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(config, weights)
	f.Fuzz(func(t *testing.T, config, weights []byte) {
		a, err := parseConfig(config)
		if err != nil {
			return
		}
		if a.parseWeights(weights) == nil {
			a.Digest()
		}
	})
}
