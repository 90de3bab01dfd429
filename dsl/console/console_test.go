package console

import (
	"bytes"
	"strings"
	"testing"

	"banter/dsl/event"

	"github.com/rivo/uniseg"
)

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"\thave (string)":         " have (string)", // as the type checker goes on
		"\x1b[31mred\u202etxt.go": "\ufffd[31mred\ufffdtxt.go",
		"Zoë 莉":                   "Zoë 莉",
	} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestColumns: keys stand below each other behind names of any length and of any script, and long names keep both ends.
func TestColumns(t *testing.T) {
	var out bytes.Buffer
	c := New(&out, &out, false)
	for _, label := range []string{"今日の配信 2026-11-20 雑談とゲーム、最後まで見てくれてありがとう！ part 2", "s1", "e\u0301te\u0301", ""} {
		c.Event(event.Event{State: event.Done, Verb: "load", Label: label, Key: "0123456789abcdef"})
	}
	at := map[int]bool{}
	for line := range strings.Lines(out.String()) {
		before, _, ok := strings.Cut(line, "0123456789ab")
		if !ok {
			t.Fatalf("no key in %q", line)
		}
		at[uniseg.StringWidth(before)] = true
	}
	if len(at) != 1 {
		t.Errorf("keys begin at %d columns:\n%s", len(at), out.String())
	}
	if first, _, _ := strings.Cut(out.String(), "\n"); !strings.Contains(first, "今日の配信") || !strings.Contains(first, "…") || !strings.Contains(first, "part 2") {
		t.Errorf("a long name lost one of its ends: %q", first)
	}
}
