package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banter/stdlib/lm"
	"banter/stdlib/lm/tokenizer"
)

const microModel = "../../testdata/models/lm-micro"

// chatML is the format of lm-micro.
type chatML struct {
	tokenizer *tokenizer.Tokenizer
	end       int32
}

func openChatML(t testing.TB, m *lm.Model) *chatML {
	t.Helper()
	tok, err := tokenizer.Open(m)
	if err != nil {
		t.Fatal(err)
	}
	end, ok := tok.ID("<|im_end|>")
	if !ok {
		t.Fatal("no <|im_end|>")
	}
	return &chatML{tok, int32(end)}
}

func (c *chatML) EndsTurn(token int32) bool { return token == c.end }

func (c *chatML) Encode(prompt, response string) ([]int32, []bool, error) {
	before := "<|im_start|>user\n" + prompt + "<|im_end|>\n<|im_start|>assistant\n"
	text := before + response + "<|im_end|>"
	ids, spans, err := c.tokenizer.EncodeSpans(text+"\n", [][2]int{{len(before), len(text)}})
	if err != nil {
		return nil, nil, err
	}
	tokens, learn := make([]int32, len(ids)), make([]bool, len(ids))
	for i, id := range ids {
		tokens[i], learn[i] = int32(id), spans[i] == 0
	}
	return tokens, learn, nil
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
