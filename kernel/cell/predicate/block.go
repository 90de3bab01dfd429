package predicate

import (
	"go/token"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Rows are tested in blocks: each comparison goes over a whole block, without branches, and hands on the numbers of the
// rows that pass. So a test costs what it costs to read the memory.
const (
	blockRows    = 1024 // whose numbers and fields stay in the nearest cache
	blocksAtOnce = 32   // that a processor takes at a time
)

// block is rows that follow each other in memory.
type block struct {
	rows    unsafe.Pointer
	size    uintptr // bytes of a row
	scratch [][]int32
}

func (b *block) row(i int32) unsafe.Pointer { return unsafe.Add(b.rows, uintptr(i)*b.size) }

// borrow gives room for n numbers, to be given back.
func (b *block) borrow(n int) []int32 {
	if last := len(b.scratch) - 1; last >= 0 {
		room := b.scratch[last]
		b.scratch = b.scratch[:last]
		return room[:n]
	}
	return make([]int32, n, blockRows)
}

func (b *block) giveBack(room []int32) { b.scratch = append(b.scratch, room) }

// sieve writes those of the rows in, which are in ascending order, that pass a test into out, and returns how many they
// are. out is as long as in, and may be in.
type sieve func(b *block, in, out []int32) int

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// rowByRow is the sieve of any test.
func rowByRow(test boolFunc) sieve {
	return func(b *block, in, out []int32) int {
		k := 0
		for _, i := range in {
			out[k] = i
			k += one(test(b.row(i)))
		}
		return k
	}
}

func all(_ *block, in, out []int32) int { return copy(out, in) }

func none(*block, []int32, []int32) int { return 0 }

func both(x, y sieve) sieve {
	return func(b *block, in, out []int32) int {
		n := x(b, in, out)
		return y(b, out[:n], out)
	}
}

func either(x, y sieve) sieve {
	return func(b *block, in, out []int32) int {
		first := b.borrow(len(in))
		defer b.giveBack(first)
		second := b.borrow(len(in))
		defer b.giveBack(second)
		n := x(b, in, first)
		rest := without(in, first[:n], second)
		return merge(first[:n], second[:y(b, second[:rest], second)], out)
	}
}

func not(x sieve) sieve {
	return func(b *block, in, out []int32) int {
		passed := b.borrow(len(in))
		defer b.giveBack(passed)
		return without(in, passed[:x(b, in, passed)], out)
	}
}

// without writes the numbers of list that are not in less, which is part of it, into out.
func without(list, less, out []int32) int {
	k, j := 0, 0
	for _, i := range list {
		if j < len(less) && less[j] == i {
			j++
			continue
		}
		out[k] = i
		k++
	}
	return k
}

// merge writes the numbers of two ascending lists in ascending order into out.
func merge(a, b, out []int32) int {
	n := len(a) + len(b)
	for k := range n {
		if len(b) == 0 || len(a) > 0 && a[0] < b[0] {
			out[k], a = a[0], a[1:]
		} else {
			out[k], b = b[0], b[1:]
		}
	}
	return n
}

// siftOrdered compares the 64-bit field at offset with a value.
func siftOrdered[T int64 | float64](op token.Token, offset uintptr, v T) sieve {
	switch op {
	case token.EQL:
		return func(b *block, in, out []int32) int {
			k, rows := 0, unsafe.Add(b.rows, offset)
			for _, i := range in {
				out[k] = i
				k += one(*(*T)(unsafe.Add(rows, uintptr(i)*b.size)) == v)
			}
			return k
		}
	case token.NEQ:
		return func(b *block, in, out []int32) int {
			k, rows := 0, unsafe.Add(b.rows, offset)
			for _, i := range in {
				out[k] = i
				k += one(*(*T)(unsafe.Add(rows, uintptr(i)*b.size)) != v)
			}
			return k
		}
	case token.LSS:
		return func(b *block, in, out []int32) int {
			k, rows := 0, unsafe.Add(b.rows, offset)
			for _, i := range in {
				out[k] = i
				k += one(*(*T)(unsafe.Add(rows, uintptr(i)*b.size)) < v)
			}
			return k
		}
	case token.LEQ:
		return func(b *block, in, out []int32) int {
			k, rows := 0, unsafe.Add(b.rows, offset)
			for _, i := range in {
				out[k] = i
				k += one(*(*T)(unsafe.Add(rows, uintptr(i)*b.size)) <= v)
			}
			return k
		}
	case token.GTR:
		return func(b *block, in, out []int32) int {
			k, rows := 0, unsafe.Add(b.rows, offset)
			for _, i := range in {
				out[k] = i
				k += one(*(*T)(unsafe.Add(rows, uintptr(i)*b.size)) > v)
			}
			return k
		}
	}
	return func(b *block, in, out []int32) int {
		k, rows := 0, unsafe.Add(b.rows, offset)
		for _, i := range in {
			out[k] = i
			k += one(*(*T)(unsafe.Add(rows, uintptr(i)*b.size)) >= v)
		}
		return k
	}
}

// siftFlag keeps the rows whose bool at offset is true.
func siftFlag(offset uintptr) sieve {
	return func(b *block, in, out []int32) int {
		k, rows := 0, unsafe.Add(b.rows, offset)
		for _, i := range in {
			out[k] = i
			k += one(*(*bool)(unsafe.Add(rows, uintptr(i)*b.size)))
		}
		return k
	}
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
	const stride = blockRows * blocksAtOnce
	var next atomic.Int64
	work := func() {
		b := &block{size: t.size}
		numbers, passed := make([]int32, blockRows), make([]int32, blockRows)
		for i := range numbers {
			numbers[i] = int32(i)
		}
		for {
			from := int(next.Add(stride)) - stride
			if from >= len(keep) {
				return
			}
			for end := min(len(keep), from+stride); from < end; from += blockRows {
				part := keep[from:min(len(keep), from+blockRows)]
				b.rows = unsafe.Add(rows, uintptr(from)*t.size)
				clear(part)
				n := t.sieve(b, numbers[:len(part)], passed[:len(part)])
				for _, i := range passed[:n] {
					part[i] = true
				}
			}
		}
	}
	workers := min(runtime.GOMAXPROCS(0), (len(keep)+stride-1)/stride)
	var wait sync.WaitGroup
	for range workers - 1 {
		wait.Go(work)
	}
	if workers > 0 {
		work()
	}
	wait.Wait()
}
