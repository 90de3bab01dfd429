package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"banter/kernel/wire"
)

const (
	maxSubshells = 64
	maxWaiting   = 10_000 // requests that wait in one shell
)

// shells are the main shell and the subshells. Each answers its requests one by one, beside the others.
type shells struct {
	session *Session
	ctx     context.Context
	main    *shell

	mu   sync.Mutex
	subs map[string]*shell
}

// shell is a queue of requests and the goroutine that answers them.
type shell struct {
	mu      sync.Mutex
	waiting []*request
	current *request      // what is being answered; nil between two requests
	closed  error         // why nothing is taken any more
	wake    chan struct{} // capacity 1
	stop    context.CancelCauseFunc
}

// request is a message that waits or is being answered. It can be stopped at any time.
type request struct {
	*wire.Message
	mu      sync.Mutex
	stopped error                   // why it was stopped
	over    bool                    // it cannot be stopped any more
	cancel  context.CancelCauseFunc // of the cell that runs it; nil before that
}

func (q *request) isCell() bool { return q.Header.Type == "execute_request" }

// halt stops the cell, or keeps it from beginning. It reports false where the cell is over.
func (q *request) halt(cause error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		return false
	}
	if q.stopped == nil {
		q.stopped = cause
	}
	if q.cancel != nil {
		q.cancel(cause)
	}
	return true
}

// end says how the cell has ended. Where it was to be stopped and did not come to notice, it returns why.
func (q *request) end(outcome error) (missed error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	if errors.As(outcome, new(interruption)) {
		return nil
	}
	return q.stopped
}

// begin makes the context of the cell. It is done already where the cell was stopped before.
func (q *request) begin(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cancel = cancel
	if q.stopped != nil {
		cancel(q.stopped)
	}
	return ctx, cancel
}

func newShells(ctx context.Context, s *Session) *shells {
	all := &shells{session: s, ctx: ctx, subs: map[string]*shell{}}
	all.main = all.start()
	return all
}

func (a *shells) start() *shell {
	ctx, stop := context.WithCancelCause(a.ctx)
	sh := &shell{wake: make(chan struct{}, 1), stop: stop}
	go func() {
		for {
			select {
			case <-sh.wake:
			case <-ctx.Done():
				return
			}
			for q := sh.next(); q != nil; q = sh.next() {
				for _, waited := range a.session.answer(ctx, sh, q) {
					a.session.abort(waited)
				}
			}
		}
	}()
	return sh
}

func (sh *shell) add(m *wire.Message) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed != nil {
		return sh.closed
	}
	if len(sh.waiting) >= maxWaiting {
		return fmt.Errorf("%d requests wait already", maxWaiting)
	}
	sh.waiting = append(sh.waiting, &request{Message: m})
	select {
	case sh.wake <- struct{}{}:
	default:
	}
	return nil
}

// next ends the current request, and makes the one that has waited longest the current one.
func (sh *shell) next() *request {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.current = nil
	if len(sh.waiting) > 0 {
		sh.current = sh.waiting[0]
		sh.waiting = slices.Delete(sh.waiting, 0, 1)
	}
	return sh.current
}

// takeExecutes removes the execute requests that wait.
func (sh *shell) takeExecutes() []*wire.Message {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var taken []*wire.Message
	sh.waiting = slices.DeleteFunc(sh.waiting, func(q *request) bool {
		if q.isCell() {
			taken = append(taken, q.Message)
		}
		return q.isCell()
	})
	return taken
}

// halt stops the cell that runs, or else the one that is to run next: between two cells, an interrupt is not lost.
func (sh *shell) halt(cause error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.current != nil && sh.current.isCell() && sh.current.halt(cause) {
		return
	}
	if i := slices.IndexFunc(sh.waiting, (*request).isCell); i >= 0 {
		sh.waiting[i].halt(cause)
	}
}

// end says how the cell that runs has ended, before its client is told. Where it was to be stopped and did not come to
// notice, the next one is stopped: that was asked for before the interrupt, too.
func (sh *shell) end(cell *request, outcome error) {
	if cause := cell.end(outcome); cause != nil {
		sh.halt(cause)
	}
}

// close stops what runs, takes nothing any more, and returns what waits.
func (sh *shell) close(cause error) []*request {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed == nil {
		sh.closed = cause
	}
	if sh.current != nil {
		sh.current.halt(cause)
	}
	waiting := sh.waiting
	sh.waiting = nil
	return waiting
}

// dispatch puts a request into the queue of its shell.
func (a *shells) dispatch(m *wire.Message) {
	sh := a.main
	if id := m.Header.Subshell; id != "" {
		a.mu.Lock()
		sh = a.subs[id]
		a.mu.Unlock()
		if sh == nil {
			a.session.refuse(m, fmt.Errorf("there is no subshell %q", clip(id, 100)))
			return
		}
	}
	if err := sh.add(m); err != nil {
		a.session.refuse(m, err)
	}
}

// all are the main shell and the subshells.
func (a *shells) all() []*shell {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.AppendSeq([]*shell{a.main}, maps.Values(a.subs))
}

// create starts a subshell.
func (a *shells) create() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.subs) >= maxSubshells {
		return "", fmt.Errorf("there are %d subshells already", maxSubshells)
	}
	var b [16]byte
	rand.Read(b[:]) // never fails
	id := hex.EncodeToString(b[:])
	a.subs[id] = a.start()
	return id, nil
}

// remove ends a subshell. What it runs is stopped; what waits in it is answered with an error.
func (a *shells) remove(id string) error {
	a.mu.Lock()
	sh := a.subs[id]
	delete(a.subs, id)
	a.mu.Unlock()
	if sh == nil {
		return fmt.Errorf("there is no subshell %q", clip(id, 100))
	}
	for _, q := range sh.close(errDeleted) {
		a.session.refuse(q.Message, errDeleted)
	}
	sh.stop(errDeleted)
	return nil
}

func (a *shells) list() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := make([]string, 0, len(a.subs))
	for id := range a.subs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// serveControl answers what must not wait for a cell.
func (s *Session) serveControl(ctx context.Context) {
	for {
		select {
		case m := <-s.front.Control():
			s.control(m)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Session) control(m *wire.Message) {
	defer s.stopAfter(m)
	defer s.guard(m)
	s.status(m, "busy")
	defer s.status(m, "idle")
	switch m.Header.Type {
	case "interrupt_request":
		s.interrupt(errInterrupted)
		s.reply(m, "interrupt_reply", map[string]string{"status": "ok"})
	case "create_subshell_request":
		id, err := s.shells.create()
		if err != nil {
			s.reply(m, "create_subshell_reply", describe(err))
			return
		}
		s.reply(m, "create_subshell_reply", map[string]string{"status": "ok", "subshell_id": id})
	case "delete_subshell_request":
		var q struct {
			ID string `json:"subshell_id"`
		}
		err := m.Decode(&q)
		if err == nil {
			err = s.shells.remove(q.ID)
		}
		if err != nil {
			s.reply(m, "delete_subshell_reply", describe(err))
			return
		}
		s.reply(m, "delete_subshell_reply", map[string]string{"status": "ok"})
	case "list_subshell_request":
		s.reply(m, "list_subshell_reply", map[string]any{"status": "ok", "subshell_id": s.shells.list()})
	default:
		s.either(m)
	}
}

// stopAfter lets Serve return once a shutdown has been answered in full.
func (s *Session) stopAfter(m *wire.Message) {
	if m.Header.Type == "shutdown_request" {
		s.stop()
	}
}

// shutdown stops what runs, and answers.
func (s *Session) shutdown(m *wire.Message) {
	var q struct {
		Restart bool `json:"restart"`
	}
	if err := m.Decode(&q); err != nil {
		s.note(err.Error())
	}
	for _, sh := range s.shells.all() {
		for _, q := range sh.close(errShutdown) {
			s.refuse(q.Message, errShutdown)
		}
	}
	// Cells that stop at once get to say so; the others end with the process.
	for deadline := time.Now().Add(s.options.Patience); time.Now().Before(deadline) && s.busy(); {
		time.Sleep(5 * time.Millisecond)
	}
	s.settle()
	s.outlet.end()
	reply := map[string]any{"status": "ok", "restart": q.Restart}
	s.publish(m, "shutdown_reply", reply, nil, nil)
	s.reply(m, "shutdown_reply", reply)
}

// interrupt stops all cells that run, wait for their turn, or are about to begin.
func (s *Session) interrupt(cause error) {
	for _, sh := range s.shells.all() {
		sh.halt(cause)
	}
}

// busy reports whether a cell runs or waits for its turn.
func (s *Session) busy() bool {
	return slices.ContainsFunc(s.shells.all(), func(sh *shell) bool {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		return sh.current != nil && sh.current.isCell()
	})
}
