package media

import (
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"

	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"

	"banter/internal/problem"
)

// flacSource reads native FLAC and holds it against the sample count and MD5 sum in its header.
type flacSource struct {
	in     Info
	stream *flac.Stream
	md5    hash.Hash // nil where the header has no sum
	fixed  int64     // samples of a block, where all but the last have the same; else 0
	frame  *frame.Frame
	at     int   // next sample of frame
	done   int64 // samples in the frames so far
}

func openFLAC(r io.Reader, size int64) (source, error) {
	stream, err := flac.New(r)
	if err != nil {
		return nil, &problem.Error{Err: fmt.Errorf("the FLAC header is damaged: %w", cut(err)), Fix: fixDamaged}
	}
	si := stream.Info
	if si.SampleRate == 0 || si.NChannels == 0 || si.BitsPerSample < 4 || si.BitsPerSample > 32 {
		return nil, fmt.Errorf("the FLAC header claims %d Hz, %d channels and %d bits", si.SampleRate, si.NChannels, si.BitsPerSample)
	}
	if si.NSamples > math.MaxInt64/1000 {
		return nil, fmt.Errorf("the FLAC header claims %d samples", si.NSamples)
	}
	s := &flacSource{stream: stream, in: singleTrack(Info{
		Container: "flac", Codec: "flac", SampleRate: int(si.SampleRate), Channels: int(si.NChannels),
		Duration: framesTime(int64(si.NSamples), int(si.SampleRate)), Bytes: size,
	})}
	if si.NSamples == 0 {
		s.in.Warnings = append(s.in.Warnings, "the FLAC header does not say how long the recording is")
	}
	if si.MD5sum != [md5.Size]byte{} {
		s.md5 = md5.New()
	}
	if si.BlockSizeMin == si.BlockSizeMax {
		s.fixed = int64(si.BlockSizeMax)
	}
	return s, nil
}

func (s *flacSource) info() Info    { return s.in }
func (s *flacSource) channels() int { return s.in.Channels }
func (s *flacSource) close() error  { return nil }

func (s *flacSource) read(dst []float32) (int, error) {
	n := 0
	for n+s.in.Channels <= len(dst) {
		if s.frame == nil || s.at >= int(s.frame.BlockSize) {
			if err := s.next(); err != nil {
				return n, err
			}
		}
		scale := 1 / float32(uint64(1)<<(s.stream.Info.BitsPerSample-1))
		count := min(int(s.frame.BlockSize)-s.at, (len(dst)-n)/s.in.Channels)
		for c := range s.in.Channels {
			samples := s.frame.Subframes[c].Samples[s.at : s.at+count]
			for i, v := range samples {
				dst[n+i*s.in.Channels+c] = float32(v) * scale
			}
		}
		s.at += count
		n += count * s.in.Channels
	}
	return n, nil
}

// next decodes a frame, and at the end checks that all of the recording was there.
func (s *flacSource) next() error {
	total := int64(s.stream.Info.NSamples)
	if total > 0 && s.done == total {
		return s.end()
	}
	f, err := s.stream.ParseNext()
	if errors.Is(err, io.EOF) {
		if total > 0 {
			return fmt.Errorf("the FLAC file ends here, but its header promises %s", clock(framesTime(total, s.in.SampleRate)))
		}
		return s.end()
	}
	if err != nil {
		return fmt.Errorf("a FLAC frame is damaged: %w", cut(err))
	}
	if len(f.Subframes) != s.in.Channels || f.SampleRate != 0 && int(f.SampleRate) != s.in.SampleRate ||
		f.BitsPerSample != 0 && f.BitsPerSample != s.stream.Info.BitsPerSample {
		return errors.New("the FLAC stream changes its channels, sample rate or bits, which its header rules out")
	}
	for _, sub := range f.Subframes {
		if len(sub.Samples) != int(f.BlockSize) {
			return errors.New("a FLAC frame does not have the samples it claims")
		}
	}
	if s.fixed > 0 && f.HasFixedBlockSize && int64(f.Num)*s.fixed != s.done || !f.HasFixedBlockSize && int64(f.Num) != s.done {
		return errors.New("FLAC frames are missing here")
	}
	if total > 0 && s.done+int64(f.BlockSize) > total {
		return fmt.Errorf("the FLAC stream goes on after the %s that its header promises", clock(framesTime(total, s.in.SampleRate)))
	}
	if s.md5 != nil {
		f.Hash(s.md5)
	}
	s.frame, s.at = f, 0
	s.done += int64(f.BlockSize)
	return nil
}

func (s *flacSource) end() error {
	if s.md5 != nil && [md5.Size]byte(s.md5.Sum(nil)) != s.stream.Info.MD5sum {
		return errors.New("the sound does not match the MD5 sum in the FLAC header")
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
