package main

import (
	"context"

	"banter/dsl"
	"banter/dsl/recipe"
)

type runCmd struct {
	File  string            `arg:"" help:"The recipe: a Go file of package main, such as recipes/v1.go."`
	Param map[string]string `help:"Set a parameter of the recipe. May be given more than once." placeholder:"NAME=VALUE" mapsep:"none" short:"p"`
	Store string            `help:"Folder of stored results (default: .banter of this project)." placeholder:"DIR" env:"BANTER_STORE"`
	Out   string            `help:"Folder for exports and the report." default:"out" placeholder:"DIR"`
	Jobs  int               `help:"Streams worked on at once (default: one a core)." placeholder:"N"`
	JSON  bool              `help:"Say what happens as JSON, one object a line." name:"json"`
}

func (c *runCmd) Run(ctx context.Context, s streams) error {
	code := recipe.Run(ctx, c.File, recipe.Interpret, recipe.Options{Store: c.Store, Out: c.Out, Params: c.Param, Jobs: c.Jobs, JSON: c.JSON, Stdout: s.out, Stderr: s.err})
	if code != dsl.ExitDone {
		return exitCode(code)
	}
	return nil
}

type paramsCmd struct {
	File string `arg:"" help:"The recipe."`
}

func (c *paramsCmd) Run(ctx context.Context, s streams) error {
	return recipe.PrintParams(ctx, s.out, c.File, recipe.Interpret)
}
