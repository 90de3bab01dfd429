// Package shipped reads the labelled streams that the repository ships, for the tests of training, evaluation and engines.
package shipped

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Reply is a message that answers speech, as the ground truth of its stream says.
type Reply struct {
	ID     string // of the message
	Prompt string // the sentence that caused it
	Text   string
}

// Replies returns the replies in the ground truth of the stream in folder dir, in the order of the truth.
func Replies(t testing.TB, dir string) []Reply {
	t.Helper()
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
	body := map[string]string{}
	for _, c := range chat.Comments {
		body[c.ID] = c.Message.Body
	}
	var out []Reply
	for _, m := range truth.Messages {
		if m.Kind == "reply" {
			out = append(out, Reply{ID: m.ID, Prompt: truth.Sentences[m.Sentence].Text, Text: body[m.ID]})
		}
	}
	return out
}
