package dsl

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banter/dsl/memo"
)

// TestSessionsAreKept: gc keeps what the last two sessions of a notebook made, for a month.
func TestSessionsAreKept(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	file := filepath.Join(l.dir, "tour.ipynb")
	t.Setenv("JPY_SESSION_NAME", file)
	front := notebook{}
	store, err := memo.Open(l.store, nil)
	if err != nil {
		t.Fatal(err)
	}
	session := func(cells ...func()) {
		s, err := Open(Config{Store: l.store, Out: filepath.Join(l.dir, "out"), Front: &front})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, cell := range cells {
			if err := s.Run(t.Context(), func() error { cell(); return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := func() (now, before []memo.Key) {
		for _, name := range []string{file, file + sessionBefore} {
			r, _, err := store.Root(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Keys) > 0 && time.Until(r.Until).Round(time.Hour) != keptForWork {
				t.Errorf("%s is kept until %v", name, r.Until)
			}
			if name == file {
				now = r.Keys
			} else {
				before = r.Keys
			}
		}
		return now, before
	}
	load := func(id string) func() { return func() { Load(filepath.Join(l.streams, id)) } }
	session(load("a"), load("b"), func() {})
	if now, before := kept(); len(now) != 2 || len(before) != 0 {
		t.Errorf("the first session: %d steps, and %d before", len(now), len(before))
	}
	session(func() {}, load("c"))
	if now, before := kept(); len(now) != 1 || len(before) != 2 {
		t.Errorf("the second session: %d steps, and %d before", len(now), len(before))
	}
	if r, err := store.GC(t.Context(), 0, true); err != nil || r.Manifests != 0 {
		t.Errorf("gc would remove %d steps, %v", r.Manifests, err)
	}
	session(load("c"))
	if now, before := kept(); len(now) != 1 || len(before) != 1 {
		t.Errorf("the third session: %d steps, and %d before", len(now), len(before))
	}
	if r, err := store.GC(t.Context(), 0, true); err != nil || r.Manifests != 2 {
		t.Errorf("gc would remove %d steps of the first session, %v", r.Manifests, err)
	}
	t.Setenv("JPY_SESSION_NAME", "")
	if name := notebookName(); !strings.HasPrefix(name, "notebooks in /") && filepath.Separator == '/' {
		t.Errorf("a kernel without a notebook is %q", name)
	}
}
