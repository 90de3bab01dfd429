package main

import (
	"context"

	"banter/dsl"
	"banter/dsl/recipe"
)

type planCmd struct {
	File  string            `arg:"" help:"The recipe: a Go file of package main, such as recipes/v1.go."`
	Param map[string]string `help:"Set a parameter of the recipe. May be given more than once." placeholder:"NAME=VALUE" mapsep:"none" short:"p"`
	Store string            `help:"Folder of stored results (default: .banter of this project)." placeholder:"DIR" env:"BANTER_STORE"`
	sharedFlag
	JSON bool `help:"Say it as one JSON object." name:"json"`
}

func (c *planCmd) Run(ctx context.Context, s streams) error {
	code := recipe.Run(ctx, c.File, interpret, recipe.Options{Store: c.Store, Shared: c.Shared, Params: c.Param, JSON: c.JSON, Mode: recipe.DryRun, Stdout: s.out, Stderr: s.err})
	if code != dsl.ExitDone {
		return exitCode(code)
	}
	return nil
}
