package worker

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"banter/internal/problem"
)

// Options say how a [Pool] starts its workers. The zero value starts one banter-engine, found by [Find].
type Options struct {
	Path         string        // the program; empty: see [Find]
	Args         []string      // its arguments
	Env          []string      // "NAME=value", added to this process's environment
	Workers      int           // processes at most, and so calls at a time; 0 means 1
	Grace        time.Duration // from a cancellation to the kill; 0 means 2 s
	StartTimeout time.Duration // from the start to the hello; 0 means 60 s
}

// Pool is a set of workers that share the calls made on it. Workers are started when a call needs one, and a dead one is
// replaced by the call after. A Pool may be used by many goroutines at once.
type Pool struct {
	o    Options
	free chan struct{} // holds one token for each call that may run

	mu     sync.Mutex
	idle   []*process // the last one used comes last, and is used again first: it has its model loaded
	all    map[*process]bool
	closed bool
}

// NewPool returns a pool whose workers are not started yet.
func NewPool(o Options) *Pool {
	if o.Workers <= 0 {
		o.Workers = 1
	}
	if o.Grace <= 0 {
		o.Grace = 2 * time.Second
	}
	if o.StartTimeout <= 0 {
		o.StartTimeout = time.Minute
	}
	p := &Pool{o: o, free: make(chan struct{}, o.Workers), all: map[*process]bool{}}
	for range o.Workers {
		p.free <- struct{}{}
	}
	return p
}

// errClosed is the error of a call on a closed pool.
var errClosed = errors.New("the pool of workers is closed")

// Found says whether the program is there that a call would start.
func (p *Pool) Found() bool {
	_, err := Find(p.o.Path)
	return err == nil
}

// Workers returns how many calls can run at a time.
func (p *Pool) Workers() int { return p.o.Workers }

// Call runs method on a worker that is free, waiting for one if need be, and returns its JSON result and its payload.
// Progress goes to ctx's listener. When ctx ends, the call is cancelled and its error is ctx's.
//
// An error that wraps a [*Failure] came from a worker that is well. One that wraps a [*Death] names why the worker is
// gone; the same call may be made again and gets a fresh one.
func (p *Pool) Call(ctx context.Context, method string, params any, payload []byte) (json.RawMessage, []byte, error) {
	w, err := p.take(ctx)
	if err != nil {
		return nil, nil, wrap(method, err)
	}
	result, out, err := w.call(ctx, method, params, payload, p.o.Grace)
	var failure *Failure
	var soft *cancelled
	p.put(w, err == nil || errors.As(err, &failure) || errors.As(err, &soft))
	if err != nil {
		return nil, nil, wrap(method, err)
	}
	return result, out, nil
}

// Hello starts a worker, if none runs, and returns how it introduced itself.
func (p *Pool) Hello(ctx context.Context) (Hello, error) {
	w, err := p.take(ctx)
	if err != nil {
		return Hello{}, wrap("hello", err)
	}
	p.put(w, true)
	return w.hello, nil
}

// wrap words an error of a call. A failure's own words say enough.
func wrap(method string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &problem.Error{Op: method, Err: err}
	}
	var f *Failure
	if errors.As(err, &f) {
		return &problem.Error{Op: method, Path: f.Path, Err: &Failure{Message: f.Message}, Fix: f.Fix}
	}
	var known *problem.Error
	if errors.As(err, &known) {
		return err
	}
	return &problem.Error{Op: method, Err: err}
}

func (p *Pool) take(ctx context.Context) (*process, error) {
	select {
	case <-p.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		p.free <- struct{}{}
		return nil, err
	}
	p.mu.Lock()
	for len(p.idle) > 0 && !p.closed {
		w := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		select {
		case <-w.exited: // died while nobody needed it
			delete(p.all, w)
			continue
		default:
		}
		p.mu.Unlock()
		return w, nil
	}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		p.free <- struct{}{}
		return nil, errClosed
	}
	w, err := p.start(ctx)
	if err != nil {
		p.free <- struct{}{}
		return nil, err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		w.kill()
		p.free <- struct{}{}
		return nil, errClosed
	}
	p.all[w] = true
	p.mu.Unlock()
	return w, nil
}

func (p *Pool) start(ctx context.Context) (*process, error) {
	path, err := Find(p.o.Path)
	if err != nil {
		return nil, err
	}
	return start(ctx, path, p.o.Args, p.o.Env, p.o.StartTimeout)
}

func (p *Pool) put(w *process, well bool) {
	p.mu.Lock()
	if well && !p.closed {
		p.idle = append(p.idle, w)
	} else {
		delete(p.all, w)
		w.kill()
	}
	p.mu.Unlock()
	p.free <- struct{}{}
}

// Close ends all workers; calls in flight fail. The pool takes no further calls.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	idle := p.idle
	p.idle = nil
	for _, w := range idle {
		delete(p.all, w)
	}
	for w := range p.all { // in flight
		w.kill()
	}
	p.mu.Unlock()
	for _, w := range idle {
		w.close(p.o.Grace)
	}
	return nil
}
