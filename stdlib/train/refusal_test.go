package train

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banter/stdlib/lm"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/tokenizer"
)

// copyOfMicro copies the shipped model, with one of its files changed.
func copyOfMicro(t *testing.T, name string, change func([]byte) []byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} {
		data, err := os.ReadFile(filepath.Join(microModel, file))
		if err != nil {
			t.Fatal(err)
		}
		if file == name {
			data = change(data)
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestATruncatedShardIsRefused(t *testing.T) {
	dir := copyOfMicro(t, "model.safetensors", func(b []byte) []byte { return b[:len(b)-1000] })
	if m, err := lm.Open(dir); err == nil {
		m.Close()
		t.Error("it was opened")
	} else if !strings.Contains(err.Error(), "model.safetensors") || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("got %v", err)
	}
}

// TestATemplateThatDoesNotEndTurnsIsRefused: a model that learned from it would never stop.
func TestATemplateThatDoesNotEndTurnsIsRefused(t *testing.T) {
	dir := copyOfMicro(t, "tokenizer_config.json", func(b []byte) []byte {
		changed := bytes.ReplaceAll(b, []byte("<|im_end|>"), nil)
		if bytes.Equal(changed, b) {
			t.Fatal("the template has another mark")
		}
		return changed
	})
	m := openModel(t, dir)
	tok, err := tokenizer.Open(m)
	if err != nil {
		t.Fatal(err)
	}
	f, err := chattemplate.Open(m, tok)
	if err == nil {
		_, err = NewPlan(t.Context(), []Example{{"a", "hi", "yo"}}, f, PlanOptions{})
	}
	if err == nil || !strings.Contains(err.Error(), "end") {
		t.Errorf("got %v", err)
	}
}

func TestAnAdapterKnowsItsBase(t *testing.T) {
	m := openModel(t, tinyModel)
	o := tinyOptions
	o.Steps = 1
	r, err := Run(t.Context(), m, randomPlan(1, 9, 48), o, Machine{Workers: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := m.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if r.Adapter.Base != digest || r.Adapter.Check(m.Config, digest) != nil {
		t.Errorf("it was trained on %q, not %q", digest, r.Adapter.Base)
	}
	if err := r.Adapter.Check(m.Config, strings.Repeat("0", 64)); err == nil || !strings.Contains(err.Error(), "another base") {
		t.Errorf("for a base with the same shape: %v", err)
	}
	micro := openModel(t, microModel)
	if err := r.Adapter.Check(micro.Config, ""); err == nil || !strings.Contains(err.Error(), "layers") {
		t.Errorf("for a base of another shape: %v", err)
	}
}

// TestRankStabilized: only the scale is another, and the files say so.
func TestRankStabilized(t *testing.T) {
	m := openModel(t, tinyModel)
	o := tinyOptions
	o.Steps, o.RankStabilized = 4, true
	plan := randomPlan(1, 9, 48)
	r, err := Run(t.Context(), m, plan, o, Machine{Workers: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	same := o
	same.RankStabilized, same.Alpha = false, r.Adapter.Scale()*float64(o.Rank)
	plain, err := Run(t.Context(), m, plan, same, Machine{Workers: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range plain.Adapter.Pairs {
		for i, v := range p.B {
			if got := r.Adapter.Pairs[name].B[i]; got != v {
				t.Fatalf("%s: B[%d] is %v, with the same scale said as alpha %v", name, i, got, v)
			}
		}
	}
	config, err := r.Adapter.PEFTConfig()
	if err != nil || !bytes.Contains(config, []byte(`"use_rslora": true`)) {
		t.Errorf("%s %v", config, err)
	}
}
