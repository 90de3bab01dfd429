package cell

import "go/types"

// substitution replaces type parameters by type arguments.
type substitution map[*types.TypeParam]types.Type

func (s substitution) of(t types.Type) types.Type {
	if len(s) == 0 || t == nil {
		return t
	}
	switch t := t.(type) {
	case *types.TypeParam:
		if r, ok := s[t]; ok {
			return r
		}
		return t
	case *types.Alias:
		return s.of(types.Unalias(t))
	case *types.Named:
		if t.TypeArgs().Len() == 0 {
			return t
		}
		args := make([]types.Type, t.TypeArgs().Len())
		changed := false
		for i := range args {
			args[i] = s.of(t.TypeArgs().At(i))
			changed = changed || args[i] != t.TypeArgs().At(i)
		}
		if !changed {
			return t
		}
		inst, err := types.Instantiate(typeContext, t.Origin(), args, false)
		if err != nil {
			refuse(t.Obj().Pos(), "the type %s: %v", t, err)
		}
		return inst
	case *types.Pointer:
		if e := s.of(t.Elem()); e != t.Elem() {
			return types.NewPointer(e)
		}
	case *types.Slice:
		if e := s.of(t.Elem()); e != t.Elem() {
			return types.NewSlice(e)
		}
	case *types.Array:
		if e := s.of(t.Elem()); e != t.Elem() {
			return types.NewArray(e, t.Len())
		}
	case *types.Chan:
		if e := s.of(t.Elem()); e != t.Elem() {
			return types.NewChan(t.Dir(), e)
		}
	case *types.Map:
		k, e := s.of(t.Key()), s.of(t.Elem())
		if k != t.Key() || e != t.Elem() {
			return types.NewMap(k, e)
		}
	case *types.Tuple:
		return s.tuple(t)
	case *types.Signature:
		p, r := s.tuple(t.Params()), s.tuple(t.Results())
		if p != t.Params() || r != t.Results() {
			return types.NewSignatureType(nil, nil, nil, p, r, t.Variadic())
		}
	case *types.Struct:
		var fields []*types.Var
		var tags []string
		changed := false
		for i := range t.NumFields() {
			f := t.Field(i)
			ft := s.of(f.Type())
			changed = changed || ft != f.Type()
			fields = append(fields, types.NewField(f.Pos(), f.Pkg(), f.Name(), ft, f.Embedded()))
			tags = append(tags, t.Tag(i))
		}
		if changed {
			return types.NewStruct(fields, tags)
		}
	case *types.Interface:
		var methods []*types.Func
		changed := false
		for i := range t.NumMethods() {
			f := t.Method(i)
			sig := s.of(f.Type()).(*types.Signature)
			changed = changed || sig != f.Type()
			methods = append(methods, types.NewFunc(f.Pos(), f.Pkg(), f.Name(), sig))
		}
		if changed {
			return types.NewInterfaceType(methods, nil).Complete()
		}
	}
	return t
}

var typeContext = types.NewContext()

func (s substitution) tuple(t *types.Tuple) *types.Tuple {
	if t == nil {
		return nil
	}
	changed := false
	vars := make([]*types.Var, t.Len())
	for i := range vars {
		v := t.At(i)
		vt := s.of(v.Type())
		changed = changed || vt != v.Type()
		vars[i] = types.NewVar(v.Pos(), v.Pkg(), v.Name(), vt)
	}
	if !changed {
		return t
	}
	return types.NewTuple(vars...)
}
