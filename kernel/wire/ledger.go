package wire

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
)

// ledger counts what was refused and says so at the 1st, 10th, 100th … time, so that a flood of garbage is visible and
// does not itself become a flood.
type ledger struct {
	mu     sync.Mutex
	counts map[string]int
	say    func(string)
}

func newLedger(say func(string)) *ledger {
	if say == nil {
		say = func(string) {}
	}
	return &ledger{counts: map[string]int{}, say: say}
}

func (l *ledger) note(what string, reason error) {
	l.mu.Lock()
	l.counts[what]++
	n := l.counts[what]
	l.mu.Unlock()
	for n%10 == 0 {
		n /= 10
	}
	if n == 1 {
		l.mu.Lock()
		n = l.counts[what]
		l.mu.Unlock()
		l.say(fmt.Sprintf("%s: %v (%d so far)", what, reason, n))
	}
}

func (l *ledger) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[what]
}

// isReset reports whether a connection ended without a farewell, which is how most clients leave.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
