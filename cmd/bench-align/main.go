package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"banter/stdlib/align"
)

func main() {
	dir := flag.String("streams", "", "score the labelled streams in this folder")
	flag.Parse()
	ctx := context.Background()
	dirs := append([]string{}, flag.Args()...)
	if *dir != "" {
		dirs = append(dirs, *dir)
	}
	var n, wlen float64
	var rel [10][3]float64
	var sum [10]float64
	for _, d := range dirs {
		st, err := readStreams(ctx, d)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		var in []align.Input
		var tr []*align.Truth
		for _, s := range st {
			in = append(in, s.input)
			tr = append(tr, s.truth)
		}
		res, err := align.Align(ctx, in, align.Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		var ps [][]align.Pair
		ok1, ok5, tot := 0, 0, 0
		for i, r := range res.Streams {
			ps = append(ps, r.Pairs)
			for _, e := range align.LagErrors(r.Lag, tr[i].Lag, st[i].length) {
				tot++
				if e < 1e9 {
					ok1++
				}
				if e < 5e8 {
					ok5++
				}
			}
			if os.Getenv("V") != "" {
				fmt.Println(r.Stream, "lag", r.Lag, "true", tr[i].Lag, r.Delay, r.Diagnostics.LinkScore, r.Diagnostics.ActivityAt, r.Diagnostics.ActivityZ, r.Diagnostics.Classes)
			}
		}
		s := align.ScoreStreams(ps, tr, 0.1)
		best := 0.0
		{
			// oracle recall at precision .9
			type jj struct {
				c float64
				r bool
			}
			var all []jj
			for i := range ps {
				for k, r := range align.Judge(ps[i], tr[i]) {
					all = append(all, jj{ps[i][k].Confidence, r})
				}
			}
			for th := 0.0; th < 1; th += 0.005 {
				a, b := 0.0, 0.0
				for _, j := range all {
					if j.c >= th {
						b++
						if j.r {
							a++
						}
					}
				}
				if b > 0 && a/b >= 0.9 && a/float64(s.Replies) > best {
					best = a / float64(s.Replies)
				}
			}
		}
		if os.Getenv("FP") != "" {
			for i := range ps {
				kind := map[string]*align.TruthMessage{}
				for k := range tr[i].Messages {
					kind[tr[i].Messages[k].ID] = &tr[i].Messages[k]
				}
				for k, r := range align.Judge(ps[i], tr[i]) {
					p := ps[i][k]
					if !r && p.FDR <= 0.1 {
						t := kind[p.MessageID]
						se := ""
						if t.Sentence != nil {
							x := tr[i].Sentences[*t.Sentence]
							se = fmt.Sprintf("true %.1f-%.1f", x.Start, x.End)
						}
						fmt.Printf("FP %.3f %.3f %s/%s %q <- %q [%.1f %.1f] d %.1f %s\n", p.Confidence, p.FDR, t.Kind, t.Sub, p.Response, p.Speech, p.SpeechStart.Seconds(), p.SpeechEnd.Seconds(), p.Delay.Seconds(), se)
					}
				}
			}
		}
		for i := range ps {
			for k, r := range align.Judge(ps[i], tr[i]) {
				b := min(9, int(ps[i][k].Confidence*10))
				rel[b][0]++
				rel[b][1] += ps[i][k].Confidence
				if r {
					rel[b][2]++
				}
				wlen += (ps[i][k].SpeechEnd - ps[i][k].SpeechStart).Seconds()
			}
		}
		l1, l5 := float64(ok1)/float64(tot), float64(ok5)/float64(tot)
		fmt.Printf("%-22s P %.3f R %.3f F1 %.3f AUC %.3f ECE %.3f tp05 %.3f(%d) tp1 %.3f(%d) tp2 %.3f(%d) R@P90 %.3f lag<1 %.3f lag<.5 %.3f\n", d, s.Precision, s.Recall, s.F1, s.AUC, s.ECE,
			s.TruePrecision["0.05"], s.Kept["0.05"], s.TruePrecision["0.1"], s.Kept["0.1"], s.TruePrecision["0.2"], s.Kept["0.2"], best, l1, l5)
		n++
		for i, v := range []float64{s.Precision, s.Recall, s.F1, s.AUC, s.ECE, s.TruePrecision["0.05"], s.TruePrecision["0.2"], best, l1, l5} {
			sum[i] += v
		}
	}
	tot := 0.0
	for _, r := range rel {
		tot += r[0]
		if os.Getenv("REL") != "" {
			fmt.Printf("%4.0f conf %.3f right %.3f\n", r[0], r[1]/r[0], r[2]/r[0])
		}
	}
	fmt.Printf("window %.2f s\n", wlen/tot)
	for i := range sum {
		sum[i] /= n
	}
	fmt.Printf("MEAN P %.3f R %.3f F1 %.3f AUC %.3f ECE %.3f tp05 %.3f tp2 %.3f R@P90 %.3f lag1 %.3f lag5 %.3f\n", sum[0], sum[1], sum[2], sum[3], sum[4], sum[5], sum[6], sum[7], sum[8], sum[9])
}
