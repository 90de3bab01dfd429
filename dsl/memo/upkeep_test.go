package memo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// scene is a store before a remote, on which a chore is carried out: both hold some steps, and leavings.
type scene struct {
	dir, remote string
}

// chore is an upkeep of a store or a remote, which may be broken off and done again.
type chore struct {
	name string
	do   func(ctx context.Context, s *Store, dir string) error
}

const archived = "archive.tar.zst" // beside the store, with steps that it does not have

var chores = []chore{
	{name: "gc", do: func(ctx context.Context, s *Store, _ string) error { _, err := s.GC(ctx, 0, false); return err }},
	{name: "removal", do: func(ctx context.Context, s *Store, _ string) error {
		_, err := s.Remove(ctx, []Key{step("in", "1").Key()})
		return err
	}},
	{name: "import", do: func(ctx context.Context, s *Store, dir string) error {
		f, err := os.Open(filepath.Join(dir, archived))
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = s.Import(ctx, f, ImportOptions{})
		return err
	}},
	{name: "push", do: func(ctx context.Context, s *Store, _ string) error {
		_, err := s.Push(ctx, []Key{step("in", "0").Key(), step("in", "1").Key()})
		return err
	}},
	{name: "pull", do: func(ctx context.Context, s *Store, _ string) error { _, _, err := s.Pull(ctx); return err }},
	{name: "gc of the shared store", do: func(ctx context.Context, s *Store, _ string) error {
		_, err := s.GCShared(ctx, SharedGC{Older: -time.Hour, Steps: true})
		return err
	}},
	{name: "withdrawal", do: func(ctx context.Context, s *Store, _ string) error {
		m, _, err := s.Lookup(step("in", "0").Key())
		if err == nil {
			err = s.Withdraw(ctx, []Manifest{m}, func(Digest) bool { return false })
		}
		return err
	}},
}

// newScene makes a store with steps 0 and 1, the first of them kept by a run, a remote with 0 and 2, and an archive with 3.
func newScene(t *testing.T) scene {
	t.Helper()
	sc := scene{t.TempDir(), t.TempDir()}
	other, _ := sharing(t, t.TempDir(), folder{sc.remote, newPlace()})
	must(t, other, step("in", "0"), "text 0", Made)
	must(t, other, step("in", "2"), "text 2", Made)
	flush(t, other)
	elsewhere := open(t, t.TempDir())
	must(t, elsewhere, step("in", "3"), "text 3", Made)
	var b bytes.Buffer
	if _, err := elsewhere.Export(t.Context(), &b, []Key{step("in", "3").Key()}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sc.remote, strings.ReplaceAll(remoteObject(Sum([]byte("left"))), "/", "+")), []byte("left"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(sc.dir, "store"))
	must(t, s, step("in", "0"), "text 0", Made)
	must(t, s, step("in", "1"), "text 1", Made)
	for name, until := range map[string]time.Time{"recipe": {}, "over": time.Now().Add(-time.Hour)} {
		if err := s.SetRoot(Root{Name: name, Keys: []Key{step("in", "0").Key()}, Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{
		s.objectPath(Sum([]byte("left"))):                                                 "left",
		filepath.Join(s.dir, draftsDir, string(step("in", "9").Key())+".1", "words.json"): "half",
		filepath.Join(s.dir, quarantineDir, "x.1"):                                        "damaged",
		filepath.Join(sc.dir, archived):                                                   b.String(),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return sc
}

// carry carries a chore out; at is told of each write, removal and request before it is made.
func (sc scene) carry(t *testing.T, c chore, at func(point string) error) error {
	t.Helper()
	var mu sync.Mutex
	f := folder{sc.remote, newPlace()}
	f.fault = func(request string, _ context.Context) error { mu.Lock(); defer mu.Unlock(); return at(request) }
	s, _ := sharing(t, filepath.Join(sc.dir, "store"), f)
	s.fault = func(point string) error { mu.Lock(); defer mu.Unlock(); return at(point) }
	return c.do(context.Background(), s, sc.dir)
}

// content is what a scene holds: steps, objects and roots, here and in the remote, but nothing that is just being written.
func (sc scene) content(t *testing.T) []string {
	t.Helper()
	var list []string
	s := open(t, filepath.Join(sc.dir, "store"))
	for _, sub := range []string{manifestsDir, objectsDir, rootsDir, quarantineDir} {
		files, err := filepath.Glob(filepath.Join(s.dir, sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		deeper, err := filepath.Glob(filepath.Join(s.dir, sub, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range append(files, deeper...) {
			if info, err := os.Stat(path); err == nil && !info.IsDir() {
				list = append(list, "store "+s.rel(path))
			}
		}
	}
	entries, err := os.ReadDir(sc.remote)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "tmp-") {
			list = append(list, "remote "+e.Name())
		}
	}
	slices.Sort(list)
	return list
}

// whole checks that nothing visible is half there.
func (sc scene) whole(t *testing.T) {
	t.Helper()
	sound(t, open(t, filepath.Join(sc.dir, "store")))
	s, _ := sharing(t, filepath.Join(sc.dir, "store"), folder{sc.remote, newPlace()})
	r, err := s.VerifyShared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range r.Wrong {
		t.Errorf("in the remote %s %s", w.Path, w.What)
	}
}

// undisturbed carries a chore out, and gives all that it did and what the scene holds then.
func undisturbed(t *testing.T, c chore) (points, content []string) {
	t.Helper()
	sc := newScene(t)
	before := sc.content(t)
	if err := sc.carry(t, c, func(point string) error { points = append(points, point); return nil }); err != nil {
		t.Fatal(err)
	}
	sc.whole(t)
	content = sc.content(t)
	if slices.Equal(before, content) {
		t.Fatal("nothing was done")
	}
	return points, content
}

// TestChoreFailsAtEveryPoint makes each write, removal and request of a chore fail, as a full disk or a lost connection does.
func TestChoreFailsAtEveryPoint(t *testing.T) {
	for _, c := range chores {
		t.Run(c.name, func(t *testing.T) {
			points, want := undisturbed(t, c)
			for n, point := range points {
				if testing.Short() && n%4 != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%02d %.24s", n, point), func(t *testing.T) {
					t.Parallel()
					sc := newScene(t)
					count := 0
					err := sc.carry(t, c, func(string) error {
						if count++; count-1 == n {
							return syscall.ENOSPC
						}
						return nil
					})
					if err == nil || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
						t.Errorf("it ended with %v", err)
					}
					sc.again(t, c, want)
				})
			}
		})
	}
}

// again checks a scene in which a chore was broken off, carries it out once more and checks again.
func (sc scene) again(t *testing.T, c chore, want []string) {
	t.Helper()
	sc.whole(t)
	s := open(t, filepath.Join(sc.dir, "store"))
	must(t, s, step("in", "0"), "text 0", Hit) // which a run keeps, or nobody touched
	if err := sc.carry(t, c, func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	sc.whole(t)
	if got := sc.content(t); !slices.Equal(got, want) {
		t.Errorf("done again, it left\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestKillAtEveryPointOfAChore kills the process at each write, removal and request.
func TestKillAtEveryPointOfAChore(t *testing.T) {
	if name := os.Getenv("MEMO_TEST_CHORE"); name != "" {
		n, err := strconv.Atoi(os.Getenv("MEMO_TEST_CHORE_AT"))
		if err != nil {
			t.Fatal(err)
		}
		sc := scene{os.Getenv("MEMO_TEST_CHORE_DIR"), os.Getenv("MEMO_TEST_CHORE_REMOTE")}
		i := slices.IndexFunc(chores, func(c chore) bool { return c.name == name })
		count := 0
		_ = sc.carry(t, chores[i], func(string) error {
			if count++; count-1 == n {
				self, _ := os.FindProcess(os.Getpid())
				_ = self.Kill()
				select {}
			}
			return nil
		})
		return
	}
	if testing.Short() {
		t.Skip("starts a process for each point")
	}
	for _, c := range chores {
		t.Run(c.name, func(t *testing.T) {
			points, want := undisturbed(t, c)
			for n, point := range points {
				t.Run(fmt.Sprintf("%02d %.24s", n, point), func(t *testing.T) {
					t.Parallel()
					sc := newScene(t)
					cmd := exec.Command(os.Args[0], "-test.run=^TestKillAtEveryPointOfAChore$")
					cmd.Env = append(os.Environ(), "MEMO_TEST_CHORE="+c.name, "MEMO_TEST_CHORE_AT="+strconv.Itoa(n), "MEMO_TEST_CHORE_DIR="+sc.dir, "MEMO_TEST_CHORE_REMOTE="+sc.remote)
					var exit *exec.ExitError
					if err := cmd.Run(); !errors.As(err, &exit) || exit.Exited() {
						t.Fatalf("the process was not killed: %v", err)
					}
					sc.again(t, c, want)
				})
			}
		})
	}
}

// TestRootsThatWouldReadOtherwise: a root is a text, so what would be read back as something else is refused.
func TestRootsThatWouldReadOtherwise(t *testing.T) {
	s := open(t, t.TempDir())
	for _, r := range []Root{
		{Name: "a\nuntil \"2026-01-02T03:04:05Z\""},
		{Name: "a", About: map[string]string{"until": "2026-01-02T03:04:05Z"}},
		{Name: "a", About: map[string]string{"two words": "x"}},
		{Name: "a", About: map[string]string{"two\nlines": "x"}},
		{Name: "a", Keys: []Key{"../a"}},
	} {
		if err := s.SetRoot(r); err == nil {
			list, _ := s.Roots()
			t.Errorf("%+v is read back as %+v", r, list)
		}
	}
	if list, err := s.Roots(); err != nil || len(list) > 0 {
		t.Errorf("refused, and there: %+v, %v", list, err)
	}
}

// TestHugeFilesOfAStoreAreNotTakenIn: what is told by small files is not read without a bound.
func TestHugeFilesOfAStoreAreNotTakenIn(t *testing.T) {
	for _, name := range []string{formatFile, tombstonesFile, filepath.Join(rootsDir, string(Sum([]byte("v1"))))} {
		s := open(t, t.TempDir())
		if err := os.WriteFile(filepath.Join(s.dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(s.dir, name), 1<<40); err != nil {
			t.Skip("this file system has no sparse files: ", err)
		}
		_, opened := Open(s.dir, nil)
		_, forgotten := s.Tombstones()
		_, listed := s.Roots()
		_, _, read := s.Root("v1")
		if err := errors.Join(opened, forgotten, listed, read); !errors.Is(err, errTooLarge) {
			t.Errorf("%s of 1 TB: %v", name, err)
		}
	}
}

func TestADamagedEndIsNotForEver(t *testing.T) {
	for _, line := range []string{"until", "until soon", `until "2026-01-0`, `until "soon"`} {
		if !parseRoot("run\n" + line + "\n").over() {
			t.Errorf("%q keeps its steps for ever", line)
		}
	}
}

// TestRootsEnd: gc keeps what a run needs until the run's time is over, and forgets the run then.
func TestRootsEnd(t *testing.T) {
	s := open(t, t.TempDir())
	ends := map[string]time.Time{"always": {}, "for now": time.Now().Add(time.Hour), "over": time.Now().Add(-time.Second)}
	for _, name := range slices.Sorted(maps.Keys(ends)) {
		m := must(t, s, step("in", name), name, Made)
		if err := s.SetRoot(Root{Name: name, Keys: []Key{m.Key}, About: map[string]string{"dir": "/x y"}, Until: ends[name]}); err != nil {
			t.Fatal(err)
		}
		r, ok, err := s.Root(name)
		if err != nil || !ok || r.About["dir"] != "/x y" || len(r.About) != 1 || len(r.Keys) != 1 || r.Until.Sub(ends[name]).Abs() > time.Second {
			t.Errorf("read back: %+v, %v, %v", r, ok, err)
		}
	}
	if r, err := s.GC(t.Context(), 0, true); err != nil || r.Manifests != 1 {
		t.Errorf("a dry run would remove %d steps, %v", r.Manifests, err)
	}
	if _, ok, _ := s.Root("over"); !ok {
		t.Error("a dry run forgot a run")
	}
	if r, err := s.GC(t.Context(), 0, false); err != nil || r.Manifests != 1 {
		t.Errorf("%d steps were removed, %v", r.Manifests, err)
	}
	must(t, s, step("in", "always"), "always", Hit)
	must(t, s, step("in", "for now"), "for now", Hit)
	must(t, s, step("in", "over"), "over", Made)
	list, err := s.Roots()
	if err != nil || len(list) != 2 {
		t.Errorf("runs that are left: %+v, %v", list, err)
	}
	if r := parseRoot("x\nuntil \"for ever\"\n"); !r.over() {
		t.Error("what does not say when it ends is kept for ever")
	}
}

// TestSharedStoreIsLookedAfter removes from a remote what is old, and finds what is wrong with it.
func TestSharedStoreIsLookedAfter(t *testing.T) {
	p := newPlace()
	p.written = map[string]time.Time{}
	s, _ := sharing(t, t.TempDir(), p)
	if r, err := s.VerifyShared(t.Context()); err != nil || r.Manifests+len(r.Wrong) > 0 {
		t.Errorf("an empty remote: %+v, %v", r, err)
	}
	for n := range 4 {
		st := step("in", strconv.Itoa(n))
		if n == 1 {
			st.Reads = []Key{step("in", "0").Key()}
		}
		must(t, s, st, "text "+strconv.Itoa(n), Made)
	}
	flush(t, s)
	long := time.Now().Add(-100 * 24 * time.Hour)
	for name := range p.names {
		p.written[name] = long
	}
	p.written[remoteManifest(step("in", "1").Key())] = time.Now() // so that 0, which it was made from, stays
	if err := s.SetRoot(Root{Name: "r", Keys: []Key{step("in", "2").Key()}}); err != nil {
		t.Fatal(err)
	}
	young, old := Sum([]byte("young")), Sum([]byte("old"))
	for _, d := range []Digest{young, old} {
		p.names[remoteObject(d)] = []byte(map[Digest]string{young: "young", old: "old"}[d])
		p.written[remoteObject(d)] = time.Now()
	}
	p.written[remoteObject(old)] = long
	draft := remoteObject(Sum([]byte("cut off"))) + ".18ea975f2e77cb20.tmp"
	p.names[draft], p.written[draft] = []byte("cut"), long
	if r, err := s.VerifyShared(t.Context()); err != nil || len(r.Wrong) > 0 || r.Drafts != 1 {
		t.Errorf("a draft: %+v, %v", r, err)
	}
	month := 30 * 24 * time.Hour
	before := len(p.names)
	if g, err := s.GCShared(t.Context(), SharedGC{Older: month, Steps: true, DryRun: true}); err != nil || g.Manifests != 1 || g.Objects != 3 || g.Drafts != 1 || len(p.names) != before {
		t.Errorf("a dry run: %+v, %v", g, err)
	}
	if g, err := s.GCShared(t.Context(), SharedGC{Older: month}); err != nil || g.Manifests != 0 || g.Objects != 1 || g.Bytes != 3 || g.Drafts != 1 || p.names[draft] != nil {
		t.Errorf("leavings: %+v, %v", g, err)
	}
	if g, err := s.GCShared(t.Context(), SharedGC{Older: month, Steps: true}); err != nil || g.Manifests != 1 || g.Objects != 2 {
		t.Errorf("old steps: %+v, %v", g, err)
	}
	other, _ := sharing(t, t.TempDir(), p)
	for n, want := range []Outcome{Hit, Hit, Hit, Made} {
		must(t, other, step("in", strconv.Itoa(n)), "text "+strconv.Itoa(n), want)
	}
	flush(t, other)
	r, err := s.VerifyShared(t.Context())
	if err != nil || len(r.Wrong) > 0 || r.Manifests != 4 || r.Orphans != 1 {
		t.Errorf("verify: %+v, %v", r, err)
	}
	m, _, _ := s.Lookup(step("in", "0").Key())
	p.names[remoteObject(m.Outputs[0].Digest)] = []byte("x")
	delete(p.names, remoteObject(m.Outputs[1].Digest))
	p.names[remoteManifest(step("in", "2").Key())] = []byte("{}")
	p.names["objects/what"] = []byte("x")
	r, err = s.VerifyShared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, w := range r.Wrong {
		said = append(said, w.Path+" "+w.What)
	}
	text := strings.Join(said, "\n")
	for _, want := range []string{remoteObject(m.Outputs[0].Digest) + " its bytes are not what its name says (" + m.Outputs[0].Name, remoteObject(m.Outputs[1].Digest) + " is missing (" + m.Outputs[1].Name,
		remoteManifest(step("in", "2").Key()) + " damaged", "objects/what is neither a step nor an object"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	if len(said) != 4 {
		t.Errorf("it says\n%s", text)
	}
	if _, err := open(t, t.TempDir()).VerifyShared(t.Context()); err == nil {
		t.Error("no remote was verified")
	}
}

// FuzzRoot reads roots that anybody may have written: a key that is none is let through never, and what was read is read
// again from what is written of it.
func FuzzRoot(f *testing.F) {
	f.Add("")
	f.Add("v1\nuntil \"2026-01-02T03:04:05Z\"\ndir \"/a\\n\\xff\"\nparam.fdr 0.1\n" + string(Sum([]byte("x"))) + "\n../../etc/passwd\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := parseRoot(text)
		for _, k := range r.Keys {
			if !Digest(k).Valid() {
				t.Errorf("key %q was let through", k)
			}
		}
		s := open(t, t.TempDir())
		if err := s.SetRoot(r); err != nil {
			t.Fatal(err)
		}
		again, ok, err := s.Root(r.Name)
		slices.Sort(r.Keys)
		if !ok || err != nil || again.Name != r.Name || !maps.Equal(again.About, r.About) || !slices.Equal(again.Keys, slices.Compact(r.Keys)) {
			t.Errorf("%+v is read as %+v, %t, %v", r, again, ok, err)
		}
	})
}
