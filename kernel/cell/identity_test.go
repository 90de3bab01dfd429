package cell

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"banter/dsl"
	"banter/stdlib/align"
)

// The outcomes that a filter may have when it is said a second time, after something changed.
const (
	hit   = "hit"   // found in the store
	other = "other" // another key, and so made
	anew  = "anew"  // never remembered
)

// TestAdversarialPredicates gives a filter to a verb in two notebooks that differ in one thing, and compares what its
// result is remembered under. A wrong hit is one whose two filters keep different pairs, or that skips an effect.
func TestAdversarialPredicates(t *testing.T) {
	const lit = "func(p Pair) bool { return ok(p) }"
	wrong, needless := 0, 0
	cases := 0
	for _, c := range []struct {
		name        string
		first, then []string // cells; the last statement of the last is the filter, or an expression that is given to Filter
		want        string
	}{
		{"nothing", []string{"t := 0.5", "func(p Pair) bool { return p.Confidence > t }"}, []string{"t := 0.5", "func(p Pair) bool { return p.Confidence > t }"}, hit},
		{"in another cell", []string{"t := 0.5", "func(p Pair) bool { return p.Confidence > t }"}, []string{"t := 0.5", "x := 1", "_ = x", "func(p Pair) bool { return p.Confidence > t }"}, hit},
		{"comment in the literal", []string{"t := 0.5", "func(p Pair) bool { return p.Confidence > t }"}, []string{"t := 0.5", "func(p Pair) bool {\n\treturn p.Confidence > t // sure\n}"}, hit},
		{"comment in a helper", []string{"func ok(p Pair) bool { return p.Bits > 1 }", lit}, []string{"// ok says so.\nfunc ok(p Pair) bool {\n\treturn p.Bits > 1 // one\n}", lit}, hit},
		{"unused helper changed", []string{"func ok(p Pair) bool { return p.Bits > 1 }\nfunc no() int { return 1 }", lit}, []string{"func ok(p Pair) bool { return p.Bits > 1 }\nfunc no() int { return 2 }", lit}, hit},
		{"unused variable changed", []string{"t, u := 0.5, 1\n_ = u", "func(p Pair) bool { return p.Confidence > t }"}, []string{"t, u := 0.5, 2\n_ = u", "func(p Pair) bool { return p.Confidence > t }"}, hit},
		{"helpers in another order", []string{"func a(p Pair) bool { return p.Bits > 1 }\nfunc b(p Pair) bool { return p.Bits < 9 }", "func(p Pair) bool { return a(p) && b(p) }"}, []string{"func b(p Pair) bool { return p.Bits < 9 }", "func a(p Pair) bool { return p.Bits > 1 }", "func(p Pair) bool { return a(p) && b(p) }"}, hit},
		{"map in another order", []string{`m := map[string]int{"a": 1, "b": 2}`, "func(p Pair) bool { return m[p.Response] > 1 }"}, []string{`m := map[string]int{"b": 2, "a": 1}`, "func(p Pair) bool { return m[p.Response] > 1 }"}, hit},
		{"helper declared twice, the same", []string{"func ok(p Pair) bool { return p.Bits > 1 }", lit}, []string{"func ok(p Pair) bool { return p.Bits > 2 }", "func ok(p Pair) bool { return p.Bits > 1 }", lit}, hit},
		{"field of parameters that it does not read", []string{"type P struct { Least, Seed int }\nq := P{2, 1}", "func(p Pair) bool { return p.Bits > q.Least }"}, []string{"type P struct { Least, Seed int }\nq := P{2, 9}", "func(p Pair) bool { return p.Bits > q.Least }"}, hit},
		{"field that it does not read, of the fields of a field", []string{"type In struct { Least, Seed int }\ntype P struct { In In; N int }\nq := P{In{2, 1}, 4}", "func(p Pair) bool { return p.Bits > q.In.Least }"}, []string{"type In struct { Least, Seed int }\ntype P struct { In In; N int }\nq := P{In{2, 7}, 5}", "func(p Pair) bool { return p.Bits > q.In.Least }"}, hit},

		{"variable of its own renamed", []string{"func(p Pair) bool { n := p.Bits; return n > 1 }"}, []string{"func(q Pair) bool { m := q.Bits; return m > 1 }"}, hit},
		{"receiver renamed", []string{"type T struct { n int }\nfunc (t T) over(n int) bool { return n > t.n }\nv := T{1}", "func(p Pair) bool { return v.over(p.Bits) }"}, []string{"type T struct { n int }\nfunc (x T) over(m int) bool { return m > x.n }\nv := T{1}", "func(p Pair) bool { return v.over(p.Bits) }"}, hit},
		{"variable of a type switch renamed", []string{"func size(x any) int { switch y := x.(type) { case int: return y; case string: return len(y) }; return 0 }", "func(p Pair) bool { return size(p.Response) > 1 }"}, []string{"func size(x any) int { switch z := x.(type) { case int: return z; case string: return len(z) }; return 0 }", "func(p Pair) bool { return size(p.Response) > 1 }"}, hit},
		{"field that it does not read added", []string{"type P struct { Least int }\nq := P{2}", "func(p Pair) bool { return p.Bits > q.Least }"}, []string{"type P struct { More string; Least int }\nq := P{\"x\", 2}", "func(p Pair) bool { return p.Bits > q.Least }"}, hit},
		{"regular expression", []string{"import \"regexp\"\nre := regexp.MustCompile(\"a+\")", "func(p Pair) bool { return re.MatchString(p.Response) }"}, []string{"import \"regexp\"\nre := regexp.MustCompile(\"a+\")", "func(p Pair) bool { return re.MatchString(p.Response) }"}, hit},
		{"regular expression changed", []string{"import \"regexp\"\nre := regexp.MustCompile(\"a+\")", "func(p Pair) bool { return re.MatchString(p.Response) }"}, []string{"import \"regexp\"\nre := regexp.MustCompile(\"aa\")", "func(p Pair) bool { return re.MatchString(p.Response) }"}, other},
		{"a name that another variable's number looks like", []string{"v1 := 3", "func(p Pair) bool { n := p.Bits; return n > v1 && v1 > 0 }"}, []string{"v1 := 3", "func(p Pair) bool { n := p.Bits; return n > n && v1 > 0 }"}, other},
		{"variables of its own swapped", []string{"func(p Pair) bool { a, b := p.Bits, 3; return a > b }"}, []string{"func(p Pair) bool { b, a := p.Bits, 3; return a > b }"}, other},
		{"inner variable that hides an outer", []string{"func(p Pair) bool { n := 1; { n := p.Bits; _ = n }; return n > 0 }"}, []string{"func(p Pair) bool { n := 1; { n = p.Bits; _ = n }; return n > 0 }"}, other},

		{"captured value", []string{"t := 0.5", "func(p Pair) bool { return p.Confidence > t }"}, []string{"t := 0.9", "func(p Pair) bool { return p.Confidence > t }"}, other},
		{"field that it reads", []string{"type P struct { Least, Seed int }\nq := P{2, 1}", "func(p Pair) bool { return p.Bits > q.Least }"}, []string{"type P struct { Least, Seed int }\nq := P{3, 1}", "func(p Pair) bool { return p.Bits > q.Least }"}, other},
		{"field behind a pointer", []string{"type P struct { Least int }\nq := &P{2}", "func(p Pair) bool { return p.Bits > q.Least }"}, []string{"type P struct { Least int }\nq := &P{2}\nq.Least = 3", "func(p Pair) bool { return p.Bits > q.Least }"}, other},
		{"whole struct and a field of it", []string{"type P struct { Least, Seed int }\nfunc sum(q P) int { return q.Least + q.Seed }\nq := P{2, 1}", "func(p Pair) bool { return p.Bits > q.Least + sum(q) }"}, []string{"type P struct { Least, Seed int }\nfunc sum(q P) int { return q.Least + q.Seed }\nq := P{2, 2}", "func(p Pair) bool { return p.Bits > q.Least + sum(q) }"}, other},
		{"captured value changed by reference", []string{"list := []string{\"a\"}\nalso := list\n_ = also", "func(p Pair) bool { return p.Response == list[0] }"}, []string{"list := []string{\"a\"}\nalso := list\nalso[0] = \"b\"", "func(p Pair) bool { return p.Response == list[0] }"}, other},
		{"captured float's last bit", []string{"t := 0.1\nt += 0.2", "func(p Pair) bool { return p.Confidence > t }"}, []string{"t := 0.3", "func(p Pair) bool { return p.Confidence > t }"}, other},
		{"captured negative zero", []string{"z := 0.0", "func(p Pair) bool { return 1/z > p.Confidence }"}, []string{"z := 0.0\nz = -z", "func(p Pair) bool { return 1/z > p.Confidence }"}, other},
		{"captured type", []string{"n := int8(100)", "func(p Pair) bool { x := n; x += x; return x > 0 }"}, []string{"n := int16(100)", "func(p Pair) bool { x := n; x += x; return x > 0 }"}, other},
		{"nil for empty", []string{"var m []string", "func(p Pair) bool { return m == nil }"}, []string{"m := []string{}", "func(p Pair) bool { return m == nil }"}, other},
		{"operator", []string{"func(p Pair) bool { return p.Bits > 1 }"}, []string{"func(p Pair) bool { return p.Bits >= 1 }"}, other},
		{"helper", []string{"func ok(p Pair) bool { return p.Bits > 1 }", lit}, []string{"func ok(p Pair) bool { return p.Bits > 2 }", lit}, other},
		{"helper two calls deep", []string{"func n() int { return 1 }\nfunc least() int { return n() }\nfunc ok(p Pair) bool { return p.Bits > least() }", lit}, []string{"func n() int { return 3 }\nfunc least() int { return n() }\nfunc ok(p Pair) bool { return p.Bits > least() }", lit}, other},
		{"helper of another cell, declared anew", []string{"func ok(p Pair) bool { return p.Bits > 1 }", lit}, []string{"func ok(p Pair) bool { return p.Bits > 1 }", "func ok(p Pair) bool { return p.Bits > 4 }", lit}, other},
		{"variable that a helper reads", []string{"least := 1", "func ok(p Pair) bool { return p.Bits > least }", lit}, []string{"least := 3", "func ok(p Pair) bool { return p.Bits > least }", lit}, other},
		{"initialisation order", []string{"a := 1\nb := a + 1\n_ = b", "func(p Pair) bool { return p.Bits > b }"}, []string{"a := 1\nb := a\na = 2\n_ = b", "func(p Pair) bool { return p.Bits > b }"}, other},
		{"constant", []string{"const k = 1", "func(p Pair) bool { return p.Bits > k }"}, []string{"const k = 2", "func(p Pair) bool { return p.Bits > k }"}, other},
		{"constant by iota", []string{"const (\n\ta = iota\n\tb\n)", "func(p Pair) bool { return p.Bits > b }"}, []string{"const (\n\tz = iota\n\ta\n\tb\n)", "func(p Pair) bool { return p.Bits > b }"}, other},
		{"constant's type", []string{"const k int8 = 100", "func(p Pair) bool { x := k; x += x; return x > 0 }"}, []string{"const k = 100", "func(p Pair) bool { x := k; x += x; return x > 0 }"}, other},
		{"constant of a helper, hidden by one of the surroundings", []string{"const k = 1", "func ok(p Pair) bool { return p.Bits > k }", "func said() Pairs { const k = 7; return Filter(Pairs{}, func(p Pair) bool { return p.Bits < k && ok(p) }) }\nsaid()"}, []string{"const k = 3", "func ok(p Pair) bool { return p.Bits > k }", "func said() Pairs { const k = 7; return Filter(Pairs{}, func(p Pair) bool { return p.Bits < k && ok(p) }) }\nsaid()"}, other},
		{"generic helper", []string{"func over[T int | float64](x, y T) bool { return x > y }", "func(p Pair) bool { return over(p.Bits, 1) }"}, []string{"func over[T int | float64](x, y T) bool { return x >= y }", "func(p Pair) bool { return over(p.Bits, 1) }"}, other},
		{"type argument of a helper", []string{"type A = int8\nfunc half[T int8 | int](n int) int { var x T = 100; x += x; return int(x) + n }", "func(p Pair) bool { return half[A](p.Bits) > 0 }"}, []string{"type A = int\nfunc half[T int8 | int](n int) int { var x T = 100; x += x; return int(x) + n }", "func(p Pair) bool { return half[A](p.Bits) > 0 }"}, other},
		{"generic helper's helper", []string{"func one() int { return 1 }\nfunc over[T int | float64](x T) bool { return x > T(one()) }", "func(p Pair) bool { return over(p.Bits) }"}, []string{"func one() int { return 2 }\nfunc over[T int | float64](x T) bool { return x > T(one()) }", "func(p Pair) bool { return over(p.Bits) }"}, other},
		{"method", []string{"type T struct { n int }\nfunc (t T) over(n int) bool { return n > t.n }\nv := T{1}", "func(p Pair) bool { return v.over(p.Bits) }"}, []string{"type T struct { n int }\nfunc (t T) over(n int) bool { return n >= t.n }\nv := T{1}", "func(p Pair) bool { return v.over(p.Bits) }"}, other},
		{"method of an embedded struct", []string{"type In struct { n int }\nfunc (t In) over(n int) bool { return n > t.n }\ntype T struct { In }\nv := T{In{1}}", "func(p Pair) bool { return v.over(p.Bits) }"}, []string{"type In struct { n int }\nfunc (t In) over(n int) bool { return n >= t.n }\ntype T struct { In }\nv := T{In{1}}", "func(p Pair) bool { return v.over(p.Bits) }"}, other},
		{"method that hides an embedded one", []string{"type In struct{}\nfunc (In) least() int { return 1 }\ntype T struct { In }\nvar v T", "func(p Pair) bool { return p.Bits > v.least() }"}, []string{"type In struct{}\nfunc (In) least() int { return 1 }\ntype T struct { In }\nfunc (T) least() int { return 3 }\nvar v T", "func(p Pair) bool { return p.Bits > v.least() }"}, other},
		{"type of a field of a captured struct", []string{"type In struct { x int8 }\ntype T struct { in In }\nv := T{In{100}}", "func(p Pair) bool { y := v.in.x; y += y; return y > 0 }"}, []string{"type In struct { x int }\ntype T struct { in In }\nv := T{In{100}}", "func(p Pair) bool { y := v.in.x; y += y; return y > 0 }"}, other},
		{"type that only a helper's type names", []string{"type N int8\ntype T struct { n N }\nfunc mk() T { return T{100} }", "func(p Pair) bool { y := mk().n; y += y; return y > 0 }"}, []string{"type N int\ntype T struct { n N }\nfunc mk() T { return T{100} }", "func(p Pair) bool { y := mk().n; y += y; return y > 0 }"}, other},
		{"method that a library calls through an interface", []string{"import \"sort\"\ntype by []int\nfunc (b by) Len() int { return len(b) }\nfunc (b by) Less(i, j int) bool { return b[i] < b[j] }\nfunc (b by) Swap(i, j int) { b[i], b[j] = b[j], b[i] }", "func(p Pair) bool { b := by{p.Bits, 2}; sort.Sort(b); return b[0] == p.Bits }"}, []string{"import \"sort\"\ntype by []int\nfunc (b by) Len() int { return len(b) }\nfunc (b by) Less(i, j int) bool { return b[i] > b[j] }\nfunc (b by) Swap(i, j int) { b[i], b[j] = b[j], b[i] }", "func(p Pair) bool { b := by{p.Bits, 2}; sort.Sort(b); return b[0] == p.Bits }"}, other},
		{"package of a name", []string{"import u \"unicode/utf8\"\n_ = u.RuneError", "func(p Pair) bool { return u.RuneLen('é') > 1 }"}, []string{"import u \"unicode/utf16\"\n_ = u.Encode(nil)", "func(p Pair) bool { return u.RuneLen('é') > 1 }"}, other},
		{"name of a package", []string{"import s \"strings\"\n_ = s.ToUpper(\"\")", "func(p Pair) bool { return s.Contains(p.Response, \"a\") }"}, []string{"import \"strings\"", "func(p Pair) bool { return strings.Contains(p.Response, \"a\") }"}, hit},
		{"shadowed package", []string{"import \"strings\"", "func(p Pair) bool { return strings.Contains(p.Response, \"a\") }"}, []string{"type mine struct{}\nfunc (mine) Contains(a, b string) bool { return false }\nvar strings mine", "func(p Pair) bool { return strings.Contains(p.Response, \"a\") }"}, other},
		{"shadowed function of the language", []string{"func(p Pair) bool { return len(p.Response) > 1 }"}, []string{"func len(s string) int { return 0 }", "func(p Pair) bool { return len(p.Response) > 1 }"}, other},
		{"shadowed constant of the language", []string{"func(p Pair) bool { return true }"}, []string{"const true = false", "func(p Pair) bool { return true }"}, other},
		{"shadowed type of the language", []string{"func(p Pair) bool { var x int = 100; x += x; return x > 0 }"}, []string{"type int int8", "func(p Pair) bool { var x int = 100; x += x; return x > 0 }"}, other},
		{"closure made in a loop", []string{"func said() (q Pairs) { for _, t := range []int{1, 2} { func() { defer func() { recover() }(); q = Filter(Pairs{}, func(p Pair) bool { return p.Bits > t }) }() }; return }\nsaid()"}, []string{"func said() (q Pairs) { for _, t := range []int{1, 3} { func() { defer func() { recover() }(); q = Filter(Pairs{}, func(p Pair) bool { return p.Bits > t }) }() }; return }\nsaid()"}, other},
		{"parameter of what says the verb", []string{"func said(t int) Pairs { return Filter(Pairs{}, func(p Pair) bool { return p.Bits > t }) }\nsaid(1)"}, []string{"func said(t int) Pairs { return Filter(Pairs{}, func(p Pair) bool { return p.Bits > t }) }\nsaid(2)"}, other},
		{"function by its name", []string{"func ok(p Pair) bool { return p.Bits > 1 }", "ok"}, []string{"func ok(p Pair) bool { return p.Bits > 2 }", "ok"}, other},
		{"named function for another", []string{"func ok(p Pair) bool { return p.Bits > 1 }", "ok"}, []string{"func no(p Pair) bool { return p.Bits < 1 }", "no"}, other},

		{"through a variable", []string{"f := func(p Pair) bool { return p.Bits > 1 }", "f"}, []string{"f := func(p Pair) bool { return p.Bits > 1 }", "f"}, anew},
		{"through a variable that the literal calls", []string{"f := func(n int) bool { return n > 1 }", "func(p Pair) bool { return f(p.Bits) }"}, []string{"f := func(n int) bool { return n > 1 }", "func(p Pair) bool { return f(p.Bits) }"}, anew},
		{"method value", []string{"type T struct { n int }\nfunc (t T) ok(p Pair) bool { return p.Bits > t.n }\nv := T{1}", "v.ok"}, []string{"type T struct { n int }\nfunc (t T) ok(p Pair) bool { return p.Bits > t.n }\nv := T{1}", "v.ok"}, anew},
		{"method value captured", []string{"type T struct { n int }\nfunc (t T) ok(p Pair) bool { return p.Bits > t.n }\nv := T{1}\nf := v.ok", "func(p Pair) bool { return f(p) }"}, []string{"type T struct { n int }\nfunc (t T) ok(p Pair) bool { return p.Bits > t.n }\nv := T{1}\nf := v.ok", "func(p Pair) bool { return f(p) }"}, anew},
		{"through an interface", []string{"type I interface { ok(n int) bool }\ntype T struct{}\nfunc (T) ok(n int) bool { return n > 1 }\nvar v I = T{}", "func(p Pair) bool { return v.ok(p.Bits) }"}, []string{"type I interface { ok(n int) bool }\ntype T struct{}\nfunc (T) ok(n int) bool { return n > 1 }\nvar v I = T{}", "func(p Pair) bool { return v.ok(p.Bits) }"}, anew},
		{"made by a function", []string{"func over(n int) func(Pair) bool { return func(p Pair) bool { return p.Bits > n } }", "over(1)"}, []string{"func over(n int) func(Pair) bool { return func(p Pair) bool { return p.Bits > n } }", "over(1)"}, anew},
		{"the clock", []string{"import \"time\"", "func(p Pair) bool { return time.Now().Unix() > int64(p.Bits) }"}, []string{"import \"time\"", "func(p Pair) bool { return time.Now().Unix() > int64(p.Bits) }"}, anew},
		{"chance", []string{"import \"math/rand/v2\"\n_ = rand.IntN(9)", "func(p Pair) bool { return rand.IntN(9) > p.Bits }"}, []string{"import \"math/rand/v2\"\n_ = rand.IntN(9)", "func(p Pair) bool { return rand.IntN(9) > p.Bits }"}, anew},
		{"a channel", []string{"c := make(chan int, 1)", "func(p Pair) bool { return len(c) > p.Bits }"}, []string{"c := make(chan int, 1)", "func(p Pair) bool { return len(c) > p.Bits }"}, anew},
		{"it counts", []string{"n := 0", "func(p Pair) bool { n++; return p.Bits > 1 }"}, []string{"n := 0", "func(p Pair) bool { n++; return p.Bits > 1 }"}, anew},
		{"it counts in a helper", []string{"n := 0\nfunc count() { n++ }", "func(p Pair) bool { count(); return p.Bits > 1 }"}, []string{"n := 0\nfunc count() { n++ }", "func(p Pair) bool { count(); return p.Bits > 1 }"}, anew},
		{"it counts by pointer", []string{"n := 0\nfunc up(n *int) { *n++ }", "func(p Pair) bool { up(&n); return p.Bits > 1 }"}, []string{"n := 0\nfunc up(n *int) { *n++ }", "func(p Pair) bool { up(&n); return p.Bits > 1 }"}, anew},
		{"it remembers what it saw", []string{"seen := map[string]bool{}", "func(p Pair) bool { was := seen[p.Response]; seen[p.Response] = true; return !was }"}, []string{"seen := map[string]bool{}", "func(p Pair) bool { was := seen[p.Response]; seen[p.Response] = true; return !was }"}, anew},
		{"it gathers", []string{"var list []string", "func(p Pair) bool { list = append(list, p.Response); return true }"}, []string{"var list []string", "func(p Pair) bool { list = append(list, p.Response); return true }"}, anew},
		{"it sorts what it captured", []string{"import \"sort\"\nlist := []int{3, 1, 2}", "func(p Pair) bool { sort.Ints(list); return list[0] > p.Bits }"}, []string{"import \"sort\"\nlist := []int{3, 1, 2}", "func(p Pair) bool { sort.Ints(list); return list[0] > p.Bits }"}, anew},
		{"a method that changes its receiver", []string{"type T struct { n int }\nfunc (t *T) up() int { t.n++; return t.n }\nvar v T", "func(p Pair) bool { return v.up() > p.Bits }"}, []string{"type T struct { n int }\nfunc (t *T) up() int { t.n++; return t.n }\nvar v T", "func(p Pair) bool { return v.up() > p.Bits }"}, anew},
	} {
		cases++
		t.Run(c.name, func(t *testing.T) {
			a, keptA := filterOf(t, c.first)
			b, keptB := filterOf(t, c.then)
			got := other
			switch {
			case a.Uncacheable != "" || b.Uncacheable != "":
				got = anew
			case a.Source == b.Source && slices.Equal(a.Captures, b.Captures):
				got = hit
			}
			if got == hit && (c.want != hit || !slices.Equal(keptA, keptB)) {
				wrong++
			} else if got != c.want && c.want == hit || got == anew && c.want == other {
				needless++
			}
			if got != c.want {
				t.Errorf("%s, want %s: %s%s\n%s %v", got, c.want, a.Uncacheable, b.Uncacheable, a.Source, a.Captures)
			}
			if c.want == hit && !slices.Equal(keptA, keptB) {
				t.Error("the case is wrong: the filters keep different pairs")
			}
		})
	}
	t.Logf("%d cases, %d wrong hits, %d needless misses", cases, wrong, needless)
}

// filterOf runs cells, gives the last as a filter to the verb, and says what was passed, after it ran on some pairs, and
// which of them it kept.
func filterOf(t *testing.T, cells []string) (dsl.Predicate, []bool) {
	t.Helper()
	e, err := New(Options{Prelude: []string{"banter/dsl"}, Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	var p dsl.Predicate
	e.support.observe = func(got dsl.Predicate) { p = got } // the last
	for i, src := range cells {
		last := i == len(cells)-1
		if last && !strings.Contains(src, "Filter(") {
			src = "Filter(Pairs{}, " + src + ")"
		}
		if _, err := e.Run(t.Context(), fmt.Sprintf("cell %d", i+1), src); err != nil && (!last || p.Keep == nil) {
			t.Fatalf("%s: %v", src, err)
		}
	}
	var kept []bool
	for i := range 9 {
		pair := align.Pair{Bits: i, Confidence: float64(i) / 8, Response: strings.Repeat("a", i%3)}
		kept = append(kept, p.Keep(&pair))
	}
	if p.Uncacheable == "" && p.Changed != nil {
		p.Uncacheable = p.Changed()
	}
	return p, kept
}
