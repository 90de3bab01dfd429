package recipe

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

const kernelspec = `"metadata":{"kernelspec":{"name":"banter","display_name":"Banter (Go)","language":"go"}}`

func TestParseNotebook(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no JSON", "%PDF", "it is not JSON: a notebook is a JSON object"},
		{"JSON of another kind", `{"a":1}`, "no nbformat"},
		{"a list", `[]`, "JSON, but not an object"},
		{"nothing", " \n", "the file is empty"},
		{"half a download", "{\"nbformat\":4,\n\"cells\":[{", "line 2: it is no longer JSON (unexpected end"},
		{"cells of another type", "{\"nbformat\":4,\n\"cells\":{}}", "line 2: cells is of the wrong type (object)"},
		{"a format that is a text", `{"nbformat":"4"}`, "line 1: nbformat is of the wrong type (string)"},
		{"an old format", `{"nbformat":3,"worksheets":[]}`, "nbformat 3"},
		{"Python", `{"nbformat":4,"metadata":{"kernelspec":{"name":"python3","display_name":"Python 3","language":"python"}},"cells":[]}`, "not of Banter"},
		{"another Go", `{"nbformat":4,"metadata":{"kernelspec":{"name":"gonb","language":"go"}},"cells":[]}`, "not of Banter"},
		{"a source that is a number", `{"nbformat":4,` + kernelspec + `,"cells":[{"cell_type":"code","source":7}]}`, "of the wrong type (number)"},
		{"too much text", `{"nbformat":4,` + kernelspec + `,"cells":[{"cell_type":"code","source":"` + strings.Repeat("x", maxCellBytes+1) + `"}]}`, "more text"},
		{"too many cells", `{"nbformat":4,` + kernelspec + `,"cells":[` + strings.Repeat(`{},`, maxCells) + `{}]}`, "cells"},
	} {
		if _, err := parseNotebook([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "struct") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	nb, err := parseNotebook([]byte(`{"nbformat":4,` + kernelspec + `,"cells":[
		{"cell_type":"code","source":["a := 1\r\n","b"],"execution_count":3,"outputs":[{"x":[[[]]]}]},
		{"cell_type":"markdown","source":"text"},{"cell_type":"raw","source":""},{"cell_type":"code","source":[],"execution_count":-5}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Cell{{Kind: Code, Source: "a := 1\nb", Run: 3}, {Kind: Markdown, Source: "text"}, {Kind: "raw"}, {Kind: Code}}
	for i, c := range nb.Cells {
		if !reflect.DeepEqual(c, want[i]) {
			t.Errorf("cell %d: %+v", i+1, c)
		}
	}
}

func TestWhatWasChosenIsReadFromOutputs(t *testing.T) {
	nb, err := parseNotebook([]byte(`{"nbformat":4,` + kernelspec + `,"cells":[{"cell_type":"code","source":"","outputs":[
		{"data":{"text/html":"<p>","application/vnd.banter.explore+json":{"explore":"a"}}},
		{"data":{"application/vnd.banter.threshold+json":{"explore":"a","confidence":0.355}}},
		{"data":{"application/vnd.banter.threshold+json":{"explore":"a","confidence":7}}},
		{"data":{"application/vnd.banter.threshold+json":"text"}},{"data":{"application/vnd.banter.explore+json":[1]}},{"output_type":"stream","text":"x"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if c := nb.Cells[0]; !reflect.DeepEqual(c.Explores, []string{"a"}) || !reflect.DeepEqual(c.Chosen, []Choice{{"a", 0.355}}) {
		t.Errorf("%+v", c)
	}
}

func TestNotebookRoundTrip(t *testing.T) {
	nb := &Notebook{[]Cell{{Kind: Markdown, Source: "# <Title> & more\n\ntext"}, {Kind: Code, Source: "a := 1\nb := \"\u2028\"", Run: 2}, {Kind: Code}}}
	var b bytes.Buffer
	if err := nb.Write(&b); err != nil {
		t.Fatal(err)
	}
	back, err := parseNotebook(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range back.Cells {
		if !reflect.DeepEqual(c, nb.Cells[i]) {
			t.Errorf("cell %d: %+v, want %+v", i+1, c, nb.Cells[i])
		}
	}
}

// FuzzFreeze: whatever stands in a notebook, freeze refuses it or makes a program that compiles and is stable from then
// on.
func FuzzFreeze(f *testing.F) {
	f.Add("x := 1\nOutput(x)", "func f() int { return y }", "y := 2; Output(f())")
	f.Add("type Params struct{ A int }\np := Params{1}", "// c\nOutput(p.A) // d", "/* e */")
	f.Add("import \"fmt\"\nfmt.Println(1", "}{", "package main\nfunc main() {}")
	f.Add("var a, b = 1, 2\na, c := b, a", "for a < 3 { a++ }", "Output(a, c)")
	f.Add("s := []int{1}\nt := s", "t[0] = 2", "Output(s)")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if len(a)+len(b)+len(c) > 2000 {
			t.Skip()
		}
		nb := &Notebook{[]Cell{{Kind: Markdown, Source: a}, {Kind: Code, Source: a}, {Kind: Markdown, Source: b}, {Kind: Code, Source: b}, {Kind: Code, Source: c}}}
		frozen, err := Freeze(nb, FreezeOptions{})
		if err != nil {
			return
		}
		if err := check("frozen.go", frozen.Source); err != nil {
			t.Fatalf("%v\n%s", err, frozen.Source)
		}
		if _, err := thaw("frozen.go", frozen.Source, ThawOptions{}); err != nil {
			t.Fatalf("%v\n%s", err, frozen.Source)
		}
	})
}

// FuzzNotebook: whatever is in a file, it is refused or read.
func FuzzNotebook(f *testing.F) {
	f.Add([]byte(`{"nbformat":4,` + kernelspec + `,"cells":[{"cell_type":"code","source":["a"],"execution_count":1}]}`))
	f.Add([]byte(`{"nbformat":4,"cells":null}`))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseNotebook(b) })
}

// FuzzLock: whatever is in a file, it is refused, or a lock that a run can be held against and that can be drawn.
func FuzzLock(f *testing.F) {
	f.Add([]byte(`{"format":"banter-lock/1","steps":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := parseLock(b); err == nil {
			if err := l.Verify(l); err != nil {
				t.Errorf("it is not what it says itself: %v", err)
			}
			Graph(l)
			Compare(l, l, false)
		}
	})
}
