// Package safetensors reads and writes the safetensors file format: eight bytes of header length, a JSON header that
// gives each tensor's type, shape and place, and the tensors' bytes. A file's whole content (usually memory-mapped)
// flows in and tensors that alias it flow out; nothing in the header is believed before it is checked.
//
// The format is described at https://github.com/huggingface/safetensors.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// MaxHeader is the longest header that is read, in bytes; the format's own library draws the same line.
const MaxHeader = 100_000_000

// maxDims is more dimensions than any tensor of a language model has.
const maxDims = 8

// Tensor is one named array, row-major and little-endian.
type Tensor struct {
	Name  string
	DType string // "F32", "F16", "BF16", ...
	Shape []int
	Data  []byte // when read: aliases the file's bytes

	// Load gives the bytes when they are to be made only as they are written, so that a model larger than memory can
	// be exported. It is used by Write where Data is nil.
	Load func() ([]byte, error)
}

// File is the content of one safetensors file.
type File struct {
	Tensors  []Tensor // sorted by name
	Metadata map[string]string
}

// SizeOf returns the bytes of one element of a dtype, and false where the dtype is unknown or smaller than a byte.
func SizeOf(dtype string) (int, bool) {
	switch dtype {
	case "F64", "I64", "U64":
		return 8, true
	case "F32", "I32", "U32":
		return 4, true
	case "F16", "BF16", "I16", "U16":
		return 2, true
	case "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2":
		return 1, true
	}
	return 0, false
}

// size returns the bytes that a tensor of this type and shape takes.
func size(dtype string, shape []int) (int, error) {
	n, ok := SizeOf(dtype)
	if !ok {
		return 0, fmt.Errorf("unknown dtype %q", dtype)
	}
	if len(shape) > maxDims {
		return 0, fmt.Errorf("%d dimensions", len(shape))
	}
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative dimension in shape %v", shape)
		}
		if d != 0 && n > math.MaxInt/d {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n *= d
	}
	return n, nil
}

// entry is a tensor's line in the header.
type entry struct {
	DType   string  `json:"dtype"`
	Shape   []int   `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
}

// Parse reads a whole file's bytes. The tensors' data alias file.
func Parse(file []byte) (*File, error) {
	if len(file) < 8 {
		return nil, fmt.Errorf("%d bytes are too few for a safetensors header", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	if n > MaxHeader {
		return nil, fmt.Errorf("the header claims %d bytes, the limit is %d: not a safetensors file", n, MaxHeader)
	}
	if n > uint64(len(file)-8) {
		return nil, fmt.Errorf("the header claims %d bytes but the file has %d after its length: it is truncated", n, len(file)-8)
	}
	header, data := file[8:8+n], file[8+n:]
	entries, metadata, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	f := &File{Metadata: metadata, Tensors: make([]Tensor, 0, len(entries))}
	type span struct {
		from, to int64
		name     string
	}
	spans := make([]span, 0, len(entries))
	for name, e := range entries {
		if len(e.Offsets) != 2 || e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] {
			return nil, fmt.Errorf("tensor %q: data_offsets %v are not a range", name, e.Offsets)
		}
		spans = append(spans, span{e.Offsets[0], e.Offsets[1], name})
	}
	slices.SortFunc(spans, func(a, b span) int {
		if a.from != b.from {
			return compare(a.from, b.from)
		}
		if a.to != b.to {
			return compare(a.to, b.to)
		}
		return strings.Compare(a.name, b.name)
	})
	var at int64
	for _, s := range spans {
		if s.to > int64(len(data)) {
			return nil, fmt.Errorf("tensor %q ends at byte %d of the data, which has %d: the file is truncated", s.name, s.to, len(data))
		}
		if s.from < at {
			return nil, fmt.Errorf("tensor %q begins at byte %d of the data, inside the tensor before it", s.name, s.from)
		}
		if s.from > at {
			return nil, fmt.Errorf("bytes %d to %d of the data, before tensor %q, belong to no tensor", at, s.from, s.name)
		}
		at = s.to
		e := entries[s.name]
		want, err := size(e.DType, e.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", s.name, err)
		}
		if int64(want) != s.to-s.from {
			return nil, fmt.Errorf("tensor %q: %s of shape %v takes %d bytes but the header gives it %d", s.name, e.DType, e.Shape, want, s.to-s.from)
		}
		f.Tensors = append(f.Tensors, Tensor{Name: s.name, DType: e.DType, Shape: e.Shape, Data: data[s.from:s.to:s.to]})
	}
	if at != int64(len(data)) {
		return nil, fmt.Errorf("%d bytes after the last tensor belong to no tensor", int64(len(data))-at)
	}
	slices.SortFunc(f.Tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	return f, nil
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// parseHeader reads the header key by key, because a JSON map would silently keep the last of two tensors of one name.
func parseHeader(header []byte) (map[string]entry, map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader(header))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, errors.New("the header is not a JSON object: not a safetensors file")
	}
	entries := map[string]entry{}
	var metadata map[string]string
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("header: %w", err)
		}
		name, _ := t.(string)
		if name == "__metadata__" {
			if metadata != nil {
				return nil, nil, errors.New("header: __metadata__ is there twice")
			}
			if err := dec.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("header: __metadata__: %w", err)
			}
			continue
		}
		if _, twice := entries[name]; twice {
			return nil, nil, fmt.Errorf("header: tensor %q is there twice", name)
		}
		var e entry
		if err := dec.Decode(&e); err != nil {
			return nil, nil, fmt.Errorf("header: tensor %q: %w", name, err)
		}
		entries[name] = e
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if rest := bytes.Trim(header[dec.InputOffset():], " \x00\n\t\r"); len(rest) > 0 {
		return nil, nil, errors.New("header: text after the JSON object")
	}
	return entries, metadata, nil
}

// Write writes tensors and metadata. The same tensors give the same bytes, in whatever order they come: wider types
// first, so that each tensor is aligned, and by name within a type.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	sorted := slices.Clone(tensors)
	slices.SortFunc(sorted, func(a, b Tensor) int {
		wa, _ := SizeOf(a.DType)
		wb, _ := SizeOf(b.DType)
		if wa != wb {
			return wb - wa
		}
		return strings.Compare(a.Name, b.Name)
	})
	var header bytes.Buffer
	header.WriteByte('{')
	put := func(key string, value any) error {
		k, err := marshal(key)
		if err != nil {
			return err
		}
		v, err := marshal(value)
		if err != nil {
			return err
		}
		if header.Len() > 1 {
			header.WriteByte(',')
		}
		header.Write(k)
		header.WriteByte(':')
		header.Write(v)
		return nil
	}
	if len(metadata) > 0 {
		if err := put("__metadata__", metadata); err != nil { // encoding/json sorts a map's keys
			return err
		}
	}
	var at int64
	sizes := make([]int, len(sorted))
	seen := map[string]bool{}
	for i, t := range sorted {
		if t.Name == "__metadata__" || seen[t.Name] {
			return fmt.Errorf("write safetensors: the name %q is taken", t.Name)
		}
		seen[t.Name] = true
		n, err := size(t.DType, t.Shape)
		if err != nil {
			return fmt.Errorf("write safetensors: tensor %q: %w", t.Name, err)
		}
		sizes[i] = n
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		if err := put(t.Name, entry{t.DType, shape, []int64{at, at + int64(n)}}); err != nil {
			return err
		}
		at += int64(n)
	}
	header.WriteByte('}')
	for header.Len()%8 != 0 {
		header.WriteByte(' ')
	}
	if header.Len() > MaxHeader {
		return fmt.Errorf("write safetensors: a header of %d bytes is over the format's limit of %d", header.Len(), MaxHeader)
	}
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(header.Len()))
	if _, err := w.Write(length[:]); err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	if _, err := w.Write(header.Bytes()); err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	for i, t := range sorted {
		data := t.Data
		if data == nil && t.Load != nil {
			var err error
			if data, err = t.Load(); err != nil {
				return fmt.Errorf("write safetensors: tensor %q: %w", t.Name, err)
			}
		}
		if len(data) != sizes[i] {
			return fmt.Errorf("write safetensors: tensor %q has %d bytes, its shape %v wants %d", t.Name, len(data), t.Shape, sizes[i])
		}
		if _, err := w.Write(data); err != nil {
			return fmt.Errorf("write safetensors: tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// marshal is json.Marshal without the escaping of <, > and &.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
