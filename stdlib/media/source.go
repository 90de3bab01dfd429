package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"banter/internal/problem"
)

// source is a decoder of one track. Its info is known before the first read.
type source interface {
	info() Info
	channels() int // interleaved channels that read gives
	// read fills dst with whole frames of interleaved samples and returns how many samples; io.EOF, with or after the
	// last samples, is the end of what can be decoded, and any other error means that nothing more can be.
	read(dst []float32) (int, error)
	// survey goes to the end instead of reading, without decoding where that can be, and leaves info as it is then.
	survey(ctx context.Context) error
	close() error
}

// unsupported is a format that is recognised but not decoded in Go.
type unsupported struct{ what string }

func (u unsupported) Error() string { return u.what + " is not decoded in Go" }

// guarded is src.read with a panic of a decoder turned into an error.
func guarded(src source, dst []float32) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = 0, panicked(src.info().Codec, v)
		}
	}()
	return src.read(dst)
}

// surveyed is src.survey with a panic of a decoder turned into an error.
func surveyed(ctx context.Context, src source) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(src.info().Codec, v)
		}
	}()
	return src.survey(ctx)
}

// panicked describes a decoder library's panic on bad input.
func panicked(codec string, v any) error {
	return fmt.Errorf("the %s decoder broke on this data: %v", codec, v)
}

// openSource finds out what path is and opens the decoder for it. The file is returned for closing where it stays open.
func openSource(ctx context.Context, path string, opt Options, probing bool) (source, *os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if opt.Track < 0 {
		return nil, nil, fmt.Errorf("track %d does not exist: tracks are counted from 0", opt.Track)
	}
	stat, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, nil, &problem.Error{Err: errors.New("it is not a regular file"), Fix: "give the path of a recording"}
	}
	if stat.Size() == 0 {
		return nil, nil, &problem.Error{Err: errors.New("the file is empty"), Fix: "fetch it again"}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	kind, err := sniff(file, stat.Size())
	if err == nil {
		err = kind.refusal()
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	if opt.Decoder != ByFFmpeg {
		src, err := openGo(file, stat.Size(), kind, opt)
		if err == nil {
			return src, file, nil
		}
		var u unsupported
		file.Close()
		if !errors.As(err, &u) {
			return nil, nil, err
		}
		if opt.Decoder == PureGo {
			return nil, nil, &problem.Error{Err: err, Fix: "let ffmpeg decode it: choose the Auto decoder"}
		}
		src, ferr := openFFmpeg(ctx, path, stat.Size(), kind, opt, probing)
		var missing *missingFFmpeg
		if errors.As(ferr, &missing) {
			return nil, nil, &problem.Error{Err: fmt.Errorf("%v, and %w", u, ferr), Fix: installFFmpeg()}
		}
		return src, nil, ferr
	}
	file.Close()
	src, err := openFFmpeg(ctx, path, stat.Size(), kind, opt, probing)
	var missing *missingFFmpeg
	if errors.As(err, &missing) {
		return nil, nil, &problem.Error{Err: err, Fix: installFFmpeg()}
	}
	return src, nil, err
}

// openGo opens the pure Go decoder for kind, or returns unsupported.
func openGo(r io.ReadSeeker, size int64, k kind, opt Options) (src source, err error) {
	defer func() {
		if v := recover(); v != nil {
			src, err = nil, panicked(string(k), v)
		}
	}()
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	switch k {
	case kindWAV:
		src, err = openWAV(r, size, opt.Strict)
	case kindFLAC:
		src, err = openFLAC(r, size, opt.Strict)
	case kindMP3:
		src, err = openMP3(r, size, opt.Strict)
	case kindOpus:
		src, err = openOpus(r, size, opt.Strict)
	default:
		return nil, unsupported{k.String()}
	}
	if err != nil {
		return nil, err
	}
	if _, err := chooseTrack(src.info().Tracks, opt); err != nil {
		src.close()
		return nil, err
	}
	return src, nil
}

// singleTrack completes the Info of a format that holds one track.
func singleTrack(in Info) Info {
	in.Tracks = []Track{{Codec: in.Codec, SampleRate: in.SampleRate, Channels: in.Channels}}
	return in
}
