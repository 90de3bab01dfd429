//go:build !unix

package lm

import (
	"fmt"
	"io"
	"os"
)

// mapFile reads a file's whole content.
func mapFile(path string) (content []byte, release func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() == 0 {
		return nil, nil, fmt.Errorf("the file is empty")
	}
	content = make([]byte, info.Size())
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, info.Size()), content); err != nil {
		return nil, nil, err
	}
	return content, func() error { return nil }, nil
}

// unread does nothing: the content is no mapped file here.
func unread([]byte) {}

// anonymous is n bytes of memory.
func anonymous(n int) (b []byte, release func() error, err error) {
	return make([]byte, n), func() error { return nil }, nil
}
