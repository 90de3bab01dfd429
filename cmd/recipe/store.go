package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"banter/dsl"
	"banter/dsl/memo"
	"banter/dsl/memo/bucket"
	"banter/dsl/recipe"

	"github.com/dustin/go-humanize"
)

// storeFlag is what every command on the store takes.
type storeFlag struct {
	Store string `help:"Folder of stored results (default: .banter of this project)." placeholder:"DIR" env:"BANTER_STORE"`
}

// dir is the store that is meant.
func (f storeFlag) dir() string {
	if f.Store != "" {
		return f.Store
	}
	return dsl.DefaultStore()
}

func (f storeFlag) open(s streams) (*memo.Store, error) {
	return memo.Open(f.dir(), func(text string) { fmt.Fprintln(s.err, "warning:", text) })
}

// sharedFlag is what commands that may look behind the store take.
type sharedFlag struct {
	Shared string `help:"Bucket that several stores share: a folder, or s3://BUCKET/PREFIX?region=REGION. What the store lacks is looked for there, and what is made is sent there." placeholder:"URL" env:"BANTER_SHARED"`
}

// behind puts the bucket behind a store, if one is named.
func (f sharedFlag) behind(ctx context.Context, store *memo.Store) error {
	if f.Shared == "" {
		return nil
	}
	b, err := bucket.Open(ctx, f.Shared)
	if err == nil {
		store.Share(b)
	}
	return err
}

type verifyCmd struct {
	storeFlag
	JSON bool `help:"Answer as one JSON object." name:"json"`
}

func (c *verifyCmd) Run(ctx context.Context, s streams) error {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	r, err := store.Verify(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(s.out, r); err != nil {
			return err
		}
	} else {
		for _, w := range r.Wrong {
			fmt.Fprintf(s.out, "wrong: %s: %s\n", w.Path, w.What)
		}
		fmt.Fprintf(s.out, "%s: %d steps, %d objects, %s read back; %d wrong\n", store.Dir(), r.Manifests, r.Objects, humanize.IBytes(uint64(r.Bytes)), len(r.Wrong))
		if r.Orphans+r.Drafts > 0 {
			fmt.Fprintf(s.out, "%d objects and %d drafts are leavings of runs that were broken off: recipe cache gc removes them\n", r.Orphans, r.Drafts)
		}
	}
	if len(r.Wrong) > 0 {
		return exitCode(dsl.ExitFailed)
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(v)
}

type explainCmd struct {
	storeFlag
	sharedFlag
	Step  string            `arg:"" name:"key|recipe" help:"A stored step: its key, or how it begins. Or a recipe: all its steps, as far as their keys can be known, whether they ran or not."`
	Param map[string]string `help:"Set a parameter of the recipe. May be given more than once." placeholder:"NAME=VALUE" mapsep:"none" short:"p"`
	JSON  bool              `help:"Answer as JSON." name:"json"`
}

func (c *explainCmd) Run(ctx context.Context, s streams) error {
	if filepath.Ext(c.Step) == ".go" {
		return c.recipe(ctx, s)
	}
	store, err := c.open(s)
	if err != nil {
		return err
	}
	m, err := store.Resolve(c.Step)
	if err != nil {
		return err
	}
	near, diff, err := store.Nearest(m)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, struct {
			memo.Manifest
			Nearest memo.Key          `json:"nearest,omitempty"`
			Changed []memo.Difference `json:"changed,omitempty"`
		}{m, near, diff})
	}
	fmt.Fprintf(s.out, "%s %s\nkey %s\nmade %s in %.2fs\n", m.Verb, m.Label, m.Key, m.Made.Format("2006-01-02 15:04:05 MST"), m.Seconds)
	if m.Varies != "" {
		fmt.Fprintf(s.out, "bytes may differ elsewhere: %s\n", m.Varies)
	}
	for _, p := range m.Parts {
		fmt.Fprintf(s.out, "  %s = %s\n", p.Name, p.Value)
	}
	for _, o := range m.Outputs {
		fmt.Fprintf(s.out, "  -> %s %s (%s)\n", o.Name, o.Digest[:12], humanize.IBytes(uint64(o.Size)))
	}
	if near != "" {
		fmt.Fprintf(s.out, "nearest other %s: %s, which differs in\n", m.Verb, near.Short())
		for _, d := range diff {
			fmt.Fprintf(s.out, "  %s\n", d)
		}
	}
	return nil
}

// recipe explains the steps of a recipe without running it.
func (c *explainCmd) recipe(ctx context.Context, s streams) error {
	e, err := recipe.Explain(ctx, c.Step, interpret, recipe.Options{Store: c.Store, Shared: c.Shared, Params: c.Param})
	var usage *dsl.UsageError
	if errors.As(err, &usage) {
		fmt.Fprintln(s.err, "error:", err)
		return exitCode(dsl.ExitUsage)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, e)
	}
	for _, x := range e.Steps {
		fmt.Fprint(s.out, x)
		if x.Hit {
			continue
		}
		for _, p := range x.Parts {
			fmt.Fprintf(s.out, "    %s = %s\n", p.Name, memo.Shown(p.Value))
		}
	}
	if len(e.Then) > 0 {
		fmt.Fprintf(s.out, "then %s: their keys depend on what is not there yet\n", strings.Join(e.Then, ", "))
	}
	return nil
}

type cacheCmd struct {
	Ls     cacheLsCmd `cmd:"" help:"List the stored steps, the most recently used first."`
	Du     cacheDuCmd `cmd:"" help:"Say how much each verb's results take."`
	Gc     cacheGcCmd `cmd:"" help:"Remove leavings of broken runs, and what exceeds a budget."`
	Verify verifyCmd  `cmd:"" help:"Read everything back and say what is wrong."`

	Export cacheExportCmd `cmd:"" help:"Write steps with their results to an archive, to take them elsewhere."`
	Push   cachePushCmd   `cmd:"" help:"Send steps with their results to the shared store, as far as it lacks them."`
	Pull   cachePullCmd   `cmd:"" help:"Take all steps of the shared store in. A run takes what it needs by itself."`
	Import cacheImportCmd `cmd:"" help:"Take the steps of an archive in, after checking every byte. Import only from those you trust."`
}

type cacheLsCmd struct{ storeFlag }

func (c *cacheLsCmd) Run(s streams) error {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	list, err := store.Manifests()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tSTEP\tOF\tBYTES\tTOOK\tMADE")
	for _, m := range list {
		var size int64
		for _, o := range m.Outputs {
			size += o.Size
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2fs\t%s\n", m.Key.Short(), m.Verb, m.Label, humanize.IBytes(uint64(size)), m.Seconds, m.Made.Format("2006-01-02 15:04:05"))
	}
	return w.Flush()
}

type cacheDuCmd struct{ storeFlag }

func (c *cacheDuCmd) Run(s streams) error {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	u, err := store.Usage()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, verb := range slices.Sorted(maps.Keys(u.ByVerb)) {
		fmt.Fprintf(w, "%s\t%s\t\n", verb, humanize.IBytes(uint64(u.ByVerb[verb])))
	}
	fmt.Fprintf(w, "%d objects\t%s\t\n", u.Objects, humanize.IBytes(uint64(u.Bytes)))
	return w.Flush()
}

type cacheGcCmd struct {
	storeFlag
	Budget string `help:"Remove the steps used longest ago, except those that the last run of a recipe needs, until the store holds no more than this." placeholder:"10GB"`
	DryRun bool   `help:"Only say what would be removed."`
}

func (c *cacheGcCmd) Run(ctx context.Context, s streams) error {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	budget := int64(-1)
	if c.Budget != "" {
		n, err := humanize.ParseBytes(c.Budget)
		if err != nil {
			return fmt.Errorf("budget %q: %w", c.Budget, err)
		}
		budget = int64(n)
	}
	r, err := store.GC(ctx, budget, c.DryRun)
	if err != nil {
		return err
	}
	did := "removed"
	if c.DryRun {
		did = "would remove"
	}
	fmt.Fprintf(s.out, "%s %d steps, %d objects (%s), %d drafts, %d scratch folders; %s stay\n", did, r.Manifests, r.Objects,
		humanize.IBytes(uint64(r.Bytes)), r.Drafts, r.Scratch, humanize.IBytes(uint64(r.Left)))
	return nil
}
