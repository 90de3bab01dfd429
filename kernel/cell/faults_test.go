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

// TestCallersAreAtTheirCalls looks at the places of all frames.
func TestCallersAreAtTheirCalls(t *testing.T) {
	e := newEvaluator(t)
	runs(t, e, `import ("errors"; "fmt"; "strings")
type T struct{ n int }
func (t *T) Get(xs []int) int {
	fmt.Sprint(t.n)
	return xs[first(xs)]
}
func first(xs []int) int {
	n := 7
	return n
}
func down(n int) int {
	k := 1
	if n == 0 {
		panic(errors.New("bottom"))
	}
	for i := range 3 {
		k += i
		k += down(n - 1)
	}
	return k
}
func twice(f func() int) int {
	defer fmt.Sprint("done")
	a := 1
	return a + f()
}
func repeat(s string, n int) string {
	s += "b"
	return strings.Repeat(s, n)
}
func saved() (err error) {
	defer func() { err = fmt.Errorf("%v", recover()) }()
	down(2)
	return nil
}
func wait(ok func() bool) {
	n := 0
	for ok() {
		n++
		fmt.Sprint(n)
	}
}
var xs = []int{1, 2}
var x any = 3`)
	for _, c := range []struct{ src, frames string }{
		{"y := 1\ny++\nif y > 1 {\n\tpanic(\"here\")\n}", "cell 2:4:2 cell 2"},
		{"y := 2\n_ = y\ns := x.(string)\n_ = s", "cell 2:3:8 cell 2"},
		{"_ = 1\n(&T{}).Get(xs)", "cell 1:5:12 T.Get|cell 2:2:8 cell 2"},
		{"_ = 1\ndown(1)", "cell 1:14:3 down|cell 1:18:8 down|cell 2:2:1 cell 2"},
		{"f := func() int {\n\tdown(0)\n\treturn 1\n}\ntwice(f)", "cell 1:14:3 down|cell 2:2:2 cell 2.func|cell 1:25:13 twice|cell 2:5:1 cell 2"},
		{"_ = saved()\nrepeat(\"a\", -1)", "cell 1:29:17 repeat|cell 2:2:1 cell 2"},
		{"n := 0\nwait(func() bool { n++; if n > 2 { panic(n) }; return true })", "cell 2:2:36 cell 2.func|cell 1:38:6 wait|cell 2:2:1 cell 2"},
		{"var nobody *T\nfor range 2 {\n\txs[1]++\n\tnobody.n++\n}", "cell 2:4:9 cell 2"},
		{"func() {\n\tfirst(xs)\n\tvar p *T\n\tfor i := range 2 {\n\t\txs[0] = i\n\t\tp.n++\n\t}\n}()", "cell 2:6:3 cell 2.func|cell 2:1:1 cell 2"},
	} {
		_, err := e.Run(t.Context(), "cell 2", c.src)
		var p *Panic
		if !errors.As(err, &p) {
			t.Errorf("%q: %v", c.src, err)
			continue
		}
		var frames []string
		for _, f := range p.Frames {
			frames = append(frames, f.Pos.String()+" "+f.Func)
		}
		if got := strings.Join(frames, "|"); got != c.frames {
			t.Errorf("%q: want %s, got %s", c.src, c.frames, got)
		}
	}
	_, err := e.Run(t.Context(), "cell 2", "down(400)")
	var p *Panic
	if !errors.As(err, &p) || len(p.Frames) > 2*keptFrames || len(p.Frames)+p.Elided != 402 || !strings.Contains(err.Error(), " more calls ...") {
		t.Errorf("of 402 frames %d are kept and %d counted", len(p.Frames), p.Elided)
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
