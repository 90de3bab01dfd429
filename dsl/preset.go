package dsl

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"banter/internal/problem"
	"banter/stdlib/lm"
	"banter/stdlib/models"
	"banter/stdlib/train"
	"banter/stdlib/train/torch"
)

// Preset chooses rank, targets, length, batch, recomputation and, where the base does not fit as it is, the precision in which it is
// held, by how much memory there is, in GB: 8, 12, 16, 24, 48 or 80. With Auto it takes the greatest that fits this
// machine, or its GPU where the torch engine uses one. Options that are said beside it win.
func Preset(gigabytes int) TrainOption {
	return trainOption(func(o *trainOptions) { o.preset.asked, o.preset.gigabytes = true, gigabytes })
}

// presetChoice is the preset that was asked for, and what it came to.
type presetChoice struct {
	asked     bool
	gigabytes int
	name      string // of the one that was chosen
	weighed   []train.Choice
}

// choosePreset fills in what the preset decides and the options leave open.
func (s *Session) choosePreset(o *trainOptions, model models.Model) error {
	if !o.preset.asked {
		return nil
	}
	base, err := lm.Open(model.Path)
	if err != nil {
		return err
	}
	defer base.Close()
	memory := int64(o.preset.gigabytes) << 30
	if o.preset.gigabytes == Auto {
		if e := o.engine.torch; e != nil && e.Memory > 0 {
			memory = e.Memory
		} else if memory, err = train.Memory(); err != nil {
			return &problem.Error{Op: "choose a preset", Err: err, Fix: "name one by its memory: Preset(16)"}
		}
	}
	estimate := o.estimate(s.ctx, base)
	c, err := train.Choose(memory, estimate)
	if err != nil {
		return &problem.Error{Op: "choose a preset", Path: model.Name, Err: err}
	}
	o.preset.weighed, o.preset.name, o.recompute = train.Weigh(estimate), c.Name, c.Recompute
	c.MaxLength = within(base.Config, c.MaxLength)
	o.Options, o.Plan = c.Apply(o.Options, o.Plan)
	held := ""
	switch e := o.engine.torch; {
	case e != nil && c.Narrow:
		o.engine.torch = e.Narrower(s.ctx, c.Precision)
		held = ", the base held in " + o.engine.torch.Precision
	case c.Narrow:
		o.Options.Precision = c.Precision
		held = ", the base held as " + c.Precision
	}
	s.note("train", model.Name, "preset %s: rank %d, batches of at most %d tokens in rows of at most %d%s; up to %s of %s of memory",
		c.Name, o.Options.Rank, o.Options.BatchTokens, o.Plan.MaxLength, held, train.Bytes(c.Bytes), train.Bytes(memory))
	return nil
}

// within is a length that the model has positions for.
func within(c lm.Config, length int) int {
	if c.MaxPositions > 0 {
		return min(length, c.MaxPositions)
	}
	return length
}

// estimate says what presets take with the options that were said beside them, as [train.Weigh] wants it.
func (o *trainOptions) estimate(ctx context.Context, base *lm.Model) func(train.Preset, bool) int64 {
	said, plan, e := o.Options, o.Plan, o.engine.torch
	narrower := map[string]*torch.Engine{} // by the preset's precision; looked for once
	return func(p train.Preset, narrow bool) int64 {
		p.MaxLength = within(base.Config, p.MaxLength)
		if e == nil {
			return p.Estimate(base, said, plan, narrow, runtime.GOMAXPROCS(0))
		}
		if !narrow {
			return e.Estimate(base, p, said, plan)
		}
		n, known := narrower[p.Precision]
		if !known {
			n = e.Narrower(ctx, p.Precision)
			narrower[p.Precision] = n
		}
		if n == nil {
			return -1
		}
		return n.Estimate(base, p, said, plan)
	}
}

// Training is what a Train in a dry run would take.
type Training struct {
	Base      string `json:"base"`
	Engine    string `json:"engine"`
	Preset    string `json:"preset,omitempty"`
	Precision string `json:"precision,omitempty"` // in which the base is held; empty: as it is stored
	Rewrite   string `json:"rewrite,omitempty"`   // what has to be done to the base before
	Install   string `json:"install,omitempty"`   // what has to be installed before
	Stored    bool   `json:"stored"`              // its result is in the store
	train.Forecast
	Seconds float64 `json:"seconds,omitempty"` // that the engine will work here; 0: not known
	Presets []Tier  `json:"presets,omitempty"` // where one was asked for: what each takes on this base
}

// Tier is what a preset takes on some base.
type Tier struct {
	Name      string `json:"name"`
	Rank      int    `json:"rank"`
	Length    int    `json:"row_tokens"`
	Batch     int    `json:"batch_tokens"`
	GradAccum int    `json:"batches_in_a_step"`
	Recompute bool   `json:"recompute"`
	Precision string `json:"precision,omitempty"` // empty: as it is stored
	Memory    int64  `json:"memory_bytes"`        // at the peak
	Fits      bool   `json:"fits"`                // into nine tenths of what it is named for
}

// Trainings are the trainings that a dry run came to, with what they take.
func (s *Session) Trainings() []Training {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Training(nil), s.trainings...)
}

// forecast says what a training takes.
func (s *Session) forecast(model models.Model, plans map[string]*train.Plan, o trainOptions) (Training, error) {
	base, err := lm.Open(model.Path)
	if err != nil {
		return Training{}, err
	}
	defer base.Close()
	t := Training{Base: model.Name, Engine: "go", Preset: o.preset.name}
	machine := train.Machine{Recompute: o.recompute}
	if t.Forecast, err = train.NewForecast(base, plans[planFile], o.Options, machine, plans[holdoutPlanFile]); err != nil {
		return Training{}, err
	}
	for _, c := range o.preset.weighed {
		precision := ""
		if c.Narrow {
			precision = c.Precision
		}
		t.Presets = append(t.Presets, Tier{c.Name, c.Rank, within(base.Config, c.MaxLength), c.BatchTokens, c.GradAccum, c.Recompute, precision, c.Bytes, c.Fits})
	}
	e := o.engine.torch
	if e == nil {
		t.Precision = o.Options.Precision
		return t, nil
	}
	t.Engine, t.Precision = o.engine.name, e.Runtime.Precision
	t.Memory = e.EstimateRun(base, o.Options, t.Size, o.recompute)
	if kind, yes := o.widens(model); yes {
		t.Rewrite = fmt.Sprintf("the base is a GGUF file: it is first written to the store as a Hugging Face folder of %s, once", kind)
	}
	t.Install = e.Missing()
	return t, nil
}

// time says how long a training will take here: for the go engine by its matrix kernels' speed, for torch by torch's own.
func (t *Training) time(ctx context.Context, o trainOptions) error {
	var d time.Duration
	if e := o.engine.torch; e != nil {
		var err error
		if d, err = e.Duration(ctx, t.Forecast); err != nil {
			return err
		}
	} else {
		d = t.Duration(train.Speed(0))
	}
	t.Seconds = d.Seconds()
	return nil
}

// amendForeseen changes the last training foreseen by what its dry run found since.
func (s *Session) amendForeseen(amend func(*Training)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	amend(&s.trainings[len(s.trainings)-1])
}

// foresee notes what a training would take, for a dry run.
func (s *Session) foresee(ctx context.Context, rows Rows, model models.Model, o trainOptions) error {
	plans, err := s.encode(ctx, rows, model, o)
	if err != nil {
		return err
	}
	t, err := s.forecast(model, plans, o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trainings = append(s.trainings, t)
	return nil
}

// timeForeseen adds the time to the last training foreseen where a dry run found that it has to run.
func (s *Session) timeForeseen(why error, o trainOptions) {
	if !s.dry || !NotMade(why) {
		return
	}
	all := s.Trainings()
	last := all[len(all)-1]
	if err := last.time(s.ctx, o); err != nil {
		fail("train", o.base, err)
	}
	s.amendForeseen(func(t *Training) { t.Seconds = last.Seconds })
}

// String says in words what the training takes.
func (t Training) String() string {
	text := t.Forecast.String()
	switch {
	case t.Seconds > 0:
		text += fmt.Sprintf("; about %s on this machine as busy as it is", lasting(t.Seconds))
	case t.Install != "" && !t.Stored:
		text += "; how long that takes here is known once torch is installed"
	}
	for _, first := range []string{t.Rewrite, t.Install} {
		if first != "" && !t.Stored {
			text += "; " + first
		}
	}
	return text
}

// lasting writes a length of time as people say it.
func lasting(seconds float64) string {
	switch {
	case seconds < 100:
		return fmt.Sprintf("%.0f s", max(1, seconds))
	case seconds < 100*60:
		return fmt.Sprintf("%.0f minutes", seconds/60)
	}
	return fmt.Sprintf("%.1f hours", seconds/3600)
}
