//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"banter/kernel/wire"
)

// TestKernelListensFirst starts a kernel as Jupyter does. It opens its sockets before most of the program is initialised,
// and serves them.
func TestKernelListensFirst(t *testing.T) {
	for attempt := 1; ; attempt++ {
		c, release := freeConnection(t)
		log, err := serveUntilAnswered(t, c, release)
		if err != nil && attempt < 20 {
			continue // a port that was free a moment ago is another program's now
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		var order []string
		for _, m := range regexp.MustCompile(`(?m)^init (\S+) @`).FindAllSubmatch(log, -1) {
			order = append(order, string(m[1]))
		}
		early, network := slices.Index(order, "banter/kernel/wire/prebind"), slices.Index(order, "net")
		if early < 0 || network < 0 || early > network/2 {
			t.Errorf("the sockets are opened by package %d of %d, after %q", early, len(order), order[:max(early, 0)])
		}
		return
	}
}

// freeConnection names five ports that nobody else gets until they are released.
func freeConnection(t *testing.T) (c wire.Connection, release func()) {
	t.Helper()
	c = wire.Connection{Transport: "tcp", IP: "127.0.0.1", Key: "k", SignatureScheme: "hmac-sha256"}
	var held []net.Listener
	for _, port := range []*int{&c.ShellPort, &c.IOPubPort, &c.StdinPort, &c.ControlPort, &c.HeartbeatPort} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return c, func() {
		for _, l := range held {
			l.Close()
		}
	}
}

// serveUntilAnswered runs a kernel until each of its sockets has greeted a client, and returns what it wrote. The error
// is that of a kernel that ends by itself.
func serveUntilAnswered(t *testing.T, c wire.Connection, release func()) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "kernel.json")
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	release()
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "recipe", "kernel", "start", "--connection-file", file)
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1", "XDG_STATE_HOME="+dir, "BANTER_STORE="+filepath.Join(dir, "store"))
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for _, port := range []int{c.HeartbeatPort, c.ControlPort, c.StdinPort, c.IOPubPort, c.ShellPort} {
		for !greets(port) {
			select {
			case err := <-ended:
				return log.Bytes(), fmt.Errorf("the kernel ends by itself: %v", err)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("a kernel that is asked to end: %v", err)
	}
	return log.Bytes(), nil
}

// greets reports whether ZeroMQ's greeting comes from a port.
func greets(port int) bool {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute)) // whoever else got the port may have nothing to say
	greeting := make([]byte, 64)
	_, err = io.ReadFull(conn, greeting)
	return err == nil && greeting[0] == 0xFF && greeting[9] == 0x7F
}
