package cell

import (
	"encoding/json"
	"fmt"
	"go/types"
	"reflect"
)

// Compiled packages see the values of cells' types as the interpreter lays them out: all fields are exported, and no
// type has a method. faithful makes of such a value one that encoding/json writes as it would write the value of the
// compiled type.

// marshaler is a value whose type has a method that says how it is written.
type marshaler struct {
	v any
	f func(any) ([]byte, error)
}

func (m marshaler) MarshalJSON() ([]byte, error) { return m.f(m.v) }

// textMarshaler is a value whose type has a method that writes it as text.
type textMarshaler struct {
	v any
	f func(any) ([]byte, error)
}

func (m textMarshaler) MarshalText() ([]byte, error) { return m.f(m.v) }

func (s *support) faithful(v reflect.Value, t types.Type, depth int) (any, error) {
	if depth > 200 {
		return nil, fmt.Errorf("json: a value of type %s is nested too deep", typeName(t))
	}
	if !v.IsValid() {
		return nil, nil
	}
	if !own(t) && !types.IsInterface(t) {
		if !holdsInterface(t, 0) {
			return v.Interface(), nil
		}
	}
	if own(t) && !types.IsInterface(t) {
		s.mu.Lock()
		known := s.byKey[s.e.typeKey(t)]
		s.mu.Unlock()
		if known != nil && !(v.Kind() == reflect.Pointer && v.IsNil()) {
			if f, ok := known.method("MarshalJSON").(func(any) ([]byte, error)); ok {
				return marshaler{v.Interface(), f}, nil
			}
			if f, ok := known.method("MarshalText").(func(any) ([]byte, error)); ok {
				return textMarshaler{v.Interface(), f}, nil
			}
		}
	}
	anyType := reflect.TypeFor[any]()
	switch u := t.Underlying().(type) {
	case *types.Interface:
		if v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if !v.IsValid() {
			return nil, nil
		}
		return v.Interface(), nil // a box writes itself
	case *types.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		return s.faithful(v.Elem(), u.Elem(), depth+1)
	case *types.Slice:
		if v.IsNil() {
			return nil, nil
		}
		if b, ok := u.Elem().Underlying().(*types.Basic); ok && b.Kind() == types.Uint8 {
			return v.Bytes(), nil
		}
		return s.faithfulList(v, u.Elem(), depth)
	case *types.Array:
		return s.faithfulList(v, u.Elem(), depth)
	case *types.Map:
		if v.IsNil() {
			return nil, nil
		}
		keyText := s.keyText(u.Key(), v.Type().Key().Kind())
		keyType := v.Type().Key()
		if keyText != nil {
			keyType = reflect.TypeFor[string]()
		}
		out := reflect.MakeMap(reflect.MapOf(keyType, anyType))
		for it := v.MapRange(); it.Next(); {
			key := it.Key()
			if keyText != nil {
				text, err := keyText(key.Interface())
				if err != nil {
					return nil, err
				}
				key = reflect.ValueOf(string(text))
			}
			e, err := s.faithful(it.Value(), u.Elem(), depth+1)
			if err != nil {
				return nil, err
			}
			out.SetMapIndex(key, orNil(e))
		}
		return out.Interface(), nil
	case *types.Struct:
		var fields []reflect.StructField
		var values []reflect.Value
		for i := range u.NumFields() {
			f := u.Field(i)
			under, pointer := f.Type().Underlying(), false
			if p, ok := under.(*types.Pointer); ok {
				under, pointer = p.Elem().Underlying(), true
			}
			_, isStruct := under.(*types.Struct)
			flat := f.Embedded() && isStruct && reflect.StructTag(u.Tag(i)).Get("json") == ""
			if !f.Exported() && !flat || flat && pointer && v.Field(i).IsNil() {
				continue
			}
			e, err := s.faithful(v.Field(i), f.Type(), depth+1)
			if err != nil {
				return nil, err
			}
			ft := anyType
			tag := reflect.StructTag(u.Tag(i))
			if e != nil && !own(f.Type()) && !types.IsInterface(f.Type()) || e != nil && simple(reflect.TypeOf(e)) {
				ft = reflect.TypeOf(e) // omitempty and string look at the type
			} else if e == nil && !types.IsInterface(f.Type()) {
				ft = reflect.TypeFor[*int]() // null, and empty
			}
			value := reflect.New(ft).Elem()
			if e != nil {
				value.Set(reflect.ValueOf(e))
			}
			name := f.Name()
			if !f.Exported() {
				name = "X" + name
			}
			fields = append(fields, reflect.StructField{Name: name, Type: ft, Tag: tag, Anonymous: flat && ft.Kind() == reflect.Struct})
			values = append(values, value)
		}
		out := reflect.New(reflect.StructOf(fields)).Elem()
		for i, value := range values {
			out.Field(i).Set(value)
		}
		return out.Interface(), nil
	case *types.Signature, *types.Chan:
		return nil, &json.UnsupportedTypeError{Type: v.Type()}
	}
	return v.Interface(), nil
}

// keyText is the method that names a map's keys of type t, if it has one: keys that are strings are named by themselves.
func (s *support) keyText(t types.Type, kind reflect.Kind) func(any) ([]byte, error) {
	if !own(t) || types.IsInterface(t) || kind == reflect.String {
		return nil
	}
	s.mu.Lock()
	known := s.byKey[s.e.typeKey(t)]
	s.mu.Unlock()
	if known == nil {
		return nil
	}
	f, _ := known.method("MarshalText").(func(any) ([]byte, error))
	return f
}

// simple reports whether encoding/json treats a field of the type by its kind alone.
func simple(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Interface, reflect.Struct:
		return t == reflect.TypeFor[marshaler]() || t == reflect.TypeFor[textMarshaler]() || t.Kind() == reflect.Struct
	}
	return true
}

func orNil(e any) reflect.Value {
	v := reflect.New(reflect.TypeFor[any]()).Elem()
	if e != nil {
		v.Set(reflect.ValueOf(e))
	}
	return v
}

func (s *support) faithfulList(v reflect.Value, elem types.Type, depth int) (any, error) {
	out := make([]any, v.Len())
	for i := range out {
		e, err := s.faithful(v.Index(i), elem, depth+1)
		if err != nil {
			return nil, err
		}
		out[i] = e
	}
	return out, nil
}

// holdsInterface reports whether values of the type hold interfaces, which may hold boxes.
func holdsInterface(t types.Type, depth int) bool {
	if depth > 8 {
		return true
	}
	switch u := t.Underlying().(type) {
	case *types.Interface:
		return true
	case *types.Pointer:
		return holdsInterface(u.Elem(), depth+1)
	case *types.Slice:
		return holdsInterface(u.Elem(), depth+1)
	case *types.Array:
		return holdsInterface(u.Elem(), depth+1)
	case *types.Map:
		return holdsInterface(u.Elem(), depth+1)
	}
	return false
}
