package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// oggPages reads the pages of an Ogg file (RFC 3533) and checks their sums and their order.
type oggPages struct {
	r     *bufio.Reader
	begun bool
	next  uint32 // sequence number that the next page of serial must have
	buf   []byte
	page  oggPage
}

// oggPage is one page; its slices are good until the next one is read.
type oggPage struct {
	continued, first, last bool
	granule                int64 // -1 where no packet ends on the page
	serial                 uint32
	lacing                 []byte // segment lengths
	body                   []byte
}

// readPage reads the next page, io.EOF where the file ends between pages.
func (o *oggPages) readPage() (*oggPage, error) {
	if o.buf == nil {
		o.buf = make([]byte, 27+255+255*255)
	}
	h := o.buf[:27]
	if _, err := io.ReadFull(o.r, h); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, cut(err)
	}
	if string(h[:4]) != "OggS" || h[4] != 0 {
		return nil, errors.New("there is no Ogg page here")
	}
	segments := int(h[26])
	lacing := o.buf[27 : 27+segments]
	if _, err := io.ReadFull(o.r, lacing); err != nil {
		return nil, cut(err)
	}
	n := 0
	for _, l := range lacing {
		n += int(l)
	}
	body := o.buf[27+segments : 27+segments+n]
	if _, err := io.ReadFull(o.r, body); err != nil {
		return nil, cut(err)
	}
	want := binary.LittleEndian.Uint32(h[22:])
	clear(h[22:26])
	if oggSum(o.buf[:27+segments+n]) != want {
		return nil, errors.New("the checksum of an Ogg page does not match")
	}
	o.page = oggPage{
		continued: h[5]&1 != 0, first: h[5]&2 != 0, last: h[5]&4 != 0,
		granule: int64(binary.LittleEndian.Uint64(h[6:])),
		serial:  binary.LittleEndian.Uint32(h[14:]),
		lacing:  lacing, body: body,
	}
	seq := binary.LittleEndian.Uint32(h[18:])
	if o.begun && seq != o.next {
		return nil, fmt.Errorf("%d Ogg pages are missing here", int32(seq-o.next))
	}
	o.begun, o.next = true, seq+1
	return &o.page, nil
}

// maxOggPacket bounds one packet. Opus packets are below 62 KB; comment headers may hold a picture.
const maxOggPacket = 16 << 20

// oggPackets puts packets together from the pages of a file with one logical stream.
type oggPackets struct {
	pages   oggPages
	serial  uint32
	page    *oggPage
	packet  []byte
	ended   bool  // the page flagged as last has been read
	granule int64 // of the last page that a packet ended on
}

// readPacket gives the next packet and whether it is the last that ends on its page; it is good until the next call.
func (o *oggPackets) readPacket() (packet []byte, lastOnPage bool, err error) {
	o.packet = o.packet[:0]
	for {
		for o.page != nil && len(o.page.lacing) > 0 {
			n := int(o.page.lacing[0])
			o.packet = append(o.packet, o.page.body[:n]...)
			o.page.lacing, o.page.body = o.page.lacing[1:], o.page.body[n:]
			if len(o.packet) > maxOggPacket {
				return nil, false, fmt.Errorf("an Ogg packet is larger than %d MB", maxOggPacket>>20)
			}
			if n < 255 {
				return o.packet, !endsPacket(o.page.lacing), nil
			}
		}
		p, err := o.pages.readPage()
		if errors.Is(err, io.EOF) && (len(o.packet) > 0 || !o.ended) {
			return nil, false, errors.New("the file is cut off: the last Ogg page is missing")
		}
		if err != nil {
			return nil, false, err
		}
		switch {
		case o.page == nil && !p.first:
			return nil, false, errors.New("the Ogg file does not begin with the beginning of a stream")
		case o.page == nil:
			o.serial = p.serial
		case p.serial != o.serial || p.first:
			return nil, false, unsupported{"an Ogg file with several streams in it"}
		}
		if p.continued != (len(o.packet) > 0) {
			return nil, false, errors.New("an Ogg packet is broken off here")
		}
		o.page = p
		o.ended = o.ended || p.last
		if p.granule != -1 {
			o.granule = p.granule
		}
	}
}

// endsPacket reports whether a packet ends in these segments.
func endsPacket(lacing []byte) bool {
	for _, n := range lacing {
		if n < 255 {
			return true
		}
	}
	return false
}

// lastGranule finds the granule position of the last page of the file.
func lastGranule(r io.ReadSeeker, size int64) (int64, error) {
	const tail = 2 * (27 + 255 + 255*255)
	from := max(0, size-tail)
	if _, err := r.Seek(from, io.SeekStart); err != nil {
		return 0, err
	}
	b, err := io.ReadAll(io.LimitReader(r, tail))
	if err != nil {
		return 0, err
	}
	for end := len(b); ; {
		i := bytes.LastIndex(b[:end], []byte("OggS"))
		if i < 0 {
			return 0, errors.New("there is no whole Ogg page at the end of the file")
		}
		o := oggPages{r: bufio.NewReader(bytes.NewReader(b[i:]))}
		if p, err := o.readPage(); err == nil && p.granule != -1 {
			return p.granule, nil
		}
		end = i
	}
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
