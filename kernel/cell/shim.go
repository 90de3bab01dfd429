package cell

import (
	"embed"
	"fmt"
	"go/ast"
	"go/types"
	"strings"
)

// Compiled generic functions have no code until they are instantiated, so those of Go's library that cells use are
// written once more in Go, to be lowered like a cell's own.
//
//go:embed shim
var shimFiles embed.FS

// shim returns the stand-in of a generic function, or nil.
func (e *Evaluator) shim(path, name string) *genericFunc {
	funcs, ok := e.shims[path]
	if !ok {
		funcs = e.loadShim(path)
		e.shims[path] = funcs
	}
	return funcs[name]
}

func (e *Evaluator) loadShim(path string) map[string]*genericFunc {
	name := "shim/" + strings.ReplaceAll(path, "/", "_") + ".go.txt"
	text, err := shimFiles.ReadFile(name)
	if err != nil {
		return nil
	}
	f, err := e.parseFile(string(text))
	if err != nil {
		panic(fmt.Sprintf("cell: %s: %v", name, err))
	}
	info := newInfo()
	conf := types.Config{Importer: e.importer, GoVersion: "go1.26"}
	if _, err := conf.Check("shim/"+path, e.fset, []*ast.File{f}, info); err != nil {
		panic(fmt.Sprintf("cell: %s: %v", name, err))
	}
	funcs := map[string]*genericFunc{}
	for _, d := range f.Decls {
		if d, ok := d.(*ast.FuncDecl); ok {
			body := info.Defs[d.Name].(*types.Func)
			funcs[d.Name.Name] = &genericFunc{run: "shim_" + strings.ReplaceAll(path, "/", "_") + "_" + d.Name.Name, decl: d, body: body, info: info}
		}
	}
	return funcs
}
