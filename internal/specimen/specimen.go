// Package specimen is the models that tests work on: shipped ones, opened with their tokenizer and chat template, and
// random ones of any shape.
package specimen

import (
	"testing"

	"banter/stdlib/lm"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/tokenizer"
)

// Opened is an opened model with its way of writing conversations.
type Opened struct {
	*lm.Model
	Format *chattemplate.Format
}

// Open opens a model, a folder or a GGUF file, with its own tokenizer and chat template until the test ends.
func Open(t testing.TB, path string) Opened {
	t.Helper()
	m, err := lm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return Opened{m, Format(t, m)}
}

// Format opens a model's own tokenizer and chat template.
func Format(t testing.TB, m *lm.Model) *chattemplate.Format {
	t.Helper()
	words, err := tokenizer.Open(m)
	if err != nil {
		t.Fatal(err)
	}
	f, err := chattemplate.Open(m, words)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
