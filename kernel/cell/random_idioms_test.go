package cell

import (
	"fmt"
	"strings"
)

// idiom is one of the ways of Go that interpreters get wrong, with random operands. It stands in a block of its own.
func (w *writer) idiom() string {
	saved := w.idiomatic
	w.idiomatic = true
	defer func() { w.idiomatic = saved }()
	text := idioms[w.r.IntN(len(idioms))]
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:i])
		switch text[i+1] {
		case 'i':
			b.WriteString(w.expr("int", 1))
		case 's':
			b.WriteString(w.expr("string", 1))
		case 'b':
			b.WriteString(w.expr("bool", 1))
		case 'n':
			fmt.Fprint(&b, 1+w.r.IntN(4))
		case 'd':
			b.WriteString(w.literal())
		case 'x':
			b.WriteString(w.expr("[]int", 1))
		case 'p':
			b.WriteString(w.expr("P", 1))
		case 'L':
			fmt.Fprintf(&b, "L%d", w.count)
		case 'M':
			b.WriteString(w.fresh("L"))
		}
		text = text[i+2:]
	}
	return "{\n" + b.String() + "\n}\n"
}

var idioms = []string{
	// Closures and the variables of loops.
	`var fs []func() int; for i := 0; i < $n; i++ { fs = append(fs, func() int { i += $d; return i }) }; for _, f := range fs { fmt.Println(f(), f()) }`,
	`var fs []func() int; for i := range $n { fs = append(fs, func() int { return i * $d }) }; for _, f := range fs { fmt.Println(f()) }`,
	`var ps []*int; for i, v := range $x { ps = append(ps, &i, &v) }; for _, p := range ps { *p += 1; fmt.Println(*p) }`,
	`var fs []func(); for i := 0; i < 6; i += 2 { fs = append(fs, func() { fmt.Println(i) }); i-- ; if i > $d { continue } }; for _, f := range fs { f() }`,
	`c := func() func() int { n := $i; return func() int { n++; return n } }(); fmt.Println(c(), c(), c())`,
	`n := $i; f := func() { n *= 2 }; f(); f(); fmt.Println(n)`,
	// Defer, panic, recover.
	`f := func() (n int) { defer func() { n += $d }(); n = $i; return n * 2 }; fmt.Println(f())`,
	`f := func() (n int, err error) { defer func() { if r := recover(); r != nil { err = fmt.Errorf("got %v", r) } }(); n = $i; panic($s) }; n, err := f(); fmt.Println(n, err)`,
	`func() { for i := range 3 { defer fmt.Println("deferred", i) } }()`,
	`func() { x := $i; defer fmt.Println("then", x); x += 1; fmt.Println("now", x) }()`,
	`func() { defer fmt.Println("last"); defer func() { fmt.Println("recovered", recover()) }(); var m map[string]int; m["a"] = $i }()`,
	`fmt.Println(Try(func() { var p *P; p.Add($i) }))`,
	`fmt.Println(Try(func() { z := $i; z -= z; fmt.Println($i / z) }))`,
	`fmt.Println(Try(func() { panic(errors.New($s)) }))`,
	`fmt.Println(Try(func() { var s Shape; fmt.Println(s.Area()) }))`,
	`fmt.Println(Try(func() { var x any = $s; fmt.Println(x.(int)) }))`,
	`x := $x; fmt.Println(Try(func() { n := x[len(x)-1]; fmt.Println(n, x[:1]) }))`,
	`fmt.Println(Try(func() { defer func() { fmt.Println("first"); }(); panic($i) }))`,
	`func() { defer func() { fmt.Println(recover()) }(); func() { defer func() { fmt.Println("inner", recover()) }(); panic("one") }(); panic("two") }()`,
	// Ranges over functions.
	`for i := range Upto($n) { if i == $d { break }; fmt.Println(i) }`,
	`f := func() int { for i := range Upto(5) { if i == $d { return i * 10 } }; return -1 }; fmt.Println(f())`,
	`f := func() (n int, s string) { for i, v := range Each([]string{"a", "bb", $s}) { if len(v) > $n { return i, v } ; n++ }; return n, "none" }; fmt.Println(f())`,
	`$M: for i := range Upto(3) { for j, s := range Each([]string{"p", "q", "r"}) { if j == i { continue $L }; if i == $n { break $L }; fmt.Println(i, j, s) } }`,
	`t := (*Tree)(nil); for _, v := range $x { t = t.Insert(v) }; for v := range func(y func(int) bool) { t.Walk(y) } { fmt.Println(v) }`,
	`var fs []func() int; for i := range Upto(3) { fs = append(fs, func() int { i++; return i }) }; for _, f := range fs { fmt.Println(f(), f()) }`,
	// Switches, labels, goto.
	`i := 0; $M: if i < $n { i++; goto $L }; fmt.Println(i)`,
	`switch x := $i; x { case 0, 1: fmt.Println("small"); fallthrough; case 100: fmt.Println("fell"); case 2: fmt.Println("two"); default: fmt.Println("else") }`,
	`$M: for i := 0; ; i++ { switch { case i == $n: break $L; case i%2 == 0: continue $L }; fmt.Println(i) }`,
	`for i := range $n+1 { switch i { case 1: break; case 2: continue; default: fmt.Println("d", i) }; fmt.Println("after", i) }`,
	`for _, x := range []any{$i, $s, nil, 1.5, []int{1}, P{}, &P{}, NewNum(3), Mon, 'a', uint8(2), errors.New("e")} { switch v := x.(type) { case int, int32: fmt.Println("int", v); case string: fmt.Println("string", len(v)); case *P: fmt.Println("ptr", v.A); case P: fmt.Println("P", v.B); case Num: fmt.Println("num", v.Area()); case nil: fmt.Println("nil"); case float64: fmt.Println(v * 2); default: fmt.Println("other") } }`,
	// Values and references.
	`a := [3]int{1, 2, $i}; b := a; b[0] = 9; p := &a; p[1]++; fmt.Println(a, b, a == b, len(p)); for i, v := range a { a[2] = 100; fmt.Println(i, v) }`,
	`a := $x; b := a[:1]; b = append(b, 77); fmt.Println(a, b, len(b), cap(a) >= len(a)); c := append(a[:1:1], 5); fmt.Println(a, c)`,
	`a := $x; for i, v := range a { a = append(a, v*i) ; _ = i }; fmt.Println(a)`,
	`p := $p; q := p; q.A++; r := &p; r.B += 5; r.Add($i); fmt.Println(p, q, p == q, *r)`,
	`m := map[string]P{"a": $p}; v := m["a"]; v.A = 99; fmt.Println(m["a"], v, m["zz"]); _, ok := m["b"]; fmt.Println(ok, len(m))`,
	`m := map[P]int{}; m[$p]++; m[$p] += 2; fmt.Println(len(m)); clear(m); fmt.Println(len(m))`,
	`m := map[string][]int{}; m["a"] = append(m["a"], $i); m["a"] = append(m["a"], 2); fmt.Println(m)`,
	`m := map[string]*P{"x": {A: $i}}; m["x"].B = 7; m["x"].Add(1); fmt.Println(*m["x"])`,
	`xs := []P{{1, 2, "a"}, $p}; for _, x := range xs { x.A = 50 }; for i := range xs { xs[i].B++ }; fmt.Println(xs)`,
	`i := 0; xs := []int{1, 2, 3}; i, xs[i] = 2, 9; fmt.Println(i, xs); xs[0], xs[2] = xs[2], xs[0]; fmt.Println(xs)`,
	`var e struct { X, Y int; T struct { S string } }; e.T.S = $s; e.X = $i; f := e; f.T.S += "!"; fmt.Println(e, f)`,
	`xs := [][]int{{1}, {2, 3}, $x}; xs[0] = append(xs[0], 4); ys := append([][]int{}, xs...); ys[1][0] = 8; fmt.Println(xs, ys)`,
	`var n *int; fmt.Println(n == nil); v := $i; n = &v; *n++; fmt.Println(v, *n)`,
	// Methods.
	`p := P{1, 2, ""}; f := p.Sum; g := p.Add; p.A = 10; g(5); fmt.Println(f(), p.Sum(), P.Sum(p)); h := (*P).Add; h(&p, $i); fmt.Println(p)`,
	`b := Box{P{2, 3, "x"}, $d}; b.Add($i); fmt.Println(b.Area(), b.Sum(), b.A, b.P.Area()); var s Shape = b; b.N = 100; fmt.Println(s.Area()); if x, ok := s.(Box); ok { fmt.Println(x.N, x.S) }`,
	`shapes := []Shape{P{1, 2, ""}, NewNum($d), Box{N: $d}, &P{3, 3, ""}}; t := 0; for _, s := range shapes { t += s.Area(); if _, ok := s.(Num); ok { t *= 2 } }; fmt.Println(t)`,
	`type L struct { v int; next *L }; var l *L; for i := range $n { l = &L{i, l} }; for x := l; x != nil; x = x.next { fmt.Println(x.v) }`,
	`d := Mon; d++; fmt.Println(d, d == Tue, Wed > d)`,
	// Numbers.
	`var u uint8 = 250; u += uint8(len($s)) + 9; var i int8 = 127; i++; var v uint32; v--; fmt.Println(u, i, v, ^0, -7/2, -7%3, 7&^5)`,
	`x := $i; fmt.Println(x<<3>>1, uint16(x*70000), int64(x)*int64(1<<40), x&1 == 0, -x>>1)`,
	`f := float64($i) / 3; fmt.Printf("%.4f %v %t\n", f, int(f), f == f); var g float32 = 0.1; fmt.Println(g, float64(g) == 0.1, g*g)`,
	`const big = 1 << 40; const f = big / 3.0; fmt.Println(big>>38, f > 1, K0, K1, K3, C3, C2*2)`,
	`r := 'é'; s := string(r) + $s; b := []byte(s); b[0] = 'z'; fmt.Println(len(s), len([]rune(s)), b, r, s[len(s)-1:], s[0])`,
	`var c complex128 = complex(float64($d), 2); c *= c; fmt.Println(real(c), imag(c), c == complex(1, 1))`,
	`fmt.Println(min($i, 3, $d), max($s, "b"), min(1.5, float64($i)))`,
	// Functions and generics.
	`f := func(xs ...int) (n int) { for _, x := range xs { n += x }; return }; fmt.Println(f(), f($i), f($x...))`,
	`f := func() (int, string) { return $i, $s }; a, s := f(); g := func(n int, s string) string { return fmt.Sprint(n, s) }; fmt.Println(a, s, g(f()))`,
	`var fib func(int) int; fib = func(n int) int { if n < 2 { return n }; return fib(n-1) + fib(n-2) }; fmt.Println(fib($n+4), Fib($n+3))`,
	`s := &Stack[string]{}; s.Push($s); s.Push("top"); v, ok := s.Pop(); fmt.Println(v, ok); s.Pop(); v, ok = s.Pop(); fmt.Println(v == "", ok); var t Stack[P]; t.Push($p); fmt.Println(len(t.items))`,
	`fmt.Println(Fold($x, "", func(a string, n int) string { return a + fmt.Sprint(n) }), Most("a", $s), Most(1.5, 2), Map([]string{$s, "y"}, func(s string) int { return len(s) }))`,
	`fmt.Println(Map(Keep($x, func(n int) bool { return n > $d }), func(n int) P { return P{A: n} }))`,
	`compose := func(fs ...func(int) int) func(int) int { return func(n int) int { for _, f := range fs { n = f(n) }; return n } }; fmt.Println(compose(func(n int) int { return n + 1 }, func(n int) int { return n * $n })($i))`,
	`type pair struct { k string; v int }; ps := []pair{{"b", $i}, {"a", 2}, {$s, 3}}; sort.Slice(ps, func(i, j int) bool { return ps[i].k < ps[j].k || ps[i].k == ps[j].k && ps[i].v < ps[j].v }); fmt.Println(ps)`,
	`xs := $x; slices.Sort(xs); i, ok := slices.BinarySearch(xs, $i); fmt.Println(xs, i, ok, slices.Contains(xs, $i), slices.Max(xs), slices.Equal(xs, xs))`,
	`m := map[string]int{"b": $i, "a": 2}; fmt.Println(slices.Sorted(maps.Keys(m)), len(slices.Collect(maps.Values(m))))`,
	`ps := []P{{3, 1, "c"}, {1, 2, "a"}, $p}; slices.SortStableFunc(ps, func(a, b P) int { return a.A - b.A }); fmt.Println(ps, slices.IndexFunc(ps, func(p P) bool { return p.B == 2 }))`,
	`once := sync.OnceValue(func() int { fmt.Println("once"); return $i }); fmt.Println(once(), once())`,
	// Channels and goroutines.
	`ch := make(chan int, 3); go func() { defer close(ch); for i := range 3 { ch <- i * $d } }(); for v := range ch { fmt.Println(v) }; v, ok := <-ch; fmt.Println(v, ok)`,
	`var wg sync.WaitGroup; var mu sync.Mutex; n := 0; for i := range 5 { wg.Add(1); go func() { defer wg.Done(); mu.Lock(); defer mu.Unlock(); n += i }() }; wg.Wait(); fmt.Println(n)`,
	`ch := make(chan string, 1); select { case v := <-ch: fmt.Println(v); default: fmt.Println("empty") }; ch <- $s; select { case v, ok := <-ch: fmt.Println(v, ok); default: fmt.Println("empty") }`,
	`done := make(chan bool); res := make(chan int); go func() { s := 0; for v := range res { s += v }; fmt.Println(s); done <- true }(); for _, v := range $x { res <- v }; close(res); <-done`,
	// Errors and interfaces.
	`e := errors.New($s); f := fmt.Errorf("wrap: %w", e); fmt.Println(errors.Is(f, e), f, errors.Unwrap(f) == e); var err error; fmt.Println(err == nil)`,
	`var s Shape; fmt.Println(s == nil); s = NewNum($i); n, ok := s.(Num); fmt.Println(n, ok); _, ok = s.(P); fmt.Println(ok); var a any = s; _, ok = a.(Shape); fmt.Println(ok)`,
	`var a, b any = $i, $i; fmt.Println(a == b, a != nil)`,
	`var x any = $p; if p, ok := x.(P); ok { p.A++; fmt.Println(p) }; fmt.Println(x)`,
	// Shadowing.
	`x := $i; if x := x + 1; x > 3 { x := "s"; fmt.Println(x) } else { fmt.Println(x) }; fmt.Println(x); { x, y := x*2, 1; fmt.Println(x, y) }; fmt.Println(x)`,
	`s, n := $s, $i; len := func(s string) int { return 42 }; max := n; fmt.Println(len(s), max)`,
	`type P int; var p P = 3; fmt.Println(p + 1); type int string; var s int = "shadow"; fmt.Println(s)`,
	`err := errors.New("outer"); func() { _, err := strconv.Atoi("12"); fmt.Println(err) }(); n, err := strconv.Atoi($s); fmt.Println(n, err)`,
	`true := false; if !true { fmt.Println("odd") }; nil := 3; fmt.Println(nil)`,
}
