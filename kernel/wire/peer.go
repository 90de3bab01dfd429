package wire

import (
	"bufio"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// peer is one client's connection to one socket.
type peer struct {
	socket   *socket
	conn     net.Conn
	number   uint64 // order of arrival at the socket
	identity string // from READY; may be empty, and any client may claim any

	proven  atomic.Bool // has sent a message with a good signature
	strikes int         // refused messages; only the reading goroutine looks at it

	topics map[string]int // subscriptions and how often each was made; guarded by socket.mu

	mu      sync.Mutex
	queue   [][]byte // encoded messages that wait to be written
	queued  int      // bytes in queue and in the write under way
	writing bool     // a write is under way
	closed  bool
	wake    chan struct{} // capacity 1: there is something in queue, or closed is set
}

// send queues one encoded message, and reports whether there was room. It never blocks.
func (p *peer) send(encoded []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	lim := p.socket.limits
	// A client with nothing in its queue may always be sent one message, however large: it is not slow.
	if len(p.queue) > 0 && (p.queued+len(encoded) > lim.QueueBytes || len(p.queue) >= lim.QueueMessages) {
		return false
	}
	p.queue = append(p.queue, encoded)
	p.queued += len(encoded)
	p.signal()
	return true
}

func (p *peer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// idle reports whether all that was queued has been handed to the operating system.
func (p *peer) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed || (len(p.queue) == 0 && !p.writing)
}

func (p *peer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.queue = nil
	p.conn.Close()
	p.signal()
}

// write sends what is queued until the peer is closed.
func (p *peer) write() {
	w := bufio.NewWriterSize(p.conn, 32<<10)
	for range p.wake {
		for {
			p.mu.Lock()
			batch := p.queue
			p.queue = nil
			closed := p.closed
			p.writing = len(batch) > 0
			if !p.writing {
				p.queued = 0
			}
			p.mu.Unlock()
			if closed {
				return
			}
			if len(batch) == 0 {
				break
			}
			size := 0
			for i, encoded := range batch {
				if _, err := w.Write(encoded); err != nil {
					p.socket.drop(p)
					return
				}
				size += len(encoded)
				batch[i] = nil
			}
			if err := w.Flush(); err != nil {
				p.socket.drop(p)
				return
			}
			p.mu.Lock()
			p.queued -= size
			p.writing = false
			p.mu.Unlock()
		}
	}
}

// handshake exchanges greetings and READY commands. It takes no longer than the limit.
func (p *peer) handshake(r *bufio.Reader) error {
	if err := p.conn.SetDeadline(time.Now().Add(p.socket.limits.Handshake)); err != nil {
		return err
	}
	hello := appendReady(appendGreeting(nil), p.socket.kind.name)
	if _, err := p.conn.Write(hello); err != nil {
		return err
	}
	g, err := readGreeting(r)
	if err != nil {
		return err
	}
	if g.mechanism != "NULL" {
		return fmt.Errorf("%w: mechanism %q where NULL is spoken", errMalformed, g.mechanism)
	}
	f, err := readFrame(r, maxCommandSize)
	if err != nil {
		return err
	}
	if !f.command {
		return fmt.Errorf("%w: a message before READY", errMalformed)
	}
	c, err := parseCommand(f.body)
	if err != nil {
		return err
	}
	if c.name != "READY" {
		return fmt.Errorf("%w: command %q where READY was due", errMalformed, c.name)
	}
	about, err := parseReady(c.data)
	if err != nil {
		return err
	}
	if !p.socket.kind.takes(about.socketType) {
		return fmt.Errorf("%w: a %q socket cannot talk to %s", errMalformed, about.socketType, p.socket.kind.name)
	}
	p.identity = about.identity
	return p.conn.SetDeadline(time.Time{})
}

// read hands each message of the peer to the socket until the connection ends.
func (p *peer) read(r *bufio.Reader) error {
	for {
		frames, err := p.readMessage(r)
		if err != nil {
			return err
		}
		if err := p.socket.kind.message(p, frames); err != nil {
			return err
		}
	}
}

// readMessage reads the frames of one message and obeys the commands that come between them.
func (p *peer) readMessage(r *bufio.Reader) ([][]byte, error) {
	lim := p.socket.limits
	left := lim.UnprovenBytes
	if p.proven.Load() {
		left = lim.MessageBytes
	}
	var frames [][]byte
	for {
		f, err := readFrame(r, left)
		if err != nil {
			return nil, err
		}
		if f.command {
			if err := p.obey(f.body); err != nil {
				return nil, err
			}
			continue
		}
		if len(frames) == lim.Frames {
			return nil, fmt.Errorf("%w: a message of more than %d frames", errMalformed, lim.Frames)
		}
		left -= len(f.body)
		frames = append(frames, f.body)
		if !f.more {
			return frames, nil
		}
	}
}

func (p *peer) obey(body []byte) error {
	c, err := parseCommand(body)
	if err != nil {
		return err
	}
	switch c.name {
	case "PING": // two bytes time-to-live, then a context of at most 16 bytes that goes back
		if len(c.data) < 2 || len(c.data) > 18 {
			return fmt.Errorf("%w: PING of %d bytes", errMalformed, len(c.data))
		}
		p.send(appendCommand(nil, "PONG", c.data[2:]))
		return nil
	case "SUBSCRIBE":
		return p.socket.subscribe(p, string(c.data))
	case "CANCEL":
		p.socket.unsubscribe(p, string(c.data))
		return nil
	case "ERROR":
		return fmt.Errorf("%w: the client reports an error", errMalformed)
	}
	return nil // PONG, and what later versions may add
}
