package reach

import (
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"go/types"
	"strings"
)

// Normal is the source of a function without comments and layout. Variables of its own are numbered, packages have their
// own names, and the names of the dsl stand without their package, as in cells: so a recipe that imports it says the same.
func Normal(n ast.Node, info *types.Info, program Program) string {
	tf := program.Fset.File(n.Pos())
	from, to := int(n.Pos())-tf.Base(), int(n.End())-tf.Base()
	if d, ok := n.(*ast.FuncDecl); ok { // without its doc comment
		from = int(d.Type.Func) - tf.Base()
	}
	src := program.Text(tf)[from:to]
	names := renamed(n, info)

	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(src))
	s.Init(file, []byte(src), nil, 0)
	var b strings.Builder
	before := token.ILLEGAL
	put := func(t token.Token, text string) {
		if b.Len() > 0 && apart(before, t) {
			b.WriteByte(' ')
		}
		b.WriteString(text)
		before = t
	}
	ended := false // by a semicolon, said or not
	for {
		pos, t, lit := s.Scan()
		switch t {
		case token.EOF:
			return b.String()
		case token.SEMICOLON:
			ended = true
			continue
		}
		if ended && t != token.RBRACE && t != token.RPAREN {
			put(token.SEMICOLON, ";")
		}
		ended = false
		if t == token.IDENT {
			if name, ok := names[token.Pos(tf.Base()+from+file.Offset(pos))]; ok {
				if name == "" {
					s.Scan() // its period
					continue
				}
				lit = name
			}
		} else if lit == "" || t.IsOperator() {
			lit = t.String()
		}
		put(t, lit)
	}
}

// apart says whether a blank stands between two tokens. It never joins two that could be read as one.
func apart(a, b token.Token) bool {
	switch b {
	case token.PERIOD:
		return a == token.INT || a == token.FLOAT || a == token.IMAG
	case token.COMMA, token.RPAREN, token.RBRACK, token.SEMICOLON:
		return false
	case token.LPAREN, token.LBRACK:
		return a != token.IDENT && a != token.FUNC && a != token.RBRACK && a != token.LPAREN && a != token.LBRACK && a != token.PERIOD
	}
	return a != token.PERIOD && a != token.LPAREN && a != token.LBRACK && a != token.NOT
}

// renamed says what stands for the names in n, by their places: "" for the dsl's package, which is left out with its
// period.
func renamed(n ast.Node, info *types.Info) map[token.Pos]string {
	inside := func(obj types.Object) bool {
		v, ok := obj.(*types.Var)
		return ok && !v.IsField() && n.Pos() <= v.Pos() && v.Pos() < n.End()
	}
	numbers := map[token.Pos]int{} // of variables, by where they are declared: those of a type switch are many at one place
	out := map[token.Pos]string{}
	selected := map[*ast.Ident]bool{}
	number := func(id *ast.Ident, at token.Pos) {
		if id.Name == "_" {
			return
		}
		if numbers[at] == 0 {
			numbers[at] = len(numbers) + 1
		}
		out[id.Pos()] = fmt.Sprintf("$%d", numbers[at]) // which no name can be
	}
	switched := map[token.Pos]bool{}
	for _, obj := range info.Implicits {
		if inside(obj) {
			switched[obj.Pos()] = true
		}
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			selected[n.Sel] = true
			if id, ok := n.X.(*ast.Ident); ok {
				if pkg, ok := info.Uses[id].(*types.PkgName); ok {
					if pkg.Imported().Path() != dslPath {
						out[id.Pos()] = pkg.Imported().Name()
					} else {
						out[id.Pos()] = ""
					}
				}
			}
		case *ast.Ident:
			obj := info.ObjectOf(n)
			switch {
			case obj == nil:
				if switched[n.Pos()] {
					number(n, n.Pos())
				}
			case inside(obj):
				number(n, obj.Pos())
			case !selected[n] && obj.Pkg() != nil && !own(obj) && obj.Pkg().Path() != dslPath && obj.Parent() == obj.Pkg().Scope():
				out[n.Pos()] = obj.Pkg().Name() + "." + obj.Name() // imported without its package's name
			}
		}
		return true
	})
	return out
}
