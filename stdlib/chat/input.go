package chat

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"banter/internal/problem"
	"banter/internal/progress"
)

// Limits bound what a log may cost before it is refused. The zero value of each field means its default.
type Limits struct {
	Size     int64 // decompressed bytes; default 64 GiB
	Record   int   // bytes of one record or line; default 16 MiB
	Depth    int   // nesting of JSON; default 256
	Ratio    int64 // decompressed over compressed bytes, looked at after the first 64 MiB; default 250 for gzip and zip, 2000 for others
	Messages int64 // that are held in memory: Scan, which holds none, takes any number; default 20 million
	Problems int   // malformed records shown in Report.Problems, the rest being counted only; default 100
}

func (l Limits) withDefaults() Limits {
	if l.Size <= 0 {
		l.Size = 64 << 30
	}
	if l.Record <= 0 {
		l.Record = 16 << 20
	}
	if l.Depth <= 0 {
		l.Depth = 256
	}
	if l.Messages <= 0 {
		l.Messages = 20_000_000
	}
	if l.Problems <= 0 {
		l.Problems = 100
	}
	return l
}

// ratioGrace is how much may come out before the compression ratio is looked at: small files of one repeated line
// compress extremely well and harm nobody. Twenty accounts that write one text all day come to 120, and one alone to 180 by
// gzip and 600 by zstd. What was made to do harm comes to 300 by gzip, and to 10,000 and more by the others.
const ratioGrace = 64 << 20

// input is the text of a log: decompressed, as UTF-8, counted and limited.
type input struct {
	ctx     context.Context
	text    io.Reader
	raw     *meter // bytes as they lie in the file
	plain   *meter // bytes after decompression
	packing packing
	limits  Limits
	total   int64 // size of the file, 0 where it is not known
	told    int64 // raw bytes at the last progress report
	cut     error // where packed data breaks off, once that is reached; nil in whole files
}

// meter counts what passes through it, and remembers whether that came to its end.
type meter struct {
	r     io.Reader
	n     int64
	ended bool
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.ended = m.ended || errors.Is(err, io.EOF)
	return n, err
}

// newInput finds out from the first bytes how r is packed and unpacks it.
func newInput(ctx context.Context, r io.Reader, total int64, limits Limits) (*input, error) {
	in := &input{ctx: ctx, raw: &meter{r: r}, limits: limits, total: total}
	src := bufio.NewReaderSize(in.raw, 64<<10)
	head, err := src.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if what := foreign(head); what != "" {
		return nil, &problem.Error{Err: fmt.Errorf("this is %s, not a chat log", what), Fix: "give the chat log that was downloaded with the recording"}
	}
	in.packing = packingOf(head)
	if file, ok := r.(io.ReaderAt); ok && in.packing == packedZip && total > 0 {
		if err := listZip(file, total); err != nil {
			return nil, err
		}
	}
	unpacked, err := in.unpack(src)
	if err != nil {
		return nil, err
	}
	in.plain = &meter{r: unpacked}
	text := bufio.NewReaderSize(in, 64<<10)
	head, err = text.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, _ = text.Discard(3)
		in.text = text
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		in.text = transform.NewReader(text, unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder())
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		in.text = transform.NewReader(text, unicode.UTF16(unicode.BigEndian, unicode.ExpectBOM).NewDecoder())
	case len(head) == 4 && head[0] != 0 && head[1] == 0 && head[2] != 0 && head[3] == 0:
		in.text = transform.NewReader(text, unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder())
	case len(head) == 4 && head[0] == 0 && head[1] != 0 && head[2] == 0 && head[3] != 0:
		in.text = transform.NewReader(text, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder())
	default:
		in.text = text
	}
	return in, nil
}

// Read gives decompressed bytes and holds them to the limits.
func (in *input) Read(p []byte) (int, error) {
	if err := in.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := in.plain.Read(p)
	if in.packing != "" && err != nil && !errors.Is(err, io.EOF) {
		err = in.unpackError(err)
	}
	if in.plain.n > in.limits.Size {
		return 0, &problem.Error{At: fmt.Sprintf("byte %d", in.plain.n),
			Err: fmt.Errorf("the log is larger than %d bytes", in.limits.Size), Fix: "this is no ordinary chat log: check where it comes from"}
	}
	if in.packing != "" && in.plain.n > ratioGrace && in.plain.n/max(in.raw.n, 1) > in.ratio() {
		return 0, &problem.Error{At: fmt.Sprintf("byte %d", in.plain.n),
			Err: fmt.Errorf("%d compressed bytes unpack to more than %d times as much, as no chat log does", in.raw.n, in.ratio()),
			Fix: "this is no ordinary chat log: check where it comes from"}
	}
	if in.raw.n-in.told >= 4<<20 {
		in.told = in.raw.n
		progress.Tell(in.ctx, progress.Report{Done: in.raw.n, Total: in.total, Unit: "bytes"})
	}
	return n, err
}

func (in *input) ratio() int64 {
	switch {
	case in.limits.Ratio > 0:
		return in.limits.Ratio
	case in.packing == packedGzip, in.packing == packedZip:
		return 250
	}
	return 2000
}

// foreign names files that are plainly something else, by their first bytes.
func foreign(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("%PDF")):
		return "a PDF"
	case bytes.HasPrefix(head, []byte("\x89PNG")), bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return "an image"
	case bytes.HasPrefix(head, []byte("\x1a\x45\xdf\xa3")), len(head) > 12 && string(head[4:8]) == "ftyp":
		return "a video"
	case bytes.HasPrefix(head, []byte("OggS")), bytes.HasPrefix(head, []byte("fLaC")), bytes.HasPrefix(head, []byte("ID3")),
		bytes.HasPrefix(head, []byte("RIFF")):
		return "a sound file"
	case bytes.HasPrefix(head, []byte("PAR1")):
		return "a Parquet table"
	}
	return ""
}

// window is the part of the text that is in memory. Bytes before pos are done with; parsers look at rest and ask for more
// when they reach its end.
type window struct {
	r     io.Reader
	buf   []byte
	pos   int
	base  int64 // text position of buf[0]
	lines int64 // line breaks before buf[lined]
	lined int   // at most pos
	eof   bool
	limit int    // largest unread stretch, which is the largest record
	in    *input // where the text comes from; nil if it cannot be cut
}

func newWindow(r io.Reader, record int) *window {
	return &window{r: r, buf: make([]byte, 0, 256<<10), limit: record}
}

// rest is the unread text in memory.
func (w *window) rest() []byte { return w.buf[w.pos:] }

// offset is the text position of the next unread byte.
func (w *window) offset() int64 { return w.base + int64(w.pos) }

// line is the line number, from 1, of the next unread byte.
func (w *window) line() int64 {
	w.lines += int64(bytes.Count(w.buf[w.lined:w.pos], []byte{'\n'}))
	w.lined = w.pos
	return w.lines + 1
}

// more reads on. It drops what is done with, and grows only when one record fills the window.
func (w *window) more() error {
	if w.eof {
		return nil
	}
	if w.pos > 0 {
		w.line()
		w.lined = 0
		w.base += int64(w.pos)
		w.buf = w.buf[:copy(w.buf, w.buf[w.pos:])]
		w.pos = 0
	}
	if len(w.buf) >= w.limit {
		return &problem.Error{At: fmt.Sprintf("line %d, byte %d", w.line(), w.offset()),
			Err: fmt.Errorf("one record is longer than %d bytes", w.limit), Fix: "this is no ordinary chat log: check where it comes from"}
	}
	if len(w.buf) == cap(w.buf) {
		grown := make([]byte, len(w.buf), min(2*cap(w.buf), w.limit+64<<10))
		copy(grown, w.buf)
		w.buf = grown
	}
	for range 100 { // a reader may give nothing a few times
		n, err := w.r.Read(w.buf[len(w.buf):cap(w.buf)])
		w.buf = w.buf[:len(w.buf)+n]
		if errors.Is(err, io.EOF) {
			w.eof = true
			return nil
		}
		if err != nil {
			return err
		}
		if n > 0 {
			return nil
		}
	}
	return io.ErrNoProgress
}

// cut says where packed data breaks off, once the text before that is in memory; nil in whole files.
func (w *window) cut() error {
	if !w.eof || w.in == nil {
		return nil
	}
	return w.in.cut
}

// fill reads on until n unread bytes are in memory or the text ends.
func (w *window) fill(n int) error {
	for len(w.rest()) < n && !w.eof {
		if err := w.more(); err != nil {
			return err
		}
	}
	return nil
}

// lineBytes gives the next line without its break, and whether there was one. The slice is valid until the next call.
func (w *window) lineBytes() ([]byte, bool, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(w.rest()[searched:], '\n'); i >= 0 {
			line := w.rest()[:searched+i]
			w.pos += searched + i + 1
			return bytes.TrimSuffix(line, []byte{'\r'}), true, nil
		}
		searched = len(w.rest())
		if w.cut() != nil { // the rest of this line is missing
			return nil, false, nil
		}
		if w.eof {
			line := w.rest()
			w.pos = len(w.buf)
			return line, len(line) > 0, nil
		}
		if err := w.more(); err != nil {
			return nil, false, err
		}
	}
}

// plainText makes b a message text: valid UTF-8, one line. Each broken byte becomes U+FFFD and each control character or
// line separator a space, so that spans counted on the result stay right.
func plainText(b []byte) string {
	clean := true
	for _, c := range b {
		if c < 0x20 || c == 0x7f || c >= 0x80 {
			clean = false
			break
		}
	}
	if clean {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case r < 0x20, r >= 0x7f && r < 0xa0, r == '\u2028', r == '\u2029':
			out = append(out, ' ')
		default:
			out = utf8.AppendRune(out, r)
		}
		i += size
	}
	return string(out)
}

// trimText removes what viewers do not see at the end of a text: spaces, and the invisible character U+E0000 that chat
// clients add so that a message can be sent twice.
func trimText(s string) string {
	if s == "" || s[len(s)-1] > ' ' && s[len(s)-1] < 0x80 {
		return s
	}
	return strings.TrimRight(s, " \U000E0000")
}
