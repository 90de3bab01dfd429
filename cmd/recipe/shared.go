package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"banter/dsl/memo"
	"banter/dsl/memo/bucket"

	"github.com/dustin/go-humanize"
)

// sharedFlag is what commands that may look behind the store take.
type sharedFlag struct {
	Shared string `help:"Bucket that several stores share: a folder, or s3://BUCKET/PREFIX?region=REGION. What the store lacks is looked for there, and what this run makes is sent there; recipe cache push sends what the store has already." placeholder:"URL" env:"BANTER_SHARED"`
}

// meansShared is what commands take that look after the store, or, if it is named, after the shared one. That is not taken
// from the environment: who cleans up says where.
type meansShared struct {
	Shared string `help:"Look after this bucket, which several stores share, and not after the store: a folder, or s3://BUCKET/PREFIX?region=REGION." placeholder:"URL"`
}

// bucketOpener opens what a URL or a folder's name says.
type bucketOpener func(ctx context.Context, where string) (*bucket.Bucket, error)

// share puts a bucket behind a store, if one is named.
func share(ctx context.Context, store *memo.Store, where string, open bucketOpener) error {
	if where == "" {
		return nil
	}
	b, err := open(ctx, where)
	if err == nil {
		store.Share(b)
	}
	return err
}

// with opens the store with a bucket behind it, if one is named, for as long as use runs.
func with(ctx context.Context, s streams, openStore func(streams) (*memo.Store, error), openBucket bucketOpener, where string, use func(*memo.Store) error) error {
	store, err := openStore(s)
	if err != nil {
		return err
	}
	if err := share(ctx, store, where, openBucket); err != nil {
		return errors.Join(err, store.Close())
	}
	return errors.Join(use(store), store.Close())
}

type cachePushCmd struct {
	storeFlag
	sharedFlag
	Keys []string `arg:"" optional:"" name:"key" help:"Steps: their keys, or how they begin; those that they were made from come with them (default: all)."`
	JSON bool     `help:"Answer as one JSON object." name:"json"`
}

func (c *cachePushCmd) Run(ctx context.Context, s streams) error {
	return with(ctx, s, c.open, bucket.Open, c.Shared, func(store *memo.Store) error {
		keys, err := (&cacheExportCmd{Keys: c.Keys}).steps(store)
		if err != nil {
			return err
		}
		sent, err := store.Push(ctx, keys)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, sent)
		}
		_, err = fmt.Fprintf(s.out, "%s: %d steps, of which %d were new; sent %d objects, %s\n", store.Shared(), sent.Steps, sent.New, sent.Objects, humanize.IBytes(uint64(sent.Bytes)))
		return err
	})
}

type cachePullCmd struct {
	storeFlag
	sharedFlag
	JSON bool `help:"Answer as one JSON object." name:"json"`
}

func (c *cachePullCmd) Run(ctx context.Context, s streams) error {
	return with(ctx, s, c.create, bucket.OpenExisting, c.Shared, func(store *memo.Store) error {
		all, taken, err := store.Pull(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, struct{ Steps, New int }{all, taken})
		}
		_, err = fmt.Fprintf(s.out, "%s: %d steps, of which %d were new here\n", store.Shared(), all, taken)
		return err
	})
}

// gcShared removes from the shared store what is old and not wanted, or says what that is.
func (c *cacheGcCmd) gcShared(ctx context.Context, s streams) error {
	return with(ctx, s, c.open, bucket.OpenExisting, c.Shared, func(store *memo.Store) error {
		r, err := store.GCShared(ctx, memo.SharedGC{Older: time.Duration(c.OlderDays) * 24 * time.Hour, Steps: c.Steps, DryRun: !c.Yes})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, gcAnswer{r, !c.Yes})
		}
		did, then := "removed", ""
		if !c.Yes {
			did = "would remove"
			if r.Manifests+r.Objects+r.Drafts > 0 {
				then = ": say --yes to do it"
			}
		}
		_, err = fmt.Fprintf(s.out, "%s: %s %d steps, %d objects (%s) and %d drafts that are older than %d days; %s stay%s\n", store.Shared(), did, r.Manifests, r.Objects,
			humanize.IBytes(uint64(r.Bytes)), r.Drafts, c.OlderDays, humanize.IBytes(uint64(r.Left)), then)
		return err
	})
}
