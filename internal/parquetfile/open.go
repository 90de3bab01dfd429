// Package parquetfile opens the Parquet files that Banter itself wrote. The Parquet library trusts what a damaged file says;
// what would cost it much memory is looked at first.
package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// Open opens a table. Page indexes and Bloom filters are left alone: nothing needs them. Only the ways to compress that
// Banter uses are taken: the library's LZ4 decoder takes ever more memory for a damaged page.
func Open(r io.ReaderAt, size int64) (*parquet.File, error) {
	if err := checkFooter(r, size); err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	for _, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			switch c.MetaData.Codec {
			case format.Uncompressed, format.Snappy, format.Gzip, format.Zstd:
			default:
				return nil, fmt.Errorf("column %v is compressed by %v, which Banter does not write", c.MetaData.PathInSchema, c.MetaData.Codec)
			}
		}
	}
	return f, nil
}

// checkFooter refuses a footer that is larger than its file: the library takes up to 4 GB of memory for it before it looks.
func checkFooter(r io.ReaderAt, size int64) error {
	if size < 12 {
		return fmt.Errorf("a file of %d bytes is no Parquet file", size)
	}
	var tail [8]byte
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	if string(tail[4:]) != "PAR1" {
		return errors.New("it does not end as a Parquet file does")
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > size-12 {
		return fmt.Errorf("its footer of %d bytes does not fit into its %d", n, size)
	}
	return nil
}
