// Package media probes recordings and decodes them to what speech recognition wants: one channel of float32 samples at
// 16 kHz, in -1..1, streamed at constant memory.
//
// WAV, FLAC, MP3 (MPEG-1 layer III) and Ogg Opus are decoded in Go. Everything else, video included, goes through an
// ffmpeg child process. The format is found by content, never by name. Time is stream time: sample n of the output is
// what was heard n/16000 s after the recording began, with encoder delays, edit lists and resampling accounted for.
//
// What can be decoded of a damaged recording is. Where its own clock tells how long a lost stretch was (frame numbers,
// granule positions, timestamps), silence of that length stands for it, so that what follows keeps its time; a cut end
// ends it. [Info] names each such stretch, and [Options.Strict] makes it an error. Nothing decodes short without a word.
package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"banter/internal/problem"
)

// Rate is the sample rate of all decoded sound, in Hz.
const Rate = 16000

// Channel says which channel of a track is heard. Numbers above Right name further channels, counted from 1.
type Channel int

// The usual choices.
const (
	Mix   Channel = iota // the mean of all channels
	Left                 // the first channel
	Right                // the second channel
)

// check holds the channel against those of a track.
func (c Channel) check(in Info) error {
	if c >= 0 && int(c) <= in.Channels {
		return nil
	}
	return &problem.Error{
		Err: fmt.Errorf("there is no channel %d: the track has %d, counted from 1", c, in.Channels),
		Fix: "choose another channel, or mix them by naming none",
	}
}

// Decoder says who decodes.
type Decoder int

const (
	Auto     Decoder = iota // Go where it can, else ffmpeg
	PureGo                  // Go only: never start a program
	ByFFmpeg                // ffmpeg, also for what Go could decode
)

// Options says what to decode, and how. The zero value is the mix of the first audio track.
type Options struct {
	Track    int    // which audio track, counted from 0 over the audio tracks alone, or over those in Language
	Language string // only tracks tagged with this language count: en, eng and en-US are the same; empty: all count
	Channel  Channel
	Decoder  Decoder
	Strict   bool   // damage is an error
	FFmpeg   string // path of the ffmpeg program, with ffprobe beside it; empty takes both from PATH
}

// Info describes a recording.
type Info struct {
	Container  string        // "wav", "flac", "mp3", "ogg", or as ffprobe names it
	Codec      string        // of the track: "pcm_s16le", "flac", "mp3", "opus", or as ffprobe names it
	Duration   time.Duration // of the track; 0 where the recording does not say
	SampleRate int           // of the track as stored, Hz
	Channels   int           // of the track as stored
	Track      int           // the track that these describe
	Tracks     []Track       // all audio tracks
	Bytes      int64         // size of the file
	FFmpeg     string        // version of ffmpeg when it decodes; empty when Go does
	Damage     []Damage      // what could not be decoded, known as far as it was read; the first 1000 stretches, and where it is cut off
	Warnings   []string      // what is odd about the recording but does not hinder decoding; Damage in words, too
}

// Track is one audio track of a recording.
type Track struct {
	Codec      string
	SampleRate int // Hz
	Channels   int
	Language   string // as tagged, or empty
	Title      string // as tagged, or empty
}

// Reader gives the samples of one track.
type Reader struct {
	ctx     context.Context
	path    string
	file    *os.File // nil for ffmpeg, which opens the file itself
	info    Info
	src     source
	mix     mixer
	res     *resampler
	frames  []float32 // interleaved input, reused
	mono    []float32 // mixed input, reused
	pending []float32 // resampled and not yet read
	heard   int64     // input frames taken so far, at info.SampleRate
	err     error     // sticky
}

// Probe says what a recording is, from its headers; it decodes nothing.
func Probe(ctx context.Context, path string) (Info, error) {
	return ProbeWith(ctx, path, Options{})
}

// ProbeWith is [Probe] for another track or decoder.
func ProbeWith(ctx context.Context, path string, opt Options) (Info, error) {
	src, file, err := openSource(ctx, path, opt, true)
	if err != nil {
		return Info{}, asProblem("probe", path, err)
	}
	info := src.info()
	src.close()
	if file != nil {
		file.Close()
	}
	if err := opt.Channel.check(info); err != nil {
		return Info{}, asProblem("probe", path, err)
	}
	return info, nil
}

// Survey is [Probe] that reads the recording to its end, and so knows its damage and how much sound there is. What Go
// decodes is only walked through, frame by frame; ffmpeg decodes all of it, and progress is told in seconds.
func Survey(ctx context.Context, path string, opt Options) (Info, error) {
	src, file, err := openSource(ctx, path, opt, false)
	if err != nil {
		return Info{}, asProblem("read", path, err)
	}
	defer src.close()
	if file != nil {
		defer file.Close()
	}
	if err := opt.Channel.check(src.info()); err != nil {
		return Info{}, asProblem("read", path, err)
	}
	if err := surveyed(ctx, src); err != nil {
		return Info{}, asProblem("read", path, err)
	}
	return src.info(), nil
}

// Open starts decoding. The Reader must be closed; when ctx is done, reading ends with its error.
func Open(ctx context.Context, path string, opt Options) (*Reader, error) {
	src, file, err := openSource(ctx, path, opt, false)
	if err != nil {
		return nil, asProblem("decode", path, err)
	}
	r, err := newReader(ctx, path, src, opt)
	if err != nil {
		src.close()
		if file != nil {
			file.Close()
		}
		return nil, asProblem("decode", path, err)
	}
	r.file = file
	return r, nil
}

func newReader(ctx context.Context, path string, src source, opt Options) (*Reader, error) {
	info := src.info()
	if info.SampleRate < 1000 || info.SampleRate > 768000 {
		return nil, fmt.Errorf("the sample rate %d Hz is out of range", info.SampleRate)
	}
	channels := src.channels() // after ffmpeg's own mixing, if any
	if channels < 1 || channels > 64 {
		return nil, fmt.Errorf("%d channels are out of range", channels)
	}
	if err := opt.Channel.check(info); err != nil {
		return nil, err
	}
	const block = 4096 // frames taken from the decoder at once
	return &Reader{
		ctx: ctx, path: path, info: info, src: src,
		mix:    mixer{channels: channels, pick: opt.Channel},
		res:    newResampler(info.SampleRate, Rate),
		frames: make([]float32, block*channels),
		mono:   make([]float32, block),
	}, nil
}

// Info describes the recording. After the end has been read, its Duration is what was decoded.
func (r *Reader) Info() Info { return r.info }

// Read fills dst with the next samples and returns how many. At the end it returns 0 and io.EOF. Any other error says
// where in the recording it happened, and stays.
func (r *Reader) Read(dst []float32) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	for len(r.pending) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if err := r.fill(); err != nil {
			r.err = err
		}
	}
	n := copy(dst, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// fill takes one block from the decoder into pending. At the end it still fills pending, and returns io.EOF.
func (r *Reader) fill() error {
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("decode %s: %w", r.path, err)
	}
	n, err := guarded(r.src, r.frames)
	frames := r.mix.mix(r.mono, r.frames[:n])
	r.heard += int64(frames)
	r.pending = r.res.push(r.mono[:frames])
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		r.pending = append(slices.Clone(r.pending), r.res.flush()...) // both are the resampler's own buffer
		r.info = r.src.info()
		r.info.Duration = framesTime(r.heard, r.info.SampleRate)
		return io.EOF
	case r.ctx.Err() != nil:
		return fmt.Errorf("decode %s: %w", r.path, r.ctx.Err())
	default:
		return r.broken(err)
	}
}

// broken places an error at the stream time reached.
func (r *Reader) broken(err error) error {
	p := &problem.Error{Op: "decode", Path: r.path, At: clock(framesTime(r.heard, r.info.SampleRate)), Err: err, Fix: fixDamaged}
	var inner *problem.Error
	if errors.As(err, &inner) {
		p.Err = inner.Err
		if inner.Fix != "" {
			p.Fix = inner.Fix
		}
		if inner.At != "" {
			p.At = inner.At
		}
	}
	return p
}

// Close stops decoding and frees what it held.
func (r *Reader) Close() error {
	if r.err == nil {
		r.err = fmt.Errorf("decode %s: %w", r.path, os.ErrClosed)
	}
	r.pending = nil
	err := r.src.close()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
		r.file = nil
	}
	return err
}

const fixDamaged = "fetch the file again: it is damaged"

// asProblem gives err the shape that users read.
func asProblem(op, path string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s %s: %w", op, path, err)
	}
	var p *problem.Error
	if errors.As(err, &p) {
		c := *p
		c.Op, c.Path = op, path
		return &c
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		return &problem.Error{Op: op, Path: path, Err: pe.Err, Fix: "check the path"}
	}
	return &problem.Error{Op: op, Path: path, Err: err}
}

// clock writes a stream time as hh:mm:ss.mmm.
func clock(d time.Duration) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d.%03d", ms/3600000, ms/60000%60, ms/1000%60, ms%1000)
}

// framesTime is how long n frames last at rate Hz.
func framesTime(n int64, rate int) time.Duration {
	if rate <= 0 {
		return 0
	}
	r := int64(rate)
	return time.Duration(n/r)*time.Second + time.Duration(n%r)*time.Second/time.Duration(r)
}
