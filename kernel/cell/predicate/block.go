package predicate

import (
	"go/token"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Rows are tested in blocks: each comparison goes over a whole block, without branches, and takes from the mask the rows
// that fail. So a test costs little more than it costs to read the memory.
const (
	blockRows    = 64  // whose fields stay in the nearest cache
	blocksAtOnce = 256 // that a processor takes at a time
)

// block is rows that follow each other in memory.
type block struct {
	rows    unsafe.Pointer
	size    uintptr   // bytes of a row
	scratch [][]uint8 // masks that are not in use
}

// borrow gives a mask of n rows, to be given back.
func (b *block) borrow(n int) []uint8 {
	if last := len(b.scratch) - 1; last >= 0 {
		mask := b.scratch[last]
		b.scratch = b.scratch[:last]
		return mask[:n]
	}
	return make([]uint8, n, blockRows)
}

func (b *block) giveBack(mask []uint8) { b.scratch = append(b.scratch, mask) }

// sieve takes from a mask, which is 1 for a row that is asked for and 0 for another, the rows that fail a test.
type sieve func(b *block, mask []uint8)

func one(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// rowByRow is the sieve of any test. It looks at no row that is not asked for: such a test may cost much.
func rowByRow(test boolFunc) sieve {
	return func(b *block, mask []uint8) {
		for i, asked := range mask {
			if asked != 0 {
				mask[i] = one(test(unsafe.Add(b.rows, uintptr(i)*b.size)))
			}
		}
	}
}

func all(*block, []uint8) {}

func none(_ *block, mask []uint8) { clear(mask) }

func both(x, y value) sieve {
	if s := fused(x, y); s != nil {
		return s
	}
	return chain(x.sieves(), y.sieves())
}

func chain(x, y sieve) sieve {
	return func(b *block, mask []uint8) {
		x(b, mask)
		y(b, mask)
	}
}

func either(x, y sieve) sieve {
	return func(b *block, mask []uint8) {
		passed := b.borrow(len(mask))
		copy(passed, mask)
		x(b, passed)
		for i := range mask {
			mask[i] &^= passed[i]
		}
		y(b, mask)
		for i := range mask {
			mask[i] |= passed[i]
		}
		b.giveBack(passed)
	}
}

func not(x sieve) sieve {
	return func(b *block, mask []uint8) {
		passed := b.borrow(len(mask))
		copy(passed, mask)
		x(b, passed)
		for i := range mask {
			mask[i] &^= passed[i]
		}
		b.giveBack(passed)
	}
}

// flag asks for the bool at offset.
func flag(offset uintptr) sieve {
	return func(b *block, mask []uint8) {
		at := offset // not a pointer, which would point behind the rows after the last of them
		for i := range mask {
			mask[i] &= one(*(*bool)(unsafe.Add(b.rows, at)))
			at += b.size
		}
	}
}

// within asks whether the 64-bit field at offset is in lo..hi, or, with but, whether it is not: what each comparison with a
// value comes to.
type within[T int64 | float64] struct {
	offset uintptr
	lo, hi T
	but    uint8
}

func (w within[T]) of(row unsafe.Pointer) uint8 {
	x := *(*T)(unsafe.Add(row, w.offset))
	return one(w.lo <= x)&one(x <= w.hi) ^ w.but
}

func floatWithin(op token.Token, offset uintptr, v float64) within[float64] {
	w := within[float64]{offset: offset, lo: math.Inf(-1), hi: math.Inf(1)}
	switch {
	case op == token.NEQ:
		w.lo, w.hi, w.but = v, v, 1
	case op == token.EQL:
		w.lo, w.hi = v, v
	case v != v, op == token.LSS && v == w.lo, op == token.GTR && v == w.hi:
		w.lo, w.hi = w.hi, w.lo // nothing
	case op == token.LSS:
		w.hi = math.Nextafter(v, w.lo)
	case op == token.LEQ:
		w.hi = v
	case op == token.GTR:
		w.lo = math.Nextafter(v, w.hi)
	case op == token.GEQ:
		w.lo = v
	}
	return w
}

func intWithin(op token.Token, offset uintptr, v int64) within[int64] {
	w := within[int64]{offset: offset, lo: math.MinInt64, hi: math.MaxInt64}
	switch {
	case op == token.NEQ:
		w.lo, w.hi, w.but = v, v, 1
	case op == token.EQL:
		w.lo, w.hi = v, v
	case op == token.LSS && v == w.lo, op == token.GTR && v == w.hi:
		w.lo, w.hi = w.hi, w.lo // nothing
	case op == token.LSS:
		w.hi = v - 1
	case op == token.LEQ:
		w.hi = v
	case op == token.GTR:
		w.lo = v + 1
	case op == token.GEQ:
		w.lo = v
	}
	return w
}

// sift is the sieve of one comparison.
func sift[T int64 | float64](w within[T]) sieve {
	return func(b *block, mask []uint8) {
		rows, at, size := b.rows, uintptr(0), b.size
		for i := range mask {
			mask[i] &= w.of(unsafe.Add(rows, at))
			at += size
		}
	}
}

// siftTwo is the sieve of two comparisons that both must hold: each row is looked at once.
func siftTwo[T, U int64 | float64](w within[T], u within[U]) sieve {
	return func(b *block, mask []uint8) {
		rows, at, size := b.rows, uintptr(0), b.size
		for i := range mask {
			p := unsafe.Add(rows, at)
			mask[i] &= w.of(p) & u.of(p)
			at += size
		}
	}
}

// fused is the sieve of two comparisons in one pass, where both are of a field with a value.
func fused(x, y value) sieve {
	switch {
	case x.float != nil && y.float != nil:
		return siftTwo(*x.float, *y.float)
	case x.float != nil && y.int != nil:
		return siftTwo(*x.float, *y.int)
	case x.int != nil && y.float != nil:
		return siftTwo(*y.float, *x.int)
	case x.int != nil && y.int != nil:
		return siftTwo(*x.int, *y.int)
	}
	return nil
}

// Test is a compiled predicate.
type Test struct {
	keep  boolFunc
	sieve sieve
	size  uintptr // bytes of a row
}

// Keep tests the row that p points at.
func (t *Test) Keep(p unsafe.Pointer) bool { return t.keep(p) }

// Rows tests the rows that follow each other from the one that rows points at, and sets keep to what each comes to. It
// uses all processors.
func (t *Test) Rows(rows unsafe.Pointer, keep []bool) {
	if len(keep) == 0 {
		return
	}
	masks := unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(keep))), len(keep))
	const stride = blockRows * blocksAtOnce
	var next atomic.Int64
	work := func() {
		b := &block{size: t.size}
		for {
			from := int(next.Add(stride)) - stride
			if from >= len(masks) {
				return
			}
			for end := min(len(masks), from+stride); from < end; from += blockRows {
				mask := masks[from:min(end, from+blockRows)]
				for i := range mask {
					mask[i] = 1
				}
				b.rows = unsafe.Add(rows, uintptr(from)*t.size)
				t.sieve(b, mask)
			}
		}
	}
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(masks)+stride-1)/stride) - 1 {
		wait.Go(work)
	}
	work()
	wait.Wait()
}
