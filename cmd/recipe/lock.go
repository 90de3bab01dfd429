package main

import (
	"bytes"
	"context"
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
	JSON bool   `help:"Answer as one JSON object." name:"json"`
}

func (c *diffCmd) Run(ctx context.Context, s streams) error {
	a, err := c.side(ctx, s, c.A)
	if err != nil {
		return err
	}
	b, err := c.side(ctx, s, c.B)
	if err != nil {
		return err
	}
	comparison := recipe.Compare(a, b)
	if c.JSON {
		return printJSON(s.out, comparison)
	}
	return comparison.Write(s.out, c.A, c.B)
}

func (c *diffCmd) side(ctx context.Context, s streams, file string) (*recipe.Lock, error) {
	if filepath.Ext(file) == ".lock" {
		return recipe.ReadLock(file)
	}
	if _, err := os.Stat(recipe.LockFile(file)); !errors.Is(err, fs.ErrNotExist) {
		return recipe.ReadLock(recipe.LockFile(file))
	}
	store, err := c.open(s)
	if err != nil {
		return nil, err
	}
	l, err := recipe.LastRun(store, file)
	if err != nil {
		return nil, err
	}
	params, err := recipe.Params(ctx, file, interpret)
	if err != nil {
		return nil, err
	}
	for _, p := range params { // the defaults: what a run was given besides is in its lock only
		l.Params = append(l.Params, recipe.LockedParam{Name: p.Name, Value: p.Default})
	}
	return l, nil
}

type forgetCmd struct {
	storeFlag
	Author string `help:"The author's hash, as author_hash in the tables has it." xor:"whom" required:"" placeholder:"HASH"`
	Stream string `help:"The stream's id." xor:"whom" required:"" placeholder:"ID"`
	JSON   bool   `help:"Answer as one JSON object." name:"json"`
}

func (c *forgetCmd) Run(ctx context.Context, s streams) error {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	t, err := recipe.Forget(ctx, store, recipe.Whom{Author: c.Author, Stream: c.Stream})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, t)
	}
	return t.Write(s.out)
}
