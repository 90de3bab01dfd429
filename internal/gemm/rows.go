package gemm

import "unsafe"

// Products with a single vector are how a model writes. Each weight is read once and used once, so what counts is that it
// is read as it is stored. A product with a row is the [ISA.Dot] of the row's numbers, whatever computes it.

// MulRow sets y to w·x, or adds it to y.
func (e *Engine) MulRow(y, x []float32, w Weights, add bool) {
	y = y[:w.Rows]
	e.Spans(w.Rows, func(from, to int) {
		if !add {
			clear(y[from:to])
		}
		e.AddRows(y[from:to], x, w, from)
	})
}

// AddRows adds to y the products of x with rows of w, of which the first is row `from`.
func (isa *ISA) AddRows(y, x []float32, w Weights, from int) {
	x = x[:w.Cols]
	if w.Format != Blocks && isa.takes(w.Cols) {
		rowBytes := w.rowBytes()
		rows := w.Data[from*rowBytes : (from+len(y))*rowBytes]
		isa.addStored(w.Format, y, x, unsafe.Pointer(unsafe.SliceData(rows)), rowBytes)
		return
	}
	ws := workspaces.Get().(*workspace)
	defer workspaces.Put(ws)
	for i := range y {
		var lanes [32]float32
		for at := 0; at < w.Cols; at += depth {
			piece := ws.rows[:min(depth, w.Cols-at)]
			w.read(isa, ws, piece, from+i, at)
			isa.dotLanes(&lanes, piece, x[at:])
		}
		y[i] += sum(lanes[:])
	}
}

// AddDots is [ISA.AddRows] for rows in memory, whose numbers must lie side by side.
func (isa *ISA) AddDots(y, x []float32, rows View) {
	rows.bounds()
	x, y = x[:rows.Cols], y[:rows.Rows]
	if isa.takes(rows.Cols) {
		isa.addStored(F32, y, x, unsafe.Pointer(unsafe.SliceData(rows.Data)), 4*rows.RowStride)
		return
	}
	for i := range y {
		y[i] += isa.Dot(x, rows.Data[i*rows.RowStride:][:rows.Cols])
	}
}

// takes says whether the assembly multiplies rows of so many numbers.
func (isa *ISA) takes(cols int) bool { return isa.groupRows > 0 && cols > 0 && cols%32 == 0 }

func (isa *ISA) addStored(f Format, y, x []float32, rows unsafe.Pointer, rowBytes int) {
	kernels := isa.addRows[f]
	n := len(y) / isa.groupRows
	if n > 0 {
		kernels[0](&y[0], &x[0], (*byte)(rows), rowBytes, n, len(x)/32)
	}
	n *= isa.groupRows
	if rest := len(y) - n; rest > 0 {
		kernels[1](&y[n], &x[0], (*byte)(unsafe.Add(rows, n*rowBytes)), rowBytes, rest, len(x)/32)
	}
}

// AddWeighted adds to y the rows, whose numbers must lie side by side, each times its weight: an [ISA.Axpy] for each.
func (isa *ISA) AddWeighted(y, weights []float32, rows View) {
	rows.bounds()
	y, weights = y[:rows.Cols], weights[:rows.Rows]
	n := 0
	if isa.addWeighted != nil && rows.Rows > 0 {
		for ; n+32 <= len(y); n += 32 {
			isa.addWeighted(&y[n], &weights[0], &rows.Data[n], 4*rows.RowStride, rows.Rows)
		}
	}
	if n < len(y) {
		for i, w := range weights {
			isa.Axpy(y[n:], w, rows.Data[i*rows.RowStride+n:][:len(y)-n])
		}
	}
}
