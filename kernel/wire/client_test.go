package wire

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// client is one end of a ZMTP connection, written apart from the code under test.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func dialRaw(t testing.TB, c Connection, port int) net.Conn {
	t.Helper()
	network, address := c.endpoint(port)
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// dial connects and shakes hands as a socket of a type, with an identity.
func dial(t testing.TB, c Connection, port int, socketType, identity string) *client {
	t.Helper()
	conn := dialRaw(t, c, port)
	k := &client{t: t, conn: conn, r: bufio.NewReader(conn)}
	hello := make([]byte, 64)
	hello[0], hello[9], hello[10], hello[11] = 0xFF, 0x7F, 3, 1
	copy(hello[12:], "NULL")
	var ready bytes.Buffer
	ready.WriteString("\x05READY")
	for _, p := range [][2]string{{"Socket-Type", socketType}, {"Identity", identity}} {
		ready.WriteByte(byte(len(p[0])))
		ready.WriteString(p[0])
		binary.Write(&ready, binary.BigEndian, uint32(len(p[1])))
		ready.WriteString(p[1])
	}
	k.write(hello)
	k.write([]byte{4, byte(ready.Len())})
	k.write(ready.Bytes())
	var theirs [64]byte
	if _, err := io.ReadFull(k.r, theirs[:]); err != nil {
		t.Fatal(err)
	}
	if theirs[0] != 0xFF || theirs[9] != 0x7F || theirs[10] != 3 || !bytes.HasPrefix(theirs[12:], []byte("NULL\x00")) {
		t.Fatalf("greeting % x", theirs)
	}
	flags, body, err := k.frame()
	if err != nil || flags != 4 || !bytes.HasPrefix(body, []byte("\x05READY")) {
		t.Fatalf("flags %d, body %q, %v; want READY", flags, body, err)
	}
	return k
}

func (k *client) write(b []byte) {
	k.t.Helper()
	if _, err := k.conn.Write(b); err != nil {
		k.t.Fatal(err)
	}
}

func (k *client) frame() (flags byte, body []byte, err error) {
	if flags, err = k.r.ReadByte(); err != nil {
		return
	}
	size := uint64(0)
	if flags&2 != 0 {
		var b [8]byte
		if _, err = io.ReadFull(k.r, b[:]); err != nil {
			return
		}
		size = binary.BigEndian.Uint64(b[:])
	} else {
		var b byte
		if b, err = k.r.ReadByte(); err != nil {
			return
		}
		size = uint64(b)
	}
	body = make([]byte, size)
	_, err = io.ReadFull(k.r, body)
	return flags, body, err
}

func (k *client) send(frames ...[]byte) {
	k.t.Helper()
	var b []byte
	for i, f := range frames {
		flags := byte(2)
		if i < len(frames)-1 {
			flags |= 1
		}
		b = append(b, flags)
		b = binary.BigEndian.AppendUint64(b, uint64(len(f)))
		b = append(b, f...)
	}
	k.write(b)
}

// recv reads one message within a second or so; nil where none comes.
func (k *client) recv(wait time.Duration) [][]byte {
	k.t.Helper()
	k.conn.SetReadDeadline(time.Now().Add(wait))
	defer k.conn.SetReadDeadline(time.Time{})
	var frames [][]byte
	for {
		flags, body, err := k.frame()
		if err != nil {
			return nil
		}
		frames = append(frames, body)
		if flags&1 == 0 {
			return frames
		}
	}
}

var testNumber atomic.Int64

// signed makes the frames of a request, from the delimiter on.
func signed(key, msgType string, content any) [][]byte {
	h, _ := json.Marshal(map[string]any{"msg_id": fmt.Sprint("m", testNumber.Add(1)), "session": "s", "username": "u",
		"date": "2026-01-01T00:00:00Z", "msg_type": msgType, "version": "5.3"})
	c, _ := json.Marshal(content)
	parts := [][]byte{h, []byte("{}"), []byte("{}"), c}
	m := hmac.New(sha256.New, []byte(key))
	for _, p := range parts {
		m.Write(p)
	}
	return append([][]byte{[]byte("<IDS|MSG>"), []byte(hex.EncodeToString(m.Sum(nil)))}, parts...)
}

// freeConnection is a connection file's content with ports that nobody listens on.
func freeConnection(t testing.TB, transport string) Connection {
	t.Helper()
	c := Connection{Transport: transport, IP: "127.0.0.1", Key: "test key", SignatureScheme: "hmac-sha256"}
	ports := []*int{&c.ShellPort, &c.ControlPort, &c.StdinPort, &c.IOPubPort, &c.HeartbeatPort}
	if transport == "ipc" {
		c.IP = t.TempDir() + "/k"
		for i, p := range ports {
			*p = i + 1
		}
		return c
	}
	for _, p := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		*p, _ = strconv.Atoi(port)
	}
	return c
}

// answering starts a front that answers every shell request with its content.
func answering(t testing.TB, transport string, lim Limits) (*Front, Connection) {
	t.Helper()
	c := freeConnection(t, transport)
	f, err := Listen(c, Options{Limits: lim, Notes: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(0) })
	go func() {
		for {
			select {
			case m := <-f.Shell():
				f.Reply(m, "echo_reply", m.Content)
			case m := <-f.Control():
				f.Reply(m, "control_reply", m.Content)
			case <-f.done:
				return
			}
		}
	}()
	return f, c
}

// mustAnswer fails the test unless a new request is answered.
func mustAnswer(t testing.TB, k *client, c Connection) {
	t.Helper()
	k.send(signed(c.Key, "echo_request", map[string]int{"n": 7})...)
	reply := k.recv(10 * time.Second)
	if len(reply) != 6 || string(reply[0]) != "<IDS|MSG>" || string(reply[5]) != `{"n":7}` {
		t.Fatalf("reply %q", reply)
	}
	m := hmac.New(sha256.New, []byte(c.Key))
	for _, p := range reply[2:] {
		m.Write(p)
	}
	if hex.EncodeToString(m.Sum(nil)) != string(reply[1]) {
		t.Fatal("the reply's signature is wrong")
	}
}
