package session

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"banter/kernel/wire"
)

// notebookClient talks to a kernel as a front-end does, over Unix sockets.
type notebookClient struct {
	t       *testing.T
	c       wire.Connection
	sockets map[string]*zmtp
	sent    int
	mu      sync.Mutex
	iopub   chan message
	cell    string // the id of the cell that requests are of, as front-ends send it; empty: none
	ended   func() // waits for the end of a kernel that startKernel started
}

type message struct {
	Header, Parent struct {
		ID   string `json:"msg_id"`
		Type string `json:"msg_type"`
	}
	Content map[string]any
	Buffers [][]byte
}

type zmtp struct {
	conn net.Conn
	r    *bufio.Reader
}

// startKernel serves a kernel for one test and connects to it.
func startKernel(t *testing.T, change func(*Options)) *notebookClient {
	t.Helper()
	dir := t.TempDir()
	c := wire.Connection{Transport: "ipc", IP: filepath.Join(dir, "k"), Key: "secret", SignatureScheme: "hmac-sha256",
		ShellPort: 1, ControlPort: 2, StdinPort: 3, IOPubPort: 4, HeartbeatPort: 5}
	o := Options{Connection: c, NewEvaluator: newBareEvaluator, Version: "test", HistoryFile: filepath.Join(dir, "history.jsonl")}
	if change != nil {
		change(&o)
	}
	ctx, stop := context.WithCancel(context.Background())
	var err error
	over := make(chan struct{})
	go func() {
		err = Serve(ctx, o)
		close(over)
	}()
	ended := func() {
		t.Helper()
		select {
		case <-over:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the kernel does not end")
		}
	}
	t.Cleanup(func() {
		stop()
		ended()
	})
	k := connect(t, c)
	k.ended = ended
	return k
}

func connect(t *testing.T, c wire.Connection) *notebookClient {
	t.Helper()
	k := &notebookClient{t: t, c: c, sockets: map[string]*zmtp{}, iopub: make(chan message, 10_000)}
	for name, port := range map[string]int{"shell": c.ShellPort, "control": c.ControlPort, "stdin": c.StdinPort, "iopub": c.IOPubPort} {
		kind := "DEALER"
		if name == "iopub" {
			kind = "SUB"
		}
		k.sockets[name] = k.dial(port, kind)
	}
	go func() {
		for {
			m, err := k.sockets["iopub"].recv()
			if err != nil {
				close(k.iopub)
				return
			}
			k.iopub <- m
		}
	}()
	k.sockets["iopub"].send([]byte{1})
	if m := k.next(); m.Header.Type != "iopub_welcome" {
		t.Fatalf("%+v, want iopub_welcome", m)
	}
	return k
}

func (k *notebookClient) dial(port int, kind string) *zmtp {
	k.t.Helper()
	var conn net.Conn
	var err error
	for range 1000 { // until the kernel listens
		if conn, err = net.Dial("unix", fmt.Sprintf("%s-%d", k.c.IP, port)); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { conn.Close() })
	z := &zmtp{conn, bufio.NewReader(conn)}
	hello := make([]byte, 64)
	hello[0], hello[9], hello[10], hello[11] = 0xFF, 0x7F, 3, 1
	copy(hello[12:], "NULL")
	ready := "\x05READY\x0bSocket-Type" + string(binary.BigEndian.AppendUint32(nil, uint32(len(kind)))) + kind +
		"\x08Identity\x00\x00\x00\x04test"
	conn.Write(append(append(hello, 4, byte(len(ready))), ready...))
	if _, err := io.ReadFull(z.r, hello); err != nil {
		k.t.Fatal(err)
	}
	if _, _, err := z.frame(); err != nil {
		k.t.Fatal(err)
	}
	return z
}

func (z *zmtp) frame() (flags byte, body []byte, err error) {
	if flags, err = z.r.ReadByte(); err != nil {
		return
	}
	size := make([]byte, 8)
	if flags&2 != 0 {
		_, err = io.ReadFull(z.r, size)
	} else {
		_, err = io.ReadFull(z.r, size[7:])
	}
	if err != nil {
		return
	}
	body = make([]byte, binary.BigEndian.Uint64(size))
	_, err = io.ReadFull(z.r, body)
	return
}

func (z *zmtp) send(frames ...[]byte) {
	var b []byte
	for i, f := range frames {
		flags := byte(2)
		if i < len(frames)-1 {
			flags |= 1
		}
		b = append(binary.BigEndian.AppendUint64(append(b, flags), uint64(len(f))), f...)
	}
	z.conn.Write(b)
}

func (z *zmtp) recv() (m message, err error) {
	var frames [][]byte
	for {
		flags, body, err := z.frame()
		if err != nil {
			return m, err
		}
		frames = append(frames, body)
		if flags&1 == 0 {
			break
		}
	}
	for len(frames) > 0 && string(frames[0]) != "<IDS|MSG>" {
		frames = frames[1:]
	}
	for i, to := range []any{&m.Header, &m.Parent, nil, &m.Content} {
		if to != nil {
			if err := json.Unmarshal(frames[2+i], to); err != nil {
				return m, err
			}
		}
	}
	m.Buffers = frames[6:]
	return m, nil
}

// send sends a request and returns its id.
func (k *notebookClient) send(socket, msgType string, content map[string]any, header ...string) string {
	k.t.Helper()
	return k.sendAs(socket, msgType, []byte("{}"), content, header...)
}

// answer answers a question as JupyterLab does, and says which.
func (k *notebookClient) answer(question message, value string) {
	k.t.Helper()
	parent, err := json.Marshal(map[string]string{"msg_id": question.Header.ID, "msg_type": question.Header.Type})
	if err != nil {
		k.t.Fatal(err)
	}
	k.sendAs("stdin", "input_reply", parent, map[string]any{"value": value})
}

func (k *notebookClient) sendAs(socket, msgType string, parent []byte, content map[string]any, header ...string) string {
	k.t.Helper()
	k.mu.Lock()
	k.sent++
	id := fmt.Sprintf("request-%d", k.sent)
	k.mu.Unlock()
	h := map[string]string{"msg_id": id, "session": "test", "username": "u", "date": "2026-01-01T00:00:00Z", "msg_type": msgType, "version": "5.5"}
	for i := 0; i < len(header); i += 2 {
		h[header[i]] = header[i+1]
	}
	if content == nil {
		content = map[string]any{}
	}
	hb, _ := json.Marshal(h)
	cb, _ := json.Marshal(content)
	about := map[string]string{}
	if k.cell != "" {
		about["cellId"] = k.cell
	}
	ab, _ := json.Marshal(about)
	parts := [][]byte{hb, parent, ab, cb}
	mac := hmac.New(sha256.New, []byte(k.c.Key))
	for _, p := range parts {
		mac.Write(p)
	}
	k.sockets[socket].send(append([][]byte{[]byte("<IDS|MSG>"), []byte(hex.EncodeToString(mac.Sum(nil)))}, parts...)...)
	return id
}

// reply waits for the next message on a socket that is not iopub.
func (k *notebookClient) reply(socket string) message {
	k.t.Helper()
	k.sockets[socket].conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	m, err := k.sockets[socket].recv()
	if err != nil {
		k.t.Fatalf("%s: %v", socket, err)
	}
	return m
}

func (k *notebookClient) ask(socket, msgType string, content map[string]any) message {
	k.t.Helper()
	id := k.send(socket, msgType, content)
	m := k.reply(socket)
	if m.Parent.ID != id || m.Header.Type != strings.TrimSuffix(msgType, "_request")+"_reply" {
		k.t.Fatalf("%+v answers %s", m, msgType)
	}
	return m
}

// next waits for the next message on iopub.
func (k *notebookClient) next() message {
	k.t.Helper()
	select {
	case m, ok := <-k.iopub:
		if !ok {
			k.t.Fatal("iopub is closed")
		}
		return m
	case <-time.After(30 * time.Second):
		k.t.Fatal("nothing comes on iopub")
	}
	panic("unreachable")
}

// outputs collects what is published for a request, between its busy and its idle.
func (k *notebookClient) outputs(id string) []message {
	k.t.Helper()
	var all []message
	busy := false
	for {
		m := k.next()
		if m.Parent.ID != id {
			continue
		}
		if m.Header.Type == "status" {
			if m.Content["execution_state"] == "idle" {
				if !busy {
					k.t.Error("idle without busy")
				}
				return all
			}
			busy = true
			continue
		}
		if !busy {
			k.t.Errorf("%s before busy", m.Header.Type)
		}
		all = append(all, m)
	}
}

// run runs a cell.
func (k *notebookClient) run(code string, extra ...any) (reply message, outputs []message) {
	k.t.Helper()
	content := map[string]any{"code": code, "silent": false, "store_history": true, "allow_stdin": true, "stop_on_error": true}
	for i := 0; i < len(extra); i += 2 {
		content[extra[i].(string)] = extra[i+1]
	}
	id := k.send("shell", "execute_request", content)
	reply = k.reply("shell")
	if reply.Parent.ID != id {
		k.t.Fatalf("%+v is no reply to %s", reply, id)
	}
	return reply, k.outputs(id)
}

// ok runs a cell that must not fail.
func (k *notebookClient) ok(code string, extra ...any) []message {
	k.t.Helper()
	reply, outputs := k.run(code, extra...)
	if reply.Content["status"] != "ok" {
		k.t.Fatalf("%s: %v", code, reply.Content)
	}
	return outputs
}

func text(outputs []message, name string) string {
	var b bytes.Buffer
	for _, m := range outputs {
		if m.Header.Type == "stream" && m.Content["name"] == name {
			b.WriteString(m.Content["text"].(string))
		}
	}
	return b.String()
}

func types(outputs []message) string {
	var names []string
	for _, m := range outputs {
		names = append(names, m.Header.Type)
	}
	return strings.Join(names, " ")
}

func data(t *testing.T, m message) map[string]any {
	t.Helper()
	d, ok := m.Content["data"].(map[string]any)
	if !ok {
		t.Fatalf("%+v has no data", m)
	}
	return d
}
