package cell

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"banter/internal/misspelt"
)

// RunProgram runs an ordinary file of package main: it is type-checked, lowered and interpreted with the guarantees
// that cells have, and panics are at file:line:column.
func RunProgram(ctx context.Context, filename string, src []byte, options Options) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	options.Prelude = nil
	e, err := New(options)
	if err != nil {
		return err
	}
	defer e.Close()
	p, err := e.prepareProgram(filename, string(src))
	if err != nil {
		return err
	}
	_, err = e.execute(ctx, p)
	return err
}

func (e *Evaluator) prepareProgram(filename, src string) (p *prepared, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *refusal:
			p, err = nil, e.diagnose(r)
		default: // a fault of the type checker or of the lowering is not the caller's
			p, err = nil, e.diagnose(&refusal{e.lowering, fmt.Sprintf("banter cannot run this program yet: checking it failed (%v)", r)})
		}
	}()
	e.sources[filename] = strings.Split(src, "\n")
	f, perr := parser.ParseFile(e.fset, filename, src, parser.ParseComments|parser.SkipObjectResolution)
	if f != nil {
		e.texts[e.fset.File(f.FileStart)] = src
	}
	if perr != nil {
		return nil, e.diagnose(perr)
	}
	var errs []error
	info := newInfo()
	conf := types.Config{Importer: e.importer, GoVersion: "go1.26", Sizes: types.SizesFor("gc", "amd64"), Error: func(err error) { errs = append(errs, err) }}
	pkg, _ := conf.Check("main", e.fset, []*ast.File{f}, info)
	if len(errs) > 0 {
		errs = mergeErrors(errs)
		e.guess(errs, misspelt.Checked{Files: []*ast.File{f}, Info: info, Scope: pkg.Scope(), Also: func() []string {
			var names []string
			for _, s := range f.Imports {
				if name, err := e.importName(s); err == nil {
					names = append(names, name)
				}
			}
			return names
		}})
		return nil, e.diagnose(errs...)
	}
	if id := embedded(f, info); id != nil {
		return nil, e.diagnose(&refusal{id.Pos(), fmt.Sprintf("banter cannot run this program: %s holds files that only the compiler embeds, and may be given to dsl.Source alone", id.Name)})
	}
	if pkg.Name() != "main" {
		return nil, e.diagnose(&refusal{f.Name.Pos(), fmt.Sprintf("package %s cannot be run: a recipe is of package main", pkg.Name())})
	}
	if pkg.Scope().Lookup("main") == nil {
		return nil, e.diagnose(&refusal{f.Name.Pos(), "function main is undeclared in the main package"})
	}
	ck := &checked{scope: pkg.Scope(), parts: &parts{isFile: true, closing: f.End()}, name: filename, info: info, bodies: newInfo(), pkg: pkg, imports: map[string]*ast.ImportSpec{}}
	var funcs []ast.Decl
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			ck.funcs = append(ck.funcs, ck.function(d))
			funcs = append(funcs, d)
		case *ast.GenDecl:
			switch d.Tok {
			case token.TYPE:
				for _, s := range d.Specs {
					ck.typeSpec = append(ck.typeSpec, s.(*ast.TypeSpec))
					e.typeSpecs[s.(*ast.TypeSpec).Name.Name] = s.(*ast.TypeSpec)
				}
			case token.CONST:
				ck.consts = append(ck.consts, d)
			}
		}
	}
	ck.parts.decls = funcs
	// Variables are initialized in the order of what they depend on.
	for _, init := range info.InitOrder {
		lhs := make([]ast.Expr, len(init.Lhs))
		for i, v := range init.Lhs {
			id := &ast.Ident{NamePos: v.Pos(), Name: v.Name()}
			info.Defs[id] = v
			lhs[i] = id
		}
		tok := token.DEFINE
		if !slices.ContainsFunc(lhs, func(x ast.Expr) bool { return !isBlank(x) }) {
			if tok = token.ASSIGN; info.Types[init.Rhs].IsNil() {
				continue // var _ I = nil
			}
		}
		ck.parts.stmts = append(ck.parts.stmts, &ast.AssignStmt{Lhs: lhs, TokPos: init.Rhs.Pos(), Tok: tok, Rhs: []ast.Expr{init.Rhs}})
	}
	for _, n := range pkg.Scope().Names() {
		if v, ok := pkg.Scope().Lookup(n).(*types.Var); ok {
			ck.hoisted = append(ck.hoisted, v)
		}
	}
	// Bodies are checked once more with receivers as parameters, the form that lowering takes.
	second := types.NewPackage("main", "main")
	for _, n := range pkg.Scope().Names() {
		second.Scope().Insert(pkg.Scope().Lookup(n))
	}
	var list []ast.Decl
	for _, s := range f.Imports {
		list = append(list, &ast.GenDecl{Tok: token.IMPORT, Specs: []ast.Spec{s}})
	}
	start := len(list)
	for _, fd := range ck.funcs {
		list = append(list, bodyDecl(fd.decl, e))
	}
	again := types.Config{Importer: e.importer, GoVersion: "go1.26", Sizes: conf.Sizes, Error: func(error) {}}
	types.NewChecker(&again, e.fset, second, ck.bodies).Files([]*ast.File{{Name: &ast.Ident{Name: "main"}, Decls: list}})
	for i, fd := range ck.funcs {
		fd.obj, _ = info.Defs[fd.decl.Name].(*types.Func)
		fd.body, _ = ck.bodies.Defs[list[start+i].(*ast.FuncDecl).Name].(*types.Func)
		if fd.body == nil {
			return nil, e.diagnose(&refusal{fd.decl.Pos(), "banter cannot run this function yet"})
		}
		if fd.obj == nil {
			fd.obj = fd.body
		}
	}
	return e.declare(ck)
}

// embedded is a use of a variable of package embed that is not the argument of dsl.Source, which needs it only where the
// program is compiled; or nil.
func embedded(f *ast.File, info *types.Info) (found *ast.Ident) {
	allowed := map[*ast.Ident]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || len(n.Args) != 1 {
				break
			}
			if fn, ok := info.Uses[sel.Sel].(*types.Func); ok && fn.FullName() == "banter/dsl.Source" {
				if id, ok := n.Args[0].(*ast.Ident); ok {
					allowed[id] = true
				}
			}
		case *ast.Ident:
			if v, ok := info.Uses[n].(*types.Var); ok && !allowed[n] && found == nil && v.Parent() == v.Pkg().Scope() && types.TypeString(v.Type(), nil) == "embed.FS" {
				found = n
			}
		}
		return true
	})
	return found
}
