package dsl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"banter/dsl/memo"
	"banter/stdlib/align"
	"banter/stdlib/dataset"
	"banter/stdlib/quality"
)

// Row is one training example with its lineage.
type Row = dataset.Row

// Rows are training examples, each on one side of the split.
type Rows struct {
	pairs Pairs
	step  memo.Manifest
	split string // dataset.Train, dataset.Holdout, or empty for both
}

// Data is what can be trained or evaluated on: Pairs, or the Rows made of them.
type Data interface {
	// Rows are the training examples.
	Rows() Rows
}

// DatasetOption changes how Dataset makes rows.
type DatasetOption func(*datasetOptions)

type datasetOptions struct {
	Options dataset.Options  `json:"options"`
	Leak    dataset.Leak     `json:"leak"`
	Balance *dataset.Balance `json:"balance,omitempty"`
	license string
	name    string
}

// HoldoutShare is the share of the time that is held out for evaluation. The default is a fifth; a negative share holds
// nothing out.
func HoldoutShare(share float64) DatasetOption {
	return func(o *datasetOptions) { o.Options.Holdout = share }
}

// HoldoutByStream holds out whole streams instead of blocks of time in each. It asks for many streams.
func HoldoutByStream() DatasetOption {
	return func(o *datasetOptions) { o.Options.By = dataset.ByStream }
}

// HoldoutSeed draws another holdout.
func HoldoutSeed(seed uint64) DatasetOption {
	return func(o *datasetOptions) { o.Options.Seed = seed }
}

// Trait is a property of a row by which a sample is balanced.
type Trait = dataset.Trait

// The traits.
const (
	ByStream       = dataset.Stream
	BySpeechLength = dataset.SpeechLength
	ByLength       = dataset.Length
	ByEmotes       = dataset.EmoteDensity
	ByNovelty      = dataset.Novelty
)

// Balanced keeps so many training rows, as evenly as can be over groups of rows that are alike in the given traits.
func Balanced(rows int, seed uint64, traits ...Trait) DatasetOption {
	return func(o *datasetOptions) { o.Balance = &dataset.Balance{Rows: rows, By: traits, Seed: seed} }
}

// KeepLeaks leaves training rows in that are nearly the same as a row of the holdout. They are counted all the same.
func KeepLeaks() DatasetOption { return func(o *datasetOptions) { o.Leak.Drop = false } }

// License names the licence that the dataset card states.
func License(id string) DatasetOption { return func(o *datasetOptions) { o.license = id } }

const rowsFile = "rows.parquet"

// Dataset makes training rows of pairs: it decides which are held out, looks for rows that stand on both sides, checks
// each row, and writes the exports. Which rows are held out depends on stream and time alone: as data grows, no row moves.
func Dataset(pairs Pairs, options ...DatasetOption) Rows {
	s := current()
	o := datasetOptions{name: "banter", Leak: dataset.Leak{Drop: true}}
	for _, set := range options {
		set(&o)
	}
	if pairs.align.Key != "" && o.Options.Direction == "" && pairs.Alignment().Options.Direction == align.ChatToSpeech {
		o.Options.Direction = dataset.ChatToSpeech
	}
	o.Options, o.Leak = o.Options.Canonical(), o.Leak.Canonical()
	in, err := pairs.step.Output(pairsFile)
	if err != nil {
		fail("dataset", "", err)
	}
	meta := dataset.Meta{Recordings: map[string]string{}, Filters: []string{}, Lineage: s.lineage(pairs.step)}
	for _, l := range pairs.words.streams.list {
		meta.Recordings[l.info.ID] = string(l.info.Recording.SHA256)
	}
	if r, ok := pairs.Filtered(); ok {
		for _, st := range r.Steps {
			meta.Filters = append(meta.Filters, filterName(st))
		}
	}
	step := memo.Step{Verb: "dataset", Label: plural(pairs.Len(), "pair"), Reads: []memo.Key{pairs.step.Key}}.
		With("input.pairs", in.Digest).With("options", o).With("meta", meta).With("card", []string{o.name, o.license})
	m, err := s.do(step, func(ctx context.Context, d *memo.Draft) error { return s.datasetInto(d, pairs, meta, o) })
	if err != nil {
		fail("dataset", "", err)
	}
	rows := Rows{pairs: pairs, step: m}
	if f := rows.facts(); f.Leaks.Dropped > 0 {
		s.note("dataset", "", "%s left out: nearly the same as rows of the holdout", plural(f.Leaks.Dropped, "training row"))
	}
	return rows
}

// filterName is the canonical form of a rule that rows passed.
func filterName(st quality.Step) string {
	if len(st.With) > 0 && string(st.With) != "{}" {
		return string(compact(st.With))
	}
	return st.Rule
}

func compact(raw json.RawMessage) json.RawMessage {
	var v any
	if json.Unmarshal(raw, &v) == nil {
		if b, err := json.Marshal(v); err == nil {
			return b
		}
	}
	return raw
}

// lineage lists the keys of all steps that lead to m, m last, each after those that it reads.
func (s *Session) lineage(m memo.Manifest) []string {
	var out []string
	seen := map[memo.Key]bool{}
	var walk func(k memo.Key, m *memo.Manifest)
	walk = func(k memo.Key, m *memo.Manifest) {
		if seen[k] {
			return
		}
		seen[k] = true
		if m == nil {
			if found, ok, err := s.store.Lookup(k); err == nil && ok {
				m = &found
			}
		}
		if m != nil {
			for _, r := range m.Reads {
				walk(r, nil)
			}
		}
		out = append(out, string(k))
	}
	walk(m.Key, &m)
	return out
}

// datasetFacts are shown without reading the rows.
type datasetFacts struct {
	Made   dataset.Made    `json:"made"`
	Leaks  dataset.Leaks   `json:"leaks"`
	Groups []dataset.Group `json:"groups,omitempty"` // of a balanced sample
}

func (s *Session) datasetInto(d *memo.Draft, in Pairs, meta dataset.Meta, o datasetOptions) error {
	pairs, err := s.pairs(in.step)
	if err != nil {
		return err
	}
	if len(pairs) == 0 {
		return errNoPairs
	}
	rows, made, err := dataset.FromPairs(pairs, meta, o.Options)
	if err != nil {
		return err
	}
	rows, leaks, err := dataset.CheckLeaks(rows, o.Leak)
	if err != nil {
		return err
	}
	var groups []dataset.Group
	if o.Balance != nil {
		if rows, groups, err = o.Balance.Sample(rows); err != nil {
			return err
		}
	}
	if err := d.Facts(datasetFacts{made, leaks, groups}); err != nil {
		return err
	}
	if err := d.Write(rowsFile, func(w io.Writer) error { return dataset.Write(w, rows) }); err != nil {
		return err
	}
	for _, e := range []struct {
		name string
		of   dataset.Export
	}{
		{"train.messages.jsonl", dataset.Export{Split: dataset.Train}},
		{"train.prompts.jsonl", dataset.Export{Split: dataset.Train, Form: dataset.PromptCompletion}},
		{"holdout.messages.jsonl", dataset.Export{Split: dataset.Holdout}},
		{"holdout.prompts.jsonl", dataset.Export{Split: dataset.Holdout, Form: dataset.PromptCompletion}},
	} {
		err := d.Write(e.name, func(w io.Writer) error { _, err := dataset.JSONL(w, rows, e.of); return err })
		if err != nil {
			return err
		}
	}
	return d.Write("card.md", func(w io.Writer) error {
		return dataset.Card{Name: o.name, Made: &made, Leaks: &leaks, License: o.license}.Write(w, rows)
	})
}

// Rows are the rows themselves.
func (r Rows) Rows() Rows { return r }

// Rows makes training rows of the pairs with all defaults.
func (p Pairs) Rows() Rows { return Dataset(p) }

// Holdout is the side of the data that training does not see.
func Holdout(data Data) Rows {
	r := data.Rows()
	r.split = dataset.Holdout
	return r
}

// TrainSide is the side of the data that training sees.
func TrainSide(data Data) Rows {
	r := data.Rows()
	r.split = dataset.Train
	return r
}

func (r Rows) facts() datasetFacts {
	var f datasetFacts
	if err := r.step.DecodeFacts(&f); err != nil {
		fail("dataset", r.step.Key.Short(), err)
	}
	return f
}

// All returns the rows, in order of stream and time of the message.
func (r Rows) All() []Row {
	rows, err := current().rows(r)
	if err != nil {
		fail("dataset", r.step.Key.Short(), err)
	}
	return rows
}

// Len is how many rows there are.
func (r Rows) Len() int { return len(r.All()) }

func (s *Session) rows(r Rows) ([]Row, error) {
	list, err := table(s, r.step, rowsFile, dataset.Read)
	if err != nil {
		return nil, err
	}
	if r.split == "" {
		return slices.Clone(list), nil
	}
	var side []Row
	for _, row := range list {
		if row.Split == r.split {
			side = append(side, row)
		}
	}
	return side, nil
}

// sides splits rows for training: what to learn from, and what to look at.
func (s *Session) sides(r Rows) (train, holdout []Row, err error) {
	r.split = ""
	all, err := s.rows(r)
	if err != nil {
		return nil, nil, err
	}
	for _, row := range all {
		if row.Split == dataset.Holdout {
			holdout = append(holdout, row)
		} else {
			train = append(train, row)
		}
	}
	if len(train) == 0 {
		return nil, nil, errors.New("there is no row to train on: all are held out, or the filters dropped them")
	}
	return train, holdout, nil
}

// Trace walks a row back to where it came from.
func (s *Session) Trace(row Row) ([]memo.Manifest, error) {
	var path []memo.Manifest
	for _, k := range row.Lineage {
		m, ok, err := s.store.Lookup(memo.Key(k))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("step %.12s of the row's lineage is no longer in the store", k)
		}
		path = append(path, m)
	}
	return path, nil
}
