// Package torch trains a plan with torch, transformers and peft in a process of its own: on the CPU, on a GPU or on
// several, in float32, bfloat16 or on a base of 4 bits. A [train.Job] flows in; the same result as the go engine's flows
// out, a PEFT adapter and the record of the run.
//
// Rows, their order, the adapter's first values, learning rates and the optimizer are those of the go engine, whatever
// the number of processes: each takes its share of every batch, and gradients are added up before a step. What torch
// computes differs in last bits from one processor, card, number of threads or release to the next; the record says so.
package torch

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"banter/internal/problem"
	"banter/stdlib/lm"
	"banter/stdlib/train"
)

// Name is what records call the engine.
const Name = "torch"

// engineVersion counts changes of the engine that change results.
const engineVersion = 1

const lockPoll = 200 * time.Millisecond

// Options says how and where to train. The zero value of a field means the default that its comment names.
type Options struct {
	Python    string // an interpreter that has torch, transformers and peft; what BANTER_TORCH_PYTHON names, or else the locked environment
	Device    string // "cpu" or "cuda"; cuda where there is a card
	Processes int    // one for each card; on the CPU one
	Precision string // of the base: "f32", "bf16" or "4bit"; bf16 on cards, f32 on the CPU
}

// Engine is where and with what a training will compute.
type Engine struct {
	train.Runtime
	Memory int64 // bytes of the smallest card in use; 0: on the CPU
	python string
	kind   string // "cpu" or "cuda"
	asked  Options
}

// Resolve finds out with what a training will compute. It starts nothing and installs nothing.
func Resolve(ctx context.Context, o Options) (*Engine, error) {
	refuse := func(err error) (*Engine, error) {
		return nil, &problem.Error{Op: "choose how torch trains", Err: err}
	}
	cards, err := gpus(ctx)
	if err != nil {
		return refuse(err)
	}
	e := &Engine{python: o.Python, asked: o}
	if e.kind, e.Device, e.Processes, e.Memory, err = place(cards, o); err != nil {
		return refuse(err)
	}
	switch e.Precision = o.Precision; e.Precision {
	case "":
		e.Precision = "f32"
		if e.kind == "cuda" {
			e.Precision = "bf16"
		}
	case "f32", "bf16", "4bit":
	default:
		return refuse(fmt.Errorf("no precision %q (use f32, bf16 or 4bit)", o.Precision))
	}
	packages := slices.Clone(wanted)
	if e.Precision == "4bit" {
		packages = append(packages, only4Bit)
	}
	if e.python == "" {
		e.python = os.Getenv(PythonVariable)
	}
	if e.python == "" {
		e.Versions = locked()
		maps.DeleteFunc(e.Versions, func(name, _ string) bool { return !slices.Contains(packages, name) })
	} else if e.Versions, err = installed(ctx, e.python, packages); err != nil {
		return nil, err
	}
	var missing []string
	for _, p := range packages {
		if e.Versions[p] == "" {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		return nil, &problem.Error{Op: "choose how torch trains", Path: e.python, Err: fmt.Errorf("this Python lacks %s", strings.Join(missing, ", ")),
			Fix: "install them there, or name no interpreter: then an environment is made"}
	}
	e.Varies = "torch rounds differently on other processors and cards, with another number of threads and in other releases"
	if e.kind == "cuda" {
		e.Varies += ", and some of its kernels for cards add up in no fixed order"
	}
	return e, nil
}

// Narrower is the engine with the base held as a preset wants it that has too little memory for it: in 4 bits on a card
// where the preset says "Q8_0", else in bf16. It is nil where a precision was asked for, where that is no narrower, and where
// the interpreter lacks what it takes.
func (e *Engine) Narrower(ctx context.Context, precision string) *Engine {
	o := e.asked
	switch {
	case o.Precision != "":
		return nil
	case e.kind == "cuda" && precision == "Q8_0":
		o.Precision = "4bit"
	case e.Precision == "f32":
		o.Precision = "bf16"
	default:
		return nil
	}
	n, err := Resolve(ctx, o)
	if err != nil {
		return nil // the wider one was found fit
	}
	return n
}

// NewJob checks what is to be trained; see [train.NewJob].
func NewJob(ctx context.Context, base *lm.Model, plan *train.Plan, o train.Options, holdout *train.Plan) (*train.Job, error) {
	if o.Precision != "" {
		return nil, &problem.Error{Op: "train with torch", Path: base.Path, Err: fmt.Errorf("a base held as %s is the go engine's", o.Precision), Fix: "name the torch engine's own precision: f32, bf16 or 4bit"}
	}
	return train.NewJob(ctx, Name, engineVersion, base, plan, o, holdout)
}

// Missing says what Run will install first, and where; it is empty where nothing is missing.
func (e *Engine) Missing() string {
	if e.python != "" {
		return ""
	}
	dir, err := EnvironmentDir()
	if err != nil || complete(dir) {
		return ""
	}
	return installing(dir)
}

// Widened is the type in which a base that is stored as GGUF has to be written as a Hugging Face folder before the engine
// can read it: it reads no other.
func (e *Engine) Widened() lm.Type {
	if e.Precision == "f32" {
		return lm.F32
	}
	return lm.BF16
}

// Run trains, after it has made the locked environment where that is used and not yet there. folder is the base's Hugging
// Face folder, or one that holds the same weights. Where ctx is done the run stops behind a checkpoint, if it has a folder
// for them, and the same call goes on from there.
func (e *Engine) Run(ctx context.Context, job *train.Job, folder string, machine train.Machine) (*train.Result, error) {
	base := job.Base()
	fail := func(err error, fix string) error {
		return &problem.Error{Op: "train with torch", Path: base.Path, Err: err, Fix: fix}
	}
	if _, err := os.Stat(filepath.Join(folder, "config.json")); err != nil {
		return nil, fail(fmt.Errorf("%s is no Hugging Face folder", folder), "name the folder with config.json and safetensors files, or train with the go engine")
	}
	python := e.python
	if python == "" {
		dir, err := EnvironmentDir()
		if err != nil {
			return nil, err
		}
		if python, err = Environment(ctx, dir); err != nil {
			return nil, err
		}
	}
	scratch, err := os.MkdirTemp("", "banter-torch-")
	if err != nil {
		return nil, fail(err, "")
	}
	defer os.RemoveAll(scratch)
	job.Record.Runtime = &e.Runtime
	r := &run{engine: e, job: job, folder: folder, scratch: scratch, python: python}
	if err := r.write(machine); err != nil {
		return nil, fail(err, "make room in "+os.TempDir())
	}
	if err := r.train(ctx); err != nil {
		return nil, err
	}
	return r.result()
}

// threads is how many threads each process computes with.
func (e *Engine) threads(workers int) int {
	if e.kind == "cuda" {
		return 0
	}
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	return max(1, workers/e.Processes)
}
