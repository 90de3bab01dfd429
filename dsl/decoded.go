package dsl

import (
	"io"
	"sync"
	"weak"

	"banter/dsl/memo"
)

// decoded keeps artifacts that were read from the store in memory for as long as somebody uses them.
type decoded struct {
	mu    sync.Mutex
	items map[memo.Digest]any // weak pointers
}

// load returns the artifact with the given digest, read by read if it is not in memory.
func load[T any](d *decoded, digest memo.Digest, read func() (*T, error)) (*T, error) {
	d.mu.Lock()
	if p, ok := d.items[digest].(weak.Pointer[T]); ok {
		if v := p.Value(); v != nil {
			d.mu.Unlock()
			return v, nil
		}
	}
	d.mu.Unlock()
	v, err := read()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.items == nil {
		d.items = map[memo.Digest]any{}
	}
	d.items[digest] = weak.Make(v)
	return v, nil
}

// table returns the rows of a step's output that is a Parquet file.
func table[T any](s *Session, step memo.Manifest, name string, read func(r io.ReaderAt, size int64) ([]T, error)) ([]T, error) {
	o, err := step.Output(name)
	if err != nil {
		return nil, err
	}
	rows, err := load(&s.decode, o.Digest, func() (*[]T, error) {
		f, err := s.store.OpenObject(o)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		rows, err := read(f, o.Size)
		return &rows, err
	})
	if err != nil {
		return nil, err
	}
	return *rows, nil
}
