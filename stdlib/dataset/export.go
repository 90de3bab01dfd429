package dataset

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Form is a shape of exported lines. TRL's SFTTrainer reads all of them.
type Form int

const (
	// Messages is {"messages":[{"role":"user","content":...},{"role":"assistant","content":...}]}.
	Messages Form = iota
	// PromptCompletion is {"prompt":"...","completion":"..."}.
	PromptCompletion
	// PromptCompletionChat is {"prompt":[{"role":"user",...}],"completion":[{"role":"assistant",...}]}.
	PromptCompletionChat
)

// Export says what to export. The zero value is all rows as messages.
type Export struct {
	Form     Form
	Split    string // Train or Holdout; empty means both
	System   string // a system message before each example; only where the form has messages
	IDs      bool   // add each row's id as "id"
	MaxRows  int    // stop before a row more than these; 0 means no limit
	MaxBytes int64  // stop before a byte more than these; 0 means no limit
}

// Exported says what was written.
type Exported struct {
	Rows  int
	Bytes int64
	Left  int // rows that were wanted but left out by a limit
}

type exportMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// JSONL writes one JSON object a line. Lines are UTF-8 with only what JSON asks for escaped. A limit never cuts a line.
func JSONL(w io.Writer, rows []Row, e Export) (Exported, error) {
	var done Exported
	switch {
	case e.Split != "" && e.Split != Train && e.Split != Holdout:
		return done, fmt.Errorf("export: there is no split %q", e.Split)
	case e.Form < Messages || e.Form > PromptCompletionChat:
		return done, fmt.Errorf("export: there is no form %d", e.Form)
	case e.System != "" && e.Form == PromptCompletion:
		return done, errors.New("export: plain prompts have no place for a system message")
	case e.MaxRows < 0 || e.MaxBytes < 0:
		return done, errors.New("export: a limit is negative")
	}
	out := bufio.NewWriterSize(w, 1<<16)
	for i := range rows {
		if e.Split != "" && rows[i].Split != e.Split {
			continue
		}
		if done.Left > 0 || e.MaxRows > 0 && done.Rows == e.MaxRows {
			done.Left++
			continue
		}
		line, err := e.line(&rows[i])
		if err != nil {
			return done, fmt.Errorf("export: row %d: %w", i+1, err)
		}
		if e.MaxBytes > 0 && done.Bytes+int64(len(line)) > e.MaxBytes {
			done.Left++
			continue
		}
		if _, err := out.Write(line); err != nil {
			return done, fmt.Errorf("export: %w", err)
		}
		done.Rows++
		done.Bytes += int64(len(line))
	}
	if err := out.Flush(); err != nil {
		return done, fmt.Errorf("export: %w", err)
	}
	return done, nil
}

// line is a row as one line of JSON.
func (e Export) line(r *Row) ([]byte, error) {
	var id string
	if e.IDs {
		id = r.ID
	}
	prompt := []exportMessage{{"user", r.Prompt()}}
	if e.System != "" {
		prompt = []exportMessage{{"system", e.System}, {"user", r.Prompt()}}
	}
	answer := exportMessage{"assistant", r.Completion()}
	var v any
	switch e.Form {
	case Messages:
		v = struct {
			ID       string          `json:"id,omitempty"`
			Messages []exportMessage `json:"messages"`
		}{id, append(prompt, answer)}
	case PromptCompletion:
		v = struct {
			ID         string `json:"id,omitempty"`
			Prompt     string `json:"prompt"`
			Completion string `json:"completion"`
		}{id, r.Prompt(), r.Completion()}
	case PromptCompletionChat:
		v = struct {
			ID         string          `json:"id,omitempty"`
			Prompt     []exportMessage `json:"prompt"`
			Completion []exportMessage `json:"completion"`
		}{id, prompt, []exportMessage{answer}}
	}
	var b lineBuffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b, err
}

// lineBuffer collects one line.
type lineBuffer []byte

func (b *lineBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}
