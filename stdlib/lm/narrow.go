package lm

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"banter/internal/problem"

	"golang.org/x/sync/errgroup"
)

// narrowed is the type in which a tensor is held by a model that is held as kind. Vectors stay as they are, and so does a
// matrix that takes no more room already. A matrix whose rows are not whole blocks of Q8_0 is held as F16, as llama.cpp has it.
func (t Tensor) narrowed(kind Type) Type {
	if len(t.Shape) < 2 {
		return t.Type
	}
	if kind == Q8_0 && t.Columns()%32 != 0 {
		kind = F16
	}
	if t.bytesAs(kind) >= len(t.Data) {
		return t.Type
	}
	return kind
}

// bytesAs is the tensor's size as F32, F16, BF16 or Q8_0.
func (t Tensor) bytesAs(kind Type) int {
	n := t.Rows() * t.Columns()
	switch kind {
	case Q8_0:
		return n / 32 * 34
	case F16, BF16:
		return 2 * n
	}
	return 4 * n
}

// StoredBytes is the size of the model's weights as they are stored.
func (m *Model) StoredBytes() int64 {
	var n int64
	for _, name := range m.Weights.Names() {
		t, _ := m.Weights.Tensor(name)
		n += int64(len(t.Data))
	}
	return n
}

// NarrowedBytes is the size of the model's weights after [Model.Narrow].
func (m *Model) NarrowedBytes(kind Type) int64 {
	var n int64
	for _, name := range m.Weights.Names() {
		t, _ := m.Weights.Tensor(name)
		if as := t.narrowed(kind); as != t.Type {
			n += int64(t.bytesAs(as))
		} else {
			n += int64(len(t.Data))
		}
	}
	return n
}

// Narrow returns the same model with its matrices held in memory as kind, which is BF16 or Q8_0: for training on a base that
// is stored wider than there is room for. A tensor with a number that is none is refused by name, since narrowing could hide it.
// It is the same model by its digest. m must stay open; closing what is returned gives its memory back.
func (m *Model) Narrow(ctx context.Context, kind Type) (*Model, error) {
	if kind != BF16 && kind != Q8_0 {
		return nil, &problem.Error{Op: "narrow model", Path: m.Path, Err: fmt.Errorf("a base is held as BF16 or Q8_0, not %v", kind)}
	}
	digest, err := m.Digest()
	if err != nil {
		return nil, err
	}
	out := &Model{Config: m.Config, Path: m.Path, Dir: m.Dir, GGUF: m.GGUF, digest: digest}
	out.digestOnce.Do(func() {}) // it is known
	w := &folderWeights{tensors: map[string]Tensor{}}
	for _, name := range m.Weights.Names() {
		t, _ := m.Weights.Tensor(name)
		if as := t.narrowed(kind); as != t.Type {
			if t, err = out.hold(ctx, t, as); err != nil {
				if p := (*problem.Error)(nil); !errors.As(err, &p) {
					err = &problem.Error{Op: "narrow model", Path: m.Path, Err: err}
				}
				return nil, errors.Join(err, out.Close())
			}
		}
		w.tensors[name] = t
		m.forget()
	}
	out.Weights = w
	return out, nil
}

// hold copies a tensor into memory of the model's own, as kind.
func (m *Model) hold(ctx context.Context, t Tensor, kind Type) (Tensor, error) {
	wide := t
	t.Type = kind
	data, release, err := anonymous(t.bytesAs(kind))
	if err != nil {
		return t, err
	}
	m.release = append(m.release, release)
	t.Data = data
	const some = 1 << 18 // numbers at a time
	step := max(1, some/t.Columns())
	failed := make([]error, (t.Rows()+step-1)/step) // by place, so that the first in the tensor is told
	var rows errgroup.Group
	rows.SetLimit(runtime.GOMAXPROCS(0))
	for from := 0; from < t.Rows() && ctx.Err() == nil; from += step {
		to := min(from+step, t.Rows())
		rows.Go(func() error {
			values := make([]float32, (to-from)*t.Columns())
			Dequantize(values, wide, from, to)
			if row, column, v, bad := nonFinite(values, t.Columns()); bad {
				failed[from/step] = m.notFinite(t.Name, from+row, column, v)
				return nil
			}
			b, err := Quantize(values, kind, t.Columns())
			copy(t.Data[from*t.RowBytes():], b)
			failed[from/step] = err
			return nil
		})
	}
	_ = rows.Wait() // none of them fails: see failed
	for _, err := range failed {
		if err != nil {
			return t, err
		}
	}
	return t, ctx.Err()
}
