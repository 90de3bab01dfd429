package dsl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"banter/dsl/memo"
	"banter/stdlib/quality"
)

// Queue is borderline pairs for a person to judge, those nearest the middle of the band first.
type Queue struct {
	step memo.Manifest
}

func (q Queue) manifest() memo.Manifest { return q.step }

// ReviewRow is one borderline pair.
type ReviewRow = quality.ReviewRow

const queueFile = "review.jsonl"

// Review makes the queue of the pairs whose confidence lies between from and to.
func Review(pairs Pairs, from, to float64) Queue {
	s := current()
	in, err := pairs.step.Output(pairsFile)
	if err != nil {
		fail("review", "", err)
	}
	step := memo.Step{Verb: "review", Label: fmt.Sprintf("%g to %g", from, to), Reads: []memo.Key{pairs.step.Key}}.
		With("input.pairs", in.Digest).With("band", []float64{from, to})
	m, err := s.do(step, func(ctx context.Context, d *memo.Draft) error {
		list, err := s.pairs(pairs.step)
		if err != nil {
			return err
		}
		rows, err := quality.Review(list, from, to)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		for _, row := range rows {
			if err := enc.Encode(row); err != nil {
				return err
			}
		}
		return d.WriteBytes(queueFile, b.Bytes())
	})
	if err != nil {
		fail("review", "", err)
	}
	return Queue{m}
}

// All returns the rows of the queue.
func (q Queue) All() []ReviewRow {
	o, err := q.step.Output(queueFile)
	var raw []byte
	if err == nil {
		raw, err = current().store.Read(o)
	}
	var rows []ReviewRow
	dec := json.NewDecoder(bytes.NewReader(raw))
	for err == nil && dec.More() {
		var row ReviewRow
		if err = dec.Decode(&row); err == nil {
			rows = append(rows, row)
		}
	}
	if err != nil {
		fail("review", q.step.Key.Short(), err)
	}
	return rows
}
