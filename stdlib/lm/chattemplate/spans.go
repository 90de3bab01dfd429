package chattemplate

import (
	"errors"
	"fmt"
	"strings"
)

// Rendered is a conversation as text, with the places of its answers.
type Rendered struct {
	Text    string
	Answers []Answer // one for each assistant message, in order
}

// Answer is where the model's part of an assistant message lies: what it has to write after the prompt, the mark that
// ends its turn included, white space after that mark not.
type Answer struct {
	Message  int // index of the message
	From, To int // bytes of the text
}

// RenderAnswers writes messages as text and finds the answers in it. It fails where the template writes a turn
// differently once others follow it, because then no training text can look like what the model will be asked.
func (t *Template) RenderAnswers(messages []Message) (Rendered, error) {
	full, err := t.Render(messages, false)
	if err != nil {
		return Rendered{}, err
	}
	r := Rendered{Text: full}
	for i, m := range messages {
		if m.Role != "assistant" {
			continue
		}
		a, err := t.answer(messages, i, full)
		if err != nil {
			return Rendered{}, fmt.Errorf("find the answer in message %d: %w", i+1, err)
		}
		r.Answers = append(r.Answers, a)
	}
	if len(r.Answers) == 0 {
		return Rendered{}, errors.New("find the answers: the conversation has no assistant message")
	}
	return r, nil
}

func (t *Template) answer(messages []Message, i int, full string) (Answer, error) {
	prompt, err := t.Render(messages[:i], true)
	if err != nil {
		return Answer{}, err
	}
	through, err := t.Render(messages[:i+1], false)
	if err != nil {
		return Answer{}, err
	}
	switch {
	case !strings.HasPrefix(through, prompt):
		return Answer{}, fmt.Errorf("the template writes the prompt of an answer differently once the answer is there (prompt ends in %q)", tail(prompt))
	case !strings.HasPrefix(full, through):
		return Answer{}, errors.New("the template writes an answer differently once other messages follow it (use conversations with one answer)")
	}
	written := through[len(prompt):]
	content := strings.TrimSpace(messages[i].Content)
	at := strings.Index(written, content)
	if at < 0 {
		return Answer{}, errors.New("the answer's text does not follow its prompt")
	}
	after := strings.TrimRight(written[at+len(content):], " \t\r\n")
	if strings.TrimLeft(after, " \t\r\n") == "" {
		return Answer{}, errors.New("the template does not mark the end of an answer, so that the model could not learn to stop")
	}
	return Answer{Message: i, From: len(prompt), To: len(prompt) + at + len(content) + len(after)}, nil
}

// tail returns the last few characters of s, for an error.
func tail(s string) string {
	r := []rune(s)
	return string(r[max(0, len(r)-30):])
}
