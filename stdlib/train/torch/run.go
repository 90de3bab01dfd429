package torch

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/train"
)

//go:embed train_lora.py
var program []byte

// run is one training in progress.
type run struct {
	engine  *Engine
	job     *train.Job
	folder  string // Hugging Face's, with the base's weights
	scratch string // what the process reads, and where it leaves its result
	python  string
	began   time.Time
	resumed int
	threads int
	seen    []train.StepRecord // of this session
	tokens  int
	seconds float64
	failure error // what the process said went wrong, the first time
	done    bool
	peak    int64
	stopped int  // the step behind which it stopped when asked to
	halted  bool // whether it did
	err     tail
}

// orders is what the process is to do, as train_lora.py reads it.
type orders struct {
	Identity        string  `json:"identity"`
	Model           string  `json:"model"`
	Adapter         string  `json:"adapter"`
	Plan            string  `json:"plan"`
	Holdout         string  `json:"holdout"`
	Schedule        string  `json:"schedule"`
	Result          string  `json:"result"`
	Checkpoints     string  `json:"checkpoints"`
	CheckpointEvery int     `json:"checkpoint_every"`
	Keep            int     `json:"keep"`
	Precision       string  `json:"precision"`
	Device          string  `json:"device"`
	Threads         int     `json:"threads"`
	Recompute       bool    `json:"recompute"`
	ClipNorm        float64 `json:"clip_norm"`
	WeightDecay     float64 `json:"weight_decay"`
	EvalEvery       int     `json:"eval_every"`
	EarlyStop       int     `json:"early_stop"`
	Spike           float64 `json:"spike"`
}

// scheduled is one line of the schedule: one step.
type scheduled struct {
	LR      float64 `json:"lr"`
	Batches [][]int `json:"batches"`
}

func (r *run) path(name string) string { return filepath.Join(r.scratch, name) }

// write writes all that the process reads.
func (r *run) write(machine train.Machine) error {
	machine = machine.Canonical()
	o := r.job.Options
	model, err := filepath.Abs(r.folder)
	if err != nil {
		return err
	}
	w := orders{Identity: r.job.Identity(), Model: model, Adapter: r.path("adapter"), Plan: r.path("plan.parquet"), Schedule: r.path("schedule.jsonl"), Result: r.path("result"),
		Checkpoints: machine.CheckpointDir, CheckpointEvery: machine.CheckpointEvery, Keep: machine.Keep, Precision: r.engine.Precision, Device: r.engine.kind,
		Threads: r.engine.threads(machine.Workers), Recompute: machine.Recompute, ClipNorm: o.ClipNorm, WeightDecay: o.WeightDecay, EvalEvery: o.EvalEvery,
		EarlyStop: o.EarlyStop, Spike: o.Spike}
	r.threads = w.Threads
	if w.Checkpoints != "" {
		if w.Checkpoints, err = filepath.Abs(w.Checkpoints); err != nil {
			return err
		}
		if err := os.MkdirAll(w.Checkpoints, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(r.path("train_lora.py"), program, 0o644); err != nil {
		return err
	}
	if err := r.job.Adapter().Write(w.Adapter); err != nil {
		return err
	}
	plans := map[string]*train.Plan{w.Plan: r.job.Plan}
	if r.job.Holdout != nil {
		w.Holdout = r.path("holdout.parquet")
		plans[w.Holdout] = r.job.Holdout
	}
	for path, p := range plans {
		if err := create(path, func(w io.Writer) error { return train.WritePlan(w, p) }); err != nil {
			return err
		}
	}
	if err := create(w.Schedule, func(w io.Writer) error {
		lines := json.NewEncoder(w)
		for n := 1; n <= r.job.Record.Steps; n++ {
			if err := lines.Encode(scheduled{r.job.Rate(n), r.job.Batches(n)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return create(r.path("job.json"), func(out io.Writer) error { return json.NewEncoder(out).Encode(w) })
}

func create(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if err := errors.Join(write(w), w.Flush()); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// grace is how long a process may take to end its step and write a checkpoint when it is asked to stop.
const grace = 2 * time.Minute

// train runs the process to its end.
func (r *run) train(ctx context.Context) error {
	arguments := []string{r.path("train_lora.py"), r.path("job.json")}
	if n := r.engine.Processes; n > 1 {
		arguments = append([]string{"-m", "torch.distributed.run", "--standalone", "--nproc-per-node", strconv.Itoa(n)}, arguments...)
	}
	command := exec.CommandContext(ctx, r.python, arguments...)
	command.Dir = r.scratch
	command.Env = append(os.Environ(), environment...)
	command.Env = append(command.Env, loopback()...)
	if r.threads > 0 {
		command.Env = append(command.Env, fmt.Sprintf("OMP_NUM_THREADS=%d", r.threads))
	}
	command.SysProcAttr = attributes()
	command.Stderr = &r.err
	fail := func(err error, fix string) error {
		return &problem.Error{Op: "train with torch", Path: r.job.Base().Path, Err: err, Fix: fix}
	}
	stdin, err := command.StdinPipe()
	if err != nil {
		return fail(err, "")
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return fail(err, "")
	}
	command.WaitDelay = grace
	command.Cancel = func() error { return errors.Join(stdin.Close(), terminate(command.Process)) }
	progress.Tell(ctx, progress.Report{Unit: "steps", Note: "start torch"})
	r.began = time.Now()
	if err := command.Start(); err != nil {
		return fail(err, "name a Python interpreter that works in "+PythonVariable)
	}
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r.hear(ctx, lines.Bytes())
	}
	if lines.Err() != nil {
		_, _ = io.Copy(io.Discard, stdout) // the process must be able to end; how it ended is looked at below
	}
	err = command.Wait()
	if err != nil && r.engine.Processes > 1 {
		killGroup(command.Process)
	}
	switch {
	case r.failure != nil:
		return r.failure
	case ctx.Err() != nil:
		return fmt.Errorf("train with torch, stopped after step %d: %w", max(r.stopped, r.lastStep()), ctx.Err())
	case r.done && err == nil:
		return nil
	case r.halted:
		return fail(fmt.Errorf("it was told to stop, and did after step %d", r.stopped), "run it again to go on")
	case lines.Err() != nil:
		return fail(lines.Err(), "")
	case err == nil:
		return fail(errors.New("the process ended before the training did"), "run it again to go on from its last checkpoint")
	}
	fix, what := r.death(err)
	return fail(what, fix)
}

func (r *run) lastStep() int {
	if len(r.seen) == 0 {
		return r.resumed
	}
	return r.seen[len(r.seen)-1].Step
}

// environment keeps the process off the network and quiet.
var environment = []string{"HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "TOKENIZERS_PARALLELISM=false", "PYTHONUNBUFFERED=1", "PYTHONIOENCODING=utf-8",
	"CUBLAS_WORKSPACE_CONFIG=:4096:8", "HF_HUB_DISABLE_TELEMETRY=1", "TORCH_CPP_LOG_LEVEL=ERROR"}

// said is one line of the process.
type said struct {
	Event    string            `json:"event"`
	Step     int               `json:"step"`
	Loss     number            `json:"loss"`
	LR       number            `json:"lr"`
	GradNorm number            `json:"grad_norm"`
	Tokens   int               `json:"tokens"`
	Learned  int               `json:"learned_tokens"`
	Seconds  float64           `json:"seconds"`
	Resumed  int               `json:"resumed"`
	Threads  int               `json:"threads"`
	Rows     map[string]number `json:"rows"`
	Type     string            `json:"type"`
	Message  string            `json:"message"`
	Peak     int64             `json:"peak_bytes"`
	Where    string            `json:"where"`
}

// number is a float that may be no number or infinite, which JSON cannot say: then it is a string.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	x, err := strconv.ParseFloat(string(bytes.Trim(b, `"`)), 64)
	*n = number(x)
	return err
}

func (s said) record() train.StepRecord {
	return train.StepRecord{Step: s.Step, Loss: float64(s.Loss), LR: float64(s.LR), GradNorm: float64(s.GradNorm), Tokens: s.Tokens, Learned: s.Learned}
}

// hear takes one line of the process. What is none of its own was printed by a library.
func (r *run) hear(ctx context.Context, line []byte) {
	var s said
	if err := json.Unmarshal(line, &s); err != nil || s.Event == "" {
		_, _ = r.err.Write(append(line, '\n')) // to memory
		return
	}
	switch s.Event {
	case "ready":
		r.resumed, r.threads = s.Resumed, s.Threads
	case "step":
		r.seen = append(r.seen, s.record())
		r.tokens += s.Tokens
		r.seconds += s.Seconds
		r.job.Tell(ctx, s.record(), float64(s.Tokens)/max(s.Seconds, 1e-9))
	case "look":
		r.job.TellLook(ctx, s.Step, float64(s.Loss))
	case "unsound":
		if r.failure == nil {
			r.failure = r.unsound(s)
		}
	case "stopped":
		r.stopped, r.halted = s.Step, true
	case "done":
		r.done, r.peak = true, s.Peak
	case "error":
		if r.failure == nil {
			r.failure = r.raised(s)
		}
	}
}

// unsound is the error of a step whose loss or gradient cannot be right.
func (r *run) unsound(s said) error {
	rows := map[int]float64{}
	for key, loss := range s.Rows {
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(r.job.Plan.Rows) {
			rows[i] = float64(loss)
		}
	}
	if err := r.job.Sound(r.seen, s.record(), rows); err != nil {
		return err
	}
	// The steps before were taken in an earlier session.
	return &problem.Error{Op: "train", At: fmt.Sprintf("step %d", s.Step), Err: fmt.Errorf("the loss jumped to %.3f", float64(s.Loss)), Fix: "lower the learning rate"}
}

// raised is the error for a Python exception: one sentence, and what to do where that is known.
func (r *run) raised(s said) error {
	message, _, _ := strings.Cut(strings.TrimSpace(s.Message), "\n")
	const most = 400
	if len(message) > most {
		message = strings.ToValidUTF8(message[:most], "") + "…"
	}
	fix := ""
	switch {
	case s.Type == "OutOfMemoryError" || strings.Contains(s.Message, "out of memory") || strings.Contains(s.Message, "can't allocate memory"):
		fix = "take fewer rows or tokens in a batch, compute layers again, or store the base in 4 bits"
	case s.Type == "ModuleNotFoundError" || s.Type == "ImportError":
		fix = "the interpreter " + r.python + " lacks a package or has a broken one: remove its environment, so that it is made anew, or name another interpreter"
	case strings.Contains(s.Message, "checkpoint"):
		fix = "use another folder for checkpoints, or empty this one"
	case strings.Contains(s.Message, "cannot use this machine's GPU"):
		fix = "install a driver that fits, or train on the CPU"
	}
	return &problem.Error{Op: "train with torch", Path: r.job.Base().Path, At: s.Where, Err: fmt.Errorf("%s: %s", s.Type, message), Fix: fix}
}

// death says how a process ended that could not say so itself, and what to do.
func (r *run) death(err error) (fix string, what error) {
	fix = "run it again to go on from its last checkpoint"
	said := lastLines(r.err.String(), 3)
	if killed(err) || strings.Contains(r.err.String(), "Signal 9") {
		return "take fewer rows or tokens in a batch, or compute layers again; " + fix, errors.New("the process was killed, as the system does when memory runs out")
	}
	if said == "" {
		return fix, fmt.Errorf("the process ended with %w", err)
	}
	return fix, fmt.Errorf("the process ended with %w: %s", err, said)
}

// maxResult bounds the record that the process leaves.
const maxResult = 1 << 30

// result reads what the process left.
func (r *run) result() (*train.Result, error) {
	fail := func(err error) (*train.Result, error) {
		return nil, &problem.Error{Op: "read what torch trained", Path: r.job.Base().Path, Err: err}
	}
	f, err := os.Open(r.path("result/result.json"))
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	var left struct {
		History  []train.StepRecord `json:"history"`
		Looks    []train.Look       `json:"looks"`
		Stopped  string             `json:"stopped"`
		BestStep int                `json:"best_step"`
	}
	if err := json.NewDecoder(io.LimitReader(f, maxResult)).Decode(&left); err != nil {
		return fail(err)
	}
	a, err := adapter.Read(r.path("result"))
	if err != nil {
		return nil, err
	}
	record := r.job.Record
	a.Base, a.BaseName = record.Base, ""
	if err := a.Check(r.job.Base().Config, record.Base); err != nil {
		return fail(err)
	}
	record.History, record.Looks, record.Stopped, record.BestStep = left.History, left.Looks, left.Stopped, left.BestStep
	record.Adapter = a.Digest()
	timing := train.Timing{Seconds: r.seconds, Workers: max(1, r.threads) * r.engine.Processes, Processor: r.engine.Device, ResumedAfter: r.resumed, PeakBytes: r.peak}
	if r.seconds > 0 {
		timing.TokensPerSecond = float64(r.tokens) / r.seconds
	}
	return &train.Result{Adapter: a, Record: record, Timing: timing}, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - tailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
