package train

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"

	"banter/internal/gemm"
	"banter/stdlib/lm/adapter"
)

// The constants of AdamW (arXiv:1711.05101) that are not options.
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
)

// optimizer is AdamW over an adapter's factors. First and second moments are adapters of the same shape.
type optimizer struct {
	engine  *gemm.Engine
	adapter *adapter.Adapter
	grad    *adapter.Adapter
	first   *adapter.Adapter
	second  *adapter.Adapter
	modules []string
}

func newOptimizer(a *adapter.Adapter, workers int) *optimizer {
	zero := func() *adapter.Adapter {
		c := a.Clone()
		for _, p := range c.Pairs {
			clear(p.A)
			clear(p.B)
		}
		return c
	}
	return &optimizer{engine: gemm.New(workers), adapter: a, grad: zero(), first: zero(), second: zero(), modules: a.Modules()}
}

// initialize gives A its first values, uniform within ±1/√in as PEFT has them, and B zeros, so that training begins at the base.
func initialize(a *adapter.Adapter, seed uint64) {
	for module, p := range a.Pairs {
		h := fnv.New64a()
		h.Write([]byte(module))
		rng := rand.New(rand.NewPCG(seed, h.Sum64()))
		bound := 1 / math.Sqrt(float64(p.In))
		for i := range p.A {
			p.A[i] = float32((2*rng.Float64() - 1) * bound)
		}
		clear(p.B)
	}
}

// norm returns the length of the whole gradient.
func (o *optimizer) norm() float64 {
	squares := make([]float64, len(o.modules))
	o.engine.Each(len(o.modules), func(i, _ int) {
		p := o.grad.Pairs[o.modules[i]]
		for _, x := range [][]float32{p.A, p.B} {
			for _, v := range x {
				squares[i] += float64(float64(v) * float64(v))
			}
		}
	})
	var sum float64
	for _, s := range squares {
		sum += s
	}
	return math.Sqrt(sum)
}

// step takes one step, counted from 1, along the gradient times shrink, and clears the gradient.
func (o *optimizer) step(n int, rate, decay, shrink float64) {
	correct1, correct2 := 1-math.Pow(beta1, float64(n)), 1-math.Pow(beta2, float64(n))
	size, root, keep := float32(rate/correct1), float32(1/math.Sqrt(correct2)), float32(1-rate*decay)
	update := func(p, g, m, v []float32) {
		for i, x := range g {
			x *= float32(shrink)
			m[i] = float32(beta1*m[i]) + float32((1-beta1)*x)
			v[i] = float32(beta2*v[i]) + float32(float32((1-beta2)*x)*x)
			p[i] = float32(p[i]*keep) - float32(size*m[i]/(float32(float32(math.Sqrt(float64(v[i])))*root)+epsilon))
		}
		clear(g)
	}
	o.engine.Each(len(o.modules), func(i, _ int) {
		name := o.modules[i]
		p, g, m, v := o.adapter.Pairs[name], o.grad.Pairs[name], o.first.Pairs[name], o.second.Pairs[name]
		update(p.A, g.A, m.A, v.A)
		update(p.B, g.B, m.B, v.B)
	})
}

// writeFactors writes the numbers of an adapter's factors, module by module. Of no adapter there are none.
func writeFactors(w io.Writer, a *adapter.Adapter) error {
	if a == nil {
		return nil
	}
	var b []byte
	for _, name := range a.Modules() {
		for _, x := range [][]float32{a.Pairs[name].A, a.Pairs[name].B} {
			b = b[:0]
			for _, v := range x {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// readFactors is the inverse of writeFactors; b holds exactly 4·a.Parameters() bytes.
func readFactors(b []byte, a *adapter.Adapter) {
	for _, name := range a.Modules() {
		for _, x := range [][]float32{a.Pairs[name].A, a.Pairs[name].B} {
			for i := range x {
				x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b))
				b = b[4:]
			}
		}
	}
}
