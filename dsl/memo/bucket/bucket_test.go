package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"banter/dsl/memo"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

// service is a server in this process that speaks S3, with one bucket.
func service(t *testing.T) (url string, requests *atomic.Int64) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	backend := s3mem.New()
	if err := backend.CreateBucket("results"); err != nil {
		t.Fatal(err)
	}
	requests = new(atomic.Int64)
	fake := gofakes3.New(backend).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/") {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return "s3://results/team/a?region=us-east-1&use_path_style=true&endpoint=" + server.URL, requests
}

func opened(t *testing.T, where string) *Bucket {
	t.Helper()
	b, err := Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// kinds are the buckets that every test goes through.
func kinds(t *testing.T, test func(t *testing.T, where string)) {
	t.Run("folder", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "new", "folder")) })
	t.Run("file URL", func(t *testing.T) { test(t, "file://"+filepath.ToSlash(t.TempDir())) })
	t.Run("S3", func(t *testing.T) { url, _ := service(t); test(t, url) })
}

func TestBucket(t *testing.T) {
	kinds(t, func(t *testing.T, where string) {
		b, ctx := opened(t, where), t.Context()
		if _, err := b.Read(ctx, "a/b.txt"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("reading what is not there: %v", err)
		}
		if ok, err := b.Has(ctx, "a/b.txt"); ok || err != nil {
			t.Errorf("has what is not there: %v %v", ok, err)
		}
		if err := b.Remove(ctx, "a/b.txt"); err != nil {
			t.Errorf("removing what is not there: %v", err)
		}
		large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB: several parts
		for name, text := range map[string][]byte{"a/b.txt": []byte("hello"), "a/c.txt": {}, "d.bin": large} {
			if err := b.Write(ctx, name, bytes.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			r, err := b.Read(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(text))
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := b.Write(ctx, "a/b.txt", strings.NewReader("again")); err != nil {
			t.Fatal(err)
		}
		list := func(prefix string) (names []string) {
			for e, err := range b.List(ctx, prefix) {
				if err != nil {
					t.Fatal(err)
				}
				if (e.Name == "a/b.txt") != (e.Bytes == 5) || time.Since(e.Written).Abs() > time.Hour {
					t.Errorf("entry %+v", e)
				}
				names = append(names, e.Name)
			}
			return names
		}
		if got := list(""); !slices.Equal(got, []string{"a/b.txt", "a/c.txt", "d.bin"}) {
			t.Errorf("list: %q", got)
		}
		if got := list("a/"); !slices.Equal(got, []string{"a/b.txt", "a/c.txt"}) {
			t.Errorf("list of a/: %q", got)
		}
		// What is broken off does not appear.
		broken := errors.New("broken")
		for _, size := range []int{0, 10, 7 << 20} {
			r := io.MultiReader(bytes.NewReader(large[:size]), errReader{broken})
			if err := b.Write(ctx, "e.bin", r); err == nil {
				t.Error("a broken write succeeded")
			}
			stopped, cancel := context.WithCancel(ctx)
			r = io.MultiReader(bytes.NewReader(large[:size]), stopReader{cancel}, strings.NewReader("more"))
			if err := b.Write(stopped, "e.bin", r); err == nil {
				t.Error("a stopped write succeeded")
			}
			if ok, err := b.Has(ctx, "e.bin"); ok || err != nil {
				t.Errorf("half a file of %d bytes appeared: %v", size, err)
			}
		}
		if err := b.Remove(ctx, "d.bin"); err != nil {
			t.Fatal(err)
		}
		if got := list(""); !slices.Equal(got, []string{"a/b.txt", "a/c.txt"}) {
			t.Errorf("after removing: %q", got)
		}
	})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

type stopReader struct{ stop func() }

func (r stopReader) Read([]byte) (int, error) { r.stop(); return 0, io.EOF }

// work writes what a step of this name makes.
func work(text string) func(context.Context, *memo.Draft) error {
	return func(_ context.Context, d *memo.Draft) error {
		if err := d.WriteBytes("a.txt", []byte(text)); err != nil {
			return err
		}
		return d.WriteBytes("b.bin", bytes.Repeat([]byte(text), 1000))
	}
}

func aStep(n int) memo.Step {
	return memo.Step{Verb: "double", Label: fmt.Sprint(n)}.With("in", n)
}

func store(t *testing.T, dir, where string) (*memo.Store, *[]string) {
	t.Helper()
	said := new([]string)
	var mu sync.Mutex
	s, err := memo.Open(dir, func(text string) { mu.Lock(); defer mu.Unlock(); *said = append(*said, text) })
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	s.Share(b)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, said
}

func TestTwoStoresOnOneBucket(t *testing.T) {
	kinds(t, func(t *testing.T, where string) {
		a, _ := store(t, t.TempDir(), where)
		for i := range 5 {
			if _, outcome, err := a.Do(t.Context(), aStep(i), work(fmt.Sprint("text ", i))); err != nil || outcome != memo.Made {
				t.Fatalf("%v %v", outcome, err)
			}
		}
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		b, said := store(t, t.TempDir(), where)
		for i := range 5 {
			m, outcome, err := b.Do(t.Context(), aStep(i), func(context.Context, *memo.Draft) error { return errors.New("made again") })
			if err != nil || outcome != memo.Hit {
				t.Fatalf("%v %v", outcome, err)
			}
			if text, err := b.Read(m.Outputs[0]); err != nil || string(text) != fmt.Sprint("text ", i) {
				t.Errorf("%q %v", text, err)
			}
		}
		if r, err := b.Verify(t.Context()); err != nil || len(r.Wrong) > 0 || r.Orphans > 0 || r.Manifests != 5 {
			t.Errorf("%+v %v", r, err)
		}
		if len(*said) > 0 {
			t.Errorf("it said %q", *said)
		}
	})
}

// TestEightProcessesTwoStores runs eight processes on two stores before one bucket.
func TestEightProcessesTwoStores(t *testing.T) {
	const steps = 10
	if dir := os.Getenv("BUCKET_TEST_STORE"); dir != "" {
		s, said := store(t, dir, os.Getenv("BUCKET_TEST_URL"))
		for i := range steps {
			_, outcome, err := s.Do(t.Context(), aStep(i), work(fmt.Sprint("text ", i)))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println("outcome", outcome)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(*said) > 0 {
			t.Errorf("it said %q", *said)
		}
		return
	}
	kinds(t, func(t *testing.T, where string) {
		stores := []string{t.TempDir(), t.TempDir()}
		var wait sync.WaitGroup
		var made atomic.Int32
		for i := range 8 {
			wait.Go(func() {
				cmd := exec.Command(os.Args[0], "-test.run=^TestEightProcessesTwoStores$", "-test.v")
				cmd.Env = append(os.Environ(), "BUCKET_TEST_STORE="+stores[i%2], "BUCKET_TEST_URL="+where)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				made.Add(int32(bytes.Count(out, []byte("outcome made"))))
			})
		}
		wait.Wait()
		// The lock of a key is each store's own: two stores may both make a result that neither has, to the same bytes.
		if n := made.Load(); n < steps || n > steps*int32(len(stores)) {
			t.Errorf("%d results were made %d times by processes on %d stores", steps, n, len(stores))
		}
		for _, dir := range append(stores, t.TempDir()) {
			s, said := store(t, dir, where)
			for i := range steps {
				if _, outcome, err := s.Do(t.Context(), aStep(i), work("not this")); err != nil || outcome != memo.Hit {
					t.Errorf("%v %v", outcome, err)
				}
			}
			if r, err := s.Verify(t.Context()); err != nil || len(r.Wrong) > 0 || r.Orphans > 0 || len(*said) > 0 {
				t.Errorf("%+v %v %q", r, err, *said)
			}
		}
	})
}

// TestNothingSecretIsSaid goes through what can be wrong with a bucket: the message names it, and holds no secret.
func TestNothingSecretIsSaid(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	working, _ := service(t)
	const token = "SECRETTOKENinURL"
	for name, c := range map[string]struct{ where, key, want string }{
		"nobody answers":     {"s3://results?region=us-east-1&use_path_style=true&endpoint=" + nobody, secret, "connection refused"},
		"no such bucket":     {strings.Replace(working, "s3://results", "s3://absent", 1), secret, "s3://absent/team/a: there is no such bucket"},
		"refused":            {working, "\x00other", "shared store s3://results/team/a"},
		"unknown parameter":  {"s3://results?region=us-east-1&token=" + token, secret, "open shared store s3://results"},
		"credentials in URL": {"s3://AKIAIOSFODNN7EXAMPLE:" + token + "@results", secret, "AWS_ACCESS_KEY_ID"},
		"not a URL":          {"s3://results:%zz" + token, secret, "not a URL"},
		"unknown scheme":     {"ftp://results?x=" + token, secret, "not a kind of bucket"},
		"no bucket":          {"s3://?x=" + token, secret, "not a kind of bucket"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_SECRET_ACCESS_KEY", strings.TrimPrefix(c.key, "\x00"))
			if c.key != secret {
				t.Setenv("AWS_ACCESS_KEY_ID", "AKIASOMEBODYELSE")
			}
			if testing.Short() && name == "nobody answers" {
				t.Skip("the SDK tries again for some seconds")
			}
			var text string
			b, err := Open(t.Context(), c.where)
			if err != nil {
				text = err.Error()
			} else {
				var said []string
				s, err := memo.Open(t.TempDir(), func(text string) { said = append(said, text) })
				if err != nil {
					t.Fatal(err)
				}
				s.Share(b)
				for i := range 5 {
					if _, outcome, err := s.Do(t.Context(), aStep(i), work("text")); err != nil || outcome != memo.Made {
						t.Fatalf("%v %v", outcome, err)
					}
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if len(said) != 1 {
					t.Fatalf("it said %q, want one warning", said)
				}
				text = said[0]
			}
			if !strings.Contains(text, c.want) {
				t.Errorf("%q does not say %q", text, c.want)
			}
			for _, s := range []string{token, secret, "AKIAIOSFODNN7EXAMPLE", "AKIASOMEBODYELSE", "Signature"} {
				if strings.Contains(text, s) {
					t.Errorf("%q holds %q", text, s)
				}
			}
			if strings.Contains(text, "\n") || len(text) > 700 {
				t.Errorf("not one line: %q", text)
			}
			t.Log(text)
		})
	}
}

// TestDrafts: what a process that is killed while it writes leaves in a folder is told from what was written whole.
func TestDrafts(t *testing.T) {
	dir := t.TempDir()
	b := opened(t, dir)
	if err := b.Write(t.Context(), "objects/whole", strings.NewReader("whole")); err != nil {
		t.Fatal(err)
	}
	in, out := io.Pipe()
	wrote := make(chan error)
	go func() { wrote <- b.Write(t.Context(), "objects/cut", in) }()
	if _, err := out.Write([]byte("cu")); err != nil { // from here on the draft is there, as it would be after a kill
		t.Fatal(err)
	}
	drafts := map[string]bool{}
	for e, err := range b.List(t.Context(), "objects/") {
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(e.Name, ".")
		drafts[name] = e.Draft
	}
	if want := map[string]bool{"objects/whole": false, "objects/cut": true}; !maps.Equal(drafts, want) {
		t.Errorf("drafts: %v, want %v", drafts, want)
	}
	out.Close()
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}
