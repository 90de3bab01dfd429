package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"banter/internal/problem"
)

// Options of a [Front].
type Options struct {
	Limits Limits // the zero value: DefaultLimits
	// State, if set, says whether the kernel is "starting", "busy" or "idle". A new subscriber to status messages is told,
	// so that a front-end that connects late, or again after a restart, need not wait for something to happen.
	State func() string
	// Listen opens a socket; nil: net.Listen.
	Listen func(network, address string) (net.Listener, error)
	Notes  func(string) // hears of refused messages and connections; may be called from many goroutines; may be nil
}

// Front is the kernel's side of the five sockets.
type Front struct {
	state                            func() string
	codec                            *codec
	ledger                           *ledger
	shell, control, stdin, iopub, hb *socket
	shellIn, controlIn, stdinIn      chan *Message
	done                             chan struct{}
	once                             sync.Once
	publishing                       sync.Mutex // keeps published messages in the order of their numbers
}

// Listen opens the sockets that c names. Clients are served from then on.
func Listen(c Connection, o Options) (*Front, error) {
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits()
	}
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	f := &Front{
		state:     o.State,
		codec:     newCodec(c.Key),
		ledger:    newLedger(o.Notes),
		shellIn:   make(chan *Message, 16),
		controlIn: make(chan *Message, 16),
		stdinIn:   make(chan *Message, 16),
		done:      make(chan struct{}),
	}
	router := func(in chan *Message) kind {
		return kind{name: "ROUTER", peers: []string{"DEALER", "REQ", "ROUTER"},
			message: func(p *peer, frames [][]byte) error { return f.take(p, frames, in) }}
	}
	xpub := kind{name: "XPUB", peers: []string{"SUB", "XSUB"}, message: subscription, joined: f.greet}
	// The REQ end of a heartbeat waits for its own bytes to come back.
	rep := kind{name: "REP", peers: []string{"REQ", "DEALER"}, message: echo}
	heartbeats := o.Limits
	heartbeats.UnprovenBytes = 64 << 10
	for _, s := range []struct {
		name string
		port int
		kind kind
		lim  Limits
		to   **socket
	}{
		{"heartbeat", c.HeartbeatPort, rep, heartbeats, &f.hb},
		{"iopub", c.IOPubPort, xpub, heartbeats, &f.iopub},
		{"stdin", c.StdinPort, router(f.stdinIn), o.Limits, &f.stdin},
		{"control", c.ControlPort, router(f.controlIn), o.Limits, &f.control},
		{"shell", c.ShellPort, router(f.shellIn), o.Limits, &f.shell},
	} {
		network, address := c.endpoint(s.port)
		if network == "unix" {
			clearStale(address)
		}
		listener, err := o.Listen(network, address)
		if err == nil {
			*s.to = serve(listener, s.kind, s.lim, f.ledger)
			if network == "unix" {
				err = os.Chmod(address, 0o600)
			}
		}
		if err != nil {
			f.Close(0)
			return nil, &problem.Error{Op: "listen for " + s.name, Path: address, Err: err,
				Fix: "see what else listens there, and start the kernel again"}
		}
	}
	return f, nil
}

// Shell brings requests to run, complete, inspect and the like.
func (f *Front) Shell() <-chan *Message { return f.shellIn }

// Control brings requests that must not wait for a running cell: interrupt, shutdown, subshells.
func (f *Front) Control() <-chan *Message { return f.controlIn }

// Stdin brings the answers to [Front.Ask].
func (f *Front) Stdin() <-chan *Message { return f.stdinIn }

// take verifies a message and hands it on. A full channel holds up the client that sent it and no other socket.
func (f *Front) take(p *peer, frames [][]byte, in chan<- *Message) error {
	m, err := f.codec.decode(frames)
	if err != nil {
		f.ledger.note("message dropped", err)
		if !p.proven.Load() {
			if p.strikes++; p.strikes >= p.socket.limits.Strikes {
				return fmt.Errorf("%w: %d refused messages", errMalformed, p.strikes)
			}
		}
		return nil
	}
	p.proven.Store(true)
	m.from = p
	select {
	case in <- m:
		return nil
	case <-f.done:
		return net.ErrClosed
	}
}

// subscription reads the older form of SUBSCRIBE and CANCEL: a message that begins with 1 or 0.
func subscription(p *peer, frames [][]byte) error {
	if len(frames) != 1 || len(frames[0]) == 0 {
		return nil
	}
	topic := string(frames[0][1:])
	switch frames[0][0] {
	case 1:
		return p.socket.subscribe(p, topic)
	case 0:
		p.socket.unsubscribe(p, topic)
	}
	return nil
}

// greet tells a new subscriber that what is published from now on will reach it.
func (f *Front) greet(p *peer, topic string) {
	frames, err := f.codec.encode("iopub_welcome", nil, map[string]string{"subscription": topic}, nil, nil)
	if err != nil {
		f.ledger.note("message lost", err)
		return
	}
	f.post([]*peer{p}, [][]byte{[]byte(topic)}, frames)
	if f.state == nil || !strings.HasPrefix("status", topic) {
		return
	}
	frames, err = f.codec.encode("status", nil, map[string]string{"execution_state": f.state()}, nil, nil)
	if err != nil {
		f.ledger.note("message lost", err)
		return
	}
	f.post([]*peer{p}, [][]byte{[]byte("status")}, frames)
}

// echo sends a heartbeat back as it came.
func echo(p *peer, frames [][]byte) error {
	if !p.send(appendMessage(nil, frames)) {
		return errors.New("a heart that beats and does not listen")
	}
	return nil
}

// post queues a message for each of the peers.
func (f *Front) post(to []*peer, routes, frames [][]byte) {
	all := append(append(make([][]byte, 0, len(routes)+len(frames)), routes...), frames...)
	encoded := appendMessage(make([]byte, 0, messageSize(all)), all)
	for _, p := range to {
		if !p.send(encoded) {
			f.ledger.note("message lost", fmt.Errorf("a client on %s does not read", p.socket.kind.name))
		}
	}
}

// Reply answers a request on the socket and connection that it came on.
func (f *Front) Reply(request *Message, msgType string, content any) error {
	if request.from == nil {
		return nil
	}
	frames, err := f.codec.encode(msgType, request, content, nil, nil)
	if err != nil {
		return err
	}
	f.post(request.from.socket.reach(request.from, request.from.identity), request.routes, frames)
	return nil
}

// ErrNoStdin is the error of a question to somebody who cannot be reached, or not yet.
var ErrNoStdin = errors.New("the client that runs this cell has no stdin connection")

// Ask sends a question to the stdin socket of the client that made the request, and returns its id, which is in the
// parent header of the answer of most clients.
func (f *Front) Ask(request *Message, msgType string, content any) (id string, err error) {
	frames, err := f.codec.encode(msgType, request, content, nil, nil)
	if err != nil {
		return "", err
	}
	var header Header
	if err := json.Unmarshal(frames[2], &header); err != nil {
		return "", err
	}
	var to []*peer
	if request.from != nil {
		to = f.stdin.reach(nil, request.from.identity)
	}
	if len(to) == 0 {
		return "", ErrNoStdin
	}
	f.post(to, nil, frames)
	return header.ID, nil
}

// Publish sends a message to all that listen on iopub. parent may be nil.
func (f *Front) Publish(parent *Message, msgType string, content, metadata any, buffers [][]byte) error {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	frames, err := f.codec.encode(msgType, parent, content, metadata, buffers)
	if err != nil {
		return err
	}
	all := append([][]byte{[]byte(msgType)}, frames...)
	if n := f.iopub.publish(msgType, appendMessage(make([]byte, 0, messageSize(all)), all)); n > 0 {
		f.ledger.note("message lost", fmt.Errorf("%d listeners do not read", n))
	}
	return nil
}

// Session is the kernel's session id, which all its messages carry.
func (f *Front) Session() string { return f.codec.session }

// Close gives what has been sent up to linger to leave, then closes all sockets.
func (f *Front) Close(linger time.Duration) {
	f.once.Do(func() {
		close(f.done)
		deadline := time.Now().Add(linger)
		for _, s := range []*socket{f.shell, f.control, f.stdin, f.iopub, f.hb} {
			if s != nil {
				s.close(deadline)
			}
		}
	})
}
