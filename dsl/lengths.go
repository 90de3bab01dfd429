package dsl

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"banter/internal/misspelt"
	"banter/internal/problem"
)

// withUnit refuses lengths of time that were written as bare numbers, which Go counts in nanoseconds: nothing here lasts less
// than a millisecond.
func withUnit(verb, option string, lengths ...time.Duration) {
	for _, d := range lengths {
		if d != 0 && d.Abs() < time.Millisecond {
			fail(verb, "", &problem.Error{Op: option, Err: fmt.Errorf("%d without a unit is %v", int64(d), d), Fix: fmt.Sprintf("write %d*Second", int64(d))})
		}
	}
}

// unknown says that there is no stream of a name, and which there are.
func (s Streams) unknown(id string) error {
	if len(s.list) == 0 {
		return errors.New("there are no streams")
	}
	const most = 8
	names := make([]string, 0, most)
	ids := make([]string, len(s.list))
	for i, l := range s.list {
		ids[i] = l.info.ID
	}
	for _, l := range s.list[:min(len(s.list), most)] {
		names = append(names, inert(l.info.ID, 60))
	}
	more := ""
	if n := len(s.list) - most; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("there is no such stream%s: there are %s%s", inert(misspelt.Hint(id, ids), 80), strings.Join(names, ", "), more)
}
