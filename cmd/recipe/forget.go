package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"banter/dsl"
	"banter/dsl/memo"
	"banter/dsl/memo/bucket"
	"banter/dsl/recipe"

	"github.com/dustin/go-humanize"
)

type forgetCmd struct {
	storeFlag
	sharedFlag
	Author  string `help:"The author's hash, as author_hash in the tables has it." xor:"whom" required:"" placeholder:"HASH"`
	Stream  string `help:"The stream's id." xor:"whom" required:"" placeholder:"ID"`
	Rebuild bool   `help:"Remove all of it for good, leave it out of what Load reads from now on, and run the recipes again that needed it."`
	JSON    bool   `help:"Answer as one JSON object." name:"json"`
}

func (c *forgetCmd) Run(ctx context.Context, s streams) error {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	whom := recipe.Whom{Author: c.Author, Stream: c.Stream}
	if c.Rebuild {
		if c.Shared != "" && !strings.Contains(c.Shared, "://") { // recipes run again in folders of their own
			if c.Shared, err = filepath.Abs(c.Shared); err != nil {
				return err
			}
		}
		if err := share(ctx, store, c.Shared, bucket.OpenExisting); err != nil {
			return err
		}
		return errors.Join(c.rebuild(ctx, s, store, whom), store.Close())
	}
	t, err := recipe.Forget(ctx, store, whom)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, t)
	}
	return t.Write(s.out)
}

// rebuild removes, and runs again what needed it.
func (c *forgetCmd) rebuild(ctx context.Context, s streams, store *memo.Store, whom recipe.Whom) error {
	r, err := recipe.Remove(ctx, store, whom)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(s.out, r)
	} else {
		_, err = fmt.Fprintf(s.out, "removed %d steps and %d objects (%s)\n", r.Steps, r.Objects, humanize.IBytes(uint64(r.Bytes)))
		if err == nil && len(r.Touched.Steps) == 0 {
			err = r.Touched.Write(s.out)
		}
	}
	if err != nil {
		return err
	}
	failed := false
	for _, name := range r.Recipes {
		if code := c.again(ctx, s, store, name); code != dsl.ExitDone && code != dsl.ExitGate {
			failed = true
		}
	}
	if left, err := recipe.Forget(ctx, store, whom); err != nil {
		return err
	} else if len(left.Steps) > 0 {
		return fmt.Errorf("%d steps still hold something of theirs: recipe forget lists them", len(left.Steps))
	}
	if !c.JSON {
		if err := recipe.WriteOutside(s.out, store); err != nil {
			return err
		}
	}
	if failed {
		return exitCode(dsl.ExitFailed)
	}
	return nil
}

// again runs a recipe as it was run last, where it was run last.
func (c *forgetCmd) again(ctx context.Context, s streams, store *memo.Store, name string) int {
	dir, o, err := recipe.Again(store, name)
	here, e := os.Getwd()
	if err == nil {
		err = e
	}
	if err == nil {
		err = os.Chdir(dir)
	}
	if err != nil {
		fmt.Fprintln(s.err, "error:", err)
		return dsl.ExitFailed
	}
	defer func() { _ = os.Chdir(here) }() // nothing that follows names a file by a relative path
	if !c.JSON {
		fmt.Fprintf(s.out, "run again: %s\n", name)
	}
	o.Shared, o.JSON, o.Stdout, o.Stderr = c.Shared, c.JSON, s.rawOut, s.rawErr
	return recipe.Run(ctx, name, interpret, o)
}
