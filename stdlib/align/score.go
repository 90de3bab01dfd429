package align

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"banter/internal/problem"
)

// Truth is what really happened in a labelled stream. Times are seconds of stream time.
type Truth struct {
	Lag       []TruthLag      `json:"lag"`
	Sentences []TruthSentence `json:"sentences"`
	Messages  []TruthMessage  `json:"messages"`
}

// TruthLag is a step of the true lag curve, in force from speech time From on.
type TruthLag struct {
	From float64 `json:"from"`
	Lag  float64 `json:"lag"`
}

// TruthSentence is one spoken sentence.
type TruthSentence struct {
	Index int     `json:"index"`
	Start float64 `json:"start"`
	End   float64 `json:"end"`
}

// TruthMessage says of one message what it is and, for replies, what it answers.
type TruthMessage struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"` // "reply", or why it is none
	Sub      string   `json:"sub,omitempty"`
	Sentence *int     `json:"sentence,omitempty"` // Index of the sentence answered
	Lag      *float64 `json:"lag,omitempty"`
	Delay    *float64 `json:"delay,omitempty"`
}

// maxTruth bounds a truth file.
const maxTruth = 1 << 30

// ReadTruth reads a truth.json.
func ReadTruth(r io.Reader) (*Truth, error) {
	var t Truth
	if err := json.NewDecoder(io.LimitReader(r, maxTruth)).Decode(&t); err != nil {
		return nil, &problem.Error{Op: "read truth", Err: err}
	}
	at := map[int]bool{}
	for _, s := range t.Sentences {
		at[s.Index] = true
	}
	for _, m := range t.Messages {
		if m.Kind == "reply" && (m.Sentence == nil || !at[*m.Sentence]) {
			return nil, &problem.Error{Op: "read truth", At: "message " + m.ID, Err: fmt.Errorf("is a reply to no sentence of the file")}
		}
	}
	return &t, nil
}

// sentenceSlack is how far a sentence may stick out of a window that is said to hold it: recognised word times differ
// from true ones by about this much.
const sentenceSlack = 250 * time.Millisecond

// Score says how good pairs are where the truth is known. A pair is right when its message is a reply and the sentence that
// it answers lies in the pair's speech window.
type Score struct {
	Precision     float64            // of the pairs kept at the false discovery rate asked for
	Recall        float64            // share of all replies among right kept pairs
	F1            float64            // harmonic mean of both
	AUC           float64            // probability that a right pair is more confident than a wrong one
	ECE           float64            // expected calibration error of Confidence, ten bins
	TruePrecision map[string]float64 // precision at FDR "0.05", "0.1" and "0.2"
	Kept          map[string]int     // pairs kept at each
	Replies       int                // in the truth
	Pairs         int                // judged
}

// scoredFDR are the rates at which TruePrecision is told.
var scoredFDR = []struct {
	name string
	rate float64
}{{"0.05", 0.05}, {"0.1", 0.1}, {"0.2", 0.2}}

// Judge tells which pairs are right.
func Judge(pairs []Pair, truth *Truth) []bool {
	sentences := map[int]TruthSentence{}
	for _, s := range truth.Sentences {
		sentences[s.Index] = s
	}
	kind := make(map[string]*TruthMessage, len(truth.Messages))
	for i := range truth.Messages {
		kind[truth.Messages[i].ID] = &truth.Messages[i]
	}
	out := make([]bool, len(pairs))
	for i := range pairs {
		p := &pairs[i]
		m := kind[p.MessageID]
		if m == nil || m.Kind != "reply" || m.Sentence == nil {
			continue
		}
		s := sentences[*m.Sentence]
		slack := sentenceSlack.Seconds()
		out[i] = s.Start >= p.SpeechStart.Seconds()-slack && s.End <= p.SpeechEnd.Seconds()+slack
	}
	return out
}

// ScorePairs judges the pairs of one stream; rate is the false discovery rate at which precision and recall are told.
func ScorePairs(pairs []Pair, truth *Truth, rate float64) Score {
	return scoreJudged([][]Pair{pairs}, []*Truth{truth}, rate)
}

// ScoreStreams judges several streams together, as one pool of pairs.
func ScoreStreams(pairs [][]Pair, truth []*Truth, rate float64) Score {
	return scoreJudged(pairs, truth, rate)
}

func scoreJudged(pairs [][]Pair, truth []*Truth, rate float64) Score {
	s := Score{TruePrecision: map[string]float64{}, Kept: map[string]int{}}
	type judged struct {
		conf, fdr float64
		right     bool
	}
	var all []judged
	for k := range pairs {
		for _, m := range truth[k].Messages {
			if m.Kind == "reply" {
				s.Replies++
			}
		}
		for i, right := range Judge(pairs[k], truth[k]) {
			all = append(all, judged{pairs[k][i].Confidence, pairs[k][i].FDR, right})
		}
	}
	s.Pairs = len(all)
	at := func(rate float64) (precision float64, right, kept int) {
		for _, j := range all {
			if j.fdr <= rate {
				kept++
				if j.right {
					right++
				}
			}
		}
		if kept == 0 {
			return 1, 0, 0
		}
		return float64(right) / float64(kept), right, kept
	}
	var right, kept int
	s.Precision, right, kept = at(rate)
	if kept == 0 {
		s.Precision = 0
	}
	if s.Replies > 0 {
		s.Recall = float64(right) / float64(s.Replies)
	}
	if s.Precision+s.Recall > 0 {
		s.F1 = 2 * s.Precision * s.Recall / (s.Precision + s.Recall)
	}
	for _, f := range scoredFDR {
		p, _, kept := at(f.rate)
		s.TruePrecision[f.name], s.Kept[f.name] = p, kept
	}
	conf := make([]float64, len(all))
	ok := make([]bool, len(all))
	for i, j := range all {
		conf[i], ok[i] = j.conf, j.right
	}
	s.AUC, s.ECE = AUC(conf, ok), ECE(conf, ok, 10)
	return s
}

// AUC is the probability that a right item scores above a wrong one, ties counting half (Mann and Whitney 1947). It is 0.5
// where there are only right or only wrong ones.
func AUC(score []float64, right []bool) float64 {
	order := make([]int, len(score))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(score[a], score[b]) })
	var n [2]float64
	ranks := 0.0
	for lo := 0; lo < len(order); {
		hi := lo
		for hi < len(order) && score[order[hi]] == score[order[lo]] {
			hi++
		}
		for _, i := range order[lo:hi] {
			if right[i] {
				n[1]++
				ranks += float64(lo+hi+1) / 2
			} else {
				n[0]++
			}
		}
		lo = hi
	}
	if n[0] == 0 || n[1] == 0 {
		return 0.5
	}
	return (ranks - n[1]*(n[1]+1)/2) / (n[0] * n[1])
}

// ECE is the expected calibration error: the mean distance of stated probability and share of right items over bins of
// equal width, weighed by their items (Naeini et al. 2015).
func ECE(prob []float64, right []bool, bins int) float64 {
	sum := make([]float64, bins)
	hits := make([]float64, bins)
	for i, p := range prob {
		b := min(bins-1, max(0, int(p*float64(bins))))
		sum[b] += p
		if right[i] {
			hits[b]++
		}
	}
	e := 0.0
	for b := range sum {
		e += math.Abs(sum[b] - hits[b])
	}
	if len(prob) == 0 {
		return 0
	}
	return e / float64(len(prob))
}

// LagErrors gives the absolute error of a lag curve at each tenth of a second of speech time from 0 to length.
func LagErrors(curve []LagPiece, truth []TruthLag, length time.Duration) []time.Duration {
	var out []time.Duration
	for t := time.Duration(0); t < length; t += 100 * time.Millisecond {
		var got time.Duration
		for i, p := range curve {
			if i == 0 || t >= p.From {
				got = p.Lag
			}
		}
		var want float64
		for i, p := range truth {
			if i == 0 || t.Seconds() >= p.From {
				want = p.Lag
			}
		}
		out = append(out, (got - time.Duration(want*float64(time.Second))).Abs())
	}
	return out
}

// Quantile is the q-th quantile of durations.
func Quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Clone(d)
	slices.Sort(s)
	return s[min(len(s)-1, int(q*float64(len(s))))]
}
