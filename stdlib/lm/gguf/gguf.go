// Package gguf reads and writes GGUF, the file format of ggml's models and adapters: typed metadata, then a table of
// tensors, then their bytes. A file's whole content (usually memory-mapped) flows in, and metadata and tensors that
// alias it flow out; no length, count or offset in it is believed before it is checked.
//
// The format is described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// defaultAlignment is where tensors begin unless general.alignment says otherwise.
const defaultAlignment = 32

// Bounds on what a header may claim; each is far above any real model's.
const (
	maxName    = 1 << 16 // bytes of a key or a tensor's name
	maxDims    = 4
	maxTensors = 1 << 20
	maxKeys    = 1 << 20
)

// The numbers of metadata value types.
const (
	kindUint8 uint32 = iota
	kindInt8
	kindUint16
	kindInt16
	kindUint32
	kindInt32
	kindFloat32
	kindBool
	kindString
	kindArray
	kindUint64
	kindInt64
	kindFloat64
)

// Tensor is one named array, row-major: Shape is in the order of [rows, columns], the reverse of ggml's own.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int
	Data  []byte // when read: aliases the file's bytes

	// Load gives the bytes when they are to be made only as they are written. It is used by Write where Data is nil.
	Load func() ([]byte, error)
}

// File is the content of one GGUF file.
type File struct {
	Version uint32
	// Metadata holds uint8, int8, uint16, int16, uint32, int32, uint64, int64, float32, float64, bool and string, and
	// slices of these.
	Metadata map[string]any
	Tensors  []Tensor // sorted by name
}

// Magic begins every GGUF file.
const Magic = "GGUF"

// Parse reads a whole file's bytes. Strings are copied; the tensors' data alias file.
func Parse(file []byte) (*File, error) {
	r := &reader{b: file}
	if len(file) < 24 {
		return nil, fmt.Errorf("%d bytes are too few for a GGUF header", len(file))
	}
	if string(file[:4]) != Magic {
		return nil, errors.New("it does not begin with GGUF: not a GGUF file")
	}
	r.at = 4
	version, _ := r.uint32()
	switch {
	case version == 2 || version == 3:
	case version == 1:
		return nil, errors.New("GGUF version 1 is not read (convert the model again with a current llama.cpp)")
	case version&0xffff == 0:
		return nil, errors.New("the file is big-endian, which is not read (convert the model again with a current llama.cpp)")
	default:
		return nil, fmt.Errorf("GGUF version %d is not known", version)
	}
	tensors, _ := r.uint64()
	keys, _ := r.uint64()
	if tensors > maxTensors || keys > maxKeys {
		return nil, fmt.Errorf("the header claims %d tensors and %d keys: it is damaged", tensors, keys)
	}
	f := &File{Version: version, Metadata: map[string]any{}}
	for range keys {
		key, err := r.string(maxName)
		if err != nil {
			return nil, fmt.Errorf("metadata key %d: %w", len(f.Metadata), err)
		}
		kind, err := r.uint32()
		if err != nil {
			return nil, fmt.Errorf("metadata %q: %w", key, err)
		}
		v, err := r.value(kind)
		if err != nil {
			return nil, fmt.Errorf("metadata %q: %w", key, err)
		}
		if _, twice := f.Metadata[key]; twice {
			return nil, fmt.Errorf("metadata %q is there twice", key)
		}
		f.Metadata[key] = v
	}
	alignment := uint64(defaultAlignment)
	if v, ok := f.Metadata["general.alignment"]; ok {
		a, ok := v.(uint32)
		if !ok || a == 0 || a&(a-1) != 0 || a > 1<<20 {
			return nil, fmt.Errorf("general.alignment is %v, not a power of two", v)
		}
		alignment = uint64(a)
	}
	if err := f.readTensors(r, tensors, alignment); err != nil {
		return nil, err
	}
	return f, nil
}

// readTensors reads the tensor table and cuts the data that follows it.
func (f *File) readTensors(r *reader, count, alignment uint64) error {
	type place struct {
		offset uint64
		tensor Tensor
		size   int
	}
	var places []place
	seen := map[string]bool{}
	for i := range count {
		name, err := r.string(maxName)
		if err != nil {
			return fmt.Errorf("name of tensor %d: %w", i, err)
		}
		if seen[name] {
			return fmt.Errorf("tensor %q is there twice", name)
		}
		seen[name] = true
		dims, err := r.uint32()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		if dims > maxDims {
			return fmt.Errorf("tensor %q: %d dimensions, at most %d are allowed", name, dims, maxDims)
		}
		shape := make([]int, dims)
		for d := range shape {
			n, err := r.uint64()
			if err != nil {
				return fmt.Errorf("tensor %q: %w", name, err)
			}
			if n > math.MaxInt64 {
				return fmt.Errorf("tensor %q: a dimension of %d", name, n)
			}
			shape[len(shape)-1-d] = int(n)
		}
		kind, err := r.uint32()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		offset, err := r.uint64()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		size, err := Size(Type(kind), shape)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		if offset%alignment != 0 {
			return fmt.Errorf("tensor %q: offset %d is not a multiple of %d", name, offset, alignment)
		}
		places = append(places, place{offset, Tensor{Name: name, Type: Type(kind), Shape: shape}, size})
	}
	start := (uint64(r.at) + alignment - 1) &^ (alignment - 1)
	var data []byte
	if start <= uint64(len(r.b)) {
		data = r.b[start:]
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.offset != b.offset {
			if a.offset < b.offset {
				return -1
			}
			return 1
		}
		return a.size - b.size
	})
	var end uint64
	for _, p := range places {
		if p.offset > uint64(len(data)) || uint64(p.size) > uint64(len(data))-p.offset {
			return fmt.Errorf("tensor %q: bytes %d to %d of the data, which has %d: the file is truncated", p.tensor.Name, p.offset, p.offset+uint64(p.size), len(data))
		}
		if p.offset < end {
			return fmt.Errorf("tensor %q begins at byte %d of the data, inside the tensor before it", p.tensor.Name, p.offset)
		}
		end = p.offset + uint64(p.size)
		p.tensor.Data = data[p.offset:end:end]
		f.Tensors = append(f.Tensors, p.tensor)
	}
	slices.SortFunc(f.Tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// String returns a metadata string.
func (f *File) String(key string) (string, bool) {
	s, ok := f.Metadata[key].(string)
	return s, ok
}

// Int returns a metadata integer of any width.
func (f *File) Int(key string) (int, bool) {
	switch v := f.Metadata[key].(type) {
	case uint8:
		return int(v), true
	case int8:
		return int(v), true
	case uint16:
		return int(v), true
	case int16:
		return int(v), true
	case uint32:
		return int(v), true
	case int32:
		return int(v), true
	case int64:
		return int(v), true
	case uint64:
		if v <= math.MaxInt64 {
			return int(v), true
		}
	}
	return 0, false
}

// Float returns a metadata number with a fraction.
func (f *File) Float(key string) (float64, bool) {
	switch v := f.Metadata[key].(type) {
	case float32:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// Bool returns a metadata truth value.
func (f *File) Bool(key string) (value, ok bool) {
	value, ok = f.Metadata[key].(bool)
	return value, ok
}

// reader walks the header's bytes.
type reader struct {
	b  []byte
	at int
}

var errShort = errors.New("the file ends inside the header: it is truncated")

func (r *reader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.b)-r.at) {
		return nil, errShort
	}
	b := r.b[r.at : r.at+int(n)]
	r.at += int(n)
	return b, nil
}

func (r *reader) uint32() (uint32, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (r *reader) uint64() (uint64, error) {
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

func (r *reader) string(limit uint64) (string, error) {
	n, err := r.uint64()
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", fmt.Errorf("a string of %d bytes: the file is damaged", n)
	}
	b, err := r.take(n)
	return string(b), err
}

// value reads one metadata value of the given kind.
func (r *reader) value(kind uint32) (any, error) {
	if kind != kindArray {
		return r.scalar(kind)
	}
	kind, err := r.uint32()
	if err != nil {
		return nil, err
	}
	n, err := r.uint64()
	if err != nil {
		return nil, err
	}
	switch kind {
	case kindUint8:
		b, err := r.take(n)
		return slices.Clone(b), err
	case kindInt8:
		return array[int8](r, kind, n, 1)
	case kindUint16:
		return array[uint16](r, kind, n, 2)
	case kindInt16:
		return array[int16](r, kind, n, 2)
	case kindUint32:
		return array[uint32](r, kind, n, 4)
	case kindInt32:
		return array[int32](r, kind, n, 4)
	case kindFloat32:
		return array[float32](r, kind, n, 4)
	case kindBool:
		return array[bool](r, kind, n, 1)
	case kindString:
		return array[string](r, kind, n, 8)
	case kindUint64:
		return array[uint64](r, kind, n, 8)
	case kindInt64:
		return array[int64](r, kind, n, 8)
	case kindFloat64:
		return array[float64](r, kind, n, 8)
	}
	return nil, fmt.Errorf("an array of value type %d is not known", kind)
}

// array reads n values of one kind; least is the fewest bytes that one takes, which bounds what is allocated.
func array[T any](r *reader, kind uint32, n, least uint64) ([]T, error) {
	if n > uint64(len(r.b)-r.at)/least {
		return nil, errShort
	}
	out := make([]T, n)
	for i := range out {
		v, err := r.scalar(kind)
		if err != nil {
			return nil, err
		}
		out[i] = v.(T)
	}
	return out, nil
}

func (r *reader) scalar(kind uint32) (any, error) {
	var n uint64
	switch kind {
	case kindUint8, kindInt8, kindBool:
		n = 1
	case kindUint16, kindInt16:
		n = 2
	case kindUint32, kindInt32, kindFloat32:
		n = 4
	case kindUint64, kindInt64, kindFloat64:
		n = 8
	case kindString:
		return r.string(math.MaxUint64)
	default:
		return nil, fmt.Errorf("value type %d is not known", kind)
	}
	b, err := r.take(n)
	if err != nil {
		return nil, err
	}
	switch kind {
	case kindUint8:
		return b[0], nil
	case kindInt8:
		return int8(b[0]), nil
	case kindBool:
		return b[0] != 0, nil
	case kindUint16:
		return binary.LittleEndian.Uint16(b), nil
	case kindInt16:
		return int16(binary.LittleEndian.Uint16(b)), nil
	case kindUint32:
		return binary.LittleEndian.Uint32(b), nil
	case kindInt32:
		return int32(binary.LittleEndian.Uint32(b)), nil
	case kindFloat32:
		return math.Float32frombits(binary.LittleEndian.Uint32(b)), nil
	case kindUint64:
		return binary.LittleEndian.Uint64(b), nil
	case kindInt64:
		return int64(binary.LittleEndian.Uint64(b)), nil
	default:
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	}
}
