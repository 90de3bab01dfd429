package chat

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
)

// shared gives the path of real material that lies beside the repository, and skips where it is absent.
func shared(t testing.TB, parts ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{"..", "..", "..", "shared"}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not here: %v", path, err)
	}
	return path
}

func TestTmp(t *testing.T) {
	for _, f := range []string{shared(t, "fixtures", "streams", "s1", "chat.json"), shared(t, "data", "chat", "twitch-northernlion-1087079172.json"), shared(t, "data", "chat", "xenova-youtube_actions.json")} {
		log, err := Open(context.Background(), f, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		t.Logf("%+v\n%v\n%+v\n%v", log.Source, log.Clock, log.Report, log.Report.Summary())
		for _, m := range log.Messages[:min(3, len(log.Messages))] {
			t.Logf("%+v", m)
		}
	}
}

func BenchmarkTwitchDownloader(b *testing.B) {
	data, err := os.ReadFile(shared(b, "data", "chat", "twitch-northernlion-1087079172.json"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(context.Background(), bytesReader(data), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func bytesReader(b []byte) *bytes.Reader { return bytes.NewReader(b) }
