package media

import (
	"fmt"
	"time"
)

// Span is a stretch of stream time.
type Span struct{ From, To time.Duration }

// holes are the stretches that a recording lacks, in the order in which they were met.
type holes struct {
	list  []Span // the first ones
	count int    // all of them
	total time.Duration
}

const (
	listedHoles = 1000           // more of them are counted only
	maxMissing  = 48 * time.Hour // more of it is not a hole but a clock gone wrong
)

// add notes a stretch, or refuses it where no recording lacks so much.
func (h *holes) add(from, to time.Duration) error {
	if to <= from {
		return nil
	}
	if h.total += to - from; h.total > maxMissing {
		return fmt.Errorf("the clock of the recording jumps here by %s", (to - from).Round(time.Second))
	}
	h.count++
	if n := len(h.list); n > 0 && h.list[n-1].To == from {
		h.list[n-1].To = to
		h.count--
	} else if n < listedHoles {
		h.list = append(h.list, Span{from, to})
	}
	return nil
}

// String says what is missing; it is empty where nothing is.
func (h *holes) String() string {
	const named = 5
	if h.count == 0 {
		return ""
	}
	text := "sound is missing and taken for silence, "
	for i, s := range h.list[:min(named, len(h.list))] {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("from %s to %s", clock(s.From), clock(s.To))
	}
	if h.count > named {
		text += fmt.Sprintf(" and %d times more, %s in all", h.count-named, h.total.Round(time.Millisecond))
	}
	return text
}
