package main

import (
	"bytes"
	"context"
	"testing"

	"banter/dsl/memo"
)

// TestTerminalsAreNotSteered: what a store says of its steps may come from anywhere, and is shown as text.
func TestTerminalsAreNotSteered(t *testing.T) {
	dir := t.TempDir()
	store, err := memo.Open(dir, func(text string) { t.Error(text) })
	if err != nil {
		t.Fatal(err)
	}
	step := memo.Step{Verb: "load", Label: "s1\x1b]0;title\x07\u009b2J\u9b1a\r<b>", Parts: []memo.Part{{Name: "n", Value: "1"}}}
	if _, _, err := store.Do(t.Context(), step, func(context.Context, *memo.Draft) error { return nil }); err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	if code := run(t.Context(), []string{"cache", "ls", "--store", dir}, &out, &said); code != 0 {
		t.Fatalf("exit %d: %s", code, &said)
	}
	if want := "s1\ufffd]0;title\ufffd\ufffd2J\u9b1a\ufffd<b>"; !bytes.Contains(out.Bytes(), []byte(want)) {
		t.Errorf("%q does not hold %q", out.String(), want)
	}
	out.Reset()
	if code := run(t.Context(), []string{"cache", "ls", "--json", "--store", dir}, &out, &said); code != 0 || !bytes.Contains(out.Bytes(), []byte(`s1\u001b]0;title`)) {
		t.Errorf("exit %d: %s, %q", code, &said, out.String())
	}
}
