package session

import (
	"encoding/base64"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"banter/dsl"
	"banter/kernel/cell"
)

func TestDepsAreDrawn(t *testing.T) {
	e, err := cell.New(cell.Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	c := &cells{Evaluator: e}
	run := func(name, src string) {
		t.Helper()
		if _, err := e.Run(t.Context(), name, src); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Deps().(drawn).String(); got != "no cell uses anything of another" {
		t.Error(got)
	}
	run("cell 1", "type point struct{ x, y int }\nfunc double(n int) int { return 2 * n }")
	run("cell 2", "a := 1")
	run("cell 3", "p := point{double(a), 2}")
	run("cell 4", "p.x")
	d := c.Deps().(drawn)
	for _, want := range []string{"cell 3 uses double, point of cell 1", "cell 3 uses a of cell 2", "cell 4 uses p of cell 3"} {
		if !strings.Contains(d.String(), want) {
			t.Errorf("%q is missing in\n%s", want, d)
		}
	}
	run("cell 5", "a := 2")
	d = c.Deps().(drawn)
	if !strings.Contains(d.String(), "cell 3 is stale: a was declared anew by cell 5") || !strings.Contains(d.String(), "cell 4 is stale") {
		t.Errorf("what is stale is not said:\n%s", d)
	}
	forms := d.MimeBundle()
	_, data, ok := strings.Cut(forms["text/html"].(string), "base64,")
	data, _, _ = strings.Cut(data, `"`)
	svg, err := base64.StdEncoding.DecodeString(data)
	if !ok || err != nil {
		t.Fatal(err)
	}
	for dec := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the drawing is no SVG: %v", err)
		}
	}
	for _, want := range []string{"cell 3 (stale)", "double, point", ">cell 2<"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("%q is not drawn", want)
		}
	}
}

// A cell that was edited and run again is the cell that it was.
func TestDepsOfAnEditedCell(t *testing.T) {
	k := startCells(t)
	for _, c := range [][2]string{{"A", "a := 1"}, {"B", "b := a + 1"}, {"A", "a := 2; _ = a"}, {"B", "b := a + 2"}} {
		k.cell = c[0]
		k.ok(c[1])
	}
	k.cell = "C"
	out := k.ok("Deps()")
	if got := data(t, out[len(out)-1])["text/plain"]; got != "cell 4 uses a of cell 3" {
		t.Error(got)
	}
}

func TestCallsThatAreLeftOutAreCounted(t *testing.T) {
	f := &stepFault{&dsl.Error{Verb: "load", Err: io.EOF}, &cell.Panic{Frames: []cell.Frame{{Func: "a"}, {Func: "b"}}, Elided: 7, ElidedAfter: 1}}
	if got := strings.Join(f.Traceback()[1:], "\n"); got != "-: in a\n... 7 more calls ...\n-: in b" {
		t.Errorf("%q", got)
	}
}
