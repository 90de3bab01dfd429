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
	"syscall"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"
)

var (
	errNoSpace  = syscall.ENOSPC
	errReadOnly = syscall.EROFS
)

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
	buf := make([]byte, 1<<18)
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

// syncDir makes renames within a folder outlive a power cut.
func syncDir(dir string) error {
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

	mtime time.Time
}

// fileRecord remembers the digest of a file that looked like this.
type fileRecord struct {
	Path   string
	Size   int64
	Mtime  int64 // ns since 1970
	Inode  uint64
	Hashed int64 // when the hashing began, ns since 1970
	Digest Digest
}

// racy is how close to its hashing a file may have been written for its time stamp to say nothing: a second write within
// the clock's grain would leave the same stamp.
const racy = 2 * time.Second

// File returns a file's digest. The bytes are read only if the file's size, time and inode are not those of the last
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
	now := fileRecord{Path: abs, Size: info.Size(), Mtime: info.ModTime().UnixNano(), Inode: inode(info), Hashed: time.Now().UnixNano()}
	if b, err := os.ReadFile(filepath.Join(s.dir, rel)); err == nil {
		var old fileRecord
		if json.Unmarshal(b, &old) == nil && old.Digest.Valid() && old.Path == abs && old.Size == now.Size && old.Mtime == now.Mtime &&
			old.Inode == now.Inode && old.Mtime+int64(racy) < old.Hashed {
			return File{Path: path, Digest: old.Digest, Size: old.Size, mtime: info.ModTime()}, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		s.warn(fmt.Sprintf("store %s: a remembered checksum cannot be read and is made again: %v", s.dir, err))
	}
	digest, size, err := hashFile(ctx, abs)
	if err != nil {
		return File{}, &problem.Error{Op: "read", Path: path, Err: unwrapPath(err)}
	}
	f := File{Path: path, Digest: digest, Size: size, mtime: info.ModTime()}
	if err := f.Unchanged(); err != nil {
		return File{}, err
	}
	now.Digest = digest
	b, err := json.Marshal(now)
	if err != nil {
		return File{}, err
	}
	if err := s.writeFile(rel, b, false); err != nil {
		return File{}, s.problem("write to store", err)
	}
	return f, nil
}

// Unchanged returns an error if the file no longer looks as it did when it was hashed.
func (f File) Unchanged() error {
	info, err := os.Stat(f.Path)
	if err != nil {
		return &problem.Error{Op: "read", Path: f.Path, Err: unwrapPath(err)}
	}
	if info.Size() != f.Size || !info.ModTime().Equal(f.mtime) {
		return &problem.Error{Op: "read", Path: f.Path, Err: errors.New("the file changed while it was being read"),
			Fix: "run again when nothing writes to it"}
	}
	return nil
}

// unwrapPath drops the path that os errors repeat.
func unwrapPath(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
