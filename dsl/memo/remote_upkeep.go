package memo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"banter/internal/progress"
)

// Entry is what lies under a name of a remote.
type Entry struct {
	Name    string
	Bytes   int64
	Written time.Time // by the remote's clock
	Draft   bool      // it is a write that goes on or was broken off, and will be read by nobody
}

// readersAtMost is how many objects of a remote are read at once: what they wait for is the network.
const readersAtMost = 4

// upkeep opens the remote for looking after it. A remote without a head is empty.
func (s *Store) upkeep(ctx context.Context) (r *shared, there bool, err error) {
	if s.remote == nil {
		return nil, false, errNoRemote
	}
	there, err = s.remote.open(ctx, false)
	return s.remote, there, s.remote.remotely("read shared store", err)
}

// listed is what the remote holds: entries by step and by object, drafts of either, and the names that are neither.
type listed struct {
	steps   map[Key]Entry
	objects map[Digest]Entry
	drafts  []Entry
	other   []string
}

func (r *shared) listed(ctx context.Context) (listed, error) {
	l := listed{steps: map[Key]Entry{}, objects: map[Digest]Entry{}}
	for _, dir := range []string{manifestsDir, objectsDir} { // objects last: what is sent meanwhile has them first
		for e, err := range r.List(ctx, dir+"/") {
			if err != nil {
				return l, err
			}
			base := path.Base(e.Name)
			k := Key(strings.TrimSuffix(base, ".json"))
			switch {
			case e.Draft:
				l.drafts = append(l.drafts, e)
			case dir == manifestsDir && Digest(k).Valid() && remoteManifest(k) == e.Name:
				l.steps[k] = e
			case dir == objectsDir && Digest(base).Valid() && remoteObject(Digest(base)) == e.Name:
				l.objects[Digest(base)] = e
			default:
				l.other = append(l.other, e.Name)
			}
		}
	}
	return l, nil
}

// VerifyShared reads all that the remote holds back, as [Store.Verify] does with the store. It changes nothing.
func (s *Store) VerifyShared(ctx context.Context) (VerifyReport, error) {
	var v VerifyReport
	r, there, err := s.upkeep(ctx)
	if err != nil || !there {
		return v, err
	}
	l, err := r.listed(ctx)
	if err != nil {
		return v, r.remotely("read shared store", err)
	}
	for _, name := range l.other {
		v.Wrong = append(v.Wrong, Finding{name, "is neither a step nor an object"})
	}
	v.Drafts = len(l.drafts)
	named := map[Digest]string{} // the output that each object is
	for k := range l.steps {
		v.Manifests++
		m, err := r.manifest(ctx, k)
		var damaged *damageError
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was removed meanwhile
			continue
		case errors.As(err, &damaged):
			v.Wrong = append(v.Wrong, Finding{remoteManifest(k), err.Error()})
			continue
		case err != nil:
			return v, r.remotely("read shared store", err)
		}
		for _, o := range m.Outputs {
			named[o.Digest] = fmt.Sprintf(" (%s of %s, key %s)", o.Name, strings.TrimSpace(m.Verb+" "+m.Label), m.Key.Short())
			if _, ok := l.objects[o.Digest]; !ok {
				if ok, err := r.has(ctx, remoteObject(o.Digest)); err != nil {
					return v, r.remotely("read shared store", err)
				} else if !ok {
					v.Wrong = append(v.Wrong, Finding{remoteObject(o.Digest), "is missing" + named[o.Digest]})
				}
			}
		}
	}
	if err := r.readAll(ctx, l, named, &v); err != nil {
		return v, r.remotely("read shared store", err)
	}
	slices.SortFunc(v.Wrong, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	return v, nil
}

// readAll reads the objects back, some at once.
func (r *shared) readAll(ctx context.Context, l listed, named map[Digest]string, v *VerifyReport) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan Digest)
	var mu sync.Mutex // guards v
	var wait sync.WaitGroup
	for range readersAtMost {
		wait.Go(func() {
			for d := range todo {
				h := sha256.New()
				var n int64
				err := r.read(ctx, remoteObject(d), func(in io.Reader) (err error) {
					n, err = io.Copy(h, in)
					return err
				})
				mu.Lock()
				switch {
				case errors.Is(err, fs.ErrNotExist): // removed meanwhile
				case err != nil:
					cancel(err)
				default:
					v.Objects++
					v.Bytes += n
					of, isNamed := named[d]
					if !isNamed {
						v.Orphans++
					}
					if Digest(hex.EncodeToString(h.Sum(nil))) != d {
						v.Wrong = append(v.Wrong, Finding{remoteObject(d), "its bytes are not what its name says" + of})
					}
					progress.Tell(ctx, progress.Report{Done: int64(v.Objects), Total: int64(len(l.objects)), Unit: "objects"})
				}
				mu.Unlock()
			}
		})
	}
feed:
	for d := range l.objects {
		select {
		case todo <- d:
		case <-ctx.Done():
			break feed
		}
	}
	close(todo)
	wait.Wait()
	return context.Cause(ctx)
}

// SharedGC is what GCShared is to remove.
type SharedGC struct {
	Older  time.Duration // only what was written longer ago than this; others may be sending what is younger
	Steps  bool          // steps, too, and not only leavings
	DryRun bool          // only say what would be removed
}

// GCShared removes from the remote drafts and the objects that no step names: what broken transfers left. With o.Steps it removes
// the old steps, too, but none that a run recorded in this store needs, and none that led to a step that stays. It cannot
// know what others want: whoever misses a step makes it, and sends it, again.
//
// A step that is damaged counts as naming nothing; its name stays, and the next who wants it sends it anew.
func (s *Store) GCShared(ctx context.Context, o SharedGC) (g GCReport, err error) {
	r, there, err := s.upkeep(ctx)
	if err != nil || !there {
		return g, err
	}
	defer func() { err = r.remotely("clean shared store", err) }()
	before := time.Now().Add(-o.Older)
	l, err := r.listed(ctx)
	if err != nil {
		return g, err
	}
	steps := map[Key]Manifest{}
	for k := range l.steps {
		m, err := r.manifest(ctx, k)
		var damaged *damageError
		if errors.Is(err, fs.ErrNotExist) || errors.As(err, &damaged) {
			continue
		}
		if err != nil {
			return g, err
		}
		steps[k] = m
	}
	var gone []Manifest
	if o.Steps {
		keep, err := s.wanted()
		if err != nil {
			return g, err
		}
		for k := range steps {
			if l.steps[k].Written.After(before) {
				keep[k] = true
			}
		}
		todo := []Key{}
		for k := range keep {
			todo = append(todo, k)
		}
		for len(todo) > 0 { // and what led to them
			k := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for _, read := range steps[k].Reads {
				if !keep[read] {
					keep[read] = true
					todo = append(todo, read)
				}
			}
		}
		for k, m := range steps {
			if !keep[k] {
				gone = append(gone, m)
				delete(steps, k)
			}
		}
		slices.SortFunc(gone, func(a, b Manifest) int { return strings.Compare(string(a.Key), string(b.Key)) })
	}
	named := map[Digest]bool{}
	for _, m := range steps {
		for _, out := range m.Outputs {
			named[out.Digest] = true
		}
	}
	for _, e := range l.drafts {
		if e.Written.After(before) {
			continue
		}
		if !o.DryRun {
			if err := r.Remove(ctx, e.Name); err != nil {
				return g, err
			}
		}
		g.Drafts++
	}
	for _, m := range gone { // before their objects, so that nobody sees a step without them
		if !o.DryRun {
			if err := r.Remove(ctx, remoteManifest(m.Key)); err != nil {
				return g, err
			}
		}
		g.Manifests++
	}
	digests := make([]Digest, 0, len(l.objects))
	for d := range l.objects {
		digests = append(digests, d)
	}
	slices.Sort(digests)
	for _, d := range digests {
		e := l.objects[d]
		if named[d] || e.Written.After(before) {
			g.Left += e.Bytes
			continue
		}
		if !o.DryRun {
			if err := r.Remove(ctx, remoteObject(d)); err != nil {
				return g, err
			}
		}
		g.Objects++
		g.Bytes += e.Bytes
	}
	return g, nil
}
