package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"banter/dsl"
	"banter/dsl/memo"
	"banter/dsl/recipe"
	"banter/internal/problem"
)

type freezeCmd struct {
	Notebook string `arg:"" help:"The notebook, as Jupyter saved it."`
	Output   string `help:"The recipe to write." required:"" short:"o" placeholder:"FILE.go"`
	Root     string `help:"The folder in which the recipe will be run: relative paths of the notebook are rewritten to begin there (default: the nearest folder above the recipe with a go.mod, .git or .banter, or else the working directory)." placeholder:"DIR"`
	Quiet    bool   `help:"Do not say what was left out." short:"q"`
}

func (c *freezeCmd) Run(s streams) error {
	if filepath.Ext(c.Output) != ".go" {
		fmt.Fprintf(s.err, "error: %s: a recipe is a Go file: name one that ends in .go\n", c.Output)
		return exitCode(dsl.ExitUsage)
	}
	nb, err := recipe.ReadNotebook(c.Notebook)
	if err != nil {
		return err
	}
	folder, root, err := folders(c.Notebook, c.Output, c.Root)
	if err != nil {
		return err
	}
	frozen, err := recipe.Freeze(nb, recipe.FreezeOptions{Folder: folder, Root: root})
	if err != nil {
		var p *problem.Error
		if errors.As(err, &p) && p.Path == "" {
			p.Path = c.Notebook
		}
		return err
	}
	if err := memo.WriteFile(c.Output, bytes.NewReader(frozen.Source)); err != nil {
		return err
	}
	if !c.Quiet {
		for _, l := range frozen.Left {
			fmt.Fprintf(s.out, "left out: %s\n", l)
		}
	}
	for _, n := range frozen.Notes {
		fmt.Fprintf(s.out, "note: %s\n", n)
	}
	fmt.Fprintf(s.out, "wrote %s: run it in %s\n", c.Output, shownFolder(root))
	return nil
}

// shownFolder is a folder as it is seen from here.
func shownFolder(dir string) string {
	if here, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(here, dir); err == nil {
			if rel == "." {
				return "this folder"
			}
			return rel
		}
	}
	return dir
}

// folders are where the paths of a notebook begin, and those of a recipe.
func folders(notebook, file, root string) (folder, base string, err error) {
	if folder, err = filepath.Abs(filepath.Dir(notebook)); err != nil {
		return "", "", err
	}
	if root != "" {
		base, err = filepath.Abs(root)
		return folder, base, err
	}
	start, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return "", "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		for _, mark := range []string{".banter", ".git", "go.mod"} {
			if _, err := os.Stat(filepath.Join(dir, mark)); err == nil {
				return folder, dir, nil
			}
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	base, err = os.Getwd()
	return folder, base, err
}

type thawCmd struct {
	Recipe string `arg:"" help:"The recipe, a Go file."`
	Output string `help:"The notebook to write." required:"" short:"o" placeholder:"FILE.ipynb"`
	Root   string `help:"The folder in which the recipe is run, as for freeze." placeholder:"DIR"`
}

func (c *thawCmd) Run(s streams) error {
	if filepath.Ext(c.Output) != ".ipynb" {
		fmt.Fprintf(s.err, "error: %s: name a notebook, which ends in .ipynb\n", c.Output)
		return exitCode(dsl.ExitUsage)
	}
	folder, root, err := folders(c.Output, c.Recipe, c.Root)
	if err != nil {
		return err
	}
	nb, err := recipe.Thaw(c.Recipe, recipe.ThawOptions{Folder: folder, Root: root})
	if err != nil {
		return err
	}
	if err := nb.WriteTo(c.Output); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "wrote %s: %d cells\n", c.Output, len(nb.Cells))
	return nil
}
