package session

import (
	"context"
	"os"
	"os/signal"
	"time"
)

// obeySignals takes an interrupt signal for an interrupt request, from the moment it returns: a terminal sends one to all
// its processes.
func (s *Session) obeySignals(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-signals:
				s.interrupt(errInterrupted)
			case <-ctx.Done():
				return
			}
		}
	}()
}

// watchParent ends the kernel when the Jupyter server that started it is gone, which can no longer ask for it.
func (s *Session) watchParent(ctx context.Context) {
	if os.Getenv("JPY_PARENT_PID") == "" {
		return // started by hand, or by something that does not want this
	}
	parent := os.Getppid()
	if parent == 1 {
		return // the server is the first process of a container, or was gone before we could look
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if os.Getppid() != parent {
				s.note("the server that started this kernel is gone")
				s.interrupt(errShutdown)
				s.stop()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
