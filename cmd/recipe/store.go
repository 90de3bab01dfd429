package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"banter/dsl"
	"banter/dsl/memo"
	"banter/dsl/memo/bucket"
	"banter/dsl/recipe"
	"banter/internal/problem"

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

// open opens the store for a command that looks into it: a folder that was named has to be there.
func (f storeFlag) open(s streams) (*memo.Store, error) {
	if dir := f.dir(); f.Store != "" {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, &problem.Error{Op: "open store", Path: dir, Err: errors.New("there is no such folder"), Fix: "recipe run --store makes one; without --store, the project's is meant"}
		}
	}
	return f.create(s)
}

// create opens the store for a command that brings something into it, and makes it where there is none.
func (f storeFlag) create(s streams) (*memo.Store, error) {
	return memo.Open(f.dir(), func(text string) { fmt.Fprintln(s.err, "warning:", text) })
}

type verifyCmd struct {
	storeFlag
	meansShared
	JSON bool `help:"Answer as one JSON object." name:"json"`
}

func (c *verifyCmd) Run(ctx context.Context, s streams) error {
	open := c.open
	if c.Shared != "" { // nothing is looked for in the store
		open = c.create
	}
	return with(ctx, s, open, bucket.OpenExisting, c.Shared, func(store *memo.Store) error {
		if c.Shared != "" {
			r, err := store.VerifyShared(ctx)
			if err != nil {
				return err
			}
			return c.tell(s, store.Shared(), r)
		}
		r, err := store.Verify(ctx)
		if err != nil {
			return err
		}
		return c.tell(s, store.Dir(), r)
	})
}

// tell says what was found in a store.
func (c *verifyCmd) tell(s streams, where string, r memo.VerifyReport) error {
	if c.JSON {
		if err := printJSON(s.out, r); err != nil {
			return err
		}
	} else {
		for _, w := range r.Wrong {
			fmt.Fprintf(s.out, "wrong: %s: %s\n", w.Path, w.What)
		}
		fmt.Fprintf(s.out, "%s: %d steps, %d objects, %s read back; %d wrong\n", where, r.Manifests, r.Objects, humanize.IBytes(uint64(r.Bytes)), len(r.Wrong))
		if r.Orphans+r.Drafts > 0 {
			gc := "recipe cache gc"
			if c.Shared != "" {
				gc += " --shared"
			}
			fmt.Fprintf(s.out, "%d objects and %d drafts are leavings of what was broken off: %s removes them\n", r.Orphans, r.Drafts, gc)
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
		fmt.Fprintf(s.out, "  %s = %s\n", p.Name, strings.ReplaceAll(strings.TrimSpace(p.Value), "\n", "\n      "))
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

type cacheLsCmd struct {
	storeFlag
	Runs bool `help:"List the runs whose steps gc keeps, and until when."`
	JSON bool `help:"Answer as JSON, one object a line." name:"json"`
}

func (c *cacheLsCmd) Run(s streams) error {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	roots, err := store.Roots()
	if err != nil {
		return err
	}
	if c.Runs {
		return c.runs(s, roots)
	}
	list, err := store.Manifests()
	if err != nil {
		return err
	}
	keptBy := map[memo.Key][]string{}
	for _, r := range roots {
		for _, k := range r.Keys {
			keptBy[k] = append(keptBy[k], filepath.Base(r.Name))
		}
	}
	if c.JSON {
		enc := json.NewEncoder(s.out)
		for _, m := range list {
			if err := enc.Encode(struct {
				memo.Manifest
				KeptBy []string `json:"kept_by"`
			}{m, append([]string{}, keptBy[m.Key]...)}); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tSTEP\tOF\tBYTES\tTOOK\tMADE\tKEPT BY")
	for _, m := range list {
		var size int64
		for _, o := range m.Outputs {
			size += o.Size
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2fs\t%s\t%s\n", m.Key.Short(), m.Verb, m.Label, humanize.IBytes(uint64(size)), m.Seconds, m.Made.Format("2006-01-02 15:04:05"), strings.Join(keptBy[m.Key], ", "))
	}
	return w.Flush()
}

// runs lists what gc keeps steps for.
func (c *cacheLsCmd) runs(s streams, roots []memo.Root) error {
	if c.JSON {
		enc := json.NewEncoder(s.out)
		for _, r := range roots {
			until := ""
			if !r.Until.IsZero() {
				until = r.Until.UTC().Format(time.RFC3339)
			}
			if err := enc.Encode(struct {
				Name  string            `json:"name"`
				Until string            `json:"until,omitempty"`
				About map[string]string `json:"about"`
				Keys  []memo.Key        `json:"keys"`
			}{r.Name, until, r.About, r.Keys}); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STEPS\tKEPT UNTIL\tENDED\tRUN")
	for _, r := range roots {
		until, ended := "the next run", "well" // only runs that ended well are kept so
		if !r.Until.IsZero() {
			until, ended = r.Until.Format("2006-01-02"), cmp.Or(r.About["ended"], "-") // a session of a notebook has no end
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", len(r.Keys), until, ended, r.Name)
	}
	return w.Flush()
}

type cacheDuCmd struct {
	storeFlag
	JSON bool `help:"Answer as one JSON object." name:"json"`
}

func (c *cacheDuCmd) Run(s streams) error {
	store, err := c.open(s)
	if err != nil {
		return err
	}
	u, err := store.Usage()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, u)
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
	Budget string `help:"Remove the steps used longest ago, except those that runs and notebooks need (recipe cache ls --runs), until the store holds no more than this." placeholder:"10GB"`
	DryRun bool   `help:"Only say what would be removed."`

	meansShared
	OlderDays int  `help:"With --shared: what may be removed was written more than so many days ago." default:"30" placeholder:"DAYS"`
	Steps     bool `help:"With --shared: remove old steps, too, that no run recorded in this store needs, and not only leavings of broken transfers."`
	Yes       bool `help:"With --shared: do it. Without this, it only says what it would do."`
	JSON      bool `help:"Answer as one JSON object." name:"json"`
}

// gcAnswer is what gc did, or would do.
type gcAnswer struct {
	memo.GCReport
	DryRun bool
}

func (c *cacheGcCmd) Run(ctx context.Context, s streams) error {
	wrong := ""
	switch {
	case c.Shared != "" && c.Budget != "":
		wrong = "--budget is the store's: a shared store goes by age, --older-days"
	case c.Shared != "" && c.DryRun && c.Yes:
		wrong = "--dry-run and --yes contradict each other"
	case c.Shared == "" && (c.Steps || c.Yes):
		wrong = "--steps and --yes go with --shared URL"
	case c.OlderDays < 1 || c.OlderDays > 36500:
		wrong = "--older-days wants 1 day at least: what is younger may be on its way"
	}
	budget := int64(-1)
	if c.Budget != "" {
		n, err := humanize.ParseBytes(c.Budget)
		if err != nil || n > 1<<62 {
			wrong = fmt.Sprintf("--budget %q is not a size such as 10GB", c.Budget)
		}
		budget = int64(n)
	}
	if wrong != "" {
		return &dsl.UsageError{Err: errors.New(wrong)}
	}
	if c.Shared != "" {
		return c.gcShared(ctx, s)
	}
	store, err := c.open(s)
	if err != nil {
		return err
	}
	r, err := store.GC(ctx, budget, c.DryRun)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, gcAnswer{r, c.DryRun})
	}
	did := "removed"
	if c.DryRun {
		did = "would remove"
	}
	fmt.Fprintf(s.out, "%s %d steps, %d objects (%s), %d drafts, %d scratch folders; %s stay\n", did, r.Manifests, r.Objects,
		humanize.IBytes(uint64(r.Bytes)), r.Drafts, r.Scratch, humanize.IBytes(uint64(r.Left)))
	return nil
}
