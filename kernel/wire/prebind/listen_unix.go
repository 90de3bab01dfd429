//go:build unix

package prebind

import (
	"os"
	"syscall"
)

// backlog is how many connections wait to be accepted, where the system allows as many.
const backlog = 4096

// listen opens a socket as package net does. It is nil where that does not succeed: whoever needs it tries again, and says
// why.
func listen(ip [4]byte, port int) *os.File {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil
	}
	syscall.CloseOnExec(fd) // nothing is executed while packages are initialised
	if syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) == nil &&
		syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: ip}) == nil &&
		syscall.Listen(fd, backlog) == nil {
		return os.NewFile(uintptr(fd), address(ip, port))
	}
	syscall.Close(fd)
	return nil
}
