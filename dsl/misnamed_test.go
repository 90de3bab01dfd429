package dsl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestForeseenModels(t *testing.T) {
	t.Setenv("BANTER_MODELS", t.TempDir())
	given := []Param{{Name: "base", Type: "string", Default: "lm-micr"}, {Name: "good", Type: "string", Default: "lm-micro"}}
	for _, c := range []struct{ name, body, err string }{
		{"a parameter", `rows := dsl.Dataset(x); tuned := dsl.Train(rows, dsl.Base(p.Base)); _ = tuned`, "did you mean lm-micro"},
		{"a parameter that names one", `dsl.Train(x, dsl.Base(p.Good))`, ""},
		{"a literal", `dsl.Transcribe(x, dsl.Model("asr-mikro"))`, "did you mean asr-micro"},
		{"not fetched", `dsl.Transcribe(x, dsl.Model("base.en"))`, "recipe models pull base.en"},
		{"the second", `dsl.Transcribe(x, dsl.Model("asr-micro"), dsl.VAD("silera"))`, "silera"},
		{"an embedder", `dsl.Align(x, dsl.Embedder("nomik"))`, "nomik"},
		{"a judge", `dsl.Eval(x, y, dsl.Judge("jugde"))`, "jugde"},
		{"only perhaps", `if x { dsl.Train(x, dsl.Base(p.Base)) }`, ""},
		{"behind a way out", `if x { return }; dsl.Train(x, dsl.Base(p.Base))`, ""},
		{"set in between", `p.Base = "lm-micro"; dsl.Train(x, dsl.Base(p.Base))`, ""},
		{"of another variable", `dsl.Train(x, dsl.Base(q.Base))`, ""},
		{"in a function that may not be called", `f := func() { dsl.Train(x, dsl.Base(p.Base)) }; _ = f`, ""},
		{"a path that the recipe may make", `dsl.Export(y, "merged"); dsl.Train(x, dsl.Base("out/merged"))`, ""},
	} {
		for form, src := range map[string]string{
			"literal":  "package main\nfunc main() { p := P{}; dsl.Main(&p, func() { " + c.body + " }) }",
			"function": "package main\nvar p P\nfunc main() { dsl.Main(&p, work) }\nfunc work() { " + c.body + " }",
		} {
			err := misnamed([]byte(src), given)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%s, as a %s: error %v, want one that says %q", c.name, form, err, c.err)
			}
		}
	}
}

// TestOwnText: a compiled recipe takes what the compiler embedded for its text, or else its file, unless that was written
// after the program was.
func TestOwnText(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.go")
	if err := os.WriteFile(file, []byte("package main // on disk"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &compiled{at: file, files: fstest.MapFS{"r.go": {Data: []byte("package main // embedded")}}}
	if text := string(c.ownText()); text != "package main // embedded" {
		t.Errorf("with dsl.Source: %q", text)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	built, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	c.files = nil
	for by, want := range map[time.Duration]string{-time.Hour: "package main // on disk", time.Hour: ""} {
		at := built.ModTime().Add(by)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
		if text := string(c.ownText()); text != want {
			t.Errorf("written %v after the program: %q, want %q", by, text, want)
		}
	}
	if text := (*compiled)(nil).ownText(); text != nil {
		t.Errorf("without a program: %q", text)
	}
}
