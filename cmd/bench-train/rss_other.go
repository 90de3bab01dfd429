//go:build !unix

package main

import "errors"

func peakRSS() (int64, error) {
	return 0, errors.New("the peak memory of a process is not read on this system")
}

func processorSeconds() float64 { return 0 }
