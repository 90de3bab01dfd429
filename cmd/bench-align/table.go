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

// column is one number of the table: of streams, each weighing as much as the others or taken together.
type column struct {
	name string
	of   func(streams []*outcome) float64
}

// mean is the mean over streams.
func mean(of func(*outcome) float64) func([]*outcome) float64 {
	return func(streams []*outcome) float64 {
		sum := 0.0
		for _, o := range streams {
			sum += of(o)
		}
		return sum / float64(len(streams))
	}
}

// pooledECE is the calibration error of the pairs of all streams together. Ten bins of few pairs each differ from their
// confidence by chance alone, so that the mean over short streams is mostly noise (Kumar, Liang and Ma 2019).
func pooledECE(streams []*outcome) float64 {
	var conf []float64
	var right []bool
	for _, o := range streams {
		conf, right = append(conf, o.conf...), append(right, o.right...)
	}
	return align.ECE(conf, right, 10)
}

// outcome is one stream measured.
type outcome struct {
	ours      align.Score
	lagP95    time.Duration
	lagWithin float64 // share of the time with an error below half a second
	lagNear   float64 // the same below a second
	baselines map[string]align.Score
	conf      []float64 // confidence of each pair, and whether it is right
	right     []bool
}

var columns = []column{
	{"precision", mean(func(o *outcome) float64 { return o.ours.Precision })},
	{"recall", mean(func(o *outcome) float64 { return o.ours.Recall })},
	{"F1", mean(f1)},
	{"AUC", mean(func(o *outcome) float64 { return o.ours.AUC })},
	{"ECE", pooledECE},
	{"ECE stream by stream", mean(func(o *outcome) float64 { return o.ours.ECE })},
	{"true precision at FDR 0.05", mean(func(o *outcome) float64 { return o.ours.TruePrecision["0.05"] })},
	{"at 0.2", mean(func(o *outcome) float64 { return o.ours.TruePrecision["0.2"] })},
	{"lag within 0.5 s", mean(func(o *outcome) float64 { return o.lagWithin })},
	{"within 1 s", mean(func(o *outcome) float64 { return o.lagNear })},
}

func f1(o *outcome) float64 { return o.ours.F1 }

// table prints, and draws where plots names a folder, the scores of each regime: the mean over its streams and a 95 % bootstrap interval over the seeds.
func table(ctx context.Context, opt align.Options, only string, first uint64, seeds int, minutes float64, plots string, out io.Writer) error {
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
			o, err := measure(ctx, c, opt)
			if err != nil {
				return fmt.Errorf("%s, seed %d: %w", g.name, c.Seed, err)
			}
			outcomes[i] = *o
		}
		results[g.name] = outcomes
		fmt.Fprintf(out, "| %s |", g.name)
		for _, c := range columns {
			x, lo, hi := bootstrap(outcomes, c.of)
			fmt.Fprintf(out, " %.3f [%.3f, %.3f] |", x, lo, hi)
		}
		fmt.Fprintln(out)
		all := pointers(outcomes)
		fmt.Fprintf(&versus, "| %s | %.3f |", g.name, mean(f1)(all))
		for _, b := range align.BaselineNames() {
			fmt.Fprintf(&versus, " %.3f |", mean(func(o *outcome) float64 { return o.baselines[b].F1 })(all))
		}
		versus.WriteByte('\n')
	}
	fmt.Fprintf(out, "\nF1\n\n| regime | Banter | %s |\n|%s\n%s", strings.Join(align.BaselineNames(), " | "), strings.Repeat("---|", 2+len(align.BaselineNames())), versus.String())
	if plots != "" {
		return plot(plots, results)
	}
	return nil
}

func measure(ctx context.Context, c synth.Config, opt align.Options) (*outcome, error) {
	s := synth.Make(c)
	r, err := align.Align(ctx, []align.Input{s.Input}, opt)
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
		if e < time.Second {
			o.lagNear += 1 / float64(len(errors))
		}
	}
	o.right = align.Judge(st.Pairs, &s.Truth)
	for i := range st.Pairs {
		o.conf = append(o.conf, st.Pairs[i].Confidence)
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

// bootstrap gives a number of streams and its 95 % percentile interval over streams (Efron 1979), with a fixed seed.
func bootstrap(outcomes []outcome, of func([]*outcome) float64) (x, lo, hi float64) {
	const draws = 2000
	r := rand.New(rand.NewPCG(1, 2))
	all := pointers(outcomes)
	drawn, values := make([]*outcome, len(all)), make([]float64, draws)
	for d := range values {
		for i := range drawn {
			drawn[i] = all[r.IntN(len(all))]
		}
		values[d] = of(drawn)
	}
	slices.Sort(values)
	return of(all), values[draws/40], values[draws-draws/40-1]
}

func pointers(outcomes []outcome) []*outcome {
	out := make([]*outcome, len(outcomes))
	for i := range outcomes {
		out[i] = &outcomes[i]
	}
	return out
}

// measureSpeed aligns a long stream and says what it cost.
func measureSpeed(ctx context.Context, messages int, opt align.Options, out io.Writer) error {
	const rate = 1_000_000.0 / 893 // messages a minute: a million beside 90,000 words at the pace of the made speech
	minutes := float64(messages) / rate
	s := synth.Make(synth.Config{Seed: 1, Minutes: minutes, Lag: []align.TruthLag{{From: 0, Lag: 7}, {From: 0.5, Lag: 11}},
		Delay: synth.Delay{Law: "lognormal", Median: 2.6, Spread: 0.5}, Rate: rate, Answers: 0.5, Spam: 0.1, Talk: 0.08, ASR: 0.05})
	runtime.GC()
	begin := time.Now()
	r, err := align.Align(ctx, []align.Input{s.Input}, opt)
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
