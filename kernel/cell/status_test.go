package cell

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStatus(t *testing.T) {
	e := newEvaluator(t)
	for _, c := range []struct{ src, status, indent string }{
		{"1 + 1", "complete", ""},
		{"", "complete", ""},
		{"for i := range 3 {", "incomplete", "\t"},
		{"func f() {\n\tif true {", "incomplete", "\t\t"},
		{"x := f(1,", "incomplete", "\t"},
		{"x :=", "incomplete", "\t"},
		{"s := `abc", "incomplete", ""},
		{"/* open", "incomplete", ""},
		{"s := \"abc", "invalid", ""},
		{"}", "invalid", ""},
		{"i++", "complete", ""},
	} {
		if status, indent := e.Status(c.src); status != c.status || indent != c.indent {
			t.Errorf("%q: %s with indent %q, want %s with %q", c.src, status, indent, c.status, c.indent)
		}
	}
}

func newEvaluator(t testing.TB, prelude ...string) *Evaluator {
	t.Helper()
	e, err := New(Options{Prelude: prelude, Stdout: io.Discard, Stderr: io.Discard, Stdin: strings.NewReader("")})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// runs runs cells called "cell 1", "cell 2" and so on.
func runs(t testing.TB, e *Evaluator, cells ...string) Result {
	t.Helper()
	var r Result
	for i, src := range cells {
		var err error
		if r, err = e.Run(t.Context(), "cell "+string(rune('1'+i)), src); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestDeps(t *testing.T) {
	e := newEvaluator(t)
	runs(t, e, "a := 1", "b := a + 1", "c := b * 2", "d := 5")
	g := e.Deps()
	want := []Edge{{From: "cell 1", To: "cell 2", Names: []string{"a"}}, {From: "cell 2", To: "cell 3", Names: []string{"b"}}}
	if !reflect.DeepEqual(g.Edges, want) || len(g.Stale) != 0 || !slices.Equal(g.Cells, []string{"cell 1", "cell 2", "cell 3", "cell 4"}) {
		t.Fatalf("%+v", g)
	}
	if _, err := e.Run(t.Context(), "cell 1", "a := 10"); err != nil {
		t.Fatal(err)
	}
	g = e.Deps()
	if !strings.Contains(g.Stale["cell 2"], "a was declared anew by cell 1") || g.Stale["cell 3"] == "" || g.Stale["cell 4"] != "" {
		t.Fatalf("stale: %v", g.Stale)
	}
	r, err := e.Run(t.Context(), "cell 5", "c + 1")
	if err != nil || len(r.Notes) == 0 || !strings.Contains(r.Notes[0], "cell 3, which is stale") {
		t.Fatalf("%v, %v", r.Notes, err)
	}
}

// TestDepsOfACellRunAgain runs cells again, which front-ends number anew.
func TestDepsOfACellRunAgain(t *testing.T) {
	e := newEvaluator(t)
	runs(t, e, "a := 1", "b := a + 1", "a := 1", "b := a + 1", "b * a")
	g := e.Deps()
	want := []Edge{{From: "cell 3", To: "cell 4", Names: []string{"a"}}, {From: "cell 3", To: "cell 5", Names: []string{"a"}}, {From: "cell 4", To: "cell 5", Names: []string{"b"}}}
	if !slices.Equal(g.Cells, []string{"cell 3", "cell 4", "cell 5"}) || !reflect.DeepEqual(g.Edges, want) || len(g.Stale) != 0 {
		t.Errorf("%+v", g)
	}
	runs(t, e, "a := 1") // is cell 1 of this call
	if g = e.Deps(); g.Stale["cell 4"] == "" || slices.Contains(g.Cells, "cell 3") {
		t.Errorf("%+v", g)
	}
}

// TestDepsOfAnEditedCell runs cells whose front-end says which they are.
func TestDepsOfAnEditedCell(t *testing.T) {
	e := newEvaluator(t)
	for i, c := range []struct{ id, src string }{{"A", "a := 1"}, {"B", "b := a + 1"}, {"C", "b := a + 1"}, {"A", "a := 2; unused := 3"}, {"B", "b := a + 2"}} {
		if _, err := e.Run(WithOrigin(t.Context(), c.id), fmt.Sprint("cell ", i+1), c.src); err != nil {
			t.Fatal(err)
		}
	}
	g := e.Deps()
	want := []Edge{{From: "cell 4", To: "cell 3", Names: []string{"a"}}, {From: "cell 4", To: "cell 5", Names: []string{"a"}}}
	if !slices.Equal(g.Cells, []string{"cell 3", "cell 4", "cell 5"}) || !reflect.DeepEqual(g.Edges, want) || !strings.Contains(g.Stale["cell 3"], "a was declared anew by cell 4") {
		t.Errorf("%+v", g)
	}
}

func TestDefine(t *testing.T) {
	e := newEvaluator(t)
	if err := e.Define("threshold", 0.25); err != nil {
		t.Fatal(err)
	}
	if r := runs(t, e, "threshold * 2"); r.Value.Float() != 0.5 {
		t.Fatalf("got %v", r.Value)
	}
	if r := runs(t, e, "f := func() float64 { return threshold }", "f()"); r.Value.Float() != 0.25 {
		t.Fatalf("got %v", r.Value)
	}
	if err := e.Define("threshold", 0.75); err != nil {
		t.Fatal(err)
	}
	if r := runs(t, e, "f()"); r.Value.Float() != 0.75 {
		t.Fatalf("a closure sees %v after it was defined anew", r.Value)
	}
	for name, value := range map[string]any{"no name": 1, "for": 1, "x": nil, "y": struct{ A int }{1}} {
		if err := e.Define(name, value); err == nil {
			t.Errorf("defined %q as %v", name, value)
		}
	}
	if err := e.Define("list", []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	if r := runs(t, e, "len(list)"); r.Value.Int() != 2 {
		t.Fatalf("got %v", r.Value)
	}
}

func TestComplete(t *testing.T) {
	e := newEvaluator(t, "banter/dsl")
	runs(t, e, "import \"strings\"\ntype Reply struct { Text string; Seconds float64 }\nfunc (r Reply) Short() bool { return len(r.Text) < 5 }\nreply := Reply{\"hi\", 2}")
	for src, want := range map[string][]string{
		"reply.":        {"Seconds", "Short", "Text"},
		"strings.HasPr": {"HasPrefix"},
		"repl":          {"reply"},
		"Filt":          {"Filter"},
		"retur":         {"return"},
	} {
		got := e.Complete(src, len(src))
		var texts []string
		for _, item := range got.Items {
			texts = append(texts, item.Text)
		}
		for _, w := range want {
			if !slices.Contains(texts, w) {
				t.Errorf("%q: %v lacks %s", src, texts, w)
			}
		}
	}
	c := e.Complete("x := strings.Has", len("x := strings.Has"))
	if c.Start != len("x := strings.") || c.End != len("x := strings.Has") {
		t.Errorf("would replace %d to %d", c.Start, c.End)
	}
}

// TestFittingComesFirst completes arguments: what the parameter takes is offered before all else.
func TestFittingComesFirst(t *testing.T) {
	e := newEvaluator(t, "banter/dsl")
	runs(t, e, "var streams Streams\nvar pairs Pairs\nvar rows Rows\nvar longer = func(p Pair) bool { return true }\nfunc half(x float64) float64 { return x / 2 }\nthreshold := 0.5")
	for src, want := range map[string]struct{ first, later []string }{
		"Transcribe(streams, ":                  {[]string{"Language", "Model", "VAD"}, []string{"Rank", "Load", "streams", "append"}},
		"Transcribe(":                           {[]string{"Load", "streams"}, []string{"pairs", "VAD"}},
		"Transcribe(streams, Model(\"a,b(\"), ": {[]string{"VAD"}, []string{"Rank"}},
		"x := Transcribe(streams, V":            {[]string{"VAD"}, nil},
		"Load(\"vods\", Ch":                     {[]string{"Channel", "ChatEmotes", "ChatMap", "ChatStart"}, []string{"ChatOption", "Chart", "ChatLog"}},
		"Train(rows, LoRA(Rank(8), ":            {[]string{"Alpha", "Rank", "Targets"}, []string{"Epochs", "Seed"}},
		"Train(rows, LoRA(Rank(8)), ":           {[]string{"Base", "LoRA", "Seed"}, []string{"Rank"}},
		"Filter(pairs, ":                        {[]string{"NoBots", "NoCommands"}, []string{"Confidence", "FDR", "Load"}},
		"Filter(pairs, FDR.":                    {[]string{"AtLeast", "AtMost"}, []string{"Of"}},
		"half(":                                 {[]string{"threshold"}, []string{"pairs"}},
		"(":                                     {nil, []string{"Load", "pairs"}},
		"half(1, 2, 3, ":                        {nil, []string{"threshold", "pairs"}},
		"nothing(":                              {nil, []string{"threshold", "pairs"}},
	} {
		var texts []string
		for _, item := range e.Complete(src, len(src)).Items {
			texts = append(texts, item.Text)
		}
		for _, first := range want.first {
			at := slices.Index(texts, first)
			if at < 0 {
				t.Errorf("%q: %v lacks %s", src, texts, first)
			}
			for _, later := range want.later {
				if l := slices.Index(texts, later); l >= 0 && l < at {
					t.Errorf("%q: %s comes before %s", src, later, first)
				}
			}
		}
		for _, later := range want.later {
			if !slices.Contains(texts, later) {
				t.Errorf("%q: %v lacks %s", src, texts, later)
			}
		}
	}
}

// TestWhatWasMeant misspells names in cells.
func TestWhatWasMeant(t *testing.T) {
	e := newEvaluator(t, "banter/dsl")
	runs(t, e, "import \"strings\"\nvar pairs Pairs\ntype reply struct{ Text string }\nthreshold := 0.5")
	for src, want := range map[string]string{
		"Laod(\"vods\")":                            "undefined: Laod (did you mean Load?)",
		"x := threshhold * 2":                       "undefined: threshhold (did you mean threshold?)",
		"pairs.Filterr()":                           "has no field or method Filterr)",
		"pairs.Lenn()":                              "has no field or method Lenn) (did you mean Len?)",
		"strings.ToUper(\"a\")":                     "undefined: strings.ToUper (did you mean ToUpper?)",
		"sort.Ints(nil)":                            "undefined: sort (is import \"sort\" missing?)",
		"rand.Intn(3)":                              "(is import \"crypto/rand\" or \"math/rand\" missing?)",
		"reply{Txt: \"a\"}":                         "(did you mean Text?)",
		"func f() float64 { return thresold }\nf()": "undefined: thresold (did you mean threshold?)",
		"func init() { local := 1; _ = locl }":      "undefined: locl (did you mean local?)",
		"zz":                                        "undefined: zz\n",
	} {
		_, err := e.Run(t.Context(), "cell", src)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want %q, got %v", src, want, err)
		}
	}
	r, err := e.Run(t.Context(), "cell", "func later() float64 { return thresold }")
	if err != nil || !strings.Contains(strings.Join(r.Notes, ""), "thresold is undefined (cell:1:31) (did you mean threshold?)") {
		t.Errorf("%v, %v", r.Notes, err)
	}
	err = RunProgram(t.Context(), "v1.go", []byte("package main\nimport \"banter/dsl\"\nfunc main() { dsl.Laod(`a`) }"), Options{})
	if err == nil || !strings.Contains(err.Error(), "v1.go:3:19: undefined: dsl.Laod (did you mean Load?)") {
		t.Errorf("a program: %v", err)
	}
}

func TestInspect(t *testing.T) {
	e := newEvaluator(t, "banter/dsl")
	runs(t, e, "// Twice doubles.\nfunc Twice(n int) int { return 2 * n }\nanswer := 42")
	d, ok := e.Inspect("Twice(3)", 2)
	if !ok || !strings.Contains(d.Signature, "func Twice(n int) int") || d.Doc != "Twice doubles." {
		t.Errorf("%+v, %v", d, ok)
	}
	if d, ok = e.Inspect("answer + 1", 3); !ok || d.Value != "42" || !strings.Contains(d.Text(), "= 42") {
		t.Errorf("%+v, %v", d, ok)
	}
	if d, ok = e.Inspect("Twice(", 6); !ok || d.Name != "Twice" {
		t.Errorf("inside the arguments: %+v, %v", d, ok)
	}
	runs(t, e, "var pairs Pairs")
	if d, ok = e.Inspect("pairs", 3); !ok || d.Value != "(this value was never made: run the cell or the statement that makes it, to its end)" {
		t.Errorf("a value that was never made: %+v, %v", d, ok)
	}
	if _, ok = e.Inspect("nothing", 3); ok {
		t.Error("an unknown name is described")
	}
}

func FuzzRun(f *testing.F) {
	for _, s := range []string{"1+1", "x := []int{1}; x[2]", "type T[P any] struct{ p P }", "func f() { f() }", "for { }", "import \"os\"; os.Exit(1)", "switch x := any(1).(type) { case int: x }", "}{", "package main\nfunc main() {}", "\x00", "L: goto L", "defer panic(1)", "go func() { panic(1) }()"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if strings.Contains(src, "import") || strings.Contains(src, "make(") {
			t.Skip("reaches outside, or may ask for all memory")
		}
		e := newEvaluator(t)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		e.Status(src)
		e.Complete(src, len(src)/2)
		e.Inspect(src, len(src)/2)
		_, _ = e.Run(ctx, "cell 1", src) // an error of whatever kind is an answer; a panic or a hang is not
		e.Close()
	})
}
