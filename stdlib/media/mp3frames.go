package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// mp3Frames gives the whole frames of a file, without tags and without the frame that holds the tag. What lies between
// frames and is no tag is passed over.
type mp3Frames struct {
	r     *bufio.Reader
	left  int64 // bytes of the file after what r gave
	first mp3Header
	tag   mp3Tag
	count int64 // frames given
	bytes int64 // of these
	cut   bool  // the file ends within a frame, or with what is no frame; known at the end
	muted bool  // the frame given last needs sound data that were lost before it
	store int   // bytes of sound data that later frames may still refer to
	buf   []byte
}

func newMP3Frames(r io.ReadSeeker, size int64) (*mp3Frames, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	f := &mp3Frames{r: bufio.NewReaderSize(r, 1<<16), left: size}
	for { // tags may follow each other
		skipped, err := f.skipID3()
		if err != nil {
			return nil, err
		}
		if !skipped {
			break
		}
	}
	// Encoders may leave zeros between the tag and the first frame.
	for skipped := 0; ; skipped++ {
		b, err := f.r.Peek(4)
		if err != nil || skipped > 1<<20 {
			return nil, errors.New("the MP3 file holds no sound")
		}
		if b[0] != 0 {
			break
		}
		f.discard(1)
	}
	b, _ := f.r.Peek(4)
	h, ok := parseMP3Header(b)
	if !ok {
		return nil, unsupported{"what follows the ID3 tag"}
	}
	f.first = h
	if b, _ = f.r.Peek(h.bytes); len(b) == h.bytes {
		if tag, ok := parseMP3Tag(b, h); ok {
			f.tag = tag
			f.discard(h.bytes)
		}
	}
	return f, nil
}

func (f *mp3Frames) discard(n int) {
	n, _ = f.r.Discard(n) // an error comes again with the next Peek
	f.left -= int64(n)
}

// skipID3 passes over an ID3v2 tag, where one begins here.
func (f *mp3Frames) skipID3() (bool, error) {
	b, _ := f.r.Peek(10)
	n, ok := id3Size(b)
	if !ok {
		return false, nil
	}
	if n >= f.left {
		return false, fmt.Errorf("the ID3 tag claims %d bytes of the %d that are left", n, f.left)
	}
	m, err := io.CopyN(io.Discard, f.r, n)
	f.left -= m
	return true, err
}

// next gives the next whole frame, good until the next call, and how many bytes of sound before it are none. A frame counts as
// whole if another one follows it, or the end of the file.
func (f *mp3Frames) next() (frame []byte, skipped int64, err error) {
	tagged := false // what is passed over is a tag
	for {
		if f.left < 4 {
			f.cut = f.cut || skipped > 0 && !tagged
			return nil, skipped, io.EOF
		}
		if skipped == 0 && f.atTag() {
			if ok, err := f.skipID3(); ok || err != nil { // of a file that was appended to another
				if err != nil {
					return nil, 0, err
				}
				continue
			}
			tagged = true
		}
		if h, ok := f.whole(skipped > 0 || tagged); ok {
			if cap(f.buf) < h.bytes {
				f.buf = make([]byte, h.bytes)
			}
			frame = f.buf[:h.bytes]
			n, err := io.ReadFull(f.r, frame)
			f.left -= int64(n)
			if err != nil {
				return nil, skipped, cut(err)
			}
			if tagged {
				skipped = 0
			}
			if skipped > 0 {
				f.store = 0
			}
			f.count++
			f.bytes += int64(h.bytes)
			f.weigh(frame, h)
			return frame, skipped, nil
		}
		b, err := f.r.Peek(max(4, f.r.Buffered()))
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, skipped, err
		}
		n := bytes.IndexByte(b[1:], 0xff) + 1
		if n == 0 {
			n = len(b)
		}
		f.discard(n)
		skipped += int64(n)
	}
}

// whole says whether a whole frame begins here: one that another frame or the end follows; after damage, two others.
func (f *mp3Frames) whole(searching bool) (mp3Header, bool) {
	follow := 1
	if searching {
		follow = 2
	}
	var first mp3Header
	at := 0
	for i := range follow + 1 {
		if at > 0 && (int64(at) == f.left || int64(at) < f.left && f.tagAt(at)) {
			return first, true
		}
		b, _ := f.r.Peek(at + 4)
		if len(b) < at+4 {
			return first, at > 0 && int64(at) <= f.left // a few bytes are left, or a frame that is cut off
		}
		h, ok := parseMP3Header(b[at:])
		if !ok || !h.compatible(f.first) {
			return first, false
		}
		if i == 0 {
			first = h
			if int64(h.bytes) > f.left {
				return first, false
			}
		}
		if at += h.bytes; int64(at) > f.left { // the next one is cut off
			return first, i > 0
		}
	}
	return first, true
}

// weigh keeps account of the sound data that frames may refer to (ISO/IEC 11172-3, 2.4.2.7: main_data_begin).
func (f *mp3Frames) weigh(frame []byte, h mp3Header) {
	side, begin := h.sideInfo()
	if len(frame) < begin+side {
		f.muted = true
		return
	}
	back := int(binary.BigEndian.Uint16(frame[begin:]) >> 7)
	f.muted = back > f.store
	f.store = min(back, f.store) + len(frame) - begin - side
}

// sideInfo is the length of the side information of an MPEG-1 frame, and where it begins.
func (h mp3Header) sideInfo() (length, begin int) {
	length, begin = 32, 4
	if h.channels == 1 {
		length = 17
	}
	if h.crc {
		begin += 2
	}
	return length, begin
}

// muteMP3 changes a frame's side information so that it holds no sound; it keeps main_data_begin, so that the frames after it
// find their data.
func muteMP3(frame []byte, first mp3Header) {
	h, ok := parseMP3Header(frame)
	if !ok {
		h = first
	}
	side, begin := h.sideInfo()
	if len(frame) >= begin+side {
		frame[begin+1] &= 0x80
		clear(frame[begin+2 : begin+side])
	}
}

// atTag reports whether a tag begins here, or zeros that fill the rest of the file.
func (f *mp3Frames) atTag() bool {
	if f.tagAt(0) {
		return true
	}
	const padding = 4096 // at most
	if f.left > padding {
		return false
	}
	b, _ := f.r.Peek(int(f.left))
	return len(b) > 0 && len(bytes.TrimLeft(b, "\x00")) == 0
}

func (f *mp3Frames) tagAt(at int) bool {
	b, _ := f.r.Peek(at + int(min(f.left-int64(at), 11)))
	for _, magic := range []string{"TAG", "APETAGEX", "LYRICSBEGIN", "ID3", "3DI"} {
		if len(b) > at && bytes.HasPrefix(b[at:], []byte(magic)) {
			return true
		}
	}
	return false
}

// mp3Hole is a place where frames are lost.
type mp3Hole struct {
	at     int64 // frames before it, without those that were lost
	bytes  int64 // that are no frames
	frames int64 // that are taken to be lost
	muted  int64 // frames after it that lack sound data
}

type mp3Holes []mp3Hole

// maxFrameHoles bounds what is remembered of a file that is more damage than sound.
const maxFrameHoles = 1_000_000

// walk goes to the end of the file, and finds the holes.
func (f *mp3Frames) walk() (mp3Holes, error) {
	var holes mp3Holes
	open := false // the frames since the last hole were all muted
	for {
		_, skipped, err := f.next()
		if errors.Is(err, io.EOF) {
			if f.count == 0 {
				return nil, errors.New("the MP3 file holds no whole frame of sound")
			}
			return holes, nil
		}
		if err != nil {
			return nil, err
		}
		if skipped > 0 {
			if len(holes) == maxFrameHoles {
				return nil, fmt.Errorf("the MP3 file is damaged in more than %d places", maxFrameHoles)
			}
			holes = append(holes, mp3Hole{at: f.count - 1, bytes: skipped})
			open = true
		}
		if open = open && f.muted; open {
			holes[len(holes)-1].muted++
		}
	}
}

// frames is how many are lost.
func (h mp3Holes) frames() int64 {
	n := int64(0)
	for _, hole := range h {
		n += hole.frames
	}
	return n
}

// measure sets how many frames each hole lost: as many as the tag counts more than there are, shared out by bytes, or else as
// many as fit into its bytes. It says whether that is sure, which it is for one hole of a file that ends as it should.
func (h mp3Holes) measure(count, bytes, promised int64, ends bool) (sure bool) {
	size := float64(bytes) / float64(max(count, 1)) // of a frame, the mean
	for i := range h {
		h[i].frames = max(1, int64(math.Round(float64(h[i].bytes)/size)))
	}
	guess := h.frames()
	lost := promised - count
	if !ends || lost < int64(len(h)) || lost > 4*guess+16 || len(h) == 0 {
		return false
	}
	var all, seen, given int64
	for _, hole := range h {
		all += hole.bytes
	}
	spare := lost - int64(len(h)) // each has one at least
	for i := range h {
		seen += h[i].bytes
		upTo := int64(float64(spare) * float64(seen) / float64(all))
		h[i].frames = 1 + upTo - given
		given = upTo
	}
	return len(h) == 1
}
