package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"banter/internal/problem"
)

// stretch is a part of a file.
type stretch struct{ from, to int64 }

// mp4Layout is how the outermost boxes of an MP4 file lie (ISO/IEC 14496-12, 4.2).
type mp4Layout struct {
	index     bool      // the moov box is there
	fragments bool      // moof boxes are
	whole     []stretch // boxes one after the other
	broken    int       // places where no box is, but further on there is one
	cut       bool      // the last box is longer than the file
}

// mp4Boxes are usual outermost boxes; others count if they fit into the file.
var mp4Boxes = map[string]bool{"ftyp": true, "styp": true, "moov": true, "moof": true, "mdat": true, "free": true, "skip": true, "sidx": true,
	"ssix": true, "emsg": true, "prft": true, "mfra": true, "uuid": true, "wide": true, "pnot": true, "meta": true, "udta": true, "pdin": true}

// maxMP4Damage bounds the search for boxes.
const maxMP4Damage = 100_000

// readMP4Layout walks from box to box, and where there is none, looks for the next fragment.
func readMP4Layout(r io.ReaderAt, size int64) (mp4Layout, error) {
	var l mp4Layout
	begin := int64(0) // of the current stretch of boxes
	for at := int64(0); at < size; {
		n, name, err := mp4Box(r, at, size)
		if err != nil {
			return l, err
		}
		if n == 0 {
			if at > begin {
				l.whole = append(l.whole, stretch{begin, at})
			}
			next, err := nextMoof(r, at+1, size)
			if err != nil {
				return l, err
			}
			if next == size { // nothing but what is no box follows
				l.cut = true
				return l, nil
			}
			if l.broken++; l.broken > maxMP4Damage {
				return l, fmt.Errorf("the MP4 file is damaged in more than %d places", maxMP4Damage)
			}
			at, begin = next, next
			continue
		}
		l.index = l.index || name == "moov"
		l.fragments = l.fragments || name == "moof"
		if at+n > size {
			l.cut = true
			n = size - at
		}
		at += n
	}
	if size > begin {
		l.whole = append(l.whole, stretch{begin, size})
	}
	return l, nil
}

// mp4Box reads a box's length and name; the length is 0 where there is no box.
func mp4Box(r io.ReaderAt, at, size int64) (n int64, name string, err error) {
	var b [16]byte
	got, err := r.ReadAt(b[:max(0, min(16, size-at))], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, "", err
	}
	if got < 8 {
		return 0, "", nil
	}
	n, name = int64(binary.BigEndian.Uint32(b[:])), string(b[4:8])
	least := int64(8)
	switch {
	case n == 0: // to the end of the file
		n = size - at
	case n == 1 && got == 16:
		n, least = int64(binary.BigEndian.Uint64(b[8:])&(1<<62-1)), 16
	}
	unknown := !mp4Boxes[name] && (strings.IndexFunc(name, func(c rune) bool { return c < ' ' || c > '~' }) >= 0 || at+n > size)
	if n < least || unknown {
		return 0, "", nil
	}
	return n, name, nil
}

// nextMoof is where the next fragment begins that has another box behind it, or the size of the file.
func nextMoof(r io.ReaderAt, at, size int64) (int64, error) {
	const maxMoof = 16 << 20
	buf := make([]byte, 1<<20)
	for at < size {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		b := buf[:n]
		for from := 4; from < len(b); {
			i := bytes.Index(b[from:], []byte("moof"))
			if i < 0 {
				break
			}
			from += i + 4
			box := at + int64(from-8)
			length, _, err := mp4Box(r, box, size)
			if err != nil {
				return 0, err
			}
			if length == 0 || length > maxMoof {
				continue
			}
			if behind, name, err := mp4Box(r, box+length, size); err != nil {
				return 0, err
			} else if behind > 0 && name == "mdat" {
				return box, nil
			}
		}
		if n < 12 {
			break
		}
		at += int64(n) - 7 // a box's head may lie across
	}
	return size, nil
}

// withoutIndex is the error for an MP4 file that lacks its moov box.
func withoutIndex() error {
	return &problem.Error{
		Err: errors.New("the MP4 file lacks its index (moov), as when the recorder was stopped before it could write it; without it nobody knows where its sound lies"),
		Fix: "try a tool that guesses the index from a whole recording of the same program, such as untrunc; let the recorder write MKV or fragmented MP4 from now on",
	}
}

// joined reads stretches of a file one after the other.
func joined(r io.ReaderAt, parts []stretch) io.Reader {
	readers := make([]io.Reader, len(parts))
	for i, p := range parts {
		readers[i] = io.NewSectionReader(r, p.from, p.to-p.from)
	}
	return io.MultiReader(readers...)
}
