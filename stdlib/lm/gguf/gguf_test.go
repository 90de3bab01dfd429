package gguf

import (
	"bytes"
	"encoding/binary"
	"os"
	"reflect"
	"strings"
	"testing"
)

func sample(t testing.TB) ([]byte, []KeyValue, []Tensor) {
	metadata := []KeyValue{
		{"general.architecture", "llama"}, {"u8", uint8(200)}, {"i8", int8(-3)}, {"u16", uint16(40000)}, {"i16", int16(-4000)},
		{"u32", uint32(1 << 31)}, {"i32", int32(-5)}, {"f32", float32(0.1)}, {"yes", true}, {"no", false}, {"u64", uint64(1 << 63)},
		{"i64", int64(-1 << 63)}, {"f64", 0.1}, {"strings", []string{"a", "", "ünï"}}, {"floats", []float32{1, 2}}, {"ints", []int32{-1, 5}},
		{"bytes", []uint8{1, 2, 3}}, {"truths", []bool{true, false}}, {"u64s", []uint64{7}}, {"none", []string{}},
	}
	tensors := []Tensor{
		{Name: "a", Type: F32, Shape: []int{2, 3}, Data: bytes.Repeat([]byte{1}, 24)},
		{Name: "b", Type: Q8_0, Shape: []int{2, 64}, Data: bytes.Repeat([]byte{2}, 4*34)},
		{Name: "c", Type: F16, Shape: []int{5}, Data: bytes.Repeat([]byte{3}, 10)},
	}
	var b bytes.Buffer
	if err := Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), metadata, tensors
}

func TestRoundTrip(t *testing.T) {
	b, metadata, tensors := sample(t)
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Metadata) != len(metadata) {
		t.Errorf("%d keys, want %d", len(f.Metadata), len(metadata))
	}
	for _, kv := range metadata {
		if !reflect.DeepEqual(f.Metadata[kv.Key], kv.Value) {
			t.Errorf("%s is %#v, want %#v", kv.Key, f.Metadata[kv.Key], kv.Value)
		}
	}
	if !reflect.DeepEqual(f.Tensors, tensors) {
		t.Errorf("tensors %v", f.Tensors)
	}
	if n, ok := f.Int("i8"); !ok || n != -3 {
		t.Errorf("Int(i8) is %d, %v", n, ok)
	}
	if _, ok := f.Int("u64"); ok {
		t.Error("2^63 passed as an int")
	}
	if x, ok := f.Float("f32"); !ok || x != float64(float32(0.1)) {
		t.Errorf("Float(f32) is %v", x)
	}
}

func TestDamagedFiles(t *testing.T) {
	good, _, _ := sample(t)
	change := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	table := bytes.Index(good, []byte("\x01\x00\x00\x00\x00\x00\x00\x00a\x02\x00\x00\x00")) + 9 // dims of tensor a
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"short", good[:10], "too few"},
		{"not one", change(0, 'X'), "not a GGUF"},
		{"version 1", change(4, 1), "version 1"},
		{"version 9", change(4, 9), "version 9"},
		{"big-endian", change(4, 0, 0, 0, 3), "big-endian"},
		{"too many tensors", change(8, 0, 0, 0, 0, 1), "damaged"},
		{"too many keys", change(16, 255, 255, 255, 255, 255, 255, 255, 255), "damaged"},
		{"key too long", change(24, 0, 0, 0, 1), "damaged"},
		{"cut in the header", good[:100], "truncated"},
		{"cut in the data", good[:len(good)-40], "truncated"},
		{"five dimensions", change(table, 5), "5 dimensions"},
		{"huge dimension", change(table+4, 255, 255, 255, 255, 255, 255, 255, 127), "too large"},
		{"unknown type", change(table+20, 99), "type 99"},
		{"misaligned", change(table+24, 1), "multiple of 32"},
		{"overlap", bytes.Replace(good, binary.LittleEndian.AppendUint64([]byte{8, 0, 0, 0}, 32), binary.LittleEndian.AppendUint64([]byte{8, 0, 0, 0}, 0), 1), "inside the tensor before"},
	} {
		if _, err := Parse(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
	}
	for i := range good { // every cut is an error, never a panic
		if _, err := Parse(good[:i]); err == nil && i < len(good)-31 {
			t.Errorf("a file cut at %d of %d was read", i, len(good))
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, tensors := range map[string][]Tensor{
		"rows that are not blocks": {{Name: "a", Type: Q8_0, Shape: []int{2, 33}, Data: make([]byte, 68)}},
		"too few bytes":            {{Name: "a", Type: F32, Shape: []int{2}, Data: make([]byte, 4)}},
		"twice":                    {{Name: "a", Type: F32, Shape: []int{1}, Data: make([]byte, 4)}, {Name: "a", Type: F32, Shape: []int{1}, Data: make([]byte, 4)}},
	} {
		if err := Write(&bytes.Buffer{}, nil, tensors); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	if err := Write(&bytes.Buffer{}, []KeyValue{{"x", struct{}{}}}, nil); err == nil {
		t.Error("a struct was written as metadata")
	}
}

func FuzzParse(f *testing.F) {
	b, _, _ := sample(f)
	f.Add(b)
	f.Add(b[:len(b)/2])
	if micro, err := os.ReadFile("../../../testdata/models/lm-micro/lm-micro-f16.gguf"); err == nil {
		f.Add(micro[:40000])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		for _, x := range file.Tensors {
			if n, err := Size(x.Type, x.Shape); err != nil || n != len(x.Data) {
				t.Fatalf("tensor %q of %v %v has %d bytes", x.Name, x.Type, x.Shape, len(x.Data))
			}
		}
	})
}
