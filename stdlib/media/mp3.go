package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/hajimehoshi/go-mp3"
)

// mp3Delay is the delay of every layer III decoder: 528 samples of the filter bank, and one.
const mp3Delay = 528 + 1

// mp3Source decodes MPEG-1 layer III. The frames are walked here, so that damage is found where the library would
// search on in silence, and what the encoder put before and after the sound is cut off by the LAME tag.
type mp3Source struct {
	in      Info
	frames  *mp3Frames
	feed    bytes.Reader // one frame, for dec
	dec     *mp3.Decoder // nil before the first frame and after one that did not decode
	damage  damages
	lost    []int64 // frames in each of the holes that are still to come
	silent  int64   // frames of silence to be given before held
	held    []byte  // a frame that was read and not decoded
	at      int64   // samples given so far, the encoder's delay included
	skip    int64   // samples at the start that are no sound
	end     int64   // sample before which the sound ends
	sound   []byte  // one frame of 16-bit stereo, which is what the library gives, for mono, too
	pending []byte
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

// openMP3 walks through the file, to know what it holds and lacks.
func openMP3(r io.ReadSeeker, size int64, strict bool) (source, error) {
	frames, err := newMP3Frames(r, size)
	if err != nil {
		return nil, err
	}
	h := frames.first
	if h.layer != 3 || h.version != 1 {
		return nil, unsupported{fmt.Sprintf("MPEG-%s layer %d", map[int]string{1: "1", 2: "2", 25: "2.5"}[h.version], h.layer)}
	}
	s := &mp3Source{damage: damages{strict: strict}, in: singleTrack(Info{
		Container: "mp3", Codec: "mp3", SampleRate: h.rate, Channels: h.channels, Bytes: size,
	})}
	holes, err := frames.walk()
	if err != nil {
		return nil, err
	}
	tag := frames.tag
	exact := holes.measure(frames.count, frames.bytes, tag.frames, !frames.cut)
	there := frames.count + holes.frames() // whole frames, and what stands for lost ones
	if tag.frames > 0 && there > tag.frames+1 {
		s.in.Warnings = append(s.in.Warnings, fmt.Sprintf("the MP3 file goes on after the %s that its header promises",
			clock(framesTime(tag.frames*mp3Samples, h.rate))))
		tag.frames = 0
	}
	// Some encoders count the frame of the tag, too.
	cut := there+1 < tag.frames || tag.frames == 0 && frames.cut
	s.end = there * mp3Samples
	if tag.gapless && tag.delay+tag.padding < s.end {
		s.skip = tag.delay + mp3Delay
		if !cut && tag.frames > 0 {
			s.end = tag.frames*mp3Samples - tag.padding + mp3Delay // its delay brings the decoder's sound nearer to the end
		}
	} else {
		s.in.Warnings = append(s.in.Warnings, "the MP3 file does not say how much its encoder put before the sound: times may be about 25 ms late")
	}
	s.in.Duration = framesTime(max(min(s.end, there*mp3Samples)-s.skip, 0), h.rate)
	loss := Guessed
	if exact {
		loss = Silenced
	}
	before := int64(0) // frames lost before this hole
	for _, hole := range holes {
		from := hole.at + before
		if err := s.damage.add(s.time(from), s.time(from+hole.frames+hole.muted), loss); err != nil {
			return nil, err
		}
		before += hole.frames
		s.lost = append(s.lost, hole.frames)
	}
	if cut {
		if err := s.damage.add(s.in.Duration, max(s.in.Duration, s.time(tag.frames)), CutOff); err != nil {
			return nil, err
		}
	}
	s.frames, err = newMP3Frames(r, size)
	return s, err
}

// time is the stream time at which a frame begins.
func (s *mp3Source) time(frame int64) time.Duration {
	return framesTime(max(frame*mp3Samples-s.skip, 0), s.in.SampleRate)
}

func (s *mp3Source) info() Info                   { return s.damage.put(s.in) }
func (s *mp3Source) channels() int                { return s.in.Channels }
func (s *mp3Source) close() error                 { return nil }
func (s *mp3Source) survey(context.Context) error { return nil } // opening told all there is

func (s *mp3Source) read(dst []float32) (int, error) {
	for len(s.pending) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	count := min(len(dst)/s.in.Channels, len(s.pending)/mp3Stereo)
	for i := range count {
		l, r := int16(binary.LittleEndian.Uint16(s.pending[i*mp3Stereo:])), int16(binary.LittleEndian.Uint16(s.pending[i*mp3Stereo+2:]))
		if s.in.Channels == 1 {
			dst[i] = float32(l) / (1 << 15)
		} else {
			dst[2*i], dst[2*i+1] = float32(l)/(1<<15), float32(r)/(1<<15)
		}
	}
	s.pending = s.pending[count*mp3Stereo:]
	return count * s.in.Channels, nil
}

const (
	mp3Samples = 1152 // of a frame, each channel
	mp3Stereo  = 4    // bytes of a sample in two channels
)

// next puts the sound of one frame, or as much silence, into pending.
func (s *mp3Source) next() error {
	if s.sound == nil {
		s.sound = make([]byte, mp3Samples*mp3Stereo)
	}
	switch {
	case s.silent > 0:
		s.silent--
		clear(s.sound)
	case s.held != nil:
		if err := s.decode(s.held); err != nil {
			return err
		}
		s.held = nil
	default:
		frame, skipped, err := s.frames.next()
		if err != nil {
			return err
		}
		s.held = frame
		if skipped > 0 && len(s.lost) > 0 {
			s.silent, s.lost = s.lost[0], s.lost[1:]
			s.dec = nil // what it remembers is of before the hole
		}
		return nil
	}
	from := min(max(s.skip-s.at, 0), mp3Samples)
	to := max(min(s.end-s.at, mp3Samples), from)
	s.at += mp3Samples
	s.pending = s.sound[from*mp3Stereo : to*mp3Stereo]
	return nil
}

// decode decodes one frame, or gives silence for one that does not decode.
func (s *mp3Source) decode(frame []byte) error {
	if s.frames.muted {
		muteMP3(frame, s.frames.first)
	}
	s.feed.Reset(frame)
	if err := s.decodeFed(); err == nil {
		return nil
	}
	s.dec = nil
	clear(s.sound)
	frames := s.at / mp3Samples
	return s.damage.add(s.time(frames), s.time(frames+1), Silenced)
}

// decodeFed has the library decode the frame in feed. It breaks with a panic on some damaged ones.
func (s *mp3Source) decodeFed() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked("mp3", v)
		}
	}()
	if s.dec == nil {
		if s.dec, err = mp3.NewDecoder(&s.feed); err != nil {
			return err
		}
	}
	_, err = io.ReadFull(s.dec, s.sound)
	return err
}
