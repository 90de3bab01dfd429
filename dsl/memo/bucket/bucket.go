// Package bucket opens object buckets - folders, and services that speak S3 - as the place that several stores share: a
// URL comes in, a [memo.Remote] goes out.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"banter/dsl/memo"
	"banter/internal/problem"

	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/s3blob" // s3:// URLs
	"gocloud.dev/gcerrors"
)

// Bucket is an open bucket.
type Bucket struct {
	b      *blob.Bucket
	name   string // the URL without its query
	folder bool
}

var _ memo.Remote = (*Bucket)(nil)

// Open opens the bucket that a URL names, or a folder:
//
//	/mnt/team/banter                    a folder; it is made if it does not exist
//	s3://bucket/prefix?region=eu-west-1 a bucket of S3, with credentials from where the AWS tools look for them
//
// A service that speaks S3 is named by endpoint=https://HOST and use_path_style=true. Nothing is sent yet.
func Open(ctx context.Context, where string) (*Bucket, error) { return open(ctx, where, true) }

// OpenExisting is Open for who only looks: a folder that does not exist is an error, and not an empty bucket.
func OpenExisting(ctx context.Context, where string) (*Bucket, error) { return open(ctx, where, false) }

func open(ctx context.Context, where string, create bool) (*Bucket, error) {
	refuse := func(shown string, err error, fix string) (*Bucket, error) {
		return nil, &problem.Error{Op: "open shared store", Path: shown, Err: err, Fix: fix}
	}
	const want = "name a folder, or s3://BUCKET/PREFIX?region=REGION"
	if !strings.Contains(where, "://") {
		return openFolder(where, create)
	}
	u, err := url.Parse(where)
	if err != nil { // the error repeats the URL, and with it what may be a secret
		return refuse("", errors.New("it is not a URL"), want)
	}
	shown := u.Scheme + "://" + u.Host + u.Path
	switch {
	case u.User != nil:
		return refuse("", errors.New("the URL holds credentials, which would end up in logs and shell histories"),
			"take them out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	case u.Scheme == "file" && u.Host == "":
		return openFolder(filepath.FromSlash(u.Path), create)
	case u.Scheme != "s3" || u.Host == "":
		return refuse(shown, errors.New("this is not a kind of bucket that can be used"), want)
	}
	prefix := strings.Trim(u.Path, "/")
	u.Path = ""
	// All bytes are held against SHA-256 digests here, and not every service knows the checksums that the SDK asks for.
	q := u.Query()
	for _, name := range []string{"request_checksum_calculation", "response_checksum_validation"} {
		if !q.Has(name) {
			q.Set(name, "when_required")
		}
	}
	u.RawQuery = q.Encode()
	b, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return refuse(shown, errors.New(discreet(err, u)), "see https://gocloud.dev/howto/blob/#s3 for what may follow the ?")
	}
	if prefix != "" {
		b = blob.PrefixedBucket(b, prefix+"/")
	}
	return &Bucket{b: b, name: shown}, nil
}

func openFolder(dir string, create bool) (*Bucket, error) {
	dir, err := filepath.Abs(dir)
	fix := "name a folder that can be written, or s3://BUCKET/PREFIX?region=REGION"
	switch {
	case err != nil:
	case create:
		err = os.MkdirAll(dir, 0o777)
	default:
		fix = "name the folder, or s3://BUCKET/PREFIX?region=REGION, that recipe run --shared sends to"
		if _, err = os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			err = errors.New("there is no such folder")
		}
	}
	var b *blob.Bucket
	if err == nil {
		// Temporary files lie beside what they become: a rename from elsewhere may cross file systems.
		b, err = fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	}
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, &problem.Error{Op: "open shared store", Path: dir, Err: err, Fix: fix}
	}
	return &Bucket{b: b, name: dir, folder: true}, nil
}

// discreet is an error's text without what a URL's query and the environment hold as secrets.
func discreet(err error, u *url.URL) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	var secrets []string
	if u != nil && u.RawQuery != "" {
		secrets = append(secrets, "?"+u.RawQuery, u.RawQuery)
	}
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"} {
		secrets = append(secrets, os.Getenv(name))
	}
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "")
		}
	}
	return text
}

// String names the bucket, without what may be a secret.
func (b *Bucket) String() string { return b.name }

// problem makes an error of the bucket one that tells whether there was nothing, and that holds no secrets.
func (b *Bucket) problem(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case gcerrors.Code(err) == gcerrors.NotFound:
		return fs.ErrNotExist
	}
	// The causes that users can do something about, without the layers above them.
	var refused smithy.APIError
	var network *net.OpError
	switch {
	case errors.As(err, &refused):
		text := "the service says " + refused.ErrorCode()
		if m := refused.ErrorMessage(); m != "" && m != refused.ErrorCode() {
			text += ": " + m
		}
		err = errors.New(text)
	case errors.As(err, &network):
		err = network
	}
	return errors.New(discreet(err, nil))
}

// Read opens what lies under name.
func (b *Bucket) Read(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := b.b.NewReader(ctx, name, nil)
	if err != nil {
		return nil, b.problem(err)
	}
	return &reader{r, b}, nil
}

type reader struct {
	*blob.Reader
	b *Bucket
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = r.b.problem(err)
	}
	return n, err
}

// WriteTo is hidden, so that every error passes through Read.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}

// Write puts what r gives under name. It appears when all of it is there, and if r fails not at all.
func (b *Bucket) Write(ctx context.Context, name string, r io.Reader) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := b.b.NewWriter(ctx, name, &blob.WriterOptions{ContentType: "application/octet-stream", DisableContentTypeDetection: true})
	if err != nil {
		return b.problem(err)
	}
	if _, err := io.Copy(w, r); err != nil {
		cancel() // which makes Close throw away what was written
		_ = w.Close()
		return b.problem(err)
	}
	if err = b.problem(w.Close()); errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is no such bucket")
	}
	return err
}

// Has says whether something lies under name.
func (b *Bucket) Has(ctx context.Context, name string) (bool, error) {
	ok, err := b.b.Exists(ctx, name)
	return ok, b.problem(err)
}

// Remove removes what lies under name, if anything does.
func (b *Bucket) Remove(ctx context.Context, name string) error {
	if err := b.problem(b.b.Delete(ctx, name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List tells of all that lies under names that begin with prefix.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[memo.Entry, error] {
	return func(yield func(memo.Entry, error) bool) {
		list := b.b.List(&blob.ListOptions{Prefix: prefix})
		for {
			o, err := list.Next(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(memo.Entry{}, b.problem(err))
				return
			}
			draft := b.folder && strings.HasSuffix(o.Key, ".tmp") // what fileblob calls a file until it is whole
			if !yield(memo.Entry{Name: o.Key, Bytes: o.Size, Written: o.ModTime, Draft: draft}, nil) {
				return
			}
		}
	}
}

// Close lets go of the bucket.
func (b *Bucket) Close() error {
	if err := b.b.Close(); err != nil {
		return fmt.Errorf("close %s: %w", b.name, b.problem(err))
	}
	return nil
}
