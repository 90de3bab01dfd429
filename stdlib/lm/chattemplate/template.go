// Package chattemplate writes conversations as a model expects them. A model's Jinja chat template and messages flow in;
// the text that the model reads flows out, with the place of each answer in it, and, through [Format], its tokens.
//
// What is an answer is found out by rendering: the text up to an answer's prompt, the text through the answer and the
// whole text must begin alike. The template's own {% generation %} marks are not asked, because most templates have none,
// and a training that trusts them then learns from nothing at all without saying so.
package chattemplate

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ardanlabs/jinja"
)

// Bounds on what a template may be and do.
const (
	maxSource = 256 << 10 // bytes of template; the longest of published models has 30 KiB
	maxOutput = 64 << 20  // bytes of rendered text
	maxRange  = 1 << 16   // numbers that range() gives
	maxCalls  = 1 << 13   // macro calls in one rendering
	maxTurns  = 1 << 20   // turns of all its loops together
)

// Message is one turn of a conversation.
type Message struct {
	Role    string // "system", "user" or "assistant"
	Content string
}

// Options is what a template reads beside the messages.
type Options struct {
	BOS, EOS, Unknown, Pad string
	// Date is today's for templates that ask; the zero value leaves it undefined, and then templates use a date of their
	// own or are refused. It is never taken from the clock: the same conversation must give the same text tomorrow.
	Date time.Time
}

// Template is a parsed chat template. It is safe for concurrent use.
type Template struct {
	source   string
	compiled *jinja.Template
	options  Options
}

// Parse reads a template's Jinja source.
func Parse(source string, options Options) (*Template, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("parse chat template: %d bytes are more than any model's template has", len(source))
	}
	t := &Template{source: source, options: options}
	source, err := prepare(nameBoolean(source))
	if err != nil {
		return nil, fmt.Errorf("parse chat template: %w", err)
	}
	if err := protect(func() (err error) {
		t.compiled, err = jinja.Compile(source)
		return err
	}); err != nil {
		return nil, fmt.Errorf("parse chat template: %w", err)
	}
	return t, nil
}

// protect turns a panic of the template engine into an error.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the template engine gave up: %v", p)
		}
	}()
	return f()
}

// secondDefault finds default's second argument where it is given by place: the engine reads it by name only.
var secondDefault = regexp.MustCompile(`(\|\s*(?:default|d)\(\s*(?:'[^'\\]*'|"[^"\\]*"|[\w.]+|\[\])\s*,\s*)([Tt]rue|[Ff]alse)(\s*\))`)

func nameBoolean(source string) string {
	return secondDefault.ReplaceAllString(source, "${1}boolean=${2}${3}")
}

// Names under which macros count their calls, and loops their turns.
const (
	callCounter = "banter_count_call"
	turnCounter = "banter_count_turn"
)

// prepare rewrites a template's tags for the engine:
//
//   - At the start of each macro it puts a call of callCounter: a macro that calls itself without end would otherwise take
//     the process with it when the stack is full. So it does with turnCounter in loops: one within another may go on for ever.
//   - A minus that has no white space to take away goes: the engine looks for some beyond the tag beside it, and takes away
//     what Jinja leaves ("{{ a }}{%- if b %}").
func prepare(source string) (string, error) {
	var out strings.Builder
	for at := 0; at < len(source); {
		open := nextTag(source, at)
		if open < 0 {
			out.WriteString(source[at:])
			break
		}
		out.WriteString(source[at:open])
		stop, err := tagEnd(source, open)
		if err != nil {
			return "", err
		}
		kind, inside := source[open:open+2], source[open+2:stop-2]
		if strings.HasPrefix(inside, "+") || strings.HasSuffix(inside, "+") && kind == "{%" {
			return "", fmt.Errorf("%s is not supported: a plus in a tag keeps white space", source[open:stop])
		}
		if strings.HasPrefix(inside, "-") && (open == 0 || !isSpace(source[open-1])) {
			inside = inside[1:]
		}
		if strings.HasSuffix(inside, "-") && (stop == len(source) || !isSpace(source[stop])) {
			inside = inside[:len(inside)-1]
		}
		out.WriteString(kind + inside + source[stop-2:stop])
		at = stop
		if kind != "{%" {
			continue
		}
		counter := callCounter
		switch word := strings.Fields(strings.TrimLeft(inside, "-") + " ?")[0]; word {
		case "for":
			counter = turnCounter
			fallthrough
		case "macro":
			// The new tag ends as the macro's does, so that white space after it is treated alike.
			end := "%}"
			if strings.HasSuffix(inside, "-") {
				end = "-%}"
			}
			out.WriteString("{% set banter_counted = " + counter + "() " + end)
		case "raw":
			return "", errors.New("{% raw %} is not supported")
		}
	}
	return out.String(), nil
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'
}

// nextTag returns where the next tag, expression or comment begins, or -1.
func nextTag(s string, from int) int {
	for i := from; i+1 < len(s); i++ {
		if s[i] == '{' && (s[i+1] == '%' || s[i+1] == '{' || s[i+1] == '#') {
			return i
		}
	}
	return -1
}

// tagEnd returns where the tag that begins at open ends, with strings and braces in it skipped.
func tagEnd(s string, open int) (int, error) {
	if s[open+1] == '#' {
		if n := strings.Index(s[open+2:], "#}"); n >= 0 {
			return open + 2 + n + 2, nil
		}
		return 0, errors.New("a {# has no #}")
	}
	close := byte('%')
	if s[open+1] == '{' {
		close = '}'
	}
	quote, depth := byte(0), 0
	for i := open + 2; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == '\\' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == close && depth == 0 && i+1 < len(s) && s[i+1] == '}':
			return i + 2, nil
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		}
	}
	return 0, fmt.Errorf("a %s has no %c}", s[open:open+2], close)
}

// Render writes messages as text. With prompt, the text goes on to where the assistant's next answer begins.
func (t *Template) Render(messages []Message, prompt bool) (string, error) {
	var text string
	if err := protect(func() (err error) {
		text, err = t.compiled.RenderValues(t.values(messages, prompt))
		return err
	}); err != nil {
		if t.options.Date.IsZero() && strings.Contains(err.Error(), "strftime_now") {
			return "", errors.New("render chat template: it writes today's date, so that the same conversation would be other tokens tomorrow (take the date out of the template)")
		}
		return "", fmt.Errorf("render chat template: %w", err)
	}
	if len(text) > maxOutput {
		return "", fmt.Errorf("render chat template: %d bytes of text are too many", len(text))
	}
	if err := keepsContent(text, messages); err != nil {
		return "", fmt.Errorf("render chat template: %w", err)
	}
	return text, nil
}

// keepsContent says which message the template dropped. Templates for images expect lists where we have text, and some
// then write nothing instead of failing. What stands before </think> in an answer is dropped by design.
func keepsContent(text string, messages []Message) error {
	at := 0
	for i, m := range messages {
		content := strings.TrimSpace(m.Content)
		if _, after, ok := strings.Cut(content, "</think>"); ok && m.Role == "assistant" {
			content = strings.TrimSpace(after)
		}
		if m.Role == "system" { // may be moved, or left out
			continue
		}
		found := strings.Index(text[at:], content)
		if found < 0 {
			return fmt.Errorf("the template leaves out or changes the content of message %d (%s); those of models for images want parts where there is text", i+1, m.Role)
		}
		at += found + len(content)
	}
	return nil
}

// values is what the template can see: the messages, the marks, and no way to files, clock or network.
func (t *Template) values(messages []Message, prompt bool) map[string]jinja.Value {
	list := make([]jinja.Value, len(messages))
	for i, m := range messages {
		d := jinja.NewDict()
		d.AsDict().Set("role", jinja.NewString(m.Role))
		d.AsDict().Set("content", jinja.NewString(m.Content))
		list[i] = d
	}
	calls, turns := 0, 0
	values := map[string]jinja.Value{
		"messages":              jinja.NewList(list),
		"add_generation_prompt": jinja.NewBool(prompt),
		"tools":                 jinja.None(),
		"documents":             jinja.None(),
		"strftime_now":          jinja.Undefined(),
		"range":                 jinja.NewCallable("range", boundedRange),
		callCounter: jinja.NewCallable(callCounter, func([]jinja.Value, map[string]jinja.Value) (jinja.Value, error) {
			if calls++; calls > maxCalls {
				return jinja.Undefined(), fmt.Errorf("more than %d macro calls", maxCalls)
			}
			return jinja.None(), nil
		}),
		turnCounter: jinja.NewCallable(turnCounter, func([]jinja.Value, map[string]jinja.Value) (jinja.Value, error) {
			if turns++; turns > maxTurns {
				return jinja.Undefined(), fmt.Errorf("its loops take more than %d turns", maxTurns)
			}
			return jinja.None(), nil
		}),
	}
	for name, token := range map[string]string{"bos_token": t.options.BOS, "eos_token": t.options.EOS, "unk_token": t.options.Unknown, "pad_token": t.options.Pad} {
		if token != "" {
			values[name] = jinja.NewString(token)
		}
	}
	if !t.options.Date.IsZero() {
		values["strftime_now"] = jinja.NewCallable("strftime_now", func(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
			if len(args) != 1 || !args[0].IsString() {
				return jinja.Undefined(), errors.New("strftime_now wants one format")
			}
			s, err := strftime(t.options.Date, args[0].AsString())
			return jinja.NewString(s), err
		})
	}
	return values
}

// boundedRange is Python's range, as a list and no longer than maxRange.
func boundedRange(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	var n [3]int64
	for i, a := range args {
		if i >= len(n) || !a.IsInt() {
			return jinja.Undefined(), errors.New("range wants one to three integers")
		}
		n[i] = a.AsInt()
	}
	start, stop, step := n[0], n[1], n[2]
	switch len(args) {
	case 0:
		return jinja.Undefined(), errors.New("range wants one to three integers")
	case 1:
		start, stop, step = 0, n[0], 1
	case 2:
		step = 1
	}
	if step == 0 {
		return jinja.Undefined(), errors.New("range with a step of 0")
	}
	var items []jinja.Value
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(items) == maxRange {
			return jinja.Undefined(), fmt.Errorf("range gives more than %d numbers", maxRange)
		}
		items = append(items, jinja.NewInt(i))
	}
	return jinja.NewList(items), nil
}

// strftime formats a date as C's strftime does, for the directives that templates use.
func strftime(date time.Time, format string) (string, error) {
	layouts := map[byte]string{'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'B': "January", 'b': "Jan", 'A': "Monday", 'a': "Mon", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'j': "002"}
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		i++
		if i == len(format) {
			return "", errors.New("strftime_now: the format ends in %")
		}
		if format[i] == '%' {
			out.WriteByte('%')
			continue
		}
		layout, ok := layouts[format[i]]
		if !ok {
			return "", fmt.Errorf("strftime_now: %%%c is not supported", format[i])
		}
		out.WriteString(date.Format(layout))
	}
	return out.String(), nil
}
