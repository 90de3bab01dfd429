package recipe

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// findPaths notes the literals that are paths, with what they are seen from the folder in which the recipe is run. A
// path that is computed is left to the author, with a note.
func (f *freezer) findPaths() {
	f.paths = map[token.Pos]string{}
	folder, root := f.options.Folder, f.options.Root
	if folder == "" || root == "" || filepath.Clean(folder) == filepath.Clean(root) {
		return
	}
	for _, u := range f.units {
		if !u.keep {
			continue
		}
		ast.Inspect(u.node(), func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			for _, arg := range pathArguments(f.verb(call), call) {
				f.rewrite(u, f.verb(call), arg)
			}
			return true
		})
	}
}

// pathArguments are the arguments of a verb or option that name files.
func pathArguments(verb string, call *ast.CallExpr) []ast.Expr {
	at := -1
	switch verb {
	case "Load", "Chat", "Suite", "Model", "Base", "VAD", "Judge", "Embedder":
		at = 0
	case "Words":
		at = 1
	case "ChatMap":
		if len(call.Args) == 1 {
			if lit, ok := call.Args[0].(*ast.CompositeLit); ok {
				var list []ast.Expr
				for _, e := range lit.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						list = append(list, kv.Key, kv.Value)
					}
				}
				return list
			}
		}
	}
	if at < 0 || at >= len(call.Args) {
		return nil
	}
	return call.Args[at : at+1]
}

// rewrite finds the literal that an argument is, and rebases it.
func (f *freezer) rewrite(u *unit, verb string, arg ast.Expr) {
	if t, ok := f.info.Types[arg]; verb == "Chat" && ok && t.Type != nil && !types.ConvertibleTo(t.Type, types.Typ[types.String]) {
		return // it talks with a model
	}
	lit := f.literal(arg, 0)
	if lit == nil {
		f.frozen.Notes = append(f.frozen.Notes, fmt.Sprintf("%s: the path that %s is given is computed: where it is relative, it begins in the folder in which the recipe is run",
			f.notebook.cell(u.cell), verb))
		return
	}
	path, err := strconv.Unquote(lit.Value)
	if err != nil {
		return
	}
	switch verb {
	case "Model", "Base", "VAD", "Judge", "Embedder": // which name a model, or a file
		if !namesFile(path, f.options.Folder) {
			return
		}
	}
	if to, ok := rebase(path, f.options.Folder, f.options.Root); ok {
		f.paths[lit.Pos()] = to
	}
}

// namesFile says whether what may be a model's name or a path is a path.
func namesFile(text, folder string) bool {
	if strings.HasPrefix(text, ".") {
		return true
	}
	_, err := os.Stat(filepath.Join(folder, text))
	return err == nil && strings.ContainsAny(text, "/.")
}

// literal is the string literal that an expression always is: itself, a constant or variable that is set once, or the
// default of a parameter.
func (f *freezer) literal(x ast.Expr, depth int) *ast.BasicLit {
	if depth > 10 {
		return nil
	}
	switch x := ast.Unparen(x).(type) {
	case *ast.BasicLit:
		if x.Kind == token.STRING {
			return x
		}
	case *ast.Ident:
		if d := f.decls[x.Name]; d != nil {
			return f.constant(d, x.Name)
		}
		if f.variable(x) == "" {
			return nil
		}
		var set []*unit
		for _, u := range f.units {
			if u.keep && u.sets[x.Name] {
				set = append(set, u)
			}
		}
		if len(set) != 1 {
			return nil
		}
		if s, ok := set[0].stmt.(*ast.AssignStmt); ok && len(s.Lhs) == len(s.Rhs) {
			for i, l := range s.Lhs {
				if id, ok := l.(*ast.Ident); ok && id.Name == x.Name {
					return f.literal(s.Rhs[i], depth+1)
				}
			}
		}
	case *ast.SelectorExpr:
		at, name := f.params()
		if id, ok := x.X.(*ast.Ident); !ok || at == nil || id.Name != name {
			return nil
		}
		lit, ok := ast.Unparen(at.stmt.(*ast.AssignStmt).Rhs[0]).(*ast.CompositeLit)
		if !ok {
			return nil
		}
		for _, e := range lit.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				if key, ok := kv.Key.(*ast.Ident); ok && key.Name == x.Sel.Name {
					return f.literal(kv.Value, depth+1)
				}
			}
		}
	}
	return nil
}

// constant is the literal of a string constant.
func (f *freezer) constant(d *unit, name string) *ast.BasicLit {
	g, ok := d.decl.(*ast.GenDecl)
	if !ok || g.Tok != token.CONST {
		return nil
	}
	for _, s := range g.Specs {
		vs := s.(*ast.ValueSpec)
		for i, id := range vs.Names {
			if id.Name == name && i < len(vs.Values) {
				if lit, ok := vs.Values[i].(*ast.BasicLit); ok && f.info.Types[lit].Value != nil && f.info.Types[lit].Value.Kind() == constant.String {
					return lit
				}
			}
		}
	}
	return nil
}
