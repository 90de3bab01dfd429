package dsl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScoreOfCues checks that words whose times are shares of a cue's are not judged by them: they are neither 0 ms off nor
// never near.
func TestScoreOfCues(t *testing.T) {
	onStream(t, nil, func(_ *notebook, streams Streams, words Transcripts) {
		score, ok := Score(Align(words), 0.1)
		if !ok || score.Words == nil || score.Words.Correct < 300 || score.Words.Timed != 0 {
			t.Fatalf("the words of a script are scored as %+v", score.Words)
		}
		if text := score.MimeBundle()["text/plain"].(string); strings.Contains(text, " ms") {
			t.Errorf("a start error of words without times:\n%s", text)
		}
		Report("report.html", streams, words, Align(words))
		page, err := os.ReadFile(filepath.Join(current().out, "report.html"))
		if err != nil {
			t.Fatal(err)
		}
		if text := string(page); strings.Contains(text, "starts within 200 ms") || !strings.Contains(text, "none for words") {
			t.Error("the report does not say that the words have no times")
		}
	})
}
