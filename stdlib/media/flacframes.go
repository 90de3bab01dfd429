package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/mewkiz/flac/frame"
)

// flacHeader is the STREAMINFO block of a FLAC file (RFC 9639, 8.2).
type flacHeader struct {
	block         int64 // samples of the longest block: of all but the last, where frames are numbered
	rate          int   // Hz
	channels      int
	bits          int
	total         int64 // samples of each channel; 0 where not known
	md5           [16]byte
	longest       int // bytes of the longest frame there can be
	bytesToFrames int64
}

// readFLACHeader reads up to the first frame. Where the blocks after STREAMINFO are damaged, it stops there.
func readFLACHeader(r io.ReadSeeker, size int64) (flacHeader, error) {
	var h flacHeader
	at := int64(0)
	read := func(b []byte) error {
		_, err := r.Seek(at, io.SeekStart)
		if err == nil {
			_, err = io.ReadFull(r, b)
		}
		at += int64(len(b))
		return cut(err)
	}
	head := make([]byte, 10)
	if err := read(head); err != nil {
		return h, err
	}
	n, _ := id3Size(head) // 0 where there is no tag
	at = n
	var b [4 + 4 + 34]byte
	if err := read(b[:]); err != nil {
		return h, err
	}
	if string(b[:4]) != "fLaC" || b[4]&0x7f != 0 || b[5] != 0 || b[6] != 0 || b[7] != 34 {
		return h, errors.New("it does not begin with STREAMINFO")
	}
	info := b[8:]
	h.block = int64(binary.BigEndian.Uint16(info[2:]))
	packed := binary.BigEndian.Uint64(info[10:])
	h.rate, h.channels, h.bits, h.total = int(packed>>44), int(packed>>41&7)+1, int(packed>>36&31)+1, int64(packed&(1<<36-1))
	copy(h.md5[:], info[18:])
	if h.rate == 0 || h.bits < 4 || h.block < 16 {
		return h, fmt.Errorf("it claims %d Hz, blocks of %d samples and %d bits", h.rate, h.block, h.bits)
	}
	// Verbatim samples are the longest there are: one bit more for a difference of channels, and some bytes of headers.
	h.longest = int(h.block)*h.channels*(h.bits+1)/8 + 16*h.channels + 32
	for last := b[4]&0x80 != 0; !last; {
		before := at
		if err := read(b[:4]); err != nil {
			return h, err
		}
		last = b[0]&0x80 != 0
		at += int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3])
		if b[0]&0x7f > 6 || at > size {
			at, last = before, true
		}
	}
	h.bytesToFrames = at
	_, err := r.Seek(at, io.SeekStart)
	return h, err
}

// flacFrames finds the whole frames of a FLAC file by their checksums, without decoding them.
type flacFrames struct {
	r     io.Reader
	is    flacHeader
	buf   []byte // what was read and not given
	eof   bool
	after int64 // sample that the next frame begins at or after
	vain  int64 // bytes that were summed up for nothing
	size  int64 // of the file
}

// flacFrame is one frame as it lies in the file; its bytes are good until the next one is found.
type flacFrame struct {
	bytes       []byte
	first, next int64 // its first sample, and the one after its last
}

// next finds the next whole frame, or io.EOF where there is none.
func (f *flacFrames) next() (flacFrame, error) {
	for {
		at, head, err := f.seek(0)
		if err != nil {
			return flacFrame{}, err
		}
		f.buf = f.buf[at:]
		if head == nil {
			continue
		}
		one := flacFrame{first: f.sample(head)}
		one.next = one.first + int64(head.BlockSize)
		if one.first >= f.after && (f.is.total == 0 || one.next <= f.is.total) {
			n, err := f.end()
			if err != nil {
				return flacFrame{}, err
			}
			if n > 0 {
				one.bytes, f.buf = f.buf[:n:n], f.buf[n:]
				f.after = one.next
				return one, nil
			}
			if f.vain > 8*f.size+16<<20 {
				return flacFrame{}, errors.New("the FLAC file is damaged in too many places")
			}
		}
		f.buf = f.buf[1:]
	}
}

// sample is where a frame begins.
func (f *flacFrames) sample(h *frame.Frame) int64 {
	if h.HasFixedBlockSize {
		return int64(min(h.Num, math.MaxInt64>>20)) * f.is.block
	}
	return int64(min(h.Num, math.MaxInt64>>4))
}

// fill reads on until n bytes are in memory or the file ends.
func (f *flacFrames) fill(n int) error {
	for len(f.buf) < n && !f.eof {
		if cap(f.buf)-len(f.buf) < 1<<15 {
			f.buf = append(make([]byte, 0, 2*len(f.buf)+1<<17), f.buf...)
		}
		m, err := f.r.Read(f.buf[len(f.buf):cap(f.buf)])
		f.buf = f.buf[:len(f.buf)+m]
		if f.eof = errors.Is(err, io.EOF); err != nil && !f.eof {
			return err
		}
	}
	return nil
}

// maxFLACFrameHeader is in bytes.
const maxFLACFrameHeader = 16

// seek is the place, from the given one on, at which a frame's header lies. There is no header where it went as far as a frame
// can be long, and io.EOF where the file ends.
func (f *flacFrames) seek(from int) (int, *frame.Frame, error) {
	for from <= f.is.longest {
		if err := f.fill(from + maxFLACFrameHeader); err != nil {
			return 0, nil, err
		}
		if from >= len(f.buf) {
			return 0, nil, io.EOF
		}
		i := bytes.IndexByte(f.buf[from:], 0xff)
		if i < 0 {
			from = len(f.buf)
			continue
		}
		from += i
		if err := f.fill(from + maxFLACFrameHeader); err != nil {
			return 0, nil, err
		}
		b := f.buf[from:]
		if len(b) > 2 && b[1]&0xfe == 0xf8 && f.rated(b[2]) {
			h, err := frame.New(bytes.NewReader(b[:min(len(b), maxFLACFrameHeader)])) // which looks at the header's checksum
			if err == nil && h.Channels.Count() == f.is.channels && (h.SampleRate == 0 || int(h.SampleRate) == f.is.rate) &&
				(h.BitsPerSample == 0 || int(h.BitsPerSample) == f.is.bits) {
				return from, h, nil
			}
		}
		from++
	}
	return from, nil, nil
}

// rated says whether a frame whose header has this third byte may have the file's sample rate (RFC 9639, 9.1.2).
func (f *flacFrames) rated(b byte) bool {
	rates := [...]int{1: 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000}
	code := int(b & 15)
	return code == 0 || code < len(rates) && rates[code] == f.is.rate || code >= len(rates) && code < 15
}

// end is the length of the frame at the beginning of buf, or 0 where it is not whole: where the next one begins, or the file
// ends, the checksum over all of it comes to zero. Before something else, only decoding tells where a frame ends.
func (f *flacFrames) end() (int, error) {
	var sum uint16
	summed := 0
	for more := true; more; {
		at, head, err := f.seek(summed + 1)
		switch {
		case errors.Is(err, io.EOF):
			at, more = len(f.buf), false
		case err != nil:
			return 0, err
		default:
			at, more = min(at, len(f.buf)), head != nil
		}
		sum = flacSum(sum, f.buf[summed:at])
		if summed = at; sum == 0 {
			return at, nil
		}
	}
	f.vain += int64(summed)
	r := bytes.NewReader(f.buf)
	if _, err := f.decode(r); err != nil {
		return 0, nil
	}
	return len(f.buf) - r.Len(), nil
}

// decode decodes the frame that r begins with.
func (f *flacFrames) decode(r io.Reader) (d *frame.Frame, err error) {
	defer func() {
		if v := recover(); v != nil {
			d, err = nil, panicked("flac", v)
		}
	}()
	if d, err = frame.New(r); err != nil {
		return nil, err
	}
	d.BitsPerSample = uint8(f.is.bits) // a frame may leave it to the file's header
	if err = d.Parse(); err != nil {
		return nil, err
	}
	for _, sub := range d.Subframes {
		if len(sub.Samples) != int(d.BlockSize) {
			return nil, errors.New("a FLAC frame does not have the samples it claims")
		}
	}
	return d, nil
}

var flacTable = func() (t [256]uint16) {
	for i := range t {
		v := uint16(i) << 8
		for range 8 {
			if v&0x8000 != 0 {
				v = v<<1 ^ 0x8005
			} else {
				v <<= 1
			}
		}
		t[i] = v
	}
	return t
}()

// flacSum goes on with the checksum of FLAC frames: CRC-16 with polynomial 8005, most significant bit first.
func flacSum(sum uint16, b []byte) uint16 {
	for _, c := range b {
		sum = sum<<8 ^ flacTable[byte(sum>>8)^c]
	}
	return sum
}
