package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// KeyValue is one line of metadata; Value is of a type that File.Metadata holds.
type KeyValue struct {
	Key   string
	Value any
}

// Write writes a GGUF version 3 file: metadata and tensors in the order given, tensors aligned to 32 bytes.
func Write(w io.Writer, metadata []KeyValue, tensors []Tensor) error {
	var head bytes.Buffer
	head.WriteString(Magic)
	put32 := func(v uint32) { head.Write(binary.LittleEndian.AppendUint32(nil, v)) }
	put64 := func(v uint64) { head.Write(binary.LittleEndian.AppendUint64(nil, v)) }
	putString := func(s string) { put64(uint64(len(s))); head.WriteString(s) }
	put32(3)
	put64(uint64(len(tensors)))
	put64(uint64(len(metadata)))
	seen := map[string]bool{}
	for _, kv := range metadata {
		if seen[kv.Key] {
			return fmt.Errorf("write gguf: metadata %q is given twice", kv.Key)
		}
		seen[kv.Key] = true
		if kv.Key == "general.alignment" {
			return fmt.Errorf("write gguf: the alignment is always %d", defaultAlignment)
		}
		putString(kv.Key)
		if err := putValue(&head, kv.Value); err != nil {
			return fmt.Errorf("write gguf: metadata %q: %w", kv.Key, err)
		}
	}
	sizes := make([]int, len(tensors))
	clear(seen)
	var at uint64
	for i, t := range tensors {
		if seen[t.Name] {
			return fmt.Errorf("write gguf: tensor %q is given twice", t.Name)
		}
		seen[t.Name] = true
		if len(t.Shape) > maxDims {
			return fmt.Errorf("write gguf: tensor %q: %d dimensions", t.Name, len(t.Shape))
		}
		size, err := Size(t.Type, t.Shape)
		if err != nil {
			return fmt.Errorf("write gguf: tensor %q: %w", t.Name, err)
		}
		sizes[i] = size
		putString(t.Name)
		put32(uint32(len(t.Shape)))
		for _, d := range slices.Backward(t.Shape) {
			put64(uint64(d))
		}
		put32(uint32(t.Type))
		put64(at)
		at += pad(uint64(size))
	}
	head.Write(make([]byte, pad(uint64(head.Len()))-uint64(head.Len())))
	if _, err := w.Write(head.Bytes()); err != nil {
		return fmt.Errorf("write gguf: %w", err)
	}
	for i, t := range tensors {
		data := t.Data
		if data == nil && t.Load != nil {
			var err error
			if data, err = t.Load(); err != nil {
				return fmt.Errorf("write gguf: tensor %q: %w", t.Name, err)
			}
		}
		if len(data) != sizes[i] {
			return fmt.Errorf("write gguf: tensor %q has %d bytes, its shape %v wants %d", t.Name, len(data), t.Shape, sizes[i])
		}
		if _, err := w.Write(data); err != nil {
			return fmt.Errorf("write gguf: tensor %q: %w", t.Name, err)
		}
		if _, err := w.Write(make([]byte, pad(uint64(len(data)))-uint64(len(data)))); err != nil {
			return fmt.Errorf("write gguf: tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// pad rounds n up to where the next tensor may begin.
func pad(n uint64) uint64 { return (n + defaultAlignment - 1) &^ (defaultAlignment - 1) }

func putValue(b *bytes.Buffer, value any) error {
	le := binary.LittleEndian
	kind := func(k uint32) { b.Write(le.AppendUint32(nil, k)) }
	switch v := value.(type) {
	case uint8:
		kind(kindUint8)
	case int8:
		kind(kindInt8)
	case uint16:
		kind(kindUint16)
	case int16:
		kind(kindInt16)
	case uint32:
		kind(kindUint32)
	case int32:
		kind(kindInt32)
	case float32:
		kind(kindFloat32)
	case bool:
		kind(kindBool)
	case string:
		kind(kindString)
	case uint64:
		kind(kindUint64)
	case int64:
		kind(kindInt64)
	case float64:
		kind(kindFloat64)
	case []uint8:
		return putArray(b, kindUint8, v)
	case []int8:
		return putArray(b, kindInt8, v)
	case []uint16:
		return putArray(b, kindUint16, v)
	case []int16:
		return putArray(b, kindInt16, v)
	case []uint32:
		return putArray(b, kindUint32, v)
	case []int32:
		return putArray(b, kindInt32, v)
	case []float32:
		return putArray(b, kindFloat32, v)
	case []bool:
		return putArray(b, kindBool, v)
	case []string:
		return putArray(b, kindString, v)
	case []uint64:
		return putArray(b, kindUint64, v)
	case []int64:
		return putArray(b, kindInt64, v)
	case []float64:
		return putArray(b, kindFloat64, v)
	default:
		return fmt.Errorf("a value of type %T cannot be written", value)
	}
	putScalar(b, value)
	return nil
}

func putArray[T any](b *bytes.Buffer, kind uint32, items []T) error {
	b.Write(binary.LittleEndian.AppendUint32(nil, kindArray))
	b.Write(binary.LittleEndian.AppendUint32(nil, kind))
	b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(items))))
	for _, item := range items {
		putScalar(b, item)
	}
	return nil
}

func putScalar(b *bytes.Buffer, value any) {
	le := binary.LittleEndian
	switch v := value.(type) {
	case uint8:
		b.WriteByte(v)
	case int8:
		b.WriteByte(byte(v))
	case bool:
		if v {
			b.WriteByte(1)
		} else {
			b.WriteByte(0)
		}
	case uint16:
		b.Write(le.AppendUint16(nil, v))
	case int16:
		b.Write(le.AppendUint16(nil, uint16(v)))
	case uint32:
		b.Write(le.AppendUint32(nil, v))
	case int32:
		b.Write(le.AppendUint32(nil, uint32(v)))
	case float32:
		b.Write(le.AppendUint32(nil, math.Float32bits(v)))
	case uint64:
		b.Write(le.AppendUint64(nil, v))
	case int64:
		b.Write(le.AppendUint64(nil, uint64(v)))
	case float64:
		b.Write(le.AppendUint64(nil, math.Float64bits(v)))
	case string:
		b.Write(le.AppendUint64(nil, uint64(len(v))))
		b.WriteString(v)
	}
}
