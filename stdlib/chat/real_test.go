package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"
)

// shared gives the first path that matches parts, of real material that lies beside the repository, and skips where it is absent.
func shared(t testing.TB, parts ...string) string {
	t.Helper()
	pattern := filepath.Join(append([]string{"..", "..", "..", "shared"}, parts...)...)
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Skipf("%s is not here", pattern)
	}
	return found[0]
}

// TestRealLogs checks real logs against counts made independently, with a few lines of Python on the same files.
func TestRealLogs(t *testing.T) {
	t.Run("Twitch", func(t *testing.T) {
		log, err := Open(t.Context(), shared(t, "data", "chat", "twitch-*-1087079172.json"), Options{Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		if log.Report.Read != 3090 || len(log.Messages) != 3090 || log.Report.LostEmotes != 0 || log.Source.Length != 48*time.Minute+58*time.Second {
			t.Errorf("%+v %+v", log.Source, log.Report)
		}
		// A highlight: the platform wrote all its wall clocks anew, within six seconds.
		if log.Clock.Kind != WholeSeconds {
			t.Errorf("clock: %v", log.Clock)
		}
		var sum time.Duration
		characters, emotes, badges := 0, 0, 0
		authors := map[string]bool{}
		for _, m := range log.Messages {
			sum += m.Time
			characters += utf8.RuneCountInString(m.Text)
			emotes += len(m.Emotes)
			badges += len(m.Author.Badges)
			authors[m.Author.ID] = true
		}
		if got, want := fmt.Sprint(int64(sum/time.Second), characters, emotes, badges, len(authors)), "4303868 50196 930 3091 836"; got != want {
			t.Errorf("sums are %s, want %s", got, want)
		}
	})
	t.Run("YouTube", func(t *testing.T) {
		log, err := Open(t.Context(), shared(t, "data", "chat", "*-youtube_actions.json"), Options{Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		if log.Report.Read != 19 || len(log.Messages) != 1 || log.Report.Ignored != 18 || log.Source.Format != YouTubeLiveChat {
			t.Errorf("%+v %+v", log.Source, log.Report)
		}
	})
	for stream, want := range map[string]int{"s1": 188, "s2": 159, "s3": 161} {
		t.Run(stream, func(t *testing.T) {
			path := shared(t, "fixtures", "streams", stream, "chat.json")
			log, err := Open(t.Context(), path, Options{Strict: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(log.Messages) != want || log.Clock.Kind != Recovered {
				t.Fatalf("%d messages, %v", len(log.Messages), log.Clock)
			}
			for _, m := range log.Messages { // these streams begin at 18:00:00 sharp
				if truth := m.Sent.Sub(time.Date(2025, 3, 1, 18, 0, 0, 0, time.UTC)); (m.Time - truth).Abs() > 5*time.Millisecond {
					t.Fatalf("%s is at %v, want %v", m.ID, m.Time, truth)
				}
			}
		})
	}
}

func benchmarkRead(b *testing.B, data []byte) {
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(context.Background(), bytes.NewReader(data), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// compact is how TwitchDownloader itself writes: no white space.
func compact(tb testing.TB, path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, data); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func BenchmarkTwitchDownloader(b *testing.B) {
	path := shared(b, "data", "chat", "twitch-*-1087079172.json")
	b.Run("compact", func(b *testing.B) { benchmarkRead(b, compact(b, path)) })
	b.Run("indented", func(b *testing.B) {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		benchmarkRead(b, data)
	})
}
