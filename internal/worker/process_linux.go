package worker

import "syscall"

// attributes has the kernel kill the worker when the thread that started it dies, which [process.run] keeps for as long
// as the worker lives. The worker also gets a process group of its own, so that a terminal's interrupt reaches the client
// alone and the client decides.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
