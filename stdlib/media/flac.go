package media

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/mewkiz/flac/frame"

	"banter/internal/problem"
)

// flacSource reads native FLAC. The frames' numbers are its clock: silence stands for frames that are lost. Where none is, the
// sound is held against the MD5 sum in the header.
type flacSource struct {
	in      Info
	is      flacHeader
	frames  flacFrames
	damage  damages
	md5     hash.Hash // nil where the header has no sum
	silence int64     // samples to be given before held
	held    flacFrame // found and not yet decoded
	frame   *frame.Frame
	at      int   // next sample of frame
	done    int64 // samples found or taken for silence so far
	heard   bool  // a frame was found
	over    bool  // the end was judged
}

func openFLAC(r io.ReadSeeker, size int64, strict bool) (source, error) {
	is, err := readFLACHeader(r, size)
	if err != nil {
		return nil, &problem.Error{Err: fmt.Errorf("the FLAC header is damaged: %w", err), Fix: fixDamaged}
	}
	s := &flacSource{is: is, damage: damages{strict: strict}, in: singleTrack(Info{
		Container: "flac", Codec: "flac", SampleRate: is.rate, Channels: is.channels,
		Duration: framesTime(is.total, is.rate), Bytes: size,
	})}
	s.frames = flacFrames{r: r, is: is, size: size - is.bytesToFrames}
	if is.total == 0 {
		s.in.Warnings = append(s.in.Warnings, "the FLAC header does not say how long the recording is")
	}
	if is.md5 != [md5.Size]byte{} && is.bits <= 24 { // the library sums up no more
		s.md5 = md5.New()
	}
	return s, nil
}

func (s *flacSource) info() Info    { return s.damage.put(s.in) }
func (s *flacSource) channels() int { return s.in.Channels }
func (s *flacSource) close() error  { return nil }

func (s *flacSource) survey(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.find(); errors.Is(err, io.EOF) {
			s.in.Duration = framesTime(s.done, s.is.rate)
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (s *flacSource) read(dst []float32) (int, error) {
	ch := s.in.Channels
	scale := 1 / float32(uint64(1)<<(s.is.bits-1))
	n := 0
	for n+ch <= len(dst) {
		room := (len(dst) - n) / ch
		switch {
		case s.silence > 0:
			count := int(min(s.silence, int64(room)))
			clear(dst[n : n+count*ch])
			s.silence -= int64(count)
			n += count * ch
		case s.held.bytes != nil:
			if err := s.decode(); err != nil {
				return n, err
			}
		case s.frame != nil && s.at < int(s.frame.BlockSize):
			count := min(int(s.frame.BlockSize)-s.at, room)
			for c := range ch {
				for i, v := range s.frame.Subframes[c].Samples[s.at : s.at+count] {
					dst[n+i*ch+c] = float32(v) * scale
				}
			}
			s.at += count
			n += count * ch
		default:
			if err := s.find(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// find holds the next frame, after silence for those that are lost before it. At the end it judges whether all of the
// recording was there.
func (s *flacSource) find() error {
	if s.over {
		return io.EOF
	}
	f, err := s.frames.next()
	if errors.Is(err, io.EOF) {
		return s.end()
	}
	if err != nil {
		return err
	}
	s.heard = true
	s.held, s.silence = f, f.first-s.done
	if err := s.damage.add(framesTime(s.done, s.is.rate), framesTime(f.first, s.is.rate), Silenced); err != nil {
		return err
	}
	s.done = f.next
	return nil
}

// decode decodes the frame that is held, or has silence given for it.
func (s *flacSource) decode() error {
	f := s.held
	s.held = flacFrame{}
	d, err := s.frames.decode(bytes.NewReader(f.bytes))
	if err != nil {
		s.silence = f.next - f.first
		return s.damage.add(framesTime(f.first, s.is.rate), framesTime(f.next, s.is.rate), Silenced)
	}
	if s.md5 != nil {
		d.Hash(s.md5)
	}
	s.frame, s.at = d, 0
	return nil
}

func (s *flacSource) end() error {
	s.over = true
	switch {
	case !s.heard:
		return errors.New("the FLAC file holds no whole frame of sound")
	case s.done < s.is.total:
		if err := s.damage.add(framesTime(s.done, s.is.rate), framesTime(s.is.total, s.is.rate), CutOff); err != nil {
			return err
		}
	case s.frame != nil && s.md5 != nil && len(s.damage.list) == 0 && [md5.Size]byte(s.md5.Sum(nil)) != s.is.md5:
		const text = "the sound is not what the MD5 sum in the FLAC header says"
		if s.damage.strict {
			return errors.New(text)
		}
		s.in.Warnings = append(s.in.Warnings, text)
	}
	return io.EOF
}

// cut says in plain words that a read came to the end of the file too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file is cut off")
	}
	return err
}
