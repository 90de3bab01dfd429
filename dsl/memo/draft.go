package memo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Draft is where a step writes its outputs. Nothing in it is visible to others until the step is done.
type Draft struct {
	store *Store
	key   Key
	dir   string
	files []*draftFile
	facts json.RawMessage
	anew  []Part // see Anew
}

type draftFile struct {
	name  string
	path  string
	f     *os.File
	hash  hash.Hash
	size  int64
	draft *Draft
}

func (s *Store) newDraft(key Key) (*Draft, error) {
	// The key's lock is held: drafts of this key that lie here were left by processes that died.
	old, err := filepath.Glob(filepath.Join(s.dir, draftsDir, string(key)+".*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range old {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	if err := s.at("draft"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Join(s.dir, draftsDir), string(key)+".*")
	if err != nil {
		return nil, err
	}
	return &Draft{store: s, key: key, dir: dir}, nil
}

// Create opens an output for writing. name is a file name without folders. The caller closes it.
func (d *Draft) Create(name string) (io.WriteCloser, error) {
	if !validName(name) {
		return nil, fmt.Errorf("%q is not a name for an output", name)
	}
	if slices.ContainsFunc(d.files, func(f *draftFile) bool { return f.name == name }) {
		return nil, fmt.Errorf("output %s is written twice", name)
	}
	path := filepath.Join(d.dir, name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, d.store.problem("write to store", err)
	}
	file := &draftFile{name: name, path: path, f: f, hash: sha256.New(), draft: d}
	d.files = append(d.files, file)
	return file, nil
}

func (f *draftFile) Write(b []byte) (int, error) {
	if err := f.draft.store.at("write " + f.name); err != nil {
		return 0, f.draft.store.problem("write to store", err)
	}
	n, err := f.f.Write(b)
	f.hash.Write(b[:n])
	f.size += int64(n)
	if err != nil {
		err = f.draft.store.problem("write to store", err)
	}
	return n, err
}

func (f *draftFile) Close() error {
	if f.f == nil {
		return nil
	}
	err := f.draft.store.at("sync " + f.name)
	if err == nil {
		err = f.f.Chmod(0o444)
	}
	if err == nil {
		err = f.f.Sync()
	}
	if e := f.f.Close(); err == nil {
		err = e
	}
	f.f = nil
	if err != nil {
		return f.draft.store.problem("write to store", err)
	}
	return nil
}

// Write makes an output of what write writes.
func (d *Draft) Write(name string, write func(io.Writer) error) error {
	w, err := d.Create(name)
	if err != nil {
		return err
	}
	if err := write(w); err != nil {
		_ = w.Close() // the draft is thrown away whole
		return err
	}
	return w.Close()
}

// WriteBytes makes an output of b.
func (d *Draft) WriteBytes(name string, b []byte) error {
	return d.Write(name, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// Import makes an output of the file at path.
func (d *Draft) Import(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.Write(name, func(w io.Writer) error { _, err := io.Copy(w, f); return err })
}

// Anew says that the step's key does not say all that this result depends on, or that it came with an effect that a later
// hit would be without: part, which must be unlike that of any other step, enters its key, so that nobody finds it again.
func (d *Draft) Anew(part Part) { d.anew = append(d.anew, part) }

// Facts records small results in the manifest itself, so that they can be shown without reading an object.
func (d *Draft) Facts(v any) error {
	b, err := json.Marshal(v)
	d.facts = b
	return err
}

// Scratch is a folder for the step's own unfinished state, such as checkpoints. It survives a killed process and is
// given again to the next try of the same key; it is removed when the step is done.
func (d *Draft) Scratch() (string, error) {
	dir := d.store.scratch(d.key)
	if err := d.store.at("scratch"); err != nil {
		return "", d.store.problem("write to store", err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", d.store.problem("write to store", err)
	}
	return dir, nil
}

func (s *Store) scratch(k Key) string { return filepath.Join(s.dir, scratchDir, string(k)) }

// publish moves the files to where their digests say. Objects alone are invisible: a manifest must name them.
func (d *Draft) publish() ([]Output, error) {
	outputs := make([]Output, 0, len(d.files))
	folders := map[string]bool{}
	for _, f := range d.files {
		if f.f != nil {
			return nil, fmt.Errorf("output %s was not closed", f.name)
		}
		o := Output{Name: f.name, Digest: Digest(hex.EncodeToString(f.hash.Sum(nil))), Size: f.size}
		outputs = append(outputs, o)
		path := d.store.objectPath(o.Digest)
		if info, err := os.Stat(path); err == nil && info.Size() == o.Size {
			if sound, err := d.store.check(o); err != nil {
				return nil, err
			} else if sound {
				continue
			}
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := d.store.at("mkdir object"); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return nil, err
		}
		if err := d.store.at("rename object " + f.name); err != nil {
			return nil, err
		}
		if err := os.Rename(f.path, path); err != nil {
			return nil, err
		}
		d.store.sound(o.Digest, path) // it was hashed while it was written
		folders[filepath.Dir(path)] = true
	}
	for folder := range folders {
		if err := syncDir(folder); err != nil {
			return nil, err
		}
	}
	if err := d.store.at("published"); err != nil {
		return nil, err
	}
	slices.SortFunc(outputs, func(a, b Output) int { return strings.Compare(a.Name, b.Name) })
	return outputs, nil
}

func (d *Draft) discard() {
	for _, f := range d.files {
		if f.f != nil {
			_ = f.f.Close()
		}
	}
	if err := os.RemoveAll(d.dir); err != nil {
		d.store.warn(fmt.Sprintf("store %s: a draft is left: %v", d.store.dir, err))
	}
}
