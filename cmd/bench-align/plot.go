package main

import (
	"fmt"
	"os"
	"path/filepath"

	"banter/internal/problem"
	"banter/stdlib/align"
	"banter/stdlib/chart"
)

// sweep is a row of regimes that differ in one number.
type sweep struct {
	name, label string
	log         bool
	at          []float64
	regimes     []string
}

var sweeps = []sweep{
	{"rate", "messages a minute", true, []float64{5, 20, 60, 200, 500}, []string{"5 msgs/min", "20 msgs/min", "usual", "200 msgs/min", "500 msgs/min"}},
	{"asr", "share of words that the recogniser gets wrong", false, []float64{0, 0.05, 0.15, 0.3}, []string{"perfect ASR", "usual", "15 % ASR errors", "30 % ASR errors"}},
}

// plot writes the sweeps as pictures: F1 beside the baselines, and calibration and lag.
func plot(dir string, results map[string][]outcome) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return &problem.Error{Op: "write plots", Path: dir, Err: err}
	}
	for _, s := range sweeps {
		curve := func(name string, of func([]*outcome) float64) chart.Curve {
			c := chart.Curve{Name: name, X: s.at}
			for _, r := range s.regimes {
				x, lo, hi := bootstrap(results[r], of)
				c.Y, c.Low, c.High = append(c.Y, x), append(c.Low, lo), append(c.High, hi)
			}
			return c
		}
		f1 := []chart.Curve{curve("Banter", mean(f1))}
		for _, b := range align.BaselineNames() {
			f1 = append(f1, curve(b, mean(func(o *outcome) float64 { return o.baselines[b].F1 })))
		}
		quality := chart.Curves("Calibration and lag, by "+s.label, s.label, "",
			curve("ECE", pooledECE),
			curve("lag within 0.5 s, share of the time", mean(func(o *outcome) float64 { return o.lagWithin })),
			curve("true precision at FDR 0.1", mean(func(o *outcome) float64 { return o.ours.TruePrecision["0.1"] })))
		for name, c := range map[string]chart.Chart{"f1": chart.Curves("F1 at FDR 0.1, by "+s.label, s.label, "F1", f1...), "quality": quality} {
			c.X.Log = s.log
			c.Y.Min, c.Y.Max = 0, 1
			path := filepath.Join(dir, fmt.Sprintf("benchmarks-align-%s-%s.svg", s.name, name))
			if err := os.WriteFile(path, chart.SVG(c), 0o644); err != nil {
				return &problem.Error{Op: "write plots", Path: path, Err: err}
			}
		}
	}
	return nil
}
