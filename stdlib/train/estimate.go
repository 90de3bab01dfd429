package train

import (
	"fmt"
	"time"

	"banter/internal/gemm"
	"banter/stdlib/lm"
	"banter/stdlib/lm/transformer"
)

// programBytes is what the process holds beside all that is counted: the program itself and its heap's slack.
const programBytes = 28 << 20

// lookTokens bounds the tokens of a batch when the holdout is looked at, unless a single row has more.
const lookTokens = 2048

// Size is how much of a plan is computed at a time.
type Size struct {
	Tokens  int // of the greatest batch
	Longest int // of its examples
	Learned int // tokens of a batch that are learned, at most
	Look    int // tokens of the greatest batch of the holdout; 0: there is none
	Held    int // tokens of both plans, which stay in memory
}

// Estimate says how much memory a run of the go engine holds at its peak, in bytes: the base's weights as it holds them,
// the adapter with its gradient and moments, what a pass keeps for its way back, and what a look at the holdout takes.
func Estimate(base *lm.Model, o Options, size Size, machine Machine) int64 {
	o = o.withDefaults()
	workers := gemm.New(machine.Workers).Workers()
	sets := int64(4) // the adapter, its gradient and both moments
	if o.EarlyStop > 0 {
		sets++
	}
	bytes := o.heldBytes(base) + sets*4*o.parameters(base.Config) + programBytes
	bytes += transformer.TrainingBytes(base.Config, size.Tokens, size.Longest, size.Learned, o.Rank, workers, machine.Recompute)
	if size.Look > 0 {
		bytes += transformer.InferenceBytes(base.Config, size.Look, size.Longest, size.Look, o.Rank, workers)
	}
	const perToken = 3*4 + 4 // its id, label and position, and a share of the rows' slices
	return bytes + int64(size.Held)*perToken
}

// heldBytes is the size of a base's weights as a run holds them.
func (o Options) heldBytes(base *lm.Model) int64 {
	if kind, narrow, err := o.held(); narrow && err == nil {
		return base.NarrowedBytes(kind)
	}
	return base.StoredBytes()
}

// parameters counts the numbers of an adapter.
func (o Options) parameters(c lm.Config) int64 {
	var n int64
	for _, target := range o.Targets {
		if out, in, ok := c.ProjectionShape(target); ok {
			n += int64(c.Layers) * int64(o.Rank) * int64(out+in)
		}
	}
	return n
}

// Forecast is what a training will take, as far as that can be known before it begins.
type Forecast struct {
	Steps      int     `json:"steps"`
	Rows       int     `json:"rows"`
	Tokens     int     `json:"tokens"`         // of the plan
	Learned    int     `json:"learned_tokens"` // of the plan
	Read       int     `json:"tokens_read"`    // in all steps
	Size       Size    `json:"-"`
	Parameters int64   `json:"parameters"` // of the adapter
	Memory     int64   `json:"memory_bytes"`
	Operations float64 `json:"operations"` // floating-point operations of all steps and looks
}

// NewForecast counts what training a plan on base takes. It refuses what [NewJob] refuses without reading the weights.
func NewForecast(base *lm.Model, plan *Plan, o Options, machine Machine, holdout *Plan) (Forecast, error) {
	if err := o.check(); err != nil {
		return Forecast{}, refusal(base, err)
	}
	o = o.withDefaults()
	for _, p := range []*Plan{plan, holdout} {
		if p == nil {
			continue
		}
		if err := p.Check(base.Config.Vocab); err != nil {
			return Forecast{}, err
		}
	}
	order := newSchedule(plan, o)
	f := Forecast{Steps: order.steps(), Rows: len(plan.Rows), Parameters: o.parameters(base.Config)}
	f.Tokens, f.Learned = plan.Tokens()
	f.Size.Tokens, f.Size.Longest, f.Size.Learned = order.most()
	f.Size.Held = f.Tokens
	layers, head := 0.0, 4*float64(base.Config.Vocab)*float64(base.Config.Hidden) // forwards and backwards
	for _, name := range lm.Projections() {
		out, in, _ := base.Config.ProjectionShape(name)
		layers += 2 * float64(base.Config.Layers) * float64(out) * float64(in)
	}
	passes := 2.0 // forwards, and backwards through the frozen weights
	if machine.Recompute {
		passes++
	}
	attention := 2 * float64(base.Config.Layers*base.Config.Heads*base.Config.HeadDim) // of one query and one key: scores and values
	cost := func(p *Plan, row int, passes, attended float64) float64 {
		r := p.Rows[row]
		sum := passes*layers*float64(len(r.Tokens)) + head*float64(r.Learned())
		for _, n := range r.lengths() {
			sum += attended * attention * float64(n) * float64(n)
		}
		return sum
	}
	for n := 1; n <= f.Steps; n++ {
		for _, b := range order.step(n) {
			for _, row := range b {
				f.Read += len(plan.Rows[row].Tokens)
				f.Operations += cost(plan, row, passes, 3.5*passes/2) // of a causal half: two products forwards, five backwards
			}
		}
	}
	if holdout != nil {
		if o.EvalEvery == 0 {
			o.EvalEvery = order.lookEvery(holdout)
		}
		looks := (f.Steps+o.EvalEvery-1)/o.EvalEvery + 1
		tokens := 0
		for i, r := range holdout.Rows {
			f.Operations += float64(looks) * cost(holdout, i, 1, 1)
			f.Size.Look = max(f.Size.Look, len(r.Tokens))
			tokens += len(r.Tokens)
		}
		f.Size.Look = max(f.Size.Look, min(tokens, lookTokens))
		f.Size.Held += tokens
	}
	f.Memory = Estimate(base, o, f.Size, machine)
	return f, nil
}

// efficiency is the share of the matrix kernels' speed that is left of a whole step.
const efficiency = 0.6

// Duration says how long a run of the go engine takes on a machine of the given speed, in operations a second.
func (f Forecast) Duration(speed float64) time.Duration {
	return time.Duration(f.Operations / (efficiency * speed) * float64(time.Second))
}

// Speed measures how many floating-point operations a second the matrix kernels do here, in a fifth of a second.
func Speed(workers int) float64 {
	const rows, inner, columns = 384, 768, 768
	e := gemm.New(workers)
	a, b, c := make([]float32, rows*inner), make([]float32, inner*columns), make([]float32, rows*columns)
	multiply := func() {
		e.Mul(gemm.Dense(c, rows, columns), gemm.Dense(a, rows, inner), gemm.Dense(b, inner, columns), false)
	}
	multiply() // fills the caches
	began, times := time.Now(), 0
	for time.Since(began) < 200*time.Millisecond {
		multiply()
		times++
	}
	return float64(times) * 2 * rows * inner * columns / time.Since(began).Seconds()
}

// String says in words what a training will take, on a machine of unknown speed.
func (f Forecast) String() string {
	return fmt.Sprintf("%d steps over %d rows, %d tokens of which %d are learned; %d tokens read in all; about %s of memory at the peak",
		f.Steps, f.Rows, f.Tokens, f.Learned, f.Read, Bytes(f.Memory))
}

// Bytes writes an amount of memory as people read it.
func Bytes(n int64) string {
	if n < gib {
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/gib)
}
