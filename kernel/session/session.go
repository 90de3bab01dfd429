package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"banter/kernel/wire"
)

// Streams is where an evaluator's cells print to and read from.
type Streams struct {
	Stdout, Stderr io.Writer
	Stdin          io.Reader
}

// Options of a kernel.
type Options struct {
	Connection     wire.Connection
	Listen         func(network, address string) (net.Listener, error) // opens a socket; nil: net.Listen
	ConnectionFile string                                              // its path, by which a restarted kernel knows its predecessor; may be empty
	// NewEvaluator makes what runs cells. It is called once, after the sockets are open.
	NewEvaluator func(Streams, *Notebook) (Evaluator, error)
	Version      string // of Banter, for the banner
	HistoryFile  string // where the cells that were run are kept; empty: nowhere
	StateDir     string // where a kernel notes what it is doing, for the one that follows a crash; empty: nowhere
	Capture      bool   // show what is written to the process's file descriptors 1 and 2 too
	Patience     time.Duration
}

// maxLeave is how long a kernel that ends waits for what cells and verbs left running.
const maxLeave = 4 * time.Second

// defaultPatience is how long an interrupted cell may take to stop before the kernel answers without it.
const defaultPatience = 450 * time.Millisecond

// Session is a running kernel.
type Session struct {
	options  Options
	front    *wire.Front
	outlet   *outlet
	capture  *capture
	log      io.Writer // the standard error that the kernel was started with
	notebook *Notebook
	history  *history
	comms    *comms
	stdin    *console
	box      *blackBox

	ready     chan struct{} // closed when evaluator or evaluatorErr is set
	evaluator Evaluator
	evalErr   error

	shells  *shells
	current atomic.Pointer[run] // the cell that began last
	turn    chan struct{}       // capacity 1: held by the cell that runs
	count   atomic.Int64        // of the last numbered cell
	lull    *time.Timer         // gives memory back when no cell has run for a while
	stop    func()
}

// Serve opens the sockets and serves clients until one asks for a shutdown or ctx is done.
func Serve(ctx context.Context, o Options) error {
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() { cancel(errShutdown) }
	defer stop()
	s := &Session{options: o, log: os.Stderr, ready: make(chan struct{}), turn: make(chan struct{}, 1), stop: stop}
	s.outlet = newOutlet(s.publish)
	if o.Capture {
		c, log, err := startCapture(s.outlet.write)
		if err != nil {
			return fmt.Errorf("redirect standard output: %w", err)
		}
		s.capture, s.log = c, log
		defer c.stop()
	}
	s.shells = newShells(ctx, s) // before clients can ask whether a cell runs
	front, err := wire.Listen(o.Connection, wire.Options{Notes: s.note, State: s.state, Listen: o.Listen})
	if err != nil {
		return err
	}
	s.front = front
	defer front.Close(time.Second)
	s.history = openHistory(o.HistoryFile)
	s.comms = newComms(s)
	s.stdin = &console{session: s}
	s.notebook = &Notebook{session: s}
	if s.box, err = openBlackBox(o.StateDir, o.ConnectionFile); err != nil {
		s.note(err.Error())
	}
	defer s.box.close()
	defer s.history.close()
	if s.box.stacks != "" {
		s.note("the kernel before this one died:\n" + s.box.told + "\n\n" + s.box.stacks)
	}
	s.obeySignals(ctx)
	go s.prepare()
	go s.watchParent(ctx)
	go s.stdin.listen(ctx)
	go s.serveControl(ctx)
	for {
		select {
		case m := <-front.Shell():
			s.shells.dispatch(m)
		case <-ctx.Done():
			s.leave()
			s.settle()
			s.outlet.end()
			return nil
		}
	}
}

// prepare makes the evaluator while clients can already connect and ask about the kernel.
func (s *Session) prepare() {
	defer close(s.ready)
	defer func() {
		if p := recover(); p != nil {
			s.evalErr = fmt.Errorf("prepare to run Go: panic: %v\n%s", p, debug.Stack())
		}
	}()
	s.evaluator, s.evalErr = s.options.NewEvaluator(Streams{
		Stdout: printer{s, stdout},
		Stderr: printer{s, stderr},
		Stdin:  s.stdin,
	}, s.notebook)
	if s.evalErr == nil {
		s.evalErr = s.notebook.define(s.evaluator)
	}
	if s.evalErr != nil {
		s.note(s.evalErr.Error())
	}
}

// eval waits for the evaluator.
func (s *Session) eval(ctx context.Context) (Evaluator, error) {
	select {
	case <-s.ready:
		return s.evaluator, s.evalErr
	case <-ctx.Done():
		return nil, interruption{context.Cause(ctx)}
	}
}

// leave ends what cells and verbs left running. It takes a while where results are still on their way to a shared store,
// and no longer than a Jupyter server waits before it kills.
func (s *Session) leave() {
	select {
	case <-s.ready:
	default:
		return // nothing has run
	}
	evaluator, ok := s.evaluator.(io.Closer)
	if !ok {
		return
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		if err := evaluator.Close(); err != nil {
			s.note(err.Error())
		}
	}()
	select {
	case <-left:
	case <-time.After(maxLeave):
		s.note("what cells left running does not end")
	}
}

// note writes a line to the log of whoever started the kernel.
func (s *Session) note(line string) {
	fmt.Fprintf(s.log, "banter kernel: %s\n", line)
}

func (s *Session) publish(parent *wire.Message, msgType string, content, metadata any, buffers [][]byte) {
	if err := s.front.Publish(parent, msgType, content, metadata, buffers); err != nil {
		s.note(err.Error())
	}
}

func (s *Session) reply(request *wire.Message, msgType string, content any) {
	if err := s.front.Reply(request, msgType, content); err != nil {
		s.note(err.Error())
		if err := s.front.Reply(request, msgType, errorReply{Status: "error", Name: "internal error", Value: err.Error()}.filled()); err != nil {
			s.note(err.Error())
		}
	}
}

// state is what a front-end that connects is told.
func (s *Session) state() string {
	if s.busy() {
		return "busy"
	}
	return "idle"
}

func (s *Session) status(request *wire.Message, state string) {
	s.publish(request, "status", map[string]string{"execution_state": state}, nil, nil)
}

// settle brings all that was written before to the outlet.
func (s *Session) settle() {
	if s.capture != nil {
		s.capture.drain()
	}
}

// printer takes what cells print.
type printer struct {
	session *Session
	name    string
}

func (p printer) Write(b []byte) (int, error) {
	p.session.settle() // what compiled code wrote before comes before
	p.session.outlet.write(p.name, b)
	return len(b), nil
}

// errorReply is the content of a reply that reports an error, and of an error message.
type errorReply struct {
	Status    string   `json:"status,omitempty"`
	Count     *int64   `json:"execution_count,omitempty"`
	Name      string   `json:"ename"`
	Value     string   `json:"evalue"`
	Traceback []string `json:"traceback"`
}

func (e errorReply) filled() errorReply {
	if e.Traceback == nil {
		e.Traceback = []string{}
	}
	return e
}

// bounds of the text of one error
const (
	maxErrorText  = 32 << 10
	maxErrorLines = 100
)

// describe turns an error into what a front-end shows.
func describe(err error) errorReply {
	e := errorReply{Status: "error", Name: "error", Value: clip(err.Error(), maxErrorText)}
	var f fault
	switch {
	case errors.As(err, &f):
		e.Name = f.Name()
		e.Traceback = f.Traceback()
		// The traceback has the rest.
		e.Value, _, _ = strings.Cut(e.Value, "\n")
	case errors.Is(err, context.Canceled):
		e.Name = "interrupted"
	}
	if len(e.Traceback) == 0 {
		e.Traceback = []string{"\x1b[31m" + e.Name + "\x1b[0m: " + e.Value}
	}
	if n := len(e.Traceback); n > maxErrorLines {
		half := maxErrorLines / 2
		e.Traceback = append(append(append([]string{}, e.Traceback[:half]...),
			fmt.Sprintf("… %d lines …", n-2*half)), e.Traceback[n-half:]...)
	}
	for i, line := range e.Traceback {
		e.Traceback[i] = clip(line, maxErrorText)
	}
	return e
}

// clip cuts s to about limit bytes, at a character, and says so.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	b := []byte(s[:limit])
	return string(b[:len(b)-incomplete(b)]) + fmt.Sprintf("… (%s in all)", byteCount(int64(len(s))))
}
