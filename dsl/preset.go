package dsl

import (
	"context"
	"fmt"
	"runtime"

	"banter/internal/problem"
	"banter/stdlib/lm"
	"banter/stdlib/models"
	"banter/stdlib/train"
)

// Preset chooses rank, targets, length, batch and recomputation by how much memory there is, in GB: 8, 12, 16, 24, 48 or
// 80. With Auto it takes the greatest that fits this machine, or its GPU where the torch engine uses one. Options that are
// said beside it win.
func Preset(gigabytes int) TrainOption {
	return trainOption(func(o *trainOptions) { o.preset.asked, o.preset.gigabytes = true, gigabytes })
}

// presetChoice is the preset that was asked for, and what it came to.
type presetChoice struct {
	asked     bool
	gigabytes int
	name      string // of the one that was chosen
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
	estimate := func(p train.Preset) int64 { return p.Estimate(base, runtime.GOMAXPROCS(0)) }
	if e := o.engine.torch; e != nil {
		estimate = func(p train.Preset) int64 { return e.Estimate(base, p) }
	}
	p, need, err := train.Choose(memory, estimate)
	if err != nil {
		return &problem.Error{Op: "choose a preset", Path: model.Name, Err: err}
	}
	o.Options, o.Plan = p.Apply(o.Options, o.Plan)
	if most := base.Config.MaxPositions; most > 0 {
		o.Plan.MaxLength = min(o.Plan.MaxLength, most)
	}
	o.recompute, o.preset.name = p.Recompute, p.Name
	s.note("train", model.Name, "preset %s: rank %d, batches of at most %d tokens in rows of at most %d; up to %s of %s of memory",
		p.Name, o.Options.Rank, o.Options.BatchTokens, o.Plan.MaxLength, train.Bytes(need), train.Bytes(memory))
	return nil
}

// Training is what a Train in a dry run would take.
type Training struct {
	Base   string `json:"base"`
	Engine string `json:"engine"`
	Preset string `json:"preset,omitempty"`
	Stored bool   `json:"stored"` // its result is in the store
	train.Forecast
	Seconds float64 `json:"seconds,omitempty"` // that the go engine will work here; 0: not known
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
	if e := o.engine.torch; e != nil {
		t.Engine = o.engine.name
		t.Memory = e.EstimateRun(base, o.Options, t.Size, o.recompute)
		return t, nil
	}
	t.Seconds = t.Duration(train.Speed(0)).Seconds()
	return t, nil
}

// foundTraining notes that the last training foreseen is in the store.
func (s *Session) foundTraining() {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := &s.trainings[len(s.trainings)-1]
	last.Stored, last.Seconds = true, 0
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

// String says in words what the training takes.
func (t Training) String() string {
	text := t.Forecast.String()
	if t.Seconds > 0 {
		text += fmt.Sprintf("; about %s on this machine as busy as it is", lasting(t.Seconds))
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
