// Package gemm multiplies float32 matrices and does the vector work around them: the arithmetic under every model here.
//
// Results do not depend on the machine or on the number of workers. Each element of a product is one chain of fused
// multiply-adds over k in rising order, on every instruction set (AVX-512, AVX2, NEON and plain Go) and in every tile;
// vector functions round each step on its own and add up in a fixed number of lanes.
package gemm

//go:generate go run gen.go

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Engine runs multiplications on a number of workers with one instruction set.
type Engine struct {
	*ISA
	workers int
}

// New returns an engine on the best instruction set of this processor. With no workers given (0) it has one per
// processor that Go may use.
func New(workers int) *Engine { return NewISA(workers, Best()) }

// NewISA is [New] with the instruction set given.
func NewISA(workers int, isa *ISA) *Engine {
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	return &Engine{ISA: isa, workers: workers}
}

// Workers returns how many workers the engine has.
func (e *Engine) Workers() int { return e.workers }

// Each calls f for every task from 0 to n-1, on all workers; worker says on which, from 0. Tasks start in order but may
// run at the same time, so they must not write to the same memory.
func (e *Engine) Each(n int, f func(task, worker int)) {
	workers := min(e.workers, n)
	if workers <= 1 {
		for i := range n {
			f(i, 0)
		}
		return
	}
	var next atomic.Int64
	run := func(worker int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(i, worker)
		}
	}
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Go(func() { run(w) })
	}
	run(0)
	wg.Wait()
}

// Spans cuts n items into consecutive spans, a few for each worker, and calls f for each span.
func (e *Engine) Spans(n int, f func(from, to int)) {
	pieces := min(n, 4*e.workers)
	if e.workers == 1 {
		pieces = min(n, 1)
	}
	e.Each(pieces, func(i, _ int) { f(n*i/pieces, n*(i+1)/pieces) })
}

const (
	depth    = 256 // k is taken in pieces of this length, so that a panel of B stays in the first-level cache
	maxBlock = 256 // columns of B that one task packs
)

// workspace is what one task needs for packing.
type workspace struct {
	panels  []float32 // [columns/width][depth][width]
	rows    []float32 // dequantized rows before they are turned
	corner  [12 * 32]float32
	spilled []float32 // whole blocks around a piece of a quantized row
}

var workspaces = sync.Pool{New: func() any {
	return &workspace{panels: make([]float32, depth*maxBlock), rows: make([]float32, 16*depth), spilled: make([]float32, depth+2*256)}
}}

// Mul sets c to a·b, or adds a·b to it. c's columns must lie side by side; a may be any view. Shapes that do not fit
// panic, as indexing does.
func (e *Engine) Mul(c, a View, b Operand, add bool) {
	e.check(c, a, b)
	panels := (c.Cols + e.width - 1) / e.width
	perTask := max(1, min(maxBlock/e.width, panels/(3*e.workers)))
	columnTasks := (panels + perTask - 1) / perTask
	rowTasks := 1
	if e.workers > 1 && columnTasks < 2*e.workers {
		rowTasks = max(1, min((2*e.workers+columnTasks-1)/columnTasks, c.Rows/48))
	}
	rowsPerTask := ((c.Rows+rowTasks-1)/rowTasks + 11) / 12 * 12
	e.Each(columnTasks*rowTasks, func(task, _ int) {
		j := task / rowTasks * perTask * e.width
		i := task % rowTasks * rowsPerTask
		if i < c.Rows {
			e.block(c, a, b, i, min(i+rowsPerTask, c.Rows), j, min(j+perTask*e.width, c.Cols), add)
		}
	})
}

// Mul1 is [Engine.Mul] on the calling goroutine alone, for products inside a task.
func (e *Engine) Mul1(c, a View, b Operand, add bool) {
	e.check(c, a, b)
	for j := 0; j < c.Cols; j += maxBlock {
		e.block(c, a, b, 0, c.Rows, j, min(j+maxBlock, c.Cols), add)
	}
}

func (e *Engine) check(c, a View, b Operand) {
	k, n := b.shape()
	if c.Rows != a.Rows || c.Cols != n || a.Cols != k || c.ColStride != 1 {
		panic("gemm: shapes do not fit")
	}
	a.bounds()
	c.bounds()
}

// block computes rows i0 to i1 of columns j0 to j1, at most maxBlock of them.
func (e *Engine) block(c, a View, b Operand, i0, i1, j0, j1 int, add bool) {
	if a.Cols == 0 {
		if !add {
			for i := i0; i < i1; i++ {
				clear(c.Data[i*c.RowStride+j0 : i*c.RowStride+j1])
			}
		}
		return
	}
	ws := workspaces.Get().(*workspace)
	defer workspaces.Put(ws)
	for k0 := 0; k0 < a.Cols; k0 += depth {
		k1 := min(k0+depth, a.Cols)
		b.pack(e.ISA, ws, k0, k1, j0, j1)
		zero := 0
		if k0 == 0 && !add {
			zero = 1
		}
		at := 0 // where the panel begins
		for j := j0; j < j1; j += e.width {
			columns := min(e.width, j1-j)
			width := e.panelWidth(columns)
			panel := ws.panels[at : at+(k1-k0)*width]
			at += len(panel)
			e.column(c, a, panel, ws, i0, i1, k0, j, columns, width, zero)
		}
	}
}

// column multiplies rows i0 to i1 of a by one panel.
func (e *Engine) column(c, a View, panel []float32, ws *workspace, i0, i1, k0, j, columns, width, zero int) {
	k := len(panel) / width
	for i := i0; i < i1; {
		rows := e.tileRows(i1 - i)
		src := &a.Data[i*a.RowStride+k0*a.ColStride]
		if columns == width {
			e.tile(rows, width, k, src, 4*a.RowStride, 4*a.ColStride, &panel[0], &c.Data[i*c.RowStride+j], 4*c.RowStride, zero)
			i += rows
			continue
		}
		// The tile reaches beyond c: compute it aside.
		for r := range rows {
			if zero == 0 {
				copy(ws.corner[r*width:(r+1)*width], c.Data[(i+r)*c.RowStride+j:][:columns])
			}
		}
		e.tile(rows, width, k, src, 4*a.RowStride, 4*a.ColStride, &panel[0], &ws.corner[0], 4*width, zero)
		for r := range rows {
			copy(c.Data[(i+r)*c.RowStride+j:][:columns], ws.corner[r*width:])
		}
		i += rows
	}
}
