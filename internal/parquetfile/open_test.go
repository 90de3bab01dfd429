package parquetfile

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
)

func TestCheckFooter(t *testing.T) {
	var whole bytes.Buffer
	if err := parquet.Write(&whole, []struct{ A int }{{1}, {2}}); err != nil {
		t.Fatal(err)
	}
	b := whole.Bytes()
	if err := checkFooter(bytes.NewReader(b), int64(len(b))); err != nil {
		t.Errorf("a whole file: %v", err)
	}
	huge := bytes.Clone(b)
	copy(huge[len(huge)-8:], "\xff\xff\xff\xff")
	for name, b := range map[string][]byte{"empty": nil, "short": b[:11], "cut": b[:len(b)-1], "a footer of 4 GB": huge} {
		if err := checkFooter(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestOpenTakesOnlyItsOwnCompression(t *testing.T) {
	for codec, want := range map[compress.Codec]bool{&parquet.Zstd: true, &parquet.Uncompressed: true, &parquet.Lz4Raw: false} {
		var b bytes.Buffer
		if err := parquet.Write(&b, []struct{ A string }{{"a"}, {"b"}}, parquet.Compression(codec)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(bytes.NewReader(b.Bytes()), int64(b.Len())); (err == nil) != want {
			t.Errorf("%v: %v", codec, err)
		}
	}
}
