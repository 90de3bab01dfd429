package train

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"banter/internal/problem"
	"banter/internal/progress"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"

	"github.com/zeebo/blake3"
)

// Job is a training that was found fit to begin: what every engine has to know and to do, whatever computes for it.
type Job struct {
	Plan    *Plan
	Holdout *Plan // nil: none
	Options Options
	Record  Record // what is known of it before the first step
	base    *lm.Model
	order   *schedule
}

// NewJob checks base, plans and options, and refuses what cannot be trained with the rows or tensors at fault named.
func NewJob(ctx context.Context, engine string, version int, base *lm.Model, plan *Plan, o Options, holdout *Plan) (*Job, error) {
	refuse := func(err error) (*Job, error) { return nil, refusal(base, err) }
	if err := o.check(); err != nil {
		return refuse(err)
	}
	o = o.withDefaults()
	if o.EarlyStop > 0 && holdout == nil {
		return refuse(errors.New("early stopping without a holdout (give one, or set EarlyStop to 0)"))
	}
	for _, p := range []*Plan{plan, holdout} {
		if p == nil {
			continue
		}
		if err := p.Check(base.Config.Vocab); err != nil {
			return refuse(err)
		}
		if err := p.fits(base.Config.MaxPositions); err != nil {
			return refuse(err)
		}
	}
	j := &Job{Plan: plan, Holdout: holdout, base: base, order: newSchedule(plan, o)}
	steps := j.order.steps()
	if o.Warmup == 0 {
		o.Warmup = (steps + 19) / 20
	}
	if o.Warmup > steps {
		return refuse(fmt.Errorf("%d steps of warm-up in a run of %d", o.Warmup, steps))
	}
	if o.EvalEvery == 0 && holdout != nil {
		o.EvalEvery = j.order.lookEvery(holdout)
	}
	j.Options = o
	shape := base.Config
	shape.Layers = 0 // nothing is allocated to see whether the options make an adapter
	if _, err := adapter.New(shape, o.Rank, o.Alpha, o.Targets); err != nil {
		return refuse(err)
	}
	progress.Tell(ctx, progress.Report{Unit: "steps", Note: "check the base model"})
	if err := base.CheckFinite(ctx); err != nil {
		return refuse(err)
	}
	digest, err := base.Digest()
	if err != nil {
		return refuse(err)
	}
	j.Record = Record{Version: version, Engine: engine, Options: o, Base: digest, Plan: plan.Digest(), Steps: steps, Rows: len(plan.Rows)}
	j.Record.Tokens, j.Record.Learned = plan.Tokens()
	if holdout != nil {
		j.Record.Holdout = holdout.Digest()
	}
	return j, nil
}

func refusal(base *lm.Model, err error) error {
	if p := (*problem.Error)(nil); errors.As(err, &p) {
		return err
	}
	return &problem.Error{Op: "train", Path: base.Path, Err: err}
}

// fits refuses examples that are longer than the model has positions for.
func (p *Plan) fits(positions int) error {
	for _, row := range p.Rows {
		for _, n := range row.lengths() {
			if positions > 0 && n > positions {
				return fmt.Errorf("row %s has an example of %d tokens, the model has positions for %d (lower the plan's limit)", strings.Join(row.IDs, ", "), n, positions)
			}
		}
	}
	return nil
}

// Base is the model that is trained on.
func (j *Job) Base() *lm.Model { return j.base }

// Adapter makes the adapter as it is before the first step: it changes nothing yet.
func (j *Job) Adapter() *adapter.Adapter {
	a, err := adapter.New(j.base.Config, j.Options.Rank, j.Options.Alpha, j.Options.Targets)
	if err != nil {
		panic(err) // NewJob has tried
	}
	a.Base, a.RankStabilized = j.Record.Base, j.Options.RankStabilized
	initialize(a, j.Options.Seed)
	return a
}

// Rate is the learning rate of a step, counted from 1.
func (j *Job) Rate(step int) float64 { return j.Options.rate(step, j.Record.Steps) }

// Batches returns the rows of the plan that each batch of a step takes; steps are counted from 1.
func (j *Job) Batches(step int) [][]int {
	var rows [][]int
	for _, b := range j.order.step(step) {
		rows = append(rows, b)
	}
	return rows
}

// Identity names the job: all that its result depends on.
func (j *Job) Identity() string {
	b, err := json.Marshal(j.Record)
	if err != nil {
		panic(err) // a Record always marshals
	}
	sum := blake3.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Sound stops a run whose loss or gradient is no number or whose loss jumps away from the steps before, and names the
// rows of the step that weigh most. rows holds their mean losses.
func (j *Job) Sound(history []StepRecord, record StepRecord, rows map[int]float64) error {
	what := ""
	const recent = 20
	switch h := history; {
	case record.Loss-record.Loss != 0:
		what = fmt.Sprintf("the loss is %v", record.Loss)
	case record.GradNorm-record.GradNorm != 0:
		what = fmt.Sprintf("the gradient's norm is %v", record.GradNorm)
	case j.Options.Spike > 0 && len(h) >= recent:
		var last []float64
		for _, s := range h[len(h)-recent:] {
			last = append(last, s.Loss)
		}
		slices.Sort(last)
		// Small losses jump by nature: a tenth of a nat is always allowed.
		if median := last[recent/2]; record.Loss > j.Options.Spike*max(median, 0.1) {
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
		names = append(names, fmt.Sprintf("%s (loss %.3f)", strings.Join(j.Plan.Rows[row].IDs, "+"), rows[row]))
	}
	return &problem.Error{Op: "train", At: fmt.Sprintf("step %d", record.Step), Err: fmt.Errorf("%s; the step's rows with the highest loss: %s", what, strings.Join(names, ", ")),
		Fix: "look at these rows, or lower the learning rate"}
}

// Tell reports a step that was taken.
func (j *Job) Tell(ctx context.Context, record StepRecord, speed float64) {
	progress.Tell(ctx, progress.Report{Done: int64(record.Step), Total: int64(j.Record.Steps), Unit: "steps",
		Note:   fmt.Sprintf("loss %.3f, lr %.2g, gradient %.2g, %.0f tokens/s", record.Loss, record.LR, record.GradNorm, speed),
		Values: map[string]float64{"loss": record.Loss, "lr": record.LR, "grad_norm": record.GradNorm, "tokens_per_s": speed}})
}

// TellLook reports a look at the holdout.
func (j *Job) TellLook(ctx context.Context, step int, loss float64) {
	progress.Tell(ctx, progress.Report{Done: int64(step), Total: int64(j.Record.Steps), Unit: "steps", Note: fmt.Sprintf("held-out loss %.3f", loss),
		Values: map[string]float64{"held_out": loss}})
}
