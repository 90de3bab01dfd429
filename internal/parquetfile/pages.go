package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// What a table may claim in proportion to its size. Banter's own tables have at least 10 bytes a row, at most 3 values a
// byte, and pages that zstd makes 30 times smaller at most.
const (
	freeRows   = 1 << 20 // of any table, however small
	freeValues = 1 << 22 // of all columns together
	freeBytes  = 64 << 20

	rowsPerByte   = 1
	valuesPerByte = 16
	bytesPerByte  = 256 // of pages unpacked

	maxPageHeader = 1 << 20 // bytes: it holds a column's least and largest text
	pageCost      = 256     // bytes that a page counts beside its content, so that there is an end to empty ones
)

// checkPages walks the headers of all pages. The library makes room for as many bytes and values as a header claims, and
// for as many as the compressed data claims in turn; so a few bytes could ask for gigabytes.
func checkPages(r io.ReaderAt, size int64, f *parquet.File) error {
	rows := int64(0)
	for _, g := range f.Metadata().RowGroups {
		if g.NumRows < 0 || g.NumRows > freeRows+rowsPerByte*size-rows {
			return fmt.Errorf("it claims more rows than its %d bytes can hold", size)
		}
		rows += g.NumRows
	}
	w := pageWalk{r: r, values: freeValues + valuesPerByte*size, bytes: freeBytes + bytesPerByte*size}
	for _, g := range f.Metadata().RowGroups {
		for i := range g.Columns {
			c := &g.Columns[i].MetaData
			if err := w.column(size, c); err != nil {
				return fmt.Errorf("column %v: %w", c.PathInSchema, err)
			}
		}
	}
	return nil
}

// pageWalk goes from page to page, counting down what pages may still claim.
type pageWalk struct {
	r      io.ReaderAt
	values int64
	bytes  int64
	buf    []byte
}

// column looks at the pages of one column of one row group.
func (w *pageWalk) column(size int64, c *format.ColumnMetaData) error {
	at := c.DataPageOffset
	if c.DictionaryPageOffset != 0 { // the library begins there
		at = c.DictionaryPageOffset
	}
	if at < 0 || c.TotalCompressedSize < 0 || at > size || c.TotalCompressedSize > size-at {
		return errors.New("its pages lie outside the file")
	}
	for end := at + c.TotalCompressedSize; at < end; {
		header, length, err := w.header(at, end)
		if err != nil {
			return err
		}
		at += length
		packed := int64(header.CompressedPageSize)
		if packed < 0 || packed > end-at {
			return fmt.Errorf("a page claims %d bytes, beyond the column's end", packed)
		}
		if err := w.page(header, at, c.Codec); err != nil {
			return err
		}
		at += packed
	}
	return nil
}

// header reads the page header at at, and its length.
func (w *pageWalk) header(at, end int64) (*format.PageHeader, int64, error) {
	const usual = 512
	for n := min(usual, end-at); ; n = min(n*8, end-at) {
		b, err := w.read(at, n)
		if err != nil {
			return nil, 0, err
		}
		walk := thriftWalk{b: b}
		walk.object(0)
		if walk.err != nil {
			if n < min(end-at, maxPageHeader) {
				continue
			}
			return nil, 0, fmt.Errorf("a page header is broken: %w", walk.err)
		}
		length := len(b) - len(walk.b)
		header := new(format.PageHeader)
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), b[:length], header); err != nil {
			return nil, 0, fmt.Errorf("a page header is broken: %w", err)
		}
		return header, int64(length), nil
	}
}

func (w *pageWalk) read(at, n int64) ([]byte, error) {
	if int64(cap(w.buf)) < n {
		w.buf = make([]byte, n)
	}
	b := w.buf[:n]
	_, err := w.r.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// page takes one page off what may be claimed.
func (w *pageWalk) page(h *format.PageHeader, at int64, codec format.CompressionCodec) error {
	var values int32
	packedFrom := int32(0) // levels of version 2 stand before the packed values
	packed := codec != format.Uncompressed
	switch {
	case h.DataPageHeader.Valid:
		values = h.DataPageHeader.V.NumValues
	case h.DictionaryPageHeader.Valid:
		values = h.DictionaryPageHeader.V.NumValues
	case h.DataPageHeaderV2.Valid:
		v2 := &h.DataPageHeaderV2.V
		values = v2.NumValues
		levels := int64(v2.RepetitionLevelsByteLength) + int64(v2.DefinitionLevelsByteLength)
		if v2.RepetitionLevelsByteLength < 0 || v2.DefinitionLevelsByteLength < 0 || levels > int64(h.CompressedPageSize) {
			return errors.New("the levels of a page are longer than the page")
		}
		if v2.NumNulls < 0 || v2.NumNulls > values {
			return fmt.Errorf("a page of %d values claims %d nulls", values, v2.NumNulls)
		}
		packedFrom = int32(levels)
		packed = packed && (!v2.IsCompressed.Valid || v2.IsCompressed.V)
	}
	w.values -= int64(values)
	w.bytes -= int64(h.UncompressedPageSize) + pageCost
	switch {
	case values < 0 || h.UncompressedPageSize < 0:
		return errors.New("a page claims a negative size")
	case w.values < 0:
		return fmt.Errorf("a page claims %d values, more than the file can hold", values)
	case w.bytes < 0:
		return fmt.Errorf("a page claims %d bytes unpacked, more than the file can hold", h.UncompressedPageSize)
	case packed && h.CompressedPageSize > packedFrom:
		return checkFrame(io.NewSectionReader(w.r, at+int64(packedFrom), int64(h.CompressedPageSize-packedFrom)), int64(h.UncompressedPageSize))
	}
	return nil
}

// checkFrame looks at the headers of what zstd packed into a page: one frame with nothing behind it (RFC 8878, section
// 3.1.1). A frame of several blocks says how long its content is, which the decoder holds it to; one block is 128 KB at most.
func checkFrame(page *io.SectionReader, unpacked int64) error {
	b := make([]byte, zstd.HeaderMaxSize)
	n, err := page.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var h zstd.Header
	switch err := h.Decode(b[:n]); {
	case err != nil:
		return fmt.Errorf("a page is broken: %w", err)
	case h.Skippable || h.DictionaryID != 0:
		return errors.New("a page is packed otherwise than Banter does")
	case h.HasFCS && h.FrameContentSize > uint64(unpacked):
		return fmt.Errorf("a page claims %d bytes unpacked and holds %d", unpacked, h.FrameContentSize)
	}
	at := int64(h.HeaderSize)
	for last := false; !last; {
		var block [4]byte
		if _, err := page.ReadAt(block[:3], at); err != nil {
			return errors.New("a page is broken: its last block is missing")
		}
		head := int64(binary.LittleEndian.Uint32(block[:]))
		if last = head&1 != 0; !last && !h.HasFCS {
			return errors.New("a page is packed otherwise than Banter does")
		}
		at += 3
		if head>>1&3 == 1 { // one byte, repeated
			at++
		} else {
			at += head >> 3
		}
	}
	if h.HasCheckSum {
		at += 4
	}
	if at != page.Size() {
		return errors.New("a page is broken: it does not end where its last block does")
	}
	return nil
}
