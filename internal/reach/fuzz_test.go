package reach

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"path"
	"reflect"
	"strings"
	"testing"
)

// hollow imports every package as one without names.
type hollow struct{}

func (hollow) Import(from string) (*types.Package, error) {
	p := types.NewPackage(from, path.Base(from))
	p.MarkComplete()
	return p, nil
}

// reached is what each function of a file depends on; ok where the file can be parsed.
func reached(src string) (list []Function, ok bool) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "recipe.go", src, parser.SkipObjectResolution)
	if err != nil {
		return nil, false
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Implicits: map[ast.Node]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}, Instances: map[*ast.Ident]types.Instance{}}
	conf := types.Config{Importer: hollow{}, Error: func(error) {}}
	_, _ = conf.Check("main", fset, []*ast.File{f}, info) // what is wrong with it leaves gaps in info
	functions := map[string]*ast.FuncDecl{}
	for _, d := range f.Decls {
		if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil {
			functions[d.Name.Name] = d
		}
	}
	program := Program{Fset: fset, Text: func(*token.File) string { return src }, Outline: true, Function: func(name string) (*ast.FuncDecl, *types.Info) {
		return functions[name], info
	}}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			list = append(list, Of(n, info, program))
		case *ast.FuncDecl:
			list = append(list, Of(n.Name, info, program))
		}
		return true
	})
	for i := range list {
		for k := range list[i].Reads { // objects of another check
			list[i].Reads[k].Var, list[i].Reads[k].Type = nil, nil
		}
	}
	return list, true
}

// laidOut is a file with the same tokens and comments between all of them.
func laidOut(src string) string {
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(src)), []byte(src), nil, 0)
	var b strings.Builder
	for {
		_, tok, lit := s.Scan()
		switch {
		case tok == token.EOF:
			return b.String()
		case tok == token.SEMICOLON && lit == "\n":
			b.WriteString(" // here\n\n")
		case lit == "" || tok.IsOperator():
			b.WriteString(" /* and here */\t" + tok.String())
		default:
			b.WriteString(" /* and here */\t" + lit)
		}
	}
}

// FuzzOf asks of any program what its functions depend on. How it is laid out says nothing of that.
func FuzzOf(f *testing.F) {
	f.Add(`package main

import (
	"strings"
	"banter/dsl"
)

type Params struct{ Least float64; Words []string }

func (p *Params) Has(s string) bool { return strings.Contains(s, p.Words[0]) }

const limit = 1 << 3

var p Params

func long(s string) bool { return len(s) > limit && !p.Has(s) }

func main() {
	least := 0.5
	dsl.Main(&p, func() {
		dsl.Filter(nil, func(q dsl.Pair) bool {
			switch v := any(q).(type) {
			case int:
				return v > 1
			}
			for i := range 3 { if i == 2 { goto end } }
		end:
			return q.Confidence > least && (p.Least < 1 || long(q.Response))
		})
	})
}
`)
	f.Add("package main\nfunc f[T interface{ ~[]E }, E any](x T) (y E) { defer func() { _ = recover() }(); f[[]int]; return x[len(x)-1 : 2][0] }\nvar _, g = 1, func() { g() }")
	f.Add("package main;type A struct{ *A; B };type B = A;func (a A) M() { a.A.A.M() };var x = func(a A) any { return a.A.B.A.x }")
	f.Add("package main\nimport . \"banter/dsl\"\nfunc f() { `\r\n`; 1.e3; 'x' - -1; a.(type); Second /* */ . /**/ x }")
	f.Fuzz(func(t *testing.T, src string) {
		list, ok := reached(src)
		if !ok || len(src) > 1<<14 {
			return
		}
		again, ok := reached(laidOut(src))
		if !ok {
			t.Fatalf("what was laid out anew cannot be parsed:\n%s", laidOut(src))
		}
		if !reflect.DeepEqual(list, again) {
			t.Errorf("laid out anew, it depends on something else:\n%+v\n%+v", list, again)
		}
	})
}
