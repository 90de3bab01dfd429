// Package cellsplit says which stretches of a notebook cell are declarations and which are statements, so that a cell may
// hold imports, functions, types, constants and statements in any mix. Its texts go to Go's own parser.
package cellsplit

import (
	"go/scanner"
	"go/token"
)

// span is a stretch of a cell's text, in bytes.
type span struct{ from, to int }

// Split parts a cell into two texts as long as itself, each with blanks in place of what is in the other, so that
// positions are the cell's own. Declarations are what Go allows at package level only, or what functions of the same cell
// have to see: imports, functions, methods, types and constants. All else, variables included, is statements. isFile
// says that the cell began with a package clause, which is in neither text.
func Split(src string) (declarations, statements string, isFile bool) {
	spans, clause := find(src)
	decls, stmts := []byte(src), []byte(src)
	at := 0
	for _, s := range spans {
		blank(stmts, s)
		blank(decls, span{at, s.from})
		at = s.to
	}
	blank(decls, span{at, len(src)})
	blank(stmts, clause)
	// Two declarations on one line stay apart. What ended with a semicolon leaves it to the statements too, where it is
	// empty.
	for _, s := range spans {
		if s.to < len(src) && src[s.to] == ';' {
			decls[s.to] = ';'
		}
	}
	return string(decls), string(stmts), clause.to > 0
}

// find finds the declarations, and the package clause where there is one.
func find(src string) (spans []span, clause span) {
	var s scanner.Scanner
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(src))
	s.Init(file, []byte(src), nil, 0)
	type tok struct {
		off, end int
		tok      token.Token
	}
	var toks []tok
	for {
		pos, t, lit := s.Scan()
		off := file.Offset(pos)
		end := off + len(lit)
		if lit == "" || t.IsOperator() {
			end = off + len(t.String())
		}
		if t == token.SEMICOLON && lit == "\n" {
			end = off
		}
		toks = append(toks, tok{off, min(end, len(src)), t})
		if t == token.EOF {
			break
		}
	}
	depth, starting := 0, true
	for i := 0; i < len(toks); i++ {
		t := toks[i]
		if starting && depth == 0 {
			kind := t.tok
			decl := false
			switch kind {
			case token.IMPORT, token.TYPE, token.CONST:
				decl = true
			case token.PACKAGE:
				decl = len(spans) == 0
			case token.FUNC:
				decl = i+1 < len(toks) && toks[i+1].tok == token.IDENT || methodAt(i, func(j int) token.Token {
					if j < len(toks) {
						return toks[j].tok
					}
					return token.EOF
				})
			}
			if decl {
				from, d := t.off, 0
				j := i
				for ; j < len(toks); j++ {
					switch toks[j].tok {
					case token.LPAREN, token.LBRACE, token.LBRACK:
						d++
					case token.RPAREN, token.RBRACE, token.RBRACK:
						d--
					}
					if toks[j].tok == token.EOF || d <= 0 && toks[j].tok == token.SEMICOLON {
						break
					}
				}
				end := len(src)
				if j < len(toks) {
					end = toks[j].off
				}
				if kind == token.PACKAGE {
					clause = span{from, end}
				} else {
					spans = append(spans, span{from, end})
				}
				i = j
				continue
			}
		}
		switch t.tok {
		case token.LPAREN, token.LBRACE, token.LBRACK:
			depth++
		case token.RPAREN, token.RBRACE, token.RBRACK:
			depth--
		}
		starting = t.tok == token.SEMICOLON && depth == 0
	}
	return spans, clause
}

// methodAt tells a method's declaration, func (r R) Name(, from a function literal.
func methodAt(i int, tok func(int) token.Token) bool {
	if tok(i+1) != token.LPAREN {
		return false
	}
	depth := 0
	for j := i + 1; ; j++ {
		switch tok(j) {
		case token.LPAREN:
			depth++
		case token.RPAREN:
			depth--
			if depth == 0 {
				return tok(j+1) == token.IDENT && tok(j+2) == token.LPAREN
			}
		case token.EOF:
			return false
		}
	}
}

// blank replaces all but line breaks by spaces.
func blank(b []byte, s span) {
	for i := s.from; i < s.to; i++ {
		if b[i] != '\n' {
			b[i] = ' '
		}
	}
}
