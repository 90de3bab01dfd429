package cell

import (
	"errors"
	"fmt"
	"go/token"
	"io"
	"runtime"
	"strings"
	"testing"
)

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func quiet(t *testing.T) (e *Evaluator, run func(src string) Result) {
	t.Helper()
	e, err := New(Options{Prelude: []string{"banter/dsl"}, Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	return e, func(src string) Result {
		t.Helper()
		n++
		r, err := e.Run(t.Context(), fmt.Sprintf("cell %d", n), src)
		if err != nil {
			t.Fatalf("%s\n%v", src, err)
		}
		return r
	}
}

func TestCellsLeaveLittleBehind(t *testing.T) {
	e, run := quiet(t)
	many := func(n int) {
		for range n {
			run("list := []int{3, 1, 2}\nsum := 0\nfor _, x := range list {\n\tsum += func(y int) int { return y * y }(x)\n}\nsum")
		}
	}
	many(2 * keptCells)
	before := heap()
	const cells = 200
	many(cells)
	if grown := heap() - before; grown > cells*4096 {
		t.Errorf("%d cells left %d bytes each", cells, grown/cells)
	}
	if len(e.trail) > keptCells+2 || len(e.texts) > 3*keptCells || len(e.sources) > keptCells+2 {
		t.Errorf("the texts of %d cells are kept, %d and %d", len(e.trail), len(e.texts), len(e.sources))
	}
}

func TestAShownValueIsGivenBack(t *testing.T) {
	_, run := quiet(t)
	run("1")
	before := heap()
	for range 4 {
		if r := run("make([]byte, 8<<20)"); r.Value.Len() != 8<<20 {
			t.Fatal("the value is lost")
		}
	}
	if grown := heap() - before; grown > 9<<20 {
		t.Errorf("four values of 8 MiB that only were shown hold %d MiB", grown>>20)
	}
}

func TestOldCellsAreRemembered(t *testing.T) {
	e, run := quiet(t)
	run("import \"strings\"\n\nfunc deep(list []int) int {\n\treturn list[7] + len(strings.ToUpper(\"x\"))\n}\ntype pile struct{ n int }\nfunc (p pile) top() int { return 10 / p.n }")
	run("limit := 0\nlater := func() int {\n\treturn 1 / limit\n}\nconst few = 3")
	for range 3 * keptCells {
		run("x := 1\nx")
	}
	for src, at := range map[string]string{"deep(nil)": "cell 1:", "pile{}.top()": "cell 1:7", "later()": "cell 2:"} {
		_, err := e.Run(t.Context(), "the last cell", src)
		var p *Panic
		if !errors.As(err, &p) {
			t.Fatalf("%s: %v", src, err)
		}
		found := false
		for _, f := range p.Frames {
			found = found || strings.HasPrefix(f.Pos.String(), at) && f.SourceLine != ""
		}
		if !found {
			t.Errorf("%s: its panic is not at %s, but at %v", src, at, p.Frames)
		}
	}
	// Declared anew, with all that uses it.
	run("type pile struct{ n, m int }\nfunc (p pile) top() int { return few + len(strings.ToUpper(\"abc\")) }")
	if got := run("pile{}.top()").Value.Int(); got != 6 {
		t.Errorf("the new method gives %d", got)
	}
}

// TestALongSession runs cells as they come after half a million others, and one that is longer than a page of line numbers.
func TestALongSession(t *testing.T) {
	e, run := quiet(t)
	for n := range 500_000 {
		e.lineNumber(token.Position{Filename: fmt.Sprintf("earlier cell %d", n), Line: 1})
	}
	run("xs := []int{1, 2, 3}")
	_, err := e.Run(t.Context(), "long", strings.Repeat("\n", 2*linesPerPage+7)+"_ = xs[len(xs)]")
	var p *Panic
	if !errors.As(err, &p) || len(p.Frames) == 0 {
		t.Fatalf("%v", err)
	}
	if at := p.Frames[0].Pos; at.Filename != "long" || at.Line != 2*linesPerPage+8 {
		t.Errorf("the fault is told of %v", at)
	}
}
