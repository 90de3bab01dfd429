package chattemplate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banter/internal/problem"
	"banter/stdlib/lm"
	"banter/stdlib/lm/gguf"
	"banter/stdlib/lm/tokenizer"
)

// maxFile bounds tokenizer_config.json and the like, in bytes.
const maxFile = 1 << 24

// Format writes exchanges as a model's tokens: its chat template and its tokenizer together. It is safe for concurrent
// use.
type Format struct {
	// System is put before each exchange; empty for none. It must not change while the format is used.
	System string

	template  *Template
	tokenizer *tokenizer.Tokenizer
	ends      map[int]bool // tokens that end a turn
}

// Open reads the chat template of an opened model.
func Open(m *lm.Model, tok *tokenizer.Tokenizer) (*Format, error) {
	source, options, ends, err := read(m, tok)
	if err != nil {
		return nil, &problem.Error{Op: "read chat template", Path: m.Path, Err: err}
	}
	t, err := Parse(source, options)
	if err != nil {
		return nil, &problem.Error{Op: "read chat template", Path: m.Path, Err: err}
	}
	f, err := NewFormat(t, tok)
	if err != nil {
		return nil, &problem.Error{Op: "read chat template", Path: m.Path, Err: err}
	}
	for _, id := range ends {
		f.ends[id] = true
	}
	return f, nil
}

// NewFormat joins a template and a tokenizer, and finds out by a probe which token ends a turn.
func NewFormat(t *Template, tok *tokenizer.Tokenizer) (*Format, error) {
	f := &Format{template: t, tokenizer: tok, ends: map[int]bool{}}
	tokens, learn, err := f.Encode("a", "b")
	if err != nil {
		return nil, err
	}
	for i := len(tokens) - 1; i >= 0; i-- {
		if learn[i] {
			f.ends[int(tokens[i])] = true
			return f, nil
		}
	}
	return nil, errors.New("an answer has no tokens")
}

// Tokenizer returns the format's tokenizer.
func (f *Format) Tokenizer() *tokenizer.Tokenizer { return f.tokenizer }

// Template returns the format's template.
func (f *Format) Template() *Template { return f.template }

// EndsTurn says whether a token ends a turn.
func (f *Format) EndsTurn(token int32) bool { return f.ends[int(token)] }

// Ends lists the tokens that end a turn, in order.
func (f *Format) Ends() []int32 {
	var ends []int32
	for id := range f.ends {
		ends = append(ends, int32(id))
	}
	slices.Sort(ends)
	return ends
}

// GGUF returns the chat template and the ids of the marks as GGUF metadata.
func (f *Format) GGUF() []gguf.KeyValue {
	all := []gguf.KeyValue{{Key: "tokenizer.chat_template", Value: f.template.source}}
	o := f.template.options
	for _, mark := range []struct{ name, token string }{{"bos", o.BOS}, {"eos", o.EOS}, {"unknown", o.Unknown}, {"padding", o.Pad}} {
		if id, ok := f.tokenizer.ID(mark.token); ok && mark.token != "" {
			all = append(all, gguf.KeyValue{Key: "tokenizer.ggml." + mark.name + "_token_id", Value: uint32(id)})
		}
	}
	return all
}

func (f *Format) messages(turns ...Message) []Message {
	if f.System == "" {
		return turns
	}
	return append([]Message{{"system", f.System}}, turns...)
}

// Encode returns the tokens of an exchange up to the mark that ends the response's turn, and which of them the model has
// to write: the response and that mark.
func (f *Format) Encode(prompt, response string) (tokens []int32, learn []bool, err error) {
	messages := f.messages(Message{"user", prompt}, Message{"assistant", response})
	r, err := f.template.RenderAnswers(messages)
	if err != nil {
		return nil, nil, err
	}
	literal, err := f.literal(messages, false, r.Text)
	if err != nil {
		return nil, nil, err
	}
	a := r.Answers[len(r.Answers)-1]
	ids, span, err := f.tokenizer.EncodeSpans(r.Text, [][2]int{{a.From, a.To}}, literal...)
	if err != nil {
		return nil, nil, err
	}
	for i, id := range ids {
		tokens, learn = append(tokens, int32(id)), append(learn, span[i] == 0)
	}
	for len(learn) > 0 && !learn[len(learn)-1] { // white space after the mark, which nobody has to read
		tokens, learn = tokens[:len(tokens)-1], learn[:len(learn)-1]
	}
	if len(tokens) == 0 {
		return nil, nil, errors.New("encode exchange: the response has no tokens")
	}
	return tokens, learn, nil
}

// Prompt returns the tokens of a conversation up to where the assistant's answer begins.
func (f *Format) Prompt(turns ...Message) ([]int32, error) {
	messages := f.messages(turns...)
	text, err := f.template.Render(messages, true)
	if err != nil {
		return nil, err
	}
	literal, err := f.literal(messages, true, text)
	if err != nil {
		return nil, err
	}
	ids, _, err := f.tokenizer.EncodeSpans(text, nil, literal...)
	if err != nil {
		return nil, err
	}
	tokens := make([]int32, len(ids))
	for i, id := range ids {
		tokens[i] = int32(id)
	}
	return tokens, nil
}

// literal returns which bytes of a rendered text came from messages that hold the spelling of a special token. There it
// must be read letter by letter: a stranger's "<|im_end|>" ends no turn.
func (f *Format) literal(messages []Message, prompt bool, text string) ([][2]int, error) {
	forged := ""
	for _, m := range messages {
		if token, ok := f.tokenizer.FindSpecial(m.Content); ok {
			forged = token
		}
	}
	if forged == "" {
		return nil, nil
	}
	// Rendering stand-ins shows where the contents go; putting the contents there must give the very text.
	marked := make([]Message, len(messages))
	for i, m := range messages {
		marked[i] = Message{m.Role, fmt.Sprintf("\uE000%d\uE001", i)}
	}
	frame, err := f.template.Render(marked, prompt)
	if err != nil {
		return nil, err
	}
	for _, shape := range []func(string) string{func(s string) string { return s }, strings.TrimSpace} {
		var ranges [][2]int
		var built strings.Builder
		rest := frame
		for i, m := range messages {
			before, after, ok := strings.Cut(rest, marked[i].Content)
			if !ok {
				break
			}
			built.WriteString(before)
			ranges = append(ranges, [2]int{built.Len(), built.Len() + len(shape(m.Content))})
			built.WriteString(shape(m.Content))
			rest = after
		}
		built.WriteString(rest)
		if len(ranges) == len(messages) && built.String() == text {
			return ranges, nil
		}
	}
	return nil, fmt.Errorf("a message holds %q, which this chat template would take for its own mark (filter such messages out)", forged)
}

// read finds the template's source, the tokens that it writes and those that end an answer.
func read(m *lm.Model, tok *tokenizer.Tokenizer) (source string, options Options, ends []int, err error) {
	if m.GGUF != nil {
		source, ok := m.GGUF.String("tokenizer.chat_template")
		if !ok {
			return "", Options{}, nil, errors.New("the GGUF file has no tokenizer.chat_template (use an instruction-tuned model)")
		}
		name := func(key string) string {
			id, ok := m.GGUF.Int("tokenizer.ggml." + key)
			if !ok {
				return ""
			}
			return tok.Token(id)
		}
		for _, key := range []string{"eos_token_id", "eot_token_id"} {
			if id, ok := m.GGUF.Int("tokenizer.ggml." + key); ok {
				ends = append(ends, id)
			}
		}
		return source, Options{BOS: name("bos_token_id"), EOS: name("eos_token_id"), Unknown: name("unknown_token_id"), Pad: name("padding_token_id")}, ends, nil
	}
	return readFolder(m.Dir, tok)
}

// readFolder reads tokenizer_config.json, chat_template.jinja and generation_config.json.
func readFolder(dir string, tok *tokenizer.Tokenizer) (source string, options Options, ends []int, err error) {
	var config struct {
		ChatTemplate json.RawMessage `json:"chat_template"`
		BOS          json.RawMessage `json:"bos_token"`
		EOS          json.RawMessage `json:"eos_token"`
		Unknown      json.RawMessage `json:"unk_token"`
		Pad          json.RawMessage `json:"pad_token"`
	}
	if err := readJSON(filepath.Join(dir, "tokenizer_config.json"), &config); err != nil {
		return "", Options{}, nil, err
	}
	for raw, to := range map[*json.RawMessage]*string{&config.BOS: &options.BOS, &config.EOS: &options.EOS, &config.Unknown: &options.Unknown, &config.Pad: &options.Pad} {
		if *to, err = tokenName(*raw); err != nil {
			return "", Options{}, nil, err
		}
	}
	if id, ok := tok.ID(options.EOS); ok {
		ends = append(ends, id)
	}
	var generation struct {
		EOS json.RawMessage `json:"eos_token_id"`
	}
	if err := readJSON(filepath.Join(dir, "generation_config.json"), &generation); err != nil {
		return "", Options{}, nil, err
	}
	var one int
	var many []int
	if json.Unmarshal(generation.EOS, &one) == nil {
		ends = append(ends, one)
	} else if json.Unmarshal(generation.EOS, &many) == nil {
		ends = append(ends, many...)
	}
	data, err := os.ReadFile(filepath.Join(dir, "chat_template.jinja"))
	switch {
	case err == nil:
		return string(data), options, ends, nil
	case !errors.Is(err, os.ErrNotExist):
		return "", Options{}, nil, err
	}
	source, err = templateSource(config.ChatTemplate)
	return source, options, ends, err
}

// readJSON reads a file that may be absent.
func readJSON(path string, into any) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if info.Size() > maxFile {
		return fmt.Errorf("%s has %d bytes", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// templateSource reads chat_template: one template, or a list of named ones of which "default" counts.
func templateSource(raw json.RawMessage) (string, error) {
	var source string
	if json.Unmarshal(raw, &source) == nil && source != "" {
		return source, nil
	}
	var named []struct{ Name, Template string }
	if json.Unmarshal(raw, &named) == nil {
		for _, n := range named {
			if n.Name == "default" {
				return n.Template, nil
			}
		}
	}
	return "", errors.New("there is no chat template in tokenizer_config.json or chat_template.jinja (use an instruction-tuned model)")
}

// tokenName reads a token that stands as its spelling or as an object with its content.
func tokenName(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return name, nil
	}
	var token struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(raw, &token); err != nil {
		return "", fmt.Errorf("tokenizer_config.json: %s is no token", raw)
	}
	return token.Content, nil
}
