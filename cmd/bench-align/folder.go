package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"banter/stdlib/align"
)

// keepRate is the false discovery rate at which precision and recall are told.
const keepRate = 0.1

// line is the last line of a scored folder.
type line struct {
	Ours      scores            `json:"ours"`
	Baselines map[string]scores `json:"baselines"`
}

// scores of one method. Baselines have no calibrated confidence and no lag: what does not apply is left out.
type scores struct {
	Precision     float64            `json:"precision"`
	Recall        float64            `json:"recall"`
	F1            float64            `json:"f1"`
	AUC           *float64           `json:"auc,omitempty"`
	ECE           *float64           `json:"ece,omitempty"`
	LagErrorP95   *float64           `json:"lag_error_p95_s,omitempty"`
	TruePrecision map[string]float64 `json:"true_precision,omitempty"`
}

func rounded(x float64) float64 { return math.Round(x*1e4) / 1e4 }

func pointer(x float64) *float64 { x = rounded(x); return &x }

// full gives all scores of a method that knows its confidence.
func full(s align.Score, lagP95 time.Duration) scores {
	tp := map[string]float64{}
	for k, v := range s.TruePrecision {
		tp[k] = rounded(v)
	}
	return scores{rounded(s.Precision), rounded(s.Recall), rounded(s.F1), pointer(s.AUC), pointer(s.ECE), pointer(lagP95.Seconds()), tp}
}

// scoreFolder aligns the streams of a folder together and compares with their truth.
func scoreFolder(ctx context.Context, dir string, opt align.Options, out io.Writer) error {
	streams, err := readStreams(ctx, dir)
	if err != nil {
		return err
	}
	var in []align.Input
	var truth []*align.Truth
	for _, s := range streams {
		in = append(in, s.input)
		truth = append(truth, s.truth)
	}
	res, err := align.Align(ctx, in, opt)
	if err != nil {
		return err
	}
	var pairs [][]align.Pair
	var late []time.Duration
	for i, r := range res.Streams {
		pairs = append(pairs, r.Pairs)
		errors := align.LagErrors(r.Lag, truth[i].Lag, streams[i].length)
		late = append(late, errors...)
		s := align.ScorePairs(r.Pairs, truth[i], keepRate)
		fmt.Fprintf(out, "%s: %d messages, %d replies; precision %.3f, recall %.3f at FDR %.2g; AUC %.3f, ECE %.3f; lag within %.2f s for 95 %% of the time\n",
			r.Stream, len(in[i].Messages), s.Replies, s.Precision, s.Recall, keepRate, s.AUC, s.ECE, align.Quantile(errors, 0.95).Seconds())
		if d := r.Diagnostics.Ranker; d != nil {
			fmt.Fprintf(out, "  %d trees: held-out loss falls by %.4f nats an answer (standard error %.4f), learned from %.0f answers\n", d.Trees, d.Gain, d.GainErr, d.Answers)
		}
		for _, p := range r.Lag {
			fmt.Fprintf(out, "  lag from %v: %.2f s (%.2f to %.2f)\n", p.From.Round(10*time.Millisecond), p.Lag.Seconds(), p.Lo.Seconds(), p.Hi.Seconds())
		}
		for _, n := range r.Diagnostics.Notes {
			fmt.Fprintf(out, "  %s\n", n)
		}
	}
	l := line{Ours: full(align.ScoreStreams(pairs, truth, keepRate), align.Quantile(late, 0.95)), Baselines: map[string]scores{}}
	for _, name := range align.BaselineNames() {
		var pairs [][]align.Pair
		for i := range in {
			p, err := align.Baseline(name, in[i], res.Streams[i].Lag)
			if err != nil {
				return err
			}
			pairs = append(pairs, p)
		}
		s := align.ScoreStreams(pairs, truth, keepRate)
		l.Baselines[name] = baselineScores(s)
		fmt.Fprintf(out, "%s: precision %.3f, recall %.3f, F1 %.3f\n", name, s.Precision, s.Recall, s.F1)
	}
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write the scores: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", b)
	return err
}

func baselineScores(s align.Score) scores {
	return scores{Precision: rounded(s.Precision), Recall: rounded(s.Recall), F1: rounded(s.F1), AUC: pointer(s.AUC), ECE: pointer(s.ECE)}
}
