package cell

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"strings"

	"banter/internal/cellsplit"
)

// parts is a parsed cell.
type parts struct {
	imports []*ast.ImportSpec
	decls   []ast.Decl // functions, methods, types and constants, in order
	stmts   []ast.Stmt // all else, variables included
	closing token.Pos
	isFile  bool // began with a package clause
}

// begin is where the cell's text begins.
func (p *parts) begin() token.Pos {
	at := p.closing
	for _, d := range p.decls {
		at = min(at, d.Pos())
	}
	for _, s := range p.stmts {
		at = min(at, s.Pos())
	}
	return at
}

// parse splits and parses a cell. Positions are those of the cell's own text.
func (e *Evaluator) parse(name, src string) (*parts, error) {
	e.sources[name] = strings.Split(src, "\n")
	declText, stmtText, isFile := cellsplit.Split(src)
	p := &parts{isFile: isFile}
	line := fmt.Sprintf("/*line %s:1:1*/", name)
	declFile, err := e.parseFile("package main;" + line + declText)
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
	stmtFile, err := e.parseFile("package main;func _(){" + line + stmtText + "\n}")
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
