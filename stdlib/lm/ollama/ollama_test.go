package ollama

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"banter/internal/specimen"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/sampling"
)

func format(t *testing.T, source string, options chattemplate.Options) *chattemplate.Format {
	t.Helper()
	m := specimen.Open(t, "../../../testdata/models/lm-micro")
	if source == "" {
		return m.Format
	}
	parsed, err := chattemplate.Parse(source, options)
	if err != nil {
		t.Fatal(err)
	}
	f, err := chattemplate.NewFormat(parsed, m.Format.Tokenizer())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestModelfile(t *testing.T) {
	got, err := Modelfile{From: "base.gguf", Adapter: "adapter.gguf", System: "You are one viewer of many.\nBe brief.",
		Sampling: sampling.Sampling{Temperature: 0.8, TopP: 0.95, Repetition: 1}, Context: 512}.Write(format(t, "", chattemplate.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	want := `FROM ./base.gguf
ADAPTER ./adapter.gguf
TEMPLATE """{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
<|im_start|>user
{{ else }}<|im_start|>user
{{ end }}{{ $first := true }}{{ range .Messages }}{{ if eq .Role "user" }}{{ if $first }}{{ $first = false }}{{ else }}<|im_end|>
<|im_start|>user
{{ end }}{{ .Content }}{{ else if eq .Role "assistant" }}<|im_end|>
<|im_start|>assistant
{{ .Content }}{{ end }}{{ end }}<|im_end|>
<|im_start|>assistant
"""
SYSTEM """You are one viewer of many.
Be brief."""
PARAMETER stop "<|im_end|>"
PARAMETER temperature 0.8
PARAMETER top_p 0.95
PARAMETER num_ctx 512
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for name, m := range map[string]Modelfile{"a path": {From: "../x.gguf"}, "an instruction": {From: "x.gguf\nADAPTER y"}, "quotes": {From: "x.gguf", System: `He said """hi"""`}, "a quote at the end": {From: "x.gguf", System: `Say "hi"`}} {
		if text, err := m.Write(format(t, "", chattemplate.Options{})); err == nil {
			t.Errorf("%s: wrote %s", name, text)
		}
	}
}

// TestTemplates takes templates in the idioms of published ones. Template itself compares what comes out.
func TestTemplates(t *testing.T) {
	data, err := os.ReadFile("../chattemplate/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Templates map[string]string }
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	marks := chattemplate.Options{BOS: "<s>", EOS: "</s>"}
	for _, name := range []string{"chatml", "header"} {
		text, err := Template(format(t, golden.Templates[name], marks))
		if err != nil || !strings.Contains(text, "{{ .Content }}") {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for name, c := range map[string]struct{ source, want string }{
		"braces":                     {"{% for m in messages %}{{ '{{' + m.role + '}}' + m.content }}</s>{% endfor %}{% if add_generation_prompt %}{{ '{{assistant}}' }}{% endif %}", ""},
		"a standing system":          {"{% if messages[0].role != 'system' %}<sys>You help.</sys>{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}", ""},
		"system inside the question": {"{{ bos_token }}{% set ns = namespace(sys='') %}{% for m in messages %}{% if m.role == 'system' %}{% set ns.sys = '<<' + m.content + '>>' %}{% elif m.role == 'user' %}[INST]{{ ns.sys }}{{ m.content }}[/INST]{% set ns.sys = '' %}{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}", ""},
		"counted turns":              {"{% for m in messages %}<{{ m.role }} {{ loop.index }}>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<assistant {{ messages | length + 1 }}>{% endif %}", "otherwise once others follow"},
		"lengths":                    {"{% for m in messages %}<{{ m.role }}{{ '!' if m.content | length > 10 }}>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}", "comes out as"},
	} {
		_, err := Template(format(t, c.source, marks))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
