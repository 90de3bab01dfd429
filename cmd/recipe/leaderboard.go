package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"banter/dsl/memo"
	"banter/internal/problem"
	"banter/stdlib/chart"
	"banter/stdlib/eval"
	"banter/stdlib/train"
)

type leaderboardCmd struct {
	storeFlag
	From []string `arg:"" optional:"" help:"Out folders with an exported evaluation (Export(report, \"eval\")), evaluation.json files, or stores. Without any: all evaluations of this project's store." placeholder:"OUT"`
	By   string   `help:"Metric that orders the runs: perplexity, MRR, \"recall at 1\", MAUVE, and what else the table has." default:"MRR" placeholder:"METRIC"`
	JSON bool     `help:"Answer as one JSON object." name:"json"`
	HTML string   `help:"Write a page to this file." placeholder:"FILE"`
}

func (c *leaderboardCmd) Run(_ context.Context, s streams) error {
	from := c.From
	if len(from) == 0 {
		from = []string{c.dir()}
	}
	var entries []eval.Entry
	for _, path := range from {
		if _, err := os.Stat(path); err != nil {
			return &problem.Error{Op: "leaderboard", Path: path, Err: errors.Unwrap(err), Fix: "name an out folder, an evaluation.json or a store; without any, this project's store is meant"}
		}
		found, err := evaluations(path, s)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return &problem.Error{Op: "leaderboard", Path: path, Err: errors.New("there is no evaluation in it"), Fix: "run a recipe with Eval, and Export(report, \"eval\") for an out folder"}
		}
		entries = append(entries, found...)
	}
	board, err := eval.NewLeaderboard(entries, eval.Metric(c.By))
	if err != nil {
		return err
	}
	if c.HTML != "" {
		f, err := os.Create(c.HTML)
		if err != nil {
			return err
		}
		if err := errors.Join(boardPage(board).Write(f), f.Close()); err != nil {
			return err
		}
		fmt.Fprintln(s.err, "wrote", c.HTML)
	}
	if c.JSON {
		return printJSON(s.out, board)
	}
	fmt.Fprint(s.out, board.Table())
	return nil
}

// deepest is how far below an out folder evaluations are looked for.
const deepest = 4

// evaluations finds what there is to compare at a path.
func evaluations(path string, s streams) ([]eval.Entry, error) {
	if _, err := os.Stat(filepath.Join(path, "banter-store.json")); err == nil {
		return storedEvaluations(path, s)
	}
	var entries []eval.Entry
	err := filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(path, file)
		if err != nil {
			return err
		}
		if d.IsDir() && strings.Count(below, string(filepath.Separator)) >= deepest {
			return fs.SkipDir
		}
		if d.IsDir() || d.Name() != "evaluation.json" && file != path {
			return nil
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		report, err := eval.ReadReport(raw)
		if err != nil {
			return &problem.Error{Op: "leaderboard", Path: file, Err: err}
		}
		entries = append(entries, eval.Entry{Name: filepath.Dir(file), Report: report})
		return nil
	})
	return entries, err
}

// storedEvaluations are all that a store holds, named by what was trained.
func storedEvaluations(dir string, s streams) ([]eval.Entry, error) {
	store, err := storeFlag{dir}.open(s)
	if err != nil {
		return nil, err
	}
	all, err := store.Manifests()
	if err != nil {
		return nil, err
	}
	byKey := map[memo.Key]memo.Manifest{}
	for _, m := range all {
		byKey[m.Key] = m
	}
	var entries []eval.Entry
	for _, m := range all {
		if m.Verb != "eval" {
			continue
		}
		output, err := m.Output("evaluation.json")
		if err != nil {
			return nil, err
		}
		raw, err := store.Read(output)
		if err != nil {
			return nil, err
		}
		report, err := eval.ReadReport(raw)
		if err != nil {
			return nil, &problem.Error{Op: "leaderboard", Path: dir, At: m.Key.Short(), Err: err}
		}
		entries = append(entries, eval.Entry{Name: runName(m, byKey), Report: report})
	}
	return entries, nil
}

// runName says what was trained: base, rank, rate, steps, seed and the evaluation's key.
func runName(m memo.Manifest, byKey map[memo.Key]memo.Manifest) string {
	name := m.Label
	for _, k := range m.Reads {
		trained, ok := byKey[k]
		if !ok || trained.Verb != "train" {
			continue
		}
		for _, p := range trained.Parts {
			var o train.Options
			if p.Name == "options" && json.Unmarshal([]byte(p.Value), &o) == nil {
				name += fmt.Sprintf(", rank %d, rate %g, seed %d", o.Rank, o.LR, o.Seed)
				if o.Steps > 0 {
					name += fmt.Sprintf(", %d steps", o.Steps)
				} else {
					name += fmt.Sprintf(", %d epochs", o.Epochs)
				}
			}
		}
	}
	return name + ", " + m.Key.Short()
}

// boardPage is a leaderboard as a page.
func boardPage(b *eval.Leaderboard) *chart.Report {
	page := &chart.Report{Title: "Leaderboard", Subtitle: fmt.Sprintf("%d runs by %s", len(b.Runs), b.By)}
	sec := page.Section("Runs", b.Explain())
	table := chart.Table{Columns: []chart.Column{{Name: "#", Right: true}, {Name: "run", Wide: true}}, Total: len(b.Runs)}
	for _, head := range b.Heads() {
		table.Columns = append(table.Columns, chart.Column{Name: head, Right: true})
	}
	var rows [][]chart.Cell
	for _, s := range b.Runs {
		row := []chart.Cell{chart.NumberCell(float64(s.Place)), {Text: s.Name, Detail: s.Note}}
		for _, text := range b.Cells(s) {
			row = append(row, chart.TextCell(text))
		}
		rows = append(rows, row)
	}
	table.Rows = chart.Rows(rows...)
	sec.Table(table)
	return page
}
