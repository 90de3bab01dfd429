// Bench-train measures Banter's training engine against torch, transformers and peft: the same model, the same tokens and
// labels, LoRA on all seven projections in float32 on this machine's processor. Each measurement runs in a process of its
// own, the two engines in turn. The last line of the output is JSON.
package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"banter/internal/progress"
	"banter/stdlib/lm"
	"banter/stdlib/train"
	"banter/stdlib/train/torch"
)

//go:embed torch_lora.py
var torchScript []byte

// measurement is what a child process prints as its last line.
type measurement struct {
	TokensPerSecond float64 `json:"tokens_per_s"`
	PeakRSS         int64   `json:"peak_rss_bytes"`
	CPUSeconds      float64 `json:"cpu_s_per_step"` // of all threads: what the work costs however busy the machine is; 0: not measured
	FirstLoss       float64 `json:"first_loss"`     // of the untouched base: both engines must agree on it
	Estimate        int64   `json:"estimate_bytes"` // what go expected to hold
	Versions        string  `json:"versions"`
}

type comparison struct {
	Go          side    `json:"go"`
	Torch       side    `json:"torch"`
	SpeedRatio  float64 `json:"speed_ratio"`  // go's tokens per second over torch's
	MemoryRatio float64 `json:"memory_ratio"` // go's peak over torch's

	Quantized      side    `json:"go_q8_0"`          // go on the base stored as Q8_0
	QuantizedRatio float64 `json:"q8_0_speed_ratio"` // its tokens per second over those on float32
}

type side struct {
	TokensPerSecond float64 `json:"tokens_per_s"`
	PeakRSS         int64   `json:"peak_rss_bytes"`
}

type settings struct {
	python    string
	shapes    string
	rounds    int
	steps     int
	tokens    int
	rows      int
	rank      int
	recompute bool
	storage   string
	quantized bool
	goOnly    bool
	childOf   string
	model     string
}

func main() {
	var s settings
	flag.StringVar(&s.python, "python", os.Getenv("BANTER_BENCH_PYTHON"), "interpreter with torch, transformers and peft; empty: make an environment in .venv/bench-train")
	flag.StringVar(&s.shapes, "shapes", "SmolLM2-135M,Qwen2.5-0.5B", "model shapes to measure")
	flag.IntVar(&s.rounds, "rounds", 2, "times that each engine is measured; its best round counts")
	flag.IntVar(&s.steps, "steps", 4, "steps in a round; the first is not timed")
	flag.IntVar(&s.tokens, "tokens", 512, "tokens in a row")
	flag.IntVar(&s.rows, "rows", 1, "rows in a batch")
	flag.IntVar(&s.rank, "rank", 8, "rank of the adapter")
	flag.BoolVar(&s.recompute, "recompute", false, "let the go engine compute layers again instead of keeping them")
	flag.StringVar(&s.storage, "storage", "F32", "how the go engine's base is stored: F32, BF16, F16 or Q8_0; torch always has float32")
	flag.BoolVar(&s.quantized, "quantized", true, "measure the go engine on the base stored as Q8_0 too")
	flag.BoolVar(&s.goOnly, "go-only", false, "measure the go engine alone")
	flag.StringVar(&s.childOf, "child", "", "for the program's own use")
	flag.StringVar(&s.model, "model", "", "for the program's own use")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := s.compare
	if s.childOf != "" {
		run = s.child
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench-train:", err)
		os.Exit(1)
	}
}

func (s *settings) compare(ctx context.Context) error {
	if s.steps < 2 || s.rounds < 1 || s.tokens < 8 || s.rows < 1 {
		return errors.New("it takes 2 steps, 1 round, 8 tokens and 1 row at least")
	}
	if !s.goOnly && s.python == "" {
		python, err := environment(ctx)
		if err != nil {
			return err
		}
		s.python = python
	}
	dir, err := os.MkdirTemp("", "bench-train-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "torch_lora.py")
	if err := os.WriteFile(script, torchScript, 0o644); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf("%d processors; %d rows of %d tokens, three quarters of them learned; LoRA rank %d on 7 projections; %d steps, the first not timed; base stored as %s for go\n",
		runtime.NumCPU(), s.rows, s.tokens, s.rank, s.steps, s.storage)
	results := map[string]*comparison{}
	for _, name := range strings.Split(s.shapes, ",") {
		shape, ok := shapes[name]
		if !ok {
			return fmt.Errorf("no shape %q", name)
		}
		folder := filepath.Join(dir, name)
		if err := writeModel(folder, shape); err != nil {
			return err
		}
		goModel := folder
		if s.storage != "F32" {
			goModel = filepath.Join(dir, name+"."+s.storage)
			if err := convert(goModel, folder, shape, s.storage); err != nil {
				return err
			}
		}
		quantized := filepath.Join(dir, name+".quantized")
		if s.quantized {
			if err := convert(quantized, folder, shape, "Q8_0"); err != nil {
				return err
			}
		}
		if err := s.writeRows(folder, shape); err != nil {
			return err
		}
		var goBest, torchBest, quantizedBest measurement
		for range s.rounds {
			m, err := measure(ctx, self, append(s.childArguments(), "-child", folder, "-model", goModel)...)
			if err != nil {
				return fmt.Errorf("engine go at %s: %w", name, err)
			}
			m.report(name, "go")
			goBest = best(goBest, m)
			if s.quantized {
				if m, err = measure(ctx, self, append(s.childArguments(), "-child", folder, "-model", quantized)...); err != nil {
					return fmt.Errorf("engine go at %s, stored as Q8_0: %w", name, err)
				}
				m.report(name, "go Q8_0")
				quantizedBest = best(quantizedBest, m)
			}
			if s.goOnly {
				continue
			}
			if m, err = measure(ctx, s.python, script, folder, fmt.Sprint(s.steps), fmt.Sprint(s.rank)); err != nil {
				return fmt.Errorf("torch at %s: %w", name, err)
			}
			m.report(name, "torch")
			torchBest = best(torchBest, m)
		}
		if !s.goOnly && s.storage == "F32" && math.Abs(goBest.FirstLoss-torchBest.FirstLoss) > 1e-3 {
			return fmt.Errorf("the engines do not compute the same: the base's loss is %.5f for go and %.5f for torch", goBest.FirstLoss, torchBest.FirstLoss)
		}
		c := &comparison{Go: side{goBest.TokensPerSecond, goBest.PeakRSS}}
		if !s.goOnly {
			c.Torch = side{torchBest.TokensPerSecond, torchBest.PeakRSS}
			c.SpeedRatio = goBest.TokensPerSecond / torchBest.TokensPerSecond
			c.MemoryRatio = float64(goBest.PeakRSS) / float64(torchBest.PeakRSS)
		}
		if s.quantized {
			c.Quantized = side{quantizedBest.TokensPerSecond, quantizedBest.PeakRSS}
			c.QuantizedRatio = quantizedBest.TokensPerSecond / goBest.TokensPerSecond
		}
		results[name] = c
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
		if err := errors.Join(os.RemoveAll(goModel), os.RemoveAll(quantized)); err != nil {
			return err
		}
	}
	line, err := json.Marshal(results)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return nil
}

func (s *settings) childArguments() []string {
	return []string{"-steps", fmt.Sprint(s.steps), "-rank", fmt.Sprint(s.rank), "-rows", fmt.Sprint(s.rows), "-tokens", fmt.Sprint(s.tokens), fmt.Sprintf("-recompute=%v", s.recompute)}
}

func (m measurement) report(shape, engine string) {
	estimate := ""
	if m.Estimate > 0 {
		estimate = fmt.Sprintf(" (%.1f estimated)", float64(m.Estimate)/(1<<20))
	}
	cost := ""
	if m.CPUSeconds > 0 {
		cost = fmt.Sprintf("  %.2f s of processor a step", m.CPUSeconds)
	}
	fmt.Printf("%-14s %-7s %8.1f tokens/s%s  peak %7.1f MiB%s  first loss %.5f  (%s)\n", shape, engine, m.TokensPerSecond, cost, float64(m.PeakRSS)/(1<<20), estimate, m.FirstLoss, m.Versions)
}

// best keeps the faster of two measurements, with the greater peak of both.
func best(a, b measurement) measurement {
	peak := max(a.PeakRSS, b.PeakRSS)
	if b.TokensPerSecond > a.TokensPerSecond {
		a = b
	}
	if a.CPUSeconds > 0 && b.CPUSeconds > 0 {
		a.CPUSeconds = min(a.CPUSeconds, b.CPUSeconds)
	}
	a.PeakRSS = peak
	return a
}

// measure runs a child and reads the last line that it prints.
func measure(ctx context.Context, program string, arguments ...string) (measurement, error) {
	command := exec.CommandContext(ctx, program, arguments...)
	command.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TOKENIZERS_PARALLELISM=false", "PYTHONWARNINGS=ignore")
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
		return measurement{}, fmt.Errorf("%w: %s", err, strings.Join(lines[max(0, len(lines)-5):], "; "))
	}
	var last string
	for scan := bufio.NewScanner(&out); scan.Scan(); {
		last = scan.Text()
	}
	var m measurement
	if err := json.Unmarshal([]byte(last), &m); err != nil {
		return m, fmt.Errorf("its last line is %q: %w", last, err)
	}
	if !(m.TokensPerSecond > 0) || m.PeakRSS <= 0 {
		return m, fmt.Errorf("it measured nothing: %q", last)
	}
	return m, nil
}

// environment makes a Python environment with the torch engine's locked versions, once.
func environment(ctx context.Context) (string, error) {
	dir, err := filepath.Abs(filepath.Join(".venv", "bench-train"))
	if err != nil {
		return "", err
	}
	said := ""
	return torch.Environment(progress.With(ctx, func(r progress.Report) {
		if r.Note != said {
			said = r.Note
			fmt.Println(said)
		}
	}), dir)
}

// child measures the go engine in this process.
func (s *settings) child(ctx context.Context) error {
	base, err := lm.Open(s.model)
	if err != nil {
		return err
	}
	defer base.Close()
	plan, err := train.ReadPlan(filepath.Join(s.childOf, "plan.parquet"))
	if err != nil {
		return err
	}
	var seconds []float64
	var first, firstCPU, lastCPU float64
	began := time.Now()
	machine := train.Machine{Recompute: s.recompute, Observe: func(r train.StepRecord, _ float64) {
		lastCPU = processorSeconds()
		if r.Step == 1 {
			first, firstCPU = r.Loss, lastCPU
		} else {
			seconds = append(seconds, time.Since(began).Seconds())
		}
		began = time.Now()
	}}
	options := train.Options{Rank: s.rank, Alpha: 2 * float64(s.rank), LR: 1e-4, Steps: s.steps, BatchRows: s.rows, Spike: -1}
	r, err := train.Run(ctx, base, plan, options, machine, nil)
	if err != nil {
		return err
	}
	peak, err := peakRSS()
	if err != nil {
		return err
	}
	slices.Sort(seconds)
	m := measurement{TokensPerSecond: float64(s.rows*s.tokens) / seconds[len(seconds)/2], PeakRSS: peak, FirstLoss: first, CPUSeconds: (lastCPU - firstCPU) / float64(len(seconds)),
		Estimate: train.Estimate(base, options, train.Size{Tokens: s.rows * s.tokens, Longest: s.tokens, Learned: s.rows * s.tokens * 3 / 4, Held: s.rows * s.tokens}, machine),
		Versions: fmt.Sprintf("%s, %d workers, %s", runtime.Version(), r.Timing.Workers, r.Timing.Processor)}
	return json.NewEncoder(os.Stdout).Encode(m)
}
