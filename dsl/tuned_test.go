package dsl

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banter/internal/worker"
	"banter/stdlib/lm"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
)

// withTuned runs body with an adapter that was trained for three steps on a base.
func withTuned(t *testing.T, base string, body func(n *notebook, tuned Tuned, rows Rows)) {
	t.Helper()
	if testing.Short() {
		t.Skip("it aligns a stream and trains an adapter")
	}
	onStream(t, nil, func(n *notebook, _ Streams, words Transcripts) {
		rows := Dataset(Filter(Align(words), FDR.AtMost(0.1)))
		body(n, Train(rows, Base(base), LoRA(Rank(2)), Steps(3), LearningRate(0.01), Batch(2, 1), MaxLength(96)), rows)
	})
}

// contents reads all files below a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[filepath.Base(path)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// failure is the error with which f stops its cell.
func failure(t *testing.T, f func()) string {
	t.Helper()
	var text string
	func() {
		defer func() {
			if e, ok := recover().(*Error); ok {
				text = e.Error()
			}
		}()
		f()
	}()
	return text
}

const microFolder, microGGUF = "../testdata/models/lm-micro", "../testdata/models/lm-micro/lm-micro-f16.gguf"

func TestExportsOfATunedModel(t *testing.T) {
	withTuned(t, microFolder, func(_ *notebook, tuned Tuned, rows Rows) {
		s := current()
		report := Eval(tuned, Holdout(rows), RankAtMost(2), AskAtMost(2), Resamples(20), Candidates(5))
		out := func(name string) string { return filepath.Join(s.Out(), name) }

		Export(tuned, "adapter", Measured(report))
		files := contents(t, out("adapter"))
		for _, name := range []string{"adapter_config.json", "adapter_model.safetensors", "adapter.gguf", "run.json", "README.md"} {
			if files[name] == "" {
				t.Errorf("the adapter's folder has no %s", name)
			}
		}
		card := files["README.md"]
		for _, want := range []string{"library_name: peft", "LoRA of rank 2", "| perplexity | lower |", string(tuned.step.Key), `"rule":"fdr"`, "does not say under which licence"} {
			if !strings.Contains(card, want) {
				t.Errorf("the model card has no %q:\n%s", want, card)
			}
		}

		Export(tuned, "merged", Merged())
		merged, err := lm.Open(out("merged"))
		if err != nil {
			t.Fatal(err)
		}
		defer merged.Close()
		if w, _ := merged.Weights.Tensor("model.embed_tokens.weight"); w.Type != lm.F16 {
			t.Errorf("merged as %v", w.Type)
		}
		Export(tuned, "merged32", Merged("F32"))
		if a, b := len(contents(t, out("merged"))["model.safetensors"]), len(contents(t, out("merged32"))["model.safetensors"]); b < a*3/2 {
			t.Errorf("%d bytes as F16, %d as F32", a, b)
		}

		Export(tuned, "small.gguf", GGUF("Q8_0"))
		small, err := lm.Open(out("small.gguf"))
		if err != nil {
			t.Fatal(err)
		}
		defer small.Close()
		Export(tuned, "ollama", Ollama(), SystemPrompt("You are one viewer."))
		files = contents(t, out("ollama"))
		if m := files["Modelfile"]; !strings.HasPrefix(m, "FROM ./base.gguf\nADAPTER ./adapter.gguf\nTEMPLATE ") || !strings.Contains(m, `SYSTEM """You are one viewer."""`) || files["base.gguf"] == "" || files["adapter.gguf"] == "" {
			t.Errorf("Modelfile %s", m)
		}
		Export(tuned, "ollama8", Ollama("Q8_0"))
		files = contents(t, out("ollama8"))
		if m := files["Modelfile"]; !strings.HasPrefix(m, "FROM ./model.gguf\nTEMPLATE ") || files["model.gguf"] == "" || files["adapter.gguf"] != "" {
			t.Errorf("Modelfile %s", m)
		}

		before := len(s.Ran())
		Export(tuned, "again", Merged())
		if ran := s.Ran()[before:]; len(ran) != 1 || ran[0].Outcome == 0 {
			t.Errorf("a second export was made anew: %+v", ran)
		}
		for name, f := range map[string]func(){
			"use F32, F16 or BF16":     func() { Export(tuned, "x", Merged("Q8_0,F32")) },
			"are not known":            func() { Export(tuned, "x", GGUF("Q3")) },
			"has its place in":         func() { Export(tuned, "x", Merged(), SystemPrompt("hi")) },
			"are for what Train gives": func() { Export(rows, "x", Merged()) },
			"is not a path inside":     func() { Export(tuned, "../x", Merged()) },
		} {
			if text := failure(t, f); !strings.Contains(text, name) {
				t.Errorf("got %q, want %q in it", text, name)
			}
		}
	})
}

// TestEngineServesGGUF holds a base that is a GGUF file: llama.cpp answers, and quantizes.
func TestEngineServesGGUF(t *testing.T) {
	if _, err := worker.Find(""); err != nil {
		if os.Getenv("BANTER_REQUIRE_ENGINE") != "" {
			t.Fatal(err)
		}
		t.Skip("the native worker is not built: ", err)
	}
	withTuned(t, microGGUF, func(_ *notebook, tuned Tuned, rows Rows) {
		s := current()
		options := []SampleOption{Prompts("Should we add garlic or honey to the soup?", "Hello everyone."), Temperature(0), MaxTokens(12)}
		served := Sample(tuned, options...)
		if served.step.Varies == "" || !strings.Contains(served.step.Parts[1].Value+served.step.Parts[0].Value, "llama") {
			parts, _ := json.Marshal(served.step.Parts)
			t.Errorf("the key does not say that llama.cpp answered: %s", parts)
		}
		a, err := s.adapter(tuned)
		if err != nil {
			t.Fatal(err)
		}
		own, err := openVoices(t.Context(), tuned.base, a, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		var o sampleOptions
		for _, set := range options {
			set.sample(&o)
		}
		for i, got := range served.All() {
			turns := []chattemplate.Message{{Role: "user", Content: o.Prompts[i].Prompt}}
			for text, from := range map[*string]generate.Voice{&got.Base: own.plain, &got.Tuned: own.tuned} {
				want, err := from.Answer(t.Context(), turns, o.Generate, nil)
				if err != nil || want.Text != *text {
					t.Errorf("the answer is %q in llama.cpp, %q here (%v)", *text, want.Text, err)
				}
			}
		}
		suite := filepath.Join(t.TempDir(), "suite.yaml")
		if err := os.WriteFile(suite, []byte("name: manner\ncases:\n  - name: bored\n    prompt: Hello everyone.\n    samples: 2\n    require:\n      - judge: it sounds bored\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		few := []EvalOption{RankAtMost(2), AskAtMost(2), Resamples(20), Candidates(5), Suite(suite)}
		judged := Eval(tuned, Holdout(rows), append(few, Judge(microGGUF))...)
		if r := judged.Result(); len(r.Suites) != 1 || len(r.Suites[0].Cases[0].Tuned) != 2 || judged.step.Varies == "" || r.General == nil || r.Leaks == nil || r.Style.Timing == nil {
			t.Errorf("judged: %+v", r.Suites)
		}
		if text := failure(t, func() { Eval(tuned, Holdout(rows), few...) }); !strings.Contains(text, "name a GGUF model with Judge") {
			t.Errorf("a rubric without its judge: %q", text)
		}
		if text := failure(t, func() { Gate(judged, DriftAtMost(-1), PlainLanguageHolds(1e9), NoLeaks()) }); !strings.Contains(text, "wanted general drift at most -1") || strings.Contains(text, "rise") {
			t.Errorf("the gate says %q", text)
		}
		Export(tuned, "q4.gguf", GGUF("Q4_K"))
		info, err := os.Stat(filepath.Join(s.Out(), "q4.gguf"))
		whole, err2 := os.Stat(microGGUF)
		if err != nil || err2 != nil || info.Size() > whole.Size()*2/3 {
			t.Errorf("Q4_K: %v, %v, %v", info, err, err2)
		}
		Export(tuned, "ollama", Ollama())
		base, err := os.ReadFile(microGGUF)
		if err != nil || !bytes.Equal(base, []byte(contents(t, filepath.Join(s.Out(), "ollama"))["base.gguf"])) {
			t.Errorf("the base of Ollama's folder is not the base: %v", err)
		}
		if text := failure(t, func() { Export(tuned, "x", Merged()) }); !strings.Contains(text, "GGUF") {
			t.Errorf("a folder of a GGUF base: %q", text)
		}
	})
}

// asked is a notebook whose user says some lines.
type asked struct {
	notebook
	lines []string
}

func (a *asked) Ask(prompt string) (string, error) {
	if len(a.lines) == 0 {
		return "", errors.New("nobody answers")
	}
	line := a.lines[0]
	a.lines = a.lines[1:]
	return line, nil
}

func TestChatWithATunedModel(t *testing.T) {
	withTuned(t, microFolder, func(_ *notebook, tuned Tuned, rows Rows) {
		s := current()
		cold := []ChatOption{Temperature(0), MaxTokens(10)}
		script := func(turns ...string) []Answered {
			return Chat(tuned, append([]ChatOption{Say(turns...)}, cold...)...).All()
		}
		const question = "Should we add garlic or honey to the soup?"
		two := script(question, "And you?")
		if len(two) != 2 || two[0].Base == "" || two[0].Prompt != question {
			t.Fatalf("%+v", two)
		}
		if one := script(question); one[0] != two[0] {
			t.Errorf("the first turn alone is %+v, %+v with a second", one[0], two[0])
		}
		before := len(s.Ran())
		script(question)
		if ran := s.Ran()[before:]; len(ran) != 1 || ran[0].Outcome == 0 {
			t.Errorf("the same conversation was held again: %+v", ran)
		}

		// A question mark of its own: the user of a notebook types the same turns.
		if text := failure(t, func() { Chat(tuned) }); !strings.Contains(text, "nobody here to talk with") {
			t.Errorf("without a user: %q", text)
		}
		s.front = &asked{lines: []string{question, "And you?", "/new", question, ""}}
		typed := Chat(tuned, cold...)
		all := typed.All()
		if len(all) != 3 || all[0] != two[0] || all[1] != two[1] || all[2] != two[0] {
			t.Errorf("typed turns give %+v, scripted ones %+v", all, two)
		}
		if html := typed.MimeBundle()["text/html"].(string); !strings.Contains(html, "garlic") {
			t.Error("the conversation is not shown")
		}
		for want, f := range map[string]func(){
			"this is a dsl.Rows":    func() { Chat(rows) },
			"have no options here":  func() { Chat("chat/*.json", Say("x")) },
			"holds no chat logs":    func() { Load("x", typed) },
			"temperature is -1":     func() { Chat(tuned, Say("x"), Temperature(-1)) },
			"the pattern of the":    func() { Chat("") },
			"repetition penalty is": func() { Chat(tuned, Say("x"), Repetition(-2)) },
		} {
			if text := failure(t, f); !strings.Contains(text, want) {
				t.Errorf("got %q, want %q in it", text, want)
			}
		}
		if text := Chat("chat/*.json").String(); text != "chat logs chat/*.json" {
			t.Error(text)
		}
	})
}
