package chat

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"path"
	"strings"

	"banter/internal/problem"
)

// zipReader gives the one file in a zip archive as it comes, so that an archive that breaks off gives what is before that. It
// reads the headers before the files and not the directory behind them (PKWARE's APPNOTE, 4.3).
type zipReader struct {
	src   *bufio.Reader
	log   zipMember
	body  io.Reader
	sum   hash.Hash32
	ended error // sticky
}

// zipMember is what the header before a file says.
type zipMember struct {
	name   string
	method uint16
	sum    uint32
	packed int64 // bytes in the archive
	late   bool  // sum and sizes come after the file
}

const (
	zipLocal     = "PK\x03\x04"
	zipDirectory = "PK\x01\x02"
	zipEnd       = "PK\x05\x06"
	zipEnd64     = "PK\x06\x06"
	zipLate      = "PK\x07\x08"
)

// maxZipLitter bounds what a file that is none of the archive's own may unpack to.
const maxZipLitter = 16 << 20

const fixUnpack = "unpack the archive, and give the chat log in it"

// newZip reads up to the one file.
func newZip(src *bufio.Reader) (*zipReader, error) {
	z := &zipReader{src: src}
	m, err := z.member()
	if errors.Is(err, io.EOF) {
		return nil, &problem.Error{Err: errors.New("there is no file in this zip archive"), Fix: "give the chat log that was downloaded with the recording"}
	}
	if err != nil {
		return nil, err
	}
	z.log, z.sum = m, crc32.NewIEEE()
	z.body, err = z.open(m)
	return z, err
}

func (z *zipReader) Read(p []byte) (int, error) {
	if z.ended != nil {
		return 0, z.ended
	}
	n, err := z.body.Read(p)
	z.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if err = z.close(z.log, z.sum.Sum32()); err == nil {
			err = z.alone()
		}
	}
	z.ended = err
	return n, err
}

// alone is io.EOF where no other file follows.
func (z *zipReader) alone() error {
	m, err := z.member()
	if err == nil {
		return severalFiles([]string{z.log.name, m.name})
	}
	return err
}

func severalFiles(names []string) error {
	const named = 5
	text := strings.Join(names[:min(named, len(names))], ", ")
	if len(names) > named {
		text += ", and others"
	}
	return &problem.Error{Err: fmt.Errorf("there are several files in this zip archive, and it is not told which is the chat log: %s", text), Fix: fixUnpack}
}

// listZip looks at an archive's directory, where it has one, and refuses an archive of several files before any is read.
func listZip(r io.ReaderAt, size int64) error {
	archive, err := zip.NewReader(&sparing{r, maxZipDirectory}, size)
	if err != nil {
		return nil // reading tells where it breaks
	}
	var names []string
	for _, f := range archive.File {
		if !litter(f.Name) {
			names = append(names, zipName(f.Name))
		}
	}
	if len(names) > 1 {
		return severalFiles(names)
	}
	return nil
}

// maxZipDirectory is how much of an archive is read to list it, in bytes.
const maxZipDirectory = 1 << 20

// sparing reads no more than left bytes.
type sparing struct {
	r    io.ReaderAt
	left int
}

func (s *sparing) ReadAt(p []byte, at int64) (int, error) {
	if s.left -= len(p); s.left < 0 {
		return 0, errors.New("the directory is too long")
	}
	return s.r.ReadAt(p, at)
}

// litter is what archives hold besides files: folders, and what macOS and Windows put beside them.
func litter(name string) bool {
	base := path.Base(name)
	return strings.HasSuffix(name, "/") || strings.HasPrefix(name, "__MACOSX/") || base == ".DS_Store" || base == "Thumbs.db" || base == "desktop.ini"
}

func zipName(name string) string { return fmt.Sprintf("%.100q", name) }

// member reads the header of the next file that is none of the litter, or io.EOF where there is none.
func (z *zipReader) member() (zipMember, error) {
	for {
		m, isLitter, err := z.header()
		if err != nil || !isLitter {
			return m, err
		}
		body, err := z.open(m)
		if err != nil {
			return m, err
		}
		sum := crc32.NewIEEE()
		n, err := io.Copy(sum, io.LimitReader(body, maxZipLitter+1))
		if err == nil && n > maxZipLitter {
			err = &problem.Error{Err: fmt.Errorf("%s in this zip archive is larger than %d MB", m.name, maxZipLitter>>20), Fix: fixUnpack}
		}
		if err == nil {
			err = z.close(m, sum.Sum32())
		}
		if err != nil {
			return m, err
		}
	}
}

func (z *zipReader) header() (m zipMember, isLitter bool, err error) {
	var h [30]byte
	b, err := z.src.Peek(4)
	if len(b) < 4 {
		return m, false, unexpected(err)
	}
	switch string(b) {
	case zipLocal:
	case zipDirectory, zipEnd, zipEnd64:
		return m, false, io.EOF
	default:
		return m, false, errors.New("there is something else between the files")
	}
	if _, err := io.ReadFull(z.src, h[:]); err != nil {
		return m, false, unexpected(err)
	}
	le := binary.LittleEndian
	flags := le.Uint16(h[6:])
	m = zipMember{method: le.Uint16(h[8:]), sum: le.Uint32(h[14:]), packed: int64(le.Uint32(h[18:])), late: flags&8 != 0}
	rest := make([]byte, int(le.Uint16(h[26:]))+int(le.Uint16(h[28:])))
	if _, err := io.ReadFull(z.src, rest); err != nil {
		return m, false, unexpected(err)
	}
	name, extra := rest[:le.Uint16(h[26:])], rest[le.Uint16(h[26:]):]
	m.name = zipName(string(name))
	if m.packed == 1<<32-1 { // both sizes are in an extra field: that of the file, then that in the archive
		for len(extra) >= 4 {
			id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
			if extra = extra[4:]; n > len(extra) {
				break
			}
			if id == 1 && n >= 16 {
				m.packed = int64(le.Uint64(extra[8:]) & (1<<62 - 1))
			}
			extra = extra[n:]
		}
	}
	if flags&1 != 0 {
		return m, false, &problem.Error{Err: fmt.Errorf("%s in this zip archive is encrypted", m.name), Fix: fixUnpack}
	}
	return m, litter(string(name)), nil
}

// open unpacks a file.
func (z *zipReader) open(m zipMember) (io.Reader, error) {
	switch {
	case m.method == zip.Deflate:
		return flate.NewReader(z.src), nil // which reads no byte too many
	case m.method == zip.Store && (!m.late || m.packed > 0):
		return &exactly{z.src, m.packed}, nil
	case m.method == zip.Store:
		return nil, &problem.Error{Err: fmt.Errorf("the zip archive does not say before %s how long it is", m.name), Fix: fixUnpack}
	}
	return nil, &problem.Error{Err: fmt.Errorf("%s is packed by method %d of zip, which is not read", m.name, m.method), Fix: fixUnpack}
}

// close reads what comes after a file, and checks its sum.
func (z *zipReader) close(m zipMember, sum uint32) error {
	if !m.late {
		if sum != m.sum {
			return zip.ErrChecksum
		}
		return nil
	}
	// The sum, with or without a mark before it, and both sizes in four or eight bytes, as the writer liked.
	b, err := z.src.Peek(4 + 4 + 16 + 4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, mark := range []string{zipLate, ""} {
		for _, sizes := range []int{8, 16} {
			n := len(mark) + 4 + sizes
			if len(b) < n+4 || !bytes.HasPrefix(b, []byte(mark)) || binary.LittleEndian.Uint32(b[len(mark):]) != sum {
				continue
			}
			if next := string(b[n : n+4]); next == zipLocal || next == zipDirectory {
				_, err := z.src.Discard(n)
				return err
			}
		}
	}
	if len(b) < 4+4+16+4 {
		return io.ErrUnexpectedEOF
	}
	return zip.ErrChecksum
}

// exactly reads n bytes, and takes fewer for an end that comes too early.
type exactly struct {
	r io.Reader
	n int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.n)])
	e.n -= int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
		if e.n > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// unexpected is err, or that the file ends too early.
func unexpected(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
