//go:build unix

package lm

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps a file's content read-only. The content must not change while it is in use: the kernel answers a read
// beyond a file that has shrunk with a fatal signal.
func mapFile(path string) (content []byte, release func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // the mapping stays
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	switch size := info.Size(); {
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	case size == 0:
		return nil, nil, fmt.Errorf("the file is empty")
	case size > math.MaxInt:
		return nil, nil, fmt.Errorf("%d bytes are too many for this machine's addresses", size)
	}
	content, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map into memory: %w", err)
	}
	return content, func() error { return unix.Munmap(content) }, nil
}

// unread lets go of the pages of a mapped file, which stay in the system's cache while there is room.
func unread(content []byte) {
	if len(content) > 0 {
		_ = unix.Madvise(content, unix.MADV_DONTNEED) // advice: without it more memory is shown as this process's
	}
}

// anonymous is memory beside Go's heap, so that the heap's slack does not grow with it.
func anonymous(n int) (b []byte, release func() error, err error) {
	if n == 0 {
		return nil, func() error { return nil }, nil
	}
	b, err = unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("%d bytes of memory: %w", n, err)
	}
	return b, func() error { return unix.Munmap(b) }, nil
}
