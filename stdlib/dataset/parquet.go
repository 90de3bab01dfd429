package dataset

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"banter/internal/parquetfile"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// schemaVersion is written into each file; a reader of another version refuses it.
const schemaVersion = "1"

// rowsAGroup bounds a row group, and so the memory of a writer and a reader.
const rowsAGroup = 1 << 16

// Write checks rows and writes them as Parquet, in canonical order whatever order they come in: the same rows are the
// same bytes.
func Write(w io.Writer, rows []Row) error {
	if err := Validate(rows); err != nil {
		return fmt.Errorf("write dataset: %w", err)
	}
	if !slices.IsSortedFunc(rows, compare) {
		rows = slices.Clone(rows)
		Sort(rows)
	}
	out := parquet.NewGenericWriter[Row](w,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault, Concurrency: 1}),
		parquet.CreatedBy("banter", "1", ""),
		parquet.KeyValueMetadata("banter.dataset", schemaVersion),
		parquet.MaxRowsPerRowGroup(rowsAGroup),
	)
	if _, err := out.Write(rows); err != nil {
		return fmt.Errorf("write dataset: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write dataset: %w", err)
	}
	return nil
}

// Read reads all rows of a Parquet file and checks them. Its columns must be those of [Row], no more and no fewer.
func Read(r io.ReaderAt, size int64) ([]Row, error) {
	rows := []Row{}
	err := Each(r, size, func(row Row) error {
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := Validate(rows); err != nil {
		return nil, fmt.Errorf("read dataset: %w", err)
	}
	return rows, nil
}

// Each gives the rows of a Parquet file one after another, each checked by itself, at the memory of one batch. It ends
// with the first error, f's included.
func Each(r io.ReaderAt, size int64, f func(Row) error) (err error) {
	defer func() {
		if v := recover(); v != nil { // the library panics on some damaged files
			err = fmt.Errorf("read dataset: the Parquet file is damaged: %v", v)
		}
	}()
	file, err := parquetfile.Open(r, size)
	if err != nil {
		return fmt.Errorf("read dataset: it is not a whole Parquet file: %w", err)
	}
	if err := sameColumns(file.Schema()); err != nil {
		return fmt.Errorf("read dataset: %w", err)
	}
	if v, ok := file.Lookup("banter.dataset"); ok && v != schemaVersion {
		return fmt.Errorf("read dataset: its format is version %q, and this program reads version %s", v, schemaVersion)
	}
	in := parquet.NewGenericReader[Row](file)
	defer in.Close()
	batch := make([]Row, 256)
	for number := 0; ; {
		clear(batch)
		n, err := in.Read(batch)
		for i := range batch[:n] {
			number++
			if fault := batch[i].fault(); fault != nil {
				return fmt.Errorf("read dataset: row %d: %w", number, fault)
			}
			if err := f(batch[i]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			if want := file.NumRows(); int64(number) != want {
				return fmt.Errorf("read dataset: the file promises %d rows and holds %d", want, number)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read dataset: after row %d: %w", number, err)
		}
		if n == 0 {
			return fmt.Errorf("read dataset: the file gives no more after row %d", number)
		}
	}
}

// sameColumns compares a file's schema with that of Row, so that no column is filled with zeros or left out in silence.
func sameColumns(found *parquet.Schema) error {
	want := columns(parquet.SchemaOf(Row{}))
	have := columns(found)
	var wrong []string
	for name, kind := range want {
		switch got, ok := have[name]; {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("column %s is missing", name))
		case got != kind:
			wrong = append(wrong, fmt.Sprintf("column %s is %s and should be %s", name, got, kind))
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			wrong = append(wrong, fmt.Sprintf("column %s is not known", name))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	const told = 6
	more := ""
	if n := len(wrong) - told; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("its columns are not those of a dataset: %s%s", strings.Join(wrong[:min(len(wrong), told)], ", "), more)
}

// columns maps the dotted names of a schema's leaves to their types.
func columns(s *parquet.Schema) map[string]string {
	m := map[string]string{}
	for _, path := range s.Columns() {
		name := strings.Join(path, ".")
		leaf, ok := s.Lookup(path...)
		if !ok {
			m[name] = "unreadable"
			continue
		}
		m[name] = leaf.Node.Type().String()
	}
	return m
}
