package cell

import (
	"fmt"
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
	return l.box(text, from, t, at)
}

func (l *lowering) box(text string, from, t types.Type, at ast.Expr) string {
	to := l.typ(t, at)
	return "func(v " + l.typ(from, at) + ") " + to + " { var i " + to + " = v; return i }(" + text + ")"
}

// checkAssert refuses an assertion to a type that the interpreter could not tell from another one: its types have no
// names.
func (l *lowering) checkAssert(x ast.Expr, to types.Type, at ast.Node) {
	to = l.subs.of(to)
	if types.IsInterface(to) {
		return
	}
	iface, ok := l.typeOf(x).Underlying().(*types.Interface)
	if !ok {
		return
	}
	look := erased(to, 0)
	check := func(t types.Type) {
		for _, d := range []types.Type{t, types.NewPointer(t)} {
			if !types.Identical(d, to) && erased(d, 0) == look && types.Implements(d, iface) {
				refuse(at.Pos(), "an assertion to %s yet: it cannot be told from a %s, which is laid out alike", types.TypeString(to, l.relative), types.TypeString(d, l.relative))
			}
		}
	}
	for _, n := range sortedKeys(l.e.next) {
		if named, ok := l.e.next[n].obj.(*types.TypeName); ok && !named.IsAlias() && !types.IsInterface(named.Type()) {
			check(named.Type())
		}
	}
	for _, obj := range l.info.Defs {
		if named, ok := obj.(*types.TypeName); ok && !named.IsAlias() && !types.IsInterface(named.Type()) {
			check(named.Type())
		}
	}
	own := types.Unalias(to)
	for {
		p, ok := own.(*types.Pointer)
		if !ok {
			break
		}
		own = types.Unalias(p.Elem())
	}
	if _, isStruct := own.Underlying().(*types.Struct); !isStruct && iface.NumMethods() == 0 && mentionsMain(own, map[types.Type]bool{}) {
		refuse(at.Pos(), "an assertion to %s yet: it cannot be told from a %s", types.TypeString(to, l.relative), own.Underlying())
	}
	// What composite types are made of.
	switch t := own.(type) {
	case *types.Slice:
		l.checkAssertElem(t.Elem(), at)
	case *types.Array:
		l.checkAssertElem(t.Elem(), at)
	case *types.Map:
		l.checkAssertElem(t.Key(), at)
		l.checkAssertElem(t.Elem(), at)
	}
}

// checkAssertElem is checkAssert for a part of a type, where any type could stand.
func (l *lowering) checkAssertElem(t types.Type, at ast.Node) {
	look := erased(t, 0)
	for _, n := range sortedKeys(l.e.next) {
		if named, ok := l.e.next[n].obj.(*types.TypeName); ok && !named.IsAlias() && !types.Identical(named.Type(), t) && erased(named.Type(), 0) == look {
			refuse(at.Pos(), "an assertion to a type made of %s yet: it cannot be told from one made of %s", types.TypeString(t, l.relative), n)
		}
	}
}

func (l *lowering) relative(p *types.Package) string {
	if p.Path() == "main" {
		return ""
	}
	return p.Name()
}

// erased writes a type as the interpreter has it: types of the cells are what they are made of.
func erased(t types.Type, depth int) string {
	if depth > 8 {
		return "..."
	}
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		if t.Obj().Pkg() != nil && t.Obj().Pkg().Path() == "main" {
			return erased(t.Underlying(), depth+1)
		}
	case *types.Basic:
		if t.Kind() == types.Byte {
			return "uint8"
		}
		if t.Kind() == types.Rune {
			return "int32"
		}
		return t.Name()
	case *types.Pointer:
		return "*" + erased(t.Elem(), depth+1)
	case *types.Slice:
		return "[]" + erased(t.Elem(), depth+1)
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), erased(t.Elem(), depth+1))
	case *types.Map:
		return "map[" + erased(t.Key(), depth+1) + "]" + erased(t.Elem(), depth+1)
	case *types.Chan:
		return fmt.Sprintf("chan %d %s", t.Dir(), erased(t.Elem(), depth+1))
	case *types.Struct:
		text := "struct{"
		for i := range t.NumFields() {
			text += t.Field(i).Name() + " " + erased(t.Field(i).Type(), depth+1) + ";"
		}
		return text + "}"
	case *types.Interface:
		if t.NumMethods() > 0 {
			return "interface of the interpreter"
		}
	}
	return types.TypeString(t, nil)
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
