package native_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banter/internal/worker"
	"banter/internal/worker/native"
)

// engine starts the real worker, or skips the test where it was not built.
func engine(t *testing.T) *worker.Pool {
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

func call[R any](t *testing.T, p *worker.Pool, method string, params any, payload []byte) (R, []byte) {
	t.Helper()
	raw, out, err := p.Call(t.Context(), method, params, payload)
	if err != nil {
		t.Fatal(err)
	}
	var r R
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return r, out
}

// file returns a path from the repository's root, or skips the test where there is no such file.
func file(t *testing.T, elements ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"..", "..", ".."}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not here", path)
	}
	return path
}

func TestInfo(t *testing.T) {
	info, _ := call[native.Info](t, engine(t), native.MethodInfo, nil, nil)
	if info.Whisper == "" || info.Llama == "" || info.GGML == "" {
		t.Errorf("versions are missing: %+v", info)
	}
	cpu := false
	for _, d := range info.Devices {
		cpu = cpu || d.Kind == "cpu"
	}
	if !cpu {
		t.Errorf("there is no CPU among the devices: %+v", info.Devices)
	}
}

func TestLanguageModel(t *testing.T) {
	p := engine(t)
	m := native.LMParams{Model: file(t, "testdata", "models", "lm-micro", "lm-micro-f16.gguf"), Threads: 2}
	info, _ := call[native.LMInfo](t, p, native.MethodModel, m, nil)
	if info.Width != 128 || info.Layers != 5 || info.Vocabulary != 1280 || !strings.Contains(info.ChatTemplate, "im_start") {
		t.Errorf("the model is %+v", info)
	}

	text := "Do I take the shield or the hammer?"
	tokens, _ := call[native.Tokens](t, p, native.MethodTokenize, native.TokenizeParams{LMParams: m, Text: text}, nil)
	var joined []byte
	for _, piece := range tokens.Pieces {
		joined = append(joined, piece...)
	}
	if string(joined) != text {
		t.Errorf("the tokens' pieces read %q", joined)
	}

	prompt := "<|im_start|>user\n" + text + "<|im_end|>\n<|im_start|>assistant\n"
	g := native.GenerateParams{LMParams: m, Prompt: prompt, MaxTokens: 24}
	greedy, _ := call[native.Generated](t, p, native.MethodGenerate, g, nil)
	if greedy.Text == "" || len(greedy.IDs) == 0 || greedy.Ended != "end of text" {
		t.Fatalf("generated %+v", greedy)
	}
	// Generation and scoring are two ways through the model: what the one says of its own tokens the other must say too.
	ids, _ := call[native.Tokens](t, p, native.MethodTokenize, native.TokenizeParams{LMParams: m, Text: prompt, Special: true}, nil)
	s, _ := call[native.Scores](t, p, native.MethodScore, native.ScoreParams{LMParams: m, Tokens: append(ids.IDs, greedy.IDs...)}, nil)
	var sum float64
	for _, v := range s.LogProbs[len(ids.IDs):] {
		sum += v
	}
	if math.Abs(sum-greedy.LogProb) > 0.02 || sum >= 0 {
		t.Errorf("generated with log probability %v, scored as %v", greedy.LogProb, sum)
	}

	g.Temperature, g.Seed = 1.5, 7
	one, _ := call[native.Generated](t, p, native.MethodGenerate, g, nil)
	two, _ := call[native.Generated](t, p, native.MethodGenerate, g, nil)
	if one.Text != two.Text {
		t.Errorf("one seed gave %q and %q", one.Text, two.Text)
	}
	g.Temperature, g.Stop = 0, []string{greedy.Text[2:4]}
	if cut, _ := call[native.Generated](t, p, native.MethodGenerate, g, nil); cut.Ended != "stop" || !strings.HasPrefix(greedy.Text, cut.Text) || cut.Text == greedy.Text {
		t.Errorf("with a stop text, generated %+v of %q", cut, greedy.Text)
	}

	e, out := call[native.Embedding](t, p, native.MethodEmbed, native.EmbedParams{LMParams: m, Texts: []string{text, "Do I take the shield or the key?", "The soup is burning!", ""}}, nil)
	v, err := native.Floats(out)
	if err != nil || e.Count != 4 || len(v) != 4*e.Width {
		t.Fatalf("%+v with %d numbers (%v)", e, len(v), err)
	}
	dot := func(i, j int) (d float64) {
		for k := range e.Width {
			d += float64(v[i*e.Width+k]) * float64(v[j*e.Width+k])
		}
		return d
	}
	if math.Abs(dot(0, 0)-1) > 1e-5 || dot(3, 3) != 0 || dot(0, 1) <= dot(0, 2) {
		t.Errorf("lengths %v and %v; likeness of near texts %v, of far ones %v", dot(0, 0), dot(3, 3), dot(0, 1), dot(0, 2))
	}
}

// TestStories checks a model that others trained: its story must be likelier than the same words in another order.
func TestStories(t *testing.T) {
	p := engine(t)
	m := native.LMParams{Model: file(t, "..", "shared", "data", "lm", "stories260K.gguf"), Threads: 2}
	score := func(text string) (sum float64) {
		s, _ := call[native.Scores](t, p, native.MethodScore, native.ScoreParams{LMParams: m, Text: text}, nil)
		for _, v := range s.LogProbs {
			sum += v
		}
		return sum
	}
	story, shuffled := score("Once upon a time, there was a little girl."), score("girl there a upon little Once was time, a.")
	if story < shuffled+10 {
		t.Errorf("a story has log probability %v, its words shuffled %v", story, shuffled)
	}
	g, _ := call[native.Generated](t, p, native.MethodGenerate, native.GenerateParams{LMParams: m, Prompt: "Once upon a time", MaxTokens: 20}, nil)
	if g.Ended != "length" || len(g.IDs) != 20 || !strings.Contains(g.Text, "there was") {
		t.Errorf("the story goes on with %q (%s)", g.Text, g.Ended)
	}
}

// TestBadInput checks that what native code would choke on is a clear failure, and the worker lives on.
func TestBadInput(t *testing.T) {
	p := engine(t)
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	asr := file(t, "testdata", "models", "asr-micro-q8_0.bin")
	whole, err := os.ReadFile(asr)
	if err != nil {
		t.Fatal(err)
	}
	lm := file(t, "testdata", "models", "lm-micro", "lm-micro-f16.gguf")
	pcm := native.Bytes(make([]float32, 16000))
	nan := native.Bytes([]float32{0, float32(math.NaN())})
	speech := func(path string) native.TranscribeParams {
		return native.TranscribeParams{Model: path, Threads: 1, Language: "en"}
	}
	other := speech(asr)
	other.Language = "xx"
	heads := speech(asr)
	heads.DTWHeads = []native.Head{{Layer: 99}}
	for _, c := range []struct {
		name, method string
		params       any
		payload      []byte
		want         string
	}{
		{"no file", native.MethodTranscribe, speech(filepath.Join(dir, "none")), pcm, "no such file"},
		{"empty model", native.MethodTranscribe, speech(write("empty", "")), pcm, "does not take this model"},
		{"wrong mark", native.MethodTranscribe, speech(write("text", strings.Repeat("no model ", 99))), pcm, "bad magic"},
		{"truncated model", native.MethodTranscribe, speech(write("cut", string(whole[:len(whole)/2]))), pcm, "does not take this model"},
		{"unknown language", native.MethodTranscribe, other, pcm, `no language "xx"`},
		{"no such head", native.MethodTranscribe, heads, pcm, "no head 0 in layer 99"},
		{"not a number", native.MethodTranscribe, speech(asr), nan, "sample 1 is NaN"},
		{"half a sample", native.MethodTranscribe, speech(asr), pcm[:7], "no whole number"},
		{"speech model as language model", native.MethodModel, native.LMParams{Model: asr}, nil, "llama.cpp does not take"},
		{"token out of range", native.MethodScore, native.ScoreParams{LMParams: native.LMParams{Model: lm}, Tokens: []int32{1, 99999}}, nil, "no token 99999"},
		{"too long", native.MethodScore, native.ScoreParams{LMParams: native.LMParams{Model: lm}, Text: strings.Repeat("a b ", 5000)}, nil, "trained on"},
		{"adapter that is none", native.MethodModel, native.LMParams{Model: lm, Adapter: write("adapter", "nothing")}, nil, "does not take this adapter"},
	} {
		_, _, err := p.Call(t.Context(), c.method, c.params, c.payload)
		var f *worker.Failure
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want a failure with %q", c.name, err, c.want)
		}
	}
}

// TestCancel checks that a transcription ends soon after its context does.
func TestCancel(t *testing.T) {
	p := engine(t)
	if _, err := p.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	params := native.TranscribeParams{Model: file(t, "testdata", "models", "asr-micro-q8_0.bin"), Threads: 1}
	if _, _, err := p.Call(ctx, native.MethodTranscribe, params, native.Bytes(make([]float32, 16000*60))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancellation", err)
	}
}

func TestFloats(t *testing.T) {
	want := []float32{0, 1, -2.5, float32(math.Inf(1)), math.SmallestNonzeroFloat32}
	got, err := native.Floats(native.Bytes(want))
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %v (%v)", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("number %d is %v, want %v", i, got[i], want[i])
		}
	}
}
