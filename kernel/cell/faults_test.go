package cell

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// TestFaultsAreAtTheirStatement looks at the place that a fault is said to be at.
func TestFaultsAreAtTheirStatement(t *testing.T) {
	e := newEvaluator(t)
	runs(t, e, "type T struct{ n int }\nfunc get(xs []int, i int) int {\n\ty := 1\n\ty++\n\treturn y + xs[i]\n}\nxs := []int{1, 2, 3}\nvar m map[string]int\nvar p *T\nzero := 0")
	for _, c := range []struct{ src, at, text string }{
		{"xs[0] = 1\nget(xs, 5)", "cell 1:5:15", "index out of range [5] with length 3"},
		{"k := 9\n\nxs[1] = xs[k]", "cell 2:3:11", "index out of range [9] with length 3"},
		{"xs[0]++\nm[\"a\"] = 1", "cell 2:2:1", "assignment to entry in nil map"},
		{"xs[0]++\nxs[0]++\n  p.n = 3", "cell 2:3:5", "nil pointer dereference"},
		{"xs[0]++\nxs[0] = 7 % zero", "cell 2:2:11", "integer divide by zero"},
		{"k := 1\nxs[k:zero]", "cell 2:2:3", "slice bounds out of range [1:0]"},
		{"for i := 0; i < 9; i++ {\n\txs[i]++\n}", "cell 2:2:4", "index out of range [3] with length 3"},
	} {
		_, err := e.Run(t.Context(), "cell 2", c.src)
		var p *Panic
		if !errors.As(err, &p) || len(p.Frames) == 0 || p.Frames[0].Pos.String() != c.at || !strings.Contains(p.Text, c.text) {
			t.Errorf("%q: want %s at %s, got %v", c.src, c.text, c.at, err)
		}
	}
}

// BenchmarkLoops measures loops with operations that can fault.
func BenchmarkLoops(b *testing.B) {
	for name, body := range map[string]string{
		"sum":    "n := 0; _ = n\nfor i := 0; i < 20000; i++ { n += xs[i] }",
		"sieve":  "for i := 2; i < 20000; i++ { if xs[i] == 0 { for j := 2 * i; j < 20000; j += i { xs[j] = 1 } } }",
		"count":  "n := 0; _ = n\nfor i := 0; i < 20000; i++ { n += i }",
		"struct": "for i := 0; i < 20000; i++ { p.n += i }",
	} {
		b.Run(name, func(b *testing.B) {
			e, err := New(Options{Stdout: io.Discard})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := e.Run(b.Context(), "cell 1", "type T struct{ n int }\np := &T{}\nvar all = make([]int, 20000)\nfunc loop(xs []int, p *T) {\n"+body+"\n}"); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := e.Run(b.Context(), "cell 2", "loop(all, p)"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
