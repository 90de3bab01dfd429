package media

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/pion/opus"

	"banter/internal/problem"
)

// opusRate is the rate at which Opus counts time, whatever the sound's own rate was.
const opusRate = 48000

// opusSource decodes Ogg Opus (RFC 7845) with one or two channels.
type opusSource struct {
	in      Info
	ogg     oggPackets
	dec     opus.Decoder
	gain    float32
	skip    int64     // samples still to be left out at the start
	decoded int64     // samples of all packets so far
	base    int64     // granule position before the first packet; -1 until the first page is through
	buf     []float32 // one packet
	pending []float32
}

func openOpus(r io.ReadSeeker, size int64) (source, error) {
	last, err := lastGranule(r, size)
	if err != nil {
		return nil, &problem.Error{Err: err, Fix: fixDamaged}
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	s := &opusSource{base: -1, buf: make([]float32, 2*5760)}
	s.ogg.pages.r = bufio.NewReaderSize(r, 1<<16)
	head, _, err := s.ogg.readPacket()
	if err != nil {
		return nil, &problem.Error{Err: err, Fix: fixDamaged}
	}
	if len(head) < 19 || string(head[:8]) != "OpusHead" || head[8]&0xf0 != 0 {
		return nil, &problem.Error{Err: errors.New("the Opus header is damaged"), Fix: fixDamaged}
	}
	channels := int(head[9])
	preSkip := int64(binary.LittleEndian.Uint16(head[10:]))
	gain := int16(binary.LittleEndian.Uint16(head[16:]))
	if head[18] != 0 || channels > 2 {
		return nil, unsupported{"Opus with more than two channels"}
	}
	if channels < 1 {
		return nil, errors.New("the Opus header claims no channels")
	}
	s.gain = float32(math.Pow(10, float64(gain)/(20*256)))
	s.skip = preSkip
	tags, _, err := s.ogg.readPacket()
	if err != nil {
		return nil, &problem.Error{Err: err, Fix: fixDamaged}
	}
	if len(tags) < 8 || string(tags[:8]) != "OpusTags" {
		return nil, &problem.Error{Err: errors.New("the Opus comment header is damaged"), Fix: fixDamaged}
	}
	if s.dec, err = opus.NewDecoderWithOutput(opusRate, channels); err != nil {
		return nil, err
	}
	s.in = singleTrack(Info{
		Container: "ogg", Codec: "opus", SampleRate: opusRate, Channels: channels, Bytes: size,
		Duration: framesTime(max(last-preSkip, 0), opusRate),
	})
	return s, nil
}

func (s *opusSource) info() Info    { return s.in }
func (s *opusSource) channels() int { return s.in.Channels }
func (s *opusSource) close() error  { return nil }

func (s *opusSource) read(dst []float32) (int, error) {
	for len(s.pending) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(dst[:len(dst)/s.in.Channels*s.in.Channels], s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

// next decodes one packet and trims what the header and the last page say is not sound.
func (s *opusSource) next() error {
	packet, lastOnPage, err := s.ogg.readPacket()
	var u unsupported
	if errors.As(err, &u) {
		return &problem.Error{Err: err, Fix: "decode it with ffmpeg (the ByFFmpeg decoder)"}
	}
	if err != nil {
		return err // io.EOF included
	}
	if len(packet) == 0 {
		return errors.New("there is an empty Opus packet here")
	}
	n, err := s.dec.DecodeToFloat32(packet, s.buf)
	if err != nil {
		return fmt.Errorf("an Opus packet does not decode: %w", err)
	}
	ch := s.in.Channels
	start := s.decoded // position of this packet's first sample
	s.decoded += int64(n)
	from, to := int64(0), int64(n)
	if drop := min(s.skip, to); drop > 0 {
		from, s.skip = drop, s.skip-drop
	}
	if s.base < 0 && lastOnPage {
		// A stream may have been cut out of a longer one: then its positions do not begin at zero (RFC 7845, 4.3).
		s.base = max(0, s.ogg.granule-s.decoded)
		if s.ogg.ended {
			s.base = 0
		}
	}
	if s.ogg.ended {
		to = min(to, max(from, s.ogg.granule-max(s.base, 0)-start))
	} else if lastOnPage && s.ogg.granule-s.base != s.decoded {
		return fmt.Errorf("some Opus packets are missing: the page is at %s and the sound at %s",
			clock(framesTime(s.ogg.granule-s.base, opusRate)), clock(framesTime(s.decoded, opusRate)))
	}
	s.pending = s.buf[from*int64(ch) : to*int64(ch)]
	for i, v := range s.pending {
		s.pending[i] = finite(v * s.gain)
	}
	return nil
}
