package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ProtocolVersion is the version of the Jupyter messaging protocol spoken here.
const ProtocolVersion = "5.5"

const (
	delimiter     = "<IDS|MSG>"
	maxHeaderSize = 64 << 10 // headers are echoed in every message that answers, so a huge one would be paid for often
)

// Header begins every message.
type Header struct {
	ID       string `json:"msg_id"`
	Session  string `json:"session"`
	Username string `json:"username"`
	Date     string `json:"date"` // ISO 8601, UTC
	Type     string `json:"msg_type"`
	Version  string `json:"version"`
	Subshell string `json:"subshell_id,omitempty"` // in requests: the subshell that it is for; empty: the main shell
}

// Message is a verified message from a client.
type Message struct {
	Header   Header
	Parent   Header          // the message that this one answers, if any
	Metadata json.RawMessage // a JSON object
	Content  json.RawMessage // a JSON object
	Buffers  [][]byte        // binary data beside the content

	header json.RawMessage // Header as the client wrote it, to be echoed
	routes [][]byte        // frames before the delimiter
	from   *peer           // the connection that it came on; nil for one that no client sent
}

// Decode reads the content into v.
func (m *Message) Decode(v any) error {
	if err := json.Unmarshal(m.Content, v); err != nil {
		return fmt.Errorf("content of %s: %w", m.Header.Type, err)
	}
	return nil
}

// Reasons for which a message is refused.
var (
	ErrSignature = errors.New("its signature is wrong")
	ErrReplayed  = errors.New("it has been received before")
	ErrMessage   = errors.New("it is not a Jupyter message")
)

// codec signs and encodes what is sent, verifies and decodes what is received.
type codec struct {
	key      []byte // empty: no signatures
	session  string
	username string
	sent     atomic.Uint64

	mu   sync.Mutex
	seen replayGuard
}

func newCodec(key string) *codec {
	var b [16]byte
	rand.Read(b[:]) // never fails
	c := &codec{key: []byte(key), session: hex.EncodeToString(b[:]), username: "kernel"}
	if u, err := user.Current(); err == nil {
		c.username = u.Username
	}
	c.seen.limit = 1 << 17
	return c
}

func (c *codec) sign(parts [][]byte) []byte {
	if len(c.key) == 0 {
		return nil
	}
	h := hmac.New(sha256.New, c.key)
	for _, p := range parts {
		h.Write(p)
	}
	sum := make([]byte, 0, sha256.Size)
	return hex.AppendEncode(make([]byte, 0, 2*sha256.Size), h.Sum(sum))
}

// decode splits, verifies and reads the frames of a message.
func (c *codec) decode(frames [][]byte) (*Message, error) {
	i := 0
	for i < len(frames) && string(frames[i]) != delimiter {
		i++
	}
	if len(frames) < i+6 {
		return nil, fmt.Errorf("%w: %d frames, without a delimiter and five more", ErrMessage, len(frames))
	}
	signature, parts := frames[i+1], frames[i+2:i+6]
	if len(parts[0]) > maxHeaderSize || len(parts[1]) > maxHeaderSize {
		return nil, fmt.Errorf("%w: a header of more than %d bytes", ErrMessage, maxHeaderSize)
	}
	if len(c.key) > 0 {
		if !hmac.Equal(signature, c.sign(parts)) {
			return nil, ErrSignature
		}
		c.mu.Lock()
		fresh := c.seen.add([sha256.Size]byte(signature))
		c.mu.Unlock()
		if !fresh {
			return nil, ErrReplayed
		}
	}
	m := &Message{routes: frames[:i], header: parts[0], Metadata: parts[2], Content: parts[3], Buffers: frames[i+6:]}
	if err := json.Unmarshal(parts[0], &m.Header); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrMessage, err)
	}
	if m.Header.Type == "" {
		return nil, fmt.Errorf("%w: header without msg_type", ErrMessage)
	}
	if err := json.Unmarshal(parts[1], &m.Parent); err != nil {
		return nil, fmt.Errorf("%w: parent header: %w", ErrMessage, err)
	}
	for _, part := range parts[2:] {
		if t := bytes.TrimLeft(part, " \t\r\n"); len(t) == 0 || t[0] != '{' || !json.Valid(part) {
			return nil, fmt.Errorf("%w: metadata and content must be JSON objects", ErrMessage)
		}
	}
	return m, nil
}

var emptyObject = json.RawMessage("{}")

// encode makes the frames from the delimiter on.
func (c *codec) encode(msgType string, parent *Message, content, metadata any, buffers [][]byte) ([][]byte, error) {
	header, err := marshal(Header{
		ID:       c.session + "_" + strconv.FormatUint(c.sent.Add(1), 10),
		Session:  c.session,
		Username: c.username,
		Date:     time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"),
		Type:     msgType,
		Version:  ProtocolVersion,
	})
	if err != nil {
		return nil, err
	}
	parts := make([][]byte, 0, 6+len(buffers))
	parts = append(parts, []byte(delimiter), nil, header, emptyObject)
	if parent != nil && parent.header != nil {
		parts[3] = parent.header
	}
	for _, v := range []any{metadata, content} {
		b := []byte(emptyObject)
		if v != nil {
			if b, err = marshal(v); err != nil {
				return nil, fmt.Errorf("encode %s: %w", msgType, err)
			}
		}
		parts = append(parts, b)
	}
	parts[1] = c.sign(parts[2:6])
	return append(parts, buffers...), nil
}

// marshal is json.Marshal but leaves <, > and & as they are: HTML in a message would be blown up by their escapes.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// replayGuard remembers the newest signatures.
type replayGuard struct {
	limit int
	known map[[sha256.Size]byte]struct{} // hex digits of half of the signature: 128 bits
	order [][sha256.Size]byte            // a ring, oldest at next once it is full
	next  int
}

// add reports whether the signature, given by its first 32 hex digits, is new, and remembers it.
func (g *replayGuard) add(signature [sha256.Size]byte) bool {
	if _, ok := g.known[signature]; ok {
		return false
	}
	if g.known == nil {
		g.known = map[[sha256.Size]byte]struct{}{}
	}
	if len(g.order) < g.limit {
		g.order = append(g.order, signature)
	} else {
		delete(g.known, g.order[g.next])
		g.order[g.next] = signature
		g.next = (g.next + 1) % g.limit
	}
	g.known[signature] = struct{}{}
	return true
}
