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

// footprint is where the text of one cell stands.
type footprint struct {
	cell    string
	checked stretch // of the checker's file set
	lowered stretch // of the interpreter's
}

// stretch is the positions from..to of a file set.
type stretch struct{ from, to token.Pos }

// since is what was added to a file set since its base was from.
func since(files *token.FileSet, from int) stretch {
	return stretch{token.Pos(from), token.Pos(files.Base())}
}

func (s stretch) has(n ast.Node) bool { return n.Pos() >= s.from && n.Pos() < s.to }

// remove takes the files of a stretch out of their set.
func (s stretch) remove(files *token.FileSet, which func(*token.File) bool) {
	var found []*token.File
	for at := s.from; at < s.to; {
		file := files.File(at)
		if file == nil {
			at++
			continue
		}
		at = token.Pos(file.Base() + file.Size() + 1)
		if which(file) {
			found = append(found, file)
		}
	}
	for _, file := range found {
		files.RemoveFile(file)
	}
}

func anyFile(*token.File) bool { return true }

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
	in := f.checked.has
	for _, n := range e.entities {
		if n.cell == f.cell || n.fn != nil && in(n.fn) || n.gen != nil && in(n.gen) || n.spec != nil && in(n.spec) {
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
	f.checked.remove(e.fset, func(file *token.File) bool {
		_, own := e.texts[file] // and not an imported package's
		delete(e.texts, file)
		return own
	})
	f.lowered.remove(e.interp.FileSet(), anyFile)
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
