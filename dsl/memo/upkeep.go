package memo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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

// Verify reads every manifest and every object back. It changes nothing.
func (s *Store) Verify(ctx context.Context) (VerifyReport, error) {
	var r VerifyReport
	named := map[Digest]string{}
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
			named[o.Digest] = m.Verb + " " + m.Label + " " + o.Name
		}
		return ctx.Err()
	})
	if err != nil {
		return r, err
	}
	err = s.eachObject(func(path string, d Digest, size int64) error {
		got, n, err := hashFile(ctx, path)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return s.problem("read object in", err)
		}
		r.Objects++
		r.Bytes += n
		progress.Tell(ctx, progress.Report{Done: int64(r.Objects), Unit: "objects"})
		if _, ok := named[d]; !ok {
			r.Orphans++
		}
		if got != d {
			r.Wrong = append(r.Wrong, Finding{s.rel(path), "its bytes are not what its name says (" + named[d] + ")"})
		}
		delete(named, d)
		return nil
	})
	if err != nil {
		return r, err
	}
	for d, what := range named {
		r.Wrong = append(r.Wrong, Finding{filepath.Join(objectsDir, string(d[:2]), string(d)), "is missing (" + what + ")"})
	}
	slices.SortFunc(r.Wrong, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	drafts, err := os.ReadDir(filepath.Join(s.dir, draftsDir))
	if err != nil {
		return r, s.problem("read store", err)
	}
	r.Drafts = len(drafts)
	return r, nil
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

// SetRoots records the keys that the run named name needs, so that gc keeps them.
func (s *Store) SetRoots(name string, keys []Key) error {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	keys = slices.Compact(keys)
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(string(k))
		b.WriteByte('\n')
	}
	if err := s.writeFile(filepath.Join(rootsDir, string(Sum([]byte(name)))), []byte(name+"\n"+b.String()), false); err != nil {
		return s.problem("write to store", err)
	}
	return nil
}

func (s *Store) roots() (map[Key]bool, error) {
	keep := map[Key]bool{}
	err := s.walk(rootsDir, func(path string, _ fs.FileInfo) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return s.problem("read store", err)
		}
		_, keys, _ := strings.Cut(string(b), "\n")
		for k := range strings.FieldsSeq(keys) {
			keep[Key(k)] = true
		}
		return nil
	})
	return keep, err
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
// recipe's last run needs, until they are not. budget < 0 removes only leavings. With dryRun nothing is removed.
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
	keep, err := s.roots()
	if err != nil {
		return r, err
	}
	manifests, err := s.Manifests()
	if err != nil {
		return r, err
	}
	sizes := map[Digest]int64{}
	if err := s.eachObject(func(_ string, d Digest, size int64) error { sizes[d] = size; r.Left += size; return nil }); err != nil {
		return r, err
	}
	uses := map[Digest]int{}
	for _, m := range manifests {
		for _, o := range m.Outputs {
			uses[o.Digest]++
		}
	}
	drop := func(d Digest) error {
		if !dryRun {
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
	for _, m := range slices.Backward(manifests) { // used longest ago first
		if budget < 0 || r.Left <= budget {
			break
		}
		if keep[m.Key] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return r, err
		}
		if !dryRun {
			if err := os.Remove(s.manifestPath(m.Key)); err != nil {
				return r, s.problem("remove from store", err)
			}
		}
		r.Manifests++
		for _, o := range m.Outputs {
			if uses[o.Digest]--; uses[o.Digest] == 0 {
				if _, there := sizes[o.Digest]; there {
					if err := drop(o.Digest); err != nil {
						return r, err
					}
				}
			}
		}
	}
	return r, s.sweep(&r, keep, dryRun)
}

// sweep removes the drafts and scratch folders of steps that nobody is working on.
func (s *Store) sweep(r *GCReport, keep map[Key]bool, dryRun bool) error {
	for _, sub := range []string{draftsDir, scratchDir} {
		entries, err := os.ReadDir(filepath.Join(s.dir, sub))
		if err != nil {
			return s.problem("read store", err)
		}
		for _, e := range entries {
			key, _, _ := strings.Cut(e.Name(), ".")
			if Digest(key).Valid() {
				f := flock.New(filepath.Join(s.dir, locksDir, key))
				if ok, err := f.TryLock(); err != nil || !ok {
					_ = f.Close()
					continue // somebody is working on it
				}
				defer f.Close()
				// An interrupted step that has not been finished since resumes from its scratch: keep it for a week.
				if info, err := e.Info(); sub == scratchDir && err == nil && time.Since(info.ModTime()) < 7*24*time.Hour {
					if _, err := os.Stat(s.manifestPath(Key(key))); errors.Is(err, fs.ErrNotExist) {
						continue
					}
				}
			} else if info, err := e.Info(); err != nil || time.Since(info.ModTime()) < time.Hour {
				continue // a small file that is being written right now
			}
			if !dryRun {
				if err := os.RemoveAll(filepath.Join(s.dir, sub, e.Name())); err != nil {
					return s.problem("remove from store", err)
				}
			}
			if sub == draftsDir {
				r.Drafts++
			} else {
				r.Scratch++
			}
		}
	}
	return nil
}
