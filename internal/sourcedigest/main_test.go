package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// house is a small module of the same name, with a verb in package dsl that is built from two packages.
var house = map[string]string{
	"go.mod":                        "module banter\n\ngo 1.26\n",
	"dsl/align.go":                  "package dsl\n\nimport (\n\t\"banter/internal/problem\"\n\t\"banter/stdlib/align\"\n)\n\n// Align aligns.\nfunc Align() int { problem.Show(); align.Align(); return 1 }\n",
	"dsl/load.go":                   "package dsl\n\nfunc Load() int { return 1 }\n",
	"stdlib/align/align.go":         "package align\n\nimport (\n\t\"banter/internal/gemm\"\n\t\"banter/internal/progress\"\n)\n\nfunc Align() int { progress.Tell(); return gemm.Mul(2) }\n",
	"stdlib/chat/chat.go":           "package chat\n\nfunc Read() {}\n",
	"internal/gemm/gemm.go":         "package gemm\n\nimport _ \"embed\"\n\n//go:embed table.txt\nvar table string\n\nfunc Mul(x int) int { return len(table) * x }\n",
	"internal/gemm/gemm_arm64.go":   "package gemm\n\nconst wide = 2\n",
	"internal/gemm/gemm_amd64.s":    "// nothing\n",
	"internal/gemm/gemm_test.go":    "package gemm\n",
	"internal/gemm/table.txt":       "1 2 3\n",
	"internal/problem/problem.go":   "package problem\n\nfunc Show() {}\n",
	"cmd/engine/main.go":            "// An engine.\npackage main\n\nfunc main() {}\n",
	"cmd/engine/words.cpp":          "int words() { return 1; }\n",
	"cmd/engine/README.md":          "read me\n",
	"internal/progress/progress.go": "package progress\n\nfunc Tell() {}\n",
}

func digestIn(t *testing.T, change map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, files := range []map[string]string{house, change} {
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if text == "" {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Chdir(dir)
	d, err := digestOf([]string{"align.go"}, []string{"cmd/engine"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDigest changes one thing in the sources behind a verb.
func TestDigest(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command here")
	}
	base := digestIn(t, nil)
	edited := func(name, old, new string) map[string]string {
		if !strings.Contains(house[name], old) {
			t.Fatalf("%s does not hold %q", name, old)
		}
		return map[string]string{name: strings.Replace(house[name], old, new, 1)}
	}
	for _, c := range []struct {
		name   string
		change map[string]string
		same   bool
	}{
		{"nothing", nil, true},
		{"comment in the verb", edited("dsl/align.go", "// Align aligns.", "// Align says which message answers which speech."), true},
		{"comment removed", edited("dsl/align.go", "// Align aligns.\n", ""), true},
		{"comment within a function below", edited("internal/gemm/gemm.go", "{ return", "{ /* a remark */ return"), true},
		{"layout", edited("internal/gemm/gemm.go", "{ return len(table) * x }", "{\n\n\treturn len(table)*x\n}"), true},
		{"arguments on lines of their own", edited("internal/gemm/gemm.go", "(x int)", "(\n\tx int,\n)"), true},
		{"test", edited("internal/gemm/gemm_test.go", "package gemm\n", "package gemm\n\nvar x = 1\n"), true},
		{"package that cannot change a result", edited("internal/progress/progress.go", "{}", "{ println() }"), true},
		{"package that cannot change a result, imported by the verb", edited("internal/problem/problem.go", "{}", "{ println() }"), true},
		{"comment in the engine", edited("cmd/engine/main.go", "An engine", "The engine"), true},
		{"what is said of the engine", edited("cmd/engine/README.md", "read", "write"), true},
		{"the engine", edited("cmd/engine/main.go", "{}", "{ println() }"), false},
		{"the engine's C++", edited("cmd/engine/words.cpp", "1", "2"), false},
		{"import of the verb", edited("dsl/align.go", "align.Align()", "align.Align(); align.Align()"), false},
		{"another verb", edited("dsl/load.go", "1", "2"), true},
		{"package of another verb", edited("stdlib/chat/chat.go", "{}", "{ println() }"), true},
		{"the verb", edited("dsl/align.go", "return 1", "return 2"), false},
		{"package of the verb", edited("stdlib/align/align.go", "Mul(2)", "Mul(3)"), false},
		{"package two imports below", edited("internal/gemm/gemm.go", "* x", "+ x"), false},
		{"string in the code", edited("internal/gemm/gemm.go", "len(table)", "len(table + \"a\")"), false},
		{"space in a string", map[string]string{"internal/gemm/more.go": "package gemm\n\nconst a = \"a b\"\n"}, false},
		{"name of a variable", edited("internal/gemm/gemm.go", "(x int) int { return len(table) * x }", "(y int) int { return len(table) * y }"), false},
		{"file added", map[string]string{"internal/gemm/more.go": "package gemm\n\nconst more = 1\n"}, false},
		{"code for another platform", edited("internal/gemm/gemm_arm64.go", "2", "4"), false},
		{"assembly", edited("internal/gemm/gemm_amd64.s", "nothing", "something"), false},
		{"embedded file", edited("internal/gemm/table.txt", "1 2 3", "1 2 4"), false},
		{"directive", edited("internal/gemm/gemm.go", "func Mul", "//go:noinline\nfunc Mul"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := digestIn(t, c.change); (got == base) != c.same {
				t.Errorf("the same digest: %v, want %v", got == base, c.same)
			}
		})
	}
	a := digestIn(t, map[string]string{"internal/gemm/more.go": "package gemm\n\nconst a = \"a b\"\n"})
	if b := digestIn(t, map[string]string{"internal/gemm/more.go": "package gemm\n\nconst a = \"ab\"\n"}); a == b {
		t.Error("strings that differ by a space are the same")
	}
}

// TestVerbsAreCovered finds, for each verb, that its own work is behind its digest.
func TestVerbsAreCovered(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	for _, v := range verbs {
		var all []string
		for _, f := range v.files {
			list, err := imports(f)
			if err != nil {
				t.Errorf("%s: %v", v.name, err)
			}
			all = append(all, list...)
		}
		if !slices.ContainsFunc(all, func(p string) bool { return strings.HasPrefix(p, "stdlib/") }) {
			t.Errorf("%s: none of %v imports a package of stdlib", v.name, v.files)
		}
		for _, dir := range v.folders {
			if err := hashFolder(&strings.Builder{}, dir); err != nil {
				t.Errorf("%s: %v", v.name, err)
			}
		}
	}
}

func TestHashGoTellsWhereAFileIsNoGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.go")
	if err := os.WriteFile(path, []byte("package x\n\nvar s = \"open\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := hashGo(&strings.Builder{}, path); err == nil || !strings.Contains(err.Error(), "x.go:3") {
		t.Errorf("error %v", err)
	}
}
