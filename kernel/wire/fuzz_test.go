package wire

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

func FuzzGreeting(f *testing.F) {
	f.Add(appendGreeting(nil))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Add([]byte(strings.Repeat("\xff", 64)))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := readGreeting(bytes.NewReader(b))
		if err == nil && (g.major < 3 || len(g.mechanism) > 20 || len(b) < greetingSize) {
			t.Errorf("%+v out of % x", g, b)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add(appendMessage(nil, [][]byte{[]byte("one"), make([]byte, 300)}))
	f.Add(appendReady(nil, "DEALER"))
	f.Add([]byte{2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		r := bufio.NewReader(bytes.NewReader(b))
		var again []byte
		for {
			fr, err := readFrame(r, limit)
			if err != nil {
				return
			}
			if len(fr.body) > limit {
				t.Fatalf("a frame of %d bytes", len(fr.body))
			}
			if fr.command {
				if c, err := parseCommand(fr.body); err == nil {
					again = appendCommand(nil, c.name, c.data)
				}
			} else {
				again = appendMessage(nil, [][]byte{fr.body})
			}
			if back, err := readFrame(bufio.NewReader(bytes.NewReader(again)), limit); len(again) > 0 && (err != nil || !bytes.Equal(back.body, fr.body)) {
				t.Fatalf("%v: %q came back as %q", err, fr.body, back.body)
			}
			again = nil
		}
	})
}

func FuzzReady(f *testing.F) {
	f.Add(appendReady(nil, "SUB")[8:])
	f.Add([]byte("\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x02me"))
	f.Add([]byte("\x01a\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseReady(b); err == nil && len(r.identity) > 255 {
			t.Error("an identity that is too long")
		}
	})
}

func FuzzMessage(f *testing.F) {
	join := func(frames [][]byte) []byte { return bytes.Join(frames, []byte("\n\n")) }
	f.Add(join(signed("k", "kernel_info_request", map[string]int{})))
	f.Add(join(append([][]byte{[]byte("identity")}, signed("k", "execute_request", map[string]string{"code": "1"})...)))
	f.Add([]byte("<IDS|MSG>\n\n\n\n{}\n\n{}\n\n{}\n\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		frames := bytes.Split(b, []byte("\n\n"))
		keyed := newCodec("fuzz key")
		if m, err := keyed.decode(frames); err == nil {
			t.Errorf("%+v was accepted without a signature", m)
		}
		// The rest of the parser is behind the signature: so sign it.
		i := 0
		for i < len(frames) && string(frames[i]) != delimiter {
			i++
		}
		if len(frames) >= i+6 {
			frames[i+1] = keyed.sign(frames[i+2 : i+6])
		}
		m, err := keyed.decode(frames)
		if err != nil {
			return
		}
		if m.Header.Type == "" {
			t.Error("a message without a type")
		}
		if _, err := keyed.encode("reply", m, m.Content, m.Metadata, m.Buffers); err != nil {
			t.Errorf("a message that cannot be answered: %v", err)
		}
	})
}

func FuzzConnectionFile(f *testing.F) {
	f.Add([]byte(`{"transport":"tcp","ip":"127.0.0.1","key":"k","shell_port":1,"control_port":2,"stdin_port":3,"iopub_port":4,"hb_port":5}`))
	f.Add([]byte(`{"transport":"ipc","ip":"/tmp/x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseConnection(b); err == nil {
			c.endpoint(c.ShellPort)
		}
	})
}
