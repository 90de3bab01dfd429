// Package parquetfile opens the Parquet files that Banter itself wrote. The Parquet library trusts what a damaged file says;
// what would cost it much memory is looked at first.
package parquetfile

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// Open opens a table whose reading takes memory in proportion to its size, whatever it claims. Page indexes and Bloom
// filters are left alone: nothing needs them. Of the ways to compress only the one that Banter uses is taken: the others'
// decoders make room for what a damaged page asks for.
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
			case format.Uncompressed, format.Zstd:
			default:
				return nil, fmt.Errorf("column %v is compressed by %v, which Banter does not write", c.MetaData.PathInSchema, c.MetaData.Codec)
			}
		}
	}
	if err := checkPages(r, size, f); err != nil {
		return nil, err
	}
	return f, nil
}
