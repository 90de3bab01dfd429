//go:build !unix

package session

import (
	"os"
	"sync"
)

// capture redirects os.Stdout and os.Stderr into pipes. What native libraries write past them is not seen here.
type capture struct {
	take           func(name string, p []byte)
	mu             sync.Mutex
	out, err       *os.File // as they were
	pipeOut, pipeE *os.File
	readers        sync.WaitGroup
}

func startCapture(take func(name string, p []byte)) (*capture, *os.File, error) {
	c := &capture{take: take, out: os.Stdout, err: os.Stderr}
	r1, w1, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	r2, w2, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	c.pipeOut, c.pipeE = w1, w2
	os.Stdout, os.Stderr = w1, w2
	for r, name := range map[*os.File]string{r1: stdout, r2: stderr} {
		c.readers.Add(1)
		go func() {
			defer c.readers.Done()
			b := make([]byte, 64<<10)
			for {
				n, err := r.Read(b)
				if n > 0 {
					c.mu.Lock()
					c.take(name, b[:n])
					c.mu.Unlock()
				}
				if err != nil {
					return
				}
			}
		}()
	}
	return c, c.err, nil
}

func (c *capture) drain() {}

func (c *capture) stop() {
	os.Stdout, os.Stderr = c.out, c.err
	c.pipeOut.Close()
	c.pipeE.Close()
	c.readers.Wait()
}
