// Package problem is the one shape of an error that a user reads: what was being done, to what, where in it, what is
// wrong and what to do about it.
package problem

import "strings"

// Error reads as one sentence:
//
//	decode vods/a.flac at 00:01:02.500: frame checksum does not match (fetch the file again: it is damaged)
//
// Every field but Err may be empty.
type Error struct {
	Op   string // what was being done: "decode", "read chat", "train"
	Path string // the file, stream id or model it was done to
	At   string // where in it: "line 12", "byte 4096", "00:01:02.500"
	Err  error  // what is wrong, lower case, no full stop
	Fix  string // what the user can do, as an order: "fetch the file again"
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Path != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(e.Path)
	}
	if e.At != "" {
		b.WriteString(" at ")
		b.WriteString(e.At)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	}
	if e.Fix != "" {
		b.WriteString(" (")
		b.WriteString(e.Fix)
		b.WriteByte(')')
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }
