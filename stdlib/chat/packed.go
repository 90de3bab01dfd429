package chat

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"banter/internal/problem"
)

// packing is how a log's bytes are compressed; it is empty for plain text.
type packing string

const (
	packedGzip  packing = "gzip"
	packedZstd  packing = "zstd"
	packedBzip2 packing = "bzip2"
	packedXz    packing = "xz"
	packedZip   packing = "zip"
)

// maxWindow is how far back zstd and xz data may refer, which is memory here. It is what the zstd program itself takes unless
// told otherwise, compression with --long=27 at most, and twice what xz -9 wants.
const maxWindow = 128 << 20

// packingOf tells by the first bytes of a file.
func packingOf(head []byte) packing {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return packedGzip
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), // a frame, or one that is to be skipped before it (RFC 8878, 3.1)
		len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2a\x4d\x18")):
		return packedZstd
	case len(head) >= 10 && bytes.HasPrefix(head, []byte("BZh")) && head[3] >= '1' && head[3] <= '9' &&
		(string(head[4:10]) == "\x31\x41\x59\x26\x53\x59" || string(head[4:10]) == "\x17\x72\x45\x38\x50\x90"):
		return packedBzip2
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return packedXz
	case bytes.HasPrefix(head, []byte(zipLocal)), bytes.HasPrefix(head, []byte(zipEnd)):
		return packedZip
	}
	return ""
}

// unpack gives the decompressed bytes of src.
func (in *input) unpack(src *bufio.Reader) (io.Reader, error) {
	switch in.packing {
	case packedGzip:
		r, err := gzip.NewReader(src)
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, &problem.Error{Err: in.brokenOff(), Fix: fixDownload}
		}
		if err != nil {
			return nil, &problem.Error{Err: fmt.Errorf("damaged gzip header: %w", err), Fix: fixDownload}
		}
		return r, nil
	case packedZstd:
		return zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	case packedBzip2:
		return bzip2.NewReader(src), nil
	case packedXz:
		r, _ := xz.NewReader(src, maxWindow) // an error comes again with the first Read
		return r, nil
	case packedZip:
		r, err := newZip(src)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, &problem.Error{Err: in.brokenOff(), Fix: fixDownload}
		}
		var told *problem.Error
		if err != nil && !errors.As(err, &told) {
			return nil, &problem.Error{Err: fmt.Errorf("damaged zip data: %w", err), Fix: fixDownload}
		}
		return r, err
	}
	return src, nil
}

const fixDownload = "download the file again"

// brokenOff says where packed data ends too early.
func (in *input) brokenOff() error {
	n := int64(0)
	if in.plain != nil {
		n = in.plain.n
	}
	return fmt.Errorf("truncated %s data: the file breaks off after %d bytes, which unpack to %d", in.packing, in.raw.n, n)
}

// unpackError says what err of a decompressor means. Data that merely stop are in.cut, and the end of the text.
func (in *input) unpackError(err error) error {
	at := fmt.Sprintf("byte %d", in.plain.n)
	var told *problem.Error
	switch {
	case errors.As(err, &told):
		return err
	case (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, xz.ErrBuf)) && in.raw.ended:
		// A half-downloaded file: what it holds is good. A source that fails before its own end is an error as ever, since
		// the next attempt may well give more.
		in.cut = in.brokenOff()
		return io.EOF
	case in.plain.n > 0 && (errors.Is(err, gzip.ErrHeader) || errors.Is(err, zstd.ErrMagicMismatch) || errors.Is(err, xz.ErrFormat)):
		in.cut = fmt.Errorf("what follows the %s data, which unpack to %d bytes, is something else", in.packing, in.plain.n)
		return io.EOF
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return &problem.Error{At: at, Err: fmt.Errorf("unpacking this zstd data takes more than %d MB of memory", maxWindow>>20),
			Fix: "if it is to be trusted, unpack it with zstd -d --long=31 and give the plain log"}
	case errors.Is(err, xz.ErrMemlimit):
		return &problem.Error{At: at, Err: fmt.Errorf("unpacking this xz data takes more than %d MB of memory", maxWindow>>20),
			Fix: "if it is to be trusted, unpack it with xz -d and give the plain log"}
	case errors.Is(err, zstd.ErrUnknownDictionary):
		return &problem.Error{At: at, Err: errors.New("this zstd data needs a dictionary that is not in the file"), Fix: "unpack it where the dictionary is"}
	}
	return &problem.Error{At: at, Err: fmt.Errorf("damaged %s data: %w", in.packing, err), Fix: fixDownload}
}
