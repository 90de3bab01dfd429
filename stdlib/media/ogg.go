package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// oggPages reads the whole pages of an Ogg file (RFC 3533). What is no page, or has a wrong checksum, is passed over: the
// sequence numbers and granule positions of the pages after it tell what was lost.
type oggPages struct {
	r      *bufio.Reader // of at least maxOggPage bytes
	broken int           // places that look like a page and are none
	buf    []byte
}

// maxOggPage is the largest page there can be, in bytes.
const maxOggPage = 27 + 255 + 255*255

// maxBrokenPages bounds the work on bytes that imitate pages.
const maxBrokenPages = 10000

// oggPage is one page; its slices are good until the next one is read.
type oggPage struct {
	continued, first, last bool
	granule                int64 // -1 where no packet ends on the page
	serial, sequence       uint32
	lacing                 []byte // segment lengths
	body                   []byte
}

func newOggPages(r io.Reader) *oggPages {
	return &oggPages{r: bufio.NewReaderSize(r, 2*maxOggPage), buf: make([]byte, maxOggPage)}
}

// next reads the next whole page, or io.EOF where there is none.
func (o *oggPages) next() (oggPage, error) {
	for {
		if err := o.seek(); err != nil {
			return oggPage{}, err
		}
		page, size, err := o.peek()
		if err != nil {
			return oggPage{}, err
		}
		if size > 0 {
			_, err = o.r.Discard(size)
			return page, err
		}
		if o.broken++; o.broken > maxBrokenPages {
			return oggPage{}, fmt.Errorf("more than %d Ogg pages are damaged", maxBrokenPages)
		}
		if _, err := o.r.Discard(1); err != nil {
			return oggPage{}, err
		}
	}
}

var oggMagic = []byte("OggS\x00")

// seek goes to the next place that begins as a page does.
func (o *oggPages) seek() error {
	for {
		b, err := o.r.Peek(len(oggMagic))
		if err != nil {
			return err // io.EOF for less than these bytes, too
		}
		if bytes.Equal(b, oggMagic) {
			return nil
		}
		b, _ = o.r.Peek(o.r.Buffered())
		n := bytes.Index(b, oggMagic)
		if n < 0 {
			n = len(b) - len(oggMagic) + 1
		}
		if _, err := o.r.Discard(n); err != nil {
			return err
		}
	}
}

// peek reads the page that begins here, without leaving its beginning; its size is 0 where it is not whole.
func (o *oggPages) peek() (page oggPage, size int, err error) {
	size = 27
	for have := 0; have < size; {
		b, err := o.r.Peek(size)
		if errors.Is(err, io.EOF) {
			return oggPage{}, 0, nil
		}
		if err != nil {
			return oggPage{}, 0, err
		}
		have = size
		size = 27 + int(b[26])
		if have < size {
			continue
		}
		for _, n := range b[27:size] {
			size += int(n)
		}
	}
	b, _ := o.r.Peek(size)
	b = o.buf[:copy(o.buf, b)]
	want := binary.LittleEndian.Uint32(b[22:])
	clear(b[22:26])
	if oggSum(b) != want {
		return oggPage{}, 0, nil
	}
	segments := int(b[26])
	return oggPage{
		continued: b[5]&1 != 0, first: b[5]&2 != 0, last: b[5]&4 != 0,
		granule:  int64(binary.LittleEndian.Uint64(b[6:])),
		serial:   binary.LittleEndian.Uint32(b[14:]),
		sequence: binary.LittleEndian.Uint32(b[18:]),
		lacing:   b[27 : 27+segments], body: b[27+segments:],
	}, size, nil
}

// maxOggPacket bounds one packet. Opus packets are below 62 KB; comment headers may hold a picture.
const maxOggPacket = 16 << 20

// oggPackets puts packets together from the pages of a file with one logical stream.
type oggPackets struct {
	pages   *oggPages
	begun   bool
	serial  uint32
	follows uint32   // sequence number that the next page must have
	partial []byte   // of a packet that goes on, on the next page
	open    bool     // partial is in use
	packets [][]byte // reused
}

// oggPacketPage is what a page brings.
type oggPacketPage struct {
	packets [][]byte // whole packets that end on the page, good until the next page is read
	granule int64    // position of the last one's end; -1 where none ends
	lost    bool     // pages before this one are missing
	last    bool     // of the stream
}

// next reads a page and gives the packets that end on it; io.EOF where there are no more pages.
func (o *oggPackets) next() (oggPacketPage, error) {
	p, err := o.pages.next()
	if err != nil {
		return oggPacketPage{}, err
	}
	switch {
	case !o.begun && !p.first:
		return oggPacketPage{}, errors.New("the Ogg file does not begin with the beginning of a stream")
	case o.begun && (p.serial != o.serial || p.first):
		return oggPacketPage{}, errSeveralStreams
	}
	out := oggPacketPage{granule: p.granule, last: p.last, lost: o.begun && p.sequence != o.follows}
	o.begun, o.serial, o.follows = true, p.serial, p.sequence+1
	// A packet whose beginning or rest went with a lost page is lost, too.
	dropping := p.continued && (out.lost || !o.open)
	if out.lost || !p.continued {
		o.open = false
	}
	if !o.open {
		o.partial = nil
	}
	o.packets = o.packets[:0]
	body := p.body
	for lacing := p.lacing; len(lacing) > 0; {
		n, ends := 0, false
		for len(lacing) > 0 && !ends {
			n, ends = n+int(lacing[0]), lacing[0] < 255
			lacing = lacing[1:]
		}
		piece := body[:n]
		body = body[n:]
		switch {
		case dropping:
		case ends && !o.open:
			o.packets = append(o.packets, piece)
		default:
			if o.partial = append(o.partial, piece...); len(o.partial) > maxOggPacket {
				return oggPacketPage{}, fmt.Errorf("an Ogg packet is larger than %d MB", maxOggPacket>>20)
			}
			if o.open = !ends; ends {
				o.packets = append(o.packets, o.partial)
				o.partial = nil
			}
		}
		dropping = dropping && !ends
	}
	out.packets = o.packets
	return out, nil
}

var errSeveralStreams = unsupported{"an Ogg file with several streams in it"}

// lastPage finds the last whole page with a granule position.
func lastPage(r io.ReadSeeker, size int64) (oggPage, error) {
	const window = 16 * maxOggPage
	for end := size; end > 0; {
		from := max(0, end-window)
		if _, err := r.Seek(from, io.SeekStart); err != nil {
			return oggPage{}, err
		}
		pages, found := newOggPages(io.LimitReader(r, end-from)), oggPage{granule: -1}
		for {
			p, err := pages.next()
			if err != nil {
				if errors.Is(err, io.EOF) {
					break
				}
				return oggPage{}, err
			}
			if p.granule != -1 {
				found = p
			}
		}
		if found.granule != -1 {
			return found, nil
		}
		if from == 0 {
			break
		}
		end = from + maxOggPage // a page may lie across the windows
	}
	return oggPage{}, errors.New("there is no whole Ogg page in the file")
}

var oggTable = func() (t [256]uint32) {
	for i := range t {
		v := uint32(i) << 24
		for range 8 {
			if v&0x80000000 != 0 {
				v = v<<1 ^ 0x04c11db7
			} else {
				v <<= 1
			}
		}
		t[i] = v
	}
	return t
}()

// oggSum is Ogg's checksum: CRC-32 with polynomial 04c11db7, most significant bit first, from zero.
func oggSum(b []byte) uint32 {
	var sum uint32
	for _, c := range b {
		sum = sum<<8 ^ oggTable[byte(sum>>24)^c]
	}
	return sum
}
