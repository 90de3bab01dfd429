package dsl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"time"

	"banter/dsl/memo"
	"banter/stdlib/align"
	"banter/stdlib/speech"
)

// Scored says how good transcripts and pairs are where streams came with their ground truth.
type Scored struct {
	Streams []StreamScore `json:"streams"`
	Words   *WordScore    `json:"words,omitempty"` // over all streams with words.json
	Pairs   *PairScore    `json:"pairs,omitempty"` // over all streams with truth.json
}

// StreamScore is the score of one stream.
type StreamScore struct {
	Stream string     `json:"stream"`
	Words  *WordScore `json:"words,omitempty"`
	Pairs  *PairScore `json:"pairs,omitempty"`
}

// WordScore compares a transcript with what was really said.
type WordScore struct {
	Words              int     `json:"words"`   // spoken
	Correct            int     `json:"correct"` // recognised
	WER                float64 `json:"wer"`
	Timed              int     `json:"timed"`                 // recognised and with a time of their own, which those of a cue or segment lack
	StartErrorMedianMS int64   `json:"start_error_median_ms"` // over the timed words, as all that follows; 0 where there are none
	StartErrorP90MS    int64   `json:"start_error_p90_ms"`
	Within200MS        float64 `json:"within_200_ms"` // share of words whose start is so near
}

// PairScore compares pairs with the replies that the truth knows. A pair is right when its message is a reply and the
// sentence that it answers lies in its window.
type PairScore struct {
	FDR           float64            `json:"fdr"` // at which precision, recall and F1 are told
	Precision     float64            `json:"precision"`
	Recall        float64            `json:"recall"`
	F1            float64            `json:"f1"`
	AUC           float64            `json:"auc"`
	ECE           float64            `json:"ece"`
	TruePrecision map[string]float64 `json:"true_precision"` // by FDR
	Replies       int                `json:"replies"`
	LagErrorP95S  float64            `json:"lag_error_p95_s"`
	LagWithin1S   float64            `json:"lag_within_1_s"` // share of the time
}

// Score compares pairs, and the transcripts that they come from, with the ground truth of their streams, at the given
// false discovery rate. ok is false where no stream has any.
func Score(pairs Pairs, fdr float64) (score Scored, ok bool) {
	s := current()
	in, err := pairs.step.Output(pairsFile)
	if err != nil {
		fail("score", "", err)
	}
	alignment, err := pairs.align.Output(alignmentFile)
	if err != nil {
		fail("score", "", err)
	}
	step := memo.Step{Verb: "score", Reads: []memo.Key{pairs.step.Key}}.With("input.pairs", in.Digest).With("input.alignment", alignment.Digest).With("fdr", fdr)
	any := false
	for i, l := range pairs.words.streams.list {
		words, err := pairs.words.list[i].Output(wordsFile)
		if err != nil {
			fail("score", l.info.ID, err)
		}
		step = step.With("input.words."+l.info.ID, words.Digest)
		if l.info.Truth != nil {
			any = true
			step = step.With("truth."+l.info.ID, l.info.Truth)
		}
	}
	if !any {
		return Scored{}, false
	}
	m, err := s.do(step, func(ctx context.Context, d *memo.Draft) error {
		score, err := s.score(pairs, fdr)
		if err != nil {
			return err
		}
		b, err := json.MarshalIndent(score, "", " ")
		if err != nil {
			return err
		}
		return d.WriteBytes("score.json", append(b, '\n'))
	})
	if err == nil {
		err = s.readJSON(m, "score.json", &score)
	}
	if err != nil {
		fail("score", "", err)
	}
	return score, true
}

// readJSON reads one of a step's outputs.
func (s *Session) readJSON(m memo.Manifest, name string, v any) error {
	o, err := m.Output(name)
	if err != nil {
		return err
	}
	b, err := s.store.Read(o)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func (s *Session) score(pairs Pairs, fdr float64) (Scored, error) {
	all, err := s.pairs(pairs.step)
	if err != nil {
		return Scored{}, err
	}
	byStream := map[string][]Pair{}
	for _, p := range all {
		byStream[p.Stream] = append(byStream[p.Stream], p)
	}
	lags := map[string][]align.LagPiece{}
	for _, st := range pairs.Alignment().Streams {
		lags[st.Stream] = st.Lag
	}
	var out Scored
	var words pooledWords
	var judged [][]Pair
	var truths []*align.Truth
	var lagErrors []time.Duration
	for i, l := range pairs.words.streams.list {
		if l.info.Truth == nil {
			continue
		}
		st := StreamScore{Stream: l.info.ID}
		if o, err := l.step.Output("words.json"); err == nil {
			b, err := s.store.Read(o)
			if err != nil {
				return out, err
			}
			reference, err := speech.ReadReference(bytes.NewReader(b))
			if err != nil {
				return out, err
			}
			t, err := s.transcript(pairs.words.list[i])
			if err != nil {
				return out, err
			}
			score := speech.Compare(t, reference.Words)
			st.Words = words.add(score)
		}
		if o, err := l.step.Output("truth.json"); err == nil {
			b, err := s.store.Read(o)
			if err != nil {
				return out, err
			}
			truth, err := align.ReadTruth(bytes.NewReader(b))
			if err != nil {
				return out, err
			}
			errors := align.LagErrors(lags[l.info.ID], truth.Lag, l.info.Recording.Duration())
			st.Pairs = pairScore(align.ScorePairs(byStream[l.info.ID], truth, fdr), fdr, errors)
			judged, truths, lagErrors = append(judged, byStream[l.info.ID]), append(truths, truth), append(lagErrors, errors...)
		}
		out.Streams = append(out.Streams, st)
	}
	out.Words = words.total()
	if len(truths) > 0 {
		out.Pairs = pairScore(align.ScoreStreams(judged, truths, fdr), fdr, lagErrors)
	}
	if out.Words == nil && out.Pairs == nil {
		return out, errors.New("the ground truth of the streams is empty")
	}
	return out, nil
}

func pairScore(s align.Score, fdr float64, lag []time.Duration) *PairScore {
	within := 0
	for _, e := range lag {
		if e <= time.Second {
			within++
		}
	}
	return &PairScore{FDR: fdr, Precision: round(s.Precision), Recall: round(s.Recall), F1: round(s.F1), AUC: round(s.AUC), ECE: round(s.ECE),
		TruePrecision: s.TruePrecision, Replies: s.Replies, LagErrorP95S: align.Quantile(lag, 0.95).Seconds(),
		LagWithin1S: round(float64(within) / float64(max(1, len(lag))))}
}

// round keeps what can be read of a share.
func round(x float64) float64 { return math.Round(x*1e6) / 1e6 }

// pooledWords adds up the scores of several streams. Medians of the whole are not those of the parts: the worst part's is
// told.
type pooledWords struct {
	n   int
	sum WordScore
	wer float64
}

func (p *pooledWords) add(s speech.Score) *WordScore {
	w := WordScore{Words: s.Words, Correct: s.Correct, WER: round(s.WER()), Timed: s.Timed, StartErrorMedianMS: s.StartErrorMedian.Milliseconds(),
		StartErrorP90MS: s.StartErrorP90.Milliseconds(), Within200MS: round(s.Within200ms)}
	p.n++
	p.sum.Words += w.Words
	p.sum.Correct += w.Correct
	p.sum.Timed += w.Timed
	p.wer += s.WER() * float64(s.Words)
	p.sum.StartErrorMedianMS = max(p.sum.StartErrorMedianMS, w.StartErrorMedianMS)
	p.sum.StartErrorP90MS = max(p.sum.StartErrorP90MS, w.StartErrorP90MS)
	p.sum.Within200MS += w.Within200MS * float64(w.Timed)
	return &w
}

func (p *pooledWords) total() *WordScore {
	if p.n == 0 {
		return nil
	}
	w := p.sum
	w.WER = round(p.wer / float64(max(1, w.Words)))
	w.Within200MS = round(w.Within200MS / float64(max(1, w.Timed)))
	return &w
}
