package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"banter/dsl/memo"
	"banter/dsl/recipe"
)

type graphCmd struct {
	storeFlag
	File   string `arg:"" help:"The recipe, whose last run is drawn; or a lock file."`
	Output string `help:"The SVG to write." short:"o" default:"graph.svg" placeholder:"FILE.svg"`
}

func (c *graphCmd) Run(s streams) error {
	var l *recipe.Lock
	var err error
	if filepath.Ext(c.File) == ".lock" {
		l, err = recipe.ReadLock(c.File)
	} else {
		var store *memo.Store
		if store, err = c.open(s); err != nil {
			return err
		}
		l, err = recipe.LastRun(store, c.File)
	}
	if err != nil {
		return err
	}
	if err := memo.WriteFile(c.Output, bytes.NewReader(recipe.Graph(l))); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "wrote %s: %d steps\n", c.Output, len(l.Steps))
	return nil
}

type diffCmd struct {
	storeFlag
	A    string `arg:"" help:"A lock file; or a recipe, which is taken by its lock file or, if it has none, by its last run."`
	B    string `arg:"" help:"The other."`
	Runs bool   `help:"Take recipes by their last runs even where they have lock files."`
	All  bool   `help:"Show the metrics that are the same, too."`
	JSON bool   `help:"Answer as one JSON object." name:"json"`
}

func (c *diffCmd) Run(s streams) error {
	a, err := c.side(s, c.A)
	if err != nil {
		return err
	}
	b, err := c.side(s, c.B)
	if err != nil {
		return err
	}
	comparison := recipe.Compare(a, b, c.All)
	if c.JSON {
		return printJSON(s.out, comparison)
	}
	return comparison.Write(s.out, c.A, c.B)
}

func (c *diffCmd) side(s streams, file string) (*recipe.Lock, error) {
	if filepath.Ext(file) == ".lock" {
		return recipe.ReadLock(file)
	}
	if _, err := os.Stat(recipe.LockFile(file)); !c.Runs && !errors.Is(err, fs.ErrNotExist) {
		return recipe.ReadLock(recipe.LockFile(file))
	}
	store, err := c.open(s)
	if err != nil {
		return nil, err
	}
	return recipe.LastRun(store, file)
}
