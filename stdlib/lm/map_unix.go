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
