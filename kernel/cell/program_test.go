package cell

import (
	"bytes"
	"errors"
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
