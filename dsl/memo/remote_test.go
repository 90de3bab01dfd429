package memo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// place is a remote in memory, whose every request may be made to fail.
type place struct {
	mu      sync.Mutex
	names   map[string][]byte
	written map[string]time.Time                            // when, where a test says so; else long ago
	asked   []string                                        // "read objects/…"
	fault   func(request string, ctx context.Context) error // nil: none
}

func newPlace() *place { return &place{names: map[string][]byte{}} }

func (p *place) String() string { return "test://place" }
func (p *place) Close() error   { return nil }

func (p *place) ask(ctx context.Context, request string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	p.asked = append(p.asked, request)
	fault := p.fault
	p.mu.Unlock()
	if fault != nil {
		return fault(request, ctx)
	}
	return nil
}

func (p *place) Read(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := p.ask(ctx, "read "+name); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.names[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (p *place) Write(ctx context.Context, name string, r io.Reader) error {
	if err := p.ask(ctx, "write "+name); err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := p.ask(ctx, "written "+name); err != nil { // all bytes came, but nothing is visible yet
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names[name] = b
	return nil
}

func (p *place) Has(ctx context.Context, name string) (bool, error) {
	if err := p.ask(ctx, "has "+name); err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.names[name]
	return ok, nil
}

func (p *place) Remove(ctx context.Context, name string) error {
	if err := p.ask(ctx, "remove "+name); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.names, name)
	return nil
}

func (p *place) List(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := p.ask(ctx, "list "+prefix); err != nil {
			yield(Entry{}, err)
			return
		}
		var list []Entry
		p.mu.Lock()
		for _, name := range slices.Sorted(maps.Keys(p.names)) {
			if strings.HasPrefix(name, prefix) {
				list = append(list, Entry{Name: name, Bytes: int64(len(p.names[name])), Written: p.written[name], Draft: strings.HasSuffix(name, ".tmp")})
			}
		}
		p.mu.Unlock()
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// sharing opens a store before a remote, and collects what it says.
func sharing(t *testing.T, dir string, r Remote) (s *Store, said func() []string) {
	t.Helper()
	var mu sync.Mutex
	var list []string
	s, err := Open(dir, func(text string) { mu.Lock(); defer mu.Unlock(); list = append(list, text) })
	if err != nil {
		t.Fatal(err)
	}
	s.Share(r)
	t.Cleanup(func() { _ = s.Close() })
	return s, func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(list) }
}

func flush(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.Pending(); n != 0 {
		t.Fatalf("%d steps are still to be sent", n)
	}
}

func TestSharedStoreGivesWhatAnotherMade(t *testing.T) {
	p := newPlace()
	a, saidA := sharing(t, t.TempDir(), p)
	must(t, a, step("in", "1"), "hello", Made)
	flush(t, a)
	b, saidB := sharing(t, t.TempDir(), p)
	if !offers(t, b, step("in", "1")) || offers(t, b, step("in", "2")) {
		t.Error("the wrong steps are offered")
	}
	want, _, err := a.Lookup(step("in", "1").Key())
	if err != nil {
		t.Fatal(err)
	}
	got := must(t, b, step("in", "1"), "hello", Hit)
	if got.Made != want.Made || string(got.Facts) == "" {
		t.Errorf("the manifest is %+v, want %+v", got, want)
	}
	must(t, b, step("in", "2"), "other", Made)
	flush(t, b)
	must(t, a, step("in", "2"), "other", Hit)
	sound(t, a)
	sound(t, b)
	if said := append(saidA(), saidB()...); len(said) > 0 {
		t.Errorf("it said %q", said)
	}
	once := step("in", "3")
	once.Once = true
	must(t, a, once, "once", Made)
	flush(t, a)
	if offers(t, b, once) {
		t.Error("a step that nobody asks for again was sent")
	}
}

// TestRemoteFailsAtEveryRequest makes each request of a run fail in turn: a step never does, the user is told once, and
// when the remote works again nothing half is found in it.
func TestRemoteFailsAtEveryRequest(t *testing.T) {
	requests := func(p *place, dir string) (list []string) {
		s, _ := sharing(t, dir, p)
		before := len(p.asked)
		must(t, s, step("in", "1"), "hello", Made)
		flush(t, s)
		return p.asked[before:]
	}
	list := requests(newPlace(), t.TempDir())
	if len(list) < 10 {
		t.Fatalf("only %d requests: %v", len(list), list)
	}
	for n, request := range list {
		t.Run(fmt.Sprintf("%02d %.20s", n, request), func(t *testing.T) {
			p := newPlace()
			var mu sync.Mutex
			count := 0
			p.fault = func(string, context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				if count++; count-1 == n {
					return errors.New("connection reset")
				}
				return nil
			}
			dir := t.TempDir()
			s, said := sharing(t, dir, p)
			must(t, s, step("in", "1"), "hello", Made)
			flush(t, s)
			if list := said(); len(list) != 1 || !strings.Contains(list[0], "connection reset") || !strings.Contains(list[0], "recipe cache push") {
				t.Errorf("it said %q, want one warning", list)
			}
			sound(t, s)
			p.fault = nil
			afterRemote(t, dir, p)
		})
	}
}

// afterRemote checks a remote at which a sender was broken off, and finishes what it did.
func afterRemote(t *testing.T, dir string, p Remote) {
	t.Helper()
	key := step("in", "1").Key()
	fresh, said := sharing(t, t.TempDir(), p)
	want := Made
	if offers(t, fresh, step("in", "1")) {
		want = Hit // what is visible is whole
	}
	m, outcome, err := fresh.Do(t.Context(), step("in", "1"), twoFiles("hello"))
	if err != nil || outcome != want || len(m.Outputs) != 2 {
		t.Fatalf("%v %v, want %v: %+v", outcome, err, want, m)
	}
	sound(t, fresh)
	s, _ := sharing(t, dir, p)
	if _, err := s.Push(t.Context(), []Key{key}); err != nil {
		t.Fatal(err)
	}
	other, _ := sharing(t, t.TempDir(), p)
	must(t, other, step("in", "1"), "hello", Hit)
	sound(t, other)
	if list := said(); len(list) > 0 {
		t.Errorf("it said %q", list)
	}
}

// TestFetchFailsAtEveryWrite makes each write of the store fail while a step comes from the remote, and kills there.
func TestFetchFailsAtEveryWrite(t *testing.T) {
	p := newPlace()
	a, _ := sharing(t, t.TempDir(), p)
	must(t, a, step("in", "1"), "hello", Made)
	flush(t, a)
	points := 0
	s, _ := sharing(t, t.TempDir(), p)
	s.fault = func(string) error { points++; return nil }
	must(t, s, step("in", "1"), "hello", Hit)
	if points < 10 {
		t.Fatalf("only %d write points", points)
	}
	for n := range points {
		dir := t.TempDir()
		s, said := sharing(t, dir, p)
		count, at := 0, ""
		s.fault = func(point string) error {
			if count++; count-1 == n {
				at = point
				return syscall.ENOSPC
			}
			return nil
		}
		if _, _, err := s.Do(t.Context(), step("in", "1"), twoFiles("hello")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("point %d %s: error %v", n, at, err)
		}
		s.fault = nil
		sound(t, s)
		must(t, s, step("in", "1"), "hello", Hit)
		sound(t, s)
		if list := said(); len(list) > 0 {
			t.Errorf("point %d %s: a full disk here was blamed on the remote: %q", n, at, list)
		}
	}
}

// TestNothingRemoteIsTrusted damages what lies in the remote in every way that a byte can be wrong: it must be made here,
// told, and put right there.
func TestNothingRemoteIsTrusted(t *testing.T) {
	object := func(p *place) string {
		return slices.Sorted(maps.Keys(p.names))[slices.IndexFunc(slices.Sorted(maps.Keys(p.names)), func(n string) bool { return strings.HasPrefix(n, objectsDir) })]
	}
	key := step("in", "1").Key()
	for name, damage := range map[string]func(p *place){
		"flipped byte":            func(p *place) { n := object(p); p.names[n] = slices.Clone(p.names[n]); p.names[n][0] ^= 1 },
		"cut object":              func(p *place) { n := object(p); p.names[n] = p.names[n][:2] },
		"longer object":           func(p *place) { n := object(p); p.names[n] = append(slices.Clone(p.names[n]), 'x') },
		"missing object":          func(p *place) { delete(p.names, object(p)) },
		"half a manifest":         func(p *place) { p.names[remoteManifest(key)] = p.names[remoteManifest(key)][:40] },
		"empty manifest":          func(p *place) { p.names[remoteManifest(key)] = nil },
		"manifest of another key": func(p *place) { p.names[remoteManifest(key)] = p.names[remoteManifest(step("in", "2").Key())] },
		"parts of another step": func(p *place) {
			p.names[remoteManifest(key)] = bytes.Replace(p.names[remoteManifest(key)], []byte(`"value": "1"`), []byte(`"value": "9"`), 1)
		},
		"name with a folder": func(p *place) {
			p.names[remoteManifest(key)] = bytes.Replace(p.names[remoteManifest(key)], []byte(`"a.txt"`), []byte(`"../a"`), 1)
		},
		"huge manifest": func(p *place) { p.names[remoteManifest(key)] = bytes.Repeat([]byte{' '}, maxManifestBytes+2) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace()
			a, _ := sharing(t, t.TempDir(), p)
			must(t, a, step("in", "1"), "hello", Made)
			must(t, a, step("in", "2"), "hello, two", Made)
			flush(t, a)
			damage(p)
			b, said := sharing(t, t.TempDir(), p)
			must(t, b, step("in", "1"), "hello", Made)
			flush(t, b)
			sound(t, b)
			if list := said(); name == "missing object" && len(list) > 0 || name != "missing object" && len(list) != 1 {
				t.Errorf("it said %q", list)
			}
			c, said := sharing(t, t.TempDir(), p)
			must(t, c, step("in", "1"), "hello", Hit)
			must(t, c, step("in", "2"), "hello, two", Hit)
			if list := said(); len(list) > 0 {
				t.Errorf("not put right: it said %q", list)
			}
		})
	}
	t.Run("another kind of place", func(t *testing.T) {
		p := newPlace()
		p.names[sharedHead] = []byte(`{"format":"banter-shared/99"}`)
		s, said := sharing(t, t.TempDir(), p)
		must(t, s, step("in", "1"), "hello", Made)
		flush(t, s)
		if list := said(); len(list) != 1 || !strings.Contains(list[0], sharedFormat) || len(p.names) != 1 {
			t.Errorf("it said %q and wrote %d", list, len(p.names)-1)
		}
	})
}

// TestRemoteThatStands gives up on a remote that takes requests and answers none, and asks it no more after a few.
func TestRemoteThatStands(t *testing.T) {
	p := newPlace()
	p.fault = func(_ string, ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	s, said := sharing(t, t.TempDir(), p)
	s.remote.patience = time.Millisecond
	for i := range 10 {
		must(t, s, step("in", fmt.Sprint(i)), "hello", Made)
	}
	flush(t, s)
	if list := said(); len(list) != 1 || !strings.Contains(list[0], "does not answer") {
		t.Errorf("it said %q", list)
	}
	if n := len(p.asked); n > 10 {
		t.Errorf("it was asked %d times", n)
	}
	// Who stops waiting is not kept.
	s.remote.failures, s.remote.patience = 0, time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, _, err := s.Do(ctx, step("in", "x"), twoFiles("hello")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// folder is a remote that processes can share, without a library in between.
type folder struct {
	dir string
	*place
}

func (f folder) at(name string) string { return f.dir + "/" + strings.ReplaceAll(name, "/", "+") }

func (f folder) Read(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := f.ask(ctx, "read "+name); err != nil {
		return nil, err
	}
	return os.Open(f.at(name))
}

func (f folder) Write(ctx context.Context, name string, r io.Reader) error {
	if err := f.ask(ctx, "write "+name); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(f.dir, "tmp-*")
	if err != nil {
		return err
	}
	if _, err := io.Copy(tmp, r); err != nil {
		return err
	}
	if err := f.ask(ctx, "written "+name); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), f.at(name)); err != nil {
		return err
	}
	return f.ask(ctx, "visible "+name)
}

func (f folder) Has(ctx context.Context, name string) (bool, error) {
	if err := f.ask(ctx, "has "+name); err != nil {
		return false, err
	}
	_, err := os.Stat(f.at(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (f folder) Remove(ctx context.Context, name string) error {
	if err := f.ask(ctx, "remove "+name); err != nil {
		return err
	}
	if err := os.Remove(f.at(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f folder) List(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := f.ask(ctx, "list "+prefix)
		var entries []os.DirEntry
		if err == nil {
			entries, err = os.ReadDir(f.dir)
		}
		if err != nil {
			yield(Entry{}, err)
			return
		}
		for _, e := range entries {
			name := strings.ReplaceAll(e.Name(), "+", "/")
			if info, err := e.Info(); err == nil && strings.HasPrefix(name, prefix) && !yield(Entry{Name: name, Bytes: info.Size(), Written: info.ModTime()}, nil) {
				return
			}
		}
	}
}

// offers says whether the remote behind a store has a step.
func offers(t *testing.T, s *Store, st Step) bool {
	t.Helper()
	m, ok := s.Offers(t.Context(), st.Key())
	if ok && m.Key != st.Key() {
		t.Errorf("the remote offers step %s for %s", m.Key.Short(), st.Key().Short())
	}
	return ok
}

// TestKillAtEveryRequest kills a process at each request that it makes of the remote.
func TestKillAtEveryRequest(t *testing.T) {
	if dir := os.Getenv("MEMO_TEST_REMOTE_KILL_DIR"); dir != "" {
		n, err := strconv.Atoi(os.Getenv("MEMO_TEST_REMOTE_KILL_AT"))
		if err != nil {
			t.Fatal(err)
		}
		f := folder{os.Getenv("MEMO_TEST_REMOTE"), newPlace()}
		var mu sync.Mutex
		count := 0
		f.fault = func(string, context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if count++; count-1 == n {
				self, _ := os.FindProcess(os.Getpid())
				_ = self.Kill()
				select {}
			}
			return nil
		}
		s, _ := sharing(t, dir, f)
		_, _, _ = s.Do(context.Background(), step("in", "1"), twoFiles("hello"))
		_ = s.Flush(context.Background())
		return
	}
	if testing.Short() {
		t.Skip("starts a process for each request")
	}
	count := folder{t.TempDir(), newPlace()}
	s, _ := sharing(t, t.TempDir(), count)
	must(t, s, step("in", "1"), "hello", Made)
	flush(t, s)
	if len(count.asked) < 14 {
		t.Fatalf("only %d requests", len(count.asked))
	}
	for n, request := range count.asked {
		t.Run(fmt.Sprintf("%02d %.20s", n, request), func(t *testing.T) {
			t.Parallel()
			dir, remote := t.TempDir(), t.TempDir()
			cmd := exec.Command(os.Args[0], "-test.run=^TestKillAtEveryRequest$")
			cmd.Env = append(os.Environ(), "MEMO_TEST_REMOTE_KILL_DIR="+dir, "MEMO_TEST_REMOTE="+remote, "MEMO_TEST_REMOTE_KILL_AT="+strconv.Itoa(n))
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the process was not killed: %v", err)
			}
			sound(t, open(t, dir))
			must(t, open(t, dir), step("in", "1"), "hello", madeUnlessThere(t, dir))
			afterRemote(t, dir, folder{remote, newPlace()})
		})
	}
}

// madeUnlessThere is the outcome that a step must have in a store where its process was killed.
func madeUnlessThere(t *testing.T, dir string) Outcome {
	t.Helper()
	if _, ok, err := open(t, dir).Find(step("in", "1").Key()); err != nil {
		t.Fatal(err)
	} else if ok {
		return Hit
	}
	return Made
}

func TestPullTakesAll(t *testing.T) {
	p := newPlace()
	a, _ := sharing(t, t.TempDir(), p)
	for i := range 5 {
		must(t, a, step("in", fmt.Sprint(i)), fmt.Sprint("hello ", i), Made)
	}
	flush(t, a)
	p.names["manifests/notes.txt"] = []byte("somebody's own")
	bad := remoteManifest(step("in", "3").Key())
	p.names[bad] = p.names[bad][:20]
	b, said := sharing(t, t.TempDir(), p)
	must(t, b, step("in", "0"), "hello 0", Hit)
	all, taken, err := b.Pull(t.Context())
	if err != nil || all != 5 || taken != 3 || len(said()) != 1 {
		t.Errorf("pulled %d of %d: %v, said %q", taken, all, err, said())
	}
	sound(t, b)
	if _, _, err := open(t, t.TempDir()).Pull(t.Context()); err == nil {
		t.Error("pulled from nowhere")
	}
	m, _, err := a.Lookup(step("in", "1").Key())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Withdraw(t.Context(), []Manifest{m}, func(Digest) bool { return false }); err != nil {
		t.Fatal(err)
	}
	for name := range p.names {
		for _, o := range m.Outputs {
			if name == remoteObject(o.Digest) || name == remoteManifest(m.Key) {
				t.Errorf("%s is still there", name)
			}
		}
	}
}
