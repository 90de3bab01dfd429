//go:build native

package main

import (
	"os"
	"sync"

	"banter/internal/worker"
)

// cache holds loaded models by what they were loaded from, so that call after call finds its model ready. A model that is
// in use is never freed; of the others the least recently used goes when there are more than keep.
type cache[K comparable, M any] struct {
	keep int
	free func(M)

	mu      sync.Mutex
	entries []*entry[K, M] // in order of last use
}

type entry[K comparable, M any] struct {
	key   K
	model M
	users int
}

// use returns the model of key, loading it if need be, and the function that says that it is no longer used.
func (c *cache[K, M]) use(key K, load func() (M, error)) (M, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var e *entry[K, M]
	for i, other := range c.entries {
		if other.key == key {
			e = other
			c.entries = append(c.entries[:i], c.entries[i+1:]...)
			break
		}
	}
	if e == nil {
		// Room is made first: two large models at a time may be more than the memory holds.
		for i := 0; i < len(c.entries) && len(c.entries) >= c.keep; {
			if c.entries[i].users > 0 {
				i++
				continue
			}
			c.free(c.entries[i].model)
			c.entries = append(c.entries[:i], c.entries[i+1:]...)
		}
		model, err := load()
		if err != nil {
			var none M
			return none, nil, err
		}
		e = &entry[K, M]{key: key, model: model}
	}
	e.users++
	c.entries = append(c.entries, e)
	return e.model, func() {
		c.mu.Lock()
		e.users--
		c.mu.Unlock()
	}, nil
}

// file names one state of a model file, so that a file that was written anew is loaded anew.
type file struct {
	path    string
	size    int64
	changed int64 // nanoseconds since 1970
}

func stat(path string) (file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return file{}, &worker.Failure{Path: path, Message: "the model file cannot be read: " + underlying(err)}
	}
	return file{path, info.Size(), info.ModTime().UnixNano()}, nil
}

// underlying is err without the operation and the path, which the message around it names.
func underlying(err error) string {
	if u, ok := err.(*os.PathError); ok {
		return u.Err.Error()
	}
	return err.Error()
}
