package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	maxFooter   = 16 << 20 // bytes
	maxElements = 1 << 20  // of all lists in the footer together
	maxNesting  = 32
)

// checkFooter walks the footer of a Parquet file before the library reads it. The library makes room for as many elements
// as a list claims to have, so a few bytes could ask for gigabytes; here every element must be there.
func checkFooter(r io.ReaderAt, size int64) error {
	const frame = 8 // length and magic number
	if size < 4+frame {
		return errors.New("it is too short")
	}
	var end [frame]byte
	if _, err := r.ReadAt(end[:], size-frame); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(end[:]))
	switch {
	case string(end[4:]) != "PAR1":
		return errors.New("it does not end as one")
	case n > size-4-frame:
		return fmt.Errorf("it claims a footer of %d bytes", n)
	case n > maxFooter:
		return fmt.Errorf("its footer of %d bytes is larger than %d MB", n, maxFooter>>20)
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, size-frame-n); err != nil {
		return err
	}
	w := thriftWalk{b: b}
	w.object(0)
	return w.err
}

// thriftWalk steps over a value of Thrift's compact protocol
// (github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md) without keeping anything.
type thriftWalk struct {
	b        []byte
	elements int
	err      error
}

func (w *thriftWalk) fail(err error) {
	if w.err == nil {
		w.err = err
	}
	w.b = nil
}

func (w *thriftWalk) skip(n uint64) {
	if n > uint64(len(w.b)) {
		w.fail(errors.New("its footer ends too early"))
		return
	}
	w.b = w.b[n:]
}

func (w *thriftWalk) byte() byte {
	if len(w.b) == 0 {
		w.fail(errors.New("its footer ends too early"))
		return 0
	}
	c := w.b[0]
	w.b = w.b[1:]
	return c
}

func (w *thriftWalk) varint() uint64 {
	v, n := binary.Uvarint(w.b)
	if n <= 0 {
		w.fail(errors.New("its footer holds a broken number"))
		return 0
	}
	w.b = w.b[n:]
	return v
}

// object steps over the fields of a struct.
func (w *thriftWalk) object(depth int) {
	for w.err == nil {
		head := w.byte()
		if head == 0 {
			return
		}
		if head>>4 == 0 {
			w.varint() // the field's number, where it does not follow the last one
		}
		if kind := head & 15; kind > 2 { // booleans are in the head
			w.value(kind, depth)
		}
	}
}

// value steps over one value.
func (w *thriftWalk) value(kind byte, depth int) {
	if depth > maxNesting {
		w.fail(errors.New("its footer is nested too deeply"))
		return
	}
	switch kind {
	case 1, 2, 3: // boolean in a list, byte
		w.skip(1)
	case 4, 5, 6: // integers
		w.varint()
	case 7: // double
		w.skip(8)
	case 8: // text
		w.skip(w.varint())
	case 9, 10: // list, set
		head := w.byte()
		n := uint64(head >> 4)
		if n == 15 {
			n = w.varint()
		}
		w.values(n, depth, head&15)
	case 11: // map
		if n := w.varint(); n > 0 {
			kinds := w.byte()
			w.values(n, depth, kinds>>4, kinds&15)
		}
	case 12:
		w.object(depth + 1)
	default:
		w.fail(fmt.Errorf("its footer holds a value of the unknown type %d", kind))
	}
}

// values steps over n groups of values of the given types.
func (w *thriftWalk) values(n uint64, depth int, kinds ...byte) {
	if n > uint64(len(w.b)) || w.elements+int(n) > maxElements {
		w.fail(fmt.Errorf("its footer claims a list of %d elements", n))
		return
	}
	w.elements += int(n)
	for range n {
		for _, k := range kinds {
			if w.err != nil {
				return
			}
			w.value(k, depth+1)
		}
	}
}
