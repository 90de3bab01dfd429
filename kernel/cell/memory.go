package cell

import (
	"go/ast"
	"go/token"
	"reflect"
	"unsafe"

	"github.com/traefik/yaegi/interp"
)

// A session may run for weeks. What a cell leaves behind has to be in proportion to what it declared, not to how often it
// was run: so the interpreter's and the checker's notes about text that nothing refers to any more are dropped.

// keptCells is of how many of the latest cells the text is kept in any case, for messages about what they left running.
const keptCells = 64

// footprint is where the text of one cell stands: positions from..to of the checker's file set, and the file of the
// lowered text in the interpreter's.
type footprint struct {
	cell     string
	from, to token.Pos
	lowered  token.Pos
}

// leave notes where the text of a cell stands, and drops the texts of cells long past from which nothing lives.
func (e *Evaluator) leave(f footprint) {
	e.trail = append(e.trail, f)
	for range len(e.trail) - keptCells {
		old := e.trail[0]
		e.trail = e.trail[1:]
		if e.lives(old) {
			e.trail = append(e.trail, old) // it is looked at again when the others have had their turn
			return
		}
		e.drop(old)
	}
}

// lives reports whether something that a cell declared is still there.
func (e *Evaluator) lives(f footprint) bool {
	in := func(n ast.Node) bool { return n.Pos() >= f.from && n.Pos() < f.to }
	for _, n := range e.entities {
		switch {
		case n.cell == f.cell,
			n.fn != nil && in(n.fn),
			n.gen != nil && in(n.gen):
			return true
		case n.spec != nil && in(n.spec):
			return true
		}
	}
	for _, s := range e.imports {
		if in(s) {
			return true
		}
	}
	for _, g := range e.generics {
		if in(g.decl) {
			return true
		}
	}
	for _, list := range e.shims {
		for _, g := range list {
			if in(g.decl) {
				return true
			}
		}
	}
	return false
}

func (e *Evaluator) drop(f footprint) {
	for at := f.from; at < f.to; {
		file := e.fset.File(at)
		if file == nil {
			break
		}
		at = token.Pos(file.Base() + file.Size() + 1)
		if _, own := e.texts[file]; own { // and not an imported package's
			delete(e.texts, file)
			e.fset.RemoveFile(file)
		}
	}
	if file := e.interp.FileSet().File(f.lowered); file != nil {
		e.interp.FileSet().RemoveFile(file)
	}
	for _, other := range e.trail {
		if other.cell == f.cell {
			return
		}
	}
	delete(e.sources, f.cell)
}

// slots is how many values the interpreter's outermost frame holds.
func slots(i *interp.Interpreter) int {
	if data, ok := frameData(i); ok {
		return data.Len()
	}
	return 0
}

// letGo drops what the interpreter keeps of text that it has compiled and will not look at again: syntax trees, which only
// its debugger reads, and the scopes of functions, which only their compilation reads. Where its fields are others than
// are known here, nothing is dropped.
func letGo(i *interp.Interpreter) {
	v := reflect.ValueOf(i).Elem()
	if roots, ok := field(v, "roots"); ok && roots.Kind() == reflect.Slice {
		roots.SetZero()
	}
	childless := func(scope reflect.Value) {
		if scope.Kind() != reflect.Pointer || scope.IsNil() || scope.Elem().Kind() != reflect.Struct {
			return
		}
		if child, ok := field(scope.Elem(), "child"); ok && child.Kind() == reflect.Slice {
			child.SetZero()
		}
	}
	if universe, ok := field(v, "universe"); ok {
		childless(universe)
	}
	if scopes, ok := field(v, "scopes"); ok && scopes.Kind() == reflect.Map {
		for it := scopes.MapRange(); it.Next(); {
			childless(it.Value())
		}
	}
}

// vacate gives the slots of the interpreter's outermost frame from the given one on new, empty variables. They are those of
// the call that ran a cell, whose value would otherwise be held for ever.
func vacate(i *interp.Interpreter, from int) {
	data, ok := frameData(i)
	if !ok {
		return
	}
	for at := from; at < data.Len(); at++ {
		slot := data.Index(at).Addr().Interface().(*reflect.Value)
		if slot.IsValid() {
			*slot = reflect.New(slot.Type()).Elem()
		}
	}
}

func frameData(i *interp.Interpreter) (reflect.Value, bool) {
	frame, ok := field(reflect.ValueOf(i).Elem(), "frame")
	if !ok || frame.Kind() != reflect.Pointer || frame.IsNil() {
		return reflect.Value{}, false
	}
	data, ok := field(frame.Elem(), "data")
	return data, ok && data.Type() == reflect.TypeFor[[]reflect.Value]()
}

// field is a field of an addressable struct, exported or not, to be read and set.
func field(v reflect.Value, name string) (reflect.Value, bool) {
	f := v.FieldByName(name)
	if !f.IsValid() || !f.CanAddr() {
		return reflect.Value{}, false
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem(), true
}
