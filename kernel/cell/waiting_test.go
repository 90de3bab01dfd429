package cell

import (
	"fmt"
	"strings"
	"testing"
)

// TestFunctionsWaitForLaterCells declares functions before what they call.
func TestFunctionsWaitForLaterCells(t *testing.T) {
	e := newEvaluator(t)
	for i, c := range []struct{ src, value, note, fault string }{
		{src: "func even(n int) bool { if n == 0 { return true }; return odd(n - 1) }", note: "even cannot be called yet: odd is undefined (cell 0:1:59)"},
		{src: "func uneven(n int) bool { return !even(n) }", note: "uneven cannot be called yet: odd is undefined"},
		{src: "even(2)", fault: ":1:1: even cannot be called yet: odd is undefined"},
		{src: "f := uneven", fault: ":1:6: uneven cannot be called yet"},
		{src: "odd := 3", note: "uneven cannot be called yet: it no longer compiles: invalid operation: cannot call odd"},
		{src: "func even(n int) bool { if n == 0 { return true }; return odd1(n - 1) }"},
		{src: "func odd1(n int) bool { if n == 0 { return false }; return even(n - 1) }"},
		{src: "even(7)", value: "false"},
		{src: "func total() int { return sum + other.n }"},
		{src: "sum := 4"},
		{src: "type thing struct{ n int }\nother := thing{3}\ntotal()", value: "7"},
		{src: "sum = 5\ntotal()", value: "8"},
		{src: "func odd1(n int) bool { return nothing }", note: "even cannot be called yet: nothing is undefined"},
		{src: "even(7)", fault: "even cannot be called yet: nothing is undefined"},
		{src: "const nothing = true\neven(1)", value: "true"},
		// What runs with its cell, or might without being called by name, does not wait.
		{src: "func typo() int { return lenght }\ntypo()", fault: ":1:26: undefined: lenght"},
		{src: "func init() { nowhere() }", fault: ":1:15: undefined: nowhere"},
		{src: "type shape struct{}\nfunc (shape) String() string { return nowhere() }", fault: ":2:39: undefined: nowhere"},
		{src: "func upper(s string) string { return strings.ToUpper(s) }", fault: ":1:38: undefined: strings"},
		{src: "func both() int { x := 1; return nowhere() }", fault: ":1:19: declared and not used: x"},
	} {
		r, err := e.Run(t.Context(), fmt.Sprintf("cell %d", i), c.src)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%d %q: want %q, got %v", i, c.src, c.fault, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d %q: %v", i, c.src, err)
			continue
		}
		if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, c.note) {
			t.Errorf("%d %q: want the note %q, got %q", i, c.src, c.note, notes)
		}
		if got := show(r); c.value != "" && got != c.value {
			t.Errorf("%d %q: want %s, got %s", i, c.src, c.value, got)
		}
	}
}
