package session

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"banter/kernel/wire"
)

const (
	maxComms   = 4096
	maxTargets = 256 // of which the oldest is forgotten, so that what it holds on to can be given back
)

// Comm is a line between a value in the kernel and its view in the front-end.
type Comm struct {
	ID     string
	Target string

	comms *comms
	mu    sync.Mutex
	hear  func(data json.RawMessage, buffers [][]byte)
	ended func()
	open  bool
}

// comms are the open lines, and the targets that a front-end can open one to.
type comms struct {
	session *Session

	mu      sync.Mutex
	open    map[string]*Comm
	targets map[string]func(*Comm, json.RawMessage)
	order   []string // of targets, the oldest first
}

func newComms(s *Session) *comms {
	return &comms{session: s, open: map[string]*Comm{}, targets: map[string]func(*Comm, json.RawMessage){}}
}

type commContent struct {
	ID     string          `json:"comm_id"`
	Target string          `json:"target_name,omitempty"`
	Data   json.RawMessage `json:"data"`
}

var noData = json.RawMessage("{}")

func encodeData(data any) (json.RawMessage, error) {
	if data == nil {
		return noData, nil
	}
	return json.Marshal(data)
}

// HandleComm says what is to happen when a front-end opens a line to a target. The function gets the opening's data.
func (n *Notebook) HandleComm(target string, opened func(*Comm, json.RawMessage)) {
	cs := n.session.comms
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, known := cs.targets[target]; !known {
		if len(cs.order) == maxTargets {
			delete(cs.targets, cs.order[0])
			cs.order = slices.Delete(cs.order, 0, 1)
		}
		cs.order = append(cs.order, target)
	}
	cs.targets[target] = opened
}

// OpenComm opens a line to a target in the front-end.
func (n *Notebook) OpenComm(target string, data any) (*Comm, error) {
	var b [16]byte
	rand.Read(b[:]) // never fails
	c := &Comm{ID: hex.EncodeToString(b[:]), Target: target, comms: n.session.comms, open: true}
	d, err := encodeData(data)
	if err != nil {
		return nil, fmt.Errorf("open comm to %s: %w", target, err)
	}
	if err := n.session.comms.add(c); err != nil {
		return nil, err
	}
	n.session.comms.send("comm_open", commContent{ID: c.ID, Target: target, Data: d}, nil)
	return c, nil
}

// Hear says what is to happen with messages from the front-end, and when it closes the line. Either may be nil.
func (c *Comm) Hear(message func(data json.RawMessage, buffers [][]byte), ended func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hear, c.ended = message, ended
}

// Send sends data, which is encoded as JSON, and binary buffers beside it.
func (c *Comm) Send(data any, buffers ...[]byte) error {
	c.mu.Lock()
	open := c.open
	c.mu.Unlock()
	if !open {
		return errors.New("send over comm: it is closed")
	}
	d, err := encodeData(data)
	if err != nil {
		return fmt.Errorf("send over comm: %w", err)
	}
	c.comms.send("comm_msg", commContent{ID: c.ID, Data: d}, buffers)
	return nil
}

// Close closes the line.
func (c *Comm) Close() {
	if c.comms.remove(c.ID) != nil {
		c.comms.send("comm_close", commContent{ID: c.ID, Data: noData}, nil)
	}
}

func (cs *comms) add(c *Comm) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) >= maxComms {
		return fmt.Errorf("open comm to %s: %d are open already", c.Target, maxComms)
	}
	if cs.open[c.ID] != nil {
		return fmt.Errorf("open comm to %s: its id is in use", c.Target)
	}
	cs.open[c.ID] = c
	return nil
}

func (cs *comms) remove(id string) *Comm {
	cs.mu.Lock()
	c := cs.open[id]
	delete(cs.open, id)
	cs.mu.Unlock()
	if c != nil {
		c.mu.Lock()
		c.open = false
		c.mu.Unlock()
	}
	return c
}

// send publishes as part of the current cell's output, in order with the rest of it.
func (cs *comms) send(msgType string, content commContent, buffers [][]byte) {
	cs.session.settle()
	cs.session.outlet.flush()
	var parent *wire.Message
	if r := cs.session.current.Load(); r != nil {
		parent = r.request
	}
	cs.session.publish(parent, msgType, content, nil, buffers)
}

// opened is a comm_open from a front-end. One to an unknown target is closed at once, as the protocol has it.
func (cs *comms) opened(m *wire.Message) {
	var q commContent
	if err := m.Decode(&q); err != nil {
		cs.session.note(err.Error())
		return
	}
	cs.mu.Lock()
	handler := cs.targets[q.Target]
	cs.mu.Unlock()
	c := &Comm{ID: q.ID, Target: q.Target, comms: cs, open: true}
	err := errors.New("no such target")
	if handler != nil {
		err = cs.add(c)
	}
	if err != nil {
		cs.session.note(fmt.Sprintf("comm_open to %q: %v", clip(q.Target, 100), err))
		cs.session.publish(m, "comm_close", commContent{ID: q.ID, Data: noData}, nil, nil)
		return
	}
	handler(c, q.Data)
}

func (cs *comms) message(m *wire.Message) {
	var q commContent
	if err := m.Decode(&q); err != nil {
		cs.session.note(err.Error())
		return
	}
	cs.mu.Lock()
	c := cs.open[q.ID]
	cs.mu.Unlock()
	if c == nil {
		cs.session.note("a comm_msg for a comm that is not open")
		return
	}
	c.mu.Lock()
	hear := c.hear
	c.mu.Unlock()
	if hear != nil {
		hear(q.Data, m.Buffers)
	}
}

func (cs *comms) closed(m *wire.Message) {
	var q commContent
	if err := m.Decode(&q); err != nil {
		cs.session.note(err.Error())
		return
	}
	if c := cs.remove(q.ID); c != nil {
		c.mu.Lock()
		ended := c.ended
		c.mu.Unlock()
		if ended != nil {
			ended()
		}
	}
}

func (cs *comms) info(m *wire.Message) {
	var q struct {
		Target string `json:"target_name"`
	}
	if err := m.Decode(&q); err != nil {
		cs.session.reply(m, "comm_info_reply", describe(err))
		return
	}
	found := map[string]any{}
	cs.mu.Lock()
	for id, c := range cs.open {
		if q.Target == "" || c.Target == q.Target {
			found[id] = map[string]string{"target_name": c.Target}
		}
	}
	cs.mu.Unlock()
	cs.session.reply(m, "comm_info_reply", map[string]any{"status": "ok", "comms": found})
}
