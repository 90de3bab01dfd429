package cell

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"banter/dsl"
	"banter/internal/reach"
	"banter/kernel/cell/predicate"
	"banter/stdlib/align"
)

// A function of a pair that a cell gives to a verb is passed as a dsl.Predicate: its compiled form where it is one pure
// expression, and in any case what its results depend on, which is its source, the source of all functions of the
// cells that it reaches, and the values of the variables that these read.

// passedFunc is such an argument, found while lowering.
type passedFunc struct {
	lit     *ast.FuncLit
	info    *types.Info
	pos     token.Position
	reach   reach.Function
	objects []types.Object // whose values it is given: all that are read, each once
}

var pairType = reflect.TypeFor[align.Pair]()

// isPredicate reports whether t is func(align.Pair) bool.
func isPredicate(t types.Type) bool {
	sig, ok := t.Underlying().(*types.Signature)
	if !ok || sig.Params().Len() != 1 || sig.Results().Len() != 1 || sig.Variadic() {
		return false
	}
	n, ok := types.Unalias(sig.Params().At(0).Type()).(*types.Named)
	return ok && n.Obj().Name() == "Pair" && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == "banter/stdlib/align" &&
		types.Identical(sig.Results().At(0).Type(), types.Typ[types.Bool])
}

// argument lowers the i-th argument of a call.
func (l *lowering) argument(x *ast.CallExpr, i int, a ast.Expr) string {
	text := l.passed(x, i, a)
	if t := l.info.TypeOf(a); t != nil && isPredicate(l.subs.of(t)) && l.calleeIsVerb(x) {
		p := &passedFunc{info: l.info, pos: l.e.fset.Position(a.Pos())}
		l.identify(p, a)
		l.e.support.mu.Lock()
		l.e.support.given++
		id := l.e.support.given
		l.e.support.passed[id] = p
		if l.top {
			l.e.support.passing = append(l.e.support.passing, id)
		}
		l.e.support.mu.Unlock()
		var names []string
		for _, obj := range p.objects {
			name := l.global(obj)
			if name == "" {
				name = l.renamed[obj]
			}
			if name == "" {
				name = local(obj.Name())
			}
			names = append(names, name)
		}
		return fmt.Sprintf("%s.Predicate(%d, %s, func() []any { return %s.Values(%s) })", l.alias(supportPath), id, text, l.alias(supportPath), strings.Join(names, ", "))
	}
	return l.shown(x, i, a, text)
}

// passed lowers the i-th argument of a call as its parameter gets it.
func (l *lowering) passed(x *ast.CallExpr, i int, a ast.Expr) string {
	if f := l.callee(x); f != nil && f.Pkg() != nil && f.Pkg().Path() != "main" && keepsNothing[f.Pkg().Path()] {
		return l.expr(a)
	}
	sig, ok := l.typeOf(x.Fun).Underlying().(*types.Signature)
	if !ok {
		return l.expr(a)
	}
	param := func(i int) types.Type {
		n := sig.Params().Len()
		if sig.Variadic() && i >= n-1 && !x.Ellipsis.IsValid() {
			return sig.Params().At(n - 1).Type().(*types.Slice).Elem()
		}
		if i >= n {
			return nil
		}
		return sig.Params().At(i).Type()
	}
	if isTupleType(l.info.TypeOf(a)) {
		return l.adapt(l.expr(a), a, param)
	}
	raw := l.expr(a)
	if f := l.callee(x); f != nil && f.Pkg() != nil && f.Pkg().Path() != "main" {
		raw = l.bound(a, raw)
	}
	text := l.convert(raw, l.info.TypeOf(a), param(i), a)
	if f := l.callee(x); f != nil && f.Pkg() != nil && f.Pkg().Path() != "main" {
		if t := l.subs.of(param(i)); l.info.Types[a].IsNil() && t != nil && types.IsInterface(t) && !open(t) && !isError(t) {
			return "(" + l.typ(t, a) + ")(nil)" // the interpreter must know the type, to pass no value of it
		}
	}
	if t := l.subs.of(param(i)); t != nil && types.IsInterface(t) && !isTupleType(l.typeOf(a)) && !l.info.Types[a].IsNil() {
		if _, isCall := ast.Unparen(a).(*ast.CallExpr); !isCall && text == raw {
			return text
		}
		return "(" + text + ")" // the interpreter boxes the result of a call once more where it is an argument itself
	}
	return text
}

// keepsNothing are packages whose functions are done with their arguments when they return.
var keepsNothing = map[string]bool{"sort": true, "reflect": true}

// calleeIsVerb reports whether x calls a function of the dsl.
func (l *lowering) calleeIsVerb(x *ast.CallExpr) bool {
	var id *ast.Ident
	switch f := ast.Unparen(x.Fun).(type) {
	case *ast.Ident:
		id = f
	case *ast.SelectorExpr:
		id = f.Sel
	default:
		return false
	}
	f, ok := l.object(id).(*types.Func)
	return ok && f.Pkg() != nil && f.Pkg().Path() == "banter/dsl"
}

// identify collects what a passed function depends on.
func (l *lowering) identify(p *passedFunc, a ast.Expr) {
	if lit, ok := ast.Unparen(a).(*ast.FuncLit); ok {
		p.lit = lit
	}
	p.reach = reach.Of(a, l.info, reach.Program{
		Fset: l.e.fset,
		Text: func(f *token.File) string { return l.e.texts[f] },
		Function: func(name string) (*ast.FuncDecl, *types.Info) {
			if ent := l.e.pending(name); ent != nil {
				return ent.fn, ent.info
			}
			return nil, nil
		},
	})
	var seen []reach.Read
	for _, r := range p.reach.Reads {
		if l.global(r.Var) == "" && !l.visible(r.Var) {
			if p.reach.Unknown == "" {
				p.reach.Unknown = "it reads " + r.Name
			}
			continue
		}
		seen = append(seen, r)
		if !slices.Contains(p.objects, types.Object(r.Var)) {
			p.objects = append(p.objects, r.Var)
		}
	}
	p.reach.Reads = seen
}

// visible reports whether a local variable can be named where the call stands.
func (l *lowering) visible(obj types.Object) bool {
	return l.info.Defs != nil && obj.Parent() != nil && !l.e.isTop(obj)
}

// predicate makes the dsl's form of a passed function, at the moment of the call.
func (s *support) predicate(id int, keep func(align.Pair) bool, values func() []any) any {
	s.mu.Lock()
	p := s.passed[id]
	s.mu.Unlock()
	if p == nil { // of a cell that was left behind while it ran
		panic(stopped{})
	}
	out := dsl.Predicate{Keep: func(pair *dsl.Pair) bool { return keep(*pair) }, Source: p.reach.Source, Uncacheable: p.reach.Unknown}
	captures := map[types.Object]reflect.Value{}
	for i, v := range values() {
		captures[p.objects[i]] = reflect.ValueOf(v)
	}
	var trouble string
	if out.Captures, trouble = p.captures(captures); trouble != "" && out.Uncacheable == "" {
		out.Uncacheable = trouble
	}
	out.Changed = func() string {
		now := map[types.Object]reflect.Value{}
		for i, v := range values() {
			now[p.objects[i]] = reflect.ValueOf(v)
		}
		list, trouble := p.captures(now)
		for i, c := range list {
			if i < len(out.Captures) && c != out.Captures[i] {
				return "it changes " + c.Name
			}
		}
		return trouble
	}
	note := ""
	if p.lit != nil {
		f, why, ok := predicate.Compile(p.lit, p.info, pairType, func(obj types.Object) (reflect.Value, bool) {
			v, ok := captures[obj]
			return v, ok
		})
		if ok {
			out.Keep = func(pair *dsl.Pair) bool { return f.Keep(unsafe.Pointer(pair)) }
			out.KeepAll = func(pairs []dsl.Pair, keep []bool) {
				f.Rows(unsafe.Pointer(unsafe.SliceData(pairs)), keep[:len(pairs)])
			}
		} else {
			note = why
		}
	} else {
		note = "it is not a function literal"
	}
	if note != "" {
		r := s.current()
		s.mu.Lock()
		r.notes = append(r.notes, fmt.Sprintf("%s: this filter is interpreted, about a hundred times slower: %s", p.pos, note))
		s.mu.Unlock()
	}
	if s.observe != nil {
		s.observe(out)
	}
	return out
}

// captures are the values that a function reads from outside of itself; trouble says what has no such form.
func (p *passedFunc) captures(values map[types.Object]reflect.Value) (list []dsl.Capture, trouble string) {
	for _, r := range p.reach.Reads {
		v := values[r.Var]
		for _, f := range r.Fields {
			if v.Kind() == reflect.Pointer {
				v = v.Elem()
			}
			if !v.IsValid() {
				break // behind a nil pointer, at which the function will panic
			}
			v = v.Field(f)
		}
		text, why := reach.Canonical(v, unboxed)
		if why != "" && trouble == "" {
			trouble = fmt.Sprintf("it reads %s, which holds %s", r.Name, why)
		}
		list = append(list, dsl.Capture{Name: r.Name, Type: types.TypeString(r.Type, nil), Value: text})
	}
	return list, trouble
}

// unboxed is the type and the value of a box.
func unboxed(v reflect.Value) (typ string, inner reflect.Value, ok bool) {
	b, ok := bareBox(v.Interface()).(Box)
	if !ok {
		return "", v, false
	}
	return b.T.key, reflect.ValueOf(b.V), true
}
