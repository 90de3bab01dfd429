package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRequestAndReply(t *testing.T) {
	for _, transport := range []string{"tcp", "ipc"} {
		t.Run(transport, func(t *testing.T) {
			_, c := answering(t, transport, Limits{})
			k := dial(t, c, c.ShellPort, "DEALER", "me")
			for range 3 {
				mustAnswer(t, k, c)
			}
			mustAnswer(t, dial(t, c, c.ShellPort, "DEALER", ""), c)
			if transport == "ipc" {
				_, path := c.endpoint(c.ShellPort)
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("socket %v, %v: others must not be able to connect", info, err)
				}
			}
		})
	}
}

func TestParentIsEchoedAsItCame(t *testing.T) {
	_, c := answering(t, "tcp", Limits{})
	k := dial(t, c, c.ShellPort, "DEALER", "me")
	req := signed(c.Key, "echo_request", map[string]any{})
	k.send(req...)
	reply := k.recv(5 * time.Second)
	if len(reply) != 6 || !bytes.Equal(reply[3], req[2]) {
		t.Fatalf("parent header %q, want %q", reply, req[2])
	}
}

func TestHeartbeat(t *testing.T) {
	_, c := answering(t, "tcp", Limits{})
	k := dial(t, c, c.HeartbeatPort, "REQ", "")
	for i := range 3 {
		k.send(nil, []byte{byte(i)})
		if got := k.recv(5 * time.Second); len(got) != 2 || len(got[0]) != 0 || !bytes.Equal(got[1], []byte{byte(i)}) {
			t.Fatalf("echo %q", got)
		}
	}
}

func TestRefusedMessages(t *testing.T) {
	f, c := answering(t, "tcp", Limits{})
	k := dial(t, c, c.ShellPort, "DEALER", "me")
	good := signed(c.Key, "echo_request", map[string]int{"n": 1})
	k.send(good...)
	if k.recv(5*time.Second) == nil {
		t.Fatal("no reply to a good message")
	}
	bad := map[string][][]byte{
		"replayed":         good,
		"other key":        signed("other key", "echo_request", map[string]int{"n": 1}),
		"unsigned":         append([][]byte{[]byte("<IDS|MSG>"), nil}, signed(c.Key, "echo_request", nil)[2:]...),
		"no delimiter":     {[]byte("hello")},
		"empty":            {nil},
		"too few frames":   good[:4],
		"short signature":  {[]byte("<IDS|MSG>"), []byte("abc"), []byte("{}"), []byte("{}"), []byte("{}"), []byte("{}")},
		"changed content":  append(append([][]byte{}, good[:5]...), []byte(`{"n":2}`)),
		"binary garbage":   {[]byte{0, 1, 2, 255}, bytes.Repeat([]byte{0xFE}, 1000)},
		"signed non-JSON":  resign(c.Key, [][]byte{[]byte("nonsense"), []byte("{}"), []byte("{}"), []byte("{}")}),
		"signed no type":   resign(c.Key, [][]byte{[]byte("{}"), []byte("{}"), []byte("{}"), []byte("{}")}),
		"signed list":      resign(c.Key, [][]byte{good[2], []byte("{}"), []byte("{}"), []byte("[1]")}),
		"signed bad inner": resign(c.Key, [][]byte{good[2], []byte("{}"), []byte("{}"), []byte("{,}")}),
		"signed deep":      resign(c.Key, [][]byte{good[2], []byte("{}"), []byte("{}"), []byte(strings.Repeat(`{"a":`, 20_000))}),
		"huge header":      resign(c.Key, [][]byte{[]byte(`{"msg_type":"` + strings.Repeat("x", 100_000) + `"}`), []byte("{}"), []byte("{}"), []byte("{}")}),
	}
	for name, frames := range bad {
		before := f.ledger.count("message dropped")
		k.send(frames...)
		mustAnswer(t, k, c) // also: the message was dropped, not the connection
		if f.ledger.count("message dropped") != before+1 {
			t.Errorf("%s: not counted as dropped", name)
		}
	}
}

func resign(key string, parts [][]byte) [][]byte {
	codec := newCodec(key)
	return append([][]byte{[]byte("<IDS|MSG>"), codec.sign(parts)}, parts...)
}

func TestReasonsForRefusal(t *testing.T) {
	c := newCodec("k")
	good := signed("k", "x", map[string]int{})
	if _, err := c.decode(good); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		frames [][]byte
		want   error
	}{
		{good, ErrReplayed},
		{signed("other", "x", nil), ErrSignature},
		{good[:3], ErrMessage},
	} {
		if _, err := c.decode(row.frames); !errors.Is(err, row.want) {
			t.Errorf("%v, want %v", err, row.want)
		}
	}
	open := newCodec("") // without a key nothing is signed
	if m, err := open.decode(append([][]byte{[]byte("<IDS|MSG>"), nil}, good[2:]...)); err != nil || m.Header.Type != "x" {
		t.Errorf("%v, %v", m, err)
	}
}

func TestReplayGuardForgetsTheOldest(t *testing.T) {
	g := replayGuard{limit: 3}
	id := func(i byte) (s [32]byte) { s[0] = i; return }
	for i := range byte(5) {
		if !g.add(id(i)) {
			t.Errorf("%d is new", i)
		}
	}
	if g.add(id(4)) || g.add(id(3)) || g.add(id(2)) {
		t.Error("the newest three must be known")
	}
	if !g.add(id(0)) || len(g.known) != 3 {
		t.Error("the oldest must be forgotten")
	}
}

func TestUnprovenClientThatKeepsSendingGarbageIsCutOff(t *testing.T) {
	_, c := answering(t, "tcp", Limits{})
	k := dial(t, c, c.ShellPort, "DEALER", "bad")
	for range DefaultLimits().Strikes {
		if _, err := k.conn.Write([]byte{0, 1, 'x'}); err != nil {
			break
		}
	}
	k.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := k.r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%v, want the end of the connection", err)
	}
}

func TestOversized(t *testing.T) {
	lim := DefaultLimits()
	lim.UnprovenBytes, lim.MessageBytes, lim.Frames = 1000, 100_000, 10
	_, c := answering(t, "tcp", lim)
	other := dial(t, c, c.ShellPort, "DEALER", "other")
	claims := map[string][]byte{
		"a frame that claims 2^63 bytes":   {2, 0x80, 0, 0, 0, 0, 0, 0, 0},
		"a frame that claims 1 TiB":        {2, 0, 0, 1, 0, 0, 0, 0, 0},
		"a command that claims 1 MiB":      {6, 0, 0, 0, 0, 0, 0x10, 0, 0},
		"more bytes than a stranger may":   append([]byte{3, 0, 0, 0, 0, 0, 0, 3, 0}, make([]byte, 768)...),
		"reserved flags":                   {0x80, 1, 'x'},
		"more frames than a message takes": bytes.Repeat([]byte{1, 0}, 11),
		"a command without a name":         {4, 0},
		"a command in several frames":      {5, 1, 'x'},
	}
	for name, b := range claims {
		k := dial(t, c, c.ShellPort, "DEALER", "bad")
		k.conn.Write(b)
		if name == "more bytes than a stranger may" {
			k.conn.Write(append([]byte{0, 255}, make([]byte, 255)...))
		}
		k.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := k.r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v, want the end of the connection", name, err)
		}
		mustAnswer(t, other, c)
	}
	// One that has shown that it has the key may send more.
	other.send(signed(c.Key, "echo_request", map[string]string{"text": strings.Repeat("x", 50_000)})...)
	if reply := other.recv(5 * time.Second); len(reply) != 6 || len(reply[5]) < 50_000 {
		t.Error("no reply to a large message of a known client")
	}
}

func TestSilentAndForeignConnections(t *testing.T) {
	lim := DefaultLimits()
	lim.Handshakes = 8
	lim.Handshake = 300 * time.Millisecond
	_, c := answering(t, "tcp", lim)
	var silent []net.Conn
	for range 50 {
		silent = append(silent, dialRaw(t, c, c.ShellPort))
	}
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\x00", strings.Repeat("\x00", 64),
		"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x01PLAIN" + strings.Repeat("\x00", 47)} {
		conn := dialRaw(t, c, c.ShellPort)
		conn.Write([]byte(garbage))
		silent = append(silent, conn)
	}
	mustAnswer(t, dial(t, c, c.ShellPort, "DEALER", "me"), c)
	for i, conn := range silent {
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		var b [200]byte
		for {
			if _, err := conn.Read(b[:]); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("connection %d is still open", i)
				}
				break
			}
		}
	}
	mustAnswer(t, dial(t, c, c.ShellPort, "DEALER", "me"), c)
}

func TestPeersThatDoNotShowTheKeyMakeRoom(t *testing.T) {
	lim := DefaultLimits()
	lim.Peers = 5
	_, c := answering(t, "tcp", lim)
	me := dial(t, c, c.ShellPort, "DEALER", "me")
	mustAnswer(t, me, c)
	for i := range 20 {
		dial(t, c, c.ShellPort, "DEALER", fmt.Sprint("idle", i))
	}
	mustAnswer(t, me, c)
	mustAnswer(t, dial(t, c, c.ShellPort, "DEALER", "new"), c)
}

func TestWrongSocketType(t *testing.T) {
	_, c := answering(t, "tcp", Limits{})
	conn := dialRaw(t, c, c.IOPubPort)
	conn.Write(appendReady(appendGreeting(nil), "DEALER"))
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var b [200]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("a DEALER is served by an XPUB")
			}
			return
		}
	}
}

// subscriber connects to iopub and subscribes to a topic, in the form of ZMTP 3.1 or 3.0.
func subscriber(t testing.TB, c Connection, topic string, old bool) *client {
	t.Helper()
	k := dial(t, c, c.IOPubPort, "SUB", "")
	if old {
		k.send(append([]byte{1}, topic...))
	} else {
		k.write(appendCommand(nil, "SUBSCRIBE", []byte(topic)))
	}
	m := k.recv(5 * time.Second)
	if len(m) != 7 || string(m[0]) != topic {
		t.Fatalf("%q, want iopub_welcome", m)
	}
	var h Header
	var content map[string]string
	if json.Unmarshal(m[3], &h) != nil || h.Type != "iopub_welcome" || json.Unmarshal(m[6], &content) != nil || content["subscription"] != topic {
		t.Fatalf("%q, want iopub_welcome for %q", m, topic)
	}
	return k
}

func TestSubscriptions(t *testing.T) {
	f, c := answering(t, "tcp", Limits{})
	all, streams, old := subscriber(t, c, "", false), subscriber(t, c, "stream", false), subscriber(t, c, "st", true)
	publish := func(msgType string) {
		if err := f.Publish(nil, msgType, map[string]int{}, nil, [][]byte{[]byte("buffer")}); err != nil {
			t.Fatal(err)
		}
	}
	publish("stream")
	publish("display_data")
	publish("status")
	want := func(k *client, topics ...string) {
		t.Helper()
		for _, topic := range topics {
			if m := k.recv(5 * time.Second); len(m) != 8 || string(m[0]) != topic || string(m[7]) != "buffer" {
				t.Fatalf("%q, want %s", m, topic)
			}
		}
	}
	want(all, "stream", "display_data", "status")
	want(streams, "stream")
	want(old, "stream", "status")
	old.send([]byte("\x00st"))
	streams.write(appendCommand(nil, "CANCEL", []byte("stream")))
	// A PING behind the cancellation: its PONG says that the cancellation has been obeyed.
	for _, k := range []*client{old, streams} {
		k.write(appendCommand(nil, "PING", []byte("\x00\x64context")))
		if m := k.recv(5 * time.Second); len(m) != 1 || string(m[0]) != "\x04PONGcontext" {
			t.Fatalf("%q, want PONG", m)
		}
	}
	publish("stream")
	want(all, "stream")
	for _, k := range []*client{old, streams} {
		if m := k.recv(50 * time.Millisecond); m != nil {
			t.Fatalf("%q after the subscription was cancelled", m)
		}
	}
}

func TestOneThatNeverReads(t *testing.T) {
	lim := DefaultLimits()
	lim.QueueBytes = 1 << 20
	f, c := answering(t, "tcp", lim)
	subscriber(t, c, "", false) // and never reads again
	deaf := dial(t, c, c.ShellPort, "DEALER", "deaf")
	reader := subscriber(t, c, "", false)
	big := map[string]string{"text": strings.Repeat("x", 100_000)}
	for i := range 300 { // 30 MB, more than queue and system buffers hold
		if err := f.Publish(nil, "stream", big, nil, nil); err != nil {
			t.Fatal(err)
		}
		if m := reader.recv(10 * time.Second); len(m) != 7 {
			t.Fatalf("message %d did not reach the one that reads", i)
		}
		deaf.send(signed(c.Key, "echo_request", big)...)
	}
	mustAnswer(t, dial(t, c, c.ShellPort, "DEALER", "me"), c)
	if f.ledger.count("message lost") == 0 {
		t.Error("what was dropped for the one that does not read was not counted")
	}
	f.iopub.mu.Lock()
	defer f.iopub.mu.Unlock()
	for _, p := range f.iopub.peers {
		p.mu.Lock()
		if p.queued > 2*lim.QueueBytes {
			t.Errorf("%d bytes wait for one client", p.queued)
		}
		p.mu.Unlock()
	}
}

func TestSixtyClientsComeAndGo(t *testing.T) {
	f, c := answering(t, "tcp", Limits{})
	stay := dial(t, c, c.ShellPort, "DEALER", "stay")
	listen := subscriber(t, c, "", false)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			k := dial(t, c, c.ShellPort, "DEALER", fmt.Sprint("client", i))
			s := subscriber(t, c, "", i%2 == 0)
			k.send(signed(c.Key, "echo_request", map[string]int{"n": i})...)
			if i%3 == 0 { // leave without reading the reply
				k.conn.Close()
				s.conn.Close()
				return
			}
			if m := k.recv(20 * time.Second); len(m) != 6 || string(m[5]) != fmt.Sprintf(`{"n":%d}`, i) {
				t.Errorf("client %d: reply %q", i, m)
			}
			k.conn.Close()
			s.conn.Close()
		})
	}
	for range 20 {
		mustAnswer(t, stay, c)
		f.Publish(nil, "status", map[string]int{}, nil, nil)
		if listen.recv(10*time.Second) == nil {
			t.Fatal("the listener that stays missed a message")
		}
	}
	wg.Wait()
	mustAnswer(t, stay, c)
	deadline := time.Now().Add(10 * time.Second)
	for _, s := range []*socket{f.shell, f.iopub} {
		for {
			s.mu.Lock()
			n := len(s.peers)
			s.mu.Unlock()
			if n == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d peers are still known on %s", n, s.kind.name)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func TestReplyFindsAClientThatReconnected(t *testing.T) {
	c := freeConnection(t, "tcp")
	f, err := Listen(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(0)
	k := dial(t, c, c.ShellPort, "DEALER", "me")
	k.send(signed(c.Key, "slow_request", map[string]int{})...)
	m := <-f.Shell()
	k.conn.Close()
	for { // until the kernel has seen it go
		f.shell.mu.Lock()
		n := len(f.shell.peers)
		f.shell.mu.Unlock()
		if n == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	again, stranger := dial(t, c, c.ShellPort, "DEALER", "me"), dial(t, c, c.ShellPort, "DEALER", "stranger")
	for {
		f.shell.mu.Lock()
		n := len(f.shell.peers)
		f.shell.mu.Unlock()
		if n == 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := f.Reply(m, "slow_reply", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	if again.recv(5*time.Second) == nil {
		t.Error("the client that came back did not get its reply")
	}
	if stranger.recv(50*time.Millisecond) != nil {
		t.Error("a stranger got the reply")
	}
}

func TestAskReachesStdinOfTheSameClient(t *testing.T) {
	c := freeConnection(t, "tcp")
	f, err := Listen(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(0)
	shell := dial(t, c, c.ShellPort, "DEALER", "me")
	shell.send(signed(c.Key, "execute_request", map[string]int{})...)
	m := <-f.Shell()
	if _, err := f.Ask(m, "input_request", map[string]string{"prompt": "?"}); err == nil {
		t.Error("asked a client that has no stdin connection")
	}
	stdin, other := dial(t, c, c.StdinPort, "DEALER", "me"), dial(t, c, c.StdinPort, "DEALER", "other")
	for len(f.stdin.reach(nil, "me")) == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := f.Ask(m, "input_request", map[string]string{"prompt": "?"}); err != nil {
		t.Fatal(err)
	}
	if q := stdin.recv(5 * time.Second); len(q) != 6 || !bytes.Contains(q[2], []byte("input_request")) {
		t.Fatalf("%q", q)
	}
	stdin.send(signed(c.Key, "input_reply", map[string]string{"value": "yes"})...)
	if a := <-f.Stdin(); a.Header.Type != "input_reply" {
		t.Errorf("%+v", a.Header)
	}
	if other.recv(50*time.Millisecond) != nil {
		t.Error("another client was asked too")
	}
}

func TestCloseLetsTheLastMessagesLeave(t *testing.T) {
	f, c := answering(t, "tcp", Limits{})
	k := subscriber(t, c, "", false)
	for range 100 {
		f.Publish(nil, "status", map[string]string{"text": strings.Repeat("x", 10_000)}, nil, nil)
	}
	f.Close(5 * time.Second)
	for i := range 100 {
		if k.recv(5*time.Second) == nil {
			t.Fatalf("message %d of 100 was lost", i)
		}
	}
}

func TestStaleSocketFileIsReplaced(t *testing.T) {
	c := freeConnection(t, "ipc")
	_, path := c.endpoint(c.ShellPort)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	f, err := Listen(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(0)
	if _, err := Listen(c, Options{}); err == nil {
		t.Error("a second kernel took over the sockets of the first")
	}
}

func TestConnectionFile(t *testing.T) {
	good := `{"transport":"tcp","ip":"127.0.0.1","key":"k","signature_scheme":"hmac-sha256",
		"shell_port":1,"control_port":2,"stdin_port":3,"iopub_port":4,"hb_port":5}`
	if c, err := ParseConnection([]byte(good)); err != nil || c.HeartbeatPort != 5 || c.Key != "k" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, change := range [][2]string{{`"tcp"`, `"udp"`}, {"127.0.0.1", "nowhere"}, {"hmac-sha256", "hmac-md5"},
		{`"shell_port":1`, `"shell_port":0`}, {`"hb_port":5`, `"hb_port":70000`}, {"{", "["}} {
		if _, err := ParseConnection([]byte(strings.Replace(good, change[0], change[1], 1))); err == nil {
			t.Errorf("%s for %s: no error", change[1], change[0])
		}
	}
	if _, err := ReadConnection(t.TempDir() + "/none.json"); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("%v, want an error that names the file", err)
	}
}
