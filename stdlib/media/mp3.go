package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hajimehoshi/go-mp3"

	"banter/internal/problem"
)

// mp3Delay is the delay of every layer III decoder: 528 samples of the filter bank, and one.
const mp3Delay = 528 + 1

// mp3Source decodes MPEG-1 layer III. The frames are walked here, so that damage is found where the library would
// search on in silence, and what the encoder put before and after the sound is cut off by the LAME tag.
type mp3Source struct {
	in     Info
	frames *mp3Frames
	dec    *mp3.Decoder // nil until the first read
	skip   int64        // samples still to be left out at the start
	left   int64        // samples still to be given; -1 where not known
	bytes  []byte
}

// mp3Header is what the four bytes before each frame say.
type mp3Header struct {
	version  int // 1, 2, or 25 for 2.5
	layer    int
	rate     int // Hz
	channels int
	samples  int // per channel
	bytes    int // of the frame, header included
	crc      bool
}

var mp3Bitrates = [2][3][15]int{ // [MPEG-1, MPEG-2 and 2.5][layer - 1][index], kbit/s
	{
		{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
		{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
		{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	},
	{
		{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
	},
}

// parseMP3Header reads a frame header (ISO/IEC 11172-3, 2.4.2.3). Free-format frames are not accepted.
func parseMP3Header(b []byte) (mp3Header, bool) {
	if len(b) < 4 || b[0] != 0xff || b[1]&0xe0 != 0xe0 {
		return mp3Header{}, false
	}
	var h mp3Header
	low := 1
	switch b[1] >> 3 & 3 {
	case 0:
		h.version = 25
	case 2:
		h.version = 2
	case 3:
		h.version, low = 1, 0
	default:
		return mp3Header{}, false
	}
	h.layer = 4 - int(b[1]>>1&3)
	h.crc = b[1]&1 == 0
	index, rate := int(b[2]>>4), int(b[2]>>2&3)
	if h.layer == 4 || index == 0 || index == 15 || rate == 3 || b[3]&3 == 2 {
		return mp3Header{}, false
	}
	h.rate = [3]int{44100, 48000, 32000}[rate] >> low
	if h.version == 25 {
		h.rate >>= 1
	}
	h.channels = 2
	if b[3]>>6 == 3 {
		h.channels = 1
	}
	h.samples = 1152
	if h.layer == 1 {
		h.samples = 384
	} else if h.layer == 3 && low == 1 {
		h.samples = 576
	}
	padding := int(b[2] >> 1 & 1)
	bitrate := mp3Bitrates[low][h.layer-1][index] * 1000
	if h.layer == 1 {
		h.bytes = (12*bitrate/h.rate + padding) * 4
	} else {
		h.bytes = h.samples/8*bitrate/h.rate + padding
	}
	return h, h.bytes > 4+32
}

// compatible reports whether both can be frames of one stream.
func (h mp3Header) compatible(o mp3Header) bool {
	return h.version == o.version && h.layer == o.layer && h.rate == o.rate && h.channels == o.channels
}

// mp3Tag is the first frame's note on the whole: Xing's or VBRI's, with LAME's extension.
type mp3Tag struct {
	frames  int64 // after the tag's own; 0 where not given
	gapless bool
	delay   int64 // samples that the encoder put before the sound
	padding int64 // and after it
}

// parseMP3Tag looks for the tag in the first frame. See gabriel.mp3-tech.org/mp3infotag.html.
func parseMP3Tag(b []byte, h mp3Header) (mp3Tag, bool) {
	side := 32
	if h.channels == 1 {
		side = 17
	}
	if h.version != 1 {
		side = 17
		if h.channels == 1 {
			side = 9
		}
	}
	at := func(n int) []byte {
		if n > len(b) {
			return nil
		}
		return b[n:]
	}
	if v := at(4 + 32); len(v) >= 18 && string(v[:4]) == "VBRI" {
		return mp3Tag{frames: int64(binary.BigEndian.Uint32(v[14:]))}, true
	}
	x := at(4 + side)
	if len(x) < 8 || string(x[:4]) != "Xing" && string(x[:4]) != "Info" {
		return mp3Tag{}, false
	}
	var tag mp3Tag
	flags := binary.BigEndian.Uint32(x[4:])
	x = x[8:]
	for _, field := range []struct {
		flag  uint32
		bytes int
	}{{1, 4}, {2, 4}, {4, 100}, {8, 4}} {
		if flags&field.flag == 0 {
			continue
		}
		if len(x) < field.bytes {
			return tag, true
		}
		if field.flag == 1 {
			tag.frames = int64(binary.BigEndian.Uint32(x))
		}
		x = x[field.bytes:]
	}
	if len(x) >= 24 && (bytes.HasPrefix(x, []byte("LAME")) || bytes.HasPrefix(x, []byte("Lavf")) || bytes.HasPrefix(x, []byte("Lavc"))) {
		tag.gapless = true
		tag.delay = int64(x[21])<<4 | int64(x[22])>>4
		tag.padding = int64(x[22]&0x0f)<<8 | int64(x[23])
	}
	return tag, true
}

func openMP3(r io.ReadSeeker, size int64) (source, error) {
	frames, err := newMP3Frames(r, size)
	if err != nil {
		return nil, err
	}
	h := frames.first
	if h.layer != 3 || h.version != 1 {
		return nil, unsupported{fmt.Sprintf("MPEG-%s layer %d", map[int]string{1: "1", 2: "2", 25: "2.5"}[h.version], h.layer)}
	}
	s := &mp3Source{frames: frames, left: -1, in: singleTrack(Info{
		Container: "mp3", Codec: "mp3", SampleRate: h.rate, Channels: h.channels, Bytes: size,
	})}
	count := frames.tag.frames
	if count == 0 { // walk the frames, without decoding them
		if _, err := io.Copy(io.Discard, frames); err != nil {
			return nil, &problem.Error{At: clock(framesTime(frames.count*int64(h.samples), h.rate)), Err: err, Fix: fixDamaged}
		}
		count = frames.count
		if frames, err = newMP3Frames(r, size); err != nil {
			return nil, err
		}
		s.frames = frames
	}
	total := count * int64(h.samples)
	if frames.tag.gapless && frames.tag.delay+frames.tag.padding < total {
		s.skip = frames.tag.delay + mp3Delay
		s.left = total - frames.tag.delay - frames.tag.padding
		total = s.left
	} else {
		s.in.Warnings = append(s.in.Warnings, "the MP3 file does not say how much its encoder put before the sound: times may be about 25 ms late")
	}
	s.in.Duration = framesTime(total, h.rate)
	return s, nil
}

func (s *mp3Source) info() Info    { return s.in }
func (s *mp3Source) channels() int { return s.in.Channels }
func (s *mp3Source) close() error  { return nil }

func (s *mp3Source) read(dst []float32) (int, error) {
	if s.dec == nil {
		dec, err := mp3.NewDecoder(s.frames)
		if err != nil {
			return 0, s.why(err)
		}
		s.dec = dec
	}
	const frame = 4 // bytes: the library gives 16-bit stereo, mono too
	for s.left != 0 {
		want := len(dst) / s.in.Channels
		if s.left > 0 {
			want = int(min(int64(want), s.left))
		}
		if cap(s.bytes) < want*frame {
			s.bytes = make([]byte, want*frame)
		}
		n, err := io.ReadFull(s.dec, s.bytes[:want*frame])
		got := n / frame
		b := s.bytes[:got*frame]
		if drop := min(int64(got), s.skip); drop > 0 {
			s.skip -= drop
			b = b[drop*frame:]
			got -= int(drop)
		}
		for i := range got {
			l, r := int16(binary.LittleEndian.Uint16(b[i*frame:])), int16(binary.LittleEndian.Uint16(b[i*frame+2:]))
			if s.in.Channels == 1 {
				dst[i] = float32(l) / (1 << 15)
			} else {
				dst[2*i], dst[2*i+1] = float32(l)/(1<<15), float32(r)/(1<<15)
			}
		}
		if s.left > 0 {
			s.left -= int64(got)
		}
		if err != nil {
			if err = s.why(err); errors.Is(err, io.EOF) && s.left > mp3Delay {
				err = errors.New("the MP3 decoder gave less sound than the frames hold")
			}
			return got * s.in.Channels, err
		}
		if got > 0 {
			return got * s.in.Channels, nil
		}
	}
	// Read the frames to their end, for damage there would mean that sound is missing.
	if _, err := io.Copy(io.Discard, s.frames); err != nil {
		return 0, err
	}
	return 0, s.why(io.EOF)
}

// why prefers what the walk over the frames found to what the library made of it.
func (s *mp3Source) why(err error) error {
	if s.frames.err != nil && !errors.Is(s.frames.err, io.EOF) {
		return s.frames.err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// mp3Frames gives the bytes of the whole frames of a file, without tags and without the frame that holds the tag.
type mp3Frames struct {
	r     *bufio.Reader
	left  int64 // bytes of the file after what r gave
	first mp3Header
	tag   mp3Tag
	count int64  // frames given
	frame []byte // of the current frame, what is not yet given
	buf   []byte
	err   error // sticky
}

func newMP3Frames(r io.ReadSeeker, size int64) (*mp3Frames, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	f := &mp3Frames{r: bufio.NewReaderSize(r, 1<<16), left: size}
	for { // tags may follow each other
		b, err := f.r.Peek(10)
		if err != nil {
			return nil, errors.New("the MP3 file holds no sound")
		}
		n, ok := id3Size(b)
		if !ok {
			break
		}
		if n >= f.left {
			return nil, fmt.Errorf("the ID3 tag claims %d bytes of the %d that are left", n, f.left)
		}
		if _, err := io.CopyN(io.Discard, f.r, n); err != nil {
			return nil, err
		}
		f.left -= n
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
		f.r.Discard(1)
		f.left--
	}
	b, _ := f.r.Peek(4)
	h, ok := parseMP3Header(b)
	if !ok {
		return nil, unsupported{"what follows the ID3 tag"}
	}
	f.first = h
	if err := f.next(); err != nil {
		return nil, err
	}
	if tag, ok := parseMP3Tag(f.frame, h); ok {
		f.tag, f.frame, f.count = tag, nil, 0
	}
	return f, nil
}

func (f *mp3Frames) Read(p []byte) (int, error) {
	for len(f.frame) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		f.err = f.next()
	}
	n := copy(p, f.frame)
	f.frame = f.frame[n:]
	return n, nil
}

// next reads the next whole frame.
func (f *mp3Frames) next() error {
	if f.left < 4 || f.atTrailer() {
		if f.count < f.tag.frames {
			return fmt.Errorf("the MP3 file ends here, but its header promises %s", clock(framesTime(f.tag.frames*int64(f.first.samples), f.first.rate)))
		}
		return io.EOF
	}
	b, err := f.r.Peek(4)
	if err != nil {
		return cut(err)
	}
	h, ok := parseMP3Header(b)
	switch {
	case !ok:
		return errors.New("there is something that is not MP3 here")
	case !h.compatible(f.first):
		return errors.New("the MP3 stream changes its sample rate or channels here")
	case int64(h.bytes) > f.left:
		return errors.New("the file is cut off within an MP3 frame")
	}
	if cap(f.buf) < h.bytes {
		f.buf = make([]byte, h.bytes)
	}
	f.frame = f.buf[:h.bytes]
	if _, err := io.ReadFull(f.r, f.frame); err != nil {
		f.frame = nil
		return cut(err)
	}
	f.left -= int64(h.bytes)
	f.count++
	return nil
}

// atTrailer reports whether tags or zeros fill the rest of the file.
func (f *mp3Frames) atTrailer() bool {
	b, _ := f.r.Peek(int(min(f.left, 11)))
	for _, magic := range []string{"TAG", "APETAGEX", "LYRICSBEGIN", "ID3", "3DI"} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
	}
	if b, _ = f.r.Peek(int(min(f.left, 4096))); len(b) > 0 {
		return len(bytes.TrimLeft(b, "\x00")) == 0
	}
	return false
}
