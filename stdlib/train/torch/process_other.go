//go:build !unix

package torch

import (
	"os"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// terminate leaves it to the end of the process's standard input to say that it should stop.
func terminate(*os.Process) error { return nil }

func killGroup(*os.Process) {}

func killed(error) bool { return false }

func loopback() []string { return nil }
