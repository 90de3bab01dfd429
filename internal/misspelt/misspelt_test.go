package misspelt

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	verbs := []string{"Load", "Transcribe", "Align", "Filter", "Train", "Trait", "Eval", "P", "FDR", "Threshold", "threshold"}
	for name, want := range map[string]string{
		"Laod": "Load", "load": "Load", "LOAD": "Load", "Transcrbe": "Transcribe", "Filterr": "Filter", "Tranform": "", "Eva": "Eval",
		"Trian": "Train", "thresold": "threshold", "Thresold": "Threshold", "Fdr": "FDR", "p": "P", "x": "", "zz": "", "": "", "Align": "", strings.Repeat("Load", 40): "", "Ålign": "Align",
	} {
		if got := Nearest(name, verbs); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := Hint("Laod", verbs); got != " (did you mean Load?)" {
		t.Errorf("%q", got)
	}
	if got := Hint("quite something else", verbs); got != "" {
		t.Errorf("%q", got)
	}
}

// TestEdits holds the distance against its recursive definition.
func TestEdits(t *testing.T) {
	var define func(a, b string) int
	define = func(a, b string) int {
		if a == "" || b == "" {
			return len(a) + len(b)
		}
		d := min(define(a[1:], b)+1, define(a, b[1:])+1)
		if a[0] == b[0] {
			d = min(d, define(a[1:], b[1:]))
		} else {
			d = min(d, define(a[1:], b[1:])+1)
		}
		if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
			d = min(d, define(a[2:], b[2:])+1)
		}
		return d
	}
	words := []string{"", "a", "ab", "ba", "abc", "acb", "bca", "cabac", "abcabc", "bacbac", "load", "laod", "olda"}
	for _, a := range words {
		for _, b := range words {
			if got, want := edits([]rune(a), []rune(b)), define(a, b); got != want {
				t.Errorf("%q, %q: %d, want %d", a, b, got, want)
			}
		}
	}
}

// onlyStrings imports a package strings of one function.
type onlyStrings struct{}

func (onlyStrings) Import(string) (*types.Package, error) {
	p := types.NewPackage("strings", "strings")
	p.Scope().Insert(types.NewFunc(token.NoPos, p, "ToUpper", types.NewSignatureType(nil, nil, nil, nil, nil, false)))
	p.MarkComplete()
	return p, nil
}

func TestMeant(t *testing.T) {
	const src = `package main
import "strings"
type inner struct { Depth int }
type box struct { inner; Width int; hidden int }
func (box) Area() int { return 0 }
func (b *box) Grow() {}
type shape interface { Outline() string }
func main() {
	height := 1
	{ elsewhere := 2; _ = elsewhere }
	var b box
	var s shape
	_, _ = height, s
	MISTAKE
}`
	for mistake, want := range map[string]string{
		"_ = heigth": "height", "_ = strings.ToUper(``)": "ToUpper", "_ = stings.ToUpper(``)": "strings", "_ = b.Aera()": "Area",
		"b.Gorw()": "Grow", "(&b).Gorw()": "Grow", "_ = b.Widht": "Width", "_ = b.hiden": "hidden", "_ = b.Deptth": "Depth", "_ = s.Outlin()": "Outline",
		"_ = box{Widht: 1}": "Width", "_ = lenn(``)": "len", "var _ bix": "box",
		"_ = elsewere": "", "_ = nothingLikeIt": "", "_ = b.area()": "", "height = `a`": "", "_ = b.Nothing": "",
	} {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "", strings.Replace(src, "MISTAKE", mistake, 1), 0)
		if err != nil {
			t.Fatal(err)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Scopes: map[ast.Node]*types.Scope{}}
		var first *types.Error
		conf := types.Config{Importer: onlyStrings{}, Error: func(err error) {
			if te := err.(types.Error); first == nil && !te.Soft {
				first = &te
			}
		}}
		pkg, _ := conf.Check("main", fset, []*ast.File{f}, info)
		if first == nil {
			t.Fatalf("%s is no mistake", mistake)
		}
		c := Checked{Files: []*ast.File{f}, Info: info, Scope: pkg.Scope(), Also: func() []string { return []string{"strings"} }}
		if got := c.Meant(*first); got != want {
			t.Errorf("%s: %q: %q, want %q", mistake, first.Msg, got, want)
		}
	}
}
