package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Frame flags, ZMTP 3.1.
const (
	flagMore    = 1 << 0 // another frame of the same message follows
	flagLong    = 1 << 1 // the size is 8 bytes, not 1
	flagCommand = 1 << 2 // a command, not part of a message
)

const (
	greetingSize   = 64
	maxCommandSize = 4096
	firstChunkSize = 64 << 10 // bytes believed to come before any of them has been seen
)

var errMalformed = errors.New("malformed ZMTP traffic")

// greeting is what a peer says before anything else.
type greeting struct {
	major, minor byte
	mechanism    string
}

// appendGreeting writes our side: version 3.1, mechanism NULL, which has no server role.
func appendGreeting(b []byte) []byte {
	g := [greetingSize]byte{0: 0xFF, 9: 0x7F, 10: 3, 11: 1}
	copy(g[12:32], "NULL")
	return append(b, g[:]...)
}

func readGreeting(r io.Reader) (greeting, error) {
	var g [greetingSize]byte
	// The signature and version come first and are judged alone: an older peer sends no more than these before it
	// waits for us, and something that is not ZeroMQ at all need not be waited for.
	if _, err := io.ReadFull(r, g[:11]); err != nil {
		return greeting{}, err
	}
	if g[0] != 0xFF || g[9]&1 != 1 {
		return greeting{}, fmt.Errorf("%w: no ZMTP signature", errMalformed)
	}
	if g[10] < 3 {
		return greeting{}, fmt.Errorf("%w: ZMTP version %d is older than 3", errMalformed, g[10])
	}
	if _, err := io.ReadFull(r, g[11:]); err != nil {
		return greeting{}, err
	}
	name, padding, _ := bytes.Cut(g[12:32], []byte{0})
	for _, b := range padding {
		if b != 0 {
			return greeting{}, fmt.Errorf("%w: mechanism name is not padded with zeros", errMalformed)
		}
	}
	return greeting{major: g[10], minor: g[11], mechanism: string(name)}, nil
}

// frame is one ZMTP frame. Its body is the caller's to keep.
type frame struct {
	more, command bool
	body          []byte
}

// readFrame reads one frame of at most limit bytes. Memory grows with the bytes that arrive, not with the size that the
// peer claims.
func readFrame(r *bufio.Reader, limit int) (frame, error) {
	flags, err := r.ReadByte()
	if err != nil {
		return frame{}, err
	}
	if flags&^(flagMore|flagLong|flagCommand) != 0 {
		return frame{}, fmt.Errorf("%w: frame flags %#02x", errMalformed, flags)
	}
	f := frame{more: flags&flagMore != 0, command: flags&flagCommand != 0}
	if f.command {
		limit = min(limit, maxCommandSize)
		if f.more {
			return frame{}, fmt.Errorf("%w: a command in several frames", errMalformed)
		}
	}
	var size uint64
	if flags&flagLong != 0 {
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return frame{}, unexpected(err)
		}
		size = binary.BigEndian.Uint64(b[:])
	} else {
		b, err := r.ReadByte()
		if err != nil {
			return frame{}, unexpected(err)
		}
		size = uint64(b)
	}
	if limit < 0 || size > uint64(limit) {
		return frame{}, fmt.Errorf("%w: a frame of %d bytes where at most %d are taken", errMalformed, size, max(limit, 0))
	}
	if size <= firstChunkSize {
		f.body = make([]byte, size)
		_, err := io.ReadFull(r, f.body)
		return f, unexpected(err)
	}
	var body bytes.Buffer
	body.Grow(firstChunkSize)
	if _, err := io.CopyN(&body, r, int64(size)); err != nil {
		return frame{}, unexpected(err)
	}
	f.body = body.Bytes()
	return f, nil
}

// unexpected turns an end of input inside a frame into an error of its own.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func appendFrameHead(b []byte, flags byte, size int) []byte {
	if size > 255 {
		b = append(b, flags|flagLong)
		return binary.BigEndian.AppendUint64(b, uint64(size))
	}
	return append(b, flags, byte(size))
}

// appendMessage writes the frames of one message as they go over the wire.
func appendMessage(b []byte, frames [][]byte) []byte {
	for i, body := range frames {
		var flags byte
		if i < len(frames)-1 {
			flags = flagMore
		}
		b = append(appendFrameHead(b, flags, len(body)), body...)
	}
	return b
}

func messageSize(frames [][]byte) int {
	n := 0
	for _, f := range frames {
		n += len(f) + 9
	}
	return n
}

// command is a ZMTP command: READY, ERROR, SUBSCRIBE, CANCEL, PING, PONG.
type command struct {
	name string
	data []byte
}

func parseCommand(body []byte) (command, error) {
	if len(body) == 0 || int(body[0]) > len(body)-1 || body[0] == 0 {
		return command{}, fmt.Errorf("%w: a command without a name", errMalformed)
	}
	n := int(body[0])
	return command{name: string(body[1 : 1+n]), data: body[1+n:]}, nil
}

func appendCommand(b []byte, name string, data []byte) []byte {
	b = appendFrameHead(b, flagCommand, 1+len(name)+len(data))
	b = append(b, byte(len(name)))
	b = append(b, name...)
	return append(b, data...)
}

// ready holds the properties of a READY command that matter here.
type ready struct {
	socketType string
	identity   string // the client's own name for itself, at most 255 bytes
}

func parseReady(data []byte) (ready, error) {
	var r ready
	for len(data) > 0 {
		n := int(data[0])
		if n == 0 || len(data) < 1+n+4 {
			return r, fmt.Errorf("%w: a cut READY property", errMalformed)
		}
		name := data[1 : 1+n]
		size := binary.BigEndian.Uint32(data[1+n:])
		data = data[1+n+4:]
		if uint64(size) > uint64(len(data)) {
			return r, fmt.Errorf("%w: a cut READY value", errMalformed)
		}
		value := string(data[:size])
		data = data[size:]
		switch { // property names are case-insensitive
		case bytes.EqualFold(name, []byte("Socket-Type")):
			r.socketType = value
		case bytes.EqualFold(name, []byte("Identity")):
			if len(value) > 255 {
				return r, fmt.Errorf("%w: an identity of %d bytes", errMalformed, len(value))
			}
			r.identity = value
		}
	}
	return r, nil
}

func appendReady(b []byte, socketType string) []byte {
	data := append([]byte{byte(len("Socket-Type"))}, "Socket-Type"...)
	data = binary.BigEndian.AppendUint32(data, uint32(len(socketType)))
	data = append(data, socketType...)
	return appendCommand(b, "READY", data)
}
