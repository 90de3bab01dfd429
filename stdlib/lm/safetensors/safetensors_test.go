package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestNumpyFile reads a file that the format's own library wrote, and writes the same bytes.
func TestNumpyFile(t *testing.T) {
	b, err := os.ReadFile("testdata/numpy.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range f.Tensors {
		got = append(got, fmt.Sprint(x.Name, x.DType, x.Shape, len(x.Data)))
	}
	if want := []string{"a.weightF16[4] 8", "b.weightF32[2 3] 24", "cF32[0 3] 0", "sI64[] 8"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if f.Metadata["format"] != "np" {
		t.Errorf("metadata %v", f.Metadata)
	}
	slices.Reverse(f.Tensors)
	var out bytes.Buffer
	if err := Write(&out, f.Tensors, f.Metadata); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), b) {
		t.Errorf("written again:\n%q\nwant\n%q", out.Bytes(), b)
	}
}

// file puts a header before n bytes of data.
func file(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func TestDamagedHeaders(t *testing.T) {
	const one = `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "too few"},
		{"huge header", bytes.Repeat([]byte{255}, 100), "limit"},
		{"header beyond the end", file("{}", 0)[:9], "truncated"},
		{"not JSON", file("PK\x03\x04......", 10), "not a JSON object"},
		{"data cut", file("{"+one+"}", 7), "truncated"},
		{"data too long", file("{"+one+"}", 9), "belong to no tensor"},
		{"overlap", file("{"+one+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), "inside the tensor before"},
		{"hole", file("{"+one+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}}`, 20), "belong to no tensor"},
		{"twice", file("{"+one+","+one+"}", 8), "twice"},
		{"shape too large for its bytes", file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "takes 12 bytes"},
		{"overflow", file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0), "too large"},
		{"negative shape", file(`{"a":{"dtype":"F32","shape":[-2,-1],"data_offsets":[0,8]}}`, 8), "negative"},
		{"backward offsets", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), "not a range"},
		{"one offset", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}}`, 8), "not a range"},
		{"unknown dtype", file(`{"a":{"dtype":"Q9","shape":[2],"data_offsets":[0,8]}}`, 8), "Q9"},
		{"trailing text", file("{"+one+"} x", 8), "after the JSON"},
		{"unfinished", file("{"+one, 8), "header"},
	} {
		if _, err := Parse(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	x := Tensor{Name: "a", DType: "F32", Shape: []int{2}, Data: make([]byte, 8)}
	short := x
	short.Data = short.Data[:4]
	lazy := Tensor{Name: "a", DType: "F32", Shape: []int{2}, Load: func() ([]byte, error) { return nil, fmt.Errorf("gone") }}
	for name, tensors := range map[string][]Tensor{"twice": {x, x}, "short": {short}, "lazy": {lazy}, "unknown": {{Name: "q", DType: "Q9"}}} {
		if err := Write(&bytes.Buffer{}, tensors, nil); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("testdata/numpy.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Add(file(`{"__metadata__":{"a":"b"}}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, file.Tensors, file.Metadata); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Parse(out.Bytes())
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if len(again.Tensors) != len(file.Tensors) {
			t.Fatalf("%d tensors became %d", len(file.Tensors), len(again.Tensors))
		}
		for i := range file.Tensors {
			if a, b := file.Tensors[i], again.Tensors[i]; a.Name != b.Name || !bytes.Equal(a.Data, b.Data) {
				t.Fatalf("tensor %q changed", a.Name)
			}
		}
	})
}
