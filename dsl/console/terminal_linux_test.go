package console

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"banter/dsl/event"

	"golang.org/x/sys/unix"
)

// TestTerminals: a terminal is shown bars, and one that is dumb is written nothing but text.
func TestTerminals(t *testing.T) {
	for _, kind := range []struct {
		term string
		bars bool
	}{{"xterm", true}, {"dumb", false}} {
		t.Run(kind.term, func(t *testing.T) {
			t.Setenv("TERM", kind.term)
			user, program := terminal(t)
			c := New(program, program, false)
			if got := c.bars != nil; got != kind.bars {
				t.Errorf("bars are drawn: %v, want %v", got, kind.bars)
			}
			step := event.Event{State: event.Progress, Verb: "align", Label: "s1", Key: "0123456789abcdef", Total: 10, Done: 5}
			c.Event(step)
			step.State = event.Done
			c.Event(step)
			c.Finish(Summary{Made: 1}, nil, 0)
			var shown []byte
			for !bytes.Contains(shown, []byte("1 made")) {
				b := make([]byte, 4096)
				n, err := user.Read(b)
				if err != nil {
					t.Fatalf("%v after %q", err, shown)
				}
				shown = append(shown, b[:n]...)
			}
			if !kind.bars && bytes.ContainsRune(shown, '\x1b') {
				t.Errorf("a dumb terminal was written %q", shown)
			}
		})
	}
}

// terminal is a terminal's two ends.
func terminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be had here: %v", err)
	}
	t.Cleanup(func() { user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no terminal can be had here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no terminal can be had here: %v", err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be had here: %v", err)
	}
	t.Cleanup(func() { program.Close() })
	return user, program
}
