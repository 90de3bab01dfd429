package memo

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// chain makes three steps, each of which reads the one before it; the last two share an object.
func chain(t *testing.T, s *Store) []Key {
	t.Helper()
	var keys []Key
	for i, text := range []string{"one", "two", "two"} {
		st := step("in", fmt.Sprint(i))
		if i > 0 {
			st.Reads = []Key{keys[i-1]}
		}
		keys = append(keys, must(t, s, st, text, Made).Key)
	}
	return keys
}

func exported(t *testing.T, s *Store, keys []Key) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.Export(context.Background(), &b, keys); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchiveTakesStepsElsewhere(t *testing.T) {
	from := open(t, t.TempDir())
	keys := chain(t, from)
	all, err := from.With(keys[2:])
	if err != nil || len(all) != 3 {
		t.Fatalf("the last step was made from %v, %v: want all three", all, err)
	}
	b := exported(t, from, all)
	if again := exported(t, from, []Key{keys[2], keys[0], keys[1], keys[0]}); !bytes.Equal(b, again) {
		t.Error("the same steps in another order gave another archive")
	}
	to := open(t, t.TempDir())
	a, err := to.Import(context.Background(), bytes.NewReader(b), ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Steps != 3 || a.New != 3 || a.Objects != 4 || a.Bytes != 12 {
		t.Errorf("%+v", a)
	}
	if r := sound(t, to); r.Orphans+r.Drafts != 0 {
		t.Errorf("leavings: %+v", r)
	}
	for i, text := range []string{"one", "two", "two"} {
		must(t, to, step("in", fmt.Sprint(i)), text, Hit)
	}
	m, _, _ := to.Lookup(keys[1])
	if len(m.Reads) != 1 || m.Reads[0] != keys[0] {
		t.Errorf("the lineage was lost: %v", m.Reads)
	}
	if a, err := to.Import(context.Background(), bytes.NewReader(b), ImportOptions{}); err != nil || a.New != 0 || a.Steps != 3 {
		t.Errorf("imported twice: %+v %v", a, err)
	}
	if back := exported(t, to, all); !bytes.Equal(b, back) {
		t.Error("what was imported is exported with other bytes")
	}
}

func TestExportOfDamagedStep(t *testing.T) {
	dir := t.TempDir()
	keys := chain(t, open(t, dir))
	s := open(t, dir)
	m, _, _ := s.Lookup(keys[1])
	damage(t, s.ObjectPath(m.Outputs[0]))
	_, err := s.Export(context.Background(), io.Discard, keys)
	if err == nil || !strings.Contains(err.Error(), "not whole in the store (run its recipe again") {
		t.Errorf("error %v", err)
	}
}

// damage flips a byte of a file.
func damage(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestImportOverDamage(t *testing.T) {
	dir := t.TempDir()
	keys := chain(t, open(t, dir))
	b := exported(t, open(t, dir), keys)
	s := open(t, dir)
	m, _, _ := s.Lookup(keys[0])
	damage(t, s.ObjectPath(m.Outputs[0]))
	if a, err := s.Import(context.Background(), bytes.NewReader(b), ImportOptions{}); err != nil || a.New != 1 {
		t.Fatalf("%+v %v", a, err)
	}
	sound(t, s)
	must(t, s, step("in", "0"), "one", Hit)
}

// item is one entry of an archive that a test writes.
type item struct {
	name string
	body string
	kind byte
	size int64 // where it is not that of body
	link string
}

func packed(t *testing.T, items []item) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, i := range items {
		h := entry(i.name, int64(len(i.body)))
		if i.size != 0 {
			h.Size = i.size
		}
		if i.kind != 0 {
			h.Typeflag, h.Linkname = i.kind, i.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.body); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close() // an entry may be shorter than it says
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// forged is the manifest of a step with the given outputs, whose parts give its key.
func forged(t *testing.T, change func(*Manifest)) item {
	t.Helper()
	st := step("in", "forged")
	m := Manifest{Format: manifestFormat, Key: st.Key(), Verb: st.Verb, Parts: st.Parts, Outputs: []Output{{"a.txt", Sum([]byte("hello")), 5}}}
	change(&m)
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return item{name: "manifests/" + string(st.Key()) + ".json", body: string(b)}
}

func TestImportRefusesHostileArchives(t *testing.T) {
	head := item{name: archiveHead, body: `{"format":"banter-archive/1"}`}
	hello := item{name: "objects/" + string(Sum([]byte("hello"))), body: "hello"}
	plain := forged(t, func(*Manifest) {})
	outputs := func(list ...Output) item { return forged(t, func(m *Manifest) { m.Outputs = list }) }
	digest := Sum([]byte("hello"))
	cases := []struct {
		name  string
		items []item
		want  string
	}{
		{"no head", []item{plain, hello}, "does not begin with"},
		{"head of a later format", []item{{name: archiveHead, body: `{"format":"banter-archive/9"}`}}, "does not begin with"},
		{"empty", nil, "empty or cut short"},
		{"object in a folder above", []item{head, {name: "../objects/" + string(digest), body: "hello"}}, "neither a manifest nor an object"},
		{"absolute path", []item{head, {name: "/etc/passwd", body: "x"}}, "neither a manifest nor an object"},
		{"object with dots in its name", []item{head, plain, {name: "objects/../../x", body: "hello"}}, "neither a manifest nor an object"},
		{"object named in capitals", []item{head, plain, {name: "objects/" + strings.ToUpper(string(digest)), body: "hello"}}, "neither a manifest nor an object"},
		{"symbolic link", []item{head, {name: hello.name, kind: tar.TypeSymlink, link: "/etc/passwd"}}, "holds only files"},
		{"hard link", []item{head, {name: hello.name, kind: tar.TypeLink, link: "/etc/passwd"}}, "holds only files"},
		{"folder", []item{head, {name: "objects/", kind: tar.TypeDir}}, "holds only files"},
		{"device", []item{head, {name: hello.name, kind: tar.TypeChar}}, "holds only files"},
		{"object before its manifest", []item{head, hello, plain}, "belongs to no step"},
		{"object that no manifest names", []item{head, plain, hello, {name: "objects/" + string(Sum([]byte("x"))), body: "x"}}, "belongs to no step"},
		{"object that comes twice", []item{head, plain, hello, hello}, "belongs to no step"},
		{"wrong bytes", []item{head, plain, {name: hello.name, body: "jello"}}, "its bytes are not what its name says"},
		{"object longer than its manifest says", []item{head, plain, {name: hello.name, body: "hello world"}}, "has 11 bytes, its manifest says 5"},
		{"object shorter than its manifest says", []item{head, plain, {name: hello.name, body: "hell"}}, "has 4 bytes, its manifest says 5"},
		{"object missing", []item{head, plain}, "cut short"},
		{"object missing before the next step", []item{head, plain, plain}, "are not in the archive"},
		{"archive cut within an object", []item{head, plain, {name: hello.name, body: "hel", size: 5}}, "cut short"},
		{"more bytes than allowed", []item{head, outputs(Output{"a.txt", digest, 1 << 50})}, "--limit"},
		{"sizes that overflow", []item{head, outputs(Output{"a.txt", digest, 1<<63 - 1}, Output{"b.txt", Sum(nil), 1<<63 - 1})}, "--limit"},
		{"negative size", []item{head, outputs(Output{"a.txt", digest, -5})}, "-5 bytes"},
		{"one object of two sizes", []item{head, outputs(Output{"a.txt", digest, 5}, Output{"b.txt", digest, 6})}, "5 bytes and 6 bytes"},
		{"output that climbs out of its folder", []item{head, outputs(Output{"../../.bashrc", digest, 5})}, "not a name for an output"},
		{"output with a folder", []item{head, outputs(Output{`a\b`, digest, 5})}, "not a name for an output"},
		{"hidden output", []item{head, outputs(Output{".bashrc", digest, 5})}, "not a name for an output"},
		{"output named twice", []item{head, outputs(Output{"a.txt", digest, 5}, Output{"a.txt", digest, 5})}, "named twice"},
		{"output whose digest is a path", []item{head, outputs(Output{"a.txt", "../../../../etc/passwd", 5})}, "no digest"},
		{"lineage that is a path", []item{head, forged(t, func(m *Manifest) { m.Reads = []Key{"../x"} })}, "is not a key"},
		{"parts that do not give the key", []item{head, forged(t, func(m *Manifest) { m.Parts[0].Value = "other" })}, "do not give its key"},
		{"manifest under another key's name", []item{head, {name: "manifests/" + string(digest) + ".json", body: plain.body}}, "another key"},
		{"manifest that is no JSON", []item{head, {name: plain.name, body: "<html>"}}, "is not what it says"},
		{"manifest beyond all bounds", []item{head, {name: plain.name, size: maxManifestBytes + 1}}, "more than one can have"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, filepath.Join(dir, "store"))
			must(t, s, step("in", "0"), "before", Made)
			_, err := s.Import(context.Background(), bytes.NewReader(packed(t, c.items)), ImportOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one that says %q", err, c.want)
			}
			if !strings.HasPrefix(err.Error(), "import") || strings.Contains(err.Error(), "\n") {
				t.Errorf("this is no clear sentence: %v", err)
			}
			whole := len(c.items) > 3 // those whose first step is whole
			if _, ok, err := s.Find(step("in", "forged").Key()); err != nil || ok != whole {
				t.Errorf("the step is there: %v, %v", ok, err)
			}
			if r := sound(t, s); r.Drafts != 0 {
				t.Errorf("leavings: %+v", r)
			}
			must(t, s, step("in", "0"), "before", Hit)
			if others, _ := os.ReadDir(dir); len(others) != 1 {
				t.Errorf("something was written beside the store: %v", others)
			}
		})
	}
}

func TestImportOfWhatIsNoArchive(t *testing.T) {
	good := exported(t, open(t, t.TempDir()), nil)
	whole := open(t, t.TempDir())
	full := exported(t, whole, chain(t, whole))
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"text":              []byte("<html>404</html>"),
		"zstd of text":      packedText(t, "hello"),
		"cut in the middle": full[:len(full)/2],
		"cut at the end":    full[:len(full)-3],
		"flipped":           flip(full),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			if _, err := s.Import(context.Background(), bytes.NewReader(b), ImportOptions{}); err == nil || !strings.HasPrefix(err.Error(), "import: ") {
				t.Errorf("error %v", err)
			} else {
				t.Log(err)
			}
			sound(t, s)
		})
	}
	if a, err := open(t, t.TempDir()).Import(context.Background(), bytes.NewReader(good), ImportOptions{}); err != nil || a.Steps != 0 {
		t.Errorf("an archive of nothing: %+v %v", a, err)
	}
}

func packedText(t *testing.T, text string) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll([]byte(text), nil)
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 0xff
	return b
}

func TestImportStops(t *testing.T) {
	from := open(t, t.TempDir())
	b := exported(t, from, chain(t, from))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := open(t, t.TempDir()).Import(ctx, bytes.NewReader(b), ImportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func FuzzImport(f *testing.F) {
	dir := f.TempDir()
	from, err := Open(dir, nil)
	if err != nil {
		f.Fatal(err)
	}
	m, _, err := from.Do(context.Background(), step("in", "1"), twoFiles("hello"))
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := from.Export(context.Background(), &b, []Key{m.Key}); err != nil {
		f.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := z.DecodeAll(b.Bytes(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte("no tar"))
	f.Fuzz(func(t *testing.T, b []byte) { // what is fuzzed is the tar, not zstd
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Import(context.Background(), bytes.NewReader(enc.EncodeAll(b, nil)), ImportOptions{Limit: 1 << 20})
		r, err := s.Verify(context.Background())
		if err != nil || len(r.Wrong) > 0 {
			t.Fatalf("after an import: %+v %v", r, err)
		}
	})
}
