package cell

import (
	"go/ast"
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

// shown lowers an argument that compiled code gets as any: what keeps it or formats it gets values of the cells' types
// in their boxes, all else gets them bare, where that changes nothing.
func (l *lowering) shown(x *ast.CallExpr, i int, a ast.Expr, text string) string {
	f := l.callee(x)
	if f == nil || f.Pkg() == nil || f.Pkg().Path() == "main" || l.info.TypeOf(a) == nil || isTupleType(l.info.TypeOf(a)) {
		return text
	}
	sig := f.Signature()
	if n := sig.Params().Len(); sig.Variadic() && i >= n-1 && !x.Ellipsis.IsValid() {
		elem := sig.Params().At(n - 1).Type().(*types.Slice).Elem()
		if iface, ok := elem.Underlying().(*types.Interface); ok && iface.NumMethods() > 0 && !isError(elem) && own(l.subs.of(l.info.TypeOf(a))) {
			refuse(a.Pos(), "a %s as one of the variadic arguments of %s yet", l.info.TypeOf(a), f.FullName())
		}
	}
	if !anyParam(sig, i, x.Ellipsis.IsValid()) {
		return text
	}
	t := types.Default(l.subs.of(l.info.TypeOf(a)))
	if b, ok := t.(*types.Basic); ok && b.Kind() == types.UntypedNil {
		return text
	}
	switch path := f.Pkg().Path(); path {
	case "fmt", "log", "errors":
		if strings.Contains(f.Name(), "can") && path == "fmt" || f.Name() == "As" {
			return l.expr(a)
		}
		return text
	case "sync", "sync/atomic", "container/list", "container/heap", "container/ring", "context", "runtime", "log/slog":
		return text
	case "encoding/json":
		if !strings.HasPrefix(f.Name(), "Unm") && f.Name() != "Decode" {
			return text
		}
	case "reflect":
		if f.Name() == "DeepEqual" {
			return l.into(a, emptyInterface)
		}
		if own(t) {
			refuse(a.Pos(), "%s of a %s yet: the interpreter's types have neither names nor methods", f.FullName(), typeName(t))
		}
		return l.alias(supportPath) + ".Compiled(" + l.expr(a) + ")"
	}
	if types.IsInterface(t) {
		return l.alias(supportPath) + ".Plain(" + l.into(a, emptyInterface) + ")"
	}
	if own(t) && f.Pkg().Path() != "sort" {
		looked := magicMethods
		if f.Pkg().Path() == "encoding/json" { // it only reads
			looked = []string{"UnmarshalJSON", "UnmarshalText"}
		}
		for _, m := range looked {
			if methodInside(t, m, map[types.Type]bool{}) {
				refuse(a.Pos(), "%s of a %s yet: its method %s would not be seen", f.FullName(), t, m)
			}
		}
	}
	return l.expr(a)
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
