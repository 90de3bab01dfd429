package train

import (
	"path/filepath"
	"strings"
	"testing"

	"banter/internal/shipped"
)

const microModel = "../../testdata/models/lm-micro"

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
