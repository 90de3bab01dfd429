package cellsplit

import (
	"strings"
	"testing"
)

func TestSplitKeepsPositions(t *testing.T) {
	src := "import \"fmt\"\nx := 1; type T int\nfunc f() int { return x }\nfmt.Println(f())\nfunc (t T) M() {}\ng := func() {}\n"
	decls, stmts, isFile := Split(src)
	if isFile || len(decls) != len(src) || len(stmts) != len(src) {
		t.Fatalf("%v, %d and %d bytes of %d", isFile, len(decls), len(stmts), len(src))
	}
	for text, want := range map[string]string{
		"import \"fmt\"": decls, "type T int": decls, "func f() int { return x }": decls, "func (t T) M() {}": decls,
		"x := 1": stmts, "fmt.Println(f())": stmts, "g := func() {}": stmts,
	} {
		if strings.Index(want, text) != strings.Index(src, text) {
			t.Errorf("%q is not where it was in %q", text, want)
		}
	}
	if _, _, isFile = Split("package main\nfunc main() {}"); !isFile {
		t.Error("a package clause is not seen")
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "import \"a\"", "x := 1\nfunc f() {}", "func (", "type T struct {", "const ( a = iota\n b )", "package p; func main() {}", "`", "/*", "}{)("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		decls, stmts, _ := Split(src)
		if len(decls) != len(src) || len(stmts) != len(src) {
			t.Fatalf("%d and %d bytes of %d", len(decls), len(stmts), len(src))
		}
		for i := range len(src) {
			d, s := decls[i], stmts[i]
			if src[i] == '\n' && (d != '\n' || s != '\n') {
				t.Fatalf("the line break at %d is gone", i)
			}
			if d != ' ' && d != src[i] || s != ' ' && s != src[i] {
				t.Fatalf("byte %d is %q and %q, was %q", i, d, s, src[i])
			}
		}
	})
}
