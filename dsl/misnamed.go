package dsl

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"banter/stdlib/models"
)

// namesModels are the options that name a model.
var namesModels = []string{"Model", "VAD", "Base", "Embedder", "Judge"}

// misnamed says which model a recipe will ask for in vain, so that hours of transcription do not end in a misspelt base. It
// judges what the text settles: options among the plain statements of what Main runs, given a literal or a parameter.
// What lies behind a condition may never be asked for, and a path may be of a model that the recipe itself exports.
func misnamed(src []byte, given []Param) error {
	f, err := parser.ParseFile(token.NewFileSet(), "", src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	params, body := mainCall(f)
	if body == nil {
		return nil
	}
	value := func(e ast.Expr) (string, bool) {
		switch e := e.(type) {
		case *ast.BasicLit:
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		case *ast.SelectorExpr:
			if id, ok := e.X.(*ast.Ident); ok && params != "" && id.Name == params {
				i := slices.IndexFunc(given, func(p Param) bool { return p.Name == strings.ToLower(e.Sel.Name) })
				if i >= 0 && given[i].Type == "string" {
					return given[i].Default, true
				}
			}
		}
		return "", false
	}
	for _, statement := range body.List {
		switch statement.(type) {
		case *ast.AssignStmt, *ast.ExprStmt, *ast.DeclStmt:
		default: // what follows may not be reached, or with other values
			return nil
		}
		if assigns(statement, params) {
			return nil
		}
		var found error
		ast.Inspect(statement, func(n ast.Node) bool {
			if _, ok := n.(*ast.FuncLit); ok || found != nil {
				return false
			}
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 || !slices.Contains(namesModels, verbOf(call)) {
				return true
			}
			if name, ok := value(call.Args[0]); ok && (!strings.ContainsAny(name, `/\`) || filepath.IsAbs(name)) {
				_, found = models.Find(name)
			}
			return true
		})
		if found != nil {
			return found
		}
	}
	return nil
}

// mainCall finds what Main runs, and the name of the variable that holds the parameters.
func mainCall(f *ast.File) (params string, body *ast.BlockStmt) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || verbOf(call) != "Main" || len(call.Args) < 2 {
			return body == nil
		}
		if address, ok := call.Args[0].(*ast.UnaryExpr); ok {
			if id, ok := address.X.(*ast.Ident); ok {
				params = id.Name
			}
		}
		switch run := call.Args[1].(type) {
		case *ast.FuncLit:
			body = run.Body
		case *ast.Ident:
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == run.Name {
					body = fn.Body
				}
			}
		}
		return false
	})
	return params, body
}

// verbOf is the name of the function of package dsl that is called, or empty.
func verbOf(call *ast.CallExpr) string {
	if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == "dsl" {
			return sel.Sel.Name
		}
	}
	return ""
}

// assigns says whether a statement gives the variable, or a field of it, a value.
func assigns(statement ast.Stmt, variable string) bool {
	a, ok := statement.(*ast.AssignStmt)
	return ok && variable != "" && slices.ContainsFunc(a.Lhs, func(e ast.Expr) bool {
		if sel, ok := e.(*ast.SelectorExpr); ok {
			e = sel.X
		}
		id, ok := e.(*ast.Ident)
		return ok && id.Name == variable
	})
}

// ownText is the text of a compiled recipe, as far as a program can know it: what the compiler embedded or, where a model is
// all that is looked for in it, a file that has not changed since the program was built. It is nil where there is none.
func (c *compiled) ownText() []byte {
	if c == nil {
		return nil
	}
	if c.files != nil {
		text, err := fs.ReadFile(c.files, filepath.Base(c.at))
		if err != nil {
			return nil
		}
		return text
	}
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	built, err := os.Stat(program)
	if err != nil {
		return nil
	}
	written, err := os.Stat(c.at)
	if err != nil || written.Size() > maxRecipe || written.ModTime().After(built.ModTime()) {
		return nil
	}
	text, err := os.ReadFile(c.at)
	if err != nil {
		return nil
	}
	return text
}
