package cell

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strings"

	"banter/internal/symbols"
)

// A function may call what only a later cell declares, as functions of one file call each other in any order. Until that
// cell has run, the function waits: nothing may refer to it but functions that then wait as well.

// waiting says what a function waits for.
type waiting struct {
	names  map[string]bool
	errs   []error // as the compiler would say it
	reason string
}

// awaited reports whether a function waits for name.
func (e *Evaluator) awaited(name string) bool {
	for _, n := range e.entities {
		if n.awaits()[name] {
			return true
		}
	}
	return false
}

// awaits lists what a function waits for.
func (n *entity) awaits() map[string]bool {
	if n.waits == nil {
		return nil
	}
	return n.waits.names
}

// mayWait reports whether a function can be left out until it is called: it has a name that only calls refer to.
func mayWait(f *funcDecl) bool {
	return f.decl.Recv == nil && f.decl.Type.TypeParams == nil && f.name != "main" && !f.nameless()
}

// wait marks the functions of the cell called cell, and those that waited before it, that have no fault but names that
// nothing declares. It reports whether there are any.
func (e *Evaluator) wait(cell string, funcs []*funcDecl, errs []error) bool {
	some := false
	for _, f := range funcs {
		if old := e.entities[f.name]; !mayWait(f) || f.cell != cell && (old == nil || old.waits == nil) {
			continue
		}
		w := &waiting{names: map[string]bool{}}
		for _, err := range errs {
			te, ok := err.(types.Error)
			if !ok || te.Pos < f.decl.Pos() || te.Pos >= f.decl.End() {
				continue
			}
			name, ok := strings.CutPrefix(te.Msg, "undefined: ")
			if !ok || !token.IsIdentifier(name) || unimported(f.decl, te.Pos, name) {
				w = nil
				break
			}
			if w.errs = append(w.errs, err); len(w.errs) == 1 {
				w.reason = fmt.Sprintf("%s is undefined (%s)%s", name, e.fset.Position(te.Pos), e.guesses[te.Pos])
			}
			w.names[name] = true
		}
		if w != nil && len(w.errs) > 0 {
			f.waits, some = w, true
		}
	}
	return some
}

// qualifies reports whether what stands at pos in n is a name before a dot, as that of a package does.
func qualifies(n ast.Node, pos token.Pos) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		if x, ok := n.(*ast.SelectorExpr); ok && x.X.Pos() == pos {
			_, found = x.X.(*ast.Ident)
		}
		return !found
	})
	return found
}

// unimported reports whether the name at pos is meant to be that of a package, whose import is missing.
func unimported(f *ast.FuncDecl, pos token.Pos, name string) bool {
	return qualifies(f, pos) && slices.ContainsFunc(symbols.Paths(), func(p string) bool { return path.Base(p) == name })
}

// settle moves the functions that wait, and those that refer to one, from ck.funcs to ck.waiting. It fails where something
// else refers to one of them: the cell's statements, a method, or a function that runs with the cell.
func (ck *checked) settle(e *Evaluator, funcs []*funcDecl) error {
	waits := map[string]*waiting{}
	for _, n := range e.entities {
		if n.waits != nil && ck.scope.Lookup(n.name) == n.obj {
			waits[n.name] = n.waits
		}
	}
	for _, f := range funcs {
		if f.waits != nil {
			f.obj = ck.info.Defs[f.decl.Name].(*types.Func)
			waits[f.name] = f.waits
			ck.waiting = append(ck.waiting, f)
		}
	}
	if len(waits) == 0 {
		return nil
	}
	refers := func(n ast.Node, info *types.Info) (at *ast.Ident, w *waiting) {
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && w == nil {
				if f, ok := info.Uses[id].(*types.Func); ok && f.Pkg() == ck.pkg && f.Signature().Recv() == nil {
					at, w = id, waits[f.Name()]
				}
			}
			return w == nil
		})
		return at, w
	}
	fault := func(at *ast.Ident, w *waiting) error {
		if te, ok := w.errs[0].(types.Error); ok && slices.ContainsFunc(ck.parts.decls, func(d ast.Decl) bool { return d.Pos() <= te.Pos && te.Pos < d.End() }) {
			return e.diagnose(w.errs...)
		}
		return e.diagnose(&refusal{at.Pos(), fmt.Sprintf("%s cannot be called yet: %s", at.Name, w.reason)})
	}
	for again := true; again; {
		again = false
		for _, f := range slices.Clone(ck.funcs) {
			at, w := refers(f.decl.Body, ck.bodies)
			if w == nil {
				continue
			}
			if !mayWait(f) {
				return fault(at, w)
			}
			f.waits, again = w, true
			waits[f.name] = w
			ck.waiting = append(ck.waiting, f)
			ck.funcs = slices.DeleteFunc(ck.funcs, func(g *funcDecl) bool { return g == f })
		}
	}
	for _, s := range ck.parts.stmts {
		if at, w := refers(s, ck.info); w != nil {
			return fault(at, w)
		}
	}
	return nil
}
