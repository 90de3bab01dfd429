package dsl

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"banter/dsl/memo"
	"banter/internal/worker"
)

// microLM is a language model that the native worker takes.
const microLM = "../testdata/models/lm-micro/lm-micro-f16.gguf"

func TestEmbedderEntersTheKey(t *testing.T) {
	if _, err := worker.Find(""); err != nil {
		if os.Getenv("BANTER_REQUIRE_ENGINE") != "" {
			t.Fatal(err)
		}
		t.Skip("the native worker is not built: ", err)
	}
	l := newLab(t, "a")
	here := filepath.Join(l.dir, "there", "other-name.gguf")
	weights, err := os.ReadFile(microLM)
	if err != nil {
		t.Fatal(err)
	}
	l.write(here, string(weights))
	var pairs [][]Pair
	align := func(options ...AlignOption) memo.Outcome {
		out, err := l.say(func() { pairs = append(pairs, Align(Words(Load(l.streams), l.words), options...).All()) })
		if err != nil {
			t.Fatal(err)
		}
		return out["align"]
	}
	if align() != memo.Made || align(Embedder(microLM)) != memo.Made {
		t.Error("an embedder changes nothing in the key")
	}
	if align(Embedder(here)) == memo.Made {
		t.Error("the same model elsewhere is another one to the key")
	}
	if err := os.WriteFile(filepath.Join(l.dir, "empty"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	weights[len(weights)-1] ^= 1
	l.write(here, string(weights))
	if align(Embedder(here)) != memo.Made {
		t.Error("another model is the same one to the key")
	}
	if !reflect.DeepEqual(pairs[1], pairs[2]) || len(pairs[1]) == 0 {
		t.Errorf("%d and %d pairs", len(pairs[1]), len(pairs[2]))
	}
	if slices.Equal(pairs[0], pairs[1]) {
		t.Error("the embedder is not asked: the pairs are those of the corpus's own vectors, bit by bit")
	}
}

// TestExplainAsksTheEmbedder: what explains pairs is aligned as they were.
func TestExplainAsksTheEmbedder(t *testing.T) {
	if _, err := worker.Find(""); err != nil {
		t.Skip("the native worker is not built: ", err)
	}
	l := newLab(t, "a")
	model := filepath.Join(l.dir, "there", "model.gguf")
	weights, err := os.ReadFile(microLM)
	if err != nil {
		t.Fatal(err)
	}
	l.write(model, string(weights))
	var pairs Pairs
	_, err = l.say(func() {
		pairs = Filter(Align(Words(Load(l.streams), l.words), Embedder(model)), Confidence.AtLeast(0.01))
		for i, p := range pairs.All() {
			if e := pairs.Explain(i); e.Pair.Confidence != p.Confidence {
				t.Errorf("pair %d has the confidence %v and is explained as one of %v", i, p.Confidence, e.Pair.Confidence)
			}
		}
	})
	if err != nil || pairs.Len() == 0 {
		t.Fatalf("%d pairs, %v", pairs.Len(), err)
	}
}

func TestEmbedderRefuses(t *testing.T) {
	l := newLab(t, "a")
	for name, want := range map[string]string{
		"../testdata/models/lm-micro":           "no GGUF language model",
		"no-such-model":                         "neither a model of that name nor such a file",
		"../testdata/models/asr-micro-q8_0.bin": "no GGUF language model",
	} {
		_, err := l.say(func() { Align(Words(Load(l.streams), l.words), Embedder(name)) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that says %q", name, err, want)
		}
	}
}
