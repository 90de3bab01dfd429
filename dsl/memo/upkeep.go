package memo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"

	"github.com/gofrs/flock"
)

// Finding is one thing that Verify found wrong.
type Finding struct {
	Path string // inside the store
	What string
}

// VerifyReport is what Verify read and found.
type VerifyReport struct {
	Manifests int
	Objects   int
	Bytes     int64
	Wrong     []Finding
	Orphans   int // objects that no manifest names: what a killed run leaves, and gc removes
	Drafts    int // unfinished drafts of killed runs
}

// Verify reads every manifest and every object back. It changes nothing. Objects are read on all cores; what is held in
// memory is a digest an object.
func (s *Store) Verify(ctx context.Context) (VerifyReport, error) {
	var r VerifyReport
	named := map[Digest]bool{} // by some manifest; true once the object was read
	err := s.eachManifest(func(path string, m Manifest, err error) error {
		r.Manifests++
		if err != nil {
			r.Wrong = append(r.Wrong, Finding{s.rel(path), err.Error()})
			return nil
		}
		if want := s.manifestPath(m.Key); want != path {
			r.Wrong = append(r.Wrong, Finding{s.rel(path), "lies under another key's name"})
		}
		for _, o := range m.Outputs {
			named[o.Digest] = false
		}
		return ctx.Err()
	})
	if err != nil {
		return r, err
	}
	bad := map[Digest]string{}
	if err := s.readObjects(ctx, &r, named, bad); err != nil {
		return r, err
	}
	for d, there := range named {
		if !there {
			bad[d] = "is missing"
		}
	}
	if err := s.blame(&r, bad); err != nil {
		return r, err
	}
	slices.SortFunc(r.Wrong, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	drafts, err := os.ReadDir(filepath.Join(s.dir, draftsDir))
	if err != nil {
		return r, s.problem("read store", err)
	}
	r.Drafts = len(drafts)
	return r, nil
}

// readObjects hashes all objects, marks those that are named, and says what is wrong with those that are not what their
// names say.
func (s *Store) readObjects(ctx context.Context, r *VerifyReport, named map[Digest]bool, bad map[Digest]string) error {
	type object struct {
		path   string
		digest Digest
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	objects := make(chan object)
	var mu sync.Mutex // guards r, named and bad
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for o := range objects {
				got, n, err := hashFile(ctx, o.path)
				mu.Lock()
				switch {
				case errors.Is(err, fs.ErrNotExist): // gc took it meanwhile; if it is named, it will be missed below
				case err != nil:
					cancel(s.problem("read object in", err))
				default:
					r.Objects++
					r.Bytes += n
					if _, ok := named[o.digest]; ok {
						named[o.digest] = true
					} else {
						r.Orphans++
					}
					if got != o.digest {
						bad[o.digest] = "its bytes are not what its name says"
					}
					progress.Tell(ctx, progress.Report{Done: int64(r.Objects), Unit: "objects"})
				}
				mu.Unlock()
			}
		})
	}
	err := s.eachObject(func(path string, d Digest, _ int64) error {
		if !d.Valid() {
			mu.Lock()
			defer mu.Unlock()
			r.Wrong = append(r.Wrong, Finding{s.rel(path), "is no object: its name is not a digest"})
			return nil
		}
		select {
		case objects <- object{path, d}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(objects)
	wait.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// blame adds what is wrong with objects to the report, with the outputs that they are.
func (s *Store) blame(r *VerifyReport, bad map[Digest]string) error {
	if len(bad) == 0 {
		return nil
	}
	of := map[Digest]string{}
	err := s.eachManifest(func(_ string, m Manifest, err error) error {
		for _, o := range m.Outputs {
			if _, ok := bad[o.Digest]; ok && err == nil {
				of[o.Digest] = fmt.Sprintf(" (%s of %s, key %s)", o.Name, strings.TrimSpace(m.Verb+" "+m.Label), m.Key.Short())
			}
		}
		return nil
	})
	for d, what := range bad {
		r.Wrong = append(r.Wrong, Finding{s.rel(s.objectPath(d)), what + of[d]})
	}
	return err
}

func (s *Store) rel(path string) string {
	if rel, err := filepath.Rel(s.dir, path); err == nil {
		return rel
	}
	return path
}

func (s *Store) eachManifest(visit func(path string, m Manifest, err error) error) error {
	return s.walk(manifestsDir, func(path string, _ fs.FileInfo) error {
		m, err := readManifest(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return visit(path, m, err)
	})
}

func (s *Store) eachObject(visit func(path string, d Digest, size int64) error) error {
	return s.walk(objectsDir, func(path string, info fs.FileInfo) error {
		return visit(path, Digest(filepath.Base(path)), info.Size())
	})
}

func (s *Store) walk(sub string, visit func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(filepath.Join(s.dir, sub), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return s.problem("read store", err)
		}
		if e.IsDir() {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return s.problem("read store", err)
		}
		return visit(path, info)
	})
}

// Manifests returns all manifests, the most recently used first. Damaged ones are left out: Verify names them.
func (s *Store) Manifests() ([]Manifest, error) {
	type entry struct {
		m    Manifest
		used time.Time
	}
	var all []entry
	err := s.walk(manifestsDir, func(path string, info fs.FileInfo) error {
		if m, err := readManifest(path); err == nil {
			all = append(all, entry{m, info.ModTime()})
		}
		return nil
	})
	slices.SortFunc(all, func(a, b entry) int {
		if c := b.used.Compare(a.used); c != 0 {
			return c
		}
		return strings.Compare(string(a.m.Key), string(b.m.Key))
	})
	out := make([]Manifest, len(all))
	for i, e := range all {
		out[i] = e.m
	}
	return out, err
}

// Resolve finds the one key that begins with prefix.
func (s *Store) Resolve(prefix string) (Manifest, error) {
	if strings.Trim(prefix, "0123456789abcdef") != "" || len(prefix) < 4 {
		return Manifest{}, fmt.Errorf("%q is not the beginning of a key: give at least 4 of its hexadecimal digits", prefix)
	}
	var found []Manifest
	err := s.eachManifest(func(_ string, m Manifest, err error) error {
		if err == nil && strings.HasPrefix(string(m.Key), prefix) {
			found = append(found, m)
		}
		return nil
	})
	switch {
	case err != nil:
		return Manifest{}, err
	case len(found) == 0:
		return Manifest{}, fmt.Errorf("no step in %s has a key that begins with %s", s.dir, prefix)
	case len(found) > 1:
		return Manifest{}, fmt.Errorf("%d steps in %s have a key that begins with %s: give more digits", len(found), s.dir, prefix)
	}
	return found[0], nil
}

// Root is a run: the steps that it needs, which gc keeps, and how it was called.
type Root struct {
	Name  string            // of the recipe, or the notebook
	Keys  []Key             // in order
	About map[string]string // by name, words without spaces: "dir", "param.fdr"
	Until time.Time         // when gc need keep the steps no more; zero: as long as no other run of this name is recorded
}

// over says whether a root's time is up.
func (r Root) over() bool { return !r.Until.IsZero() && time.Now().After(r.Until) }

// untilLine names a root's end among what is told about it.
const untilLine = "until"

// maxRootBytes bounds a root: a run of a million steps has as many.
const maxRootBytes = 64 << 20

// check refuses what would be read back as something else, since a root is a text of lines and words.
func (r Root) check() error {
	refuse := func(what string) error {
		return &problem.Error{Op: "record run", Path: strconv.Quote(r.Name), Err: errors.New(what), Fix: "rename it"}
	}
	if strings.Contains(r.Name, "\n") {
		return refuse("the name of a run is one line")
	}
	for name := range r.About {
		if name == untilLine || strings.ContainsAny(name, " \n") {
			return refuse(fmt.Sprintf("%q is not a word by which something is told of a run", name))
		}
	}
	for _, k := range r.Keys {
		if !Digest(k).Valid() {
			return refuse(fmt.Sprintf("%q is not a key", string(k)))
		}
	}
	return nil
}

// SetRoot records what the run named r.Name needs.
func (s *Store) SetRoot(r Root) error {
	if err := r.check(); err != nil {
		return err
	}
	keys := slices.Clone(r.Keys)
	slices.Sort(keys)
	var b strings.Builder
	b.WriteString(r.Name + "\n")
	if !r.Until.IsZero() {
		b.WriteString(untilLine + " " + strconv.Quote(r.Until.UTC().Format(time.RFC3339)) + "\n")
	}
	for _, name := range slices.Sorted(maps.Keys(r.About)) {
		b.WriteString(name + " " + strconv.Quote(r.About[name]) + "\n")
	}
	for _, k := range slices.Compact(keys) {
		b.WriteString(string(k))
		b.WriteByte('\n')
	}
	if err := s.writeFile(s.rel(s.rootPath(r.Name)), []byte(b.String()), false); err != nil {
		return s.problem("write to store", err)
	}
	return nil
}

func (s *Store) rootPath(name string) string {
	return filepath.Join(s.dir, rootsDir, string(Sum([]byte(name))))
}

// DropRoot forgets the run of that name, if there was one.
func (s *Store) DropRoot(name string) error {
	if err := s.at("remove root"); err != nil {
		return s.problem("remove from store", err)
	}
	if err := os.Remove(s.rootPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.problem("remove from store", err)
	}
	return nil
}

func parseRoot(text string) Root {
	name, lines, _ := strings.Cut(text, "\n")
	r := Root{Name: name, About: map[string]string{}}
	for line := range strings.Lines(lines) {
		line = strings.TrimSuffix(line, "\n")
		if Digest(line).Valid() {
			r.Keys = append(r.Keys, Key(line))
			continue
		}
		name, quoted, _ := strings.Cut(line, " ")
		value, err := strconv.Unquote(quoted)
		switch {
		case name == untilLine:
			if r.Until, err = time.Parse(time.RFC3339, value); err != nil {
				r.Until = time.Unix(0, 0) // whatever it says, it is not for ever
			}
		case err == nil:
			r.About[name] = value
		}
	}
	return r
}

// Root returns what the last run of that name was, and whether there was one.
func (s *Store) Root(name string) (Root, bool, error) {
	b, err := readBounded(s.rootPath(name), maxRootBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return Root{}, false, nil
	}
	if err != nil {
		return Root{}, false, s.problem("read store", err)
	}
	return parseRoot(string(b)), true, nil
}

// Roots lists the runs that have roots, in order of their names.
func (s *Store) Roots() ([]Root, error) {
	var list []Root
	err := s.walk(rootsDir, func(path string, _ fs.FileInfo) error {
		b, err := readBounded(path, maxRootBytes)
		if err != nil {
			return s.problem("read store", err)
		}
		list = append(list, parseRoot(string(b)))
		return nil
	})
	slices.SortFunc(list, func(a, b Root) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

// wanted are the keys that some run needs.
func (s *Store) wanted() (map[Key]bool, error) {
	keep := map[Key]bool{}
	list, err := s.Roots()
	for _, r := range list {
		if r.over() {
			continue
		}
		for _, k := range r.Keys {
			keep[k] = true
		}
	}
	return keep, err
}

// dropOver removes the roots whose time is up.
func (s *Store) dropOver() error {
	list, err := s.Roots()
	for _, r := range list {
		if err == nil && r.over() {
			err = s.DropRoot(r.Name)
		}
	}
	return err
}

// Usage is how much a store holds.
type Usage struct {
	Manifests, Objects int
	Bytes              int64            // of objects
	ByVerb             map[string]int64 // bytes of the outputs of each verb's steps; shared objects count for each
}

// Usage counts what the store holds.
func (s *Store) Usage() (Usage, error) {
	u := Usage{ByVerb: map[string]int64{}}
	err := s.eachManifest(func(_ string, m Manifest, err error) error {
		u.Manifests++
		for _, o := range m.Outputs {
			u.ByVerb[m.Verb] += o.Size
		}
		return nil
	})
	if err != nil {
		return u, err
	}
	err = s.eachObject(func(_ string, _ Digest, size int64) error {
		u.Objects++
		u.Bytes += size
		return nil
	})
	return u, err
}

// GCReport is what GC removed.
type GCReport struct {
	Manifests, Objects, Drafts, Scratch int
	Bytes                               int64 // of objects
	Left                                int64 // bytes of objects that stay
}

// GC removes what killed runs left and, if the objects are more than budget bytes, the steps used longest ago that no
// [Root] needs, until they are not. budget < 0 removes only leavings. With dryRun nothing is removed.
func (s *Store) GC(ctx context.Context, budget int64, dryRun bool) (GCReport, error) {
	var r GCReport
	gc := flock.New(filepath.Join(s.dir, locksDir, "gc"))
	if ok, err := gc.TryLockContext(ctx, 20*time.Millisecond); err != nil || !ok {
		_ = gc.Close()
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		return r, s.problem("lock", err)
	}
	defer gc.Close()
	keep, err := s.wanted()
	if err != nil {
		return r, err
	}
	// Of each step only what gc goes by is held: manifests with thousands of parts may be large.
	type stored struct {
		key     Key
		used    time.Time
		outputs []Digest
	}
	var steps []stored
	uses := map[Digest]int{}
	err = s.walk(manifestsDir, func(path string, info fs.FileInfo) error {
		m, err := readManifest(path)
		if err != nil {
			return nil // damaged: verify names it, and its next use sets it aside
		}
		st := stored{m.Key, info.ModTime(), make([]Digest, len(m.Outputs))}
		for i, o := range m.Outputs {
			st.outputs[i] = o.Digest
			uses[o.Digest]++
		}
		steps = append(steps, st)
		return ctx.Err()
	})
	if err != nil {
		return r, err
	}
	slices.SortFunc(steps, func(a, b stored) int { // used longest ago first
		if c := a.used.Compare(b.used); c != 0 {
			return c
		}
		return strings.Compare(string(a.key), string(b.key))
	})
	sizes := map[Digest]int64{}
	err = s.eachObject(func(_ string, d Digest, size int64) error {
		if d.Valid() {
			sizes[d] = size
			r.Left += size
		}
		return ctx.Err()
	})
	if err != nil {
		return r, err
	}
	if !dryRun {
		if err := s.dropOver(); err != nil {
			return r, err
		}
	}
	drop := func(d Digest) error {
		if !dryRun {
			if err := s.at("remove object"); err != nil {
				return s.problem("remove from store", err)
			}
			if err := os.Remove(s.objectPath(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return s.problem("remove from store", err)
			}
			s.mu.Lock()
			delete(s.verified, d)
			s.mu.Unlock()
		}
		r.Objects++
		r.Bytes += sizes[d]
		r.Left -= sizes[d]
		return nil
	}
	for d := range sizes {
		if uses[d] == 0 {
			if err := drop(d); err != nil {
				return r, err
			}
		}
	}
	for _, st := range steps {
		if budget < 0 || r.Left <= budget {
			break
		}
		if keep[st.key] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return r, err
		}
		if !dryRun {
			if err := s.at("remove manifest"); err != nil {
				return r, s.problem("remove from store", err)
			}
			if err := os.Remove(s.manifestPath(st.key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return r, s.problem("remove from store", err)
			}
		}
		r.Manifests++
		for _, d := range st.outputs {
			if uses[d]--; uses[d] == 0 {
				if _, there := sizes[d]; there {
					if err := drop(d); err != nil {
						return r, err
					}
				}
			}
		}
	}
	return r, s.sweep(&r, dryRun)
}

// staleScratch is how long the scratch of an interrupted step is kept, so that it can go on where it stopped.
const staleScratch = 7 * 24 * time.Hour

// sweep removes the drafts and scratch folders of steps that nobody is working on, and locks that nobody holds.
func (s *Store) sweep(r *GCReport, dryRun bool) error {
	for _, sub := range []string{draftsDir, scratchDir, locksDir} {
		entries, err := os.ReadDir(filepath.Join(s.dir, sub))
		if err != nil {
			return s.problem("read store", err)
		}
		for _, e := range entries {
			if err := s.sweepOne(r, sub, e, dryRun); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) sweepOne(r *GCReport, sub string, e fs.DirEntry, dryRun bool) error {
	info, err := e.Info()
	if err != nil {
		return nil // it went away meanwhile
	}
	key, _, _ := strings.Cut(e.Name(), ".")
	if !Digest(key).Valid() {
		// A small file that is being written right now, the lock of gc, or what a killed process left.
		if sub == locksDir || time.Since(info.ModTime()) < time.Hour {
			return nil
		}
	} else {
		unlock, ok := s.tryLock(key)
		if !ok {
			return nil // somebody is working on it
		}
		defer unlock() // which removes the lock
		if sub == locksDir {
			return nil
		}
		if sub == scratchDir && time.Since(info.ModTime()) < staleScratch {
			if _, err := os.Stat(s.manifestPath(Key(key))); errors.Is(err, fs.ErrNotExist) {
				return nil
			}
		}
	}
	if !dryRun {
		if err := s.at("remove from " + sub); err != nil {
			return s.problem("remove from store", err)
		}
		if err := os.RemoveAll(filepath.Join(s.dir, sub, e.Name())); err != nil {
			return s.problem("remove from store", err)
		}
	}
	if sub == draftsDir {
		r.Drafts++
	} else {
		r.Scratch++
	}
	return nil
}
