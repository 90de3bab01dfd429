package dsl

import (
	"context"
	"encoding/json"
	"io"
	"os"

	"banter/dsl/memo"
	"banter/stdlib/align"
)

// Recalibrated says what people's labels made of the confidences: the curve, and how good probabilities were before and are
// after, on labels that the curve was not fitted to.
type Recalibrated = align.Recalibration

const recalibratedFile = "recalibration.json"

// Recalibrate fits Confidence to what people said of some of the pairs, by Platt's curve, and from a thousand labels on by
// isotonic regression. The file holds the lines of a Review queue, each with a member "right", true or false; or it is CSV or
// Parquet with the columns stream_id, message_id and right (yes or no), and first_word where a label is of one window only.
// Label from the whole range of confidences, as Review(pairs, 0, 1) has it: what lies beyond the labelled ones is
// extrapolated. The false discovery rates stay as decoys gave them.
func Recalibrate(pairs Pairs, labels string) Pairs {
	s := current()
	in, err := pairs.step.Output(pairsFile)
	if err != nil {
		fail("recalibrate", "", err)
	}
	file, err := s.store.File(s.ctx, labels)
	if err != nil {
		fail("recalibrate", labels, err)
	}
	step := memo.Step{Verb: "recalibrate", Reads: []memo.Key{pairs.step.Key}, Recheck: file.Unchanged}.
		With("input.pairs", in.Digest).With("input.labels", file.Digest)
	m, err := s.do(step, func(_ context.Context, d *memo.Draft) error { return s.recalibrateInto(d, pairs, labels, file.Size) })
	if err != nil {
		fail("recalibrate", labels, err)
	}
	out := pairs
	out.step = m
	r, _ := out.Recalibrated()
	if r.Unmatched > 0 {
		s.note("recalibrate", labels, "%s of other pairs, or of other windows than these have now, left out", plural(r.Unmatched, "label"))
	}
	if r.Outside > 0 {
		s.note("recalibrate", labels, "%s beyond the labelled confidences, from %.2f to %.2f: theirs is extrapolated", plural(r.Outside, "pair"), r.Low, r.High)
	}
	return out
}

func (s *Session) recalibrateInto(d *memo.Draft, in Pairs, path string, size int64) error {
	pairs, err := s.pairs(in.step)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	labels, err := align.ReadLabels(f, size)
	if err != nil {
		return err
	}
	pairs, report, err := align.Recalibrate(pairs, labels)
	if err != nil {
		return err
	}
	if err := d.Write(pairsFile, func(w io.Writer) error { return align.WritePairs(w, pairs) }); err != nil {
		return err
	}
	if err := d.Facts(map[string]int{"pairs": len(pairs)}); err != nil {
		return err
	}
	b, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		return err
	}
	return d.WriteBytes(recalibratedFile, append(b, '\n'))
}

// Recalibrated is what the Recalibrate that made these pairs found. Other pairs have none.
func (p Pairs) Recalibrated() (Recalibrated, bool) {
	var r Recalibrated
	if _, err := p.step.Output(recalibratedFile); err != nil {
		return r, false
	}
	if err := current().readJSON(p.step, recalibratedFile, &r); err != nil {
		fail("recalibrate", p.step.Key.Short(), err)
	}
	return r, true
}
