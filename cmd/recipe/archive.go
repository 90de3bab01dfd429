package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"banter/dsl"
	"banter/dsl/memo"
	"banter/internal/problem"

	"github.com/dustin/go-humanize"
)

type cacheExportCmd struct {
	storeFlag
	File  string   `arg:"" help:"The archive to write (tar.zst), or - for standard output."`
	Keys  []string `arg:"" optional:"" name:"key" help:"Steps: their keys, or how they begin (default: all)."`
	Alone bool     `help:"Only the named steps, without those that they were made from."`
}

func (c *cacheExportCmd) Run(ctx context.Context, s streams) error {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	keys, err := c.steps(store)
	if err != nil {
		return err
	}
	if c.File == "-" {
		_, err := store.Export(ctx, s.rawOut, keys)
		return err
	}
	var a memo.Archived
	r, w := io.Pipe()
	go func() {
		var err error
		a, err = store.Export(ctx, w, keys)
		w.CloseWithError(err)
	}()
	if err := memo.WriteFile(c.File, r); err != nil {
		_ = r.CloseWithError(err)
		return err
	}
	fmt.Fprintf(s.out, "wrote %s: %d steps, %d objects, %s before compression\n", c.File, a.Steps, a.Objects, humanize.IBytes(uint64(a.Bytes)))
	return nil
}

// steps resolves what was asked for.
func (c *cacheExportCmd) steps(store *memo.Store) ([]memo.Key, error) {
	var keys []memo.Key
	if len(c.Keys) == 0 {
		all, err := store.Manifests()
		if err != nil {
			return nil, err
		}
		for _, m := range all {
			keys = append(keys, m.Key)
		}
		if len(keys) == 0 {
			return nil, &problem.Error{Op: "export", Path: store.Dir(), Err: errors.New("the store holds no steps"), Fix: "name the store of a finished run with --store"}
		}
		return keys, nil
	}
	for _, prefix := range c.Keys {
		m, err := store.Resolve(prefix)
		if err != nil {
			return nil, err
		}
		keys = append(keys, m.Key)
	}
	if c.Alone {
		return keys, nil
	}
	return store.With(keys)
}

type cacheImportCmd struct {
	storeFlag
	File  string `arg:"" help:"The archive to read, or - for standard input."`
	Limit string `help:"Take in at most so many bytes of results." default:"64GiB" placeholder:"SIZE"`
}

func (c *cacheImportCmd) Run(ctx context.Context, s streams) error {
	limit, err := humanize.ParseBytes(c.Limit)
	if err != nil || limit == 0 || limit > 1<<62 {
		return &dsl.UsageError{Err: fmt.Errorf("--limit %q is not a size such as 10GB", c.Limit)}
	}
	var in io.Reader = os.Stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return &problem.Error{Op: "import", Path: c.File, Err: errors.Unwrap(err), Fix: "name an archive of recipe cache export"}
		}
		defer f.Close()
		in = f
	}
	store, err := c.create(s)
	if err != nil {
		return err
	}
	a, err := store.Import(ctx, in, memo.ImportOptions{Limit: int64(limit)})
	if err != nil {
		var p *problem.Error
		if errors.As(err, &p) && p.Path == "" {
			p.Path = c.File
		}
		return err
	}
	fmt.Fprintf(s.out, "imported %s: %d steps, of which %d were new, %s\n", c.File, a.Steps, a.New, humanize.IBytes(uint64(a.Bytes)))
	return nil
}
