package train

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/transformer"

	"github.com/zeebo/blake3"
)

// StepRecord is what one step did.
type StepRecord struct {
	Step     int     `json:"step"`
	Loss     float64 `json:"loss"` // mean cross-entropy of the step's learned tokens, before the step
	LR       float64 `json:"lr"`
	GradNorm float64 `json:"grad_norm"` // before it was cut
	Tokens   int     `json:"tokens"`
	Learned  int     `json:"learned_tokens"`
}

// Look is one look at the holdout.
type Look struct {
	Step int     `json:"step"` // 0: before the first step
	Loss float64 `json:"loss"` // mean cross-entropy of its learned tokens
}

// Record says how an adapter was made. It holds nothing that differs from one run to the next.
type Record struct {
	Version  int          `json:"version"`
	Engine   string       `json:"engine"`
	Options  Options      `json:"options"`
	Base     string       `json:"base"` // digest
	Plan     string       `json:"plan"` // digest
	Holdout  string       `json:"holdout,omitempty"`
	Steps    int          `json:"steps"` // planned
	Rows     int          `json:"rows"`
	Tokens   int          `json:"tokens"` // of the plan
	Learned  int          `json:"learned_tokens"`
	History  []StepRecord `json:"history"`
	Looks    []Look       `json:"looks"`
	BestStep int          `json:"best_step"` // whose adapter was kept
	Stopped  string       `json:"stopped"`   // "done" or "early"
	Adapter  string       `json:"adapter"`   // digest
}

// Timing is what the clock said: it differs from run to run.
type Timing struct {
	Seconds         float64 `json:"seconds"` // of this session's steps
	TokensPerSecond float64 `json:"tokens_per_second"`
	Workers         int     `json:"workers"`
	Processor       string  `json:"instruction_set"`
	ResumedAfter    int     `json:"resumed_after_step"` // 0: from the start
}

// Result is a trained adapter and how it came to be.
type Result struct {
	Adapter *adapter.Adapter
	Record  Record
	Timing  Timing
}

// engineVersion counts changes of the engine that change the bytes of adapters.
const engineVersion = 1

// Run trains an adapter for base on a plan. The holdout, which may be nil, is only looked at. The adapter's bytes depend
// on base, plans and options alone: not on the machine, the number of workers, or where the run was interrupted.
func Run(ctx context.Context, base *lm.Model, plan *Plan, o Options, machine Machine, holdout *Plan) (*Result, error) {
	r, err := prepare(ctx, base, plan, o, machine, holdout)
	if err != nil {
		return nil, err
	}
	return r.train(ctx)
}

// run is a training run in progress.
type run struct {
	options   Options
	machine   Machine
	plan      *Plan
	holdout   *Plan
	record    Record
	model     *transformer.Model
	trainer   *transformer.Trainer
	optimizer *optimizer
	schedule  *schedule
	state     *state
	resumed   int
}

// prepare refuses what cannot be trained, and goes back to the newest checkpoint.
func prepare(ctx context.Context, base *lm.Model, plan *Plan, o Options, machine Machine, holdout *Plan) (*run, error) {
	refuse := func(err error) (*run, error) {
		if p := (*problem.Error)(nil); errors.As(err, &p) {
			return nil, err
		}
		return nil, &problem.Error{Op: "train", Path: base.Path, Err: err}
	}
	if err := o.check(); err != nil {
		return refuse(err)
	}
	o = o.withDefaults()
	if o.EarlyStop > 0 && holdout == nil {
		return refuse(errors.New("early stopping without a holdout (give one, or set EarlyStop to 0)"))
	}
	if machine.CheckpointEvery < 1 {
		machine.CheckpointEvery = 100
	}
	if machine.Keep < 1 {
		machine.Keep = 2
	}
	for _, p := range []*Plan{plan, holdout} {
		if p == nil {
			continue
		}
		if err := p.Check(base.Config.Vocab); err != nil {
			return refuse(err)
		}
		if longest := base.Config.MaxPositions; longest > 0 {
			for _, row := range p.Rows {
				for _, n := range row.lengths() {
					if n > longest {
						return refuse(fmt.Errorf("row %s has an example of %d tokens, the model has positions for %d (lower the plan's limit)", strings.Join(row.IDs, ", "), n, longest))
					}
				}
			}
		}
	}
	progress.Tell(ctx, progress.Report{Unit: "steps", Note: "check the base model"})
	if err := base.CheckFinite(ctx); err != nil {
		return refuse(err)
	}
	digest, err := base.Digest()
	if err != nil {
		return refuse(err)
	}
	r := &run{options: o, machine: machine, plan: plan, holdout: holdout, schedule: newSchedule(plan, o)}
	steps := r.schedule.steps()
	if r.options.Warmup == 0 {
		r.options.Warmup = (steps + 19) / 20
	}
	if r.options.Warmup > steps {
		return refuse(fmt.Errorf("%d steps of warm-up in a run of %d", r.options.Warmup, steps))
	}
	r.record = Record{Version: engineVersion, Engine: "go", Options: r.options, Base: digest, Plan: plan.Digest(), Steps: steps, Rows: len(plan.Rows)}
	r.record.Tokens, r.record.Learned = plan.Tokens()
	if holdout != nil {
		r.record.Holdout = holdout.Digest()
	}
	a, err := adapter.New(base.Config, o.Rank, o.Alpha, o.Targets)
	if err != nil {
		return refuse(err)
	}
	a.Base = digest
	initialize(a, o.Seed)
	r.optimizer = newOptimizer(a, machine.Workers)
	if r.model, err = transformer.New(base, transformer.Options{Workers: machine.Workers}); err != nil {
		return refuse(err)
	}
	if r.trainer, err = r.model.Trainer(a, machine.Recompute); err != nil {
		return refuse(err)
	}
	r.trainer.Reserve(r.schedule.most())
	r.state = &state{Run: r.identity(), BestLoss: math.MaxFloat64}
	if machine.CheckpointDir != "" {
		found, err := resume(machine.CheckpointDir, r.state.Run, r.optimizer)
		if err != nil {
			return refuse(err)
		}
		if found != nil {
			r.state, r.resumed = found, found.Step
		}
	}
	return r, nil
}

// identity names the run: all that its result depends on.
func (r *run) identity() string {
	b, err := json.Marshal(r.record)
	if err != nil {
		panic(err) // a Record always marshals
	}
	sum := blake3.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (r *run) train(ctx context.Context) (*Result, error) {
	s, steps := r.state, r.record.Steps
	started, tokens := time.Now(), 0
	if r.holdout != nil && s.Step == 0 {
		if err := r.look(ctx); err != nil {
			return nil, err
		}
	}
	stopped := r.enough()
	for !stopped && s.Step < steps {
		began := time.Now()
		record, err := r.step(ctx, s.Step+1)
		if err != nil {
			return nil, err
		}
		s.Step++
		s.History = append(s.History, record)
		tokens += record.Tokens
		speed := float64(record.Tokens) / time.Since(began).Seconds()
		progress.Tell(ctx, progress.Report{Done: int64(s.Step), Total: int64(steps), Unit: "steps",
			Note: fmt.Sprintf("loss %.3f, lr %.2g, gradient %.2g, %.0f tokens/s", record.Loss, record.LR, record.GradNorm, speed)})
		if r.machine.Observe != nil {
			r.machine.Observe(record, speed)
		}
		last := s.Step == steps
		if r.holdout != nil && (last || r.options.EvalEvery > 0 && s.Step%r.options.EvalEvery == 0) {
			if err := r.look(ctx); err != nil {
				return nil, err
			}
			stopped = r.enough()
		}
		if r.machine.CheckpointDir != "" && (last || stopped || s.Step%r.machine.CheckpointEvery == 0) {
			if err := s.save(r.machine.CheckpointDir, r.machine.Keep, r.optimizer); err != nil {
				return nil, err
			}
		}
	}
	a, best := r.optimizer.adapter, s.Step
	if s.best != nil {
		a, best = s.best, s.BestStep
	}
	r.record.History, r.record.Looks, r.record.BestStep, r.record.Stopped = s.History, s.Looks, best, "done"
	if stopped {
		r.record.Stopped = "early"
	}
	r.record.Adapter = a.Digest()
	seconds := time.Since(started).Seconds()
	return &Result{Adapter: a, Record: r.record, Timing: Timing{Seconds: seconds, TokensPerSecond: float64(tokens) / seconds,
		Workers: r.optimizer.engine.Workers(), Processor: r.optimizer.engine.Name, ResumedAfter: r.resumed}}, nil
}

// enough says whether the holdout's loss has not fallen for long enough.
func (r *run) enough() bool {
	return r.options.EarlyStop > 0 && r.state.SinceBest >= r.options.EarlyStop
}

// step takes one step: gradients of all its batches, a look at loss and gradient, and the optimizer's move.
func (r *run) step(ctx context.Context, n int) (StepRecord, error) {
	record := StepRecord{Step: n, LR: r.options.rate(n, r.record.Steps)}
	batches := r.schedule.step(n)
	for _, b := range batches {
		for _, row := range b {
			record.Tokens += len(r.plan.Rows[row].Tokens)
			record.Learned += r.plan.Rows[row].Learned()
		}
	}
	var loss float64
	rows := map[int]float64{} // each row's mean loss
	for _, b := range batches {
		input, labels := assemble(r.plan, b)
		losses, err := r.trainer.Gradients(ctx, input, labels, 1/float32(record.Learned), r.optimizer.grad)
		if err != nil {
			return record, fmt.Errorf("train step %d: %w", n, err)
		}
		at := 0
		for _, row := range b {
			var sum float64
			for range r.plan.Rows[row].Tokens {
				sum += losses[at]
				at++
			}
			loss += sum
			rows[row] = sum / float64(r.plan.Rows[row].Learned())
		}
	}
	record.Loss = loss / float64(record.Learned)
	record.GradNorm = r.optimizer.norm()
	if err := r.sane(record, rows); err != nil {
		return record, err
	}
	shrink := 1.0
	if r.options.ClipNorm > 0 && record.GradNorm > r.options.ClipNorm {
		shrink = r.options.ClipNorm / record.GradNorm
	}
	r.optimizer.step(n, record.LR, r.options.WeightDecay, shrink)
	return record, nil
}

// sane stops a run whose loss or gradient is no number or whose loss jumps, and names the rows that weigh most.
func (r *run) sane(record StepRecord, rows map[int]float64) error {
	what := ""
	const recent = 20
	switch h := r.state.History; {
	case record.Loss-record.Loss != 0:
		what = fmt.Sprintf("the loss is %v", record.Loss)
	case record.GradNorm-record.GradNorm != 0:
		what = fmt.Sprintf("the gradient's norm is %v", record.GradNorm)
	case r.options.Spike > 0 && len(h) >= recent:
		var last []float64
		for _, s := range h[len(h)-recent:] {
			last = append(last, s.Loss)
		}
		slices.Sort(last)
		// Small losses jump by nature: a tenth of a nat is always allowed.
		if median := last[recent/2]; record.Loss > r.options.Spike*max(median, 0.1) {
			what = fmt.Sprintf("the loss jumped to %.3f, the median of the last %d steps is %.3f", record.Loss, recent, median)
		}
	}
	if what == "" {
		return nil
	}
	order := make([]int, 0, len(rows))
	for row := range rows {
		order = append(order, row)
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := rows[a], rows[b]
		xBad, yBad := x-x != 0, y-y != 0
		switch {
		case xBad != yBad:
			if xBad {
				return -1
			}
			return 1
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return a - b
	})
	var names []string
	for _, row := range order[:min(5, len(order))] {
		names = append(names, fmt.Sprintf("%s (loss %.3f)", strings.Join(r.plan.Rows[row].IDs, "+"), rows[row]))
	}
	return &problem.Error{Op: "train", At: fmt.Sprintf("step %d", record.Step), Err: fmt.Errorf("%s; the step's rows with the highest loss: %s", what, strings.Join(names, ", ")),
		Fix: "look at these rows, or lower the learning rate"}
}

// assemble lays rows of a plan end to end.
func assemble(p *Plan, rows []int) (transformer.Batch, []int32) {
	var b transformer.Batch
	var labels []int32
	for _, row := range rows {
		r := p.Rows[row]
		b.Tokens = append(b.Tokens, r.Tokens...)
		b.Lengths = append(b.Lengths, r.lengths()...)
		labels = append(labels, r.Labels...)
	}
	return b, labels
}

// look computes the loss on the holdout and remembers the best adapter where that is asked for.
func (r *run) look(ctx context.Context) error {
	loss, err := Loss(ctx, r.model, r.holdout)
	if err != nil {
		return fmt.Errorf("look at the holdout after step %d: %w", r.state.Step, err)
	}
	s := r.state
	s.Looks = append(s.Looks, Look{Step: s.Step, Loss: loss})
	if loss < s.BestLoss {
		s.BestLoss, s.BestStep, s.SinceBest = loss, s.Step, 0
		if r.options.EarlyStop > 0 {
			s.best = r.optimizer.adapter.Clone()
		}
	} else {
		s.SinceBest++
	}
	return nil
}

// Loss returns the mean cross-entropy of a plan's learned tokens under a model with its adapter.
func Loss(ctx context.Context, m *transformer.Model, p *Plan) (float64, error) {
	const most = 2048 // tokens in a batch
	var loss float64
	var learned int
	for from := 0; from < len(p.Rows); {
		var rows []int
		tokens := 0
		for ; from < len(p.Rows) && (len(rows) == 0 || tokens+len(p.Rows[from].Tokens) <= most); from++ {
			rows = append(rows, from)
			tokens += len(p.Rows[from].Tokens)
			learned += p.Rows[from].Learned()
		}
		b, labels := assemble(p, rows)
		logs, err := m.LogProbs(ctx, b, labels)
		if err != nil {
			return 0, err
		}
		for _, l := range logs {
			loss -= l
		}
	}
	return loss / float64(learned), nil
}
