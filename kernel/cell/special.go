package cell

import (
	"go/ast"
	"go/constant"
	"go/types"
	"strings"
)

// special names what stands for a compiled function that must not act on the process, or that an interrupt must reach.
func (l *lowering) special(f *types.Func) string {
	switch f.FullName() {
	case "os.Exit":
		return l.alias(supportPath) + ".Exit"
	case "log.Fatal", "log.Fatalf", "log.Fatalln":
		return l.alias(supportPath) + "." + f.Name()
	case "time.Sleep":
		return l.alias(supportPath) + ".Sleep"
	}
	return ""
}

// checkFormat refuses formats that show the names of types: the interpreter's types have none.
func (l *lowering) checkFormat(x *ast.CallExpr) {
	sel, ok := ast.Unparen(x.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	f, ok := l.object(sel.Sel).(*types.Func)
	if !ok || f.Pkg() == nil || f.Pkg().Path() != "fmt" && f.Pkg().Path() != "log" || !strings.HasSuffix(f.Name(), "f") {
		return
	}
	at := 0
	if f.Name() == "Fprintf" || f.Name() == "Appendf" {
		at = 1
	}
	own := false
	for _, a := range x.Args[min(at+1, len(x.Args)):] {
		own = own || mentionsMain(l.typeOf(a), map[types.Type]bool{})
	}
	if !own || at >= len(x.Args) {
		return
	}
	v := l.info.Types[x.Args[at]].Value
	if v == nil {
		refuse(x.Pos(), "%s with a format that is not constant for a value of a type of the cell yet", f.FullName())
	}
	format := constant.StringVal(v)
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		sharp := false
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.*[]", format[i]) >= 0; i++ {
			sharp = sharp || format[i] == '#'
		}
		if i < len(format) && (format[i] == 'T' || sharp && format[i] == 'v') {
			refuse(x.Pos(), "%s of %%%s for a value of a type of the cell yet: the type would be shown without its name", f.FullName(), map[bool]string{true: "#v", false: "T"}[sharp])
		}
	}
}

// shown makes values of the cells' types print as compiled code prints them: a method that formats is brought into
// view, and what the interpreter cannot show faithfully is refused.
func (l *lowering) shown(x *ast.CallExpr, i int, a ast.Expr, text string) string {
	f := l.callee(x)
	if f == nil || f.Pkg() == nil || f.Pkg().Path() == "main" || l.info.TypeOf(a) == nil {
		return text
	}
	sig := f.Signature()
	if n := sig.Params().Len(); sig.Variadic() && i >= n-1 && !x.Ellipsis.IsValid() {
		elem := sig.Params().At(n - 1).Type().(*types.Slice).Elem()
		if iface, ok := elem.Underlying().(*types.Interface); ok && iface.NumMethods() > 0 && mentionsMain(l.subs.of(l.info.TypeOf(a)), map[types.Type]bool{}) {
			if elem.String() != "error" {
				refuse(a.Pos(), "a %s as one of the variadic arguments of %s yet", l.info.TypeOf(a), f.FullName())
			}
			return l.alias(supportPath) + ".AsError(" + text + ")"
		}
	}
	if !anyParam(sig, i, x.Ellipsis.IsValid()) {
		return text
	}
	t := types.Default(l.subs.of(l.info.TypeOf(a)))
	if f.FullName() == "errors.As" {
		if p, ok := t.Underlying().(*types.Pointer); !ok || mentionsMain(p.Elem(), map[types.Type]bool{}) {
			refuse(a.Pos(), "errors.As into a type of the cell yet: use a type assertion")
		}
		return text
	}
	switch path := f.Pkg().Path(); path {
	case "fmt", "log", "errors":
		if strings.Contains(f.Name(), "can") && path == "fmt" || f.Name() == "As" {
			return text
		}
		switch {
		case !l.e.formats():
			if types.IsInterface(t) && !l.info.Types[a].IsNil() && l.boxes(t) != "" {
				return l.alias(supportPath) + ".Plain(" + text + ")"
			}
			return text
		case types.IsInterface(t):
			k := l.tmp("x")
			return "func(" + k + " interface{}) interface{} { if " + k + " == nil { return nil }; if s, ok := " + k + ".(error); ok { return s }; if s, ok := " + k + ".(" + l.alias("fmt") + ".Stringer); ok { return s }; return " + l.alias(supportPath) + ".Plain(" + k + ") }(" + text + ")"
		case has(t, "Format") || has(t, "GoString"):
			refuse(a.Pos(), "a Format or GoString method of %s yet", t)
		case (has(t, "Error") || has(t, "String")) && l.verb(x, f, i) == 'd':
			return text
		case has(t, "Error"):
			return l.alias(supportPath) + ".Error(" + text + ")"
		case has(t, "String"):
			l.alias("fmt")
			return l.alias(supportPath) + ".Stringer(" + text + ")"
		case formatsInside(t, map[types.Type]bool{}):
			refuse(a.Pos(), "%s of a %s, which holds values with a String or Error method, yet: print them one by one", f.FullName(), t)
		}
	case "sync", "sync/atomic", "container/list", "container/heap", "container/ring", "context", "sort", "runtime":
	default:
		for _, m := range magicMethods {
			if methodInside(t, m, map[types.Type]bool{}) {
				refuse(a.Pos(), "%s of a %s yet: its method %s would not be seen", f.FullName(), t, m)
			}
		}
	}
	return text
}

// magicMethods are those that compiled code looks for in values it is given as any.
var magicMethods = []string{
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "MarshalBinary", "UnmarshalBinary", "AppendText", "AppendBinary",
	"MarshalXML", "UnmarshalXML", "MarshalXMLAttr", "GobEncode", "GobDecode", "IsZero", "LogValue", "String", "Error",
}

func (l *lowering) callee(x *ast.CallExpr) *types.Func {
	switch f := ast.Unparen(x.Fun).(type) {
	case *ast.Ident:
		obj, _ := l.object(f).(*types.Func)
		return obj
	case *ast.SelectorExpr:
		obj, _ := l.object(f.Sel).(*types.Func)
		return obj
	}
	return nil
}

// anyParam reports whether the i-th argument goes to a parameter of type any.
func anyParam(sig *types.Signature, i int, spread bool) bool {
	n := sig.Params().Len()
	if n == 0 {
		return false
	}
	t := sig.Params().At(min(i, n-1)).Type()
	if sig.Variadic() && i >= n-1 && !spread {
		t = t.(*types.Slice).Elem()
	}
	iface, ok := t.Underlying().(*types.Interface)
	return ok && iface.NumMethods() == 0
}

// has reports whether values of t have a method of the cells called name.
func has(t types.Type, name string) bool {
	return mentionsMain(t, map[types.Type]bool{}) && types.NewMethodSet(t).Lookup(nil, name) != nil
}

func formatsInside(t types.Type, seen map[types.Type]bool) bool {
	for _, m := range []string{"Error", "String", "Format", "GoString"} {
		if methodInside(t, m, map[types.Type]bool{}) {
			return true
		}
	}
	return false
}

// methodInside reports whether t, or what it holds, has a method of the cells called name.
func methodInside(t types.Type, name string, seen map[types.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	if n, ok := types.Unalias(t).(*types.Named); ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() != "main" {
		return false
	}
	if has(t, name) || !types.IsInterface(t) && has(types.NewPointer(t), name) {
		return true
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return methodInside(u.Elem(), name, seen)
	case *types.Slice:
		return methodInside(u.Elem(), name, seen)
	case *types.Array:
		return methodInside(u.Elem(), name, seen)
	case *types.Map:
		return methodInside(u.Key(), name, seen) || methodInside(u.Elem(), name, seen)
	case *types.Struct:
		for i := range u.NumFields() {
			if methodInside(u.Field(i).Type(), name, seen) {
				return true
			}
		}
	}
	return false
}

// formats reports whether any type of the cells has a method that formats it.
func (e *Evaluator) formats() bool {
	for n := range e.next {
		if _, m, ok := strings.Cut(n, "."); ok && (m == "String" || m == "Error") {
			return true
		}
	}
	return false
}

// verb says how the i-th argument of a call is formatted: 'v' where by its methods, 'd' where by its value.
func (l *lowering) verb(x *ast.CallExpr, f *types.Func, i int) byte {
	at := 0
	if f.Name() == "Fprintf" || f.Name() == "Appendf" {
		at = 1
	}
	if !strings.HasSuffix(f.Name(), "f") || i <= at {
		return 'v'
	}
	v := l.info.Types[x.Args[at]].Value
	if v == nil {
		refuse(x.Pos(), "%s with a format that is not constant for a value with methods yet", f.FullName())
	}
	format := constant.StringVal(v)
	n := at
	for j := 0; j < len(format); j++ {
		if format[j] != '%' {
			continue
		}
		for j++; j < len(format) && strings.IndexByte("+-# 0123456789.*[]", format[j]) >= 0; j++ {
			if format[j] == '*' || format[j] == '[' {
				refuse(x.Pos(), "%s with * or argument indexes for a value with methods yet", f.FullName())
			}
		}
		if j >= len(format) || format[j] == '%' {
			continue
		}
		n++
		if n == i {
			if strings.IndexByte("vsqxXw", format[j]) >= 0 {
				return 'v'
			}
			return 'd'
		}
	}
	return 'v'
}
