package train

import "golang.org/x/sys/unix"

// Memory returns how much memory the machine has, in bytes.
func Memory() (int64, error) {
	n, err := unix.SysctlUint64("hw.memsize")
	return int64(n), err
}
