//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// peakRSS returns the most memory that this process has held, in bytes.
func peakRSS() (int64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss), nil
	}
	return int64(u.Maxrss) * 1024, nil
}
