package parquetfile

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// TestColumnsThatClaimTooMuch checks that each claim of a page header is held against what the file can hold.
func TestColumnsThatClaimTooMuch(t *testing.T) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false))
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	pack := func(n int) []byte { return encoder.EncodeAll(make([]byte, n), nil) }
	page := func(data []byte, values, unpacked int32) (*format.PageHeader, []byte) {
		h := &format.PageHeader{Type: format.DataPage, UncompressedPageSize: unpacked, CompressedPageSize: int32(len(data))}
		h.DataPageHeader = thrift.Null[format.DataPageHeader]{V: format.DataPageHeader{NumValues: values}, Valid: true}
		return h, data
	}
	v2 := func(data []byte, levels, nulls int32) (*format.PageHeader, []byte) {
		h := &format.PageHeader{Type: format.DataPageV2, UncompressedPageSize: 100, CompressedPageSize: int32(len(data))}
		h.DataPageHeaderV2 = thrift.Null[format.DataPageHeaderV2]{Valid: true, V: format.DataPageHeaderV2{
			NumValues: 8, NumNulls: nulls, DefinitionLevelsByteLength: levels}}
		return h, data
	}
	short := func(h *format.PageHeader, data []byte) (*format.PageHeader, []byte) {
		h.CompressedPageSize += 1000
		return h, data
	}
	type made struct {
		h    *format.PageHeader
		data []byte
	}
	of := func(h *format.PageHeader, data []byte) made { return made{h, data} }
	small, large := pack(100), pack(1<<20)
	split := encoder.EncodeAll(bytes.Repeat([]byte("all work and no play "), 20_000), nil)
	for name, c := range map[string]struct {
		page made
		want string // "" for a page that is fine
	}{
		"a page":                        {of(page(small, 100, 100)), ""},
		"a page of version 2":           {of(v2(append([]byte{1, 2}, small...), 2, 3)), ""},
		"a large page":                  {of(page(large, 100, 1<<20)), ""},
		"a page of several blocks":      {of(page(split, 100, 420_000)), ""},
		"2 GB unpacked":                 {of(page(small, 100, math.MaxInt32)), "bytes unpacked"},
		"2 billion values":              {of(page(small, math.MaxInt32, 100)), "values"},
		"a negative size":               {of(page(small, 100, -1)), "negative"},
		"more than it says":             {of(page(large, 100, 100)), "claims 100 bytes unpacked and holds 1048576"},
		"two frames":                    {of(page(append(bytes.Clone(small), large...), 100, 1<<20)), "does not end"},
		"a page that is cut":            {of(page(split[:len(split)-4], 100, 420_000)), "does not end"},
		"no zstd":                       {of(page([]byte("nothing of that kind"), 100, 100)), "broken"},
		"beyond the column":             {of(short(page(small, 100, 100))), "beyond the column's end"},
		"levels longer than the page":   {of(v2(small, 1000, 0)), "levels"},
		"more nulls than values":        {of(v2(append([]byte{1, 2}, small...), 2, 30)), "nulls"},
		"negative levels":               {of(v2(small, -5, 0)), "levels"},
		"a header of another page type": {of(&format.PageHeader{Type: format.IndexPage, CompressedPageSize: int32(len(small))}, small), ""},
	} {
		b, err := thrift.Marshal(new(thrift.CompactProtocol), c.page.h)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, c.page.data...)
		size := int64(len(b))
		w := pageWalk{r: bytes.NewReader(b), values: freeValues + valuesPerByte*size, bytes: freeBytes + bytesPerByte*size}
		err = w.column(size, &format.ColumnMetaData{Codec: format.Zstd, TotalCompressedSize: size})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want something about %q", name, err, c.want)
		}
	}
}

// TestManyPages checks that what single pages may claim is bounded for all of them together.
func TestManyPages(t *testing.T) {
	h := &format.PageHeader{Type: format.DataPage, UncompressedPageSize: 1 << 20}
	h.DataPageHeader = thrift.Null[format.DataPageHeader]{V: format.DataPageHeader{NumValues: 1}, Valid: true}
	b, err := thrift.Marshal(new(thrift.CompactProtocol), h)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Repeat(b, 1000)
	size := int64(len(b))
	w := pageWalk{r: bytes.NewReader(b), values: freeValues + valuesPerByte*size, bytes: freeBytes + bytesPerByte*size}
	if err := w.column(size, &format.ColumnMetaData{Codec: format.Zstd, TotalCompressedSize: size}); err == nil {
		t.Error("1,000 pages of 1 MB are taken from 20 kB")
	}
}

// TestOutsideTheFile checks that a column's pages must lie in the file.
func TestOutsideTheFile(t *testing.T) {
	for _, c := range []format.ColumnMetaData{
		{DataPageOffset: -1, TotalCompressedSize: 10}, {DataPageOffset: 90, TotalCompressedSize: 11},
		{DataPageOffset: 10, DictionaryPageOffset: math.MaxInt64, TotalCompressedSize: 1}, {TotalCompressedSize: -1}, {TotalCompressedSize: math.MaxInt64},
	} {
		w := pageWalk{r: bytes.NewReader(make([]byte, 100)), values: 1, bytes: 1}
		if err := w.column(100, &c); err == nil || !strings.Contains(err.Error(), "outside") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestWhatBantersWriterWritesIsTaken writes the columns that a table packs best.
func TestWhatBantersWriterWritesIsTaken(t *testing.T) {
	type row struct {
		ID       int64    `parquet:"id,delta"`
		Constant string   `parquet:"constant,dict"`
		Flag     bool     `parquet:"flag"`
		Absent   *string  `parquet:"absent,optional"`
		Empty    []string `parquet:"empty,list"`
		Same     []int32  `parquet:"same,list"`
		Text     string   `parquet:"text"`
	}
	rows := make([]row, 1000)
	for i := range rows {
		rows[i] = row{Constant: "always", Same: make([]int32, 256), Text: strings.Repeat("x", 10_000)}
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, parquet.Compression(&parquet.Zstd))
	for i := range 30 {
		for k := range rows {
			rows[k].ID = int64(1000*i + k)
		}
		if _, err := w.Write(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := Open(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatalf("a table of %d bytes: %v", b.Len(), err)
	}
	if f.NumRows() != 30_000 {
		t.Errorf("%d rows", f.NumRows())
	}
}
