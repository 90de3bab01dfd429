package cell

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRunProgramTellsWhereItPanicked(t *testing.T) {
	src := `package main

import "fmt"

type T struct{ n int }

func (t T) Twice() int { return 2 * t.n }

var base = T{20}

func pick(xs []int, i int) int {
	return xs[i]
}

func main() {
	fmt.Println(base.Twice() + 2)
	pick(nil, 3)
}
`
	var out bytes.Buffer
	err := RunProgram(t.Context(), "recipe.go", []byte(src), Options{Stdout: &out})
	if out.String() != "42\n" {
		t.Errorf("printed %q", out.String())
	}
	var p *Panic
	if !errors.As(err, &p) || len(p.Frames) < 2 || p.Frames[0].Pos.Filename != "recipe.go" || p.Frames[0].Pos.Line != 12 || p.Frames[0].Func != "pick" {
		t.Fatalf("want a panic in pick at recipe.go:12, got %v", err)
	}
	if !strings.Contains(err.Error(), "return xs[i]") || !strings.Contains(err.Error(), "^") {
		t.Errorf("no source line and caret in\n%v", err)
	}
}

func TestRefusalsAreAtTheirPlace(t *testing.T) {
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Run(t.Context(), "cell 2", "a := 1\nb := a + zz")
	if err == nil || !strings.HasPrefix(err.Error(), "cell 2:2:10: undefined: zz\n") {
		t.Fatalf("got %v", err)
	}
}

func TestRunProgramWithBlankDeclarations(t *testing.T) {
	src := `package main

import "fmt"

type Shape interface{ Area() int }

type Square struct{ side int }

func (s Square) Area() int { return s.side * s.side }

var _ Shape = Square{}
var _ Shape = nil
var _ = fmt.Sprint(side)
var _, side = 1, 3

func _() { fmt.Println("never") }

func init() { fmt.Println("once") }

func main() { fmt.Println(Square{side}.Area()) }
`
	var out bytes.Buffer
	if err := RunProgram(t.Context(), "recipe.go", []byte(src), Options{Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if out.String() != "once\n9\n" {
		t.Errorf("printed %q", out.String())
	}
}

// TestImportsUnderOtherNames: an import may wait for the cell that uses it, and variables keep a type of a package whatever
// its name is, also where the types beside it are declared anew.
func TestImportsUnderOtherNames(t *testing.T) {
	for _, c := range []struct {
		cells []string
		want  string
	}{
		{[]string{"import str \"strings\"", "str.ToUpper(\"a\")"}, "A"},
		{[]string{"import clock \"time\"\ntype T struct{ N int }", "m := map[T]clock.Duration{{1}: 5}", "func (t T) Twice() int { return 2 * t.N }",
			"for k, d := range m {\n\tprintln(k.Twice(), int(d))\n}"}, "2 5"},
		{[]string{"type T struct{ N int }", "import \"os\"\nfunc of(T) os.FileMode { return 7 }", "f := map[T]func(T) os.FileMode{{1}: of}",
			"os := 1", "func (t T) Twice() int { return 2 * t.N }", "m := f[T{1}](T{1})\nprintln(int(m), os)"}, "7 1"},
	} {
		printed, value, err := play(t, c.cells)
		if err != nil || strings.TrimSpace(printed+value) != c.want {
			t.Errorf("%q: printed %q, value %q, %v; want %q", c.cells, printed, value, err, c.want)
		}
	}
}

// TestFunctionsFollowNames: a function sees what a name means now, also where that is of another kind or type than before.
func TestFunctionsFollowNames(t *testing.T) {
	for _, cells := range [][]string{
		{"const A = 0", "func g() int { return A }", "A := 1", "g()"},
		{"const A, B = 0, -1", "func g() int { return A + B }", "A := 2", "g()"},
		{"x := 0", "func g() int { return x }", "const x = 1", "g()"},
		{"x := \"\"", "func g[T any](T) any { return x }", "x := 1", "g(0)"},
		{"x := 0", "func g() int { return x }", "func h() int { return g() }", "x = 1", "h()"},
	} {
		if _, value, err := play(t, cells); err != nil || value != "1" {
			t.Errorf("%q: %q, %v", cells, value, err)
		}
	}
}

// TestNamesThatChangeTheirKind: what names a package or a type that is a variable by now is left out, with a note, and all
// other cells go on.
func TestNamesThatChangeTheirKind(t *testing.T) {
	for _, cells := range [][]string{
		{"import \"os\"\nfunc of() os.FileMode { return 7 }", "func g() int { return 1 }", "os := 1", "func g() int { return os }", "println(g())"},
		{"type T struct{ N int }\nfunc (T) M() {}", "type U struct{ T T }\nfunc (u U) N() int { return u.T.N }", "func of(T) {}\nfunc g() int { return 1 }", "T := 1", "func g() int { return T }", "println(g())"},
		{"const (\n\tA = iota\n\tB\n)", "func g() int { return 0 }", "A := 0", "func g() int { return A + B }", "println(g())"},
		{"type T int", "const C T = 2\nfunc g() int { return 1 }", "T := 1", "func g() int { return T }", "println(g())"},
	} {
		var out bytes.Buffer
		e, err := New(Options{Stdout: &out, Stderr: &out})
		if err != nil {
			t.Fatal(err)
		}
		notes := ""
		for i, src := range cells {
			r, err := e.Run(t.Context(), fmt.Sprintf("cell %d", i+1), src)
			if err != nil {
				t.Fatalf("%s: %v", src, err)
			}
			notes += strings.Join(r.Notes, "\n")
		}
		if out.String() != "1\n" || !strings.Contains(notes, "no longer compiles") && !strings.HasPrefix(cells[0], "const") {
			t.Errorf("%q: printed %q, with the notes %s", cells, out.String(), notes)
		}
	}
}

func TestFramesHaveTheNamesOfTheirFunctions(t *testing.T) {
	_, _, err := play(t, []string{"func my__own() { panic(1) }\nfunc of[T any](t T) { my__own() }", "of(2)"})
	var p *Panic
	if !errors.As(err, &p) || len(p.Frames) < 2 || p.Frames[0].Func != "my__own" || p.Frames[1].Func != "of" {
		t.Errorf("got %v", err)
	}
}
