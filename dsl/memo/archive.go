package memo

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"banter/internal/problem"
	"banter/internal/progress"

	"github.com/klauspost/compress/zstd"
)

// An archive is a tar compressed by zstd: archiveHead, then step after step a manifest, and those of its objects that
// came with no manifest before it. A manifest says how large each object is before the object comes, so a reader never
// takes in a byte that was not announced.
const (
	archiveHead   = "banter-archive.json"
	archiveFormat = "banter-archive/1"
)

// Archived counts what an archive holds, and what of it was new.
type Archived struct {
	Steps   int   // all
	Objects int   // all
	Bytes   int64 // of all objects
	New     int   // steps that the store did not have whole
}

// With returns the keys together with those of all steps that they were made from, as far as the store still has them.
func (s *Store) With(keys []Key) ([]Key, error) {
	seen := map[Key]bool{}
	for todo := slices.Clone(keys); len(todo) > 0; {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[k] {
			continue
		}
		m, ok, err := s.Lookup(k)
		if err != nil {
			return nil, err
		}
		if !ok {
			if slices.Contains(keys, k) {
				return nil, fmt.Errorf("step %s is not in store %s", k.Short(), s.dir)
			}
			continue
		}
		seen[k] = true
		todo = append(todo, m.Reads...)
	}
	out := make([]Key, 0, len(seen))
	for k := range seen {
		out = append(out, k)
	}
	slices.Sort(out)
	return out, nil
}

// Export writes the steps under the given keys, with their objects, as an archive. The same steps give the same bytes.
// Every object is checked on the way.
func (s *Store) Export(ctx context.Context, w io.Writer, keys []Key) (a Archived, err error) {
	release, err := s.share(ctx) // so that gc takes nothing away meanwhile
	if err != nil {
		return a, err
	}
	defer release()
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return a, err
	}
	defer func() {
		if e := z.Close(); err == nil {
			err = e
		}
	}()
	t := tar.NewWriter(z)
	put := func(name string, b []byte) error {
		if err := t.WriteHeader(entry(name, int64(len(b)))); err != nil {
			return err
		}
		_, err := t.Write(b)
		return err
	}
	if err := put(archiveHead, []byte("{\"format\":\""+archiveFormat+"\"}\n")); err != nil {
		return a, err
	}
	keys = slices.Clone(keys)
	slices.Sort(keys)
	done := map[Digest]bool{}
	for _, k := range slices.Compact(keys) {
		m, ok, err := s.Find(k)
		if err != nil {
			return a, err
		}
		if !ok {
			return a, &problem.Error{Op: "export", Path: k.Short(), Err: errors.New("this step is not whole in the store"), Fix: "run its recipe again, then export"}
		}
		b, err := json.MarshalIndent(m, "", " ")
		if err != nil {
			return a, err
		}
		if err := put(path.Join(manifestsDir, string(k)+".json"), append(b, '\n')); err != nil {
			return a, err
		}
		a.Steps++
		for _, o := range m.Outputs {
			if done[o.Digest] {
				continue
			}
			done[o.Digest] = true
			if err := s.exportObject(ctx, t, o); err != nil {
				return a, err
			}
			a.Objects++
			a.Bytes += o.Size
			progress.Tell(ctx, progress.Report{Done: a.Bytes, Unit: "bytes"})
		}
	}
	return a, t.Close()
}

// entry is a header without time, owner or rights, so that equal content gives equal bytes.
func entry(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o444, Format: tar.FormatPAX}
}

func (s *Store) exportObject(ctx context.Context, t *tar.Writer, o Output) error {
	f, err := s.OpenObject(o)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.WriteHeader(entry(path.Join(objectsDir, string(o.Digest)), o.Size)); err != nil {
		return err
	}
	_, err = io.Copy(t, contextReader{ctx, f})
	return err
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// ImportOptions bounds what Import takes in.
type ImportOptions struct {
	Limit int64 // bytes of all objects together; 0: 64 GiB
}

const (
	defaultImportLimit = 64 << 30
	maxZstdWindow      = 128 << 20 // bytes of memory that an archive may ask for to be unpacked
	maxArchivedSteps   = 1 << 20
)

// Import takes the steps of an archive into the store. Each object's bytes must be what the manifest before it says, and
// each manifest's parts must give its key; a step becomes visible when it is whole, so that of an archive that is cut
// short the steps before the cut are there. What the store has already stays as it is.
//
// The bytes are checked, but nothing can check without doing the work again that a step of these parts gives these
// bytes: import only what comes from somebody you trust.
func (s *Store) Import(ctx context.Context, r io.Reader, o ImportOptions) (a Archived, err error) {
	if o.Limit <= 0 {
		o.Limit = defaultImportLimit
	}
	release, err := s.share(ctx) // objects come before the manifest that names them is visible
	if err != nil {
		return a, err
	}
	defer release()
	z, err := zstd.NewReader(contextReader{ctx, r}, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return a, refused(err)
	}
	defer z.Close()
	in := &importer{store: s, limit: o.Limit, tar: tar.NewReader(z), announced: map[Digest]int64{}, here: map[Digest]bool{}}
	if err := in.head(); err != nil {
		return a, err
	}
	for {
		h, err := in.tar.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = in.entry(ctx, h)
		}
		if err != nil {
			return in.count, in.broken(err)
		}
	}
	if in.step != nil {
		return in.count, in.broken(io.ErrUnexpectedEOF)
	}
	return in.count, nil
}

func refused(err error) error {
	return &problem.Error{Op: "import", Err: err, Fix: "nothing of it was taken; is it an archive of recipe cache export?"}
}

// importer is how far an import is.
type importer struct {
	store     *Store
	limit     int64
	tar       *tar.Reader
	count     Archived
	announced map[Digest]int64 // sizes of objects that manifests named so far
	here      map[Digest]bool  // objects that came
	step      *Manifest        // whose objects are coming
	missing   int              // how many of them are still to come
	skip      bool             // the store has the step already
}

func (in *importer) broken(err error) error {
	var already *problem.Error
	if errors.As(err, &already) || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the archive is cut short")
	}
	return &problem.Error{Op: "import", Err: err, Fix: fmt.Sprintf("the %d steps before this place were taken; get the archive again", in.count.Steps)}
}

// head reads the entry that says that this is an archive of ours.
func (in *importer) head() error {
	h, err := in.tar.Next()
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the archive is empty or cut short")
		}
		return refused(err)
	}
	var head struct{ Format string }
	if h.Name != archiveHead || h.Size > 4096 || json.NewDecoder(in.tar).Decode(&head) != nil || head.Format != archiveFormat {
		return refused(fmt.Errorf("the archive does not begin with %s that says %q", archiveHead, archiveFormat))
	}
	return nil
}

func (in *importer) entry(ctx context.Context, h *tar.Header) error {
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("entry %.120q is a link, a folder or a device: an archive holds only files", h.Name)
	}
	dir, name := path.Split(h.Name)
	key, isManifest := strings.CutSuffix(name, ".json")
	switch {
	case dir == manifestsDir+"/" && isManifest && Digest(key).Valid():
		return in.manifest(ctx, h, Key(key))
	case dir == objectsDir+"/" && Digest(name).Valid():
		return in.object(ctx, h, Digest(name))
	}
	return fmt.Errorf("entry %.120q is neither a manifest nor an object", h.Name)
}

func (in *importer) manifest(ctx context.Context, h *tar.Header, key Key) error {
	if in.step != nil {
		return fmt.Errorf("%d outputs of step %s are not in the archive", in.missing, in.step.Key.Short())
	}
	if h.Size > maxManifestBytes {
		return fmt.Errorf("the manifest of step %s has %d bytes, which is more than one can have", key.Short(), h.Size)
	}
	if in.count.Steps >= maxArchivedSteps {
		return fmt.Errorf("the archive has more than %d steps", maxArchivedSteps)
	}
	b, err := io.ReadAll(in.tar)
	if err != nil {
		return err
	}
	m, err := parseManifest(b)
	if err == nil && m.Key != key {
		err = errors.New("it is of another key")
	}
	if err != nil {
		return fmt.Errorf("the manifest of step %s is not what it says: %w", key.Short(), err)
	}
	_, in.skip, err = in.store.Find(key)
	if err != nil {
		return err
	}
	in.step, in.missing = &m, 0
	wanted := map[Digest]bool{}
	for _, o := range m.Outputs {
		size, known := in.announced[o.Digest]
		if known && size != o.Size {
			return fmt.Errorf("object %s is said to have %d bytes and %d bytes", o.Digest[:12], size, o.Size)
		}
		if !known {
			in.announced[o.Digest] = o.Size
			if in.count.Bytes += o.Size; in.count.Bytes > in.limit || in.count.Bytes < 0 {
				return &problem.Error{Op: "import", Err: fmt.Errorf("the archive's objects are more than %d bytes", in.limit), Fix: "allow more with --limit if you trust it"}
			}
		}
		if !in.here[o.Digest] && !wanted[o.Digest] {
			wanted[o.Digest] = true
			in.missing++
		}
	}
	return in.finish(ctx)
}

func (in *importer) object(ctx context.Context, h *tar.Header, d Digest) error {
	size, ok := in.announced[d]
	if in.step == nil || !ok || in.here[d] {
		return fmt.Errorf("object %s belongs to no step that came before it", d[:12])
	}
	if h.Size != size {
		return fmt.Errorf("object %s has %d bytes, its manifest says %d", d[:12], h.Size, size)
	}
	if err := in.store.adopt(Output{Name: string(d[:12]), Digest: d, Size: size}, in.tar); err != nil {
		return err
	}
	in.here[d] = true
	in.count.Objects++
	in.missing--
	progress.Tell(ctx, progress.Report{Done: int64(in.count.Objects), Unit: "objects"})
	return in.finish(ctx)
}

// finish makes a step visible when all its objects are there.
func (in *importer) finish(ctx context.Context) error {
	if in.missing > 0 {
		return nil
	}
	m := in.step
	in.step = nil
	in.count.Steps++
	if in.skip {
		return nil
	}
	in.count.New++
	unlock, err := in.store.lock(ctx, string(m.Key))
	if err != nil {
		return err
	}
	defer unlock()
	if _, there, err := in.store.Find(m.Key); err != nil || there { // its objects were all that was missing
		return err
	}
	return in.store.writeManifest(*m)
}

var errDamaged = errors.New("its bytes are not what its name says")

// adopt makes an object of what r gives, if that is what o says.
func (s *Store) adopt(o Output, r io.Reader) (err error) {
	if sound, err := s.check(o); err != nil {
		return err
	} else if sound {
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return err
		}
		if Digest(hex.EncodeToString(h.Sum(nil))) != o.Digest {
			return fmt.Errorf("object %s is damaged: %w", o.Name, errDamaged)
		}
		return nil
	}
	if err := s.at("temp object"); err != nil {
		return s.problem("write to store", err)
	}
	f, err := os.CreateTemp(filepath.Join(s.dir, draftsDir), "file-*")
	if err != nil {
		return s.problem("write to store", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	h := sha256.New()
	w := &diskWriter{f: f}
	if err := s.at("write object"); err != nil {
		return s.problem("write to store", err)
	}
	if _, err := io.Copy(io.MultiWriter(w, h), r); err != nil {
		if w.err != nil {
			return s.problem("write to store", w.err)
		}
		return err
	}
	if got := Digest(hex.EncodeToString(h.Sum(nil))); got != o.Digest {
		return fmt.Errorf("object %s is damaged: %w", o.Name, errDamaged)
	}
	to := s.objectPath(o.Digest)
	for _, step := range []func() error{
		func() error { return f.Chmod(0o444) },
		func() error { return s.at("sync object") },
		f.Sync,
		f.Close,
		func() error { return os.MkdirAll(filepath.Dir(to), 0o777) },
		func() error { return s.at("rename object") },
		func() error { return os.Rename(f.Name(), to) },
		func() error { return syncDir(filepath.Dir(to)) },
	} {
		if err := step(); err != nil {
			return s.problem("write to store", err)
		}
	}
	s.sound(o.Digest, to)
	return nil
}

// diskWriter tells an error of the disk from one of the archive.
type diskWriter struct {
	f   io.Writer
	err error
}

func (w *diskWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	if err != nil && !errors.Is(err, fs.ErrClosed) {
		w.err = err
	}
	return n, err
}
