//go:build unix

package session

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// capture redirects file descriptors 1 and 2 of the process into pipes, so that what compiled code, native libraries and
// child processes write is shown like what cells print.
type capture struct {
	take    func(name string, p []byte)
	mu      sync.Mutex // held while a pipe is read and what came is taken, so that order is kept
	pipes   []capturedStream
	scratch []byte
	readers sync.WaitGroup
}

type capturedStream struct {
	name  string
	fd    int      // the file descriptor that is redirected
	saved int      // what it was before
	out   *os.File // the reading end
	raw   syscall.RawConn
}

// startCapture redirects the two descriptors. log is where the former standard error can be written to.
func startCapture(take func(name string, p []byte)) (c *capture, log *os.File, err error) {
	c = &capture{take: take, scratch: make([]byte, 64<<10)}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	for i, name := range []string{stdout, stderr} {
		fd := i + 1
		saved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, nil, os.NewSyscallError("dup", err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		raw, err := r.SyscallConn()
		if err != nil {
			return nil, nil, err
		}
		if err := redirect(int(w.Fd()), fd); err != nil { // Fd also makes the writing end block, as writers expect
			return nil, nil, os.NewSyscallError("dup2", err)
		}
		w.Close()
		c.pipes = append(c.pipes, capturedStream{name: name, fd: fd, saved: saved, out: r, raw: raw})
		if fd == 2 {
			copied, err := unix.FcntlInt(uintptr(saved), unix.F_DUPFD_CLOEXEC, 3)
			if err != nil {
				return nil, nil, os.NewSyscallError("dup", err)
			}
			log = os.NewFile(uintptr(copied), "stderr")
		}
	}
	for _, p := range c.pipes {
		c.readers.Add(1)
		go func() {
			defer c.readers.Done()
			for c.wait(p) {
			}
		}()
	}
	return c, log, nil
}

// wait blocks until p has something, and takes it. It returns false at the end.
func (c *capture) wait(p capturedStream) bool {
	more := true
	err := p.raw.Read(func(fd uintptr) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		n, err := unix.Read(int(fd), c.scratch)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			return false
		case err != nil, n == 0:
			more = false
		default:
			c.take(p.name, c.scratch[:n])
		}
		return true
	})
	return more && err == nil
}

// drain takes all that has been written so far.
func (c *capture) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pipes {
		// A child that writes without pause must not keep us here: a few pipes full is all that can have been written
		// before drain was called.
		for range 32 {
			n := 0
			err := p.raw.Control(func(fd uintptr) { n, _ = unix.Read(int(fd), c.scratch) })
			if err != nil || n <= 0 {
				break
			}
			c.take(p.name, c.scratch[:n])
		}
	}
}

// stop gives the descriptors back.
func (c *capture) stop() {
	for _, p := range c.pipes {
		redirect(p.saved, p.fd)
		unix.Close(p.saved)
	}
	c.drain()
	for _, p := range c.pipes {
		p.out.Close()
	}
	c.readers.Wait()
	c.pipes = nil
}
