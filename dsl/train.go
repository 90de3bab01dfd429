package dsl

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"banter/dsl/memo"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/tokenizer"
	"banter/stdlib/models"
	"banter/stdlib/train"
)

// Tuned is a trained adapter for a base model.
type Tuned struct {
	rows Rows
	base string // name or path, as it was said
	step memo.Manifest
}

// model is the base that was trained.
func (t Tuned) model(ctx context.Context) (models.Model, error) {
	if t.step.Key == "" {
		return models.Model{}, memo.ErrNeverMade
	}
	return models.Resolve(ctx, t.base)
}

// TrainOption changes how Train works.
type TrainOption interface{ train(*trainOptions) }

type trainOptions struct {
	base    string
	Plan    train.PlanOptions
	Options train.Options

	engine    engineChoice
	preset    presetChoice
	recompute bool // changes no result
}

type trainOption func(*trainOptions)

func (f trainOption) train(o *trainOptions) { f(o) }

// Base names the base model: a name of `recipe models list`, or the path of a Hugging Face folder or a GGUF file.
func Base(name string) TrainOption { return trainOption(func(o *trainOptions) { o.base = name }) }

// LoRAOption shapes the adapter.
type LoRAOption func(*train.Options)

// LoRA shapes the adapter: each adapted projection W becomes W + (alpha/rank)·B·A.
func LoRA(options ...LoRAOption) TrainOption {
	return trainOption(func(o *trainOptions) {
		for _, set := range options {
			set(&o.Options)
		}
	})
}

// Rank is the rank of the adapter. The default is 16.
func Rank(n int) LoRAOption { return func(o *train.Options) { o.Rank = n } }

// Alpha scales the adapter by alpha/rank. The default is twice the rank.
func Alpha(a float64) LoRAOption { return func(o *train.Options) { o.Alpha = a } }

// RankStabilized scales the adapter by alpha/sqrt(rank) instead, so that high ranks learn as fast as low ones (rsLoRA).
func RankStabilized() LoRAOption { return func(o *train.Options) { o.RankStabilized = true } }

// Targets names the adapted projections: "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj". The
// default is all seven.
func Targets(names ...string) LoRAOption {
	return func(o *train.Options) { o.Targets = slices.Clone(names) }
}

// Epochs is how often training goes over the rows. The default is 1.
func Epochs(n int) TrainOption { return trainOption(func(o *trainOptions) { o.Options.Epochs = n }) }

// Steps is how many steps training takes, instead of whole epochs.
func Steps(n int) TrainOption { return trainOption(func(o *trainOptions) { o.Options.Steps = n }) }

// LearningRate is the peak learning rate. The default is 2e-4.
func LearningRate(rate float64) TrainOption {
	return trainOption(func(o *trainOptions) { o.Options.LR = rate })
}

// Batch is how many rows make a batch, and how many batches' gradients make a step.
func Batch(rows, accumulate int) TrainOption {
	return trainOption(func(o *trainOptions) { o.Options.BatchRows, o.Options.GradAccum = rows, accumulate })
}

// MaxLength is how many tokens a row may have. The beginning of a longer prompt is cut off, and counted.
func MaxLength(tokens int) TrainOption {
	return trainOption(func(o *trainOptions) { o.Plan.MaxLength, o.Plan.Truncate = tokens, true })
}

// Pack puts several examples in a row of tokens while they fit; attention stays within each.
func Pack() TrainOption { return trainOption(func(o *trainOptions) { o.Plan.Pack = true }) }

// EarlyStop looks at the holdout every so many steps, stops after patience looks without a better loss, and keeps the
// best adapter.
func EarlyStop(every, patience int) TrainOption {
	return trainOption(func(o *trainOptions) { o.Options.EvalEvery, o.Options.EarlyStop = every, patience })
}

// SeedOption fixes what is random.
type SeedOption uint64

// Seed fixes what is random in Train and Sample. The default is 0.
func Seed(n int64) SeedOption { return SeedOption(n) }

func (n SeedOption) train(o *trainOptions) { o.Options.Seed, o.Plan.Seed = uint64(n), uint64(n) }

const (
	planFile        = "plan.parquet"
	holdoutPlanFile = "holdout-plan.parquet"
	runFile         = "run.json"
)

// Train fits a LoRA adapter to the training side of data, with loss on the responses alone. The holdout is only looked
// at. An interrupted training goes on from its last checkpoint, to the same bytes.
func Train(data Data, options ...TrainOption) Tuned {
	s := current()
	o := trainOptions{base: "lm-micro"}
	for _, set := range options {
		set.train(&o)
	}
	rows := data.Rows()
	model, err := models.Resolve(s.ctx, o.base)
	if err != nil {
		fail("train", o.base, err)
	}
	if err := o.resolveEngine(s.ctx); err != nil {
		fail("train", o.base, err)
	}
	if err := s.choosePreset(&o, model); err != nil {
		fail("train", o.base, err)
	}
	o.Options = o.Options.Canonical()
	plan, err := s.plan(rows, model, o)
	if s.dry && (err == nil || NotMade(err)) {
		if e := s.foresee(s.ctx, rows, model, o); e != nil {
			fail("train", o.base, e)
		}
	}
	if err == nil {
		err = s.widenBase(&o, model)
	}
	if err != nil {
		s.timeForeseen(err, o)
		fail("train", o.base, err)
	}
	if s.dry {
		s.amendForeseen(func(t *Training) { t.Rewrite = "" }) // the base is in the store in the form that the engine takes
	}
	step := memo.Step{Verb: "train", Label: model.Name, Reads: []memo.Key{plan.Key}}.With("base", model.SHA256).With("options", o.Options)
	for _, output := range plan.Outputs {
		step = step.With("input."+output.Name, output.Digest)
	}
	for _, output := range o.engine.widened.Outputs {
		step = step.With("input."+output.Name, output.Digest)
	}
	if o.engine.widened.Key != "" {
		step.Reads = append(step.Reads, o.engine.widened.Key)
	}
	m, err := s.do(o.engine.enter(step), func(ctx context.Context, d *memo.Draft) error { return s.trainInto(ctx, d, plan, model, o) })
	if err != nil {
		s.timeForeseen(err, o)
		fail("train", o.base, err)
	}
	if s.dry {
		s.amendForeseen(func(t *Training) { t.Stored = true })
	}
	return Tuned{rows, o.base, m}
}

// plan encodes rows as the base's tokens. Its key is of the texts' rows; what is trained on is the plan itself, so that
// rows with another lineage but the same texts need no new training.
func (s *Session) plan(rows Rows, model models.Model, o trainOptions) (memo.Manifest, error) {
	in, err := rows.step.Output(rowsFile)
	if err != nil {
		return memo.Manifest{}, err
	}
	step := memo.Step{Verb: "plan", Label: model.Name, Reads: []memo.Key{rows.step.Key}}.
		With("input.rows", in.Digest).With("base", model.SHA256).With("options", o.Plan)
	return s.do(step, func(ctx context.Context, d *memo.Draft) error {
		plans, err := s.encode(ctx, rows, model, o)
		if err != nil {
			return err
		}
		for name, p := range plans {
			if err := d.Write(name, func(w io.Writer) error { return train.WritePlan(w, p) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// encode makes the plans of both sides of the rows; of a side without rows there is none.
func (s *Session) encode(ctx context.Context, rows Rows, model models.Model, o trainOptions) (map[string]*train.Plan, error) {
	learn, look, err := s.sides(rows)
	if err != nil {
		return nil, err
	}
	base, err := openBase(model)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	plans := map[string]*train.Plan{}
	for name, side := range map[string][]Row{planFile: learn, holdoutPlanFile: look} {
		if len(side) == 0 {
			continue
		}
		if plans[name], err = train.NewPlan(ctx, examples(side), base, o.Plan); err != nil {
			return nil, err
		}
	}
	return plans, nil
}

func examples(rows []Row) []train.Example {
	out := make([]train.Example, len(rows))
	for i := range rows {
		out[i] = train.Example{ID: rows[i].ID, Prompt: rows[i].Prompt(), Response: rows[i].Completion()}
	}
	return out
}

// base is an opened base model with its way of writing conversations.
type base struct {
	*lm.Model
	*chattemplate.Format
}

func openBase(m models.Model) (*base, error) {
	model, err := lm.Open(m.Path)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Open(model)
	if err == nil {
		var format *chattemplate.Format
		if format, err = chattemplate.Open(model, tok); err == nil {
			return &base{model, format}, nil
		}
	}
	return nil, errors.Join(err, model.Close())
}

// trainFacts are shown without reading the run record.
type trainFacts struct {
	Steps           int     `json:"steps"`
	Loss            float64 `json:"loss"`           // mean of the last steps
	HoldoutBefore   float64 `json:"holdout_before"` // loss on the holdout
	HoldoutAfter    float64 `json:"holdout_after"`
	TokensPerSecond float64 `json:"tokens_per_second"` // as it was on the machine that trained
}

func (s *Session) trainInto(ctx context.Context, d *memo.Draft, planned memo.Manifest, model models.Model, o trainOptions) error {
	plans := map[string]*train.Plan{}
	for _, output := range planned.Outputs {
		p, err := train.ReadPlan(s.store.ObjectPath(output))
		if err != nil {
			return err
		}
		plans[output.Name] = p
	}
	scratch, err := d.Scratch()
	if err != nil {
		return err
	}
	m, err := lm.Open(model.Path)
	if err != nil {
		return err
	}
	defer m.Close()
	t, err := s.forecast(model, plans, o)
	if err == nil && o.engine.torch == nil { // to time torch takes seconds
		err = t.time(ctx, o)
	}
	if err != nil {
		return err
	}
	t.Rewrite = "" // that is done
	s.note("train", model.Name, "%s", t)
	machine := train.Machine{CheckpointDir: scratch, CheckpointEvery: 25, Recompute: o.recompute}
	result, err := s.fit(ctx, m, plans, o, machine)
	if err != nil {
		return err
	}
	result.Adapter.BaseName = model.Name
	config, err := result.Adapter.PEFTConfig()
	if err != nil {
		return err
	}
	if err := d.WriteBytes("adapter_config.json", config); err != nil {
		return err
	}
	if err := d.Write("adapter_model.safetensors", result.Adapter.WriteSafetensors); err != nil {
		return err
	}
	if err := d.Write("adapter.gguf", func(w io.Writer) error { return result.Adapter.WriteGGUF(w, m.Config) }); err != nil {
		return err
	}
	b, err := json.MarshalIndent(result.Record, "", " ")
	if err != nil {
		return err
	}
	if err := d.Facts(factsOf(result)); err != nil {
		return err
	}
	return d.WriteBytes(runFile, append(b, '\n'))
}

// fit trains with the engine that was chosen.
func (s *Session) fit(ctx context.Context, m *lm.Model, plans map[string]*train.Plan, o trainOptions, machine train.Machine) (*train.Result, error) {
	if o.engine.torch != nil {
		return s.fitWithTorch(ctx, m, plans, o, machine)
	}
	return train.Run(ctx, m, plans[planFile], o.Options, machine, plans[holdoutPlanFile])
}

func factsOf(r *train.Result) trainFacts {
	f := trainFacts{Steps: len(r.Record.History), TokensPerSecond: r.Timing.TokensPerSecond}
	last := r.Record.History[max(0, len(r.Record.History)-10):]
	for _, h := range last {
		f.Loss += h.Loss / float64(len(last))
	}
	if n := len(r.Record.Looks); n > 0 {
		f.HoldoutBefore, f.HoldoutAfter = r.Record.Looks[0].Loss, r.Record.Looks[n-1].Loss
	}
	return f
}

// Run is the record of how the adapter was made: configuration, seed, digests, and the loss of every step.
func (t Tuned) Run() train.Record {
	var r train.Record
	if err := current().readJSON(t.step, runFile, &r); err != nil {
		fail("train", t.base, err)
	}
	return r
}

// adapter reads the adapter back.
func (s *Session) adapter(t Tuned) (*adapter.Adapter, error) {
	dir, err := os.MkdirTemp("", "banter-adapter-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"adapter_config.json", "adapter_model.safetensors"} {
		o, err := t.step.Output(name)
		if err != nil {
			return nil, err
		}
		if err := s.store.Copy(o, filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return adapter.Read(dir)
}
