package gemm

import "unsafe"

// View is a matrix of float32 somewhere in a slice: element (i, j) lies at Data[i*RowStride+j*ColStride].
type View struct {
	Data                 []float32
	Rows, Cols           int
	RowStride, ColStride int
}

// Dense is the view of a matrix whose rows lie one after another.
func Dense(data []float32, rows, cols int) View { return View{data, rows, cols, cols, 1} }

// Strided is the view of a matrix whose rows begin stride apart.
func Strided(data []float32, rows, cols, stride int) View { return View{data, rows, cols, stride, 1} }

// T is the transpose.
func (v View) T() View { return View{v.Data, v.Cols, v.Rows, v.ColStride, v.RowStride} }

// bounds panics where the view reaches beyond its data: the kernels do not look.
func (v View) bounds() {
	if v.Rows > 0 && v.Cols > 0 {
		_ = v.Data[(v.Rows-1)*v.RowStride+(v.Cols-1)*v.ColStride]
	}
}

// Operand is the right side of a product: a [View] or stored weights. It is copied piece by piece into panels that the
// kernels read, and dequantized on the way.
type Operand interface {
	shape() (k, n int)
	// pack writes rows k0 to k1 of columns j0 to j1 into ws.panels: panels of isa.width columns (the last may be narrower,
	// see panelWidth), each with its rows one after another, filled up with zeros.
	pack(isa *ISA, ws *workspace, k0, k1, j0, j1 int)
}

func (v View) shape() (k, n int) { return v.Rows, v.Cols }

func (v View) pack(isa *ISA, ws *workspace, k0, k1, j0, j1 int) {
	v.bounds()
	at := 0
	for j := j0; j < j1; j += isa.width {
		columns := min(isa.width, j1-j)
		width := isa.panelWidth(columns)
		panel := ws.panels[at : at+(k1-k0)*width]
		at += len(panel)
		switch {
		case v.ColStride == 1:
			for k := k0; k < k1; k++ {
				row := panel[(k-k0)*width:][:width]
				copy(row, v.Data[k*v.RowStride+j:][:columns])
				clear(row[columns:])
			}
		case v.RowStride == 1:
			isa.turn(panel, width, columns, k1-k0, v.Data[j*v.ColStride+k0:], v.ColStride)
			pad(panel, width, columns)
		default:
			for k := k0; k < k1; k++ {
				row := panel[(k-k0)*width:][:width]
				for c := range columns {
					row[c] = v.Data[k*v.RowStride+(j+c)*v.ColStride]
				}
				clear(row[columns:])
			}
		}
	}
}

// turn writes the transpose of `columns` rows of src, n numbers each, into a panel of the given width.
func (isa *ISA) turn(panel []float32, width, columns, n int, src []float32, stride int) {
	done := 0 // columns of the panel that the transposing kernel has filled, for its share of n
	share := 0
	if size := isa.turnSize; size > 0 && n >= size {
		share = n / size * size
		for ; done+size <= columns; done += size {
			isa.transpose(&panel[done], 4*width, &src[done*stride], 4*stride, share/size)
		}
	}
	for c := range columns {
		from := 0
		if c < done {
			from = share
		}
		row := src[c*stride:][:n]
		for k := from; k < n; k++ {
			panel[k*width+c] = row[k]
		}
	}
}

// pad zeroes the columns of a panel from `columns` on.
func pad(panel []float32, width, columns int) {
	for at := 0; columns < width && at < len(panel); at += width {
		clear(panel[at+columns : at+width])
	}
}

// Format says how stored weights lie in bytes.
type Format uint8

// The formats that packing reads by itself. Blocks is any other: whole blocks are read by a function.
const (
	F32 Format = iota
	F16
	BF16
	Q8_0
	Blocks
)

// Weights is a stored matrix, [Rows, Cols], row after row.
type Weights struct {
	Format     Format
	Data       []byte
	Rows, Cols int
	Transposed bool // stands for its transpose, [Cols, Rows], in a product

	BlockSize int                                 // Blocks: numbers in one; rows are whole blocks
	Read      func(dst []float32, row, block int) // Blocks: dequantizes len(dst)/BlockSize blocks of a row from a block on
}

// T is the transpose.
func (w Weights) T() Weights { w.Transposed = !w.Transposed; return w }

func (w Weights) shape() (k, n int) {
	if w.Transposed {
		return w.Cols, w.Rows
	}
	return w.Rows, w.Cols
}

// floats returns the numbers themselves where they are stored as float32 and aligned.
func (w Weights) floats() ([]float32, bool) {
	if w.Format != F32 || len(w.Data) == 0 || uintptr(unsafe.Pointer(&w.Data[0]))%4 != 0 || !littleEndian {
		return nil, false
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&w.Data[0])), len(w.Data)/4), true
}

var littleEndian = func() bool { x := uint16(1); return *(*byte)(unsafe.Pointer(&x)) == 1 }()

func (w Weights) pack(isa *ISA, ws *workspace, k0, k1, j0, j1 int) {
	if data, ok := w.floats(); ok {
		v := Dense(data, w.Rows, w.Cols)
		if w.Transposed {
			v = v.T()
		}
		v.pack(isa, ws, k0, k1, j0, j1)
		return
	}
	if w.Transposed {
		w.packTurned(isa, ws, k0, k1, j0, j1)
		return
	}
	row := ws.rows[:j1-j0]
	for k := k0; k < k1; k++ {
		w.read(isa, ws, row, k, j0)
		at := 0
		for j := 0; j < len(row); j += isa.width {
			columns := min(isa.width, len(row)-j)
			width := isa.panelWidth(columns)
			dst := ws.panels[at+(k-k0)*width:][:width]
			copy(dst, row[j:j+columns])
			clear(dst[columns:])
			at += (k1 - k0) * width
		}
	}
}

// packTurned packs 16 rows at a time: they are dequantized side by side, then turned into their columns of the panel.
func (w Weights) packTurned(isa *ISA, ws *workspace, k0, k1, j0, j1 int) {
	at, n := 0, k1-k0
	for j := j0; j < j1; j += isa.width {
		columns := min(isa.width, j1-j)
		width := isa.panelWidth(columns)
		panel := ws.panels[at : at+n*width]
		at += len(panel)
		for c := 0; c < columns; c += 16 {
			some := min(16, columns-c)
			for r := range some {
				w.read(isa, ws, ws.rows[r*n:(r+1)*n], j+c+r, k0)
			}
			isa.turn(panel[c:], width, some, n, ws.rows, n)
		}
		pad(panel, width, columns)
	}
}

// rowBytes returns the bytes of a row; the format must not be Blocks.
func (w Weights) rowBytes() int {
	switch w.Format {
	case F32:
		return 4 * w.Cols
	case Q8_0:
		return w.Cols / 32 * 34
	}
	return 2 * w.Cols
}

// Row reads numbers from a row: len(dst) of them from column col on.
func (w Weights) Row(isa *ISA, dst []float32, row, col int) {
	ws := workspaces.Get().(*workspace)
	defer workspaces.Put(ws)
	for len(dst) > 0 {
		n := min(len(dst), depth)
		w.read(isa, ws, dst[:n], row, col)
		dst, col = dst[n:], col+n
	}
}

// read is Row for at most depth numbers.
func (w Weights) read(isa *ISA, ws *workspace, dst []float32, row, col int) {
	switch w.Format {
	case F32:
		widenF32(dst, w.Data[4*(row*w.Cols+col):])
	case F16:
		isa.WidenF16(dst, w.Data[2*(row*w.Cols+col):])
	case BF16:
		isa.WidenBF16(dst, w.Data[2*(row*w.Cols+col):])
	case Q8_0:
		first, last := col/32, (col+len(dst)+31)/32
		src := w.Data[(row*(w.Cols/32)+first)*34:]
		if col%32 == 0 && len(dst)%32 == 0 {
			isa.WidenQ8(dst, src)
			return
		}
		whole := ws.spilled[:(last-first)*32]
		isa.WidenQ8(whole, src)
		copy(dst, whole[col-first*32:])
	case Blocks:
		size := w.BlockSize
		if col%size == 0 && len(dst)%size == 0 {
			w.Read(dst, row, col/size)
			return
		}
		first, last := col/size, (col+len(dst)+size-1)/size
		whole := ws.spilled[:(last-first)*size]
		w.Read(whole, row, first)
		copy(dst, whole[col-first*size:])
	}
}
