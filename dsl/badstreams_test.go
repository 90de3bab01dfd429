package dsl

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banter/dsl/event"
)

// someBad is a folder of a stream that can be read and of some that cannot, each for its own reason.
func someBad(t *testing.T) string {
	dir := tree(t, "good/chat.vodchat.json", "halves/a.wav", "halves/b.wav", "which/a.wav", "which/x.json", "which/y.json", "torn/chat.json")
	wave(t, filepath.Join(dir, "good", "a.wav"), 1)
	wave(t, filepath.Join(dir, "torn", "a.wav"), 2)
	wave(t, filepath.Join(dir, "twin", "a.wav"), 1)
	for path, content := range map[string]string{"noise/a.wav": "no sound at all", "torn/chat.json": `{"comments": [`} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wave writes the n-th of recordings that differ.
func wave(t *testing.T, path string, n int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(tone(n)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAllBadStreamsAreToldAtOnce(t *testing.T) {
	dir := someBad(t)
	s, err := Open(Config{Store: t.TempDir(), Jobs: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Run(t.Context(), func() error { Load(dir); return nil })
	if err == nil {
		t.Fatal("loaded")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{"load " + dir + ": 5 of 6 streams cannot be read (put them right, or leave them out by SkipBad()):", "  halves: ", "  noise: ", "  torn: ", "  twin: streams good and twin are the same", "  which: "}
	if !slices.EqualFunc(lines, want, strings.HasPrefix) {
		t.Errorf("%s", err)
	}
	// One that is alone is told as itself.
	err = s.Run(t.Context(), func() error { Load(filepath.Join(dir, "noise")); return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "load noise: ") && !strings.HasPrefix(err.Error(), "load a: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}

func TestSkipBad(t *testing.T) {
	dir := someBad(t)
	var notes []string
	s, err := Open(Config{Store: t.TempDir(), Jobs: 1, Sink: func(e event.Event) {
		if e.State == event.Note {
			notes = append(notes, e.Label+": "+e.Text)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Run(t.Context(), func() error {
		streams := Load(dir, SkipBad())
		if streams.Len() != 1 || streams.Infos()[0].ID != "good" {
			t.Errorf("%v", streams.Infos())
		}
		shown := streams.MimeBundle()["text/plain"].(string)
		var ids []string
		for _, bad := range streams.Skipped() {
			ids = append(ids, bad.ID)
			if !slices.Contains(notes, bad.ID+": skipped: "+bad.Why) || bad.Why == "" {
				t.Errorf("%q is not in %q", bad.Why, notes)
			}
			if !strings.Contains(shown, bad.ID+" was skipped: "+bad.Why) {
				t.Errorf("%q is not in %s", bad.Why, shown)
			}
		}
		if got := strings.Join(ids, " "); got != "halves noise torn twin which" {
			t.Error(got)
		}
		if got := streams.summary(); !strings.Contains(got, "5 streams skipped") {
			t.Error(got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "good")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "twin")); err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context(), func() error { Load(dir, SkipBad()); return nil })
	if err == nil || !strings.Contains(err.Error(), "4 of 4 streams cannot be read") {
		t.Errorf("all are bad: %v", err)
	}
}
