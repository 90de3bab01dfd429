package cell

import (
	"go/ast"
	"go/types"
	"reflect"
	"unsafe"
)

// The interpreter keeps a value of a cell's type in an interface as a box that points at the variable it came from: a
// later assignment to the variable would show in the interface. So each conversion to an interface goes through the
// parameter of a function, which is a variable of its own.

// into lowers x as it is assigned to something of type t.
func (l *lowering) into(x ast.Expr, t types.Type) string {
	return l.boxed(l.expr(x), l.info.TypeOf(x), t, x)
}

// boxed converts text of type from to type t, as an assignment does.
func (l *lowering) boxed(text string, from, t types.Type, at ast.Expr) string {
	if t == nil || from == nil {
		return text
	}
	t, from = l.subs.of(t), types.Default(l.subs.of(from))
	if !types.IsInterface(t) || types.IsInterface(from) || isTupleType(from) || !mentionsMain(from, map[types.Type]bool{}) {
		return text
	}
	return "func(v " + l.typ(from, at) + ") " + l.typ(t, at) + " { return v }(" + text + ")"
}

// spread checks the assignment of a call's several values to the given types, where no single one can be converted.
func (l *lowering) spread(x ast.Expr, to func(i int) types.Type) {
	tuple, ok := l.typeOf(x).(*types.Tuple)
	if !ok {
		return
	}
	for i := range tuple.Len() {
		t, from := l.subs.of(to(i)), l.subs.of(tuple.At(i).Type())
		if t != nil && types.IsInterface(t) && !types.IsInterface(from) && mentionsMain(from, map[types.Type]bool{}) {
			refuse(x.Pos(), "a call whose value of type %s becomes a %s among others yet: assign it to a variable of its own type first", from, t)
		}
	}
}

// checkKey refuses maps whose keys are interfaces that may hold values of the cells' types: the interpreter would
// compare its boxes.
func (l *lowering) checkKey(m *types.Map, at ast.Node) {
	if n := l.boxes(l.subs.of(m.Key())); n != "" {
		refuse(at.Pos(), "a map with keys of an interface type that may hold a %s yet", n)
	}
}

// boxes names a type of the cells that an interface can hold, if there is one.
func (l *lowering) boxes(t types.Type) string {
	if t == nil || !types.IsInterface(t) {
		return ""
	}
	iface := t.Underlying().(*types.Interface)
	for _, n := range sortedKeys(l.e.next) {
		named, ok := l.e.next[n].obj.(*types.TypeName)
		if !ok || types.IsInterface(named.Type()) {
			continue
		}
		if types.Implements(named.Type(), iface) || types.Implements(types.NewPointer(named.Type()), iface) {
			return n
		}
	}
	return ""
}

// plain takes a value out of the interpreter's box, if it is in one.
func plain(v any) any {
	for range 8 {
		t := reflect.TypeOf(v)
		if t == nil || t.Kind() != reflect.Struct || t.Name() != "valueInterface" || t.PkgPath() != "github.com/traefik/yaegi/interp" {
			return v
		}
		box := reflect.New(t).Elem()
		box.Set(reflect.ValueOf(v))
		f := box.FieldByName("value")
		if !f.IsValid() || f.Type() != reflect.TypeFor[reflect.Value]() {
			return v
		}
		inner := *(*reflect.Value)(unsafe.Pointer(f.UnsafeAddr()))
		if !inner.IsValid() {
			return nil
		}
		if !inner.CanInterface() {
			return v
		}
		v = inner.Interface()
	}
	return v
}
