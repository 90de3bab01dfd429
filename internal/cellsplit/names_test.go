package cellsplit

import (
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

func TestNames(t *testing.T) {
	for src, want := range map[string][]string{
		"func f() {}":                         {"f"},
		"func (T) M() {}":                     {"T.M"},
		"func (t *(T)) M() {}":                {"T.M"},
		"func (s *S[K, V]) M() {}":            {"S.M"},
		"func (s S[K]) M() {}":                {"S.M"},
		"type ( A int; B = A; C[T any] []T )": {"A", "B", "C"},
		"const a, b = iota, 2":                {"a", "b"},
		"var x, _ = f()":                      {"x", "_"},
		"import \"fmt\"":                      nil,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "", "package p;"+src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := Names(f.Decls[0]); !slices.Equal(got, want) {
			t.Errorf("%s declares %q, want %q", src, got, want)
		}
	}
}
