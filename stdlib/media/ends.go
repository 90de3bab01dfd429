package media

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"slices"
)

// endsShort looks at the end of a file whose demuxer does not say whether it is there: Ogg, FLV and transport streams. A file
// cut between two whole tags, or between two whole packets of sound, looks complete.
func endsShort(container string, r io.ReaderAt, size int64) (bool, error) {
	switch container {
	case "ogg":
		last, err := lastPage(io.NewSectionReader(r, 0, size), size)
		var reading *fs.PathError
		if errors.As(err, &reading) {
			return false, err
		}
		return err == nil && !last.last, nil // what has no whole page is for ffmpeg to judge
	case "flv":
		return flvEndsShort(r, size)
	case "mpegts":
		return tsEndsShort(r, size)
	}
	return false, nil
}

// tailOf reads the last bytes of a file, at most n.
func tailOf(r io.ReaderAt, size, n int64) ([]byte, error) {
	b := make([]byte, min(size, n))
	_, err := r.ReadAt(b, size-int64(len(b)))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b, err
}

// flvEndsShort holds the last field of an FLV file, the size of the tag before it, against that tag (Video File Format
// Specification 10, annex E.3 and E.4.1).
func flvEndsShort(r io.ReaderAt, size int64) (bool, error) {
	const header, field = 11, 4 // of a tag, and of the size behind it
	b, err := tailOf(r, size, field)
	if err != nil || len(b) < field {
		return true, err
	}
	length := int64(binary.BigEndian.Uint32(b)) // of the tag with its header
	if length == 0 {
		return true, nil
	}
	for _, whole := range [...]int64{length, length + header} { // some writers leave the header out
		var tag [header]byte
		at := size - field - whole
		if whole < header || at < 0 {
			continue
		}
		if _, err := r.ReadAt(tag[:], at); err != nil {
			return false, err
		}
		kind, data := tag[0]&0x1f, int64(tag[1])<<16|int64(tag[2])<<8|int64(tag[3])
		if (kind == 8 || kind == 9 || kind == 18) && data+header == whole { // sound, picture, script
			return false, nil
		}
	}
	return true, nil
}

const (
	tsPacket = 188
	tsSync   = 0x47
	tsWindow = 1 << 20 // in which a packet of sound begins, if there is any
)

// tsEndsShort says whether the last packet of a transport stream, or the last one of sound that it carries, is not whole
// (ISO/IEC 13818-1, 2.4.3).
func tsEndsShort(r io.ReaderAt, size int64) (bool, error) {
	b, err := tailOf(r, size, tsWindow)
	if err != nil {
		return false, err
	}
	first, stride := tsPackets(b)
	if stride == 0 {
		return true, nil // no packets at the end
	}
	before := 0
	if stride == 192 { // with a time stamp before each packet
		before = 4
	}
	if (len(b)-first+before)%stride != 0 {
		return true, nil
	}
	missing := map[uint16]int{} // bytes of each stream's packet of sound that are still to come
	for at := first; at+tsPacket <= len(b); at += stride {
		p := b[at : at+tsPacket]
		if p[0] != tsSync || p[1]&0x80 != 0 || p[3]&0x10 == 0 { // damaged, or without content
			continue
		}
		pid, begins := binary.BigEndian.Uint16(p[1:])&0x1fff, p[1]&0x40 != 0
		content := p[4:]
		if p[3]&0x20 != 0 { // behind the adaptation field
			content = content[min(1+int(content[0]), len(content)):]
		}
		switch {
		case begins:
			delete(missing, pid)
			if n := pesSound(content); n > 0 {
				missing[pid] = n - len(content)
			}
		case missing[pid] > 0:
			missing[pid] -= len(content)
		}
	}
	for _, n := range missing {
		if n > 0 {
			return true, nil
		}
	}
	return false, nil
}

// pesSound is the length of the packet of sound that begins with b, or 0 where it is none or does not say its length.
func pesSound(b []byte) int {
	if len(b) < 6 || b[0] != 0 || b[1] != 0 || b[2] != 1 || b[3] != 0xbd && b[3]&0xe0 != 0xc0 { // private, as AC-3, or MPEG's
		return 0
	}
	if n := int(binary.BigEndian.Uint16(b[4:])); n > 0 {
		return 6 + n
	}
	return 0
}

// tsPackets finds the first packet in b and the distance to the next: 188 bytes, 192 with a time stamp, 204 with a checksum.
// The last packets of b must be in place.
func tsPackets(b []byte) (first, stride int) {
	const held = 8
	for _, stride := range [...]int{tsPacket, 192, 204} {
		for first := range min(stride, len(b)) {
			n := (len(b)-first-1)/stride + 1 // places where one would begin
			places := make([]int, min(n, held))
			for i := range places {
				places[i] = first + (n-1-i)*stride
			}
			if n >= 2 && !slices.ContainsFunc(places, func(at int) bool { return b[at] != tsSync }) {
				return first, stride
			}
		}
	}
	return 0, 0
}
