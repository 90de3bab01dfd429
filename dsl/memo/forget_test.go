package memo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// forgotten fills a store, sets something of each kind aside, and gives what is to be removed of it.
func forgotten(t *testing.T) (s *Store, keys []Key) {
	t.Helper()
	s = open(t, t.TempDir())
	for i := range 3 {
		keys = append(keys, must(t, s, step("in", fmt.Sprint(i)), fmt.Sprint("secret ", i/2), Made).Key) // 0 and 1 share objects
	}
	scratch := s.scratch(keys[1])
	if err := os.MkdirAll(scratch, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(scratch, "checkpoint"), filepath.Join(s.dir, quarantineDir, "x.1")} {
		if err := os.WriteFile(path, []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s, keys
}

func TestRemoveTakesWhatIsTheirsAlone(t *testing.T) {
	s, keys := forgotten(t)
	r, err := s.Remove(t.Context(), keys[:1])
	if err != nil || r.Manifests != 1 || r.Objects != 0 {
		t.Fatalf("%+v %v: the objects are another step's, too", r, err)
	}
	r, err = s.Remove(t.Context(), keys[1:2])
	if err != nil || r.Manifests != 1 || r.Objects != 2 {
		t.Fatalf("%+v %v", r, err)
	}
	must(t, s, step("in", "2"), "secret 1", Hit)
	for _, gone := range []string{filepath.Join(s.dir, quarantineDir, "x.1"), s.scratch(keys[1])} {
		if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	sound(t, s)
	if _, err := s.Remove(t.Context(), []Key{"../../etc"}); err == nil {
		t.Error("what is no key was removed")
	}
}

// TestForgettingFailsAtEveryWrite makes each write of a removal fail in turn: it says so, and can be done again.
func TestForgettingFailsAtEveryWrite(t *testing.T) {
	stone := Tombstone{Author: "abc", Salt: "pepper"}
	do := func(s *Store, keys []Key) error {
		if err := s.Bury(context.Background(), stone); err != nil {
			return err
		}
		_, err := s.Remove(context.Background(), keys[:2])
		return err
	}
	s, keys := forgotten(t)
	var points []string
	s.fault = func(point string) error { points = append(points, point); return nil }
	if err := do(s, keys); err != nil {
		t.Fatal(err)
	}
	if len(points) < 10 {
		t.Fatalf("only %d write points: %v", len(points), points)
	}
	for n, point := range points {
		s, keys := forgotten(t)
		count := 0
		s.fault = func(string) error {
			if count++; count-1 == n {
				return syscall.EIO
			}
			return nil
		}
		if err := do(s, keys); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: error %v", point, err)
		}
		s.fault = nil
		if r, err := s.Verify(t.Context()); err != nil || len(r.Wrong) > 0 {
			t.Errorf("%s: broken off: %v %v", point, r.Wrong, err)
		}
		if err := do(s, keys); err != nil {
			t.Errorf("%s: again: %v", point, err)
		}
		if list, err := s.Tombstones(); err != nil || len(list) != 1 || list[0] != stone {
			t.Errorf("%s: tombstones %v %v", point, list, err)
		}
		if r := sound(t, s); r.Manifests != 1 || r.Objects != 2 || r.Orphans != 0 {
			t.Errorf("%s: left: %+v", point, r)
		}
	}
}

func TestTombstones(t *testing.T) {
	s := open(t, t.TempDir())
	if list, err := s.Tombstones(); err != nil || len(list) != 0 {
		t.Fatalf("%v %v", list, err)
	}
	for _, stone := range []Tombstone{{Stream: "b"}, {Author: "x"}, {Stream: "b"}, {Stream: "a"}} {
		if err := s.Bury(t.Context(), stone); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := s.Tombstones(); err != nil || fmt.Sprint(list) != "[{  a} {  b} {x  }]" {
		t.Errorf("%v %v", list, err)
	}
	for name, text := range map[string]string{"half": `{"format":"banter-f`, "later": `{"format":"banter-forgotten/2","forgotten":[]}`, "empty": ""} {
		if err := os.WriteFile(filepath.Join(s.dir, tombstonesFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Tombstones(); err == nil || !strings.Contains(err.Error(), "what is forgotten") {
			t.Errorf("%s: error %v: what was forgotten would come back", name, err)
		}
	}
}
