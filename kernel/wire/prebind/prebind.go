// Package prebind opens the TCP sockets of a kernel while the packages of its program are still being initialised.
//
// A Jupyter client starts the kernel's process and connects at once. ZeroMQ, where it is refused, waits for 100 to 200 ms
// before it tries again: a kernel that listens some milliseconds too late is ready a fifth of a second too late. A large
// program spends those milliseconds before its main function. This package needs so little that it is initialised among
// the first. It reads the ports out of the connection file that the command line `PROGRAM kernel start` names, and
// listens; the operating system connects clients, and the kernel answers them when it gets there.
//
// In goes os.Args; out come listening sockets, by address. What is not understood here is left alone: the kernel reads the
// file again, in full, and opens for itself what it does not find here.
package prebind

import (
	"os"
	"strconv"
)

// opened are the sockets that listen and that nobody has taken, by "IP:PORT".
var opened = open(os.Args)

// Take hands over the socket that listens at an address, such as "127.0.0.1:5000". It is nil where there is none.
func Take(address string) *os.File {
	f := opened[address]
	delete(opened, address)
	return f
}

// Close closes the sockets that nobody has taken.
func Close() {
	for address := range opened {
		Take(address).Close()
	}
}

// open listens at the ports of the connection file that a command line names.
func open(args []string) map[string]*os.File {
	if len(args) < 3 || args[1] != "kernel" || args[2] != "start" {
		return nil
	}
	f, err := os.Open(connectionFile(args[3:]))
	if err != nil {
		return nil
	}
	defer f.Close()
	text := make([]byte, 16<<10) // a connection file has 400 bytes
	n, err := f.Read(text)
	if err != nil {
		return nil
	}
	sockets := map[string]*os.File{}
	ip, ports := endpoints(text[:n])
	for _, port := range ports {
		if s := listen(ip, port); s != nil {
			sockets[address(ip, port)] = s
		}
	}
	return sockets
}

// connectionFile finds the value of the flag --connection-file, or -f, in a command line.
func connectionFile(args []string) string {
	for i, arg := range args {
		for _, flag := range [...]string{"--connection-file", "-f"} {
			if arg == flag && i+1 < len(args) {
				return args[i+1]
			}
			if len(arg) > len(flag) && arg[:len(flag)+1] == flag+"=" {
				return arg[len(flag)+1:]
			}
		}
	}
	return ""
}

func address(ip [4]byte, port int) string {
	var s string
	for i, b := range ip {
		if i > 0 {
			s += "."
		}
		s += strconv.Itoa(int(b))
	}
	return s + ":" + strconv.Itoa(port)
}
