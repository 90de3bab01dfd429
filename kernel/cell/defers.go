package cell

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/types"
	"runtime"
	"strconv"
	"strings"
)

// The interpreter reads the operands of a deferred call when it happens, drops the calls that are left when one of them
// panics, and cannot tell them apart in a loop. So a function that defers has its body in a literal that compiled code
// calls, and compiled code keeps the deferred calls, each with its operands in a closure, and carries them out.

// Defers are the deferred calls of one call of a function.
type Defers struct {
	calls  []deferredCall
	normal bool // the body returned
}

type deferredCall struct {
	f        func()
	recovers bool // it may call recover
}

// Panicking is a panic on its way, as a deferred call sees it.
type Panicking struct {
	value     any
	recovered bool
}

func (d *Defers) push(recovers bool, f func()) {
	d.calls = append(d.calls, deferredCall{f, recovers})
}

// guarded carries out the body of a function, and then what it deferred.
func (s *support) guarded(d *Defers, body func()) {
	defer s.unwind(d)
	body()
	d.normal = true
}

func (s *support) unwind(d *Defers) {
	var p *Panicking
	if !d.normal {
		if r := recover(); r != nil {
			if _, exit := r.(*ExitError); exit {
				panic(r) // no deferred call runs
			}
			p = &Panicking{value: r}
		}
	}
	s.drain(d, &p)
	if p != nil && !p.recovered {
		panic(p.value)
	}
}

func (s *support) drain(d *Defers, p **Panicking) {
	defer func() {
		if len(d.calls) > 0 { // a deferred call has ended the goroutine
			s.drain(d, p)
		}
	}()
	for len(d.calls) > 0 {
		c := d.calls[len(d.calls)-1]
		d.calls = d.calls[:len(d.calls)-1]
		s.deferred(c, p)
	}
}

func (s *support) deferred(c deferredCall, p **Panicking) {
	done := false
	defer func() {
		if done {
			return
		}
		if r := recover(); r != nil {
			*p = &Panicking{value: r}
		}
	}()
	if now := *p; c.recovers && now != nil && !now.recovered {
		if _, interrupt := now.value.(stopped); !interrupt {
			id := goroutine()
			s.claims.Store(id, now)
			defer s.claims.Delete(id)
		}
	}
	c.f()
	done = true
}

// claim is what a function calls first that calls recover: it gives the panic if the call is a deferred one.
func (s *support) claim() *Panicking {
	p, _ := s.claims.LoadAndDelete(goroutine())
	now, _ := p.(*Panicking)
	return now
}

func (s *support) recovered(p *Panicking) any {
	if p == nil || p.recovered {
		return nil
	}
	p.recovered = true
	s.e.trace.forget(goroutine())
	v := goPanic(p.value)
	if err, ok := v.(error); ok {
		return unerr(err)
	}
	return v
}

// goroutine is the number of the running goroutine.
func goroutine() int {
	var buf [64]byte
	text := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	digits, _, _ := bytes.Cut(text, []byte(" "))
	id, _ := strconv.Atoi(string(digits))
	return id
}

// defers reports whether a function with this body has deferred calls of its own.
func defers(list ...ast.Stmt) bool {
	return inOwn(list, func(n ast.Node) bool { _, ok := n.(*ast.DeferStmt); return ok })
}

// recovers reports whether a function with this body calls recover itself.
func (l *lowering) recovers(body *ast.BlockStmt) bool {
	return inOwn(body.List, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return false
		}
		id, ok := ast.Unparen(call.Fun).(*ast.Ident)
		if !ok {
			return false
		}
		b, ok := l.object(id).(*types.Builtin)
		return ok && b.Name() == "recover"
	})
}

// inOwn looks for a node outside function literals.
func inOwn(list []ast.Stmt, is func(ast.Node) bool) bool {
	found := false
	for _, s := range list {
		ast.Inspect(s, func(n ast.Node) bool {
			if _, ok := n.(*ast.FuncLit); ok || found {
				return false
			}
			found = n != nil && is(n)
			return !found
		})
	}
	return found
}

// mayRecover reports whether a call of f could call recover directly.
func (l *lowering) mayRecover(f ast.Expr) bool {
	switch f := ast.Unparen(f).(type) {
	case *ast.FuncLit:
		return l.recovers(f.Body)
	case *ast.Ident:
		if obj, ok := l.object(f).(*types.Func); ok && obj.Pkg() != nil && obj.Pkg().Path() == "main" {
			if n := l.e.pending(obj.Name()); n != nil && n.fn != nil && n.fn.Body != nil && n.info != nil {
				return (&lowering{e: l.e, info: n.info}).recovers(n.fn.Body)
			}
		}
	case *ast.SelectorExpr:
		if obj, ok := l.object(f.Sel).(*types.Func); ok && obj.Pkg() != nil && obj.Pkg().Path() != "main" {
			return false
		}
	}
	return true
}

// functionBody lowers the statements of a function.
func (l *lowering) functionBody(body *ast.BlockStmt) string {
	at := l.at
	defer func() { l.at = at }()
	l.at = nil
	if len(body.List) > 0 {
		if l.at = l.begin(body.List[0].Pos()); l.at != nil {
			l.at.leaf = !l.mayRecurse(body)
		}
	}
	l.claimed = ""
	text := ""
	if l.recovers(body) {
		l.claimed = l.tmp("panicking")
		text += l.claimed + " := " + l.alias(supportPath) + ".Claim(); "
	}
	list := l.list(body.List)
	enter, list := l.enter(body, list)
	if l.defers == "" {
		return " {" + enter + text + list + "}"
	}
	return " {" + enter + text + l.guard(list) + "\nreturn }"
}

// guard wraps the text of a body that defers.
func (l *lowering) guard(text string) string {
	k := l.alias(supportPath)
	return l.defers + " := " + k + ".NewDefers(); " + k + ".Guarded(" + l.defers + ", func() {" + text + "})"
}

// deferred lowers a defer statement.
func (l *lowering) deferred(s *ast.DeferStmt) string {
	if id, ok := ast.Unparen(s.Call.Fun).(*ast.Ident); ok {
		if b, ok := l.object(id).(*types.Builtin); ok && b.Name() == "recover" {
			return "" // deferred itself, recover stops nothing
		}
	}
	return fmt.Sprintf("%s.Push(%s, %t, %s)", l.alias(supportPath), l.defers, l.mayRecover(s.Call.Fun), l.thunk(s.Call))
}

// thunk writes a function that makes a call, whose operands are evaluated now.
func (l *lowering) thunk(call *ast.CallExpr) string {
	var params, values, names []string
	add := func(t, value string) string {
		name := fmt.Sprintf("a%d", len(params))
		params, values = append(params, name+" "+t), append(values, value)
		return name
	}
	wrap := func(text string) string {
		if len(params) == 0 {
			return l.framed("func()", "func() { "+text+" }")
		}
		return "func(" + strings.Join(params, ", ") + ") func() { return func() { " + text + " } }(" + strings.Join(values, ", ") + ")"
	}
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
		if b, ok := l.object(id).(*types.Builtin); ok {
			switch b.Name() {
			case "panic":
				return wrap(l.faultCall("Panic", call.Pos(), add("interface{}", l.into(call.Args[0], emptyInterface))))
			case "close", "delete", "copy":
				for i, a := range call.Args {
					if m, ok := l.typeOf(call.Args[0]).Underlying().(*types.Map); ok && i == 1 {
						names = append(names, add(l.typ(m.Key(), a), l.into(a, m.Key())))
						continue
					}
					names = append(names, add(l.typ(types.Default(l.typeOf(a)), a), l.expr(a)))
				}
				return wrap(b.Name() + "(" + strings.Join(names, ", ") + ")")
			case "print", "println":
				for _, a := range call.Args {
					names = append(names, add("interface{}", l.into(a, emptyInterface)))
				}
				return wrap(l.alias(supportPath) + ".P" + b.Name()[1:] + "(" + strings.Join(names, ", ") + ")")
			}
			refuse(call.Pos(), "the built-in %s here yet: wrap it in func() { ... }", b.Name())
		}
	}
	lit, isLit := ast.Unparen(call.Fun).(*ast.FuncLit)
	if isLit && len(call.Args) == 0 {
		if lit.Type.Results == nil || len(lit.Type.Results.List) == 0 {
			return l.bound(lit, l.funcLit(lit))
		}
		return "func(f " + l.typ(l.typeOf(lit), lit) + ") func() { return func() { f() } }(" + l.funcLit(lit) + ")"
	}
	sig := l.typeOf(call.Fun).Underlying().(*types.Signature)
	fun := ""
	f := l.callee(call)
	if isLit {
		fun = "(" + l.funcLit(lit) + ")"
	} else if f != nil && f.Signature().Recv() == nil {
		fun = l.expr(call.Fun)
	} else {
		fun = add(l.typ(sig, call), l.expr(call.Fun))
	}
	if len(call.Args) == 1 && isTupleType(l.info.TypeOf(call.Args[0])) {
		refuse(call.Pos(), "go or defer with the values of a call as its arguments yet: assign them to variables first")
	}
	n := sig.Params().Len()
	var rest []string
	for i, a := range call.Args {
		text := l.argument(call, i, a)
		if sig.Variadic() && i >= n-1 && !call.Ellipsis.IsValid() {
			rest = append(rest, text)
			continue
		}
		names = append(names, add(l.typ(l.subs.of(sig.Params().At(i).Type()), call), text))
	}
	if sig.Variadic() {
		if !call.Ellipsis.IsValid() {
			if len(rest) > 0 {
				t := l.typ(l.subs.of(sig.Params().At(n-1).Type()), call)
				names = append(names, add(t, t+"{"+strings.Join(rest, ", ")+"}")+"...")
			}
		} else {
			names[n-1] += "..."
		}
	}
	return wrap(fun + "(" + strings.Join(names, ", ") + ")")
}

// bound is the text of a literal as an argument of compiled code, which may keep it or call it from elsewhere. The
// interpreter binds a literal to the frame that it stands in, and writes there when a call of it ends: so it stands in a
// frame of its own.
func (l *lowering) bound(x ast.Expr, text string) string {
	if _, ok := ast.Unparen(x).(*ast.FuncLit); !ok {
		return text
	}
	return l.framed(l.typ(l.typeOf(x), x), text)
}

func (l *lowering) framed(t, text string) string { return "func() " + t + " { return " + text + " }()" }

// spawn wraps a go statement so that a panic in the goroutine becomes the cell's, not the process's.
func (l *lowering) spawn(s *ast.GoStmt) string {
	guard := "defer func() { if r := recover(); r != nil { " + l.alias(supportPath) + ".Died(r) } }()\n"
	return "func(f func()) { go func() { " + guard + "f() }() }(" + l.thunk(s.Call) + ")"
}
