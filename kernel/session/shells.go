package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
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
	waiting []*wire.Message
	wake    chan struct{} // capacity 1
	stop    context.CancelFunc
}

func newShells(ctx context.Context, s *Session) *shells {
	all := &shells{session: s, ctx: ctx, subs: map[string]*shell{}}
	all.main = all.start()
	return all
}

func (a *shells) start() *shell {
	ctx, stop := context.WithCancel(a.ctx)
	sh := &shell{wake: make(chan struct{}, 1), stop: stop}
	go func() {
		for {
			select {
			case <-sh.wake:
			case <-ctx.Done():
				return
			}
			for m := sh.next(); m != nil && ctx.Err() == nil; m = sh.next() {
				for _, waited := range a.session.answer(ctx, sh, m) {
					a.session.abort(waited)
				}
			}
		}
	}()
	return sh
}

func (sh *shell) add(m *wire.Message) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.waiting) >= maxWaiting {
		return false
	}
	sh.waiting = append(sh.waiting, m)
	select {
	case sh.wake <- struct{}{}:
	default:
	}
	return true
}

func (sh *shell) next() *wire.Message {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.waiting) == 0 {
		return nil
	}
	m := sh.waiting[0]
	sh.waiting = slices.Delete(sh.waiting, 0, 1)
	return m
}

// takeExecutes removes the execute requests that wait.
func (sh *shell) takeExecutes() []*wire.Message {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var taken []*wire.Message
	sh.waiting = slices.DeleteFunc(sh.waiting, func(m *wire.Message) bool {
		if m.Header.Type != "execute_request" {
			return false
		}
		taken = append(taken, m)
		return true
	})
	return taken
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
	if !sh.add(m) {
		a.session.refuse(m, fmt.Errorf("%d requests wait already", maxWaiting))
	}
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
	sh.stop()
	for m := sh.next(); m != nil; m = sh.next() {
		a.session.refuse(m, errors.New("its subshell was deleted"))
	}
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
	s.interrupt(errShutdown)
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

func (s *Session) busy() bool {
	found := false
	s.running.Range(func(_, _ any) bool { found = true; return false })
	return found
}
