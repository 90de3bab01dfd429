// Package ollama writes Modelfiles, which tell Ollama how to serve a model. A model's own way of writing conversations
// flows in; a Modelfile with the same conversations as a template of Ollama's kind flows out. The template is tried on
// conversations before it is given away: one that would write anything else than the model's own is refused.
//
// The format is described at https://github.com/ollama/ollama/blob/main/docs/modelfile.md and template.md.
package ollama

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/sampling"
)

// Modelfile is what a Modelfile says.
type Modelfile struct {
	From     string // file name of the GGUF model, beside the Modelfile
	Adapter  string // file name of the GGUF adapter; empty for none
	System   string // empty for none
	Sampling sampling.Sampling
	Context  int // tokens; 0: Ollama's own default
}

// Write returns the Modelfile of a model with the given format.
func (m Modelfile) Write(f *chattemplate.Format) (string, error) {
	text, err := Template(f)
	if err != nil {
		return "", err
	}
	for _, name := range []string{m.From, m.Adapter} {
		if strings.ContainsAny(name, "\"\\/\n\r ") {
			return "", fmt.Errorf("write Modelfile: %q is not a plain file name", name)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "FROM ./%s\n", m.From)
	if m.Adapter != "" {
		fmt.Fprintf(&b, "ADAPTER ./%s\n", m.Adapter)
	}
	quoted, err := block(text)
	if err != nil {
		return "", fmt.Errorf("write Modelfile: template: %w", err)
	}
	fmt.Fprintf(&b, "TEMPLATE %s\n", quoted)
	if m.System != "" {
		if quoted, err = block(m.System); err != nil {
			return "", fmt.Errorf("write Modelfile: system: %w", err)
		}
		fmt.Fprintf(&b, "SYSTEM %s\n", quoted)
	}
	for _, id := range f.Ends() {
		if stop := f.Tokenizer().Token(int(id)); stop != "" && !strings.ContainsAny(stop, "\"\\\n\r") {
			fmt.Fprintf(&b, "PARAMETER stop \"%s\"\n", stop)
		}
	}
	number := func(name string, v, none float64) {
		if v != none && v != 0 {
			fmt.Fprintf(&b, "PARAMETER %s %s\n", name, strconv.FormatFloat(v, 'g', -1, 64))
		}
	}
	number("temperature", m.Sampling.Temperature, 0)
	number("top_k", float64(m.Sampling.TopK), 0)
	number("top_p", m.Sampling.TopP, 1)
	number("min_p", m.Sampling.MinP, 0)
	number("repeat_penalty", m.Sampling.Repetition, 1)
	number("num_ctx", float64(m.Context), 0)
	return b.String(), nil
}

// block quotes text of several lines.
func block(s string) (string, error) {
	if strings.Contains(s, `"""`) || strings.HasSuffix(s, `"`) || strings.HasPrefix(s, `"`) {
		return "", errors.New(`a Modelfile has no way to write text with """, or with " at an end`)
	}
	return `"""` + s + `"""`, nil
}

// The roles of a conversation, in places that can be found again.
const (
	system    = "\uE000s\uE001"
	question  = "\uE000q\uE001"
	answer    = "\uE000a\uE001"
	question2 = "\uE000r\uE001"
)

// Template returns the model's chat template as one of Ollama's. It stands for conversations that begin with the user,
// or with the system and then the user, and in which user and assistant take turns.
func Template(f *chattemplate.Format) (string, error) {
	t := f.Template()
	alone, err := t.Render([]chattemplate.Message{{Role: "user", Content: question}}, true)
	if err != nil {
		return "", refuse(err)
	}
	turns, err := t.Render([]chattemplate.Message{{Role: "user", Content: question}, {Role: "assistant", Content: answer}, {Role: "user", Content: question2}}, true)
	if err != nil {
		return "", refuse(err)
	}
	head, rest, ok := strings.Cut(turns, question)
	middle, rest, ok2 := strings.Cut(rest, answer)
	between, tail, ok3 := strings.Cut(rest, question2)
	if !ok || !ok2 || !ok3 || alone != head+question+tail {
		return "", refuse(errors.New("it writes a turn otherwise once others follow it"))
	}
	begins := literal(head)
	withSystem, err := t.Render([]chattemplate.Message{{Role: "system", Content: system}, {Role: "user", Content: question}}, true)
	if before, after, ok := strings.Cut(withSystem, system); err == nil && ok {
		link, end, ok := strings.Cut(after, question)
		if !ok || end != tail {
			return "", refuse(errors.New("it writes a turn otherwise once there is a system message"))
		}
		begins = "{{ if .System }}" + literal(before) + "{{ .System }}" + literal(link) + "{{ else }}" + begins + "{{ end }}"
	}
	text := begins + `{{ $first := true }}{{ range .Messages }}{{ if eq .Role "user" }}{{ if $first }}{{ $first = false }}{{ else }}` + literal(between) +
		`{{ end }}{{ .Content }}{{ else if eq .Role "assistant" }}` + literal(middle) + `{{ .Content }}{{ end }}{{ end }}` + literal(tail)
	// llama.cpp puts the mark at the beginning itself where the tokenizer does.
	if marks, err := f.Tokenizer().Encode("", true); err == nil && len(marks) > 0 {
		if bos := f.Tokenizer().Token(marks[0]); bos != "" {
			text = withoutFirst(text, literal(bos))
		}
	}
	return text, try(f, text)
}

func refuse(err error) error {
	return fmt.Errorf("this chat template cannot be said as one of Ollama's: %w (write TEMPLATE by hand)", err)
}

// literal is text that a Go template writes as it is.
func literal(s string) string { return strings.ReplaceAll(s, "{{", `{{ "{{" }}`) }

// withoutFirst takes mark from where the text begins, in each branch.
func withoutFirst(text, mark string) string {
	const branch, other = "{{ if .System }}", "{{ else }}"
	if rest, ok := strings.CutPrefix(text, branch); ok {
		with, without, _ := strings.Cut(rest, other)
		return branch + strings.TrimPrefix(with, mark) + other + strings.TrimPrefix(without, mark)
	}
	return strings.TrimPrefix(text, mark)
}

// try runs the template as Ollama does, on conversations of several lengths, against the model's own.
func try(f *chattemplate.Format, text string) error {
	compiled, err := template.New("").Parse(text)
	if err != nil {
		return refuse(err)
	}
	bos := ""
	if marks, err := f.Tokenizer().Encode("", true); err == nil && len(marks) > 0 {
		bos = f.Tokenizer().Token(marks[0])
	}
	type message struct{ Role, Content string }
	for _, roles := range []string{"u", "su", "uau", "suau", "uauau", "suauau"} {
		var own []chattemplate.Message
		var data struct {
			System   string
			Messages []message
		}
		for i, r := range roles {
			m := chattemplate.Message{Role: map[rune]string{'s': "system", 'u': "user", 'a': "assistant"}[r], Content: fmt.Sprintf("Number %d: {{ it }}\nhas <lines> & \"quotes\".", i)}
			own = append(own, m)
			data.Messages = append(data.Messages, message(m))
			if r == 's' {
				data.System = m.Content
			}
		}
		want, err := f.Template().Render(own, true)
		if err != nil {
			if roles[0] == 's' {
				continue // this model takes no system message
			}
			return refuse(err)
		}
		var b strings.Builder
		if err := compiled.Execute(&b, data); err != nil {
			return refuse(err)
		}
		if got := b.String(); got != strings.TrimPrefix(want, bos) {
			return refuse(fmt.Errorf("a conversation of %s comes out as %q, not as %q", strings.Join(slices.Collect(names(own)), ", "), got, want))
		}
	}
	return nil
}

func names(turns []chattemplate.Message) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, m := range turns {
			if !yield(m.Role) {
				return
			}
		}
	}
}
