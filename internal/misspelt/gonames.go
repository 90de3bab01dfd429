package misspelt

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// Checked is what a type checker was given and what it found, as far as it came.
type Checked struct {
	Files []*ast.File
	Info  *types.Info // with Types, Uses and Scopes
	Scope *types.Scope
	Also  func() []string // names that are known besides, and would have got into the scope had they been said; may be nil
}

// Meant is the name that was meant where the checker knows none such: in scope, in a package, of a value or of a struct. It is
// "" where te is another mistake, where no name is near, and where te itself names one.
func (c Checked) Meant(te types.Error) string {
	if !strings.Contains(te.Msg, "undefined") && !strings.HasPrefix(te.Msg, "unknown field") || strings.Contains(te.Msg, "but ") {
		return ""
	}
	id, around := c.at(te.Pos)
	if id == nil {
		return ""
	}
	var known []string
	switch around := around.(type) {
	case *ast.SelectorExpr:
		if x, ok := around.X.(*ast.Ident); ok {
			if p, ok := c.Info.Uses[x].(*types.PkgName); ok {
				known = slices.DeleteFunc(p.Imported().Scope().Names(), func(n string) bool { return !token.IsExported(n) })
				break
			}
		}
		known = members(c.Info.TypeOf(around.X), false)
	case *ast.CompositeLit:
		known = members(c.Info.TypeOf(around), true)
	default:
		known = c.inScope(id.Pos())
	}
	return Nearest(id.Name, known)
}

// at is the name at pos, and the selector or the literal whose member it is, if it is one.
func (c Checked) at(pos token.Pos) (id *ast.Ident, around ast.Node) {
	for _, f := range c.Files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if n.Pos() == pos && id == nil {
					id = n
				}
			case *ast.SelectorExpr:
				if n.Sel.Pos() == pos {
					id, around = n.Sel, n
				}
			case *ast.CompositeLit:
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok && kv.Key.Pos() == pos {
						if key, ok := kv.Key.(*ast.Ident); ok {
							id, around = key, n
						}
					}
				}
			}
			return around == nil
		})
	}
	return id, around
}

// inScope lists the names that could be said at pos.
func (c Checked) inScope(pos token.Pos) []string {
	known := c.Scope.Names()
	for _, s := range c.Info.Scopes {
		if s.Contains(pos) || s.Parent() == c.Scope && s.Pos() == token.NoPos {
			known = append(known, s.Names()...)
		}
	}
	if c.Also != nil {
		known = append(known, c.Also()...)
	}
	known = append(known, types.Universe.Names()...)
	known = slices.DeleteFunc(known, func(n string) bool { return strings.ContainsAny(n, "·ˍ") || n == "_" })
	slices.Sort(known) // scopes come in the order of a map
	return slices.Compact(known)
}

// members are the names of a type's fields and, unless only those are asked for, of its methods.
func members(t types.Type, onlyFields bool) []string {
	if t == nil {
		return nil
	}
	var known []string
	seen := map[types.Type]bool{}
	say := func(o types.Object) {
		if o.Exported() || o.Pkg() == nil || o.Pkg().Path() == "main" {
			known = append(known, o.Name())
		}
	}
	var fields func(t types.Type)
	fields = func(t types.Type) {
		if seen[t] {
			return
		}
		seen[t] = true
		if p, ok := t.Underlying().(*types.Pointer); ok {
			t = p.Elem()
		}
		if st, ok := t.Underlying().(*types.Struct); ok {
			for f := range st.Fields() {
				say(f)
				if f.Embedded() && !onlyFields {
					fields(f.Type())
				}
			}
		}
	}
	fields(t)
	if !onlyFields {
		if _, ok := t.Underlying().(*types.Pointer); !ok && !types.IsInterface(t) {
			t = types.NewPointer(t)
		}
		for m := range types.NewMethodSet(t).Methods() {
			say(m.Obj())
		}
	}
	slices.Sort(known)
	return slices.Compact(known)
}
