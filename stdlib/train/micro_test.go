package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	dir := filepath.Join("../../testdata/streams", stream)
	var truth struct {
		Sentences []struct{ Text string }
		Messages  []struct {
			ID, Kind string
			Sentence int
		}
	}
	var chat struct {
		Comments []struct {
			ID      string `json:"_id"`
			Message struct{ Body string }
		}
	}
	for name, into := range map[string]any{"truth.json": &truth, "chat.json": &chat} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	bodies := map[string]string{}
	for _, c := range chat.Comments {
		bodies[c.ID] = c.Message.Body
	}
	var examples []Example
	for _, m := range truth.Messages {
		if body := strings.TrimSpace(bodies[m.ID]); m.Kind == "reply" && body != "" {
			examples = append(examples, Example{ID: m.ID, Prompt: truth.Sentences[m.Sentence].Text, Response: body})
		}
	}
	return examples
}
