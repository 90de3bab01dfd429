package cell

import (
	"fmt"
	"go/token"
	"go/types"
	"reflect"

	"github.com/traefik/yaegi/interp"
)

// Define sets a variable of the cells from outside. A variable that exists keeps its type; value must have it.
func (e *Evaluator) Define(name string, value any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !token.IsIdentifier(name) {
		return fmt.Errorf("define %q: it is no Go identifier", name)
	}
	v := reflect.ValueOf(value)
	if !v.IsValid() {
		return fmt.Errorf("define %s: nil has no type", name)
	}
	t, err := e.typeFor(v.Type())
	if err != nil {
		return fmt.Errorf("define %s: %w", name, err)
	}
	e.counter++
	path := fmt.Sprintf("banter/cell/given%d", e.counter)
	cellVar := reflect.New(v.Type()).Elem()
	cellVar.Set(v)
	if err := e.interp.Use(interp.Exports{path + "/given": {"Value": cellVar}}); err != nil {
		return fmt.Errorf("define %s: %w", name, err)
	}
	alias := fmt.Sprintf("given%d", e.counter)
	if err := e.eval(fmt.Sprintf("import %s %q", alias, path)); err != nil {
		return fmt.Errorf("define %s: %w", name, err)
	}
	ent := &entity{name: name, cell: "outside", obj: types.NewVar(token.NoPos, types.NewPackage("main", "main"), name, t)}
	if old := e.entities[name]; old != nil && old.isVar() && types.Identical(old.obj.Type(), t) {
		ent.run = old.run
	} else {
		ent.run = e.runName(name)
		out := newEmission()
		text := "var " + ent.run + " " + (&lowering{e: e, out: out}).typ(t, nil)
		for path := range out.imports {
			if err := e.provide(path); err != nil {
				return fmt.Errorf("define %s: %w", name, err)
			}
		}
		if err := e.eval(text); err != nil {
			return fmt.Errorf("define %s: %w", name, err)
		}
	}
	if err := e.eval(ent.run + " = " + alias + ".Value"); err != nil {
		return fmt.Errorf("define %s: %w", name, err)
	}
	e.entities[name] = ent
	if v.Kind() != reflect.Func { // a tool of the notebook is no input
		e.graph.ran("outside", "", map[string]bool{name: true}, nil, nil)
	}
	return nil
}

// typeFor finds the checker's type of a compiled value.
func (e *Evaluator) typeFor(t reflect.Type) (types.Type, error) {
	if t.Name() != "" {
		if t.PkgPath() == "" {
			if obj := types.Universe.Lookup(t.Name()); obj != nil {
				return obj.Type(), nil
			}
		} else if pkg, err := e.importer.Import(t.PkgPath()); err == nil {
			if obj, ok := pkg.Scope().Lookup(t.Name()).(*types.TypeName); ok {
				return obj.Type(), nil
			}
		}
		return nil, fmt.Errorf("cells do not know the type %s", t)
	}
	elem := func(t reflect.Type) types.Type {
		et, err := e.typeFor(t)
		if err != nil {
			return types.Typ[types.Invalid]
		}
		return et
	}
	var out types.Type
	switch t.Kind() {
	case reflect.Pointer:
		out = types.NewPointer(elem(t.Elem()))
	case reflect.Slice:
		out = types.NewSlice(elem(t.Elem()))
	case reflect.Array:
		out = types.NewArray(elem(t.Elem()), int64(t.Len()))
	case reflect.Map:
		out = types.NewMap(elem(t.Key()), elem(t.Elem()))
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return types.NewInterfaceType(nil, nil), nil
		}
	case reflect.Func:
		var in, res []*types.Var
		for i := range t.NumIn() {
			in = append(in, types.NewParam(token.NoPos, nil, "", elem(t.In(i))))
		}
		for i := range t.NumOut() {
			res = append(res, types.NewParam(token.NoPos, nil, "", elem(t.Out(i))))
		}
		out = types.NewSignatureType(nil, nil, nil, types.NewTuple(in...), types.NewTuple(res...), t.IsVariadic())
	}
	if out == nil || invalid(out) {
		return nil, fmt.Errorf("cells do not know the type %s", t)
	}
	return out, nil
}

func invalid(t types.Type) bool {
	switch t := t.(type) {
	case *types.Basic:
		return t.Kind() == types.Invalid
	case *types.Pointer:
		return invalid(t.Elem())
	case *types.Slice:
		return invalid(t.Elem())
	case *types.Array:
		return invalid(t.Elem())
	case *types.Map:
		return invalid(t.Key()) || invalid(t.Elem())
	case *types.Signature:
		for _, tuple := range []*types.Tuple{t.Params(), t.Results()} {
			for i := range tuple.Len() {
				if invalid(tuple.At(i).Type()) {
					return true
				}
			}
		}
	}
	return false
}
