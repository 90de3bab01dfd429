package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"banter/internal/progress"
)

// Request is a call as its handler sees it.
type Request struct {
	Params  json.RawMessage
	Payload []byte
}

// Handler answers one method's calls. Its context is done when the client cancels the call. It reports progress through
// [progress.Tell]. An error that is or wraps a [*Failure] goes to the client as it is.
type Handler func(ctx context.Context, r *Request) (result any, payload []byte, err error)

// progressEvery bounds how often progress goes out for one call.
const progressEvery = 50 * time.Millisecond

// Serve is the worker's side: it says hello on w, then answers the calls that come on r until r ends, each on a goroutine
// of its own. It returns nil at the end of r, without waiting for calls in flight: the caller should exit then.
func Serve(r io.Reader, w io.Writer, program, version string, handlers map[string]Handler) error {
	var out sync.Mutex // one frame at a time on w
	send := func(h *Header, payload []byte) error {
		out.Lock()
		defer out.Unlock()
		return writeFrame(w, h, payload)
	}
	hello := &Hello{Protocol: Protocol, Program: program, Version: version}
	for name := range handlers {
		hello.Methods = append(hello.Methods, name)
	}
	slices.Sort(hello.Methods)
	if err := send(&Header{Kind: KindHello, Hello: hello}, nil); err != nil {
		return err
	}

	var mu sync.Mutex // guards inFlight
	inFlight := map[uint64]context.CancelFunc{}
	all, cancelAll := context.WithCancel(context.Background())
	defer cancelAll()

	in := bufio.NewReaderSize(r, 1<<16)
	for {
		h, payload, err := readFrame(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Kind {
		case KindCancel:
			mu.Lock()
			if cancel := inFlight[h.Call]; cancel != nil {
				cancel()
			}
			mu.Unlock()
		case KindCall:
			ctx, cancel := context.WithCancel(all)
			mu.Lock()
			_, taken := inFlight[h.Call]
			if !taken {
				inFlight[h.Call] = cancel
			}
			mu.Unlock()
			if taken {
				cancel()
				return fmt.Errorf("two calls have the number %d", h.Call)
			}
			go func() {
				answer, payload := handle(ctx, h, payload, handlers, send)
				mu.Lock()
				delete(inFlight, h.Call)
				mu.Unlock()
				cancel()
				if err := send(answer, payload); err != nil {
					failure := &Failure{Message: "the answer cannot be sent: " + err.Error()}
					// The client is gone if this fails as well, and then the end of r follows.
					_ = send(&Header{Kind: KindError, Call: h.Call, Failure: failure}, nil)
				}
			}()
		default:
			return fmt.Errorf("a client does not send frames of kind %q", h.Kind)
		}
	}
}

// handle runs one call and makes its answer.
func handle(ctx context.Context, h *Header, payload []byte, handlers map[string]Handler, send func(*Header, []byte) error) (answer *Header, out []byte) {
	fail := func(f *Failure) (*Header, []byte) {
		return &Header{Kind: KindError, Call: h.Call, Failure: f}, nil
	}
	defer func() {
		if p := recover(); p != nil {
			answer, out = fail(&Failure{Message: fmt.Sprintf("panic in %s: %v\n%s", h.Method, p, debug.Stack())})
		}
	}()
	handler := handlers[h.Method]
	if handler == nil {
		return fail(&Failure{Message: fmt.Sprintf("this worker has no method %q", h.Method), Fix: "build the worker and its client from the same source: make native"})
	}
	var mu sync.Mutex // guards last
	var last time.Time
	ctx = progress.With(ctx, func(r progress.Report) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			// A client that is gone shows itself by the end of its stream.
			_ = send(&Header{Kind: KindProgress, Call: h.Call, Progress: &r}, nil)
		}
	})
	result, out, err := handler(ctx, &Request{Params: h.Params, Payload: payload})
	if err != nil {
		var f *Failure
		if !errors.As(err, &f) {
			f = &Failure{Message: err.Error()}
		}
		return fail(f)
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return fail(&Failure{Message: "the result of " + h.Method + " is no JSON: " + err.Error()})
	}
	return &Header{Kind: KindResult, Call: h.Call, Result: raw}, out
}
