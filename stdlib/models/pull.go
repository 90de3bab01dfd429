package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"banter/internal/problem"
	"banter/internal/progress"
	"banter/internal/wholefile"
)

// Puller fetches models. The zero value is ready.
type Puller struct {
	Client *http.Client  // nil: one that gives up when a server is silent for long
	Wait   time.Duration // before the first retry, doubled at each; 0: 1 s
}

// attempts are made at a file before an error is final; each goes on where the last one broke off.
const attempts = 5

// Pull fetches a model of the registry, unless it is there already, and returns it. A fetch that broke off goes on where
// it stopped. Nothing is visible under the model's name before its digest is right.
func Pull(ctx context.Context, name string) (Model, error) {
	return new(Puller).Pull(ctx, name)
}

// Pull is [Pull] with p's settings.
func (p *Puller) Pull(ctx context.Context, name string) (Model, error) {
	e, ok := Lookup(name)
	if !ok {
		fix := "see `recipe models list`"
		if near := nearest(name); near != "" {
			fix = "did you mean " + near + "? " + fix
		}
		return Model{}, &problem.Error{Op: "pull model", Path: name, Err: errors.New("the registry has no such model"), Fix: fix}
	}
	if e.Shipped == "" {
		if err := p.PullEntry(ctx, e); err != nil {
			return Model{}, err
		}
	}
	return Resolve(ctx, e.Name)
}

// PullEntry fetches the files of e that are not there.
func (p *Puller) PullEntry(ctx context.Context, e Entry) error {
	dir, err := Dir()
	if err != nil {
		return err
	}
	if e.Folder {
		dir = filepath.Join(dir, e.Name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return &problem.Error{Op: "pull model", Path: e.Name, Err: err, Fix: "name another folder in $" + DirVariable}
	}
	for _, f := range e.Files {
		if err := p.file(ctx, filepath.Join(dir, f.Name), f); err != nil {
			if ctx.Err() != nil {
				return &problem.Error{Op: "pull model", Path: e.Name, Err: ctx.Err(), Fix: "pull it again: it goes on where it stopped"}
			}
			var known *problem.Error
			if errors.As(err, &known) {
				return err
			}
			return &problem.Error{Op: "pull model", Path: e.Name, At: f.Name, Err: err, Fix: "pull it again: it goes on where it stopped"}
		}
	}
	return nil
}

// file fetches one file to path.
func (p *Puller) file(ctx context.Context, path string, f File) error {
	lock := flock.New(path + ".lock")
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return err
	}
	// The lock file stays: to remove it would let two others lock two files of the same name.
	defer lock.Unlock()

	if info, err := os.Stat(path); err == nil && (f.Size == 0 || info.Size() == f.Size) {
		return nil
	}
	part := path + ".part"
	wait := p.Wait
	if wait == 0 {
		wait = time.Second
	}
	for attempt := 1; ; attempt++ {
		err := p.fetch(ctx, part, f)
		if err == nil {
			break
		}
		var fatal *finalError
		if errors.As(err, &fatal) || attempt == attempts || ctx.Err() != nil {
			return err
		}
		progress.Tell(ctx, progress.Report{Unit: "bytes", Note: fmt.Sprintf("%v; trying again in %v", err, wait)})
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait *= 2
	}
	sum, err := digest(ctx, part)
	if err != nil {
		return err
	}
	if f.SHA256 != "" && sum != f.SHA256 {
		os.Remove(part)
		return &problem.Error{Op: "pull model", Path: f.URL, Err: fmt.Errorf("what came has the SHA-256 %s, not %s: it was thrown away", sum, f.SHA256),
			Fix: "pull it again; if that does not help, something between here and there changes the file"}
	}
	if err := syncFile(part); err != nil {
		return err
	}
	if err := wholefile.WriteBytes(path+recordSuffix, 0o644, []byte(sum+"  "+filepath.Base(path)+"\n")); err != nil {
		return err
	}
	return os.Rename(part, path)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// finalError is one that another attempt will not mend.
type finalError struct{ error }

func (f *finalError) Unwrap() error { return f.error }

// fetch adds to part what is missing of f.
func (p *Puller) fetch(ctx context.Context, part string, f File) error {
	out, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return &finalError{err}
	}
	defer out.Close()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return &finalError{err}
	}
	if f.Size > 0 && have == f.Size {
		return nil
	}
	restart := func() error {
		have = 0
		if err := out.Truncate(0); err != nil {
			return &finalError{err}
		}
		_, err := out.Seek(0, io.SeekStart)
		return err
	}
	if f.Size > 0 && have > f.Size {
		if err := restart(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return &finalError{err}
	}
	req.Header.Set("Accept-Encoding", "identity") // ranges count bytes of the file itself
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := p.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	total := f.Size
	switch {
	case resp.StatusCode == http.StatusOK:
		if have > 0 { // the server knows no ranges
			if err := restart(); err != nil {
				return err
			}
		}
		if total == 0 {
			total = max(resp.ContentLength, 0)
		}
	case resp.StatusCode == http.StatusPartialContent:
		from, size := contentRange(resp.Header.Get("Content-Range"))
		if from != have {
			if err := restart(); err != nil {
				return err
			}
			return fmt.Errorf("the server sent bytes from %d on instead of %d", from, have)
		}
		if total == 0 {
			total = max(size, 0)
		}
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		// Of a file of unknown size the part is the whole, or was more than that.
		if _, size := contentRange(resp.Header.Get("Content-Range")); f.Size == 0 && size == have {
			return nil
		}
		if err := restart(); err != nil {
			return err
		}
		return errors.New("the server has less than what was fetched before")
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("the server answers %s", resp.Status)
	default:
		return &finalError{fmt.Errorf("the server answers %s for %s", resp.Status, f.URL)}
	}

	body := &watched{r: resp.Body, timer: time.AfterFunc(silenceLimit, cancel)}
	defer body.timer.Stop()
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if f.Size > 0 && have+int64(n) > f.Size {
			return fmt.Errorf("the server sends more than the %d bytes that the file has", f.Size)
		}
		if n > 0 {
			if _, err := out.Write(buf[:n]); err != nil {
				return &finalError{err}
			}
			have += int64(n)
			progress.Tell(ctx, progress.Report{Done: have, Total: total, Unit: "bytes", Note: filepath.Base(strings.TrimSuffix(part, ".part"))})
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if total > 0 && have != total {
		return fmt.Errorf("the connection ended after %d of %d bytes", have, total)
	}
	return out.Close()
}

// silenceLimit is how long a server may send nothing.
const silenceLimit = time.Minute

// watched puts off the end of a connection at each byte that comes.
type watched struct {
	r     io.Reader
	timer *time.Timer
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.timer.Reset(silenceLimit)
	return n, err
}

// contentRange reads "bytes 5-9/10" or "bytes */10"; -1 stands for what it does not say.
func contentRange(h string) (from, size int64) {
	from, size = -1, -1
	rest, ok := strings.CutPrefix(h, "bytes ")
	if !ok {
		return from, size
	}
	span, total, _ := strings.Cut(rest, "/")
	if v, err := strconv.ParseInt(total, 10, 64); err == nil {
		size = v
	}
	first, _, _ := strings.Cut(span, "-")
	if v, err := strconv.ParseInt(first, 10, 64); err == nil {
		from = v
	}
	return from, size
}

func (p *Puller) client() *http.Client {
	if p.Client != nil {
		return p.Client
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = silenceLimit
	return &http.Client{Transport: t}
}
