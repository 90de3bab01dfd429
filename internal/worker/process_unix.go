//go:build unix && !linux

package worker

import "syscall"

// attributes gives the worker a process group of its own, so that a terminal's interrupt reaches the client alone and the
// client decides. The worker notices its client's death by the end of its standard input.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
