package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"banter/internal/problem"
)

// Connection is what a connection file says: where to listen, and the key that messages are signed with.
type Connection struct {
	Transport       string `json:"transport"` // "tcp" or "ipc"
	IP              string `json:"ip"`        // for ipc, the path of the Unix sockets less "-PORT"
	ShellPort       int    `json:"shell_port"`
	ControlPort     int    `json:"control_port"`
	StdinPort       int    `json:"stdin_port"`
	IOPubPort       int    `json:"iopub_port"`
	HeartbeatPort   int    `json:"hb_port"`
	Key             string `json:"key"`              // empty: messages are not signed, as the protocol has it
	SignatureScheme string `json:"signature_scheme"` // "hmac-sha256"
	KernelName      string `json:"kernel_name,omitempty"`
}

const maxConnectionFile = 64 << 10

// ReadConnection reads and checks a connection file.
func ReadConnection(path string) (Connection, error) {
	fail := func(err error) (Connection, error) {
		return Connection{}, &problem.Error{Op: "read connection file", Path: path, Err: err,
			Fix: "let Jupyter start the kernel, or give a file that it wrote"}
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConnectionFile+1))
	if err != nil {
		return fail(err)
	}
	if len(b) > maxConnectionFile {
		return fail(fmt.Errorf("it is longer than %d bytes", maxConnectionFile))
	}
	c, err := ParseConnection(b)
	if err != nil {
		return fail(err)
	}
	return c, nil
}

// ParseConnection reads the JSON text of a connection file.
func ParseConnection(b []byte) (Connection, error) {
	c := Connection{Transport: "tcp", SignatureScheme: "hmac-sha256"}
	if err := json.Unmarshal(b, &c); err != nil {
		return Connection{}, err
	}
	switch c.Transport {
	case "tcp":
		if c.IP != "localhost" && net.ParseIP(c.IP) == nil {
			return Connection{}, fmt.Errorf("ip %q is not an address", c.IP)
		}
	case "ipc":
		if c.IP == "" {
			return Connection{}, errors.New("ip is empty, where the path of the ipc sockets is due")
		}
	default:
		return Connection{}, fmt.Errorf("transport %q is neither tcp nor ipc", c.Transport)
	}
	if c.SignatureScheme != "hmac-sha256" && c.Key != "" {
		return Connection{}, fmt.Errorf("signature scheme %q is not hmac-sha256", c.SignatureScheme)
	}
	for _, p := range []struct {
		name string
		port int
	}{{"shell_port", c.ShellPort}, {"control_port", c.ControlPort}, {"stdin_port", c.StdinPort},
		{"iopub_port", c.IOPubPort}, {"hb_port", c.HeartbeatPort}} {
		if p.port < 1 || p.port > 65535 {
			return Connection{}, fmt.Errorf("%s is %d, where 1 to 65535 is due", p.name, p.port)
		}
	}
	return c, nil
}

// endpoint says where one socket listens, in the terms of package net.
func (c Connection) endpoint(port int) (network, address string) {
	if c.Transport == "ipc" {
		return "unix", c.IP + "-" + strconv.Itoa(port)
	}
	return "tcp", net.JoinHostPort(c.IP, strconv.Itoa(port))
}

// clearStale removes a Unix socket that a dead kernel left behind. One that is answered is left alone.
func clearStale(path string) {
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSocket == 0 {
		return
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return
	}
	os.Remove(path) // if this does not succeed, listening says why
}
