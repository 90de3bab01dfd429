package dsl

import (
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
