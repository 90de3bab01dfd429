package cell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"banter/dsl"
	"banter/stdlib/align"
)

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(Options{Prelude: []string{"banter/dsl"}, Stdout: io.Discard}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTrivialCell(b *testing.B) {
	e, err := New(Options{Stdout: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n++
		if _, err := e.Run(b.Context(), fmt.Sprintf("cell %d", n), "1+1"); err != nil {
			b.Fatal(err)
		}
	}
}

// passed runs a cell that ends with a call of a verb's stand-in and returns what the verb got.
func passed(t testing.TB, setup, lit string) (dsl.Predicate, []string) {
	t.Helper()
	e, err := New(Options{Prelude: []string{"banter/dsl"}, Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	var got dsl.Predicate
	e.support.observe = func(p dsl.Predicate) { got = p }
	if setup != "" {
		if _, err := e.Run(t.Context(), "cell 1", setup); err != nil {
			t.Fatal(err)
		}
	}
	r, err := e.Run(t.Context(), "cell 2", "Filter(Pairs{}, "+lit+")")
	if got.Keep == nil {
		t.Fatalf("the verb got no predicate: %v", err)
	}
	return got, r.Notes
}

func rows(n int) []align.Pair {
	list := make([]align.Pair, n)
	for i := range list {
		list[i] = align.Pair{Confidence: float64(i%1000) / 1000, Response: strings.Repeat("x", i%7), FirstWord: i % 13, Delay: time.Duration(i%9) * time.Second}
	}
	return list
}

func BenchmarkPredicate1e6(b *testing.B) {
	p, _ := passed(b, "t := 0.5", "func(p Pair) bool { return p.Confidence > t && len(p.Response) > 2 }")
	list := rows(1_000_000)
	keep := make([]bool, len(list))
	b.Run("at once", func(b *testing.B) {
		for b.Loop() {
			p.KeepAll(list, keep)
		}
	})
	b.Run("one by one", func(b *testing.B) {
		for b.Loop() {
			for i := range list {
				keep[i] = p.Keep(&list[i])
			}
		}
	})
}

func TestPredicateEqualsCompiledGo(t *testing.T) {
	list := rows(5000)
	for _, c := range []struct {
		setup, lit string
		fast       bool
		want       func(p align.Pair) bool
	}{
		{"t := 0.5", "func(p Pair) bool { return p.Confidence > t && len(p.Response) > 2 }", true, func(p align.Pair) bool { return p.Confidence > 0.5 && len(p.Response) > 2 }},
		{"", "func(p Pair) bool { return p.FirstWord%3 == 1 || !(p.Confidence*2 < 1) }", true, func(p align.Pair) bool { return p.FirstWord%3 == 1 || !(p.Confidence*2 < 1) }},
		{"", "func(p Pair) bool { return p.Delay.Seconds() >= 4 && p.Response != \"xx\" }", true, func(p align.Pair) bool { return p.Delay.Seconds() >= 4 && p.Response != "xx" }},
		{"import \"strings\"\ns := \"xxx\"", "func(p Pair) bool { return strings.Contains(p.Response, s) }", true, func(p align.Pair) bool { return strings.Contains(p.Response, "xxx") }},
		{"", "func(p Pair) bool { n := 0; for i := range p.FirstWord { n += i }; return n > 9 }", false, func(p align.Pair) bool { return p.FirstWord*(p.FirstWord-1)/2 > 9 }},
		{"func good(s string) bool { return len(s) == 4 }", "func(p Pair) bool { return good(p.Response) }", false, func(p align.Pair) bool { return len(p.Response) == 4 }},
	} {
		p, notes := passed(t, c.setup, c.lit)
		if fast := len(notes) == 0; fast != c.fast {
			t.Errorf("%s: notes %v", c.lit, notes)
		}
		if p.Uncacheable != "" {
			t.Errorf("%s: uncacheable: %s", c.lit, p.Uncacheable)
		}
		if p.Source == "" {
			t.Errorf("%s: no source", c.lit)
		}
		for i := range list {
			if got, want := p.Keep(&list[i]), c.want(list[i]); got != want {
				t.Fatalf("%s: %v, want %v for %+v", c.lit, got, want, list[i])
			}
		}
	}
}

func TestPredicateIdentity(t *testing.T) {
	same := func(setup1, lit1, setup2, lit2 string) bool {
		a, _ := passed(t, setup1, lit1)
		b, _ := passed(t, setup2, lit2)
		return a.Source == b.Source && fmt.Sprint(a.Captures) == fmt.Sprint(b.Captures)
	}
	lit := "func(p Pair) bool { return p.Confidence > t }"
	if !same("t := 0.5", lit, "t := 0.25 * 2", "func(p Pair) bool {\n\t// a comment\n\treturn p.Confidence>t\n}") {
		t.Error("layout and comments change the identity")
	}
	if same("t := 0.5", lit, "t := 0.6", lit) {
		t.Error("a captured value does not change the identity")
	}
	if same("func ok(x float64) bool { return x > 1 }", "func(p Pair) bool { return ok(p.Confidence) }", "func ok(x float64) bool { return x > 2 }", "func(p Pair) bool { return ok(p.Confidence) }") {
		t.Error("a function that the predicate reaches does not change the identity")
	}
	if p, _ := passed(t, "f := func() bool { return true }", "func(p Pair) bool { return f() }"); p.Uncacheable == "" {
		t.Error("a captured function can be hashed")
	}
}

func TestInterruptKeepsClosures(t *testing.T) {
	e, err := New(Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Run(t.Context(), "cell 1", "mk := func() func() int { n := 0; return func() int { n++; return n } }\nf := mk()\nf()"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := e.Run(ctx, "cell 2", "for { f() }"); !errors.Is(err, context.Canceled) {
		t.Fatalf("an endless loop ended with %v", err)
	}
	r, err := e.Run(t.Context(), "cell 3", "f() > 1")
	if err != nil || !r.Value.Bool() {
		t.Fatalf("the closure after an interrupt: %v, %v", r.Value, err)
	}
}

func TestRecursionIsBounded(t *testing.T) {
	e, err := New(Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Run(t.Context(), "cell 1", "func f(n int) int { return f(n+1) }\nf(0)")
	var p *Panic
	if !errors.As(err, &p) || !strings.Contains(p.Text, "stack overflow") {
		t.Fatalf("endless recursion: %v", err)
	}
}

// TestGrowth measures what a thousand filter cells leave behind.
func TestGrowth(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand cells take seconds")
	}
	e, err := New(Options{Prelude: []string{"banter/dsl"}, Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	cell := func(i int) {
		src := fmt.Sprintf("keep%d := func(p Pair) bool { return p.Confidence > %g && len(p.Response) > %d }", i%10, float64(i)/1000, i%5)
		if _, err := e.Run(t.Context(), fmt.Sprintf("cell %d", i), src); err != nil {
			t.Fatal(err)
		}
	}
	cell(0)
	before := heap()
	for i := range 1000 {
		cell(i)
	}
	grown := heap() - before
	t.Logf("1000 cells grew the heap by %.1f MB", grown)
	if grown > 30 {
		t.Errorf("1000 cells grew the heap by %.1f MB, over 30", grown)
	}
	runtime.KeepAlive(e)
}
