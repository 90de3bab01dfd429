// Package adapter holds LoRA adapters: the low-rank pairs that training makes and that scoring and generation add to a
// base model's projections. Adapters go out as PEFT folders and GGUF files and come in from PEFT folders, checked
// against the base that they are to be used with.
package adapter

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"

	"banter/stdlib/lm"

	"github.com/zeebo/blake3"
)

// Adapter is a LoRA adapter: each adapted projection W becomes W + Scale()·B·A.
type Adapter struct {
	Rank           int
	Alpha          float64
	RankStabilized bool             // rsLoRA: the scale is Alpha/sqrt(Rank) instead of Alpha/Rank
	Targets        []string         // the adapted projections, sorted: "down_proj", "gate_proj", ...
	Base           string           // digest of the base model; empty where the file does not say
	BaseName       string           // what the base was called when the adapter was made
	Pairs          map[string]*Pair // by module path: "model.layers.0.self_attn.q_proj"
}

// Pair is the two factors of one projection's change.
type Pair struct {
	In, Out int
	A       []float32 // [Rank, In]
	B       []float32 // [Out, Rank]
}

// New returns an adapter with all factors zero for the named projections in every layer of a base of the given shape.
func New(base lm.Config, rank int, alpha float64, targets []string) (*Adapter, error) {
	if rank < 1 {
		return nil, fmt.Errorf("a LoRA adapter of rank %d (use a rank of 1 or more)", rank)
	}
	if !(alpha > 0) || math.IsInf(alpha, 0) {
		return nil, fmt.Errorf("a LoRA adapter with alpha %v (use a number above 0)", alpha)
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("a LoRA adapter without target projections (name some of %s)", strings.Join(lm.Projections(), ", "))
	}
	a := &Adapter{Rank: rank, Alpha: alpha, Targets: slices.Sorted(slices.Values(targets)), Pairs: map[string]*Pair{}}
	a.Targets = slices.Compact(a.Targets)
	for _, target := range a.Targets {
		out, in, ok := base.ProjectionShape(target)
		if !ok {
			return nil, fmt.Errorf("%q is not a projection that LoRA can adapt (use %s)", target, strings.Join(lm.Projections(), ", "))
		}
		for layer := range base.Layers {
			a.Pairs[lm.ModulePath(layer, target)] = &Pair{In: in, Out: out, A: make([]float32, rank*in), B: make([]float32, out*rank)}
		}
	}
	return a, nil
}

// Scale is the factor before B·A.
func (a *Adapter) Scale() float64 {
	if a.RankStabilized {
		return a.Alpha / math.Sqrt(float64(a.Rank))
	}
	return a.Alpha / float64(a.Rank)
}

// Modules returns the adapted module paths, sorted.
func (a *Adapter) Modules() []string {
	names := make([]string, 0, len(a.Pairs))
	for name := range a.Pairs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Parameters counts the adapter's numbers.
func (a *Adapter) Parameters() int {
	n := 0
	for _, p := range a.Pairs {
		n += len(p.A) + len(p.B)
	}
	return n
}

// Clone returns a copy that shares nothing with a.
func (a *Adapter) Clone() *Adapter {
	c := *a
	c.Targets = slices.Clone(a.Targets)
	c.Pairs = make(map[string]*Pair, len(a.Pairs))
	for name, p := range a.Pairs {
		c.Pairs[name] = &Pair{In: p.In, Out: p.Out, A: slices.Clone(p.A), B: slices.Clone(p.B)}
	}
	return &c
}

// Check says why the adapter cannot be used with a base of the given shape and digest. An adapter or a base without a
// digest is judged by its shapes alone.
func (a *Adapter) Check(base lm.Config, digest string) error {
	if a.Base != "" && digest != "" && a.Base != digest {
		return fmt.Errorf("the adapter was trained on another base, %s with digest %s; this one's is %s (use the adapter's own base, or train again on this one)",
			orUnnamed(a.BaseName), short(a.Base), short(digest))
	}
	return a.checkShapes(base)
}

func (a *Adapter) checkShapes(base lm.Config) error {
	if len(a.Pairs) == 0 {
		return fmt.Errorf("the adapter adapts nothing")
	}
	shapes := base.TensorShapes()
	for _, name := range a.Modules() {
		p := a.Pairs[name]
		shape, ok := shapes[name+".weight"]
		if !ok || len(shape) != 2 {
			return fmt.Errorf("the adapter's module %s is not in the base model (it was made for another one)", name)
		}
		if p.Out != shape[0] || p.In != shape[1] {
			return fmt.Errorf("the adapter's module %s is [%d, %d] but the base has [%d, %d] there (it was made for another one)", name, p.Out, p.In, shape[0], shape[1])
		}
	}
	return a.checkFactors()
}

// checkFactors holds the factors against the rank and looks for numbers that are none.
func (a *Adapter) checkFactors() error {
	for _, name := range a.Modules() {
		p := a.Pairs[name]
		if len(p.A) != a.Rank*p.In || len(p.B) != p.Out*a.Rank {
			return fmt.Errorf("module %s has factors of %d and %d numbers, rank %d wants %d and %d", name, len(p.A), len(p.B), a.Rank, a.Rank*p.In, p.Out*a.Rank)
		}
		for _, x := range [][]float32{p.A, p.B} {
			for _, v := range x {
				if v-v != 0 { // NaN or infinite
					return fmt.Errorf("module %s holds %v", name, v)
				}
			}
		}
	}
	return nil
}

// Digest names the adapter's content: rank, scale, base and every factor.
func (a *Adapter) Digest() string {
	h := blake3.New()
	fmt.Fprintf(h, "lora %d %v %v %q\n", a.Rank, a.Alpha, a.RankStabilized, a.Base)
	for _, name := range a.Modules() {
		p := a.Pairs[name]
		fmt.Fprintf(h, "%s %d %d\n", name, p.Out, p.In)
		h.Write(floatBytes(p.A))
		h.Write(floatBytes(p.B))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// floatBytes returns x as little-endian float32.
func floatBytes(x []float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func short(digest string) string { return digest[:min(12, len(digest))] }

func orUnnamed(name string) string {
	if name == "" {
		return "an unnamed one"
	}
	return name
}
