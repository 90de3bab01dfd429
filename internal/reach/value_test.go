package reach

import (
	"math"
	"reflect"
	"testing"
)

// TestCanonicalTellsApart: values of one type that a program can tell apart have different texts, and equal ones the same.
func TestCanonicalTellsApart(t *testing.T) {
	zero, list := 0, []int{1}
	for _, values := range [][]any{
		{0.0, math.Copysign(0, -1), math.Nextafter(0.3, 1), 0.3, 1e300, 1.0, math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(math.Float64bits(math.NaN()) ^ 1), math.SmallestNonzeroFloat64},
		{float32(0.1), float32(0.2), math.Nextafter32(0.1, 1)},
		{complex(1, 2), complex(2, 1), complex(12, 0)},
		{"", "a", "\"", "\xff", "\ufffd", "nil"},
		{[]string(nil), []string{}, []string{""}, []string{"", ""}, []string{"a,b"}, []string{"a", "b"}, []string{`a","b`}},
		{map[string]int(nil), map[string]int{}, map[string]int{"a": 1}, map[string]int{"a": 1, "b": 2}, map[string]int{"a": 2, "b": 1}},
		{(*int)(nil), &zero},
		{[]any{1}, []any{int8(1)}, []any{"1"}, []any{nil}},
		{struct{ A, B string }{"x", ""}, struct{ A, B string }{"", "x"}},
	} {
		seen := map[string]any{}
		for _, v := range values {
			text, trouble := Canonical(reflect.ValueOf(v), nil)
			again, _ := Canonical(reflect.ValueOf(v), nil)
			if trouble != "" || text != again {
				t.Errorf("%v: %q, %q, %s", v, text, again, trouble)
			}
			if other, ok := seen[text]; ok {
				t.Errorf("%#v and %#v are both %s", v, other, text)
			}
			seen[text] = v
		}
	}
	if text, _ := Canonical(reflect.ValueOf(map[string]float64{"b": 0.3, "a": 0.6}), nil); text != `{"a":0.6,"b":0.3}` {
		t.Errorf("a map is %s", text)
	}
	self := []any{nil}
	self[0] = self
	for name, v := range map[string]any{"function": func() {}, "channel": make(chan int), "endless": self, "function in a list": []any{list, func() {}}} {
		if text, trouble := Canonical(reflect.ValueOf(v), nil); trouble == "" {
			t.Errorf("%s is %s", name, text)
		}
	}
}
