package memo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"banter/internal/problem"
	"banter/internal/wholefile"

	"github.com/gofrs/flock"
)

// The names inside a store.
const (
	formatFile    = "banter-store.json"
	objectsDir    = "objects"
	manifestsDir  = "manifests"
	locksDir      = "locks"
	draftsDir     = "drafts"
	scratchDir    = "scratch"
	quarantineDir = "quarantine"
	filesDir      = "files"
	rootsDir      = "roots"

	storeFormat    = "banter-store/1"
	manifestFormat = "banter-manifest/1"

	maxManifestBytes = 64 << 20
	maxSmallBytes    = 1 << 16 // of the head, and of what is remembered of an input file
)

// Store is a folder of results. It may be used by many goroutines and many processes at once.
type Store struct {
	dir    string
	warn   func(string)
	remote *shared // behind the store; nil: nothing is

	// fault, if set, is called before each write with the point's name; tests make it fail or kill the process.
	fault func(point string) error

	mu        sync.Mutex
	verified  map[Digest]looks // objects whose bytes were checked by this process, as they looked then
	elsewhere map[Digest]bool  // outputs of steps that Offers found
}

// Open opens the store in dir and makes it if there is none. warn is told of what was mended; nil discards it.
func Open(dir string, warn func(string)) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, &problem.Error{Op: "open store", Path: dir, Err: err}
	}
	if warn == nil {
		warn = func(string) {}
	}
	s := &Store{dir: dir, warn: warn, verified: map[Digest]looks{}, elsewhere: map[Digest]bool{}}
	b, err := readBounded(filepath.Join(dir, formatFile), maxSmallBytes)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.create(); err != nil {
			return nil, s.problem("create store", err)
		}
		return s, nil
	}
	if err != nil {
		return nil, s.problem("open store", err)
	}
	var head struct{ Format string }
	if err := json.Unmarshal(b, &head); err != nil || head.Format != storeFormat {
		return nil, &problem.Error{Op: "open store", Path: dir, Err: fmt.Errorf("%s does not say %q", formatFile, storeFormat),
			Fix: "name another folder with --store, or use the version of recipe that made this one"}
	}
	return s, nil
}

func (s *Store) create() error {
	if entries, err := os.ReadDir(s.dir); err == nil {
		for _, e := range entries {
			switch e.Name() {
			case objectsDir, manifestsDir, locksDir, draftsDir, scratchDir, quarantineDir, filesDir, rootsDir:
			default: // a store that another process is just making holds only these
				if !strings.HasPrefix(e.Name(), formatFile) {
					return &problem.Error{Op: "create store", Path: s.dir, Err: fmt.Errorf("the folder is not empty and holds no store: it has %s", e.Name()),
						Fix: "name an empty folder, or one that does not exist yet, with --store"}
				}
			}
		}
	}
	for _, d := range []string{objectsDir, manifestsDir, locksDir, draftsDir, scratchDir, quarantineDir, filesDir, rootsDir} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o777); err != nil {
			return err
		}
	}
	return s.writeFile(formatFile, []byte("{\"format\":\""+storeFormat+"\"}\n"), true)
}

// Dir is the store's folder.
func (s *Store) Dir() string { return s.dir }

func (s *Store) problem(op string, err error) error {
	fix := ""
	var already *problem.Error
	switch {
	case errors.As(err, &already):
		return err
	case errors.Is(err, errNotFolder) || errors.Is(err, fs.ErrExist):
		err, fix = unwrapPath(err), "a part of this path is a file: name another with --store"
	case Unwritable(err):
		err, fix = unwrapPath(err), "make the folder writable, or name another with --store"
	case errors.Is(err, errNoSpace):
		err, fix = unwrapPath(err), "free some space (recipe cache gc), or name another folder with --store"
	}
	return &problem.Error{Op: op, Path: s.dir, Err: err, Fix: fix}
}

// Unwritable says whether err is that a store may be read but not written: what it holds serves all the same.
func Unwritable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, errReadOnly)
}

func (s *Store) at(point string) error {
	if s.fault == nil {
		return nil
	}
	return s.fault(point)
}

// Manifest says what a finished step made, from what.
type Manifest struct {
	Format  string          `json:"format"`
	Key     Key             `json:"key"`
	Verb    string          `json:"verb"`
	Label   string          `json:"label,omitempty"`
	Parts   []Part          `json:"parts"`
	Reads   []Key           `json:"reads,omitempty"`
	Outputs []Output        `json:"outputs"` // in order of Name
	Facts   json.RawMessage `json:"facts,omitempty"`
	Varies  string          `json:"varies,omitempty"` // why the bytes may differ elsewhere
	Made    time.Time       `json:"made"`             // when, for people and for gc: nothing depends on it
	Seconds float64         `json:"seconds"`          // how long the work took
}

// Output is one file that a step made.
type Output struct {
	Name   string `json:"name"` // "pairs.parquet"
	Digest Digest `json:"sha256"`
	Size   int64  `json:"bytes"`
}

// ErrNeverMade says that a value is the zero value of its type, as where the cell that makes it was interrupted.
var ErrNeverMade = errors.New("this value was never made: run the cell or the statement that makes it, to its end")

// Output returns the digest of the output named name.
func (m Manifest) Output(name string) (Output, error) {
	if m.Key == "" {
		return Output{}, ErrNeverMade
	}
	for _, o := range m.Outputs {
		if o.Name == name {
			return o, nil
		}
	}
	return Output{}, fmt.Errorf("step %s %s (%s) has no output %s", m.Verb, m.Label, m.Key.Short(), name)
}

// DecodeFacts reads the step's small facts into v.
func (m Manifest) DecodeFacts(v any) error {
	if len(m.Facts) == 0 {
		return nil
	}
	return json.Unmarshal(m.Facts, v)
}

// Outcome says how a result was come by.
type Outcome int

// The outcomes of Do.
const (
	Made Outcome = iota // the work was done
	Hit                 // the store had it
)

func (o Outcome) String() string {
	if o == Hit {
		return "hit"
	}
	return "made"
}

func shard(root, name string) string { return filepath.Join(root, name[:2], name) }

func (s *Store) manifestPath(k Key) string {
	return shard(filepath.Join(s.dir, manifestsDir), string(k)) + ".json"
}
func (s *Store) objectPath(d Digest) string {
	return shard(filepath.Join(s.dir, objectsDir), string(d))
}

// Lookup returns the manifest under k. It does not read the objects. A manifest that cannot be read as one is set
// aside, and counts as absent.
func (s *Store) Lookup(k Key) (Manifest, bool, error) {
	if !Digest(k).Valid() {
		return Manifest{}, false, fmt.Errorf("%q is not a key", string(k))
	}
	path := s.manifestPath(k)
	m, err := readManifest(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, false, nil
	}
	var damaged *damageError
	if errors.As(err, &damaged) || (err == nil && m.Key != k) {
		return Manifest{}, false, s.quarantine(path, fmt.Sprintf("manifest %s is damaged", k.Short()))
	}
	if err != nil {
		return Manifest{}, false, s.problem("read manifest in", err)
	}
	return m, true, nil
}

type damageError struct{ why error }

func (e *damageError) Error() string { return "damaged: " + e.why.Error() }

func readManifest(path string) (Manifest, error) {
	b, err := readBounded(path, maxManifestBytes)
	if errors.Is(err, errTooLarge) {
		err = &damageError{err}
	}
	if err != nil {
		return Manifest{}, err
	}
	return parseManifest(b)
}

func parseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return m, &damageError{err}
	}
	if m.Format != manifestFormat {
		return m, &damageError{fmt.Errorf("format %q", m.Format)}
	}
	if key := (Step{Verb: m.Verb, Parts: m.Parts}).Key(); key != m.Key {
		return m, &damageError{errors.New("its parts do not give its key")}
	}
	return m, m.check()
}

// check refuses what no step writes, because stores are copied and archives come from elsewhere.
func (m Manifest) check() error {
	names := map[string]bool{}
	for _, o := range m.Outputs {
		switch {
		case !o.Digest.Valid():
			return &damageError{fmt.Errorf("output %q has no digest", o.Name)}
		case !validName(o.Name):
			return &damageError{fmt.Errorf("%q is not a name for an output", o.Name)}
		case names[o.Name]:
			return &damageError{fmt.Errorf("output %q is named twice", o.Name)}
		case o.Size < 0:
			return &damageError{fmt.Errorf("output %q has %d bytes", o.Name, o.Size)}
		}
		names[o.Name] = true
	}
	for _, k := range m.Reads {
		if !Digest(k).Valid() {
			return &damageError{fmt.Errorf("%q, which it says it read, is not a key", string(k))}
		}
	}
	return nil
}

// validName says whether an output may be named so: outputs become files of that name, so a name has no folders.
func validName(name string) bool {
	return name != "" && len(name) <= 255 && !strings.HasPrefix(name, ".") && !strings.ContainsAny(name, "/\\\x00")
}

// quarantine sets a damaged file aside, so that what made it is made again.
func (s *Store) quarantine(path, why string) error {
	to := filepath.Join(s.dir, quarantineDir, fmt.Sprintf("%s.%d", filepath.Base(path), time.Now().UnixNano()))
	if err := os.Rename(path, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.problem("set aside damaged file in", err)
	}
	s.warn(fmt.Sprintf("store %s: %s: set aside in %s and made again", s.dir, why, quarantineDir))
	return nil
}

// Find returns the manifest under k if all its objects are there and their bytes are what their names say. What is
// damaged is set aside with a warning, and the step counts as not made.
func (s *Store) Find(k Key) (Manifest, bool, error) {
	m, ok, err := s.Lookup(k)
	if err != nil || !ok {
		return Manifest{}, false, err
	}
	for _, o := range m.Outputs {
		sound, err := s.check(o)
		if err != nil {
			return Manifest{}, false, err
		}
		if !sound {
			return Manifest{}, false, nil
		}
	}
	return m, true, nil
}

// check verifies one object, once a process, and sets a damaged one aside.
func (s *Store) check(o Output) (bool, error) {
	s.mu.Lock()
	before, done := s.verified[o.Digest]
	s.mu.Unlock()
	path := s.objectPath(o.Digest)
	info, err := os.Stat(path)
	if done && err == nil && before == looksOf(info) {
		return true, nil
	}
	digest, size, err := hashFile(context.Background(), path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, s.problem("read object in", err)
	}
	if digest != o.Digest || size != o.Size {
		return false, s.quarantine(path, fmt.Sprintf("object %s (%s) is damaged", o.Digest[:12], o.Name))
	}
	s.sound(o.Digest, path)
	return true, nil
}

// sound remembers that an object's bytes are what its name says.
func (s *Store) sound(d Digest, path string) {
	if info, err := os.Stat(path); err == nil {
		s.mu.Lock()
		s.verified[d] = looksOf(info)
		s.mu.Unlock()
	}
}

// Do returns the result of step: from the store, or the remote behind it, if it is there, else by work, which writes its
// outputs into the draft.
// If work fails, or an input changed while it ran, nothing is stored. Where work calls [Draft.Anew], the manifest has
// another key than the step. While one process works on a key, others that
// want it wait, and then find it.
func (s *Store) Do(ctx context.Context, step Step, work func(context.Context, *Draft) error) (Manifest, Outcome, error) {
	key := step.Key()
	if m, ok, err := s.Find(key); err != nil || ok {
		s.used(key, ok)
		return m, Hit, err
	}
	unlock, err := s.lock(ctx, string(key))
	if err != nil {
		return Manifest{}, Made, err
	}
	defer unlock()
	if m, ok, err := s.Find(key); err != nil || ok {
		s.used(key, ok)
		return m, Hit, err
	}
	if !step.Once {
		if m, ok, err := s.fetch(ctx, key); err != nil || ok {
			return m, Hit, err
		}
	}
	m, err := s.make(ctx, key, step, work)
	if err == nil && !step.Once && m.Key == key {
		s.send(key)
	}
	return m, Made, err
}

// used marks a manifest as wanted now, which is what gc goes by. It is a hint: that it could not be written on a
// read-only store changes nothing.
func (s *Store) used(k Key, ok bool) {
	if ok {
		now := time.Now()
		_ = os.Chtimes(s.manifestPath(k), now, now)
	}
}

func (s *Store) make(ctx context.Context, key Key, step Step, work func(context.Context, *Draft) error) (Manifest, error) {
	d, err := s.newDraft(key)
	if err != nil {
		return Manifest{}, s.problem("write to store", err)
	}
	defer d.discard()
	began := time.Now()
	if err := work(ctx, d); err != nil {
		return Manifest{}, err
	}
	if err := ctx.Err(); err != nil { // work that was stopped may have returned early without saying so
		return Manifest{}, err
	}
	if step.Recheck != nil {
		if err := step.Recheck(); err != nil {
			return Manifest{}, err
		}
	}
	step.Parts = append(slices.Clone(step.Parts), d.anew...)
	m := Manifest{
		Format: manifestFormat, Key: step.Key(), Verb: step.Verb, Label: step.Label, Parts: sortedParts(step.Parts), Reads: step.Reads,
		Facts: d.facts, Varies: step.Varies, Made: time.Now().UTC(), Seconds: time.Since(began).Seconds(),
	}
	// gc waits for this: objects that no manifest names yet must not be swept meanwhile.
	release, err := s.share(ctx)
	if err != nil {
		return Manifest{}, err
	}
	defer release()
	if m.Outputs, err = d.publish(); err != nil {
		return Manifest{}, s.problem("write to store", err)
	}
	if err := s.writeManifest(m); err != nil {
		return Manifest{}, err
	}
	if err := os.RemoveAll(s.scratch(key)); err != nil {
		s.warn(fmt.Sprintf("store %s: scratch of %s is left: %v", s.dir, key.Short(), err))
	}
	return m, nil
}

// writeManifest makes a step visible: all its objects must be there.
func (s *Store) writeManifest(m Manifest) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(s.dir, s.manifestPath(m.Key))
	if err != nil {
		return err
	}
	if err := s.writeFile(rel, append(b, '\n'), true); err != nil {
		return s.problem("write to store", err)
	}
	return nil
}

// lock takes the lock of one name across goroutines and processes.
func (s *Store) lock(ctx context.Context, name string) (unlock func(), err error) {
	for {
		if err := s.at("lock"); err != nil {
			return nil, s.problem("lock step in", err)
		}
		f := flock.New(filepath.Join(s.dir, locksDir, name))
		if ok, err := f.TryLockContext(ctx, 20*time.Millisecond); err != nil || !ok {
			_ = f.Close()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, s.problem("lock step in", err)
		}
		if unlock, ok := held(f); ok {
			return unlock, nil
		}
	}
}

// tryLock takes the lock of one name if nobody holds it.
func (s *Store) tryLock(name string) (unlock func(), ok bool) {
	f := flock.New(filepath.Join(s.dir, locksDir, name))
	if ok, err := f.TryLock(); err != nil || !ok {
		_ = f.Close()
		return nil, false
	}
	return held(f)
}

// held says whether a lock that was taken is one that others see. Whoever unlocks removes the file: if that happened
// between our opening and our locking it, the lock is on a file that nobody else can find, and must be taken again.
func held(f *flock.Flock) (unlock func(), ok bool) {
	locked, err1 := f.Stat()
	named, err2 := os.Stat(f.Path())
	if err1 != nil || err2 != nil || !os.SameFile(locked, named) {
		_ = f.Close()
		return nil, false
	}
	return func() {
		_ = os.Remove(f.Path()) // before unlocking; if it fails the next holder removes it
		_ = f.Close()
	}, true
}

// share holds off gc.
func (s *Store) share(ctx context.Context) (release func(), err error) {
	f := flock.New(filepath.Join(s.dir, locksDir, "gc"))
	if ok, err := f.TryRLockContext(ctx, 20*time.Millisecond); err != nil || !ok {
		_ = f.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.problem("lock", err)
	}
	return func() { _ = f.Close() }, nil
}

// Read returns an object's bytes, verified.
func (s *Store) Read(o Output) ([]byte, error) {
	b, err := os.ReadFile(s.objectPath(o.Digest))
	if err != nil {
		return nil, s.problem("read object in", s.missing(o.Digest, err))
	}
	if Sum(b) != o.Digest {
		if err := s.quarantine(s.objectPath(o.Digest), fmt.Sprintf("object %s (%s) is damaged", o.Digest[:12], o.Name)); err != nil {
			return nil, err
		}
		return nil, &problem.Error{Op: "read", Path: o.Name, Err: errors.New("the stored object is damaged"), Fix: "run again: it will be made anew"}
	}
	return b, nil
}

// OpenObject opens an object for random reads. Its bytes were verified by Find or by the step that made it.
func (s *Store) OpenObject(o Output) (*os.File, error) {
	f, err := os.Open(s.objectPath(o.Digest))
	if err != nil {
		return nil, s.problem("open object in", s.missing(o.Digest, err))
	}
	return f, nil
}

// ObjectPath is where an object lies. The file is read-only and must stay so.
func (s *Store) ObjectPath(o Output) string { return s.objectPath(o.Digest) }

// Copy writes an object to path, which appears complete or not at all.
func (s *Store) Copy(o Output, path string) error {
	if d, size, err := hashFile(context.Background(), path); err == nil && d == o.Digest && size == o.Size {
		return nil
	}
	in, err := s.OpenObject(o)
	if err != nil {
		return err
	}
	defer in.Close()
	return WriteFile(path, in)
}

// WriteFile writes what r gives to path, which appears complete or not at all.
func WriteFile(path string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return &problem.Error{Op: "write", Path: path, Err: err}
	}
	err := wholefile.Write(path, 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
	if err != nil {
		return &problem.Error{Op: "write", Path: path, Err: err}
	}
	return nil
}

// writeFile writes a small file of the store atomically and, if durable, so that it outlives a power cut.
func (s *Store) writeFile(rel string, b []byte, durable bool) (err error) {
	path := filepath.Join(s.dir, rel)
	if err := s.at("mkdir " + filepath.Dir(rel)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if err := s.at("temp " + rel); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Join(s.dir, draftsDir), "file-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err = s.at("write " + rel); err != nil {
		return err
	}
	if _, err = io.Copy(f, bytes.NewReader(b)); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if durable {
		if err = s.at("sync " + rel); err != nil {
			return err
		}
		if err = f.Sync(); err != nil {
			return err
		}
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = s.at("rename " + rel); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if durable {
		return syncDir(filepath.Dir(path))
	}
	return nil
}
