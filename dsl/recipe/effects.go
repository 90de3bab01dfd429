package recipe

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// effects finds what each unit sets and uses.
func (p *program) effects() {
	p.linked = map[string]string{}
	p.heldBy = map[string][]string{}
	p.chooseSinks()
	for _, u := range p.units {
		u.declares, u.kills, u.sets, u.uses = map[string]*types.Var{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
		for _, id := range declaredBy(u.stmt) {
			if v, ok := p.info.Defs[id].(*types.Var); ok && id.Name != "_" {
				u.declares[id.Name] = v
			}
		}
		e := effect{p, u, map[*ast.Ident]bool{}}
		e.top()
		ast.Inspect(u.node(), e.visit)
		u.holds = map[string]bool{}
		for n := range u.sets {
			if !u.kills[n] {
				u.holds[n] = true
			}
		}
	}
	p.spread()
}

// chooseSinks says which verbs are outputs: where a notebook names its outputs by Output, Train and Eval are none by
// themselves, since it may try many.
func (p *program) chooseSinks() {
	p.sinks = map[string]bool{"Gate": true, "Export": true, "ExportSubtitles": true, "Report": true, "Output": true}
	named := false
	for _, u := range p.units {
		ast.Inspect(u.node(), func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && p.verb(call) == "Output" {
				named = true
			}
			return true
		})
	}
	if !named {
		p.sinks["Train"], p.sinks["Eval"] = true, true
	}
}

// effect walks one unit.
type effect struct {
	p      *program
	u      *unit
	target map[*ast.Ident]bool // identifiers that are only set
}

// top handles what the unit does for certain, being no part of a branch or loop.
func (e *effect) top() {
	switch s := e.u.stmt.(type) {
	case *ast.AssignStmt:
		for _, l := range s.Lhs {
			id, ok := l.(*ast.Ident)
			if !ok || e.p.variable(id) == "" {
				continue
			}
			e.link(id.Name, s.Rhs)
			if s.Tok == token.DEFINE || s.Tok == token.ASSIGN {
				e.u.kills[id.Name] = true
			}
		}
	case *ast.DeclStmt:
		g, ok := s.Decl.(*ast.GenDecl)
		if !ok {
			return
		}
		for _, spec := range g.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok {
				for _, id := range v.Names {
					if e.p.variable(id) != "" {
						e.u.kills[id.Name], e.u.sets[id.Name] = true, true
						e.target[id] = true
						e.link(id.Name, v.Values)
					}
				}
			}
		}
	}
}

// link notes which variables may share memory with one that is set to the given values, and which its closures hold.
func (e *effect) link(name string, values []ast.Expr) {
	for _, v := range values {
		ast.Inspect(v, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				ast.Inspect(n.Body, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok && shares(e.p.typeOf(name)) {
						if w := e.p.variable(id); w != "" && w != name {
							e.p.heldBy[name] = append(e.p.heldBy[name], w)
						}
					}
					return true
				})
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					e.p.union(name, e.root(n.X))
				}
			case *ast.Ident:
				w := e.p.variable(n)
				if w != "" && shares(e.p.info.TypeOf(n)) && shares(e.p.typeOf(name)) {
					e.p.union(name, w)
				}
			}
			return true
		})
	}
}

func (p *program) find(name string) string {
	for p.linked[name] != "" && p.linked[name] != name {
		name = p.linked[name]
	}
	return name
}

func (p *program) union(a, b string) {
	if a == "" || b == "" {
		return
	}
	if ra, rb := p.find(a), p.find(b); ra != rb {
		p.linked[ra] = rb
	}
}

// shares says whether a copy of a value shares memory with it. The values of the dsl are immutable.
func shares(t types.Type) bool { return sharesIn(t, 0) }

func sharesIn(t types.Type, depth int) bool {
	if t == nil || depth > 8 {
		return true
	}
	if n, ok := types.Unalias(t).(*types.Named); ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == dslPath {
		return false
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Kind() == types.UnsafePointer
	case *types.Struct:
		for i := range u.NumFields() {
			if sharesIn(u.Field(i).Type(), depth+1) {
				return true
			}
		}
		return false
	case *types.Array:
		return sharesIn(u.Elem(), depth+1)
	}
	return true
}

// root is the variable of the notebook in which x lies.
func (e *effect) root(x ast.Expr) string {
	for {
		switch t := x.(type) {
		case *ast.ParenExpr:
			x = t.X
		case *ast.SelectorExpr:
			x = t.X
		case *ast.IndexExpr:
			x = t.X
		case *ast.SliceExpr:
			x = t.X
		case *ast.StarExpr:
			x = t.X
		case *ast.TypeAssertExpr:
			x = t.X
		case *ast.UnaryExpr:
			x = t.X
		case *ast.CompositeLit, *ast.CallExpr:
			return ""
		case *ast.Ident:
			return e.p.variable(t)
		default:
			return ""
		}
	}
}

// change notes that the memory in which x lies may change.
func (e *effect) change(x ast.Expr) {
	if name := e.root(x); name != "" {
		e.u.sets[name] = true
	}
}

func (e *effect) assign(l ast.Expr, plain bool) {
	id, ok := ast.Unparen(l).(*ast.Ident)
	if !ok {
		e.change(l)
		return
	}
	if e.p.variable(id) != "" {
		e.u.sets[id.Name] = true
		if plain {
			e.target[id] = true
		}
	}
}

func (e *effect) visit(n ast.Node) bool {
	p, u := e.p, e.u
	switch n := n.(type) {
	case *ast.AssignStmt:
		for _, l := range n.Lhs {
			e.assign(l, n.Tok == token.ASSIGN || n.Tok == token.DEFINE)
		}
	case *ast.IncDecStmt:
		e.assign(n.X, false)
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			e.assign(n.Key, true)
			if n.Value != nil {
				e.assign(n.Value, true)
			}
		}
	case *ast.SendStmt:
		e.change(n.Chan)
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			e.change(n.X)
		}
	case *ast.CallExpr:
		e.call(n)
	case *ast.Ident:
		if e.target[n] {
			return true
		}
		if name := p.variable(n); name != "" {
			u.uses[name] = true
			return true
		}
		obj := p.info.Uses[n]
		if obj == nil || obj.Pkg() != p.pkg || obj.Parent() != p.pkg.Scope() {
			return true
		}
		u.uses[n.Name] = true
	}
	return true
}

// call notes what a call may change of the notebook's variables.
func (e *effect) call(x *ast.CallExpr) {
	p := e.p
	if name := p.verb(x); name != "" {
		e.u.sink = e.u.sink || p.sinks[name]
		return
	}
	if tv, ok := p.info.Types[x.Fun]; ok && tv.IsType() {
		return
	}
	var obj types.Object
	switch f := ast.Unparen(x.Fun).(type) {
	case *ast.Ident:
		obj = p.info.Uses[f]
	case *ast.SelectorExpr:
		obj = p.info.Uses[f.Sel]
		if sel := p.info.Selections[f]; sel != nil && sel.Kind() == types.MethodVal {
			m := sel.Obj().(*types.Func)
			recv := m.Signature().Recv().Type()
			_, pointer := recv.(*types.Pointer)
			if pointer || m.Pkg() == p.pkg && shares(recv) {
				e.change(f.X)
			}
		}
	}
	switch f := obj.(type) {
	case *types.Builtin:
		if slices.Contains([]string{"copy", "delete", "clear", "close"}, f.Name()) && len(x.Args) > 0 {
			e.change(x.Args[0])
		}
		return
	case *types.Func:
		if readsOnly(f) {
			return
		}
	}
	for _, a := range x.Args {
		if shares(p.info.TypeOf(a)) {
			e.change(a)
		}
	}
}

// readsOnly says whether a function leaves its arguments as they are. What is not known to, may change them.
func readsOnly(f *types.Func) bool {
	if f.Pkg() == nil {
		return true
	}
	name := f.Name()
	switch path := f.Pkg().Path(); path {
	case dslPath, "strings", "strconv", "math", "unicode", "unicode/utf8", "errors", "time", "path", "path/filepath", "regexp", "log", "html", "cmp", "os":
		return true
	case "fmt":
		return !strings.Contains(name, "can")
	case "slices":
		for _, prefix := range []string{"Sort", "Reverse", "Delete", "Insert", "Replace", "Compact", "Append"} {
			if strings.HasPrefix(name, prefix) && name != "SortedFunc" && name != "Sorted" {
				return false
			}
		}
		return true
	case "maps":
		return name != "Copy" && name != "DeleteFunc" && name != "Insert"
	case "encoding/json":
		return strings.HasPrefix(name, "Marshal") || name == "Valid"
	}
	return strings.HasPrefix(f.Pkg().Path(), "banter/")
}

// spread closes uses and sets over functions, methods, closures and shared memory.
func (p *program) spread() {
	// A type brings its methods.
	for recv, list := range p.methods {
		if t := p.decls[recv]; t != nil {
			for _, m := range list {
				for n := range m.uses {
					t.uses[n] = true
				}
				for n := range m.sets {
					t.sets[n] = true
				}
				t.sink = t.sink || m.sink
			}
		}
	}
	alike := map[string][]string{} // by the root of their union: variables that may share memory
	for n, to := range p.linked {
		for _, v := range []string{n, to} {
			if root := p.find(v); !slices.Contains(alike[root], v) {
				alike[root] = append(alike[root], v)
			}
		}
	}
	inClosures := p.setByClosures()
	for again := true; again; {
		again = false
		add := func(set map[string]bool, names ...string) {
			for _, n := range names {
				if !set[n] {
					set[n], again = true, true
				}
			}
		}
		for _, u := range p.units {
			for _, n := range sortedNames(u.uses) {
				if d := p.decls[n]; d != nil && d != u && p.vars[n] == nil {
					add(u.uses, sortedNames(d.uses)...)
					if _, isFunc := d.decl.(*ast.FuncDecl); isFunc || p.methods[n] != nil {
						add(u.sets, sortedNames(d.sets)...)
						if d.sink && !u.sink {
							u.sink, again = true, true
						}
					}
				}
				for _, held := range p.heldBy[n] {
					add(u.uses, held)
					if inClosures[held] {
						add(u.sets, held)
					}
				}
			}
			for _, n := range sortedNames(u.sets) {
				if u.kills[n] && !u.uses[n] {
					continue // set as a whole: what shared its memory keeps it
				}
				add(u.sets, alike[p.find(n)]...)
			}
		}
	}
	// A type of which a value is only used is no output by itself.
	for _, u := range p.units {
		if u.decl != nil {
			u.sink = false
		}
	}
}

// setByClosures are the variables that some function literal may change.
func (p *program) setByClosures() map[string]bool {
	all := map[string]bool{}
	for _, u := range p.units {
		ast.Inspect(u.node(), func(n ast.Node) bool {
			lit, ok := n.(*ast.FuncLit)
			if !ok {
				return true
			}
			inner := effect{p, &unit{sets: all, uses: map[string]bool{}}, map[*ast.Ident]bool{}}
			ast.Inspect(lit.Body, inner.visit)
			return false // what is within was seen
		})
	}
	return all
}
