package media

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"banter/internal/problem"
)

// wavSource reads RIFF WAVE, RF64 and BW64 with integer or float PCM.
type wavSource struct {
	in     Info
	damage damages // a cut end: samples have no checksum
	r      *bufio.Reader
	bytes  int // of a sample
	float  bool
	left   int64 // bytes of sound not yet read
	buffer []byte
}

// unknownLength is the least length that stands for none: programs that cannot know it write this much or more.
const unknownLength = 0x7fff_f000

// openWAV reads the headers up to the sound. See Microsoft's "Multiple channel audio data and WAVE files" and EBU
// Tech 3306 for RF64.
func openWAV(r io.ReadSeeker, size int64, strict bool) (source, error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, errors.New("the WAV header is cut off")
	}
	var (
		riff     = int64(binary.LittleEndian.Uint32(head[4:]))
		at       = int64(12)
		ds64Data = int64(-1) // size of the data chunk from a ds64 chunk
		s        *wavSource
	)
	for chunk := 0; ; chunk++ {
		if chunk > 10000 {
			return nil, errors.New("the WAV header has more than 10000 chunks")
		}
		var ch [8]byte
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(r, ch[:]); err != nil {
			return nil, &problem.Error{Err: errors.New("the WAV file has no sound: its data chunk is missing"), Fix: fixDamaged}
		}
		id, n := string(ch[:4]), int64(binary.LittleEndian.Uint32(ch[4:]))
		at += 8
		switch id {
		case "ds64":
			var b [16]byte
			if _, err := io.ReadFull(r, b[:]); err != nil || n < 16 {
				return nil, errors.New("the ds64 chunk is cut off")
			}
			v := binary.LittleEndian.Uint64(b[8:])
			if v > math.MaxInt64/2 {
				return nil, fmt.Errorf("the ds64 chunk claims %d bytes of sound", v)
			}
			ds64Data = int64(v)
		case "fmt ":
			b := make([]byte, min(n, 64))
			if _, err := io.ReadFull(r, b); err != nil {
				return nil, errors.New("the fmt chunk is cut off")
			}
			var err error
			if s, err = parseWAVFormat(b); err != nil {
				return nil, err
			}
		case "data":
			if s == nil {
				return nil, errors.New("the WAV file has no fmt chunk before its data")
			}
			if ds64Data >= 0 && n == math.MaxUint32 {
				n = ds64Data
			}
			have := max(size-at, 0)
			frame := int64(s.bytes * s.in.Channels)
			s.damage.strict = strict
			switch {
			case ds64Data < 0 && n >= unknownLength, n == 0 && riff <= at-8:
				// A program that wrote to a pipe could not go back to fill in the lengths, and one that was killed did not.
				s.in.Warnings = append(s.in.Warnings, "the WAV header gives no length: reading to the end of the file")
				n = have
			case n > have && have >= frame:
				if err := s.damage.add(framesTime(have/frame, s.in.SampleRate), framesTime(n/frame, s.in.SampleRate), CutOff); err != nil {
					return nil, err
				}
				n = have
			}
			if min(n, have) < frame {
				return nil, &problem.Error{Err: errors.New("the WAV file holds no sound"), Fix: "check how it was recorded"}
			}
			if n%frame != 0 {
				s.in.Warnings = append(s.in.Warnings, fmt.Sprintf("the last %d bytes are less than one sample and are left out", n%frame))
			}
			s.left = n - n%frame
			s.in.Duration = framesTime(s.left/frame, s.in.SampleRate)
			s.in.Bytes = size
			s.in = singleTrack(s.in)
			s.r = bufio.NewReaderSize(r, 1<<16)
			return s, nil
		}
		at += n + n&1
		if at >= size {
			return nil, &problem.Error{Err: fmt.Errorf("the WAV file ends within its %q chunk, before any sound", id), Fix: fixDamaged}
		}
	}
}

func parseWAVFormat(b []byte) (*wavSource, error) {
	if len(b) < 16 {
		return nil, errors.New("the fmt chunk is too short")
	}
	var (
		tag   = binary.LittleEndian.Uint16(b)
		ch    = int(binary.LittleEndian.Uint16(b[2:]))
		rate  = int64(binary.LittleEndian.Uint32(b[4:]))
		align = int(binary.LittleEndian.Uint16(b[12:]))
		bits  = int(binary.LittleEndian.Uint16(b[14:]))
	)
	if tag == 0xfffe { // extensible: the tag is the start of the sub-format's GUID
		if len(b) < 26 {
			return nil, errors.New("the extensible fmt chunk is too short")
		}
		tag = binary.LittleEndian.Uint16(b[24:])
	}
	if ch < 1 || ch > 64 {
		return nil, fmt.Errorf("the WAV header claims %d channels", ch)
	}
	if rate < 1000 || rate > 768000 {
		return nil, fmt.Errorf("the WAV header claims a sample rate of %d Hz", rate)
	}
	s := &wavSource{in: Info{Container: "wav", SampleRate: int(rate), Channels: ch}, bytes: (bits + 7) / 8}
	switch {
	case tag == 1 && bits >= 1 && bits <= 8:
		s.in.Codec = "pcm_u8"
	case tag == 1 && bits <= 32 && bits > 8:
		s.in.Codec = fmt.Sprintf("pcm_s%dle", s.bytes*8)
	case tag == 3 && (bits == 32 || bits == 64):
		s.float = true
		s.in.Codec = fmt.Sprintf("pcm_f%dle", bits)
	case tag == 1 || tag == 3:
		return nil, fmt.Errorf("the WAV header claims samples of %d bits", bits)
	default:
		return nil, unsupported{fmt.Sprintf("WAV with codec tag %#04x", tag)}
	}
	if align != s.bytes*ch {
		return nil, fmt.Errorf("the WAV header contradicts itself: %d channels of %d bits in blocks of %d bytes", ch, bits, align)
	}
	return s, nil
}

func (s *wavSource) info() Info                   { return s.damage.put(s.in) }
func (s *wavSource) survey(context.Context) error { return nil } // opening told all there is
func (s *wavSource) channels() int                { return s.in.Channels }
func (s *wavSource) close() error                 { return nil }

func (s *wavSource) read(dst []float32) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(dst)/s.in.Channels*s.in.Channels*s.bytes), s.left)
	if int64(cap(s.buffer)) < n {
		s.buffer = make([]byte, n)
	}
	b := s.buffer[:n]
	if _, err := io.ReadFull(s.r, b); err != nil {
		return 0, fmt.Errorf("the file became shorter while it was read: %w", err)
	}
	s.left -= n
	count := int(n) / s.bytes
	switch {
	case s.float && s.bytes == 4:
		for i := range count {
			dst[i] = finite(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
		}
	case s.float:
		for i := range count {
			dst[i] = finite(float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))))
		}
	case s.bytes == 1:
		for i := range count {
			dst[i] = (float32(b[i]) - 128) / 128
		}
	case s.bytes == 2:
		for i := range count {
			dst[i] = float32(int16(binary.LittleEndian.Uint16(b[2*i:]))) / (1 << 15)
		}
	case s.bytes == 3:
		for i := range count {
			v := int32(b[3*i])<<8 | int32(b[3*i+1])<<16 | int32(b[3*i+2])<<24
			dst[i] = float32(v) / (1 << 31)
		}
	default:
		for i := range count {
			dst[i] = float32(int32(binary.LittleEndian.Uint32(b[4*i:]))) / (1 << 31)
		}
	}
	return count, nil
}

// finite replaces what is not a number, so that one bad sample cannot spread through the resampler.
func finite(v float32) float32 {
	if v != v || v > math.MaxFloat32 || v < -math.MaxFloat32 {
		return 0
	}
	return v
}
