package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"banter/stdlib/align"
	"banter/stdlib/align/synth"
)

// regime is one kind of stream.
type regime struct {
	name   string
	config synth.Config
}

// regimes vary one thing at a time from a usual stream: 60 messages a minute, half of them answers, one jump of the lag.
func regimes(minutes float64) []regime {
	usual := synth.Config{Minutes: minutes, Lag: []align.TruthLag{{From: 0, Lag: 7}, {From: 0.5, Lag: 11}},
		Delay: synth.Delay{Law: "lognormal", Median: 2.6, Spread: 0.5}, Rate: 60, Answers: 0.5, Spam: 0.1, Talk: 0.08, ASR: 0.05}
	var out []regime
	add := func(name string, change func(*synth.Config)) {
		c := usual
		change(&c)
		out = append(out, regime{name, c})
	}
	add("usual", func(*synth.Config) {})
	add("constant lag", func(c *synth.Config) { c.Lag = []align.TruthLag{{Lag: 12}} })
	add("chat early", func(c *synth.Config) { c.Lag = []align.TruthLag{{Lag: -8}} })
	add("three jumps", func(c *synth.Config) {
		c.Lag = []align.TruthLag{{From: 0, Lag: 9.5}, {From: 0.3, Lag: 4}, {From: 0.55, Lag: 16}, {From: 0.8, Lag: 7}}
	})
	add("slow people", func(c *synth.Config) { c.Delay = synth.Delay{Law: "lognormal", Median: 4, Spread: 0.6} })
	add("gamma delays", func(c *synth.Config) { c.Delay = synth.Delay{Law: "gamma", Median: 3, Spread: 0.5} })
	add("mixed delays", func(c *synth.Config) { c.Delay = synth.Delay{Law: "mixture", Median: 2.6, Spread: 0.4} })
	add("5 msgs/min", func(c *synth.Config) { c.Rate = 5 })
	add("5 msgs/min, 4 x as long", func(c *synth.Config) { c.Rate, c.Minutes = 5, 4*c.Minutes })
	for _, rate := range []float64{20, 200, 500} {
		add(fmt.Sprintf("%.0f msgs/min", rate), func(c *synth.Config) { c.Rate = rate })
	}
	add("no spam", func(c *synth.Config) { c.Spam = 0 })
	add("30 % spam", func(c *synth.Config) { c.Spam, c.Answers = 0.3, 0.4 })
	add("perfect ASR", func(c *synth.Config) { c.ASR = 0 })
	add("15 % ASR errors", func(c *synth.Config) { c.ASR = 0.15 })
	add("30 % ASR errors", func(c *synth.Config) { c.ASR = 0.3 })
	add("30 % chat-to-chat", func(c *synth.Config) { c.Talk, c.Answers = 0.3, 0.4 })
	add("few answers", func(c *synth.Config) { c.Answers = 0.25 })
	return out
}

// column is one number of the table.
type column struct {
	name string
	of   func(r *outcome) float64
}

// outcome is one stream measured.
type outcome struct {
	ours      align.Score
	lagP95    time.Duration
	lagWithin float64 // share of the time with an error below half a second
	baselines map[string]align.Score
}

var columns = []column{
	{"precision", func(o *outcome) float64 { return o.ours.Precision }},
	{"recall", func(o *outcome) float64 { return o.ours.Recall }},
	{"F1", func(o *outcome) float64 { return o.ours.F1 }},
	{"AUC", func(o *outcome) float64 { return o.ours.AUC }},
	{"ECE", func(o *outcome) float64 { return o.ours.ECE }},
	{"true precision at FDR 0.05", func(o *outcome) float64 { return o.ours.TruePrecision["0.05"] }},
	{"at 0.2", func(o *outcome) float64 { return o.ours.TruePrecision["0.2"] }},
	{"lag within 0.5 s", func(o *outcome) float64 { return o.lagWithin }},
}

// table prints, and draws where plots names a folder, the scores of each regime: the mean over its streams and a 95 % bootstrap interval over the seeds.
func table(ctx context.Context, only string, first uint64, seeds int, minutes float64, plots string, out io.Writer) error {
	results := map[string][]outcome{}
	fmt.Fprintf(out, "Streams of %.0f min, seeds %d to %d; mean [95 %% bootstrap interval]; precision, recall and F1 at FDR %.2g\n\n", minutes, first, first+uint64(seeds)-1, keepRate)
	names := []string{"regime"}
	for _, c := range columns {
		names = append(names, c.name)
	}
	fmt.Fprintf(out, "| %s |\n|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	var versus strings.Builder
	for _, g := range regimes(minutes) {
		if !strings.Contains(g.name, only) {
			continue
		}
		outcomes := make([]outcome, seeds)
		for i := range outcomes {
			c := g.config
			c.Seed = first + uint64(i)
			o, err := measure(ctx, c)
			if err != nil {
				return fmt.Errorf("%s, seed %d: %w", g.name, c.Seed, err)
			}
			outcomes[i] = *o
		}
		results[g.name] = outcomes
		fmt.Fprintf(out, "| %s |", g.name)
		for _, c := range columns {
			mean, lo, hi := bootstrap(outcomes, c.of)
			fmt.Fprintf(out, " %.3f [%.3f, %.3f] |", mean, lo, hi)
		}
		fmt.Fprintln(out)
		mean, _, _ := bootstrap(outcomes, func(o *outcome) float64 { return o.ours.F1 })
		fmt.Fprintf(&versus, "| %s | %.3f |", g.name, mean)
		for _, b := range align.BaselineNames() {
			mean, _, _ := bootstrap(outcomes, func(o *outcome) float64 { return o.baselines[b].F1 })
			fmt.Fprintf(&versus, " %.3f |", mean)
		}
		versus.WriteByte('\n')
	}
	fmt.Fprintf(out, "\nF1\n\n| regime | Banter | %s |\n|%s\n%s", strings.Join(align.BaselineNames(), " | "), strings.Repeat("---|", 2+len(align.BaselineNames())), versus.String())
	if plots != "" {
		return plot(plots, results)
	}
	return nil
}

func measure(ctx context.Context, c synth.Config) (*outcome, error) {
	s := synth.Make(c)
	r, err := align.Align(ctx, []align.Input{s.Input}, align.Options{})
	if err != nil {
		return nil, err
	}
	st := &r.Streams[0]
	errors := align.LagErrors(st.Lag, s.Truth.Lag, s.Length)
	o := &outcome{ours: align.ScorePairs(st.Pairs, &s.Truth, keepRate), lagP95: align.Quantile(errors, 0.95), baselines: map[string]align.Score{}}
	for _, e := range errors {
		if e < 500*time.Millisecond {
			o.lagWithin += 1 / float64(len(errors))
		}
	}
	for _, b := range align.BaselineNames() {
		pairs, err := align.Baseline(b, s.Input, st.Lag)
		if err != nil {
			return nil, err
		}
		o.baselines[b] = align.ScorePairs(pairs, &s.Truth, keepRate)
	}
	return o, nil
}

// bootstrap gives the mean over streams and its 95 % percentile interval (Efron 1979), with a fixed seed.
func bootstrap(outcomes []outcome, of func(*outcome) float64) (mean, lo, hi float64) {
	const draws = 2000
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float64, len(outcomes))
	for i := range outcomes {
		x[i] = of(&outcomes[i])
		mean += x[i] / float64(len(x))
	}
	means := make([]float64, draws)
	for d := range means {
		for range x {
			means[d] += x[r.IntN(len(x))] / float64(len(x))
		}
	}
	slices.Sort(means)
	return mean, means[draws/40], means[draws-draws/40-1]
}

// measureSpeed aligns a long stream and says what it cost.
func measureSpeed(ctx context.Context, messages, workers int, out io.Writer) error {
	const rate = 1_000_000.0 / 893 // messages a minute: a million beside 90,000 words at the pace of the made speech
	minutes := float64(messages) / rate
	s := synth.Make(synth.Config{Seed: 1, Minutes: minutes, Lag: []align.TruthLag{{From: 0, Lag: 7}, {From: 0.5, Lag: 11}},
		Delay: synth.Delay{Law: "lognormal", Median: 2.6, Spread: 0.5}, Rate: rate, Answers: 0.5, Spam: 0.1, Talk: 0.08, ASR: 0.05})
	runtime.GC()
	begin := time.Now()
	r, err := align.Align(ctx, []align.Input{s.Input}, align.Options{Workers: workers})
	if err != nil {
		return err
	}
	took := time.Since(begin)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	score := align.ScorePairs(r.Streams[0].Pairs, &s.Truth, keepRate)
	fmt.Fprintf(out, "%d messages against %d words (%.1f h): %.1f s, %.2f GB taken from the system; precision %.3f, recall %.3f\n",
		len(s.Input.Messages), len(s.Input.Transcript.Words), minutes/60, took.Seconds(), float64(m.Sys)/1e9, score.Precision, score.Recall)
	return nil
}
