package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"banter/internal/progress"
	"banter/internal/specimen"
	"banter/stdlib/lm"
)

const tinyModel = "../lm/transformer/testdata/qwen3" // 48 tokens

// randomPlan makes rows of tokens that follow each other in a pattern, so that there is something to learn.
func randomPlan(seed uint64, rows, vocabulary int) *Plan {
	rng := rand.New(rand.NewPCG(seed, 9))
	p := &Plan{MaxLength: 40}
	for i := range rows {
		r := Row{IDs: []string{fmt.Sprintf("example-%d", i)}}
		for range 1 + rng.IntN(2) {
			token := rng.IntN(vocabulary)
			for j := range 3 + rng.IntN(12) {
				r.Tokens = append(r.Tokens, int32(token))
				r.Positions = append(r.Positions, int32(j))
				label := int32(token)
				if j < 2 {
					label = NotLearned
				}
				r.Labels = append(r.Labels, label)
				token = (token*5 + 3) % vocabulary
			}
		}
		p.Rows = append(p.Rows, r)
	}
	return p
}

func openModel(t testing.TB, path string) *lm.Model {
	t.Helper()
	m, err := lm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

var tinyOptions = Options{Rank: 2, LR: 1e-2, Steps: 25, BatchRows: 3, BatchTokens: 50, GradAccum: 2, WeightDecay: 0.1, Seed: 3, EvalEvery: 7}

func TestTrainingLowersTheLoss(t *testing.T) {
	m := openModel(t, tinyModel)
	plan, holdout := randomPlan(1, 40, 48), randomPlan(2, 10, 48)
	o := tinyOptions
	o.Steps = 100
	r, err := Run(t.Context(), m, plan, o, Machine{Workers: 2}, holdout)
	if err != nil {
		t.Fatal(err)
	}
	looks := r.Record.Looks
	if first, last := looks[0].Loss, looks[len(looks)-1].Loss; !(last < 0.7*first) {
		t.Errorf("the holdout's loss went from %.3f to %.3f", first, last)
	}
	if len(r.Record.History) != 100 || r.Record.Stopped != "done" || r.Record.Adapter != r.Adapter.Digest() {
		t.Errorf("the record does not fit the run: %d steps, %s", len(r.Record.History), r.Record.Stopped)
	}
}

// TestAnInterruptedRunEndsInTheSameBits stops a run after each of several steps, on different numbers of workers, and
// lets it go on.
func TestAnInterruptedRunEndsInTheSameBits(t *testing.T) {
	m := openModel(t, tinyModel)
	plan, holdout := randomPlan(1, 20, 48), randomPlan(2, 5, 48)
	want, err := Run(t.Context(), m, plan, tinyOptions, Machine{Workers: 1}, holdout)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	runs := 20
	if testing.Short() {
		runs = 6
	}
	for i := range runs {
		workers := []int{1, 2, 5}[i%3]
		dir := t.TempDir()
		machine := Machine{Workers: workers, CheckpointDir: dir, CheckpointEvery: 1 + rng.IntN(6), Recompute: i%2 == 1}
		for stops := 0; ; stops++ {
			ctx, cancel := context.WithCancel(t.Context())
			stopAfter := 1 + rng.IntN(20)
			taken := 0
			machine.Observe = func(StepRecord, float64) {
				if taken++; taken == stopAfter && stops < 3 {
					cancel()
				}
			}
			got, err := Run(ctx, m, plan, tinyOptions, machine, holdout)
			cancel()
			if errors.Is(err, context.Canceled) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Adapter.Digest() != want.Adapter.Digest() {
				t.Fatalf("%d workers, stopped %d times: other bits", workers, stops)
			}
			if !reflect.DeepEqual(got.Record, want.Record) {
				t.Fatalf("%d workers, stopped %d times: another record", workers, stops)
			}
			break
		}
		names, err := checkpoints(dir)
		if err != nil || len(names) == 0 || len(names) > 2 {
			t.Fatalf("checkpoints left: %v, %v", names, err)
		}
	}
}

func TestDamagedAndForeignCheckpoints(t *testing.T) {
	m := openModel(t, tinyModel)
	plan := randomPlan(1, 20, 48)
	dir := t.TempDir()
	machine := Machine{Workers: 1, CheckpointDir: dir, CheckpointEvery: 5, Keep: 3}
	want, err := Run(t.Context(), m, plan, tinyOptions, machine, nil)
	if err != nil {
		t.Fatal(err)
	}
	names, err := checkpoints(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{checkpointName(15), checkpointName(20), checkpointName(25)}; !slices.Equal(names, want) {
		t.Fatalf("checkpoints %v, want %v", names, want)
	}
	newest := filepath.Join(dir, names[2])
	data, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(newest, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, names[1]), data[:100], 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Run(t.Context(), m, plan, tinyOptions, machine, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Timing.ResumedAfter != 15 || got.Adapter.Digest() != want.Adapter.Digest() {
		t.Errorf("with two damaged checkpoints it went on after step %d", got.Timing.ResumedAfter)
	}
	other := tinyOptions
	other.LR *= 2
	if _, err := Run(t.Context(), m, plan, other, machine, nil); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("a checkpoint of another run: %v", err)
	}
}

func TestEarlyStopKeepsTheBest(t *testing.T) {
	m := openModel(t, tinyModel)
	plan, holdout := randomPlan(1, 6, 48), randomPlan(77, 6, 48)
	for i := range holdout.Rows { // a holdout that the plan teaches nothing about
		r := &holdout.Rows[i]
		for j := range r.Tokens {
			r.Tokens[j] = int32((i*17 + j*j*7) % 48)
			if r.Labels[j] != NotLearned {
				r.Labels[j] = r.Tokens[j]
			}
		}
	}
	o := Options{Rank: 4, LR: 3e-2, Steps: 200, BatchRows: 6, EvalEvery: 5, EarlyStop: 3}
	r, err := Run(t.Context(), m, plan, o, Machine{Workers: 2}, holdout)
	if err != nil {
		t.Fatal(err)
	}
	if r.Record.Stopped != "early" || len(r.Record.History) >= 200 {
		t.Fatalf("it went on to step %d", len(r.Record.History))
	}
	best := slices.MinFunc(r.Record.Looks, func(a, b Look) int {
		if a.Loss < b.Loss {
			return -1
		}
		return 1
	})
	if r.Record.BestStep != best.Step || r.Record.BestStep != len(r.Record.History)-15 {
		t.Errorf("it kept step %d of %d, the best look was at %d", r.Record.BestStep, len(r.Record.History), best.Step)
	}
}

func TestALossThatJumpsStopsTheRunWithItsRows(t *testing.T) {
	m := openModel(t, tinyModel)
	plan := randomPlan(1, 40, 48)
	// Everything is easy but one row, whose labels go against what all others teach.
	for i := range plan.Rows {
		r := &plan.Rows[i]
		for j := range r.Tokens {
			r.Tokens[j] = 7
			if i == 23 {
				r.Tokens[j] = int32(j * 11 % 48)
			}
			if r.Labels[j] != NotLearned {
				r.Labels[j] = r.Tokens[j]
			}
		}
	}
	o := Options{Rank: 4, LR: 3e-2, Steps: 400, BatchRows: 1, Seed: 2}
	_, err := Run(t.Context(), m, plan, o, Machine{Workers: 1}, nil)
	if err == nil || !strings.Contains(err.Error(), "jumped") || !strings.Contains(err.Error(), "example-23") {
		t.Errorf("got %v", err)
	}
	o.LR, o.ClipNorm = 1e30, -1
	if _, err := Run(t.Context(), m, plan, o, Machine{Workers: 1}, nil); err == nil || !strings.Contains(err.Error(), "NaN") || !strings.Contains(err.Error(), "example-") {
		t.Errorf("a run that blows up: %v", err)
	}
}

func TestWhatCannotBeTrainedIsRefusedBeforeTheFirstStep(t *testing.T) {
	m := openModel(t, tinyModel)
	ctx := progress.With(t.Context(), func(r progress.Report) {
		if r.Done > 0 {
			t.Error("a step was taken")
		}
	})
	spoil := func(f func(p *Plan)) *Plan { p := randomPlan(1, 5, 48); f(p); return p }
	for _, c := range []struct {
		name, want string
		plan       *Plan
		options    Options
	}{
		{"no rows", "no rows", &Plan{}, Options{}},
		{"a row without labels", "row 3 (example-3)", spoil(func(p *Plan) {
			for j := range p.Rows[3].Labels {
				p.Rows[3].Labels[j] = NotLearned
			}
		}), Options{}},
		{"a row over the limit", "row 2 (example-2)", spoil(func(p *Plan) {
			p.MaxLength = 4
			for i := range p.Rows {
				if i != 2 {
					p.Rows[i].Tokens, p.Rows[i].Labels, p.Rows[i].Positions = []int32{1, 2}, []int32{NotLearned, 2}, []int32{0, 1}
				}
			}
		}), Options{}},
		{"an unknown token", "row 1 (example-1)", spoil(func(p *Plan) { p.Rows[1].Tokens[0] = 48 }), Options{}},
		{"labels too few", "row 1 (example-1)", spoil(func(p *Plan) { p.Rows[1].Labels = p.Rows[1].Labels[1:] }), Options{}},
		{"positions that jump", "row 0 (example-0)", spoil(func(p *Plan) { p.Rows[0].Positions[1] = 5 }), Options{}},
		{"more than the model's positions", "positions for 64", spoil(func(p *Plan) {
			p.MaxLength = 100
			r := &p.Rows[4]
			*r = Row{IDs: r.IDs}
			for j := range 65 {
				r.Tokens, r.Labels, r.Positions = append(r.Tokens, 1), append(r.Labels, 1), append(r.Positions, int32(j))
			}
		}), Options{}},
		{"an unknown target", "lm_head", randomPlan(1, 5, 48), Options{Targets: []string{"lm_head"}}},
		{"a negative rate", "LR", randomPlan(1, 5, 48), Options{LR: -1}},
		{"early stopping blind", "holdout", randomPlan(1, 5, 48), Options{EarlyStop: 2, EvalEvery: 1}},
		{"early stopping without looks", "EvalEvery", randomPlan(1, 5, 48), Options{EarlyStop: 2}},
	} {
		if _, err := Run(ctx, m, c.plan, c.options, Machine{Workers: 1}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want something about %q", c.name, err, c.want)
		}
	}
}

func TestANumberThatIsNoneInTheBaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		data, err := os.ReadFile(filepath.Join(tinyModel, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "model.safetensors" {
			data[len(data)-1], data[len(data)-2] = 0x7e, 0 // binary16 NaN
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := openModel(t, dir)
	if _, err := Run(t.Context(), m, randomPlan(1, 5, 48), Options{}, Machine{Workers: 1}, nil); err == nil || !strings.Contains(err.Error(), "NaN") || !strings.Contains(err.Error(), "tensor") {
		t.Errorf("got %v", err)
	}
}

// TestAdamWAgainstItsDefinition follows one number in float64, as PyTorch's documentation of AdamW writes it.
func TestAdamWAgainstItsDefinition(t *testing.T) {
	m := openModel(t, tinyModel)
	r, err := prepare(t.Context(), m, randomPlan(1, 5, 48), Options{Rank: 1, Targets: []string{"q_proj"}}, Machine{Workers: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair := r.optimizer.adapter.Pairs["model.layers.0.self_attn.q_proj"]
	grad := r.optimizer.grad.Pairs["model.layers.0.self_attn.q_proj"]
	p, m1, v1 := float64(pair.A[3]), 0.0, 0.0
	for n := 1; n <= 50; n++ {
		g := math.Sin(float64(n)) * 0.3
		grad.A[3] = float32(g)
		r.optimizer.step(n, 1e-2, 0.1, 0.5)
		g *= 0.5
		p -= 1e-2 * 0.1 * p
		m1 = 0.9*m1 + 0.1*g
		v1 = 0.999*v1 + 0.001*g*g
		p -= 1e-2 * (m1 / (1 - math.Pow(0.9, float64(n)))) / (math.Sqrt(v1/(1-math.Pow(0.999, float64(n)))) + 1e-8)
		if math.Abs(p-float64(pair.A[3])) > 2e-6 {
			t.Fatalf("after step %d: %v, want %v", n, pair.A[3], p)
		}
		if grad.A[3] != 0 {
			t.Fatal("the gradient was not cleared")
		}
	}
}

func TestScheduleUsesEveryRowOnceAnEpoch(t *testing.T) {
	p := randomPlan(4, 23, 48)
	s := newSchedule(p, Options{Epochs: 3, BatchRows: 4, BatchTokens: 60, GradAccum: 3, Seed: 1})
	seen := map[int]int{}
	for n := 1; n <= s.steps(); n++ {
		for _, b := range s.step(n) {
			tokens := 0
			for _, row := range b {
				seen[row]++
				tokens += len(p.Rows[row].Tokens)
			}
			if len(b) > 4 || len(b) > 1 && tokens > 60 {
				t.Fatalf("a batch of %d rows and %d tokens", len(b), tokens)
			}
		}
	}
	for row := range p.Rows {
		if seen[row] != 3 {
			t.Fatalf("row %d was used %d times in 3 epochs", row, seen[row])
		}
	}
	if len(s.step(s.steps()+1)) != 0 {
		t.Fatal("there are batches after the last step")
	}
}

func TestRateRisesThenFalls(t *testing.T) {
	o := Options{LR: 1, Warmup: 10}
	for n, want := range map[int]float64{1: 0.1, 10: 1, 56: 0.5, 100: 0.0007} {
		if got := o.rate(n, 101); math.Abs(got-want) > 0.02 {
			t.Errorf("step %d: rate %.4f, want %.4f", n, got, want)
		}
	}
}

// TestMicroModelLearnsTheCrowd trains on the replies of two shipped streams and looks at those of the third.
func TestMicroModelLearnsTheCrowd(t *testing.T) {
	m := openModel(t, microModel)
	format := specimen.Format(t, m)
	plan, err := NewPlan(t.Context(), append(streamReplies(t, "s1"), streamReplies(t, "s2")...), format, PlanOptions{MaxLength: 256})
	if err != nil {
		t.Fatal(err)
	}
	holdout, err := NewPlan(t.Context(), streamReplies(t, "s3"), format, PlanOptions{MaxLength: 256})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), m, plan, Options{LR: 3e-3, Epochs: 4, BatchRows: 16}, Machine{}, holdout)
	if err != nil {
		t.Fatal(err)
	}
	looks := r.Record.Looks
	before, after := looks[0].Loss, looks[len(looks)-1].Loss
	if ratio := math.Exp(after - before); ratio > 0.2 {
		t.Errorf("held-out perplexity went from %.1f to %.1f", math.Exp(before), math.Exp(after))
	}
	if _, err := json.Marshal(r.Record); err != nil {
		t.Error(err)
	}
}
