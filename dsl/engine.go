package dsl

import (
	"context"
	"fmt"

	"banter/dsl/memo"
	"banter/stdlib/lm"
	"banter/stdlib/train"
	"banter/stdlib/train/torch"
)

// engineChoice is what computes a training.
type engineChoice struct {
	name    string // "" is "go"
	options torch.Options
	torch   *torch.Engine // resolved; nil for "go"
}

// EngineOption says how another engine than Banter's own works.
type EngineOption func(*torch.Options)

// Engine chooses what computes the training: "go", the default, gives the same bytes on every machine; "torch" runs torch,
// transformers and peft in a process of its own, on GPUs where there are any. Both train the same plan in the same order.
func Engine(name string, options ...EngineOption) TrainOption {
	return trainOption(func(o *trainOptions) {
		o.engine = engineChoice{name: name}
		for _, set := range options {
			set(&o.engine.options)
		}
	})
}

// Python names the interpreter of the torch engine, which must have torch, transformers, peft and pyarrow. The default is
// what BANTER_TORCH_PYTHON names, or else an environment with locked versions that is made on first use.
func Python(path string) EngineOption { return func(o *torch.Options) { o.Python = path } }

// Processes is how many processes of the torch engine share the work. The default is one for each GPU, and one on a CPU.
func Processes(n int) EngineOption { return func(o *torch.Options) { o.Processes = n } }

// Precision is how the torch engine holds the base: "f32", "bf16" or "4bit". The default is bf16 on GPUs and f32 on a CPU.
func Precision(name string) EngineOption { return func(o *torch.Options) { o.Precision = name } }

// Device is where the torch engine computes: "cpu" or "cuda". The default is cuda where there is a GPU.
func Device(name string) EngineOption { return func(o *torch.Options) { o.Device = name } }

// resolve finds out with what the engine will compute.
func (e *engineChoice) resolve(ctx context.Context) (err error) {
	switch e.name {
	case "", "go":
		return nil
	case torch.Name:
		e.torch, err = torch.Resolve(ctx, e.options)
		return err
	}
	return fmt.Errorf("there is no engine %q (use go or torch)", e.name)
}

// enter adds to a step's key what its result depends on beside plan, base and options.
func (e *engineChoice) enter(step memo.Step) memo.Step {
	if e.torch == nil {
		return step
	}
	step = step.With("engine", struct {
		Name, Impl string
		Runtime    train.Runtime
	}{torch.Name, implementation("torch"), e.torch.Runtime})
	step.Varies = e.torch.Varies
	return step
}

// fitWithTorch trains in torch's process.
func (s *Session) fitWithTorch(ctx context.Context, m *lm.Model, plans map[string]*train.Plan, o trainOptions, machine train.Machine) (*train.Result, error) {
	e := o.engine.torch
	if what := e.Missing(); what != "" {
		s.note("train", o.base, "%s", what)
	}
	job, err := torch.NewJob(ctx, m, plans[planFile], o.Options, plans[holdoutPlanFile])
	if err != nil {
		return nil, err
	}
	return e.Run(ctx, job, machine)
}
