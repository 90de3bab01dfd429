package cell

import (
	"fmt"
	"go/types"
	"reflect"
	"strings"
	"unsafe"
)

// Box is a value of a type of the cells in an interface.
type Box struct {
	ID int
	T  *Type
	V  any
}

// Type is a type of the cells at run time.
type Type struct {
	ID      int
	key     string
	t       types.Type
	sigs    map[string]string
	methods map[string]any // those that compiled code looks for; the first parameter is the value
	support *support
}

// ErrorBox is a Box whose type is an error.
type ErrorBox struct{ Box }

// Error calls the method of the cells' type.
func (b ErrorBox) Error() string { return b.T.method("Error").(func(any) string)(b.V) }

// Unwrap calls the method of the cells' type, if it has one.
func (b ErrorBox) Unwrap() error {
	if f, ok := b.T.method("Unwrap").(func(any) error); ok {
		return f(b.V)
	}
	return nil
}

// Is calls the method of the cells' type, if it has one.
func (b ErrorBox) Is(target error) bool {
	f, ok := b.T.method("Is").(func(any, error) bool)
	return ok && f(b.V, target)
}

func (t *Type) method(name string) any {
	t.support.mu.Lock()
	defer t.support.mu.Unlock()
	return t.methods[name]
}

// iface is an interface type of the cells at run time.
type iface struct {
	name string
	sigs map[string]string
}

// register makes a type known, or its methods known anew.
func (s *support) register(id int, key string, t types.Type, sigs map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.types[id]
	if old == nil {
		old = &Type{ID: id, key: key, methods: map[string]any{}, support: s}
		s.types[id] = old
		s.byKey[key] = old
	}
	old.t, old.sigs = t, sigs
}

// iface makes an interface type known.
func (s *support) iface(name string, sigs map[string]string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := name + fmt.Sprint(sigs)
	id, ok := s.ifaceIDs[text]
	if !ok {
		id = len(s.ifaces)
		s.ifaces = append(s.ifaces, iface{name, sigs})
		s.ifaceIDs[text] = id
	}
	return id
}

func (s *support) put(id int, v any) any {
	s.mu.Lock()
	t := s.types[id]
	s.mu.Unlock()
	return Box{id, t, plain(v)}
}

func (s *support) take(x any, id int) (any, bool) {
	if b, ok := x.(Box); ok && b.ID == id {
		return b.V, true
	}
	return nil, false
}

func (s *support) teach(id int, name string, f any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types[id].methods[name] = f
}

// unerr is an error as cells keep it in other interfaces.
func unerr(err error) any {
	if b, ok := err.(ErrorBox); ok {
		return b.Box
	}
	if err == nil {
		return nil
	}
	return err
}

// asError is what an interface holds as an error, if it is one.
func asError(x any) (error, bool) {
	if b, ok := x.(Box); ok {
		if b.T.sigs["Error"] == shownMethods["Error"] {
			return ErrorBox{b}, true
		}
		return nil, false
	}
	err, ok := x.(error)
	return err, ok
}

func toError(x any) error {
	err, _ := asError(x)
	return err
}

// missing is the first method that what x holds lacks; ok where it lacks none.
func (s *support) missing(x any, id int) (method string, ok bool) {
	s.mu.Lock()
	want := s.ifaces[id]
	s.mu.Unlock()
	if x == nil {
		return "", false
	}
	for _, name := range sortedKeys(want.sigs) {
		if b, ok := x.(Box); ok {
			if b.T.sigs[name] != want.sigs[name] {
				return name, false
			}
			continue
		}
		m, ok := reflect.TypeOf(x).MethodByName(name)
		if !ok || s.signature(m.Type, true) != want.sigs[name] {
			return name, false
		}
	}
	return "", true
}

// signature is the key of a compiled method's signature.
func (s *support) signature(t reflect.Type, method bool) string {
	var in, out []string
	for i := range t.NumIn() {
		if i > 0 || !method {
			in = append(in, s.typeKeyOf(t.In(i)))
		}
	}
	for i := range t.NumOut() {
		out = append(out, s.typeKeyOf(t.Out(i)))
	}
	text := "func(" + strings.Join(in, ",") + ")(" + strings.Join(out, ",") + ")"
	if t.IsVariadic() {
		text += "..."
	}
	return text
}

// typeKeyOf is typeKey of a compiled type.
func (s *support) typeKeyOf(t reflect.Type) string {
	if t.Name() != "" {
		if t.PkgPath() == "" {
			return t.Name()
		}
		return t.PkgPath() + "." + t.Name()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + s.typeKeyOf(t.Elem())
	case reflect.Slice:
		return "[]" + s.typeKeyOf(t.Elem())
	case reflect.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), s.typeKeyOf(t.Elem()))
	case reflect.Map:
		return "map[" + s.typeKeyOf(t.Key()) + "]" + s.typeKeyOf(t.Elem())
	case reflect.Func:
		return s.signature(t, false)
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return "interface{}"
		}
	}
	return t.String()
}

func (s *support) as(x any, id int) (any, bool) {
	if _, ok := s.missing(x, id); ok {
		return x, true
	}
	return nil, false
}

func (s *support) must(x any, id, line, column int) any {
	method, ok := s.missing(x, id)
	if ok {
		return x
	}
	s.mu.Lock()
	want := s.ifaces[id]
	s.mu.Unlock()
	if x == nil {
		s.failAt(assertionFault("interface conversion: interface is nil, not "+want.name), line, column)
	}
	s.failAt(assertionFault("interface conversion: "+dynamicName(x)+" is not "+want.name+": missing method "+method), line, column)
	return nil
}

func (s *support) mustError(x any, line, column int) error {
	err, ok := asError(x)
	if !ok {
		if x == nil {
			s.failAt(assertionFault("interface conversion: interface is nil, not error"), line, column)
		}
		s.failAt(assertionFault("interface conversion: "+dynamicName(x)+" is not error: missing method Error"), line, column)
	}
	return err
}

// mismatch panics as an assertion to another concrete type does.
func (s *support) mismatch(x any, from, to string, line, column int) {
	is := "nil"
	if x != nil {
		is = dynamicName(x)
	}
	s.failAt(assertionFault("interface conversion: "+from+" is "+is+", not "+to), line, column)
}

// dynamicName is the name of the type of what an interface holds.
func dynamicName(x any) string {
	switch b := x.(type) {
	case Box:
		return typeName(b.T.t)
	case ErrorBox:
		return typeName(b.T.t)
	case nil:
		return "<nil>"
	}
	return reflect.TypeOf(x).String()
}

// method is a method of a compiled value in an interface of the cells.
func method(x any, name string) any {
	if x == nil {
		panic(fault("invalid memory address or nil pointer dereference"))
	}
	if b, ok := x.(Box); ok {
		panic(fmt.Errorf("banter cannot find the method %s of a %s, which has been declared anew since: run the cell that made it again", name, typeName(b.T.t)))
	}
	return reflect.ValueOf(x).MethodByName(name).Interface()
}

// equal compares interface values.
func equal(x, y any) bool {
	a, isBox := x.(Box)
	b, other := y.(Box)
	if isBox && other {
		if a.ID != b.ID {
			return false
		}
		if !types.Comparable(a.T.t) {
			panic(fault("comparing uncomparable type " + typeName(a.T.t)))
		}
		return a.V == b.V
	}
	if isBox || other {
		return false
	}
	return x == y
}

// asTarget is errors.As into a type of the cells: try takes a value if it is one.
func asTarget(err error, try func(any) bool) bool {
	for err != nil {
		if try(unerr(err)) {
			return true
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			for _, e := range x.Unwrap() {
				if asTarget(e, try) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}

// assertionFault is the run-time error of a type assertion.
type assertionFault string

func (f assertionFault) Error() string { return string(f) }
func (assertionFault) RuntimeError()   {}

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

// bare is a value without any box.
func bare(v any) any {
	switch b := plain(v).(type) {
	case Box:
		return b.V
	case ErrorBox:
		return b.V
	default:
		return b
	}
}
