package dsl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"banter/dsl/memo"
	"banter/stdlib/lm"
	"banter/stdlib/lm/merge"
	"banter/stdlib/models"
	"banter/stdlib/train"
	"banter/stdlib/train/torch"
)

// engineChoice is what computes a training.
type engineChoice struct {
	name    string // "" is "go"
	options torch.Options
	torch   *torch.Engine // resolved; nil for "go"
	widened memo.Manifest // of a base that had to be written anew for it
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

// Precision is how the base is held. The torch engine holds it as "f32", "bf16" or, on a GPU, "4bit"; the default is bf16 on
// GPUs and f32 on a CPU. The go engine holds it as it is stored, or narrower: as "bf16" or "q8_0".
func Precision(name string) EngineOption { return func(o *torch.Options) { o.Precision = name } }

// Device is where the torch engine computes: "cpu" or "cuda". The default is cuda where there is a GPU.
func Device(name string) EngineOption { return func(o *torch.Options) { o.Device = name } }

// resolveEngine finds out with what the engine will compute.
func (o *trainOptions) resolveEngine(ctx context.Context) (err error) {
	e := &o.engine
	switch e.name {
	case "", "go":
		if e.options.Python != "" || e.options.Device != "" || e.options.Processes != 0 {
			return errors.New("Python, Device and Processes are the torch engine's (say Engine(\"torch\", ...), or leave them out)")
		}
		o.Options.Precision = e.options.Precision
		for _, kind := range []lm.Type{lm.BF16, lm.Q8_0} {
			if strings.EqualFold(e.options.Precision, kind.String()) {
				o.Options.Precision = kind.String()
			}
		}
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
	if m.GGUF == nil {
		return e.Run(ctx, job, m.Path, machine)
	}
	dir, err := os.MkdirTemp("", "banter-base-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, output := range o.engine.widened.Outputs {
		path, err := filepath.Abs(s.store.ObjectPath(output))
		if err != nil {
			return nil, err
		}
		if err := os.Symlink(path, filepath.Join(dir, output.Name)); err != nil {
			return nil, err
		}
	}
	return e.Run(ctx, job, dir, machine)
}

// widenBase writes a base that is stored as GGUF as the Hugging Face folder that the torch engine reads, once for all trainings on it.
func (s *Session) widenBase(o *trainOptions, model models.Model) error {
	kind, stored := o.widens(model)
	if !stored {
		return nil
	}
	step := memo.Step{Verb: "base", Label: model.Name, Once: true}.With("base", model.SHA256).With("type", kind.String())
	var err error
	o.engine.widened, err = s.do(step, func(_ context.Context, d *memo.Draft) error {
		m, err := lm.Open(model.Path)
		if err != nil {
			return err
		}
		defer m.Close()
		config, err := m.Config.JSON(kind)
		if err != nil {
			return fmt.Errorf("write the base for torch: %w (train with the go engine, or on the model's Hugging Face folder)", err)
		}
		if err := d.WriteBytes("config.json", config); err != nil {
			return err
		}
		whole, err := merge.New(m, nil)
		if err != nil {
			return err
		}
		return d.Write("model.safetensors", func(w io.Writer) error { return whole.WriteSafetensors(w, kind) })
	})
	return err
}

// widens says whether the engine needs the base written anew first, and as what.
func (o *trainOptions) widens(model models.Model) (kind lm.Type, yes bool) {
	if o.engine.torch == nil {
		return 0, false
	}
	if info, err := os.Stat(model.Path); err != nil || info.IsDir() {
		return 0, false // what is wrong with it is said where it is opened
	}
	return o.engine.torch.Widened(), true
}
