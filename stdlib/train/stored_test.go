package train

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"banter/internal/specimen"
	"banter/stdlib/lm"
)

// stored is a model's weights with its matrices stored in another type, or as that type's values in float32.
type stored struct {
	lm.Weights
	kind    lm.Type
	widened bool
}

func (s stored) Tensor(name string) (lm.Tensor, bool) {
	t, ok := s.Weights.Tensor(name)
	if !ok || len(t.Shape) < 2 {
		return t, ok
	}
	values := t.Float32()
	t.Type = s.kind
	if s.kind == lm.Q4_0 { // which is read, not written: a half-precision scale and 32 numbers of 4 bits
		rng := rand.New(rand.NewPCG(uint64(len(name)), 4))
		t.Data = nil
		for range len(values) / 32 {
			t.Data = append(t.Data, byte(rng.IntN(256)), 0x1c) // about 0.005
			for range 16 {
				t.Data = append(t.Data, byte(rng.IntN(256)))
			}
		}
	} else {
		var err error
		if t.Data, err = lm.Quantize(values, s.kind, t.Columns()); err != nil {
			panic(err)
		}
	}
	if s.widened {
		values = t.Float32()
		t.Type = lm.F32
		t.Data, _ = lm.Quantize(values, lm.F32, t.Columns())
	}
	return t, true
}

// TestAQuantizedBaseTrainsAsItsValuesDo: weights are widened inside the matrix kernels, to the same bits.
func TestAQuantizedBaseTrainsAsItsValuesDo(t *testing.T) {
	m := openModel(t, microModel)
	weights := m.Weights
	o := tinyOptions
	o.Steps = 5
	for _, kind := range []lm.Type{lm.Q8_0, lm.Q4_0, lm.BF16} {
		var results [2]*Result
		for i := range results {
			m.Weights = stored{weights, kind, i == 1}
			var err error
			if results[i], err = Run(t.Context(), m, randomPlan(1, 20, 1280), o, Machine{Workers: 2, Recompute: i == 0}, nil); err != nil {
				t.Fatal(err)
			}
		}
		a, b := results[0].Record, results[1].Record
		if a.Adapter != b.Adapter {
			t.Errorf("%v: another adapter than on its values in float32", kind)
		}
		if first, last := a.History[0].Loss, a.History[len(a.History)-1].Loss; !(last < first) {
			t.Errorf("%v: the loss went from %.3f to %.3f", kind, first, last)
		}
	}
}

// TestANarrowedBase trains as one that is stored so, and the adapter is still the wider base's.
func TestANarrowedBase(t *testing.T) {
	m := openModel(t, specimen.Random(t, lm.Config{Architecture: "llama", Layers: 2, Hidden: 64, Intermediate: 96, Heads: 2, KVHeads: 1, HeadDim: 32, Vocab: 1280}, lm.F32))
	weights := m.Weights
	o := tinyOptions
	o.Steps = 5
	for _, kind := range []lm.Type{lm.Q8_0, lm.BF16} {
		m.Weights = stored{weights, kind, false}
		want, err := Run(t.Context(), m, randomPlan(1, 20, 1280), o, Machine{Workers: 2}, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Weights = weights
		narrowed := o
		narrowed.Precision = kind.String()
		got, err := Run(t.Context(), m, randomPlan(1, 20, 1280), narrowed, Machine{Workers: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Record.Adapter != want.Record.Adapter || got.Record.Base != want.Record.Base || got.Record.Options.Precision != kind.String() {
			t.Errorf("%v: adapter %s of base %s, stored so it is %s of %s", kind, got.Record.Adapter, got.Record.Base, want.Record.Adapter, want.Record.Base)
		}
	}
	o.Precision = "Q2"
	if _, err := Run(t.Context(), m, randomPlan(1, 20, 1280), o, Machine{}, nil); err == nil || !strings.Contains(err.Error(), `no precision "Q2"`) {
		t.Error(err)
	}
}

// TestLooksThatNobodyAskedFor: about ten in a run, fewer where the holdout is large, and the last behind the last step.
func TestLooksThatNobodyAskedFor(t *testing.T) {
	m := openModel(t, tinyModel)
	plan := randomPlan(1, 24, 48)
	for _, c := range []struct{ steps, held, looks int }{{40, 2, 11}, {40, 24, 4}, {4, 60, 3}, {7, 1, 8}} {
		r, err := Run(t.Context(), m, plan, Options{Rank: 2, Steps: c.steps, BatchRows: 4}, Machine{}, randomPlan(2, c.held, 48))
		if err != nil {
			t.Fatal(err)
		}
		looks := r.Record.Looks
		if len(looks) != c.looks || looks[0].Step != 0 || looks[len(looks)-1].Step != c.steps {
			t.Errorf("%d steps, %d rows held out: %d looks, %+v", c.steps, c.held, len(looks), looks)
		}
	}
}

// TestAccumulatedBatchesMakeOneStep: two batches of three rows move the adapter as one of six does.
func TestAccumulatedBatchesMakeOneStep(t *testing.T) {
	m := openModel(t, tinyModel)
	plan := randomPlan(1, 24, 48)
	var results [2]*Result
	for i, o := range []Options{{BatchRows: 3, GradAccum: 2}, {BatchRows: 6}} {
		o.Rank, o.LR, o.Epochs, o.Seed = 4, 1e-2, 2, 5
		var err error
		if results[i], err = Run(t.Context(), m, plan, o, Machine{Workers: 2}, nil); err != nil {
			t.Fatal(err)
		}
	}
	a, b := results[0].Record.History, results[1].Record.History
	if len(a) != 8 || len(b) != 8 {
		t.Fatalf("%d and %d steps", len(a), len(b))
	}
	for i := range a {
		if a[i].Tokens != b[i].Tokens || math.Abs(a[i].Loss-b[i].Loss) > 1e-4 || math.Abs(a[i].GradNorm-b[i].GradNorm) > 1e-3*b[i].GradNorm {
			t.Errorf("step %d: %+v, in one batch %+v", i+1, a[i], b[i])
		}
	}
}

// TestPackedRowsTrainAsTheirExamplesDo: what is packed into a row does not see its neighbours.
func TestPackedRowsTrainAsTheirExamplesDo(t *testing.T) {
	m := openModel(t, tinyModel)
	apart := &Plan{MaxLength: 40}
	for _, r := range randomPlan(6, 12, 48).Rows {
		n := r.lengths()[0]
		apart.Rows = append(apart.Rows, Row{IDs: r.IDs, Tokens: r.Tokens[:n], Labels: r.Labels[:n], Positions: r.Positions[:n]})
	}
	packed := &Plan{MaxLength: 40, Rows: append([]Row(nil), apart.Rows...)}
	packed.pack(3)
	if len(packed.Rows) >= len(apart.Rows) {
		t.Fatalf("%d rows were packed into %d", len(apart.Rows), len(packed.Rows))
	}
	var results [2]*Result
	for i, p := range []*Plan{apart, packed} {
		var err error
		if results[i], err = Run(t.Context(), m, p, Options{Rank: 4, LR: 1e-2, Epochs: 4, BatchRows: 100}, Machine{Workers: 2}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, a := range results[0].Record.History {
		if b := results[1].Record.History[i]; a.Learned != b.Learned || math.Abs(a.Loss-b.Loss) > 1e-5 {
			t.Errorf("step %d: loss %.6f, packed %.6f", i+1, a.Loss, b.Loss)
		}
	}
}
