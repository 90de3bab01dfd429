package reach

import (
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// Unbox tells the type and the value of what an interpreter wraps a value in.
type Unbox func(v reflect.Value) (typ string, inner reflect.Value, ok bool)

// Canonical writes a value so that equal values give equal text; trouble says what has no such form. unbox may be nil.
func Canonical(v reflect.Value, unbox Unbox) (text, trouble string) {
	return canonical(v, unbox, 0)
}

func canonical(v reflect.Value, unbox Unbox, depth int) (text, trouble string) {
	if !v.IsValid() {
		return "nil", ""
	}
	if unbox != nil && v.CanInterface() {
		if typ, inner, ok := unbox(v); ok {
			text, trouble := canonical(inner, unbox, depth+1)
			return typ + "(" + text + ")", trouble
		}
	}
	if depth > 32 {
		return "", "a value that is nested too deep"
	}
	list := func(n int, item func(i int) (string, string)) (string, string) {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			t, trouble := item(i)
			if trouble != "" {
				return "", trouble
			}
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(t)
		}
		b.WriteByte('}')
		return b.String(), ""
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), ""
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), ""
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(v.Uint(), 10), ""
	case reflect.Float32, reflect.Float64:
		return float(v.Float()), ""
	case reflect.Complex64, reflect.Complex128:
		return float(real(v.Complex())) + "," + float(imag(v.Complex())), ""
	case reflect.String:
		return strconv.Quote(v.String()), ""
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.IsNil() {
			return "nil", ""
		}
		return list(v.Len(), func(i int) (string, string) { return canonical(v.Index(i), unbox, depth+1) })
	case reflect.Struct:
		return list(v.NumField(), func(i int) (string, string) {
			t, trouble := canonical(v.Field(i), unbox, depth+1)
			return v.Type().Field(i).Name + ":" + t, trouble
		})
	case reflect.Map:
		if v.IsNil() {
			return "nil", ""
		}
		var entries []string
		for it := v.MapRange(); it.Next(); {
			k, trouble := canonical(it.Key(), unbox, depth+1)
			if trouble != "" {
				return "", trouble
			}
			e, trouble := canonical(it.Value(), unbox, depth+1)
			if trouble != "" {
				return "", trouble
			}
			entries = append(entries, k+":"+e)
		}
		sort.Strings(entries)
		return list(len(entries), func(i int) (string, string) { return entries[i], "" })
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return "nil", ""
		}
		if v.Kind() == reflect.Interface {
			t, trouble := canonical(v.Elem(), unbox, depth+1)
			return v.Elem().Type().String() + "(" + t + ")", trouble
		}
		t, trouble := canonical(v.Elem(), unbox, depth+1)
		return "&" + t, trouble
	case reflect.Func:
		return "", "a function"
	case reflect.Chan:
		return "", "a channel"
	}
	return "", "a " + v.Kind().String()
}

// float is the shortest text that gives the number back, which people can read, or the bits of what is no number: these
// differ, and programs can tell.
func float(x float64) string {
	if math.IsNaN(x) {
		return "NaN 0x" + strconv.FormatUint(math.Float64bits(x), 16)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}
