package main

import (
	"context"
	"errors"
	"time"

	"banter/dsl"
	"banter/dsl/recipe"
	"banter/kernel/cell"
)

type runCmd struct {
	File  string            `arg:"" help:"The recipe: a Go file of package main, such as recipes/v1.go."`
	Param map[string]string `help:"Set a parameter of the recipe. May be given more than once." placeholder:"NAME=VALUE" mapsep:"none" short:"p"`
	Store string            `help:"Folder of stored results (default: .banter of this project)." placeholder:"DIR" env:"BANTER_STORE"`
	sharedFlag
	Out  string `help:"Folder for exports and the report." default:"out" placeholder:"DIR"`
	Jobs int    `help:"Streams worked on at once (default: one a core)." placeholder:"N"`
	JSON bool   `help:"Say what happens as JSON, one object a line." name:"json"`

	Locked     bool   `help:"Hold every output against the lock file beside the recipe, and end with exit code 3 if one differs." xor:"mode"`
	UpdateLock bool   `help:"Write the lock file when the run is done." xor:"mode"`
	DryRun     bool   `help:"Run nothing: say which steps are in the store, and what would run." xor:"mode"`
	Lock       string `help:"The lock file (default: the recipe's name with .lock)." placeholder:"FILE"`
	Resume     bool   `help:"Go on where an interrupted run stopped. Every run does; this only says so."`
}

func (c *runCmd) mode() recipe.Mode {
	switch {
	case c.Locked:
		return recipe.Locked
	case c.UpdateLock:
		return recipe.UpdateLock
	case c.DryRun:
		return recipe.DryRun
	}
	return recipe.Plain
}

func (c *runCmd) Run(ctx context.Context, s streams) error {
	if c.DryRun { // a table, and nothing that moves
		s.rawOut, s.rawErr = s.out, s.err
	}
	code := recipe.Run(ctx, c.File, interpret, recipe.Options{Store: c.Store, Shared: c.Shared, Out: c.Out, Params: c.Param, Jobs: c.Jobs, JSON: c.JSON, Mode: c.mode(), Lock: c.Lock, Stdout: s.rawOut, Stderr: s.rawErr})
	if code != dsl.ExitDone {
		return exitCode(code)
	}
	return nil
}

// An interrupted recipe puts its steps away. Verbs stop by themselves and say what they were doing, which takes torch as
// long as its step and a checkpoint; only a loop of the recipe's own has to be stopped from outside. A later signal ends
// the process without waiting.
const (
	unwind   = 8 * time.Second
	patience = 3 * time.Minute
)

// interpret runs a recipe with the guarantees that cells have. A verb's failure is told as the verb told it; a recipe that
// a compiler would refuse is a mistake in how the program was called.
func interpret(ctx context.Context, filename string, src []byte) error {
	program, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(unwind, stop) })()
	err := cell.RunProgram(program, filename, src, cell.Options{Patience: patience})
	if err == nil {
		err = ctx.Err()
	}
	var panicked *cell.Panic
	if errors.As(err, &panicked) {
		if e, ok := panicked.Value.(*dsl.Error); ok {
			return e
		}
	}
	var refused *cell.Error
	if errors.As(err, &refused) {
		return &dsl.UsageError{Err: refused}
	}
	return err
}

type paramsCmd struct {
	File string `arg:"" help:"The recipe."`
}

func (c *paramsCmd) Run(ctx context.Context, s streams) error {
	return recipe.PrintParams(ctx, s.out, c.File, interpret)
}
