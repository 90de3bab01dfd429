package memo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"
)

var (
	errNoSpace   = syscall.ENOSPC
	errReadOnly  = syscall.EROFS
	errNotFolder = syscall.ENOTDIR
)

// buffers are for reading files.
var buffers = sync.Pool{New: func() any { b := make([]byte, 1<<18); return &b }}

// hashFile reads a file from end to end.
func hashFile(ctx context.Context, path string) (Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, fmt.Errorf("%s is not a regular file", path)
	}
	h := sha256.New()
	held := buffers.Get().(*[]byte)
	defer buffers.Put(held)
	buf := *held
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return "", n, err
		}
		k, err := f.Read(buf)
		h.Write(buf[:k])
		n += int64(k)
		if info.Size() > 64<<20 {
			progress.Tell(ctx, progress.Report{Done: n, Total: info.Size(), Unit: "bytes", Note: "checksum of " + filepath.Base(path)})
		}
		if errors.Is(err, io.EOF) {
			return Digest(hex.EncodeToString(h.Sum(nil))), n, nil
		}
		if err != nil {
			return "", n, err
		}
	}
}

var errTooLarge = errors.New("more than such a file can have")

// readBounded reads a file that has no more than limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, %w", filepath.Base(path), info.Size(), errTooLarge)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// syncDir makes renames within a folder outlive a power cut.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // where a folder cannot be synced, and renames are logged by the file system
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems cannot sync a folder
		return err
	}
	return nil
}

// File is an input file as it was when it was hashed.
type File struct {
	Path   string
	Digest Digest
	Size   int64

	looks looks
	racy  bool // it was written so shortly before it was hashed that its looks may hide a second write
}

// looks are what tells that a file was written to, without reading it.
type looks struct {
	Size   int64
	Mtime  int64  // ns since 1970
	Ctime  int64  // ns since 1970: unlike the time of modification no program can set it; 0 where there is none
	Inode  uint64 // 0 where there is none
	Device uint64
}

func looksOf(info fs.FileInfo) looks {
	l := looks{Size: info.Size(), Mtime: info.ModTime().UnixNano()}
	l.Inode, l.Device, l.Ctime = identity(info)
	return l
}

// fileRecord remembers the digest of a file that looked like this.
type fileRecord struct {
	Path   string
	Looks  looks
	Hashed int64 // when the hashing began, ns since 1970
	Digest Digest
}

// grain is how close to its hashing a file may have been written for its times to say nothing: a second write within the
// clock's grain would leave the same times.
const grain = 2 * time.Second

// settled says whether a file that looked like l when its hashing began at hashed cannot have been written to since
// without looking otherwise.
func (l looks) settled(hashed int64) bool {
	written := l.Mtime
	if l.Ctime != 0 {
		written = l.Ctime // a copy may carry a time of modification from another clock
	}
	return written+int64(grain) < hashed
}

// File returns a file's digest. The bytes are read only if the file's size, times and inode are not those of the last
// time, so a large recording is hashed once; a file that was touched but not changed has the same digest.
func (s *Store) File(ctx context.Context, path string) (File, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return File{}, &problem.Error{Op: "read", Path: path, Err: err}
	}
	info, err := os.Stat(abs)
	if err != nil {
		return File{}, &problem.Error{Op: "read", Path: path, Err: unwrapPath(err)}
	}
	if !info.Mode().IsRegular() {
		return File{}, &problem.Error{Op: "read", Path: path, Err: errors.New("this is not a regular file")}
	}
	rel := filepath.Join(filesDir, string(Sum([]byte(abs)))+".json")
	now := fileRecord{Path: abs, Looks: looksOf(info), Hashed: time.Now().UnixNano()}
	if b, err := readBounded(filepath.Join(s.dir, rel), maxSmallBytes); err == nil {
		var old fileRecord
		if json.Unmarshal(b, &old) == nil && old.Digest.Valid() && old.Path == abs && old.Looks == now.Looks && old.Looks.settled(old.Hashed) {
			return File{Path: path, Digest: old.Digest, Size: old.Looks.Size, looks: old.Looks}, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		s.warn(fmt.Sprintf("store %s: a remembered checksum cannot be read and is made again: %v", s.dir, err))
	}
	digest, size, err := hashFile(ctx, abs)
	if err != nil {
		if ctx.Err() != nil {
			return File{}, ctx.Err()
		}
		return File{}, &problem.Error{Op: "read", Path: path, Err: unwrapPath(err)}
	}
	// What is racy is looked at again by its bytes when the step is done, and is hashed again next time.
	f := File{Path: path, Digest: digest, Size: size, looks: now.Looks, racy: !now.Looks.settled(now.Hashed)}
	if info, err := os.Stat(abs); err != nil || looksOf(info) != now.Looks || size != now.Looks.Size {
		return File{}, f.changed()
	}
	now.Digest = digest
	b, err := json.Marshal(now)
	if err != nil {
		return File{}, err
	}
	// On a store that may only be read, the file is hashed again next time.
	if err := s.writeFile(rel, b, false); err != nil && !Unwritable(err) {
		return File{}, s.problem("write to store", err)
	}
	return f, nil
}

// Unchanged returns an error if the file is no longer what it was when it was hashed. The bytes are read again only where
// the file's looks leave room for doubt.
func (f File) Unchanged() error {
	info, err := os.Stat(f.Path)
	if err != nil {
		return &problem.Error{Op: "read", Path: f.Path, Err: unwrapPath(err)}
	}
	now := looksOf(info)
	sameButCtime := now
	sameButCtime.Ctime = f.looks.Ctime
	switch {
	case sameButCtime != f.looks:
		return f.changed()
	case now == f.looks && !f.racy:
		return nil
	}
	digest, _, err := hashFile(context.Background(), f.Path)
	if err != nil {
		return &problem.Error{Op: "read", Path: f.Path, Err: unwrapPath(err)}
	}
	if digest != f.Digest {
		return f.changed()
	}
	return nil
}

func (f File) changed() error {
	return &problem.Error{Op: "read", Path: f.Path, Err: errors.New("the file changed while it was being read"),
		Fix: "run again when nothing writes to it"}
}

// unwrapPath drops the path that os errors repeat.
func unwrapPath(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
