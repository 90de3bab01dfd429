package parquetfile

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"
)

func TestCheckFooter(t *testing.T) {
	var whole bytes.Buffer
	if err := parquet.Write(&whole, []struct{ A int }{{1}, {2}}); err != nil {
		t.Fatal(err)
	}
	b := whole.Bytes()
	if err := CheckFooter(bytes.NewReader(b), int64(len(b))); err != nil {
		t.Errorf("a whole file: %v", err)
	}
	huge := bytes.Clone(b)
	copy(huge[len(huge)-8:], "\xff\xff\xff\xff")
	for name, b := range map[string][]byte{"empty": nil, "short": b[:11], "cut": b[:len(b)-1], "a footer of 4 GB": huge} {
		if err := CheckFooter(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
