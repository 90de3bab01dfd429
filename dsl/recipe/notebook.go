package recipe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"banter/dsl/memo"
	"banter/internal/problem"
)

// Notebook is what freeze and thaw need of a Jupyter notebook (nbformat 4): its cells' texts and the order of their runs.
type Notebook struct {
	Cells []Cell
}

// Cell is one cell of a notebook.
type Cell struct {
	Kind   CellKind
	Source string
	Run    int // the number in In [n]: in which place the kernel ran it; 0 if it did not

	Explores []string // the pictures of Explore below the cell, in order
	Chosen   []Choice // what the cell took from such pictures when it was run
}

// Choice is a confidence that was chosen in a picture of Explore.
type Choice struct {
	Explore    string  `json:"explore"`
	Confidence float64 `json:"confidence"`
}

// choices reads from a cell's output what Explore keeps there.
func (c *Cell) choices(data map[string]json.RawMessage) {
	var choice Choice
	if json.Unmarshal(data["application/vnd.banter.explore+json"], &choice) == nil && choice.Explore != "" {
		c.Explores = append(c.Explores, choice.Explore)
	}
	choice = Choice{Confidence: -1}
	if json.Unmarshal(data["application/vnd.banter.threshold+json"], &choice) == nil && choice.Confidence >= 0 && choice.Confidence <= 1 {
		c.Chosen = append(c.Chosen, choice)
	}
}

// CellKind is what a cell holds.
type CellKind string

// The kinds of cells. Others, such as raw ones, are left out.
const (
	Code     CellKind = "code"
	Markdown CellKind = "markdown"
)

const (
	maxNotebook  = 256 << 20 // bytes of a file: outputs hold images
	maxCells     = 10_000
	maxCellBytes = 1 << 20
)

// text is a string that nbformat writes whole or as a list of lines.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte("[")) {
		var lines []string
		if err := json.Unmarshal(b, &lines); err != nil {
			return err
		}
		*t = text(strings.Join(lines, ""))
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// ReadNotebook reads a notebook of Banter's kernel.
func ReadNotebook(file string) (*Notebook, error) {
	fail := func(err error, fix string) (*Notebook, error) {
		return nil, &problem.Error{Op: "read notebook", Path: file, Err: err, Fix: fix}
	}
	f, err := os.Open(file)
	if err != nil {
		return fail(plain(err), "")
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxNotebook+1))
	if err != nil {
		return fail(plain(err), "")
	}
	nb, err := parseNotebook(b)
	if err != nil {
		return fail(err, "")
	}
	return nb, nil
}

func parseNotebook(b []byte) (*Notebook, error) {
	if len(b) > maxNotebook {
		return nil, errors.New("it is too large: clear the outputs and save it again")
	}
	var raw struct {
		Format   *int `json:"nbformat"`
		Metadata struct {
			Kernel struct {
				Name     string `json:"name"`
				Display  string `json:"display_name"`
				Language string `json:"language"`
			} `json:"kernelspec"`
		} `json:"metadata"`
		Cells []struct {
			Type   string `json:"cell_type"`
			Source text   `json:"source"`
			Run    *int   `json:"execution_count"`
			// Whatever else an output may be: of another type it is no display.
			Outputs []struct {
				Data map[string]json.RawMessage `json:"data"`
			} `json:"outputs"`
		} `json:"cells"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, notNotebook(b, err)
	}
	if raw.Format == nil {
		return nil, errors.New("it is not a notebook: it has no nbformat")
	}
	if *raw.Format != 4 {
		return nil, fmt.Errorf("it is of nbformat %d, and only 4 is known: open it in Jupyter and save it", *raw.Format)
	}
	k := raw.Metadata.Kernel
	ours := strings.Contains(strings.ToLower(k.Name+" "+k.Display), "banter")
	if !ours || k.Language != "" && k.Language != "go" {
		return nil, fmt.Errorf("it is of the kernel %q and not of Banter (Go): choose that kernel in Jupyter, run all cells and save it", k.Display+" "+k.Name)
	}
	if len(raw.Cells) > maxCells {
		return nil, fmt.Errorf("it has %d cells, and %d are the most that are read", len(raw.Cells), maxCells)
	}
	nb := &Notebook{}
	total := 0
	for i, c := range raw.Cells {
		if total += len(c.Source); total > maxSource || len(c.Source) > maxCellBytes {
			return nil, fmt.Errorf("cell %d: the cells have more text than a recipe can have", i+1)
		}
		cell := Cell{Kind: CellKind(c.Type), Source: strings.ReplaceAll(string(c.Source), "\r\n", "\n")}
		if c.Run != nil && *c.Run > 0 {
			cell.Run = *c.Run
		}
		for _, o := range c.Outputs {
			cell.choices(o.Data)
		}
		nb.Cells = append(nb.Cells, cell)
	}
	return nb, nil
}

// notNotebook says what b is in place of a notebook, which err found in the terms of Go.
func notNotebook(b []byte, err error) error {
	const want = "a notebook is a JSON object with nbformat, metadata and cells, as Jupyter saves it in a file named .ipynb"
	start := bytes.TrimSpace(b)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case len(start) == 0:
		return errors.New("the file is empty: " + want)
	case start[0] != '{' && !json.Valid(b):
		return errors.New("it is not JSON: " + want)
	case start[0] != '{':
		return errors.New("it is JSON, but not an object: " + want)
	case errors.As(err, &syntax):
		line := 1 + bytes.Count(b[:min(max(syntax.Offset-1, 0), int64(len(b)))], []byte("\n"))
		return fmt.Errorf("line %d: it is no longer JSON (%v): save the notebook again, or take a whole copy of it", line, syntax)
	case errors.As(err, &kind):
		line := 1 + bytes.Count(b[:min(max(kind.Offset-1, 0), int64(len(b)))], []byte("\n"))
		what := kind.Field
		if what == "" {
			what = "a cell's text" // which decodes itself
		}
		return fmt.Errorf("line %d: %s is of the wrong type (%s): %s", line, what, kind.Value, want)
	}
	return fmt.Errorf("it is not a notebook: %w", err)
}

// Write writes the notebook as Jupyter does: nbformat 4.5, without outputs.
func (nb *Notebook) Write(w io.Writer) error {
	type cell struct {
		Type     string         `json:"cell_type"`
		ID       string         `json:"id"`
		Metadata map[string]any `json:"metadata"`
		Source   []string       `json:"source"`
	}
	// A code cell has execution_count and outputs even where they are empty, any other has neither.
	type codeCell struct {
		Type     string         `json:"cell_type"`
		Run      *int           `json:"execution_count"`
		ID       string         `json:"id"`
		Metadata map[string]any `json:"metadata"`
		Outputs  []any          `json:"outputs"`
		Source   []string       `json:"source"`
	}
	cells := []any{}
	for i, c := range nb.Cells {
		id := fmt.Sprintf("cell-%d", i+1)
		lines := strings.SplitAfter(c.Source, "\n")
		if lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		if c.Kind == Code {
			var run *int
			if c.Run > 0 {
				run = &c.Run
			}
			cells = append(cells, codeCell{"code", run, id, map[string]any{}, []any{}, lines})
		} else {
			cells = append(cells, cell{string(c.Kind), id, map[string]any{}, lines})
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(map[string]any{
		"cells": cells,
		"metadata": map[string]any{
			"kernelspec":    map[string]string{"display_name": "Banter (Go)", "language": "go", "name": "banter"},
			"language_info": map[string]string{"name": "go", "file_extension": ".go", "mimetype": "text/x-go"},
		},
		"nbformat":       4,
		"nbformat_minor": 5,
	})
}

// WriteTo writes the notebook to a file, which appears complete or not at all.
func (nb *Notebook) WriteTo(file string) error {
	var b bytes.Buffer
	if err := nb.Write(&b); err != nil {
		return err
	}
	return memo.WriteFile(file, &b)
}
