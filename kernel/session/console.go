package session

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"banter/kernel/wire"
)

// console asks the user for lines of text over the stdin socket. It is the standard input of cells.
type console struct {
	session *Session

	asking sync.Mutex // one question at a time

	mu       sync.Mutex
	question string      // the id of the one that is open
	answer   chan string // takes the answer to it; nil without one

	rest []byte // of the last line, not yet read; guarded by asking
}

// connectWait is how long a question waits for a client that is not there yet.
const connectWait = 2 * time.Second

var errNoStdin = errors.New("this cell cannot ask for input: it was run by a client that has nobody to ask")

// ask puts a question to whoever runs the current cell, and waits.
func (c *console) ask(prompt string, hidden bool) (string, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	return c.askLocked(prompt, hidden)
}

func (c *console) askLocked(prompt string, hidden bool) (string, error) {
	r := c.session.current.Load()
	if r == nil {
		return "", errNoCell
	}
	if !r.allowStdin {
		return "", errNoStdin
	}
	if r.ctx.Err() != nil {
		return "", context.Cause(r.ctx)
	}
	// The question stands after what was printed before it.
	c.session.settle()
	c.session.outlet.flush()
	question, answer := map[string]any{"prompt": prompt, "password": hidden}, make(chan string, 1)
	err := c.put(r, question, answer)
	// A client that has just connected may have its shell connection before its stdin connection.
	for began := time.Now(); errors.Is(err, wire.ErrNoStdin) && time.Since(began) < connectWait && r.ctx.Err() == nil; {
		time.Sleep(connectWait / 200)
		err = c.put(r, question, answer)
	}
	if err != nil {
		return "", err
	}
	defer func() {
		c.mu.Lock()
		c.answer = nil
		c.mu.Unlock()
	}()
	select {
	case line := <-answer:
		return line, nil
	case <-r.ctx.Done():
		return "", context.Cause(r.ctx)
	}
}

// put sends a question, whose answer goes to a channel.
func (c *console) put(r *run, question map[string]any, answer chan string) error {
	c.mu.Lock() // so that no answer is looked at before its question is known
	defer c.mu.Unlock()
	id, err := c.session.front.Ask(r.request, "input_request", question)
	if err == nil {
		c.question, c.answer = id, answer
	}
	return err
}

// Read gives cells the lines that the user types.
func (c *console) Read(p []byte) (int, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.rest) == 0 {
		line, err := c.askLocked("", false)
		if errors.Is(err, errNoCell) || errors.Is(err, errNoStdin) {
			return 0, errors.Join(err, io.EOF)
		}
		if err != nil {
			return 0, err
		}
		c.rest = append([]byte(line), '\n')
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// listen takes the answers that come. One that nobody waits for is dropped, and so is one to a question that was taken
// back when its cell was interrupted.
func (c *console) listen(ctx context.Context) {
	for {
		select {
		case m := <-c.session.front.Stdin():
			var reply struct {
				Value string `json:"value"`
			}
			if m.Header.Type != "input_reply" {
				c.session.note("a message on stdin that is no input_reply")
				continue
			}
			if err := m.Decode(&reply); err != nil {
				c.session.note(err.Error())
				continue
			}
			c.mu.Lock()
			late := m.Parent.Type == "input_request" && m.Parent.ID != c.question
			if c.answer != nil && !late {
				c.answer <- reply.Value
				c.answer = nil
			}
			c.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}
