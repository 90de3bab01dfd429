package memo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"
)

// Remote is a place that several stores share: bytes under names with slashes. An error that is [fs.ErrNotExist] says
// that nothing lies under a name. Package bucket makes them of folders and S3.
type Remote interface {
	fmt.Stringer // for people: it holds no secret

	Read(ctx context.Context, name string) (io.ReadCloser, error)
	Write(ctx context.Context, name string, r io.Reader) error // appears whole or not at all
	Has(ctx context.Context, name string) (bool, error)
	Remove(ctx context.Context, name string) error
	List(ctx context.Context, prefix string) iter.Seq2[Entry, error]
	Close() error
}

const (
	sharedHead   = "banter-shared.json"
	sharedFormat = "banter-shared/1"
)

// shared is the remote behind a store, and what is known of it.
type shared struct {
	Remote
	store    *Store
	patience time.Duration // how long it may stand still while something is read from it

	ctx   context.Context // of what is sent in the background
	stop  context.CancelFunc
	slots chan struct{} // of steps that are sent at once

	mu       sync.Mutex
	ready    bool // its head was read, or written
	told     bool // the user knows that it does not work
	failures int  // in a row
	spoilt   map[string]bool
	pending  int           // steps that are still to be sent
	idle     chan struct{} // closed when there are none
}

const (
	patience     = 30 * time.Second
	sendersAtMax = 4
	// enough is how many failures in a row make a run do without the remote: each may have cost the whole patience.
	enough = 2
)

// Share puts a remote behind the store. What the store lacks is looked for there, and what is made is sent there in the
// background: see [Store.Flush]. Its bytes are taken only if they are what their digests say, and a remote that fails, or
// holds what it should not, is told to the user once and changes no result. Call it before the store is used.
func (s *Store) Share(r Remote) {
	ctx, stop := context.WithCancel(context.Background())
	s.remote = &shared{Remote: r, store: s, patience: patience, ctx: ctx, stop: stop, slots: make(chan struct{}, sendersAtMax), spoilt: map[string]bool{}}
}

// Shared names the remote behind the store, or is empty.
func (s *Store) Shared() string {
	if s.remote == nil {
		return ""
	}
	return s.remote.String()
}

// Flush waits until what was made is in the remote, or ctx is done. Pending says how many steps that are.
func (s *Store) Flush(ctx context.Context) error {
	r := s.remote
	if r == nil {
		return nil
	}
	r.mu.Lock()
	idle, n := r.idle, r.pending
	r.mu.Unlock()
	if n == 0 {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Pending is how many finished steps are not in the remote yet.
func (s *Store) Pending() int {
	if s.remote == nil {
		return 0
	}
	s.remote.mu.Lock()
	defer s.remote.mu.Unlock()
	return s.remote.pending
}

// Close breaks off what is being sent and lets go of the remote. The store itself needs no closing.
func (s *Store) Close() error {
	r := s.remote
	if r == nil {
		return nil
	}
	r.stop()
	_ = s.Flush(context.Background()) // which each sender's end now brings about soon
	return r.Close()
}

func remoteManifest(k Key) string  { return path.Join(manifestsDir, string(k)[:2], string(k)+".json") }
func remoteObject(d Digest) string { return path.Join(objectsDir, string(d)[:2], string(d)) }

// failed tells the user, once, that the remote is of no use, or holds what it should not.
func (r *shared) failed(err error) {
	r.mu.Lock()
	r.failures++
	first := !r.told
	r.told = true
	r.mu.Unlock()
	if !first {
		return
	}
	var damaged *damageError
	then := "going on without it (recipe cache push sends later what it lacks)"
	if errors.As(err, &damaged) || errors.Is(err, errDamaged) {
		then = "making the step here, and sending it anew"
	}
	r.store.warn(fmt.Sprintf("shared store %s: %v: %s", r, err, then))
}

// tried notes how a request to the remote went.
func (r *shared) tried(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil || errors.Is(err, fs.ErrNotExist):
		r.mu.Lock()
		r.failures = 0
		r.mu.Unlock()
	}
	return err
}

// off says whether the remote failed so often that nothing more is asked of it.
func (r *shared) off() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failures >= enough
}

// spoil remembers a name whose bytes may not be what they should be, so that they are written over.
func (r *shared) spoil(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spoilt[name] = true
}

// has says whether there is something under name that need not be written over.
func (r *shared) has(ctx context.Context, name string) (bool, error) {
	r.mu.Lock()
	spoilt := r.spoilt[name]
	r.mu.Unlock()
	if spoilt {
		return false, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.patience, errStands)
	defer cancel()
	ok, err := r.Has(ctx, name)
	return ok, stood(ctx, err)
}

var errStands = errors.New("it does not answer")

// stood is err, or that the remote did not answer if that is why.
func stood(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStands) {
		return errStands
	}
	return err
}

// read gives the reader of a name to use, and gives up when nothing comes for too long.
func (r *shared) read(ctx context.Context, name string, use func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(r.patience, func() { cancel(errStands) })
	defer timer.Stop()
	in, err := r.Read(ctx, name)
	if err != nil {
		return stood(ctx, err)
	}
	defer in.Close()
	return stood(ctx, use(&ticking{in, timer, r.patience}))
}

// write puts what in gives under name, and gives up when nothing of it is taken for too long. A remote may hold some
// megabytes back until it takes more.
func (r *shared) write(ctx context.Context, name string, in io.Reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	long := 10 * r.patience
	timer := time.AfterFunc(long, func() { cancel(errStands) })
	defer timer.Stop()
	return stood(ctx, r.Write(ctx, name, &ticking{in, timer, long}))
}

// ticking puts off a timer as long as something is read.
type ticking struct {
	r     io.Reader
	timer *time.Timer
	by    time.Duration
}

func (t *ticking) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	if n > 0 {
		t.timer.Reset(t.by)
	}
	return n, err
}

// open reads the remote's head once. A remote without one is empty; it gets one before the first step is sent.
func (r *shared) open(ctx context.Context, toWrite bool) (there bool, err error) {
	r.mu.Lock()
	ready := r.ready
	r.mu.Unlock()
	if ready {
		return true, nil
	}
	var b []byte
	err = r.read(ctx, sharedHead, func(in io.Reader) (err error) {
		b, err = io.ReadAll(io.LimitReader(in, 4096))
		return err
	})
	var head struct{ Format string }
	switch {
	case errors.Is(err, fs.ErrNotExist) && !toWrite:
		return false, nil
	case errors.Is(err, fs.ErrNotExist):
		if err := r.write(ctx, sharedHead, strings.NewReader("{\"format\":\""+sharedFormat+"\"}\n")); err != nil {
			return false, err
		}
	case err != nil:
		return false, err
	case json.Unmarshal(b, &head) != nil || head.Format != sharedFormat:
		return false, fmt.Errorf("its %s does not say %q", sharedHead, sharedFormat)
	}
	r.mu.Lock()
	r.ready = true
	r.mu.Unlock()
	return true, nil
}

// manifest reads what the remote has under a key. Parts that do not give the key are damage.
func (r *shared) manifest(ctx context.Context, k Key) (m Manifest, err error) {
	var b []byte
	err = r.read(ctx, remoteManifest(k), func(in io.Reader) (err error) {
		b, err = io.ReadAll(io.LimitReader(in, maxManifestBytes+1))
		return err
	})
	if err != nil {
		return m, err
	}
	if len(b) > maxManifestBytes {
		return m, &damageError{errors.New("it is larger than a manifest can be")}
	}
	if m, err = parseManifest(b); err == nil && m.Key != k {
		err = &damageError{errors.New("it is of another key")}
	}
	return m, err
}

// fetch takes a step from the remote into the store, whose lock of the key is held. An error is one of the store here, or
// that ctx is done; what is wrong with the remote is told, and counts as a miss.
func (s *Store) fetch(ctx context.Context, k Key) (Manifest, bool, error) {
	r := s.remote
	if r == nil || r.off() {
		return Manifest{}, false, nil
	}
	m, err := r.take(ctx, k)
	var here *problem.Error
	switch {
	case err == nil:
		return m, true, nil
	case ctx.Err() != nil:
		return Manifest{}, false, ctx.Err()
	case errors.As(err, &here):
		return Manifest{}, false, err
	case !errors.Is(err, fs.ErrNotExist):
		r.failed(err)
	}
	return Manifest{}, false, nil
}

// take copies a step into the store: its objects first, each checked against its digest.
func (r *shared) take(ctx context.Context, k Key) (Manifest, error) {
	there, err := r.open(ctx, false)
	if err = r.tried(ctx, err); err != nil || !there {
		if err == nil {
			err = fs.ErrNotExist
		}
		return Manifest{}, err
	}
	m, err := r.manifest(ctx, k)
	if err = r.tried(ctx, err); err != nil {
		var damaged *damageError
		if errors.As(err, &damaged) {
			r.spoil(remoteManifest(k))
			err = fmt.Errorf("the manifest of step %s is %w", k.Short(), err)
		}
		return m, err
	}
	release, err := r.store.share(ctx) // objects come before the manifest that names them
	if err != nil {
		return m, err
	}
	defer release()
	var done, total int64
	for _, o := range m.Outputs {
		total += o.Size
	}
	for _, o := range m.Outputs {
		sound, err := r.store.check(o)
		if err != nil {
			return m, err
		}
		if !sound {
			name := remoteObject(o.Digest)
			err := r.read(ctx, name, func(in io.Reader) error {
				return r.store.adopt(o, &telling{ctx, io.LimitReader(in, o.Size+1), done, total})
			})
			err = r.tried(ctx, err)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged) {
				r.spoil(remoteManifest(k)) // and with it all objects, of which the rest may be no better
				for _, o := range m.Outputs {
					r.spoil(remoteObject(o.Digest))
				}
			}
			if err != nil {
				return m, err
			}
		}
		done += o.Size
	}
	return m, r.store.writeManifest(m)
}

// telling tells how far a transfer is.
type telling struct {
	ctx         context.Context
	r           io.Reader
	done, total int64 // bytes
}

func (t *telling) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	t.done += int64(n)
	progress.Tell(t.ctx, progress.Report{Done: min(t.done, t.total), Total: t.total, Unit: "bytes", Note: "from the shared store"})
	return n, err
}

// Offers is the step that the remote behind the store has under a key, if it has one. Nothing is taken into the store:
// what the step made is elsewhere, see [ErrElsewhere]. It tells of failures as [Store.Do] does.
func (s *Store) Offers(ctx context.Context, k Key) (Manifest, bool) {
	r := s.remote
	if r == nil || r.off() {
		return Manifest{}, false
	}
	there, err := r.open(ctx, false)
	var m Manifest
	if err == nil && there {
		m, err = r.manifest(ctx, k)
	}
	if err = r.tried(ctx, err); err != nil && ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) {
		r.failed(err)
	}
	if err != nil || !there {
		return Manifest{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range m.Outputs {
		s.elsewhere[o.Digest] = true
	}
	return m, true
}

// ErrElsewhere says that an object is not here, but in the remote, from which [Store.Offers] took the step that made it.
var ErrElsewhere = errors.New("its bytes are only in the shared store")

// missing is why an object could not be opened.
func (s *Store) missing(d Digest, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, fs.ErrNotExist) && s.elsewhere[d] {
		return ErrElsewhere
	}
	return err
}

// send has a step sent in the background.
func (s *Store) send(k Key) {
	r := s.remote
	if r == nil {
		return
	}
	r.mu.Lock()
	if r.pending++; r.pending == 1 {
		r.idle = make(chan struct{})
	}
	r.mu.Unlock()
	go func() {
		r.slots <- struct{}{}
		if !r.off() {
			if _, err := r.put(r.ctx, k); err != nil && r.ctx.Err() == nil {
				r.failed(err)
			}
		}
		<-r.slots
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.pending--; r.pending == 0 {
			close(r.idle)
		}
	}()
}

// Pushed counts what Push sent.
type Pushed struct {
	Steps   int   // all that were to be there
	New     int   // that were not there yet
	Objects int   // that were sent
	Bytes   int64 // of these
}

// put copies a step to the remote: its manifest last, so that nobody sees half of it.
func (r *shared) put(ctx context.Context, k Key) (sent Pushed, err error) {
	_, err = r.open(ctx, true)
	if err = r.tried(ctx, err); err != nil {
		return sent, err
	}
	name := remoteManifest(k)
	sent.Steps = 1
	there, err := r.has(ctx, name)
	if err = r.tried(ctx, err); err != nil || there {
		return sent, err
	}
	m, ok, err := r.store.Find(k)
	if err != nil || !ok { // gc was quicker
		return sent, err
	}
	for _, o := range m.Outputs {
		fresh, err := r.putObject(ctx, o)
		if errors.Is(err, fs.ErrNotExist) { // gc again
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
		if fresh {
			sent.Objects++
			sent.Bytes += o.Size
		}
	}
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return sent, err
	}
	if err = r.tried(ctx, r.write(ctx, name, bytes.NewReader(append(b, '\n')))); err != nil {
		return sent, err
	}
	sent.New = 1
	r.clean(name)
	return sent, nil
}

// putObject copies an object to the remote if it is not there.
func (r *shared) putObject(ctx context.Context, o Output) (fresh bool, err error) {
	name := remoteObject(o.Digest)
	there, err := r.has(ctx, name)
	if err = r.tried(ctx, err); err != nil || there {
		return false, err
	}
	f, err := os.Open(r.store.objectPath(o.Digest))
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err = r.tried(ctx, r.write(ctx, name, f)); err != nil {
		return false, err
	}
	r.clean(name)
	return true, nil
}

// clean forgets that a name was spoilt.
func (r *shared) clean(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.spoilt, name)
}

var errNoRemote = &problem.Error{Op: "reach shared store", Err: errors.New("none is named"), Fix: "name one with --shared, or set BANTER_SHARED"}

// remotely makes an error of the remote one for people.
func (r *shared) remotely(op string, err error) error {
	var already *problem.Error
	if err == nil || errors.As(err, &already) || errors.Is(err, context.Canceled) {
		return err
	}
	return &problem.Error{Op: op, Path: r.String(), Err: err, Fix: "see that the address, the credentials and the connection are right; what was transferred stays"}
}

// Push sends the steps under the given keys to the remote, as far as it lacks them.
func (s *Store) Push(ctx context.Context, keys []Key) (sum Pushed, err error) {
	r := s.remote
	if r == nil {
		return sum, errNoRemote
	}
	for i, k := range keys {
		sent, err := r.put(ctx, k)
		sum.Steps += sent.Steps
		sum.New += sent.New
		sum.Objects += sent.Objects
		sum.Bytes += sent.Bytes
		if err != nil {
			return sum, r.remotely("send to shared store", err)
		}
		progress.Tell(ctx, progress.Report{Done: int64(i + 1), Total: int64(len(keys)), Unit: "steps"})
	}
	return sum, nil
}

// Pull takes all steps of the remote into the store, as far as it lacks them, and returns how many there are and how many
// were new. A step that is damaged there is left out and told to the user.
func (s *Store) Pull(ctx context.Context) (all, taken int, err error) {
	r := s.remote
	if r == nil {
		return 0, 0, errNoRemote
	}
	if there, err := r.open(ctx, false); err != nil || !there {
		return 0, 0, r.remotely("read shared store", err)
	}
	for e, err := range r.List(ctx, manifestsDir+"/") {
		if err != nil {
			return all, taken, r.remotely("read shared store", err)
		}
		k := Key(strings.TrimSuffix(path.Base(e.Name), ".json"))
		if !Digest(k).Valid() || remoteManifest(k) != e.Name {
			continue // whatever it is, it is no step
		}
		all++
		fresh, err := r.pull(ctx, k)
		if err != nil {
			return all, taken, r.remotely("read shared store", err)
		}
		if fresh {
			taken++
		}
		progress.Tell(ctx, progress.Report{Done: int64(all), Unit: "steps"})
	}
	return all, taken, nil
}

func (r *shared) pull(ctx context.Context, k Key) (fresh bool, err error) {
	unlock, err := r.store.lock(ctx, string(k))
	if err != nil {
		return false, err
	}
	defer unlock()
	if _, there, err := r.store.Find(k); err != nil || there {
		return false, err
	}
	_, err = r.take(ctx, k)
	var damaged *damageError
	if errors.As(err, &damaged) || errors.Is(err, errDamaged) || errors.Is(err, fs.ErrNotExist) {
		r.store.warn(fmt.Sprintf("shared store %s: step %s is damaged and was left out: %v", r, k.Short(), err))
		return false, nil
	}
	return err == nil, err
}

// Withdraw removes steps from the remote, and the objects that they alone named there as far as others tells.
func (s *Store) Withdraw(ctx context.Context, steps []Manifest, others func(Digest) bool) error {
	r := s.remote
	if r == nil {
		return errNoRemote
	}
	for _, m := range steps {
		if err := r.Remove(ctx, remoteManifest(m.Key)); err != nil {
			return r.remotely("remove from shared store", err)
		}
	}
	for _, m := range steps {
		for _, o := range m.Outputs {
			if others(o.Digest) {
				continue
			}
			if err := r.Remove(ctx, remoteObject(o.Digest)); err != nil {
				return r.remotely("remove from shared store", err)
			}
		}
	}
	return nil
}
