package torch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"banter/internal/progress"
	"banter/stdlib/lm"
	"banter/stdlib/train"
)

const (
	microModel = "../../../testdata/models/lm-micro"
	tinyModel  = "../../lm/transformer/testdata/qwen3" // 48 tokens
)

// options name the interpreter that tests train with. Without one they are skipped.
func options(t *testing.T) Options {
	t.Helper()
	python := os.Getenv(PythonVariable)
	if python == "" {
		t.Skipf("%s names no interpreter with %s", PythonVariable, strings.Join(wanted, ", "))
	}
	if testing.Short() {
		t.Skip("a process that loads torch takes seconds")
	}
	return Options{Python: python, Device: "cpu"}
}

func engine(t *testing.T, o Options) *Engine {
	t.Helper()
	e, err := Resolve(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// randomPlan makes rows of one or two examples whose tokens follow each other in a pattern.
func randomPlan(seed uint64, rows, vocabulary int) *train.Plan {
	rng := rand.New(rand.NewPCG(seed, 9))
	p := &train.Plan{MaxLength: 60}
	for i := range rows {
		r := train.Row{IDs: []string{fmt.Sprintf("example-%d", i)}}
		for range 1 + rng.IntN(2) {
			token := rng.IntN(vocabulary)
			for j := range 3 + rng.IntN(20) {
				label := int32(token)
				if j == 1 { // the label of an example's first token never counts
					label = train.NotLearned
				}
				r.Tokens, r.Labels, r.Positions = append(r.Tokens, int32(token)), append(r.Labels, label), append(r.Positions, int32(j))
				token = (token*5 + 3) % vocabulary
			}
		}
		p.Rows = append(p.Rows, r)
	}
	return p
}

func open(t *testing.T, path string) *lm.Model {
	t.Helper()
	m, err := lm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func newJob(t *testing.T, m *lm.Model, plan *train.Plan, o train.Options, holdout *train.Plan) *train.Job {
	t.Helper()
	j, err := NewJob(t.Context(), m, plan, o, holdout)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

var small = train.Options{Rank: 4, LR: 1e-2, Steps: 14, BatchRows: 5, BatchTokens: 120, GradAccum: 2, WeightDecay: 0.1, ClipNorm: 0.5, Seed: 3, EvalEvery: 5}

// TestBothEnginesTrainAlike holds the losses, gradients and adapters of the two engines against each other, step by step,
// in one process and in two.
func TestBothEnginesTrainAlike(t *testing.T) {
	o := options(t)
	m := open(t, microModel)
	plan, holdout := randomPlan(1, 40, 1280), randomPlan(2, 9, 1280)
	for _, c := range []struct {
		name       string
		processes  int
		stabilized bool
		recompute  bool
	}{{"one process", 1, true, true}, {"two processes", 2, false, false}} {
		t.Run(c.name, func(t *testing.T) {
			how := small
			how.RankStabilized = c.stabilized
			want, err := train.Run(t.Context(), m, plan, how, train.Machine{}, holdout)
			if err != nil {
				t.Fatal(err)
			}
			o.Processes = c.processes
			var steps []progress.Report
			ctx := progress.With(t.Context(), func(r progress.Report) {
				if _, taken := r.Values["loss"]; taken {
					steps = append(steps, r)
				}
			})
			got, err := engine(t, o).Run(ctx, newJob(t, m, plan, how, holdout), m.Path, train.Machine{Recompute: c.recompute})
			if err != nil {
				t.Fatal(err)
			}
			near := func(what string, a, b float64) {
				if !(math.Abs(a-b) <= 2e-4*math.Max(1, math.Abs(b))) {
					t.Errorf("%s is %.6f, the go engine has %.6f", what, a, b)
				}
			}
			worst := 0.0
			for i, w := range want.Record.History {
				g := got.Record.History[i]
				near(fmt.Sprintf("step %d: loss", w.Step), g.Loss, w.Loss)
				near(fmt.Sprintf("step %d: gradient", w.Step), g.GradNorm, w.GradNorm)
				worst = math.Max(worst, math.Abs(g.Loss-w.Loss))
				if g.Step != w.Step || g.Tokens != w.Tokens || g.Learned != w.Learned || g.LR != w.LR {
					t.Errorf("step %+v, the go engine has %+v", g, w)
				}
			}
			for i, w := range want.Record.Looks {
				if g := got.Record.Looks[i]; g.Step != w.Step {
					t.Errorf("a look after step %d, not %d", g.Step, w.Step)
				} else {
					near(fmt.Sprintf("held-out loss after step %d", w.Step), g.Loss, w.Loss)
				}
			}
			t.Logf("over %d steps the losses differ by %.1e at most", len(want.Record.History), worst)
			if first, last := want.Record.Looks[0].Loss, want.Record.Looks[len(want.Record.Looks)-1].Loss; !(last < first) {
				t.Errorf("nothing was learned: %.3f, then %.3f", first, last)
			}
			if len(steps) != small.Steps || steps[3].Values["loss"] != got.Record.History[3].Loss || steps[3].Total != int64(small.Steps) {
				t.Errorf("%d reports of progress", len(steps))
			}
			r := got.Record
			if r.Runtime == nil || r.Runtime.Processes != c.processes || r.Runtime.Versions["torch"] == "" || r.Runtime.Varies == "" || r.Engine != Name || r.Adapter != got.Adapter.Digest() {
				t.Errorf("the record does not say how it was made: %+v", r.Runtime)
			}
			for name, w := range want.Adapter.Pairs {
				for i, v := range got.Adapter.Pairs[name].B {
					if math.Abs(float64(v-w.B[i])) > 0.02 {
						t.Fatalf("%s: B[%d] is %v, the go engine has %v", name, i, v, w.B[i])
					}
				}
			}
		})
	}
}

// TestAStoppedRunGoesOn stops a run behind a step, lets it go on in two processes' stead, and compares it with one that
// was not stopped.
func TestAStoppedRunGoesOn(t *testing.T) {
	o := options(t)
	m := open(t, microModel)
	plan, holdout := randomPlan(1, 40, 1280), randomPlan(2, 9, 1280)
	how := small
	how.Steps = 60
	want, err := engine(t, o).Run(t.Context(), newJob(t, m, plan, how, holdout), m.Path, train.Machine{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, processes := range []int{1, 2} {
		o.Processes = processes
		dir := t.TempDir()
		stopAt, stops := int64(4), 0
		for {
			ctx, cancel := context.WithCancel(t.Context())
			ctx = progress.With(ctx, func(r progress.Report) {
				if _, taken := r.Values["loss"]; taken && r.Done == stopAt {
					cancel()
				}
			})
			got, err := engine(t, o).Run(ctx, newJob(t, m, plan, how, holdout), m.Path, train.Machine{Workers: 1, CheckpointDir: dir, CheckpointEvery: 1000})
			cancel()
			if errors.Is(err, context.Canceled) && stops == 0 {
				stops++
				files, err := os.ReadDir(dir)
				if err != nil || len(files) != 1 {
					t.Fatalf("%d checkpoints: %v", len(files), err)
				}
				stopAt = -1
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Timing.ResumedAfter < 4 || len(got.Record.History) != how.Steps {
				t.Errorf("%d processes: it went on after step %d and has %d steps", processes, got.Timing.ResumedAfter, len(got.Record.History))
			}
			for i, w := range want.Record.History {
				if g := got.Record.History[i].Loss; math.Abs(g-w.Loss) > 1e-3 || processes == 1 && g != w.Loss {
					t.Errorf("%d processes, step %d: loss %v, without a stop %v", processes, i+1, g, w.Loss)
				}
			}
			if processes == 1 && !reflect.DeepEqual(got.Adapter, want.Adapter) {
				t.Error("the adapter is not that of a run without a stop")
			}
			break
		}
		other := how
		other.LR *= 2
		_, err := engine(t, o).Run(t.Context(), newJob(t, m, plan, other, holdout), m.Path, train.Machine{CheckpointDir: dir})
		if err == nil || !strings.Contains(err.Error(), "another run") || !strings.Contains(err.Error(), "another folder") {
			t.Errorf("a checkpoint of another run: %v", err)
		}
	}
}

func TestWhatGoesWrongIsOneSentence(t *testing.T) {
	o := options(t)
	m := open(t, tinyModel)
	plan := randomPlan(1, 24, 48)

	how := train.Options{Rank: 2, LR: 1e-3, Steps: 40, BatchRows: 24}
	bad := &plan.Rows[23]
	*bad = train.Row{IDs: []string{"example-23"}, Tokens: []int32{7, 1, 2, 3}, Labels: []int32{-100, 1, 2, 3}, Positions: []int32{0, 1, 2, 3}}
	how.LR, how.ClipNorm = 1e30, -1
	_, err := engine(t, o).Run(t.Context(), newJob(t, m, plan, how, nil), m.Path, train.Machine{})
	if err == nil || !strings.Contains(err.Error(), "at step") || !strings.Contains(err.Error(), "example-") || !strings.Contains(err.Error(), "learning rate") {
		t.Errorf("a run that blows up: %v", err)
	}

	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		data, err := os.ReadFile(filepath.Join(tinyModel, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "config.json" {
			data = []byte(strings.Replace(string(data), `"qwen3"`, `"qwen3-of-tomorrow"`, 1))
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	j := newJob(t, m, plan, train.Options{Rank: 2, Steps: 2}, nil)
	j.Base().Path = dir // what was checked is not what torch finds
	_, err = engine(t, o).Run(t.Context(), j, m.Path, train.Machine{})
	if err == nil || !strings.Contains(err.Error(), "train with torch") || !strings.Contains(err.Error(), "qwen3-of-tomorrow") || strings.Contains(err.Error(), "Traceback") || strings.Contains(err.Error(), "\n") {
		t.Errorf("a model that torch does not know: %v", err)
	}
}

func TestAnEarlyStopKeepsTheBest(t *testing.T) {
	o := options(t)
	m := open(t, tinyModel)
	plan, holdout := randomPlan(1, 6, 48), randomPlan(77, 6, 48)
	for i := range holdout.Rows { // a holdout that the plan teaches nothing about
		r := &holdout.Rows[i]
		for j := range r.Tokens {
			r.Tokens[j] = int32((i*17 + j*j*7) % 48)
			if r.Labels[j] != train.NotLearned {
				r.Labels[j] = r.Tokens[j]
			}
		}
	}
	how := train.Options{Rank: 4, LR: 3e-2, Steps: 200, BatchRows: 6, EvalEvery: 5, EarlyStop: 3}
	want, err := train.Run(t.Context(), m, plan, how, train.Machine{}, holdout)
	if err != nil {
		t.Fatal(err)
	}
	got, err := engine(t, o).Run(t.Context(), newJob(t, m, plan, how, holdout), m.Path, train.Machine{CheckpointDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w, g := want.Record, got.Record
	if g.Stopped != "early" || g.BestStep != w.BestStep || len(g.History) != len(w.History) {
		t.Errorf("it stopped (%s) after step %d and kept step %d; the go engine %d and %d", g.Stopped, len(g.History), g.BestStep, len(w.History), w.BestStep)
	}
}

func TestABaseThatTorchCannotRead(t *testing.T) {
	m := open(t, microModel+"/lm-micro-f16.gguf")
	e := &Engine{kind: "cpu"}
	if _, err := e.Run(t.Context(), newJob(t, m, randomPlan(1, 4, 1280), small, nil), m.Path, train.Machine{}); err == nil || !strings.Contains(err.Error(), "Hugging Face folder") {
		t.Errorf("got %v", err)
	}
}

func TestPlaces(t *testing.T) {
	cards := parseGPUs("NVIDIA H200, 9.0, 143771\nNVIDIA H200, 9.0, 143771\n\nnonsense\nNVIDIA L4, 8.9, 23034\n")
	if len(cards) != 3 || cards[2] != (gpu{"NVIDIA L4, compute 8.9", 23034 << 20}) {
		t.Fatalf("%+v", cards)
	}
	for _, c := range []struct {
		cards     []gpu
		o         Options
		class     string
		processes int
		want      string // in the error
	}{
		{nil, Options{}, "cpu", 1, ""},
		{nil, Options{Processes: 2}, "cpu", 2, ""},
		{cards, Options{}, "NVIDIA H200, compute 9.0 and NVIDIA L4, compute 8.9", 3, ""},
		{cards, Options{Processes: 2}, "NVIDIA H200, compute 9.0", 2, ""},
		{cards, Options{Device: "cpu"}, "cpu", 1, ""},
		{nil, Options{Device: "cuda"}, "", 0, "nvidia-smi"},
		{cards, Options{Processes: 4}, "", 0, "4 processes on 3 cards"},
		{cards, Options{Device: "tpu"}, "", 0, "tpu"},
		{cards, Options{Processes: -1}, "", 0, "-1 processes"},
	} {
		_, class, processes, _, err := place(c.cards, c.o)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, want something about %q", c.o, err, c.want)
			}
			continue
		}
		if err != nil || !strings.HasPrefix(class, c.class) || processes != c.processes {
			t.Errorf("%+v: %s, %d, %v", c.o, class, processes, err)
		}
	}
	for list, want := range map[string]int{"": 0, "-1": 0, "0": 1, "2,0": 2, "0,-1,1": 1} {
		left, err := visible(cards, func(string) (string, bool) { return list, true })
		if err != nil || len(left) != want {
			t.Errorf("CUDA_VISIBLE_DEVICES=%s leaves %d cards: %v", list, len(left), err)
		}
	}
	if _, err := visible(cards, func(string) (string, bool) { return "GPU-7f", true }); err == nil {
		t.Error("a card by its unique name was taken for a number")
	}
}

func TestTheLockPinsEverything(t *testing.T) {
	v := locked()
	for _, p := range append(wanted, only4Bit) {
		if v[p] == "" {
			t.Errorf("%s is not in the lock", p)
		}
	}
	for line := range strings.Lines(lock) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "==") {
			t.Errorf("%q has no exact version", line)
		}
	}
	t.Setenv(PythonVariable, "")
	e, err := Resolve(t.Context(), Options{Device: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Versions["torch"] != v["torch"] || e.Precision != "f32" || e.Processes != 1 || e.Versions[only4Bit] != "" {
		t.Errorf("%+v", e)
	}
	if _, err := Resolve(t.Context(), Options{Device: "cpu", Precision: "fp8"}); err == nil || !strings.Contains(err.Error(), "fp8") {
		t.Errorf("got %v", err)
	}
	if _, err := Resolve(t.Context(), Options{Python: filepath.Join(t.TempDir(), "python"), Device: "cpu"}); err == nil {
		t.Error("a Python that is not there was taken")
	}
}
