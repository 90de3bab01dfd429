package models

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"
)

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// asrBytes is a file that begins as a Whisper model does.
func asrBytes(n int) []byte {
	b := bytes.Repeat([]byte{7, 1, 2, 3, 9}, n/5+1)[:n]
	copy(b, "lmgg")
	return b
}

func TestRegistry(t *testing.T) {
	hex64 := regexp.MustCompile(`^[0-9a-f]{64}$`)
	seen := map[string]bool{}
	for _, e := range List() {
		for _, name := range append([]string{e.Name}, e.Aliases...) {
			if seen[name] || name != strings.ToLower(name) {
				t.Errorf("the name %q is taken twice or not in lower case", name)
			}
			seen[name] = true
		}
		if e.Licence == "" || e.About == "" || len(e.Files) == 0 || len(e.Files) > 1 && !e.Folder {
			t.Errorf("%s is not fully described", e.Name)
		}
		for _, f := range e.Files {
			if f.SHA256 != "" && (!hex64.MatchString(f.SHA256) || f.Size <= 0) {
				t.Errorf("%s: the digest %q or size %d of %s cannot be right", e.Name, f.SHA256, f.Size, f.Name)
			}
			if (f.URL == "") != (e.Shipped != "") || f.URL != "" && !strings.HasPrefix(f.URL, "https://") {
				t.Errorf("%s: URL %q", e.Name, f.URL)
			}
		}
	}
	if _, ok := Lookup("Tiny.EN"); !ok {
		t.Error("a name is not found in another case")
	}
	if e, ok := Lookup("silero"); !ok || e.Name != "silero-v6.2.0" || !e.Verified() {
		t.Errorf("silero is %+v", e)
	}
}

func TestResolveShipped(t *testing.T) {
	t.Setenv(DirVariable, "")
	m, err := Resolve(t.Context(), "asr-micro")
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind != ASR || m.SHA256 != "3915a3410cf61a8b3ae5ff2c28c3590ab14ddc4aa0d3ce08ae6eb8505eaaa090" || !m.Quirks.NoTextContext || len(m.Quirks.DTWHeads) != 1 {
		t.Errorf("asr-micro is %+v", m)
	}
	// By path, the same model has the same quirks.
	byPath, err := Resolve(t.Context(), m.Path)
	if err != nil {
		t.Fatal(err)
	}
	if byPath.SHA256 != m.SHA256 || !byPath.Quirks.NoTextContext {
		t.Errorf("by path, asr-micro is %+v", byPath)
	}
	lm, err := Resolve(t.Context(), "lm-micro")
	if err != nil {
		t.Fatal(err)
	}
	if lm.Kind != LM || len(lm.SHA256) != 64 {
		t.Errorf("lm-micro is %+v", lm)
	}
}

func TestResolveRefuses(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(DirVariable, dir)
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("half/config.json", []byte("{}"))
	write("bare/config.json", []byte("{}"))
	write("bare/tokenizer.json", []byte("{}"))
	write("quirky.bin.json", []byte(`{"no_such_quirk": 1}`))
	for _, c := range []struct{ name, path, want string }{
		{"empty file", write("empty.bin", nil), "empty"},
		{"wrong mark", write("wrong.bin", bytes.Repeat([]byte("x"), 100)), "no model"},
		{"web page", write("page.bin", []byte("<!DOCTYPE html><html><body>You are not logged in, sorry</body></html>")), "web page"},
		{"Git LFS pointer", write("lfs.bin", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0000000000\nsize 12")), "LFS"},
		{"cut short", write("short.bin", []byte("lmgg\x01\x02")), "cut short"},
		{"no such file", filepath.Join(dir, "nothing.bin"), "neither"},
		{"misspelt name", "bsae.en", "did you mean base.en"},
		{"not fetched", "tiny.en", "recipe models pull tiny.en"},
		{"no name", "", "no model is named"},
		{"folder without tokenizer", filepath.Join(dir, "half"), "no tokenizer.json"},
		{"folder without weights", filepath.Join(dir, "bare"), "no safetensors"},
		{"unknown quirk", write("quirky.bin", asrBytes(100)), "no_such_quirk"},
	} {
		_, err := Resolve(t.Context(), c.path)
		var p *problem.Error
		if !errors.As(err, &p) || !strings.Contains(err.Error(), c.want) || p.Fix == "" {
			t.Errorf("%s: got %v, want an error with %q and what to do", c.name, err, c.want)
		}
	}
}

func TestResolvePath(t *testing.T) {
	dir := t.TempDir()
	content := asrBytes(1000)
	path := filepath.Join(dir, "mine.bin")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	quirks := `{"dtw_heads": [{"layer": 3, "head": 1}], "language": "de"}`
	if err := os.WriteFile(path+".json", []byte(quirks), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Resolve(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "mine" || m.SHA256 != sum(content) || m.Kind != ASR || m.Quirks.Language != "de" || m.Quirks.DTWHeads[0] != (Head{3, 1}) {
		t.Errorf("got %+v", m)
	}
}

// server gives content under /model, with as many faults as it is told.
func server(t *testing.T, content []byte, ranges bool, dropAt ...int) (string, *atomic.Int64) {
	t.Helper()
	sent := new(atomic.Int64)
	var request atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := 0
		if h := r.Header.Get("Range"); h != "" && ranges {
			fmt.Sscanf(h, "bytes=%d-", &from)
			if from >= len(content) {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", len(content)))
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		part := content[from:]
		if n := int(request.Add(1)) - 1; n < len(dropAt) {
			part = part[:min(dropAt[n], len(part))]
		}
		n, _ := w.Write(part) // what is missing makes the connection break
		sent.Add(int64(n))
	}))
	t.Cleanup(s.Close)
	return s.URL + "/model", sent
}

func TestPull(t *testing.T) {
	content := asrBytes(3 << 20)
	for _, c := range []struct {
		name   string
		ranges bool
		size   bool // known before
		digest bool // known before
		drop   []int
		sent   int64 // bytes that the server may send in all
	}{
		{"whole", true, true, true, nil, 3 << 20},
		{"resumed", true, true, true, []int{1 << 20, 1 << 20}, 3 << 20},
		{"resumed without known size", true, false, false, []int{1 << 20}, 3 << 20},
		{"server without ranges", false, true, true, []int{1 << 20}, 4 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv(DirVariable, dir)
			url, sent := server(t, content, c.ranges, c.drop...)
			e := Entry{Name: "test", Kind: ASR, Files: []File{{Name: "test.bin", URL: url}}}
			if c.size {
				e.Files[0].Size = int64(len(content))
			}
			if c.digest {
				e.Files[0].SHA256 = sum(content)
			}
			var last progress.Report
			ctx := progress.With(t.Context(), func(r progress.Report) { last = r })
			p := &Puller{Wait: time.Millisecond}
			if err := p.PullEntry(ctx, e); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "test.bin"))
			if err != nil || !bytes.Equal(got, content) {
				t.Fatalf("the file differs from what was served (%v)", err)
			}
			if sent.Load() > c.sent {
				t.Errorf("the server sent %d bytes, want %d at most", sent.Load(), c.sent)
			}
			if last.Done == 0 || last.Total != int64(len(content)) {
				t.Errorf("the last report is %+v", last)
			}
			if record, err := readRecord(filepath.Join(dir, "test.bin")); err != nil || record != sum(content) {
				t.Errorf("the recorded digest is %q (%v)", record, err)
			}
			before := sent.Load()
			if err := p.PullEntry(ctx, e); err != nil || sent.Load() != before {
				t.Errorf("a second pull sent %d bytes more (%v)", sent.Load()-before, err)
			}
			left, err := filepath.Glob(filepath.Join(dir, "*.part"))
			if err != nil || len(left) > 0 {
				t.Errorf("left over: %v (%v)", left, err)
			}
		})
	}
}

func TestPullAfterInterruption(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(DirVariable, dir)
	content := asrBytes(2 << 20)
	url, sent := server(t, content, true)
	e := Entry{Name: "test", Kind: ASR, Files: []File{{Name: "test.bin", URL: url, Size: int64(len(content)), SHA256: sum(content)}}}
	ctx, cancel := context.WithCancel(t.Context())
	ctx = progress.With(ctx, func(r progress.Report) {
		if r.Done > 0 {
			cancel()
		}
	})
	p := &Puller{Wait: time.Millisecond}
	if err := p.PullEntry(ctx, e); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want a cancellation", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "test.bin")); err == nil {
		t.Fatal("a part of the file stands under its name")
	}
	part, err := os.Stat(filepath.Join(dir, "test.bin.part"))
	if err != nil || part.Size() == 0 {
		t.Fatalf("nothing was kept of the first try (%v)", err)
	}
	before := sent.Load()
	if err := p.PullEntry(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := sent.Load() - before; got != int64(len(content))-part.Size() {
		t.Errorf("the second try took %d bytes, want the %d that were missing", got, int64(len(content))-part.Size())
	}
}

func TestPullRefuses(t *testing.T) {
	content := asrBytes(1 << 16)
	other := append([]byte(nil), content...)
	other[5000] ^= 1
	good, _ := server(t, content, true)
	longer, _ := server(t, append(content, 1, 2, 3), true)
	shorter, _ := server(t, content[:len(content)-3], true)
	damaged, _ := server(t, other, true)
	gone := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(gone.Close)
	for _, c := range []struct{ name, url, want string }{
		{"wrong digest", damaged, "SHA-256"},
		{"too long", longer, "more than"},
		{"too short", shorter, "of 65536 bytes"},
		{"not found", gone.URL, "404"},
		{"no server", "http://127.0.0.1:1/model", "refused"},
	} {
		dir := t.TempDir()
		t.Setenv(DirVariable, dir)
		e := Entry{Name: "test", Kind: ASR, Files: []File{{Name: "test.bin", URL: c.url, Size: int64(len(content)), SHA256: sum(content)}}}
		p := &Puller{Wait: time.Microsecond}
		err := p.PullEntry(t.Context(), e)
		var known *problem.Error
		if !errors.As(err, &known) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(dir, "test.bin")); err == nil {
			t.Errorf("%s: the file is there all the same", c.name)
		}
		// After a bad fetch a good one must not build on what it left.
		e.Files[0].URL = good
		if err := p.PullEntry(t.Context(), e); err != nil {
			t.Errorf("%s: the next pull, from a good server, gave %v", c.name, err)
		}
	}
}

// TestTrustOnFirstUse checks that a file whose digest the registry does not know is held to what came first.
func TestTrustOnFirstUse(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(DirVariable, dir)
	content := asrBytes(1 << 12)
	url, _ := server(t, content, true)
	e := Entry{Name: "test", Kind: ASR, Files: []File{{Name: "test.bin", URL: url}}}
	if err := new(Puller).PullEntry(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "test.bin")
	if err := e.check(path, map[string]string{"test.bin": sum(content)}); err != nil {
		t.Errorf("what was fetched is refused: %v", err)
	}
	if err := e.check(path, map[string]string{"test.bin": sum(content[1:])}); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("another content is not refused: %v", err)
	}
}
