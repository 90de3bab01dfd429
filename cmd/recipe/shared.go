package main

import (
	"context"
	"fmt"

	"banter/dsl/memo"

	"github.com/dustin/go-humanize"
)

type cachePushCmd struct {
	storeFlag
	sharedFlag
	Keys []string `arg:"" optional:"" name:"key" help:"Steps: their keys, or how they begin; those that they were made from come with them (default: all)."`
}

func (c *cachePushCmd) Run(ctx context.Context, s streams) (err error) {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	if err := c.behind(ctx, store); err != nil {
		return err
	}
	defer closing(store, &err)
	keys, err := (&cacheExportCmd{Keys: c.Keys}).steps(store)
	if err != nil {
		return err
	}
	sent, err := store.Push(ctx, keys)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s: %d steps, of which %d were new; sent %d objects, %s\n", store.Shared(), sent.Steps, sent.New, sent.Objects, humanize.IBytes(uint64(sent.Bytes)))
	return nil
}

type cachePullCmd struct {
	storeFlag
	sharedFlag
}

func (c *cachePullCmd) Run(ctx context.Context, s streams) (err error) {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	if err := c.behind(ctx, store); err != nil {
		return err
	}
	defer closing(store, &err)
	all, taken, err := store.Pull(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s: %d steps, of which %d were new here\n", store.Shared(), all, taken)
	return nil
}

func closing(store *memo.Store, err *error) {
	if e := store.Close(); *err == nil {
		*err = e
	}
}
