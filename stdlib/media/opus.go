package media

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"

	"github.com/pion/opus"

	"banter/internal/problem"
)

// opusRate is the rate at which Opus counts time, whatever the sound's own rate was.
const opusRate = 48000

// opusSource decodes Ogg Opus (RFC 7845) with one or two channels. The granule positions of the pages are the clock: where
// they say that time went by without sound, silence is given.
type opusSource struct {
	in      Info
	ogg     oggPackets
	dec     opus.Decoder
	gain    float32
	preSkip int64
	base    int64    // granule position before the first packet; -1 until it is known
	at      int64    // samples from base to the next one to be given
	end     int64    // where the last page says that the sound ends, from base; -1 until it is read
	packets [][]byte // of the current page, not yet decoded
	silence int64    // samples to be given before these
	damage  damages
	buf     []float32 // one packet
	pending []float32
}

// maxGranule keeps sums of positions far from overflow: ten years.
const maxGranule = 10 * 365 * 86400 * opusRate

// maxOpusSamples is the longest packet, at opusRate: 120 ms.
const maxOpusSamples = 5760

func openOpus(r io.ReadSeeker, size int64, strict bool) (source, error) {
	damaged := func(err error) error { return &problem.Error{Err: err, Fix: fixDamaged} }
	last, err := lastPage(r, size)
	if err != nil {
		return nil, damaged(err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	s := &opusSource{base: -1, end: -1, damage: damages{strict: strict}, buf: make([]float32, 2*maxOpusSamples)}
	s.ogg.pages = newOggPages(r)
	page, err := s.ogg.next()
	if err != nil {
		return nil, damaged(cut(err))
	}
	if s.ogg.serial != last.serial {
		return nil, errSeveralStreams
	}
	if len(page.packets) != 1 {
		return nil, damaged(errors.New("the Opus header is damaged"))
	}
	head := page.packets[0]
	if len(head) < 19 || string(head[:8]) != "OpusHead" || head[8]&0xf0 != 0 {
		return nil, damaged(errors.New("the Opus header is damaged"))
	}
	channels := int(head[9])
	s.preSkip = int64(binary.LittleEndian.Uint16(head[10:]))
	gain := int16(binary.LittleEndian.Uint16(head[16:]))
	if head[18] != 0 || channels > 2 {
		return nil, unsupported{"Opus with more than two channels"}
	}
	if channels < 1 {
		return nil, errors.New("the Opus header claims no channels")
	}
	s.gain = float32(math.Pow(10, float64(gain)/(20*256)))
	if s.dec, err = opus.NewDecoderWithOutput(opusRate, channels); err != nil {
		return nil, err
	}
	s.in = singleTrack(Info{Container: "ogg", Codec: "opus", SampleRate: opusRate, Channels: channels, Bytes: size})
	// The first page of sound tells where the clock begins; before it come the comments, on pages of their own.
	lost := false
	for s.base < 0 {
		page, err := s.ogg.next()
		if errors.Is(err, io.EOF) {
			return nil, damaged(errors.New("the Ogg file holds no sound"))
		}
		if err != nil {
			return nil, damaged(err)
		}
		lost = lost || page.lost
		if len(page.packets) == 0 || string(page.packets[0][:min(8, len(page.packets[0]))]) == "OpusTags" {
			continue
		}
		page.lost = lost
		if err := s.take(page); err != nil {
			return nil, err
		}
	}
	if last.granule > maxGranule {
		return nil, damaged(errors.New("the clock of the Opus stream claims more than ten years"))
	}
	s.in.Duration = framesTime(max(last.granule-s.base-s.preSkip, 0), opusRate)
	if !last.last {
		if err := s.damage.add(s.in.Duration, s.in.Duration, CutOff); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *opusSource) info() Info { return s.damage.put(s.in) }

// survey goes over the pages: packets say how long they are without being decoded.
func (s *opusSource) survey(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.at += s.silence
		for _, p := range s.packets {
			s.at += opusSamples(p)
		}
		s.silence, s.packets = 0, nil
		if err := s.page(); errors.Is(err, io.EOF) {
			ends := s.at
			if s.end >= 0 {
				ends = min(ends, s.end)
			}
			s.in.Duration = framesTime(max(ends-s.preSkip, 0), opusRate)
			return nil
		} else if err != nil {
			return err
		}
	}
}

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

// take makes the packets of a page the next to be decoded, after silence for what is missing before them.
func (s *opusSource) take(page oggPacketPage) error {
	s.packets = s.packets[:0]
	var holds int64 // samples
	for _, p := range page.packets {
		if n := opusSamples(p); n > 0 {
			s.packets = append(s.packets, p)
			holds += n
		}
	}
	if page.granule < 0 {
		return nil // no packet ends here
	}
	if page.granule > maxGranule {
		return errors.New("the clock of the Opus stream claims more than ten years")
	}
	if s.base < 0 && len(s.packets) > 0 {
		// A stream may have been cut out of a longer one: then its positions do not begin at zero (RFC 7845, 4.3).
		// A last page may promise less than it holds, and one after a lost page tells nothing about the first.
		if s.base = 0; !page.last && !page.lost {
			s.base = max(0, page.granule-holds)
		}
	}
	ends := page.granule - s.base
	gap := ends - holds - s.at
	if page.last {
		s.end = ends
		if gap > 0 && len(s.packets) > 0 { // the last packet may hold more than is meant, so the gap is some packets longer
			n := opusSamples(s.packets[0])
			gap = (gap + n - 1) / n * n
		}
	} else if gap < 0 { // the clock was set back: go on as if it ran through
		s.base += gap
		return s.damage.add(s.time(s.at), s.time(s.at), Closed)
	}
	if gap <= 0 {
		return nil
	}
	s.silence = gap
	return s.damage.add(s.time(s.at), s.time(s.at+gap), Silenced)
}

// time is the stream time of a sample, counted from base.
func (s *opusSource) time(sample int64) time.Duration {
	return framesTime(max(sample-s.preSkip, 0), opusRate)
}

// next puts the sound of one packet, or as much silence, into pending.
func (s *opusSource) next() error {
	if s.silence > 0 {
		n := min(s.silence, maxOpusSamples)
		s.silence -= n
		clear(s.buf[:n*int64(s.in.Channels)])
		s.give(n)
		return nil
	}
	if len(s.packets) == 0 {
		return s.page()
	}
	packet := s.packets[0]
	s.packets = s.packets[1:]
	samples := opusSamples(packet)
	if !s.decode(packet, samples) {
		clear(s.buf[:samples*int64(s.in.Channels)])
		if err := s.damage.add(s.time(s.at), s.time(s.at+samples), Silenced); err != nil {
			return err
		}
	}
	s.give(samples)
	return nil
}

// page takes the next page.
func (s *opusSource) page() error {
	page, err := s.ogg.next()
	var u unsupported
	if errors.As(err, &u) {
		return &problem.Error{Err: err, Fix: "save it as one stream with ffmpeg -i IN OUT.flac"}
	}
	if err != nil {
		return err // io.EOF included
	}
	return s.take(page)
}

// decode puts the samples of a packet into buf, and says whether they are those that its first bytes promise. The library
// breaks with a panic on some damaged packets.
func (s *opusSource) decode(packet []byte, samples int64) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	n, err := s.dec.DecodeToFloat32(packet, s.buf)
	return err == nil && int64(n) == samples
}

// give makes the n samples in buf pending, without what the header and the last page say is not sound.
func (s *opusSource) give(n int64) {
	from, to := min(max(s.preSkip-s.at, 0), n), n
	if s.end >= 0 {
		to = min(max(s.end-s.at, from), n)
	}
	s.at += n
	ch := int64(s.in.Channels)
	s.pending = s.buf[from*ch : to*ch]
	for i, v := range s.pending {
		s.pending[i] = finite(v * s.gain)
	}
}

// opusSamples is how long a packet lasts at opusRate, from its first bytes (RFC 6716, 3.1 and 3.2); 0 for what is no packet.
func opusSamples(packet []byte) int64 {
	if len(packet) == 0 {
		return 0
	}
	var frame, frames int64 // samples, and how many of them
	switch config := packet[0] >> 3; {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		frame = [4]int64{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		frame = [2]int64{480, 960}[config&1]
	default: // CELT: 2.5, 5, 10, 20 ms
		frame = 120 << (config & 3)
	}
	switch packet[0] & 3 {
	case 0:
		frames = 1
	case 1, 2:
		frames = 2
	case 3:
		if len(packet) < 2 {
			return 0
		}
		frames = int64(packet[1] & 0x3f)
	}
	if frame*frames > maxOpusSamples {
		return 0
	}
	return frame * frames
}
