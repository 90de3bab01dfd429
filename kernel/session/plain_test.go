package session

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type point struct {
	X, Y int
	name string
}

type named struct{ point }

func (named) String() string { return "a named value" }

func TestPlainIsWhatFmtSays(t *testing.T) {
	p := &point{1, 2, "p"}
	var nilMap map[string]int
	var nilErr error
	for _, v := range []any{1, "text", 1.5, true, 'x', nil, []int{1, 2}, []string{"a b", ""}, map[string]int{"b": 1, "a": 2}, nilMap, nilErr,
		point{1, 2, "p"}, p, []*point{nil}, named{}, &named{}, errors.New("an error"), time.Second, []byte("bytes"),
		map[point][]any{{1, 2, ""}: {1, "x", nil, 2.5}}, struct{ A any }{[]any{1, map[int]bool{1: true}}}, [3]int{}, complex(1, 2)} {
		if got, want := plain(reflect.ValueOf(&v).Elem()), fmt.Sprintf("%v", v); got != want {
			t.Errorf("%T: %q, want %q", v, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.Float64())).Draw(t, "v")
		if got, want := plain(reflect.ValueOf(v)), fmt.Sprintf("%v", v); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

// TestPlainHasNoAddresses shows what fmt shows by where it is in memory.
func TestPlainHasNoAddresses(t *testing.T) {
	p, n, nothing := &point{1, 2, "p"}, 5, (*int)(nil)
	type holder struct {
		At   *point
		Call func(int) bool
		Wait time.Duration
		own  *point
	}
	type ring struct{ next *ring }
	circle := &ring{}
	circle.next = circle
	for _, row := range []struct {
		v    any
		want string
	}{
		{&p, "&&{1 2 p}"},
		{&n, "&5"},
		{&nothing, "&<nil>"},
		{[]*point{p, nil}, "[&{1 2 p} <nil>]"},
		{map[string]*int{"n": &n}, "map[n:&5]"},
		{holder{p, func(int) bool { return true }, time.Second, p}, "{&{1 2 p} func(int) bool 1s &{1 2 p}}"},
		{holder{}, "{<nil> <nil> 0s <nil>}"},
		{func(float64) (int, error) { return 0, nil }, "func(float64) (int, error)"},
		{make(chan int, 3), "chan int"},
		{[]any{&named{}, errors.New("an error"), p}, "[a named value an error &{1 2 p}]"},
	} {
		if got := plain(reflect.ValueOf(row.v)); got != row.want {
			t.Errorf("%T: %q, want %q", row.v, got, row.want)
		}
	}
	if got := plain(reflect.ValueOf(circle)); !strings.HasPrefix(got, "&{&{&{") || !strings.Contains(got, "…") || strings.Contains(got, "0x") {
		t.Errorf("%q", got)
	}
}

func TestPlainIsBounded(t *testing.T) {
	cyclic := []any{1}
	cyclic = append(cyclic, nil)
	cyclic[1] = cyclic
	loop := map[string]any{}
	loop["self"] = loop
	deep := any(1)
	for range 100_000 {
		deep = []any{deep}
	}
	for name, row := range map[string]struct {
		v    any
		want string
	}{
		"long list":  {make([]int, 10_000_000), "10000000 elements in all"},
		"long text":  {strings.Repeat("é", 10_000_000), "19.1 MiB in all"},
		"long texts": {[]string{strings.Repeat("x", 1_000_000), "y"}, "KiB in all"},
		"large map": {func() map[int]int {
			m := map[int]int{}
			for i := range 100_000 {
				m[i] = i
			}
			return m
		}(), "100000 entries in all"},
		"cyclic list": {cyclic, "[1 [1 ["},
		"cyclic map":  {loop, "map[self:map[self:"},
		"deep":        {deep, "[[[["},
		"pointer":     {&struct{ A []int }{make([]int, 5000)}, "&{[0 0"},
	} {
		got := plain(reflect.ValueOf(row.v))
		if len(got) > 2*maxPlain || !strings.Contains(got, row.want) {
			t.Errorf("%s: %d bytes, %.80q … %q", name, len(got), got, got[max(0, len(got)-80):])
		}
	}
}

func TestTable(t *testing.T) {
	type row struct {
		Text   string
		Number float64
		hidden bool
	}
	rows := make([]*row, 50)
	for i := range rows {
		rows[i] = &row{Text: fmt.Sprint("<b>", i), Number: float64(i), hidden: true}
	}
	rows[1] = nil
	got, ok := tableOf(reflect.ValueOf(rows))
	if !ok || strings.Contains(got, "<b>") || strings.Contains(got, "hidden") || strings.Count(got, "<tr>") != maxRows+1 || !strings.Contains(got, "50 rows, the first 20 shown") {
		t.Errorf("%s", got)
	}
	long := strings.Repeat("é\n", 500_000)
	if got, _ := tableOf(reflect.ValueOf([]row{{Text: long}})); len(got) > 3000 || strings.Contains(got, "\n") || !strings.Contains(got, "…") {
		t.Errorf("%d bytes", len(got))
	}
	for _, v := range []any{[]int{1}, []row{}, []struct{ hidden int }{{1}}, 1, "x", map[string]row{}} {
		if got, ok := tableOf(reflect.ValueOf(v)); ok {
			t.Errorf("%T: %s", v, got)
		}
	}
}

func TestCodePoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		runes := []rune(s)
		n := rapid.IntRange(0, len(runes)).Draw(t, "n")
		at := byteOffset(s, n)
		if s[:at] != string(runes[:n]) || codePoints(s, at) != n {
			t.Fatalf("%d code points of %q end at byte %d, and %d come before that", n, s, at, codePoints(s, at))
		}
	})
}

func TestIncompleteCharacters(t *testing.T) {
	for s, want := range map[string]int{"": 0, "a": 0, "é": 0, "\xc3": 1, "a\xe2\x82": 2, "€": 0, "\xf0\x9f\x98": 3, "😀": 0, "\x80": 0, "\x80\x80\x80": 0, "\xff": 0} {
		if got := incomplete([]byte(s)); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}
