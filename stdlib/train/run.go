package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"banter/internal/progress"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/transformer"
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
	Runtime  *Runtime     `json:"runtime,omitempty"` // of an engine whose results depend on it
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

// Runtime is what a training was computed with, by an engine whose results depend on that.
type Runtime struct {
	Versions  map[string]string `json:"versions"`  // of the libraries
	Device    string            `json:"device"`    // its class: "cpu amd64", "NVIDIA H200, compute 9.0"
	Processes int               `json:"processes"` // that shared the work
	Precision string            `json:"precision"` // in which the base was held
	Varies    string            `json:"varies"`    // why another run may give other bits
}

// Timing is what the clock said: it differs from run to run.
type Timing struct {
	Seconds         float64 `json:"seconds"` // of this session's steps
	TokensPerSecond float64 `json:"tokens_per_second"`
	Workers         int     `json:"workers"`
	Processor       string  `json:"instruction_set"`
	ResumedAfter    int     `json:"resumed_after_step"` // 0: from the start
	PeakBytes       int64   `json:"peak_bytes"`         // most memory of a process or card; 0: not measured
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
	result, err := r.train(ctx)
	return result, errors.Join(err, r.close())
}

// run is a training run in progress.
type run struct {
	*Job
	machine   Machine
	narrowed  *lm.Model // the base as it is held; nil: as it is stored
	model     *transformer.Model
	trainer   *transformer.Trainer
	optimizer *optimizer
	state     *state
	resumed   int
}

// prepare refuses what cannot be trained, and makes the rest ready.
func prepare(ctx context.Context, base *lm.Model, plan *Plan, o Options, machine Machine, holdout *Plan) (*run, error) {
	job, err := NewJob(ctx, "go", engineVersion, base, plan, o, holdout)
	if err != nil {
		return nil, err
	}
	r := &run{Job: job, machine: machine.Canonical()}
	if err := r.begin(ctx, base); err != nil {
		return nil, errors.Join(refusal(base, err), r.close())
	}
	return r, nil
}

// begin holds the base as the options want it, and goes back to the newest checkpoint.
func (r *run) begin(ctx context.Context, base *lm.Model) (err error) {
	if kind, narrow, err := r.Options.held(); err != nil {
		return err
	} else if narrow {
		progress.Tell(ctx, progress.Report{Unit: "steps", Note: "narrow the base model to " + kind.String()})
		if r.narrowed, err = base.Narrow(ctx, kind); err != nil {
			return err
		}
		base = r.narrowed
	}
	machine, a := r.machine, r.Adapter()
	r.optimizer = newOptimizer(a, machine.Workers)
	if r.model, err = transformer.New(base, transformer.Options{Workers: machine.Workers}); err != nil {
		return err
	}
	if r.trainer, err = r.model.Trainer(a, machine.Recompute); err != nil {
		return err
	}
	r.trainer.Reserve(r.order.most())
	r.state = &state{Run: r.Identity(), BestLoss: math.MaxFloat64}
	if machine.CheckpointDir != "" {
		found, err := resume(machine.CheckpointDir, r.state.Run, r.optimizer)
		if err != nil {
			return err
		}
		if found != nil {
			r.state, r.resumed = found, found.Step
		}
	}
	return nil
}

// close lets go of a narrowed base.
func (r *run) close() error {
	if r.narrowed == nil {
		return nil
	}
	return r.narrowed.Close()
}

func (r *run) train(ctx context.Context) (*Result, error) {
	s, steps := r.state, r.Record.Steps
	started, tokens := time.Now(), 0
	if r.Holdout != nil && s.Step == 0 {
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
		r.Tell(ctx, record, speed)
		if r.machine.Observe != nil {
			r.machine.Observe(record, speed)
		}
		last := s.Step == steps
		if r.Holdout != nil && (last || r.Options.EvalEvery > 0 && s.Step%r.Options.EvalEvery == 0) {
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
	r.Record.History, r.Record.Looks, r.Record.BestStep, r.Record.Stopped = s.History, s.Looks, best, "done"
	if stopped {
		r.Record.Stopped = "early"
	}
	r.Record.Adapter = a.Digest()
	seconds := time.Since(started).Seconds()
	return &Result{Adapter: a, Record: r.Record, Timing: Timing{Seconds: seconds, TokensPerSecond: float64(tokens) / seconds,
		Workers: r.optimizer.engine.Workers(), Processor: r.optimizer.engine.Name, ResumedAfter: r.resumed}}, nil
}

// enough says whether the holdout's loss has not fallen for long enough.
func (r *run) enough() bool {
	return r.Options.EarlyStop > 0 && r.state.SinceBest >= r.Options.EarlyStop
}

// step takes one step: gradients of all its batches, a look at loss and gradient, and the optimizer's move.
func (r *run) step(ctx context.Context, n int) (StepRecord, error) {
	record := StepRecord{Step: n, LR: r.Rate(n)}
	batches := r.order.step(n)
	for _, b := range batches {
		for _, row := range b {
			record.Tokens += len(r.Plan.Rows[row].Tokens)
			record.Learned += r.Plan.Rows[row].Learned()
		}
	}
	var loss float64
	rows := map[int]float64{} // each row's mean loss
	for _, b := range batches {
		input, labels := assemble(r.Plan, b)
		losses, err := r.trainer.Gradients(ctx, input, labels, 1/float32(record.Learned), r.optimizer.grad)
		if err != nil {
			return record, fmt.Errorf("train step %d: %w", n, err)
		}
		at := 0
		for _, row := range b {
			var sum float64
			for range r.Plan.Rows[row].Tokens {
				sum += losses[at]
				at++
			}
			loss += sum
			rows[row] = sum / float64(r.Plan.Rows[row].Learned())
		}
	}
	record.Loss = loss / float64(record.Learned)
	record.GradNorm = r.optimizer.norm()
	if err := r.Sound(r.state.History, record, rows); err != nil {
		return record, err
	}
	shrink := 1.0
	if r.Options.ClipNorm > 0 && record.GradNorm > r.Options.ClipNorm {
		shrink = r.Options.ClipNorm / record.GradNorm
	}
	r.optimizer.step(n, record.LR, r.Options.WeightDecay, shrink)
	return record, nil
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
	loss, err := Loss(ctx, r.model, r.Holdout)
	if err != nil {
		return fmt.Errorf("look at the holdout after step %d: %w", r.state.Step, err)
	}
	s := r.state
	s.Looks = append(s.Looks, Look{Step: s.Step, Loss: loss})
	r.TellLook(ctx, s.Step, loss)
	if loss < s.BestLoss {
		s.BestLoss, s.BestStep, s.SinceBest = loss, s.Step, 0
		if r.Options.EarlyStop > 0 {
			s.keep(r.optimizer.adapter)
		}
	} else {
		s.SinceBest++
	}
	return nil
}

// Loss returns the mean cross-entropy of a plan's learned tokens under a model with its adapter.
func Loss(ctx context.Context, m *transformer.Model, p *Plan) (float64, error) {
	var loss float64
	var learned int
	for from := 0; from < len(p.Rows); {
		var rows []int
		tokens := 0
		for ; from < len(p.Rows) && (len(rows) == 0 || tokens+len(p.Rows[from].Tokens) <= lookTokens); from++ {
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
