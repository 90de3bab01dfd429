package memo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// world is all that a step depends on, and much that it must not depend on. Each run opens the store anew, as another
// process would, and makes a text that says what it was made from: so a wrong hit shows in the text.
type world struct {
	t        *testing.T
	dir      string
	store    string
	input    string // path
	second   string // path
	model    string // path
	options  any
	parts    [][2]any // more parts, in the order in which they are given
	verb     string
	label    string
	impl     string
	engine   string
	seed     int
	reads    []Key
	varies   string
	during   func() // happens while the work runs
	fail     error  // what the work ends with
	unmarked bool   // no recheck of inputs
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	w := &world{t: t, dir: dir, store: filepath.Join(dir, "store"), input: filepath.Join(dir, "in", "chat.json"), second: filepath.Join(dir, "in", "audio.wav"),
		model: filepath.Join(dir, "models", "m.bin"), options: map[string]any{"window": 12, "names": []string{"a", "b"}}, verb: "align", label: "s1", impl: "v1", engine: "e1", seed: 1}
	w.write(w.input, "some messages")
	w.write(w.second, "some sound")
	w.write(w.model, "some weights")
	return w
}

// long is a time so long ago that no clock's grain is in doubt. The time of change of a file is always now: tests that
// want a settled file wait it out by changing what the store remembers, see settle.
var long = time.Now().Add(-time.Hour).Truncate(time.Second)

func (w *world) write(path, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.touch(path, long)
}

func (w *world) touch(path string, at time.Time) {
	w.t.Helper()
	if err := os.Chtimes(path, at, at); err != nil {
		w.t.Fatal(err)
	}
}

// settle makes the store believe that its checksums of files were taken a minute later, so that they are trusted by looks
// alone, as they are in daily use.
func (w *world) settle() {
	w.t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.store, filesDir, "*.json"))
	if err != nil || len(paths) == 0 {
		w.t.Fatalf("no checksum is remembered: %v", err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			w.t.Fatal(err)
		}
		var r fileRecord
		if err := json.Unmarshal(b, &r); err != nil {
			w.t.Fatal(err)
		}
		r.Hashed += int64(time.Minute)
		if b, err = json.Marshal(r); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) move(from, to string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(from, to); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) open() *Store {
	w.t.Helper()
	s, err := Open(w.store, nil)
	w.ok(err)
	return s
}

func (w *world) step(s *Store) (Step, error) {
	st := Step{Verb: w.verb, Label: w.label, Reads: w.reads, Varies: w.varies}
	var files []File
	for name, path := range map[string]string{"input": w.input, "second": w.second, "model": w.model} { // in any order
		f, err := s.File(context.Background(), path)
		if err != nil {
			return st, err
		}
		files = append(files, f)
		st = st.With(name, f.Digest)
	}
	st = st.With("options", w.options).With("impl", w.impl).With("engine", w.engine).With("seed", w.seed)
	for _, p := range w.parts {
		st = st.With(p[0].(string), p[1])
	}
	if !w.unmarked {
		st.Recheck = func() error {
			for _, f := range files {
				if err := f.Unchanged(); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return st, nil
}

// meaning is what the result must be.
func (w *world) meaning() string {
	w.t.Helper()
	var b strings.Builder
	for _, path := range []string{w.input, w.second, w.model} {
		text, err := os.ReadFile(path)
		w.ok(err)
		fmt.Fprintf(&b, "%q\n", text)
	}
	fmt.Fprintf(&b, "%s %s %s %d\n", w.verb, w.impl, w.engine, w.seed)
	canonical(&b, w.options)
	return b.String()
}

// canonical writes a value so that equal values are equal texts, by other means than package memo's.
func canonical(b *strings.Builder, v any) { fmt.Fprintf(b, "%+q %v", v, v) }

func (w *world) run() (Outcome, error) {
	w.t.Helper()
	s := w.open()
	st, err := w.step(s)
	if err != nil {
		return Made, err
	}
	want := w.meaning()
	m, outcome, err := s.Do(context.Background(), st, func(_ context.Context, d *Draft) error {
		if w.during != nil {
			w.during()
		}
		if w.fail != nil {
			return w.fail
		}
		return d.WriteBytes("result.txt", []byte(want))
	})
	if err != nil {
		return outcome, err
	}
	o, err := m.Output("result.txt")
	w.ok(err)
	got, err := s.Read(o)
	w.ok(err)
	if string(got) != want && outcome == Hit {
		w.t.Errorf("WRONG HIT: got %s, want %s", got, want)
	}
	return outcome, nil
}

// copyTree copies a folder, with other inodes and, unless times is set, with other times.
func (w *world) copyTree(from, to string, times bool) {
	w.t.Helper()
	w.ok(filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o777)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(target, b, 0o644); err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && times {
			return os.Chtimes(target, info.ModTime(), info.ModTime())
		}
		return nil
	}))
}

// TestAdversarial changes one thing between two runs. What cannot change the bytes must hit; what can must not.
func TestAdversarial(t *testing.T) {
	type change = func(w *world)
	hits := map[string]change{
		// Options
		"nothing":                             func(w *world) {},
		"members of options in another order": func(w *world) { w.options = map[string]any{"names": []string{"a", "b"}, "window": 12} },
		"label":                               func(w *world) { w.label = "another" },
		"lineage by other steps of the same bytes": func(w *world) { w.reads = []Key{Key(strings.Repeat("a", 64))} },
		"remark on machines":                       func(w *world) { w.varies = "rounds otherwise" },
		// Files
		"file touched":                           func(w *world) { w.touch(w.input, time.Now()) },
		"file touched into the future":           func(w *world) { w.touch(w.input, time.Now().Add(1000*time.Hour)) },
		"file touched into 1970":                 func(w *world) { w.touch(w.input, time.Unix(0, 0)) },
		"file written again with the same bytes": func(w *world) { w.write(w.input, "some messages") },
		"file removed and made again":            func(w *world) { w.ok(os.Remove(w.input)); w.write(w.input, "some messages") },
		"file changed and changed back":          func(w *world) { w.write(w.input, "other"); w.write(w.input, "some messages") },
		"file grown and cut back":                func(w *world) { w.write(w.input, "some messages and more"); w.ok(os.Truncate(w.input, 13)) },
		"rights of a file":                       func(w *world) { w.ok(os.Chmod(w.input, 0o400)) },
		"file renamed":                           func(w *world) { to := w.input + ".json"; w.move(w.input, to); w.input = to },
		"file moved to another folder":           func(w *world) { to := filepath.Join(w.dir, "x", "y", "z"); w.move(w.input, to); w.input = to },
		"folder renamed": func(w *world) {
			to := filepath.Join(w.dir, "elsewhere")
			w.move(filepath.Dir(w.input), to)
			w.input, w.second = filepath.Join(to, "chat.json"), filepath.Join(to, "audio.wav")
		},
		"file through a symbolic link": func(w *world) { to := filepath.Join(w.dir, "link"); w.ok(os.Symlink(w.input, to)); w.input = to },
		"file through a hard link":     func(w *world) { to := filepath.Join(w.dir, "link"); w.ok(os.Link(w.input, to)); w.input = to },
		"path with dots":               func(w *world) { w.input = filepath.Dir(w.input) + "/../in/./chat.json" },
		"relative path": func(w *world) {
			here, err := os.Getwd()
			w.ok(err)
			rel, err := filepath.Rel(here, w.input)
			w.ok(err)
			w.input = rel
		},
		"unrelated file beside the inputs": func(w *world) { w.write(filepath.Join(filepath.Dir(w.input), "notes.txt"), "x") },
		"remembered checksums lost":        func(w *world) { w.ok(os.RemoveAll(filepath.Join(w.store, filesDir))) },
		"remembered checksums damaged":     func(w *world) { overwriteAll(w, filesDir, []byte("{")) },
		"remembered checksums empty":       func(w *world) { overwriteAll(w, filesDir, nil) },
		// Models
		"model renamed":       func(w *world) { to := filepath.Join(w.dir, "models", "n.bin"); w.move(w.model, to); w.model = to },
		"model touched":       func(w *world) { w.touch(w.model, time.Now()) },
		"model fetched again": func(w *world) { w.ok(os.Remove(w.model)); w.write(w.model, "some weights") },
		// Clocks and surroundings
		"clock set back by a year":       func(w *world) { touchAll(w, time.Now().AddDate(1, 0, 0)) },
		"clock set forward by ten years": func(w *world) { touchAll(w, time.Now().AddDate(-10, 0, 0)) },
		"time zone": func(w *world) {
			local := time.Local
			time.Local = time.FixedZone("X", 5*3600)
			w.t.Cleanup(func() { time.Local = local })
		},
		"environment":     func(w *world) { w.t.Setenv("LC_ALL", "tr_TR.UTF-8"); w.t.Setenv("HOME", "/nowhere") },
		"number of cores": func(w *world) { w.t.Setenv("GOMAXPROCS", "1") },
		// Stores
		"store moved":                    func(w *world) { to := filepath.Join(w.dir, "moved"); w.move(w.store, to); w.store = to },
		"store copied with its times":    func(w *world) { to := filepath.Join(w.dir, "copy"); w.copyTree(w.store, to, true); w.store = to },
		"store copied without its times": func(w *world) { to := filepath.Join(w.dir, "copy"); w.copyTree(w.store, to, false); w.store = to },
		"store through a symbolic link":  func(w *world) { to := filepath.Join(w.dir, "link"); w.ok(os.Symlink(w.store, to)); w.store = to },
		"step taken by archive to another store": func(w *world) {
			var b bytes.Buffer
			from := w.open()
			list, err := from.Manifests()
			w.ok(err)
			_, err = from.Export(context.Background(), &b, []Key{list[0].Key})
			w.ok(err)
			w.store = filepath.Join(w.dir, "other")
			_, err = w.open().Import(context.Background(), &b, ImportOptions{})
			w.ok(err)
		},
		"gc":                             func(w *world) { _, err := w.open().GC(context.Background(), -1, false); w.ok(err) },
		"gc with a budget that suffices": func(w *world) { _, err := w.open().GC(context.Background(), 1<<30, false); w.ok(err) },
		"gc without a budget for what a recipe needs": func(w *world) {
			s := w.open()
			list, err := s.Manifests()
			w.ok(err)
			w.ok(s.SetRoot(Root{Name: "recipe", Keys: []Key{list[0].Key}}))
			_, err = s.GC(context.Background(), 0, false)
			w.ok(err)
		},
		"unrelated step stored":             func(w *world) { other := *w; other.seed = 99; _, err := other.run(); w.ok(err) },
		"unrelated step failed":             func(w *world) { other := *w; other.seed, other.fail = 99, errors.New("no"); _, _ = other.run() },
		"same step failed for others since": func(w *world) { other := *w; other.fail = errors.New("no"); _, err := other.run(); w.ok(err) },
		"lock left by a killed process":     func(w *world) { w.ok(os.WriteFile(filepath.Join(w.store, locksDir, string(w.key())), nil, 0o644)) },
		"draft left by a killed process":    func(w *world) { w.ok(os.MkdirAll(filepath.Join(w.store, draftsDir, string(w.key())+".1", "x"), 0o777)) },
		"verified meanwhile":                func(w *world) { _, err := w.open().Verify(context.Background()); w.ok(err) },
	}
	misses := map[string]change{
		// Options
		"option changed":                    func(w *world) { w.options = map[string]any{"window": 13, "names": []string{"a", "b"}} },
		"option added":                      func(w *world) { w.options = map[string]any{"window": 12, "names": []string{"a", "b"}, "more": 0} },
		"option removed":                    func(w *world) { w.options = map[string]any{"window": 12} },
		"list in another order":             func(w *world) { w.options = map[string]any{"window": 12, "names": []string{"b", "a"}} },
		"list split otherwise":              func(w *world) { w.options = map[string]any{"window": 12, "names": []string{"a,b"}} },
		"text for a number":                 func(w *world) { w.options = map[string]any{"window": "12", "names": []string{"a", "b"}} },
		"case of a text":                    func(w *world) { w.options = map[string]any{"window": 12, "names": []string{"A", "b"}} },
		"blank in a text":                   func(w *world) { w.options = map[string]any{"window": 12, "names": []string{"a ", "b"}} },
		"seed":                              func(w *world) { w.seed = 2 },
		"implementation":                    func(w *world) { w.impl = "v2" },
		"engine":                            func(w *world) { w.engine = "e2" },
		"verb":                              func(w *world) { w.verb = "filter" },
		"implementation and engine swapped": func(w *world) { w.impl, w.engine = "e1", "v1" },
		// Files
		"file changed":                     func(w *world) { w.write(w.input, "other messages") },
		"file changed, same size":          func(w *world) { w.write(w.input, "SOME messages") },
		"file changed, same size and time": func(w *world) { w.settle(); w.write(w.input, "SOME messages") },
		"file changed in place, time set back": func(w *world) {
			w.settle()
			f, err := os.OpenFile(w.input, os.O_WRONLY, 0)
			w.ok(err)
			_, err = f.WriteAt([]byte("S"), 0)
			w.ok(err)
			w.ok(f.Close())
			w.touch(w.input, long)
		},
		"file replaced by one of the same size and time": func(w *world) {
			w.settle()
			other := w.input + ".new"
			w.write(other, "SOME messages")
			w.move(other, w.input)
		},
		"file replaced by an older backup": func(w *world) {
			w.settle()
			w.write(w.input, "some message\n")
			w.touch(w.input, long.Add(-time.Hour))
		},
		"file changed through a hard link": func(w *world) {
			to := filepath.Join(w.dir, "link")
			w.ok(os.Link(w.input, to))
			w.settle()
			w.write(to, "SOME messages")
		},
		"link led to another file of the same size and time": func(w *world) {
			to := filepath.Join(w.dir, "link")
			w.ok(os.Symlink(w.input, to))
			real := w.input
			w.input = to
			_, err := w.run()
			w.ok(err)
			w.settle()
			w.write(real+"2", "SOME messages")
			w.ok(os.Remove(to))
			w.ok(os.Symlink(real+"2", to))
		},
		"file changed within the clock's grain": func(w *world) {
			w.write(w.input, "first writing")
			_, err := w.run()
			w.ok(err)
			w.write(w.input, "other writing")
		},
		"file changed, its time in the future": func(w *world) {
			at := time.Now().Add(1000 * time.Hour)
			w.touch(w.input, at)
			_, err := w.run()
			w.ok(err)
			w.settle()
			w.write(w.input, "SOME messages")
			w.touch(w.input, at)
		},
		"byte appended":               func(w *world) { w.write(w.input, "some messages ") },
		"file emptied":                func(w *world) { w.write(w.input, "") },
		"line ends":                   func(w *world) { w.write(w.input, "some\r\nmessages") },
		"two inputs swapped":          func(w *world) { w.input, w.second = w.second, w.input },
		"both inputs the same file":   func(w *world) { w.second = w.input },
		"border between inputs moved": func(w *world) { w.write(w.input, "some messagess"); w.write(w.second, "ome sound") },
		"other file under a remembered path": func(w *world) {
			w.settle()
			to := filepath.Join(w.dir, "kept")
			w.move(w.input, to)
			w.write(w.input, "SOME messages")
		},
		// Models
		"model of the same name swapped":    func(w *world) { w.write(w.model, "OTHER weights") },
		"model swapped, same size and time": func(w *world) { w.settle(); w.write(w.model, "SOME weights") },
		"model swapped by rename":           func(w *world) { w.settle(); w.write(w.model+"2", "SOME weights"); w.move(w.model+"2", w.model) },
		// Stores
		"another store":  func(w *world) { w.store += "2" },
		"object damaged": func(w *world) { overwriteAll(w, objectsDir, []byte("junk")) },
		"object emptied": func(w *world) { overwriteAll(w, objectsDir, nil) },
		"object damaged, same size and time": func(w *world) {
			each(w, objectsDir, func(path string) {
				info, err := os.Stat(path)
				w.ok(err)
				damage(w.t, path)
				w.touch(path, info.ModTime())
			})
		},
		"object removed":      func(w *world) { each(w, objectsDir, func(path string) { w.ok(os.Remove(path)) }) },
		"all objects removed": func(w *world) { w.ok(os.RemoveAll(filepath.Join(w.store, objectsDir))) },
		"manifest damaged":    func(w *world) { overwriteAll(w, manifestsDir, []byte("{")) },
		"manifest emptied":    func(w *world) { overwriteAll(w, manifestsDir, nil) },
		"manifest removed":    func(w *world) { each(w, manifestsDir, func(path string) { w.ok(os.Remove(path)) }) },
		"manifest of another step under this key": func(w *world) {
			mine := w.open().manifestPath(w.key())
			other := *w
			other.seed = 99
			_, err := other.run()
			w.ok(err)
			b, err := os.ReadFile(w.open().manifestPath(other.key()))
			w.ok(err)
			w.ok(os.WriteFile(mine, b, 0o644))
		},
		"manifest that names another object": func(w *world) {
			mine := w.open().manifestPath(w.key())
			b, err := os.ReadFile(mine)
			w.ok(err)
			m, err := parseManifest(b)
			w.ok(err)
			b = bytes.ReplaceAll(b, []byte(m.Outputs[0].Digest), []byte(Sum([]byte("other"))))
			w.ok(os.WriteFile(mine, b, 0o644))
		},
		"gc without a budget": func(w *world) { _, err := w.open().GC(context.Background(), 0, false); w.ok(err) },
	}
	for name, c := range hits {
		t.Run("hit/"+name, func(t *testing.T) { adversarial(t, c, Hit) })
	}
	for name, c := range misses {
		t.Run("miss/"+name, func(t *testing.T) { adversarial(t, c, Made) })
	}
}

func adversarial(t *testing.T, change func(*world), want Outcome) {
	w := newWorld(t)
	if got, err := w.run(); err != nil || got != Made {
		t.Fatalf("first run: %v %v", got, err)
	}
	change(w)
	if got, err := w.run(); err != nil || got != want {
		t.Errorf("%v %v, want %v", got, err, want)
	}
	if got, err := w.run(); err != nil || got != Hit {
		t.Errorf("said once more: %v %v, want a hit", got, err)
	}
	r, err := w.open().Verify(context.Background())
	if err != nil || len(r.Wrong) > 0 {
		t.Errorf("verify: %v %v", r.Wrong, err)
	}
}

func (w *world) key() Key {
	w.t.Helper()
	st, err := w.step(w.open())
	w.ok(err)
	return st.Key()
}

func each(w *world, sub string, do func(path string)) {
	w.t.Helper()
	n := 0
	w.ok(filepath.WalkDir(filepath.Join(w.store, sub), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
			do(path)
		}
		return err
	}))
	if n == 0 {
		w.t.Fatalf("%s is empty", sub)
	}
}

func overwriteAll(w *world, sub string, b []byte) {
	each(w, sub, func(path string) {
		w.ok(os.Chmod(path, 0o644))
		w.ok(os.WriteFile(path, b, 0o644))
	})
}

func touchAll(w *world, at time.Time) {
	each(w, ".", func(path string) { w.touch(path, at) })
	w.touch(w.input, at)
}

// TestAdversarialValues holds values against each other within one part.
func TestAdversarialValues(t *testing.T) {
	type options struct {
		A float64
		B string
	}
	type reordered struct {
		B string
		A float64
	}
	five, tenth := 5, 0.1 // constants would be added without rounding
	for _, c := range []struct {
		name string
		a, b any
		same bool
	}{
		{"float formatting", map[string]any{"x": 0.10}, map[string]any{"x": 1e-1}, true},
		{"whole float", map[string]any{"x": 1.0}, map[string]any{"x": 1}, true},
		{"large float", map[string]any{"x": 1e21}, map[string]any{"x": 1000000000000000000000.0}, true},
		{"fields in another order", options{1, "x"}, reordered{"x", 1}, true},
		{"map order", map[string]int{"a": 1, "b": 2, "c": 3}, map[string]int{"c": 3, "b": 2, "a": 1}, true},
		{"map order, nested", map[string]any{"m": map[int]int{1: 1, 10: 2, 2: 3}}, map[string]any{"m": map[int]int{10: 2, 2: 3, 1: 1}}, true},
		{"pointer and value", struct{ N *int }{&five}, struct{ N int }{5}, true},
		{"duration said otherwise", struct{ D time.Duration }{90 * time.Second}, struct{ D time.Duration }{time.Minute + 30*time.Second}, true},
		{"raw JSON with blanks", json.RawMessage(`{ "a" : 1 }`), json.RawMessage(`{"a":1}`), true},
		{"raw JSON, members in another order", json.RawMessage(`{"b":2,"a":1}`), json.RawMessage(`{"a":1,"b":2}`), true},
		{"escaped text", json.RawMessage(`"\u0061"`), json.RawMessage(`"a"`), true},
		{"sum that is not 0.3", []float64{tenth + 2*tenth}, []float64{0.3}, false},
		{"neighbouring floats", []float64{0.1}, []float64{math.Nextafter(0.1, 1)}, false},
		{"negative zero", []float64{math.Copysign(0, -1)}, []float64{0}, false},
		{"neighbouring integers above 2^53", []int64{1 << 53}, []int64{1<<53 + 1}, false},
		{"number and its text", []any{1}, []any{"1"}, false},
		{"bool and its text", []any{true}, []any{"true"}, false},
		{"null and empty text", []any{nil}, []any{""}, false},
		{"composed and decomposed letters", []string{"\u00e9"}, []string{"e\u0301"}, false},
		{"letters that look alike", []string{"a"}, []string{"\u0430"}, false},
		{"bytes that are no text", []string{"\xff"}, []string{"\xfe"}, false},
		{"bytes that are no text, and their mark", []string{"\xff"}, []string{"\ufffd"}, false},
		{"bytes that are no text, swapped", []string{"\xff", "\xfe"}, []string{"\xfe", "\xff"}, false},
		{"bytes that are no text, in a field", options{1, "\xff"}, options{1, "\xfe"}, false},
		{"bytes that are no text, in a map's key", map[string]int{"\xff": 1}, map[string]int{"\xfe": 1}, false},
		{"text with a zero byte", []string{"a\x00b"}, []string{"ab"}, false},
		{"nested borders", [][]string{{"a"}, {"b"}}, [][]string{{"a", "b"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := Step{}.With("p", c.a).Key(), Step{}.With("p", c.b).Key()
			if (a == b) != c.same {
				ca, _ := Canonical(c.a)
				cb, _ := Canonical(c.b)
				t.Errorf("the same key: %v, want %v (%q, %q)", a == b, c.same, ca, cb)
			}
			if again := (Step{}).With("p", c.a).Key(); again != a {
				t.Error("the key of one value is not always the same")
			}
		})
	}
	for name, v := range map[string]any{"not a number": math.NaN(), "infinity": math.Inf(1), "function": func() {}, "channel": make(chan int)} {
		t.Run("refused "+name, func(t *testing.T) {
			if c, err := Canonical(v); err == nil {
				t.Errorf("this has a canonical form: %s", c)
			}
		})
	}
}

// TestAdversarialDuringTheWork changes inputs while the work runs: nothing made of a mixture may be stored.
func TestAdversarialDuringTheWork(t *testing.T) {
	for name, during := range map[string]func(w *world){
		"input changed":                     func(w *world) { w.write(w.input, "other messages") },
		"input changed, same size":          func(w *world) { w.write(w.input, "SOME messages"); w.touch(w.input, time.Now()) },
		"input changed, same size and time": func(w *world) { w.write(w.input, "SOME messages") },
		"input replaced":                    func(w *world) { w.write(w.input+"2", "SOME messages"); w.move(w.input+"2", w.input) },
		"input removed":                     func(w *world) { w.ok(os.Remove(w.input)) },
		"model swapped":                     func(w *world) { w.write(w.model, "SOME weights") },
		"input changed within the clock's grain": func(w *world) {
			info, err := os.Stat(w.second)
			w.ok(err)
			w.ok(os.WriteFile(w.second, []byte("SOME sound"), 0o644))
			w.touch(w.second, info.ModTime())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.during = func() { during(w) }
			before := w.key()
			if _, err := w.run(); err == nil {
				t.Error("a result of a changed input was stored")
			} else {
				t.Log(err)
			}
			if _, ok, err := w.open().Lookup(before); err != nil || ok {
				t.Errorf("stored: %v %v", ok, err)
			}
			w.during = nil
			w.write(w.input, "some messages")
			w.write(w.second, "some sound")
			w.write(w.model, "some weights")
			if got, err := w.run(); err != nil || got != Made {
				t.Errorf("when nothing writes to it: %v %v", got, err)
			}
		})
	}
	t.Run("rights of the input changed", func(t *testing.T) { // which is no change of its bytes
		w := newWorld(t)
		w.during = func() { w.ok(os.Chmod(w.input, 0o400)) }
		if got, err := w.run(); err != nil || got != Made {
			t.Errorf("%v %v", got, err)
		}
	})
}

// TestAdversarialFailures runs a step that is broken off, and then again.
func TestAdversarialFailures(t *testing.T) {
	broken := errors.New("broken")
	for name, first := range map[string]func(w *world) error{
		"the work fails": func(w *world) error { w.fail = broken; _, err := w.run(); w.fail = nil; return err },
		"the work panics": func(w *world) (err error) {
			defer func() { err = fmt.Errorf("%v", recover()); w.during = nil }()
			w.during = func() { panic("oh") }
			_, _ = w.run()
			return nil
		},
		"the disk is full": func(w *world) error {
			s := w.open()
			s.fault = func(point string) error {
				if strings.HasPrefix(point, "sync") {
					return syscall.ENOSPC
				}
				return nil
			}
			st, err := w.step(s)
			w.ok(err)
			_, _, err = s.Do(context.Background(), st, func(_ context.Context, d *Draft) error { return d.WriteBytes("result.txt", []byte("x")) })
			return err
		},
		"the run is stopped": func(w *world) error {
			ctx, cancel := context.WithCancel(context.Background())
			s := w.open()
			st, err := w.step(s)
			w.ok(err)
			_, _, err = s.Do(ctx, st, func(_ context.Context, d *Draft) error { cancel(); return d.WriteBytes("result.txt", []byte("x")) })
			return err
		},
		"an output is left open": func(w *world) error {
			s := w.open()
			st, err := w.step(s)
			w.ok(err)
			_, _, err = s.Do(context.Background(), st, func(_ context.Context, d *Draft) error {
				f, err := d.Create("result.txt")
				w.ok(err)
				_, err = io.WriteString(f, "x")
				return err
			})
			return err
		},
		"an output is written twice": func(w *world) error {
			s := w.open()
			st, err := w.step(s)
			w.ok(err)
			_, _, err = s.Do(context.Background(), st, func(_ context.Context, d *Draft) error {
				w.ok(d.WriteBytes("result.txt", []byte("x")))
				return d.WriteBytes("result.txt", []byte("y"))
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := first(w); err == nil {
				t.Fatal("there was no error")
			}
			if got, err := w.run(); err != nil || got != Made {
				t.Errorf("then: %v %v, want it made", got, err)
			}
			if got, err := w.run(); err != nil || got != Hit {
				t.Errorf("and then: %v %v, want a hit", got, err)
			}
			r, err := w.open().Verify(context.Background())
			if err != nil || len(r.Wrong)+r.Drafts > 0 {
				t.Errorf("verify: %+v %v", r, err)
			}
		})
	}
}

// TestAdversarialChains follows what happens to steps that read other steps.
func TestAdversarialChains(t *testing.T) {
	// second reads the first step's result by its digest.
	second := func(w *world, first string) (Outcome, string) {
		t.Helper()
		s := w.open()
		m, _, err := s.Do(context.Background(), Step{Verb: "first"}.With("in", first), func(_ context.Context, d *Draft) error {
			return d.WriteBytes("r", []byte(strings.ToLower(first)))
		})
		w.ok(err)
		st := Step{Verb: "second", Reads: []Key{m.Key}}.With("in", m.Outputs[0].Digest)
		m, outcome, err := s.Do(context.Background(), st, func(_ context.Context, d *Draft) error {
			b, err := s.Read(m.Outputs[0])
			if err != nil {
				return err
			}
			return d.WriteBytes("r", append([]byte("of "), b...))
		})
		w.ok(err)
		b, err := s.Read(m.Outputs[0])
		w.ok(err)
		return outcome, string(b)
	}
	w := newWorld(t)
	for _, c := range []struct {
		name, first string
		want        Outcome
		text        string
	}{
		{"the first time", "Hello", Made, "of hello"},
		{"again", "Hello", Hit, "of hello"},
		{"what is read was made otherwise, with the same bytes", "HELLO", Hit, "of hello"},
		{"what is read has other bytes", "World", Made, "of world"},
		{"back", "Hello", Hit, "of hello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, text := second(w, c.first); got != c.want || text != c.text {
				t.Errorf("%v %q, want %v %q", got, text, c.want, c.text)
			}
		})
	}
	t.Run("what is read was lost", func(t *testing.T) {
		s := w.open()
		m, ok, err := s.Lookup(Step{Verb: "first"}.With("in", "Hello").Key())
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		w.ok(os.Remove(s.ObjectPath(m.Outputs[0])))
		if got, text := second(w, "Hello"); got != Hit || text != "of hello" {
			t.Errorf("%v %q: the same bytes were made again, so what follows should hit", got, text)
		}
	})
}

// TestAdversarialCrowds has many goroutines, each with a store of its own as processes have, want one key.
func TestAdversarialCrowds(t *testing.T) {
	for name, first := range map[string]func(w *world){
		"fresh":                 func(w *world) {},
		"with a damaged object": func(w *world) { _, err := w.run(); w.ok(err); overwriteAll(w, objectsDir, []byte("junk")) },
		"with a lock left": func(w *world) {
			w.open()
			w.ok(os.WriteFile(filepath.Join(w.store, locksDir, string(w.key())), nil, 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first(w)
			var mu sync.Mutex
			made := 0
			w.during = func() { mu.Lock(); made++; mu.Unlock() }
			var wait sync.WaitGroup
			for range 6 {
				wait.Go(func() {
					mine := *w
					if _, err := mine.run(); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			if made != 1 {
				t.Errorf("made %d times", made)
			}
			if _, err := w.open().Verify(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}
