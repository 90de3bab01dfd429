// Package worker runs a program that does native work in a process of its own, and talks with it over its standard
// streams: calls and cancellations go in, progress and results come out. When the process crashes, is killed or runs out
// of memory, the caller gets one error that names the cause, and the next call starts a fresh process.
//
// # The protocol
//
// Both directions carry frames. A frame is
//
//	4 bytes   "BNT1"
//	4 bytes   length of the header in bytes, little-endian, at most [MaxHeader]
//	4 bytes   length of the payload in bytes, little-endian, at most [MaxPayload]
//	header    one JSON object, see [Header]
//	payload   bytes whose meaning the method gives: samples as little-endian float32, for one
//
// The worker speaks first, with a "hello" that carries the protocol's version and says which program it is. After that
// the client sends "call" frames, each with a number of its own, and for a call that nobody waits for any longer a
// "cancel" with the same number. To each call the worker answers with any number of "progress" frames and then exactly one
// "result" or "error". When its standard input ends, the worker exits at once: its client is gone.
//
// The worker's standard error is free text for people. The client keeps its last lines for the error it gives if the
// process dies.
package worker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"banter/internal/progress"
)

// Protocol is the version that both sides must speak.
const Protocol = 1

// A frame beyond these sizes is refused, by its sender and by its receiver.
const (
	MaxHeader  = 16 << 20  // bytes of JSON
	MaxPayload = 256 << 20 // bytes
)

var magic = [4]byte{'B', 'N', 'T', '1'}

// Kind says what a frame is for.
type Kind string

// The kinds of frame.
const (
	KindHello    Kind = "hello"    // worker: I am here
	KindCall     Kind = "call"     // client: do this
	KindCancel   Kind = "cancel"   // client: nobody waits for that call any longer
	KindProgress Kind = "progress" // worker: so far has that call come
	KindResult   Kind = "result"   // worker: that call is done
	KindError    Kind = "error"    // worker: that call could not be done
)

// Header is the JSON part of a frame; each kind uses the fields that its comments name.
type Header struct {
	Kind     Kind             `json:"kind"`
	Call     uint64           `json:"call,omitempty"`     // all but hello: the call's number
	Hello    *Hello           `json:"hello,omitempty"`    // hello
	Method   string           `json:"method,omitempty"`   // call
	Params   json.RawMessage  `json:"params,omitempty"`   // call
	Progress *progress.Report `json:"progress,omitempty"` // progress
	Result   json.RawMessage  `json:"result,omitempty"`   // result
	Failure  *Failure         `json:"failure,omitempty"`  // error
}

// Hello is how a worker introduces itself.
type Hello struct {
	Protocol int      `json:"protocol"`
	Program  string   `json:"program"`
	Version  string   `json:"version"`
	Methods  []string `json:"methods"` // in alphabetical order
}

// Failure is a call's error as the worker words it. The worker itself is well and takes further calls.
type Failure struct {
	Path    string `json:"path,omitempty"` // the file that the call was about
	Message string `json:"message"`        // what is wrong
	Fix     string `json:"fix,omitempty"`  // what to do about it
}

func (f *Failure) Error() string {
	s := f.Message
	if f.Path != "" {
		s = f.Path + ": " + s
	}
	if f.Fix != "" {
		s += " (" + f.Fix + ")"
	}
	return s
}

// errNotAFrame means that what came is no frame at all: the other side, or something else in its process, writes other
// things to the stream.
var errNotAFrame = errors.New("not a frame of the worker protocol")

// writeFrame writes one frame. A frame that is too large is refused before its first byte is written.
func writeFrame(w io.Writer, h *Header, payload []byte) error {
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if len(head) > MaxHeader {
		return fmt.Errorf("a header of %d bytes is over the limit of %d", len(head), MaxHeader)
	}
	if len(payload) > MaxPayload {
		return fmt.Errorf("a payload of %d bytes is over the limit of %d", len(payload), MaxPayload)
	}
	prefix := make([]byte, 0, 12+len(head))
	prefix = append(prefix, magic[:]...)
	prefix = binary.LittleEndian.AppendUint32(prefix, uint32(len(head)))
	prefix = binary.LittleEndian.AppendUint32(prefix, uint32(len(payload)))
	if _, err := w.Write(append(prefix, head...)); err != nil {
		return err
	}
	if len(payload) == 0 {
		return nil
	}
	_, err = w.Write(payload)
	return err
}

// readFrame reads one frame. It returns io.EOF only where the stream ends between two frames.
func readFrame(r *bufio.Reader) (*Header, []byte, error) {
	var prefix [12]byte
	if n, err := io.ReadFull(r, prefix[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			if n < 4 || [4]byte(prefix[:4]) != magic {
				return nil, nil, fmt.Errorf("%w: %q", errNotAFrame, prefix[:n])
			}
			return nil, nil, fmt.Errorf("the stream ends within a frame: %w", err)
		}
		return nil, nil, err
	}
	if [4]byte(prefix[:4]) != magic {
		rest, _ := r.Peek(min(r.Buffered(), 60))
		return nil, nil, fmt.Errorf("%w: %q", errNotAFrame, append(prefix[:], rest...))
	}
	headLen, payloadLen := binary.LittleEndian.Uint32(prefix[4:8]), binary.LittleEndian.Uint32(prefix[8:12])
	if headLen > MaxHeader || payloadLen > MaxPayload {
		return nil, nil, fmt.Errorf("a frame of %d + %d bytes is over the limit of %d + %d", headLen, payloadLen, MaxHeader, MaxPayload)
	}
	head, err := readExactly(r, int64(headLen))
	if err != nil {
		return nil, nil, err
	}
	h := new(Header)
	if err := json.Unmarshal(head, h); err != nil {
		return nil, nil, fmt.Errorf("%w: header: %v", errNotAFrame, err)
	}
	payload, err := readExactly(r, int64(payloadLen))
	if err != nil {
		return nil, nil, err
	}
	return h, payload, nil
}

// readExactly reads n bytes. It takes memory as bytes come, not as the prefix promises.
func readExactly(r io.Reader, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	b.Grow(int(min(n, 4<<20)))
	if _, err := io.CopyN(&b, r, n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("the stream ends within a frame: %w", err)
	}
	return b.Bytes(), nil
}
