package memo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, func(text string) { t.Log("store says:", text) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func step(parts ...string) Step {
	s := Step{Verb: "double", Label: "x"}
	for i := 0; i < len(parts); i += 2 {
		s = s.With(parts[i], parts[i+1])
	}
	return s
}

// twoFiles is work that writes two outputs.
func twoFiles(text string) func(context.Context, *Draft) error {
	return func(_ context.Context, d *Draft) error {
		if err := d.WriteBytes("a.txt", []byte(text)); err != nil {
			return err
		}
		scratch, err := d.Scratch()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(scratch, "checkpoint"), []byte("half"), 0o644); err != nil {
			return err
		}
		if err := d.Facts(map[string]int{"bytes": len(text)}); err != nil {
			return err
		}
		return d.Write("b.txt", func(w io.Writer) error {
			_, err := io.WriteString(w, strings.ToUpper(text))
			return err
		})
	}
}

func must(t *testing.T, s *Store, st Step, text string, want Outcome) Manifest {
	t.Helper()
	m, outcome, err := s.Do(context.Background(), st, twoFiles(text))
	if err != nil {
		t.Fatal(err)
	}
	if outcome != want {
		t.Fatalf("outcome %v, want %v", outcome, want)
	}
	o, err := m.Output("b.txt")
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Read(o)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != strings.ToUpper(text) {
		t.Fatalf("b.txt is %q", b)
	}
	return m
}

func sound(t *testing.T, s *Store) VerifyReport {
	t.Helper()
	r, err := s.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Wrong) > 0 {
		t.Fatalf("verify found %v", r.Wrong)
	}
	return r
}

func TestSecondDoHits(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s, step("in", "1"), "hello", Made)
	must(t, s, step("in", "1"), "hello", Hit)
	must(t, open(t, dir), step("in", "1"), "hello", Hit)
	must(t, s, step("in", "2"), "hello", Made)
	r := sound(t, s)
	if r.Manifests != 2 || r.Objects != 2 || r.Orphans != 0 || r.Drafts != 0 {
		t.Fatalf("%+v: equal bytes should be one object", r)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, scratchDir, "*")); len(left) > 0 {
		t.Fatalf("scratch is left: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, locksDir, strings.Repeat("?", 64))); len(left) > 0 {
		t.Fatalf("locks are left: %v", left)
	}
}

func TestKeyIsOfPartsAlone(t *testing.T) {
	base := step("a", "1", "b", "2").Key()
	same := map[string]Step{
		"other order": step("b", "2", "a", "1"),
		"other label": {Verb: "double", Label: "y", Parts: []Part{{"a", "1"}, {"b", "2"}}},
		"lineage":     {Verb: "double", Parts: []Part{{"a", "1"}, {"b", "2"}}, Reads: []Key{"k"}},
	}
	for name, s := range same {
		if s.Key() != base {
			t.Errorf("%s: the key changed", name)
		}
	}
	other := map[string]Step{
		"other verb":        {Verb: "halve", Parts: []Part{{"a", "1"}, {"b", "2"}}},
		"other value":       step("a", "1", "b", "3"),
		"swapped values":    step("a", "2", "b", "1"),
		"moved border":      step("a", "1", "b", "", "2", ""),
		"line break inside": step("a", "1\n1:b=1:2"),
		"one part less":     step("a", "1"),
		"one part more":     step("a", "1", "b", "2", "c", ""),
	}
	for name, s := range other {
		if s.Key() == base {
			t.Errorf("%s: the key is the same", name)
		}
	}
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b any
	}{
		{"map order", map[string]int{"x": 1, "y": 2}, map[string]int{"y": 2, "x": 1}},
		{"struct and map", struct{ B, A int }{2, 1}, map[string]int{"A": 1, "B": 2}},
		{"float formatting", 0.10, 1e-1},
	} {
		a, err := Canonical(c.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Canonical(c.b)
		if err != nil {
			t.Fatal(err)
		}
		if a != b {
			t.Errorf("%s: %s and %s", c.name, a, b)
		}
	}
	if _, err := Canonical(func() {}); err == nil {
		t.Error("a function has no canonical form, yet there was no error")
	}
}

func TestErrorsAreNotStored(t *testing.T) {
	s := open(t, t.TempDir())
	broken := errors.New("broken")
	_, _, err := s.Do(context.Background(), step("in", "1"), func(ctx context.Context, d *Draft) error {
		if err := d.WriteBytes("a.txt", []byte("half")); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	must(t, s, step("in", "1"), "hello", Made)
	if r := sound(t, s); r.Drafts != 0 || r.Orphans != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestWorkThatReturnsEarlyIsNotStored(t *testing.T) {
	s := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	_, _, err := s.Do(ctx, step("in", "1"), func(_ context.Context, d *Draft) error {
		cancel()
		return d.WriteBytes("a.txt", []byte("half"))
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, ok, _ := s.Lookup(step("in", "1").Key()); ok {
		t.Fatal("half a result was stored")
	}
}

func TestInputThatChangesDuringTheWork(t *testing.T) {
	s := open(t, t.TempDir())
	path := filepath.Join(t.TempDir(), "in.txt")
	if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := s.File(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	st := step("in", string(f.Digest))
	st.Recheck = f.Unchanged
	_, _, err = s.Do(context.Background(), st, func(_ context.Context, d *Draft) error {
		if err := os.WriteFile(path, []byte("after!"), 0o644); err != nil {
			return err
		}
		later := time.Now().Add(5 * time.Second)
		if err := os.Chtimes(path, later, later); err != nil {
			return err
		}
		return d.WriteBytes("a.txt", []byte("mixed"))
	})
	if err == nil || !strings.Contains(err.Error(), "changed while it was being read") {
		t.Fatalf("error %v", err)
	}
	if _, ok, _ := s.Lookup(st.Key()); ok {
		t.Fatal("a result of a changed input was stored")
	}
}

func TestFileDigest(t *testing.T) {
	s := open(t, t.TempDir())
	path := filepath.Join(t.TempDir(), "in.txt")
	old := time.Now().Add(-time.Hour)
	write := func(text string, mtime time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, mtime, mtime); err != nil {
			t.Fatal(err)
		}
	}
	digest := func() Digest {
		t.Helper()
		f, err := s.File(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		return f.Digest
	}
	write("one", old)
	one := digest()
	if one != Sum([]byte("one")) {
		t.Fatal("wrong digest")
	}
	write("one", old.Add(time.Minute))
	if digest() != one {
		t.Error("a touched file with equal bytes has another digest")
	}
	write("two", old.Add(2*time.Minute))
	if digest() != Sum([]byte("two")) {
		t.Error("a changed file has its old digest")
	}
	// Two writes of the same size within the clock's grain leave the same time stamp.
	now := time.Now()
	write("abc", now)
	digest()
	write("xyz", now)
	if digest() != Sum([]byte("xyz")) {
		t.Error("a quick second write was not seen")
	}
	if _, err := s.File(context.Background(), t.TempDir()); err == nil {
		t.Error("a folder has a digest")
	}
}

func TestDamageIsSetAsideAndMadeAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(s *Store, m Manifest) error
	}{
		{"flipped byte", func(s *Store, m Manifest) error {
			path := s.ObjectPath(m.Outputs[0])
			if err := os.Chmod(path, 0o644); err != nil {
				return err
			}
			return os.WriteFile(path, []byte("jello"), 0o644)
		}},
		{"truncated object", func(s *Store, m Manifest) error {
			path := s.ObjectPath(m.Outputs[1])
			if err := os.Chmod(path, 0o644); err != nil {
				return err
			}
			return os.Truncate(path, 2)
		}},
		{"missing object", func(s *Store, m Manifest) error { return os.Remove(s.ObjectPath(m.Outputs[0])) }},
		{"half a manifest", func(s *Store, m Manifest) error { return os.Truncate(s.manifestPath(m.Key), 40) }},
		{"empty manifest", func(s *Store, m Manifest) error { return os.Truncate(s.manifestPath(m.Key), 0) }},
		{"manifest of another key", func(s *Store, m Manifest) error {
			b, err := os.ReadFile(s.manifestPath(m.Key))
			if err != nil {
				return err
			}
			return os.WriteFile(s.manifestPath(m.Key), bytes.Replace(b, []byte(`"value": "1"`), []byte(`"value": "9"`), 1), 0o644)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			m := must(t, open(t, dir), step("in", "1"), "hello", Made)
			s := open(t, dir)
			if err := c.damage(s, m); err != nil {
				t.Fatal(err)
			}
			r, err := s.Verify(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Wrong) == 0 {
				t.Error("verify found nothing wrong")
			}
			must(t, s, step("in", "1"), "hello", Made)
			must(t, s, step("in", "1"), "hello", Hit)
			sound(t, s)
		})
	}
}

// TestFaultAtEveryWrite makes each write of a run fail in turn, as a full disk would.
func TestFaultAtEveryWrite(t *testing.T) {
	points := writePoints(t)
	for n, point := range points {
		t.Run(fmt.Sprintf("%02d %s", n, point), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			must(t, s, step("in", "0"), "before", Made)
			var count int
			s.fault = func(string) error {
				if count++; count-1 == n {
					return syscall.ENOSPC
				}
				return nil
			}
			_, _, err := s.Do(context.Background(), step("in", "1"), twoFiles("hello"))
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), "free some space") {
				t.Errorf("the error does not say what to do: %v", err)
			}
			after(t, dir)
		})
	}
}

// TestKillAtEveryWrite kills a process at each write of a run in turn.
func TestKillAtEveryWrite(t *testing.T) {
	if dir := os.Getenv("MEMO_TEST_KILL_DIR"); dir != "" {
		n, err := strconv.Atoi(os.Getenv("MEMO_TEST_KILL_AT"))
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		var count int
		s.fault = func(string) error {
			if count++; count-1 == n {
				self, _ := os.FindProcess(os.Getpid())
				_ = self.Kill()
				select {}
			}
			return nil
		}
		_, _, _ = s.Do(context.Background(), step("in", "1"), twoFiles("hello"))
		return
	}
	for n, point := range writePoints(t) {
		t.Run(fmt.Sprintf("%02d %s", n, point), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, open(t, dir), step("in", "0"), "before", Made)
			cmd := exec.Command(os.Args[0], "-test.run=^TestKillAtEveryWrite$")
			cmd.Env = append(os.Environ(), "MEMO_TEST_KILL_DIR="+dir, "MEMO_TEST_KILL_AT="+strconv.Itoa(n))
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the process was not killed: %v", err)
			}
			after(t, dir)
		})
	}
}

// after checks a store in which a run was broken off, finishes the run, and checks again.
func after(t *testing.T, dir string) {
	t.Helper()
	s := open(t, dir)
	sound(t, s)
	must(t, s, step("in", "0"), "before", Hit)
	if m, ok, err := s.Lookup(step("in", "1").Key()); err != nil {
		t.Fatal(err)
	} else if ok && len(m.Outputs) != 2 {
		t.Fatal("half a result is visible")
	}
	_, ok, err := s.Find(step("in", "1").Key())
	if err != nil {
		t.Fatal(err)
	}
	want := Made
	if ok {
		want = Hit
	}
	must(t, s, step("in", "1"), "hello", want)
	if _, err := s.GC(context.Background(), -1, false); err != nil {
		t.Fatal(err)
	}
	if r := sound(t, s); r.Orphans != 0 || r.Manifests != 2 {
		t.Fatalf("after gc: %+v", r)
	}
	must(t, s, step("in", "1"), "hello", Hit)
}

// writePoints lists the writes of one run.
func writePoints(t *testing.T) []string {
	s := open(t, t.TempDir())
	must(t, s, step("in", "0"), "before", Made)
	var points []string
	s.fault = func(point string) error { points = append(points, point); return nil }
	must(t, s, step("in", "1"), "hello", Made)
	if len(points) < 12 {
		t.Fatalf("only %d write points: %v", len(points), points)
	}
	return points
}

func TestManyWantOneKey(t *testing.T) {
	dir := t.TempDir()
	var made atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			s, err := Open(dir, nil)
			if err != nil {
				t.Error(err)
				return
			}
			for in := range 5 {
				_, outcome, err := s.Do(context.Background(), step("in", fmt.Sprint(in)), twoFiles("hello"))
				if err != nil {
					t.Error(err)
				}
				if outcome == Made {
					made.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if made.Load() != 5 {
		t.Errorf("5 results were made %d times", made.Load())
	}
	sound(t, open(t, dir))
}

func TestProcessesShareAStore(t *testing.T) {
	if dir := os.Getenv("MEMO_TEST_SHARED_DIR"); dir != "" {
		s := open(t, dir)
		for in := range 10 {
			_, outcome, err := s.Do(context.Background(), step("in", fmt.Sprint(in)), twoFiles("hello"))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Printf("outcome %v\n", outcome)
		}
		return
	}
	dir := t.TempDir()
	var wait sync.WaitGroup
	var made atomic.Int32
	for range 8 {
		wait.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestProcessesShareAStore$", "-test.v")
			cmd.Env = append(os.Environ(), "MEMO_TEST_SHARED_DIR="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			made.Add(int32(bytes.Count(out, []byte("outcome made"))))
		})
	}
	wait.Wait()
	if made.Load() != 10 {
		t.Errorf("10 results were made %d times by 8 processes", made.Load())
	}
	sound(t, open(t, dir))
}

func TestWaitingForAKeyCanBeStopped(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	holding, release := make(chan bool), make(chan bool)
	var wait sync.WaitGroup
	wait.Go(func() {
		_, _, err := s.Do(context.Background(), step("in", "1"), func(ctx context.Context, d *Draft) error {
			close(holding)
			<-release
			return d.WriteBytes("a.txt", nil)
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-holding
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := open(t, dir).Do(ctx, step("in", "1"), twoFiles("hello")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	wait.Wait()
}

func TestGCKeepsRootsAndMeetsItsBudget(t *testing.T) {
	s := open(t, t.TempDir())
	var keys []Key
	for i := range 10 {
		st := step("in", fmt.Sprint(i))
		m, _, err := s.Do(context.Background(), st, func(_ context.Context, d *Draft) error {
			return d.WriteBytes("a.bin", bytes.Repeat([]byte{byte(i)}, 1000))
		})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, m.Key)
		used := time.Now().Add(time.Duration(i-20) * time.Hour)
		if err := os.Chtimes(s.manifestPath(m.Key), used, used); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetRoot(Root{Name: "recipe", Keys: keys[:2]}); err != nil {
		t.Fatal(err)
	}
	dry, err := s.GC(context.Background(), 5000, true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.GC(context.Background(), 5000, false)
	if err != nil {
		t.Fatal(err)
	}
	if r != dry || r.Manifests != 5 || r.Bytes != 5000 || r.Left != 5000 {
		t.Fatalf("dry run %+v, run %+v", dry, r)
	}
	for i, k := range keys {
		_, ok, err := s.Find(k)
		if err != nil {
			t.Fatal(err)
		}
		if want := i < 2 || i >= 7; ok != want { // the roots, and the three used last
			t.Errorf("step %d: found %v, want %v", i, ok, want)
		}
	}
	sound(t, s)
}

func TestOpenRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "thesis.doc"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	later := t.TempDir()
	if err := os.WriteFile(filepath.Join(later, formatFile), []byte(`{"format":"banter-store/9"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ dir, want string }{
		"a folder of other things":  {full, "thesis.doc"},
		"a store of a later format": {later, "banter-store/1"},
		"a file":                    {file, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(c.dir, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestExplainNamesThePartThatChanged(t *testing.T) {
	s := open(t, t.TempDir())
	must(t, s, step("in", "1", "threshold", "0.6", "seed", "1"), "hello", Made)
	must(t, s, step("in", "2", "threshold", "0.7", "seed", "2"), "hello", Made)
	e, err := s.Explain(step("in", "1", "threshold", "0.9", "seed", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if e.Hit || len(e.Changed) != 1 || e.Changed[0] != (Difference{"threshold", "0.6", "0.9"}) {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(e.String(), "threshold: 0.6 -> 0.9") {
		t.Errorf("%s", e)
	}
	e, err = s.Explain(step("in", "2", "threshold", "0.7", "seed", "2"))
	if err != nil || !e.Hit {
		t.Errorf("%+v %v", e, err)
	}
}

func FuzzReadManifest(f *testing.F) {
	f.Add([]byte(`{"format":"banter-manifest/1","key":"","verb":"x","parts":[],"outputs":[{"name":"a","sha256":"../../etc/passwd"}]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "m.json")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := readManifest(path)
		if err != nil {
			return
		}
		if (Step{Verb: m.Verb, Parts: m.Parts}).Key() != m.Key {
			t.Error("a manifest with a wrong key was read")
		}
		for _, o := range m.Outputs {
			if !o.Digest.Valid() {
				t.Errorf("digest %q was let through", o.Digest)
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	s, err := Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	st := step("in", "1", "option.window", "12", "seed", "1")
	if _, _, err := s.Do(context.Background(), st, twoFiles("hello")); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok, err := s.Find(st.Key()); err != nil || !ok {
			b.Fatal(err)
		}
	}
}

// What differs is in sight, however long the values are.
func TestDifferencesAreInSight(t *testing.T) {
	long := strings.Repeat("the same text ", 20)
	for _, c := range []struct{ was, is, want string }{
		{"0.6", "0.9", "x: 0.6 -> 0.9"},
		{"", "0.9", "x: (none) -> 0.9"},
		{"func a() { b() }\nfunc b() { return 1 }", "func a() { b() }\nfunc b() { return 2 }", "x: func b() { return 1 } -> func b() { return 2 }"},
		{"func a() { b() }", "func a() { b() }\nfunc b() { return 2 }", "x: (none) -> func b() { return 2 }"},
		{"one\ntwo", "two\none", "x: one two -> two one"},
		{long + "is 1", long + "is 2", "x: ...he same text the same text is 1 -> ...he same text the same text is 2"},
	} {
		if got := (Difference{"x", c.was, c.is}).String(); got != c.want {
			t.Errorf("%q and %q: %s\nwant %s", c.was, c.is, got, c.want)
		}
	}
}
