// Package recipe runs recipes: ordinary Go programs of `package main` on the dsl, without a notebook and without a Go
// toolchain.
package recipe

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"

	"banter/dsl"
	"banter/dsl/console"
	"banter/dsl/event"
	"banter/internal/problem"
)

// Interpreter runs the source of a `package main`.
type Interpreter func(ctx context.Context, filename string, src []byte) error

// Options is how to run a recipe.
type Options struct {
	Store  string            // folder of the store; empty: dsl.DefaultStore
	Shared string            // bucket behind the store; empty: none, or what the environment says
	Out    string            // folder for exports and the report
	Params map[string]string // overrides of the recipe's parameters
	Jobs   int               // streams worked on at once; 0: one a core
	JSON   bool              // say what happens as JSON, one object a line
	Mode   Mode              // what to do besides
	Lock   string            // the lock file; empty: LockFile of the recipe
	Stdout io.Writer
	Stderr io.Writer
}

// Mode is what a run does besides running.
type Mode int

// The modes.
const (
	Plain      Mode = iota
	Locked          // hold every output against the lock file
	UpdateLock      // write the lock file
	DryRun          // run nothing: say what is in the store and what would run
)

// maxSource bounds what is read as a recipe.
const maxSource = 4 << 20

// Run runs the recipe in file and returns the exit code of the process: see dsl.ExitDone and those that follow it.
func Run(ctx context.Context, file string, interpret Interpreter, o Options) int {
	show := console.New(o.Stdout, o.Stderr, o.JSON)
	src, err := read(file)
	if err != nil {
		return dsl.Finish(nil, show, file, &dsl.UsageError{Err: err})
	}
	if o.Lock == "" {
		o.Lock = LockFile(file)
	}
	var lock *Lock
	if o.Mode == Locked {
		if lock, err = ReadLock(o.Lock); err != nil {
			return dsl.Finish(nil, show, file, &dsl.UsageError{Err: err})
		}
	}
	config := dsl.Config{Store: o.Store, Shared: o.Shared, Out: o.Out, Sink: show.Event, Jobs: o.Jobs, Params: o.Params, DryRun: o.Mode == DryRun,
		Recipe: src}
	if o.Mode == DryRun {
		config.Sink = nil
	}
	session, err := dsl.Open(config)
	if err != nil {
		return dsl.Finish(nil, show, file, err)
	}
	defer session.Close()
	err = session.Run(ctx, func() error { return interpret(ctx, file, src) })
	if o.Mode == DryRun && (err == nil || dsl.NotMade(err)) {
		p, err := planOf(session, file, src, err != nil)
		if err == nil {
			err = p.write(o.Stdout, o.JSON)
		}
		if err != nil {
			return dsl.Finish(nil, show, file, err)
		}
		return dsl.ExitDone
	}
	var gate *dsl.GateError
	if o.Mode != Plain && (err == nil || o.Mode == Locked && errors.As(err, &gate)) {
		if e := settle(session, lock, o, show); e != nil {
			err = e
		}
	}
	session.Flush(ctx)
	return dsl.Finish(session, show, rootName(file), err)
}

// settle holds a run against its lock, or writes that.
func settle(session *dsl.Session, lock *Lock, o Options, show *console.Console) error {
	now, err := NewLock(session)
	if err != nil {
		return err
	}
	say := func(format string, args ...any) {
		show.Event(event.Event{State: event.Note, Verb: "lock", Text: fmt.Sprintf(format, args...)})
	}
	switch o.Mode {
	case Locked:
		if err := lock.Verify(now); err != nil {
			return err
		}
		say("all %d steps gave the bytes that %s says", len(lock.Steps), o.Lock)
	case UpdateLock:
		if err := now.WriteTo(o.Lock); err != nil {
			return err
		}
		say("wrote %s: %d steps", o.Lock, len(now.Steps))
	}
	return nil
}

// PrintParams lists the parameters of the recipe in file, with their types, defaults and help, without running it.
func PrintParams(ctx context.Context, w io.Writer, file string, interpret Interpreter) error {
	list, err := Params(ctx, file, interpret)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", p.Name, p.Type, p.Default, p.Help)
	}
	return t.Flush()
}

// Params are the parameters of the recipe in file. It does not run.
func Params(ctx context.Context, file string, interpret Interpreter) ([]dsl.Param, error) {
	src, err := read(file)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "banter-params-") // a session wants a store; this one stays empty
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var list []dsl.Param
	session, err := dsl.Open(dsl.Config{Store: dir, ListParams: func(params any) { list, err = dsl.ListParams(params) }})
	if err != nil {
		return nil, err
	}
	defer session.Close()
	if e := session.Run(ctx, func() error { return interpret(ctx, file, src) }); e != nil {
		return nil, e
	}
	return list, err
}

// rootName names a recipe among the roots of a store, whatever folder it was run from.
func rootName(file string) string {
	if abs, err := filepath.Abs(file); err == nil {
		return abs
	}
	return file
}

func read(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxSource {
		return nil, &problem.Error{Op: "read recipe", Path: file, Err: fmt.Errorf("%d bytes is more than a recipe can have", info.Size())}
	}
	src, err := os.ReadFile(file)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, &problem.Error{Op: "read recipe", Path: file, Err: err, Fix: "name a Go file such as recipes/v1.go"}
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, &problem.Error{Op: "read recipe", Err: err}
	}
	if f.Name.Name != "main" || !declaresMain(f) {
		return nil, &problem.Error{Op: "read recipe", Path: file, Err: errors.New("this is not a package main with a func main"),
			Fix: "make one of a notebook with recipe freeze"}
	}
	return src, nil
}

func declaresMain(f *ast.File) bool {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "main" {
			return true
		}
	}
	return false
}
