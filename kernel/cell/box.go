package cell

import (
	"fmt"
	"go/ast"
	"go/types"
	"maps"
	"slices"
	"sort"
	"strings"
)

// The interpreter's types have no names: in an interface, a value of a cell's type could not be told from another one
// that is laid out alike, and compiled code would not see its methods. So a value whose type is the cells' own goes into
// an interface as a Box, which carries the type. Interfaces that cells declare are empty interfaces in lowered text;
// methods of what they hold are found by a switch on the box's type, which is written anew when a type is added.

// tag is a type that has been put into an interface.
type tag struct {
	id                    int
	key                   string
	t                     types.Type
	sigs                  map[string]string // of its methods, by name
	boxes, opens, asserts bool              // which of its functions the interpreter has
}

// dispatcher is a function of lowered text that switches on the type in a box: it calls a method, or makes a value of a
// compiled interface.
type dispatcher struct {
	name   string
	method string // "" for one that converts
	sig    *types.Signature
	key    string       // of the signature
	iface  *types.Named // what it converts to
	known  bool         // the interpreter has its variable
}

// dynamics is what lowered text knows of types at run time.
type dynamics struct {
	tags        map[string]*tag // by typeKey
	dispatchers map[string]*dispatcher
	locals      map[types.Object]string // run-time names of types declared inside functions
	helpers     map[string]string       // functions that assert, by what they do
}

func newDynamics() *dynamics {
	return &dynamics{tags: map[string]*tag{}, dispatchers: map[string]*dispatcher{}, locals: map[types.Object]string{}, helpers: map[string]string{}}
}

// clone is a copy to go back to when a cell is refused.
func (d *dynamics) clone() *dynamics {
	c := newDynamics()
	for k, t := range d.tags {
		again := *t
		c.tags[k] = &again
	}
	for k, t := range d.dispatchers {
		again := *t
		c.dispatchers[k] = &again
	}
	maps.Copy(c.locals, d.locals)
	maps.Copy(c.helpers, d.helpers)
	return c
}

// own reports whether values of type t need a box: compiled code has no such type.
func own(t types.Type) bool { return ownType(t, 0) }

func ownType(t types.Type, depth int) bool {
	if depth > 16 {
		return false
	}
	depth++
	switch t := t.(type) {
	case *types.Alias:
		return ownType(types.Unalias(t), depth)
	case *types.Named:
		if t.Obj().Pkg() != nil && t.Obj().Pkg().Path() == "main" {
			return true
		}
		for i := range t.TypeArgs().Len() {
			if ownType(t.TypeArgs().At(i), depth) {
				return true
			}
		}
	case *types.Pointer:
		return ownType(t.Elem(), depth)
	case *types.Slice:
		return ownType(t.Elem(), depth)
	case *types.Array:
		return ownType(t.Elem(), depth)
	case *types.Chan:
		return ownType(t.Elem(), depth)
	case *types.Map:
		return ownType(t.Key(), depth) || ownType(t.Elem(), depth)
	case *types.Signature:
		return ownType(t.Params(), depth) || ownType(t.Results(), depth)
	case *types.Tuple:
		for i := range t.Len() {
			if ownType(t.At(i).Type(), depth) {
				return true
			}
		}
	case *types.Struct:
		for i := range t.NumFields() {
			if f := t.Field(i); !f.Exported() || f.Embedded() || ownType(f.Type(), depth) {
				return true
			}
		}
	case *types.Interface:
		return t.NumMethods() > 0
	}
	return false
}

// open reports whether an interface type is an empty interface in lowered text: all are but error and those that
// compiled packages declare.
func open(t types.Type) bool {
	if !types.IsInterface(t) {
		return false
	}
	n, ok := types.Unalias(t).(*types.Named)
	if !ok || n.Underlying().(*types.Interface).NumMethods() == 0 {
		return true
	}
	if n.Obj().Pkg() == nil {
		return n.Obj().Name() != "error"
	}
	return n.Obj().Pkg().Path() == "main" || n.TypeArgs().Len() > 0
}

func isError(t types.Type) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Pkg() == nil && n.Obj().Name() == "error"
}

// typeKey is the same for types that are identical in what the interpreter runs.
func (e *Evaluator) typeKey(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		text := t.Obj().Name()
		if p := t.Obj().Pkg(); p != nil {
			text = p.Path() + "." + text
			if p.Path() == "main" {
				if n := e.pending(t.Obj().Name()); e.isTop(t.Obj()) && n != nil {
					text = "main." + n.run
				} else {
					text = fmt.Sprintf("%s@%d", text, t.Obj().Pos())
				}
			}
		}
		for i := range t.TypeArgs().Len() {
			text += "|" + e.typeKey(t.TypeArgs().At(i))
		}
		if t.TypeArgs().Len() > 0 {
			text += "|"
		}
		return text
	case *types.Basic:
		if t.Info()&types.IsUntyped == 0 {
			return types.Typ[t.Kind()].Name()
		}
		return types.Default(t).String()
	case *types.Pointer:
		return "*" + e.typeKey(t.Elem())
	case *types.Slice:
		return "[]" + e.typeKey(t.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), e.typeKey(t.Elem()))
	case *types.Chan:
		return fmt.Sprintf("chan%d(%s)", t.Dir(), e.typeKey(t.Elem()))
	case *types.Map:
		return "map[" + e.typeKey(t.Key()) + "]" + e.typeKey(t.Elem())
	case *types.Tuple:
		parts := make([]string, t.Len())
		for i := range parts {
			parts[i] = e.typeKey(t.At(i).Type())
		}
		return "(" + strings.Join(parts, ",") + ")"
	case *types.Signature:
		text := "func" + e.typeKey(t.Params()) + e.typeKey(t.Results())
		if t.Variadic() {
			text += "..."
		}
		return text
	case *types.Struct:
		text := "struct{"
		for i := range t.NumFields() {
			f := t.Field(i)
			text += fmt.Sprintf("%s %t %s %q;", f.Name(), f.Embedded(), e.typeKey(f.Type()), t.Tag(i))
		}
		return text + "}"
	case *types.Interface:
		list := make([]string, t.NumMethods())
		for i := range list {
			list[i] = t.Method(i).Name() + e.typeKey(t.Method(i).Type())
		}
		sort.Strings(list)
		return "interface{" + strings.Join(list, ";") + "}"
	}
	return types.TypeString(t, nil)
}

// methodKeys lists the methods of a type with their signatures.
func (e *Evaluator) methodKeys(t types.Type) map[string]string {
	keys := map[string]string{}
	set := types.NewMethodSet(t)
	for i := range set.Len() {
		f := set.At(i).Obj().(*types.Func)
		keys[f.Name()] = e.typeKey(set.At(i).Type())
	}
	return keys
}

// tagOf makes t known at run time.
func (l *lowering) tagOf(t types.Type) *tag {
	t = types.Unalias(t)
	key := l.e.typeKey(t)
	if g := l.e.dynamics.tags[key]; g != nil {
		return g
	}
	l.e.counter++
	g := &tag{id: l.e.counter, key: key, t: t}
	l.e.dynamics.tags[key] = g
	l.typ(t, nil) // declares what it is an instance of
	l.e.learn(l.out, g)
	l.tagParts(t, 0)
	return g
}

// tagParts makes the types known that values of t hold, whose methods show when such a value is printed.
func (l *lowering) tagParts(t types.Type, depth int) {
	if depth > 8 {
		return
	}
	part := func(t types.Type) {
		if own(t) && !types.IsInterface(t) {
			if _, isTypeParam := types.Unalias(t).(*types.TypeParam); !isTypeParam {
				if types.NewMethodSet(t).Len() > 0 {
					l.tagOf(t)
				}
				l.tagParts(t, depth+1)
			}
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		part(u.Elem())
	case *types.Slice:
		part(u.Elem())
	case *types.Array:
		part(u.Elem())
	case *types.Map:
		part(u.Key())
		part(u.Elem())
	case *types.Struct:
		for i := range u.NumFields() {
			part(u.Field(i).Type())
		}
	}
}

// learn tells the compiled side of a type, and the dispatchers that switch on its methods.
func (e *Evaluator) learn(out *emission, g *tag) {
	g.sigs = e.methodKeys(g.t)
	e.support.register(g.id, g.key, g.t, g.sigs)
	for _, name := range sortedKeys(g.sigs) {
		if sig, ok := shownMethods[name]; ok && g.sigs[name] == sig {
			out.teach = append(out.teach, methodOf{g, name})
		}
		if d := e.dynamics.dispatchers[name+g.sigs[name]]; d != nil {
			out.dirty[d] = true
		}
	}
	for _, d := range e.dynamics.dispatchers {
		if d.iface != nil {
			out.dirty[d] = true
		}
	}
}

type methodOf struct {
	g    *tag
	name string
}

// shownMethods are those that compiled code looks for in a box.
var shownMethods = map[string]string{
	"Error": "func()(string)", "String": "func()(string)", "GoString": "func()(string)", "Format": "func(fmt.State,int32)()",
	"Unwrap": "func()(error)", "Is": "func(error)(bool)", "MarshalJSON": "func()([]uint8,error)", "MarshalText": "func()([]uint8,error)",
}

// relearn follows types that have gained methods.
func (e *Evaluator) relearn(out *emission) {
	for _, key := range sortedKeys(e.dynamics.tags) {
		g := e.dynamics.tags[key]
		t := e.current(g.t)
		if t == nil {
			continue
		}
		g.t = t
		if now := e.methodKeys(t); !maps.Equal(now, g.sigs) {
			e.learn(out, g)
		}
	}
}

// current is a type as its newest declaration has it, or nil if that is another type.
func (e *Evaluator) current(t types.Type) types.Type {
	switch t := types.Unalias(t).(type) {
	case *types.Pointer:
		if elem := e.current(t.Elem()); elem != nil {
			return types.NewPointer(elem)
		}
	case *types.Named:
		n := e.pending(t.Obj().Name())
		if t.TypeArgs().Len() == 0 && n != nil && e.isTop(t.Obj()) && n.spec != nil {
			if e.typeKey(n.obj.Type()) == e.typeKey(t) {
				return n.obj.Type()
			}
		}
	}
	return nil
}

// boxFunc names the function that puts a value of type t into an interface.
func (l *lowering) boxFunc(t types.Type) string {
	g := l.tagOf(t)
	name := fmt.Sprintf("cell_box%d", g.id)
	if !g.boxes {
		g.boxes = true
		l.out.decls = append(l.out.decls, fmt.Sprintf("func %s(v %s) interface{} { return %s.Put(%d, v) }", name, l.typ(g.t, nil), l.alias(supportPath), g.id))
	}
	return name
}

// openFunc names the function that takes a value of type t out of an interface, if it is one.
func (l *lowering) openFunc(t types.Type) string {
	g := l.tagOf(t)
	name := fmt.Sprintf("cell_as%d", g.id)
	if !g.opens {
		g.opens = true
		ts := l.typ(g.t, nil)
		l.out.decls = append(l.out.decls, fmt.Sprintf("func %s(x interface{}) (v %s, ok bool) { var u interface{}; u, ok = %s.Take(x, %d); if ok { v = u.(%s) }; return v, ok }", name, ts, l.alias(supportPath), g.id, ts))
	}
	return name
}

// mustFunc names the function that asserts type t and panics when it is another.
func (l *lowering) mustFunc(t types.Type) string {
	g := l.tagOf(t)
	name := fmt.Sprintf("cell_must%d", g.id)
	if !g.asserts {
		open := l.openFunc(t)
		g.asserts = true
		l.out.decls = append(l.out.decls, fmt.Sprintf("func %s(x interface{}, from string, line, column int) %s { v, ok := %s(x); if !ok { %s.Mismatch(x, from, %q, line, column) }; return v }", name, l.typ(g.t, nil), open, l.alias(supportPath), typeName(g.t)))
	}
	return name
}

// dispatcherFor is the function that calls a method on what an interface holds.
func (l *lowering) dispatcherFor(name string, sig *types.Signature) *dispatcher {
	sig = types.NewSignatureType(nil, nil, nil, sig.Params(), sig.Results(), sig.Variadic())
	key := l.e.typeKey(sig)
	d := l.e.dynamics.dispatchers[name+key]
	if d == nil {
		l.e.counter++
		d = &dispatcher{name: fmt.Sprintf("cell_call%d", l.e.counter), method: name, sig: sig, key: key}
		l.e.dynamics.dispatchers[name+key] = d
		l.out.dirty[d] = true
	}
	return d
}

// converterTo is the function that makes a value of a compiled interface type out of what an interface holds.
func (l *lowering) converterTo(t types.Type) *dispatcher {
	n, ok := types.Unalias(t).(*types.Named)
	if !ok {
		refuse(0, "a conversion to %s yet", t)
	}
	key := "to " + l.e.typeKey(t)
	d := l.e.dynamics.dispatchers[key]
	if d == nil {
		l.e.counter++
		d = &dispatcher{name: fmt.Sprintf("cell_to%d", l.e.counter), iface: n}
		l.e.dynamics.dispatchers[key] = d
		l.out.dirty[d] = true
	}
	return d
}

// packedParams writes parameters with their names; a variadic one is the slice that it comes to.
func (l *lowering) packedParams(sig *types.Signature, prefix string) (decl string, args []string) {
	var parts []string
	for i := range sig.Params().Len() {
		name := fmt.Sprintf("%s%d", prefix, i)
		parts = append(parts, name+" "+l.typ(sig.Params().At(i).Type(), nil))
		args = append(args, name)
	}
	return strings.Join(parts, ", "), args
}

func spreadLast(sig *types.Signature, args []string) string {
	text := strings.Join(args, ", ")
	if sig.Variadic() {
		text += "..."
	}
	return text
}

// dispatch writes the dispatchers that have changed, and what compiled code is to know of new types.
func (e *Evaluator) dispatch(out *emission) {
	for len(out.dirty) > 0 || len(out.teach) > 0 {
		l := &lowering{e: e, info: newInfo(), out: out}
		teach := out.teach
		out.teach = nil
		for _, m := range teach {
			out.inits += l.teach(m)
		}
		var list []*dispatcher
		for d := range out.dirty {
			list = append(list, d)
		}
		clear(out.dirty)
		slices.SortFunc(list, func(a, b *dispatcher) int { return strings.Compare(a.name, b.name) })
		for _, d := range list {
			l.writeDispatcher(d)
		}
	}
}

func (l *lowering) writeDispatcher(d *dispatcher) {
	l.e.counter++
	name := fmt.Sprintf("%s__%d", d.name, l.e.counter)
	k := l.alias(supportPath)
	var params, results string
	var args []string
	if d.iface != nil {
		results = " (" + l.typ(d.iface, nil) + ", bool)"
	} else {
		params, args = l.packedParams(d.sig, "a")
		results = l.resultTypes(d.sig)
	}
	sig := "(x interface{}"
	if params != "" {
		sig += ", " + params
	}
	sig += ")" + results
	var b strings.Builder
	b.WriteString("func " + name + sig + " {\n")
	var cases strings.Builder
	keys := sortedKeys(l.e.dynamics.tags)
	for _, key := range keys {
		g := l.e.dynamics.tags[key]
		if d.iface != nil {
			if l.e.satisfies(g.sigs, d.iface) {
				fmt.Fprintf(&cases, "case %d: v := u.(%s); var i %s = v; return i, true\n", g.id, l.typ(g.t, nil), l.typ(d.iface, nil))
			}
			continue
		}
		if g.sigs[d.method] == d.key {
			call := l.onValue(g.t, "v", d.method, d.sig, args)
			if d.sig.Results().Len() > 0 {
				call = "return " + call
			} else {
				call += "; return"
			}
			fmt.Fprintf(&cases, "case %d: v := u.(%s); %s\n", g.id, l.typ(g.t, nil), call)
		}
	}
	if cases.Len() > 0 {
		b.WriteString("if b, ok := x.(" + k + ".Box); ok { var u interface{} = b.V\nswitch b.ID {\n" + cases.String() + "}\n")
		if d.iface != nil {
			b.WriteString("return nil, false\n")
		}
		b.WriteString("}\n")
	} else if d.iface != nil {
		b.WriteString("if _, ok := x.(" + k + ".Box); ok { return nil, false }\n")
	}
	if d.iface != nil {
		b.WriteString("if x == nil { return nil, false }\n")
	}
	switch {
	case d.iface != nil:
		b.WriteString("v, ok := x.(" + l.typ(d.iface, nil) + "); return v, ok\n")
	case own(d.sig):
		fmt.Fprintf(&b, "%s.Method(x, %q); panic(\"no such method\")\n", k, d.method)
	default:
		ret := ""
		if d.sig.Results().Len() > 0 {
			ret = "return "
		}
		fmt.Fprintf(&b, "var f interface{} = %s.Method(x, %q)\n%sf.(%s)(%s)\n", k, d.method, ret, l.typ(d.sig, nil), spreadLast(d.sig, args))
	}
	b.WriteString("}")
	if !d.known {
		d.known = true
		l.out.decls = append(l.out.decls, "var "+d.name+" func"+sig)
	}
	l.out.decls = append(l.out.decls, b.String())
	l.out.inits += d.name + " = " + name + "\n"
}

// satisfies reports whether a type with these methods implements an interface.
func (e *Evaluator) satisfies(sigs map[string]string, t types.Type) bool {
	for name, key := range e.methodKeys(t) {
		if sigs[name] != key {
			return false
		}
	}
	return true
}

// onValue writes the call of a method of a concrete type, which it may have from an embedded interface.
func (l *lowering) onValue(t types.Type, v, method string, sig *types.Signature, args []string) string {
	if sel := types.NewMethodSet(t).Lookup(l.e.pkg, method); sel != nil {
		return l.promoted(t, sel.Index(), v, sel.Obj().(*types.Func), sig, args)
	}
	return v + "." + method + "(" + spreadLast(sig, args) + ")"
}

// promoted writes the call of a method at the end of a path of embedded fields.
func (l *lowering) promoted(t types.Type, index []int, v string, f *types.Func, sig *types.Signature, args []string) string {
	if recv := f.Signature().Recv(); len(index) > 1 && recv != nil && types.IsInterface(recv.Type()) {
		var holder types.Type
		v, holder = l.path(t, index[:len(index)-1], v)
		if open(holder) {
			return l.dispatcherFor(f.Name(), sig).name + "(" + strings.Join(append([]string{v}, args...), ", ") + ")"
		}
	}
	return v + "." + f.Name() + "(" + spreadLast(sig, args) + ")"
}

// path writes the selection of nested fields, and gives the type of the last one.
func (l *lowering) path(t types.Type, index []int, v string) (string, types.Type) {
	for _, i := range index {
		if p, ok := t.Underlying().(*types.Pointer); ok {
			t = p.Elem()
		}
		f := t.Underlying().(*types.Struct).Field(i)
		name := f.Name()
		if f.Embedded() {
			name = l.embedded(f)
		}
		v, t = v+"."+name, l.subs.of(f.Type())
	}
	return v, t
}

// teach gives compiled code a method of a type.
func (l *lowering) teach(m methodOf) string {
	sel := types.NewMethodSet(m.g.t).Lookup(l.e.pkg, m.name)
	if sel == nil {
		return ""
	}
	sig := sel.Type().(*types.Signature)
	params, args := l.packedParams(sig, "a")
	if params != "" {
		params = ", " + params
	}
	ret := ""
	if sig.Results().Len() > 0 {
		ret = "return "
	}
	return fmt.Sprintf("%s.Teach(%d, %q, func(x interface{}%s)%s { v := x.(%s); %s%s })\n", l.alias(supportPath), m.g.id, m.name, params, l.resultTypes(sig), l.typ(m.g.t, nil), ret, l.onValue(m.g.t, "v", m.name, sig, args))
}

// into lowers x as it is assigned to something of type t.
func (l *lowering) into(x ast.Expr, t types.Type) string {
	if t == nil || l.info.TypeOf(x) == nil || isTupleType(l.info.TypeOf(x)) {
		return l.expr(x)
	}
	return l.convert(l.expr(x), l.info.TypeOf(x), t, x)
}

// convert writes the conversion of text from one type to another, as an assignment does it.
func (l *lowering) convert(text string, from, to types.Type, at ast.Node) string {
	if to == nil || from == nil {
		return text
	}
	to, from = l.subs.of(to), types.Default(l.subs.of(from))
	if b, ok := from.(*types.Basic); ok && b.Kind() == types.UntypedNil || !types.IsInterface(to) {
		return text
	}
	k := func() string { return l.alias(supportPath) }
	if types.IsInterface(from) {
		switch {
		case open(from) && open(to), types.Identical(from, to):
			return text
		case isError(from) && open(to):
			return k() + ".Unerr(" + text + ")"
		case open(from) && isError(to):
			return k() + ".ToError(" + text + ")"
		case open(from):
			return "func(x interface{}) " + l.typ(to, at) + " { v, _ := " + l.converterTo(to).name + "(x); return v }(" + text + ")"
		case open(to):
			if n := l.boxes(from); n != "" {
				refuse(position(at), "a %s, which may hold a %s, as a %s yet", typeName(from), n, typeName(to))
			}
		}
		return text
	}
	if !own(from) {
		return text
	}
	switch {
	case open(to):
		return l.boxFunc(from) + "(" + text + ")"
	case isError(to):
		return k() + ".ToError(" + l.boxFunc(from) + "(" + text + "))"
	}
	return l.box(text, from, to, at)
}

// box converts to an interface by way of a parameter, which is a variable of its own: the interpreter keeps the address
// of the variable that a value came from.
func (l *lowering) box(text string, from, t types.Type, at ast.Node) string {
	to := l.typ(t, at)
	return "func(v " + l.typ(from, at) + ") " + to + " { var i " + to + " = v; return i }(" + text + ")"
}

// adapt converts the several values of a call, whose text is given.
func (l *lowering) adapt(text string, x ast.Expr, to func(i int) types.Type) string {
	tuple, ok := l.typeOf(x).(*types.Tuple)
	if !ok {
		return text
	}
	var params, results, values []string
	some := false
	for i := range tuple.Len() {
		p := fmt.Sprintf("p%d", i)
		from := l.subs.of(tuple.At(i).Type())
		t := from
		if want := to(i); want != nil {
			t = l.subs.of(want)
		}
		value := l.convert(p, from, t, x)
		some = some || value != p
		params = append(params, p+" "+l.typ(from, x))
		results = append(results, l.typ(t, x))
		values = append(values, value)
	}
	if !some {
		return text
	}
	if _, isCall := ast.Unparen(x).(*ast.CallExpr); !isCall {
		refuse(x.Pos(), "an assignment of several values, one of which becomes an interface, yet: assign to variables of their own types first")
	}
	return "func(" + strings.Join(params, ", ") + ") (" + strings.Join(results, ", ") + ") { return " + strings.Join(values, ", ") + " }(" + text + ")"
}

var emptyInterface = types.NewInterfaceType(nil, nil)

// assertion lowers x.(T). With both, the text gives the value and whether it is one.
func (l *lowering) assertion(a *ast.TypeAssertExpr, both bool) string {
	return l.assertTo(l.expr(a.X), l.typeOf(a.X), l.typeOf(a.Type), both, a)
}

func (l *lowering) assertTo(x string, from, to types.Type, both bool, at ast.Node) string {
	k := l.alias(supportPath)
	if !open(from) && !isError(from) {
		if own(to) && !types.IsInterface(to) {
			refuse(position(at), "an assertion of a %s to %s yet", typeName(from), typeName(to))
		}
		if both {
			return x + ".(" + l.typ(to, at) + ")"
		}
		if open(to) {
			refuse(position(at), "an assertion of a %s to %s yet", typeName(from), typeName(to))
		}
		return x + ".(" + l.typ(to, at) + ")"
	}
	x = l.convert(x, from, emptyInterface, at)
	name := interfaceName(from)
	where := ""
	if a, ok := at.(*ast.TypeAssertExpr); ok && !both {
		where = l.where(a.Lparen)
	}
	switch {
	case !types.IsInterface(to) && own(to):
		if both {
			return l.openFunc(to) + "(" + x + ")"
		}
		return fmt.Sprintf("%s(%s, %q, %s)", l.mustFunc(to), x, name, where)
	case !types.IsInterface(to):
		ts := l.typ(to, at)
		if both {
			return l.helper("as "+ts, "(x interface{}) ("+ts+", bool) { v, ok := x.("+ts+"); return v, ok }") + "(" + x + ")"
		}
		return l.helper("must "+ts, fmt.Sprintf("(x interface{}, from string, line, column int) %s { v, ok := x.(%s); if !ok { %s.Mismatch(x, from, %q, line, column) }; return v }", ts, ts, k, typeName(to))) + fmt.Sprintf("(%s, %q, %s)", x, name, where)
	case isError(to):
		if both {
			return k + ".AsError(" + x + ")"
		}
		return k + ".MustError(" + x + ", " + where + ")"
	case open(to):
		id := l.e.support.iface(typeName(to), l.e.methodKeys(to))
		if both {
			return fmt.Sprintf("%s.As(%s, %d)", k, x, id)
		}
		return fmt.Sprintf("%s.Must(%s, %d, %s)", k, x, id, where)
	}
	conv := l.converterTo(to)
	if both {
		return conv.name + "(" + x + ")"
	}
	id := l.e.support.iface(typeName(to), l.e.methodKeys(to))
	return fmt.Sprintf("func(x interface{}) %s { v, ok := %s(x); if !ok { %s.Must(x, %d, %s) }; return v }(%s)", l.typ(to, at), conv.name, k, id, where, x)
}

// helper names a function with this text, which is declared once.
func (l *lowering) helper(what, text string) string {
	name := l.e.dynamics.helpers[what]
	if name == "" {
		l.e.counter++
		name = fmt.Sprintf("cell_help%d", l.e.counter)
		l.e.dynamics.helpers[what] = name
		l.out.decls = append(l.out.decls, "func "+name+text)
	}
	return name
}

// equal lowers a comparison where at least one side is an interface.
func (l *lowering) equal(x, y ast.Expr) string {
	return l.alias(supportPath) + ".Equal(" + l.into(x, emptyInterface) + ", " + l.into(y, emptyInterface) + ")"
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

// interfaceName is how Go's messages call an interface type.
func interfaceName(t types.Type) string {
	if _, ok := types.Unalias(t).(*types.Named); ok {
		return typeName(t)
	}
	if t.Underlying().(*types.Interface).NumMethods() == 0 {
		return "interface {}"
	}
	return "interface"
}
