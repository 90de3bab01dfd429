package cell

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"strings"
)

// span is a stretch of a cell's text, in bytes.
type span struct{ from, to int }

// parts is a parsed cell.
type parts struct {
	imports []*ast.ImportSpec
	decls   []ast.Decl // functions, methods, types and constants, in order
	stmts   []ast.Stmt // all else, variables included
	closing token.Pos
	isFile  bool // began with a package clause
}

// declarations finds the stretches of a cell that are declarations which Go allows at package level only, or that have
// to be seen by functions of the same cell: imports, functions, methods, types and constants. All else is statements.
func declarations(src string) (spans []span, clause span) {
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

// parse splits and parses a cell. Positions are those of the cell's own text.
func (e *Evaluator) parse(name, src string) (*parts, error) {
	e.sources[name] = strings.Split(src, "\n")
	spans, clause := declarations(src)
	p := &parts{isFile: clause.to > 0}
	declText := []byte(src)
	stmtText := []byte(src)
	at := 0
	for _, s := range spans {
		blank(stmtText, s)
		blank(declText, span{at, s.from})
		at = s.to
	}
	blank(declText, span{at, len(src)})
	blank(stmtText, clause)
	// A declaration that ended with a semicolon on its own line leaves the semicolon to the statements; it is empty there.
	line := fmt.Sprintf("/*line %s:1:1*/", name)
	declFile, err := e.parseFile("package main;" + line + separated(declText, src, spans))
	if err != nil {
		return nil, err
	}
	for _, d := range declFile.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			for _, s := range g.Specs {
				p.imports = append(p.imports, s.(*ast.ImportSpec))
			}
			continue
		}
		p.decls = append(p.decls, d)
	}
	stmtFile, err := e.parseFile("package main;func _(){" + line + string(stmtText) + "\n}")
	if err != nil {
		return nil, err
	}
	if len(stmtFile.Decls) != 1 {
		return nil, &refusal{stmtFile.Decls[1].Pos(), "unexpected } outside any block"}
	}
	body := stmtFile.Decls[0].(*ast.FuncDecl).Body
	p.stmts, p.closing = body.List, body.Rbrace
	return p, nil
}

// separated keeps two declarations on one line apart.
func separated(text []byte, src string, spans []span) string {
	for _, s := range spans {
		if s.to < len(src) && src[s.to] == ';' {
			text[s.to] = ';'
		}
	}
	return string(text)
}

func (e *Evaluator) parseFile(text string) (*ast.File, error) {
	f, err := parser.ParseFile(e.fset, "", text, parser.ParseComments|parser.SkipObjectResolution)
	if f != nil {
		if tf := e.fset.File(f.FileStart); tf != nil {
			e.texts[tf] = text
		}
	}
	if list, ok := err.(scanner.ErrorList); ok {
		for _, se := range list {
			se.Msg = "syntax error: " + strings.Replace(strings.Replace(se.Msg, "found 'EOF'", "found the end of the cell", 1), "expected ';', found", "unexpected", 1)
		}
	}
	return f, err
}
