package train

import (
	"path/filepath"
	"strings"
	"testing"

	"banter/internal/shipped"
	"banter/stdlib/lm"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/tokenizer"
)

const microModel = "../../testdata/models/lm-micro"

// openFormat opens a model's own tokenizer and chat template.
func openFormat(t testing.TB, m *lm.Model) Format {
	t.Helper()
	tok, err := tokenizer.Open(m)
	if err != nil {
		t.Fatal(err)
	}
	f, err := chattemplate.Open(m, tok)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// streamReplies returns the replies in a shipped stream's ground truth to the sentences that caused them.
func streamReplies(t testing.TB, stream string) []Example {
	t.Helper()
	var examples []Example
	for _, r := range shipped.Replies(t, filepath.Join("../../testdata/streams", stream)) {
		if body := strings.TrimSpace(r.Text); body != "" {
			examples = append(examples, Example{ID: r.ID, Prompt: r.Prompt, Response: body})
		}
	}
	return examples
}
