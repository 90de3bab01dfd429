// Package parquetfile looks at Parquet files before the Parquet library does, which trusts what a damaged file says.
package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// CheckFooter refuses a footer that is larger than its file: the library takes up to 4 GB of memory for it before it looks.
func CheckFooter(r io.ReaderAt, size int64) error {
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
