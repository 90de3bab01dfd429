package memo

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What a store holds serves those who may not write to it; what it lacks does not get made there.
func TestAStoreThatMayOnlyBeRead(t *testing.T) {
	for _, why := range []error{syscall.EROFS, syscall.EACCES} {
		store, err := Open(filepath.Join(t.TempDir(), "store"), nil)
		if err != nil {
			t.Fatal(err)
		}
		input := filepath.Join(t.TempDir(), "input")
		if err := os.WriteFile(input, []byte("heard"), 0o644); err != nil {
			t.Fatal(err)
		}
		work := func(_ context.Context, d *Draft) error { return d.WriteBytes("out", []byte("made")) }
		if _, outcome, err := store.Do(t.Context(), Step{Verb: "there"}, work); err != nil || outcome != Made {
			t.Fatal(outcome, err)
		}
		store.fault = func(point string) error { return &fs.PathError{Op: "open", Path: point, Err: why} }
		if f, err := store.File(t.Context(), input); err != nil || f.Digest != Sum([]byte("heard")) {
			t.Errorf("%v: an input: %v, %v", why, f.Digest, err)
		}
		if _, outcome, err := store.Do(t.Context(), Step{Verb: "there"}, work); err != nil || outcome != Hit {
			t.Errorf("%v: a step that is there: %v, %v", why, outcome, err)
		}
		if _, _, err := store.Do(t.Context(), Step{Verb: "not there"}, work); !Unwritable(err) {
			t.Errorf("%v: a step that is not there: %v", why, err)
		}
		if err := store.SetRoot(Root{Name: "a run"}); !Unwritable(err) {
			t.Errorf("%v: a run's record: %v", why, err)
		}
		store.fault = func(string) error { return syscall.ENOSPC } // which is no property of the store
		if _, err := store.File(t.Context(), input); err == nil || Unwritable(err) {
			t.Errorf("a full disk: %v", err)
		}
	}
}
