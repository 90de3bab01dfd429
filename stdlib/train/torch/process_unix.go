//go:build unix

package torch

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// attributes gives the process a group of its own, so that a terminal's interrupt reaches Banter alone, which decides.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// killGroup ends what the process may have left of its children.
func killGroup(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL) // mostly nothing is left
}

func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// loopback has processes on the CPU talk over the loopback interface: they are on one machine, whose name need not lead
// to it.
func loopback() []string {
	if os.Getenv("GLOO_SOCKET_IFNAME") != "" {
		return nil
	}
	if runtime.GOOS == "darwin" {
		return []string{"GLOO_SOCKET_IFNAME=lo0"}
	}
	return []string{"GLOO_SOCKET_IFNAME=lo"}
}
