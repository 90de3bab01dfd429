package cell

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"go/types"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Boxes print as fmt prints values of the types that cells declared: with the names of types and fields, and by the
// methods that format them.

// typeName writes a type as package reflect does.
func typeName(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		text := t.Obj().Name()
		if p := t.Obj().Pkg(); p != nil {
			text = p.Name() + "." + text
		}
		for i := range t.TypeArgs().Len() {
			text += map[bool]string{true: "[", false: ","}[i == 0] + typeName(t.TypeArgs().At(i))
		}
		if t.TypeArgs().Len() > 0 {
			text += "]"
		}
		return text
	case *types.Basic:
		if t.Info()&types.IsUntyped == 0 {
			return types.Typ[t.Kind()].Name()
		}
	case *types.Pointer:
		return "*" + typeName(t.Elem())
	case *types.Slice:
		return "[]" + typeName(t.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), typeName(t.Elem()))
	case *types.Map:
		return "map[" + typeName(t.Key()) + "]" + typeName(t.Elem())
	case *types.Chan:
		switch t.Dir() {
		case types.SendOnly:
			return "chan<- " + typeName(t.Elem())
		case types.RecvOnly:
			return "<-chan " + typeName(t.Elem())
		}
		if c, ok := types.Unalias(t.Elem()).(*types.Chan); ok && c.Dir() == types.RecvOnly {
			return "chan (" + typeName(c) + ")"
		}
		return "chan " + typeName(t.Elem())
	case *types.Signature:
		return "func" + signatureName(t)
	case *types.Struct:
		if t.NumFields() == 0 {
			return "struct {}"
		}
		parts := make([]string, t.NumFields())
		for i := range parts {
			f := t.Field(i)
			if !f.Embedded() {
				parts[i] = f.Name() + " "
			}
			parts[i] += typeName(f.Type())
			if tag := t.Tag(i); tag != "" {
				parts[i] += " " + strconv.Quote(tag)
			}
		}
		return "struct { " + strings.Join(parts, "; ") + " }"
	case *types.Interface:
		if t.NumMethods() == 0 {
			return "interface {}"
		}
		parts := make([]string, t.NumMethods())
		for i := range parts {
			m := t.Method(i)
			name := m.Name()
			if !m.Exported() && m.Pkg() != nil {
				name = m.Pkg().Name() + "." + name
			}
			parts[i] = name + signatureName(m.Signature())
		}
		slices.Sort(parts)
		return "interface { " + strings.Join(parts, "; ") + " }"
	}
	return types.TypeString(t, (*types.Package).Name)
}

func signatureName(sig *types.Signature) string {
	list := func(t *types.Tuple, variadic bool) string {
		parts := make([]string, t.Len())
		for i := range parts {
			parts[i] = typeName(t.At(i).Type())
			if variadic && i == t.Len()-1 {
				parts[i] = "..." + strings.TrimPrefix(parts[i], "[]")
			}
		}
		return strings.Join(parts, ", ")
	}
	text := "(" + list(sig.Params(), sig.Variadic()) + ")"
	switch sig.Results().Len() {
	case 0:
		return text
	case 1:
		return text + " " + list(sig.Results(), false)
	}
	return text + " (" + list(sig.Results(), false) + ")"
}

// Format prints the value as fmt prints values of its type.
func (b Box) Format(s fmt.State, verb rune) {
	p := &printer{s: s, verb: verb, plus: s.Flag('+') && verb == 'v', sharp: s.Flag('#') && verb == 'v', support: b.T.support}
	p.value(reflect.ValueOf(b.V), b.T.t, 0, true)
}

// MarshalJSON writes the value as encoding/json writes values of its type.
func (b Box) MarshalJSON() ([]byte, error) {
	v, err := b.T.support.faithful(reflect.ValueOf(b.V), b.T.t, 0)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // whoever asks escapes, or not
	err = enc.Encode(v)
	return text.Bytes(), err
}

// printer follows fmt's own.
type printer struct {
	s           fmt.State
	verb        rune
	plus, sharp bool // %+v and %#v
	support     *support
}

func (p *printer) write(text string) { _, _ = p.s.Write([]byte(text)) }

// leaf prints with fmt itself.
func (p *printer) leaf(v any) { fmt.Fprintf(p.s, fmt.FormatString(p.s, p.verb), v) }

// byMethod prints by a method of the cells' type, if it has one that the verb calls for.
func (p *printer) byMethod(v reflect.Value, t types.Type) (done bool) {
	p.support.mu.Lock()
	known := p.support.byKey[p.support.e.typeKey(t)]
	p.support.mu.Unlock()
	if known == nil {
		return false
	}
	recovered := false // a method has panicked
	x := v.Interface()
	defer func() { done = done || recovered }()
	guard := func(name string) func() {
		return func() {
			r := recover()
			if r == nil {
				return
			}
			recovered = true
			if v.Kind() == reflect.Pointer && v.IsNil() {
				p.write("<nil>")
				return
			}
			if _, ok := r.(stopped); ok {
				panic(r)
			}
			p.write(fmt.Sprintf("%%!%c(PANIC=%s method: %v)", p.verb, name, goPanic(r)))
		}
	}
	if f, ok := known.method("Format").(func(any, fmt.State, rune)); ok {
		defer guard("Format")()
		f(x, p.s, p.verb)
		return true
	}
	if p.sharp {
		if f, ok := known.method("GoString").(func(any) string); ok {
			defer guard("GoString")()
			p.write(f(x))
			return true
		}
		return false
	}
	if !strings.ContainsRune("vsxXqw", p.verb) {
		return false
	}
	for _, name := range []string{"Error", "String"} {
		if f, ok := known.method(name).(func(any) string); ok {
			defer guard(name)()
			p.leafAs(f(x))
			return true
		}
	}
	return false
}

// leafAs prints text that stands for a value: %+v of it has no plus.
func (p *printer) leafAs(text string) {
	format := fmt.FormatString(p.s, p.verb)
	if p.plus {
		format = strings.Replace(format, "+", "", 1)
	}
	fmt.Fprintf(p.s, strings.Replace(format, "w", "v", 1), text)
}

func (p *printer) value(v reflect.Value, t types.Type, depth int, methods bool) {
	if depth > 100 {
		p.write("...")
		return
	}
	t = types.Unalias(t)
	if methods && v.IsValid() && v.CanInterface() {
		if own(t) {
			if !types.IsInterface(t) && p.byMethod(v, t) {
				return
			}
		} else if !types.IsInterface(t) {
			if depth == 0 || v.Kind() != reflect.Pointer {
				p.leaf(v.Interface())
				return
			}
			switch v.Interface().(type) {
			case fmt.Formatter, fmt.Stringer, error:
				p.leaf(v.Interface())
				return
			}
		}
	}
	if !v.IsValid() {
		if p.sharp {
			p.write(typeName(t) + "(nil)")
		} else {
			p.write("<nil>")
		}
		return
	}
	name := func() string { return typeName(t) }
	switch u := t.Underlying().(type) {
	case *types.Basic:
		p.basic(v, name)
	case *types.Map:
		if p.sharp {
			p.write(name())
			if v.IsNil() {
				p.write("(nil)")
				return
			}
			p.write("{")
		} else {
			p.write("map[")
		}
		var entries [][2]reflect.Value // a key that is no number is not found again by itself
		for it := v.MapRange(); it.Next(); {
			entries = append(entries, [2]reflect.Value{it.Key(), it.Value()})
		}
		slices.SortStableFunc(entries, func(a, b [2]reflect.Value) int { return compareValues(a[0], b[0]) })
		for i, entry := range entries {
			if i > 0 {
				p.write(map[bool]string{true: ", ", false: " "}[p.sharp])
			}
			p.value(entry[0], u.Key(), depth+1, methods)
			p.write(":")
			p.value(entry[1], u.Elem(), depth+1, methods)
		}
		p.write(map[bool]string{true: "}", false: "]"}[p.sharp])
	case *types.Struct:
		if p.sharp {
			p.write(name())
		}
		p.write("{")
		for i := range u.NumFields() {
			f := u.Field(i)
			if i > 0 {
				p.write(map[bool]string{true: ", ", false: " "}[p.sharp])
			}
			if p.plus || p.sharp {
				p.write(f.Name() + ":")
			}
			p.value(v.Field(i), f.Type(), depth+1, methods && f.Exported())
		}
		p.write("}")
	case *types.Interface:
		if v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if !v.IsValid() {
			if p.sharp {
				p.write(name() + "(nil)")
			} else {
				p.write("<nil>")
			}
			return
		}
		p.held(v, depth+1, methods)
	case *types.Array:
		p.list(v, u.Elem(), name, depth, methods)
	case *types.Slice:
		p.list(v, u.Elem(), name, depth, methods)
	case *types.Pointer:
		if depth == 0 && !v.IsNil() {
			switch u.Elem().Underlying().(type) {
			case *types.Array, *types.Slice, *types.Struct, *types.Map:
				p.write("&")
				p.value(v.Elem(), u.Elem(), depth+1, methods)
				return
			}
		}
		p.pointer(v, name)
	default:
		p.pointer(v, name)
	}
}

// held prints what an interface holds.
func (p *printer) held(v reflect.Value, depth int, methods bool) {
	if v.CanInterface() {
		switch b := bareBox(v.Interface()).(type) {
		case Box:
			p.value(reflect.ValueOf(b.V), b.T.t, depth, methods)
			return
		}
		if k := v.Kind(); k != reflect.Pointer && methods {
			p.leaf(v.Interface())
			return
		}
		if methods {
			switch v.Interface().(type) {
			case fmt.Formatter, fmt.Stringer, error:
				p.leaf(v.Interface())
				return
			}
		}
	}
	if v.Kind() == reflect.Pointer {
		p.pointer(v, func() string { return v.Type().String() })
		return
	}
	if t, err := p.support.e.typeFor(v.Type()); err == nil {
		p.value(v, t, depth, methods)
		return
	}
	p.leaf(v.Interface())
}

func bareBox(x any) any {
	if b, ok := x.(ErrorBox); ok {
		return b.Box
	}
	return x
}

func (p *printer) basic(v reflect.Value, name func() string) {
	if !strings.ContainsRune(verbsOf(v.Kind()), p.verb) {
		p.write("%!" + string(p.verb) + "(" + name() + "=" + fmt.Sprint(v) + ")")
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		p.leaf(v.Bool())
	case reflect.String:
		p.leaf(v.String())
	case reflect.Uintptr:
		p.leaf(uintptr(v.Uint()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.leaf(v.Uint())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.leaf(v.Int())
	case reflect.Float32:
		p.leaf(float32(v.Float()))
	case reflect.Float64:
		p.leaf(v.Float())
	case reflect.Complex64:
		p.leaf(complex64(v.Complex()))
	case reflect.Complex128:
		p.leaf(v.Complex())
	default:
		p.leaf(v.Interface())
	}
}

// verbsOf lists the verbs that print a basic type.
func verbsOf(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "vt"
	case reflect.String:
		return "vsxXqw"
	case reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return "vbgGxXfFeE"
	}
	return "vbdoOxXcqU"
}

func (p *printer) list(v reflect.Value, elem types.Type, name func() string, depth int, methods bool) {
	if strings.ContainsRune("sqxX", p.verb) {
		if b, ok := elem.Underlying().(*types.Basic); ok && b.Kind() == types.Uint8 {
			bytes := make([]byte, v.Len())
			for i := range bytes {
				bytes[i] = byte(v.Index(i).Uint())
			}
			p.leaf(bytes)
			return
		}
	}
	if p.sharp {
		p.write(name())
		if v.Kind() == reflect.Slice && v.IsNil() {
			p.write("(nil)")
			return
		}
		p.write("{")
	} else {
		p.write("[")
	}
	for i := range v.Len() {
		if i > 0 {
			p.write(map[bool]string{true: ", ", false: " "}[p.sharp])
		}
		p.value(v.Index(i), elem, depth+1, methods)
	}
	p.write(map[bool]string{true: "}", false: "]"}[p.sharp])
}

func (p *printer) pointer(v reflect.Value, name func() string) {
	at := v.Pointer()
	switch {
	case p.sharp && at == 0:
		p.write("(" + name() + ")(nil)")
	case p.sharp:
		p.write(fmt.Sprintf("(%s)(%#x)", name(), at))
	case p.verb == 'v' && at == 0:
		p.write("<nil>")
	case p.verb == 'v':
		p.write(fmt.Sprintf("%#x", at))
	default:
		p.leaf(v.Interface())
	}
}

// compareValues orders the keys of a map as fmt does.
func compareValues(a, b reflect.Value) int {
	for a.Kind() == reflect.Interface && !a.IsNil() {
		a = reflect.ValueOf(bare(a.Elem().Interface()))
	}
	for b.Kind() == reflect.Interface && !b.IsNil() {
		b = reflect.ValueOf(bare(b.Elem().Interface()))
	}
	if a.Kind() != b.Kind() {
		return cmp.Compare(a.Kind(), b.Kind())
	}
	switch a.Kind() {
	case reflect.Bool:
		x, y := a.Bool(), b.Bool()
		return cmp.Compare(map[bool]int{true: 1}[x], map[bool]int{true: 1}[y])
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return cmp.Compare(a.Int(), b.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return cmp.Compare(a.Uint(), b.Uint())
	case reflect.Float32, reflect.Float64:
		return cmp.Compare(a.Float(), b.Float())
	case reflect.Complex64, reflect.Complex128:
		x, y := a.Complex(), b.Complex()
		return cmp.Or(cmp.Compare(real(x), real(y)), cmp.Compare(imag(x), imag(y)))
	case reflect.String:
		return cmp.Compare(a.String(), b.String())
	case reflect.Pointer, reflect.Chan, reflect.UnsafePointer:
		return cmp.Compare(a.Pointer(), b.Pointer())
	case reflect.Struct:
		for i := range a.NumField() {
			if c := compareValues(a.Field(i), b.Field(i)); c != 0 {
				return c
			}
		}
	case reflect.Array:
		for i := range a.Len() {
			if c := compareValues(a.Index(i), b.Index(i)); c != 0 {
				return c
			}
		}
	}
	return 0
}

// retype prepares the operands of a format for fmt: %T and %p of a box are of what is in it, %w wraps it.
func retype(format string, args []any) (string, []any) {
	some := false
	for _, a := range args {
		switch a.(type) {
		case Box, ErrorBox:
			some = true
		}
	}
	if !some || strings.ContainsAny(format, "[") && strings.Contains(format, "%[") {
		if some {
			args = slices.Clone(args)
			for i, a := range args {
				args[i] = asFormatted(a)
			}
		}
		return format, args
	}
	args = slices.Clone(args)
	out := []byte(format)
	n := 0
	for i := 0; i < len(format); {
		if format[i] != '%' {
			i++
			continue
		}
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.*", format[i]) >= 0; i++ {
			if format[i] == '*' {
				n++
			}
		}
		if i >= len(format) {
			break
		}
		_, size := utf8.DecodeRuneInString(format[i:])
		verb := format[i]
		i += size
		if verb == '%' {
			continue
		}
		if n < len(args) {
			switch verb {
			case 'T':
				switch args[n].(type) {
				case Box, ErrorBox:
					args[n] = dynamicName(args[n])
					out[i-1] = 's'
				}
			case 'p':
				args[n] = bare(args[n])
			default:
				args[n] = asFormatted(args[n])
			}
		}
		n++
	}
	return string(out), args
}

// asFormatted is an operand as fmt is to see it: an error where its type is one.
func asFormatted(a any) any {
	if err, ok := asError(a); ok {
		return err
	}
	return a
}
