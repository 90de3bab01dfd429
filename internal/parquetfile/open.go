// Package parquetfile opens the Parquet files that Banter itself wrote. The Parquet library trusts what a damaged file says;
// what would cost it much memory is looked at first.
package parquetfile

import (
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
