package cell

import (
	"go/scanner"
	"go/token"
	"strings"
)

// Status says whether src is a whole cell: "complete", "incomplete" or "invalid". indent is what the next line of an
// incomplete cell should begin with.
func (e *Evaluator) Status(src string) (status, indent string) {
	var s scanner.Scanner
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(src))
	open, bad := false, false
	s.Init(file, []byte(src), func(_ token.Position, msg string) {
		if strings.Contains(msg, "not terminated") && !strings.Contains(msg, "string literal not") && !strings.Contains(msg, "rune") || strings.Contains(msg, "raw string") {
			open = true
		} else {
			bad = true
		}
	}, 0)
	depth := 0
	last := token.SEMICOLON
	for {
		_, t, lit := s.Scan()
		if t == token.EOF {
			break
		}
		switch t {
		case token.LPAREN, token.LBRACE, token.LBRACK:
			depth++
		case token.RPAREN, token.RBRACE, token.RBRACK:
			depth--
		}
		if depth < 0 {
			return "invalid", ""
		}
		if t != token.SEMICOLON || lit != "\n" {
			last = t
		}
	}
	switch {
	case bad:
		return "invalid", ""
	case open:
		return "incomplete", ""
	case depth > 0:
		return "incomplete", strings.Repeat("\t", depth)
	case last.IsOperator() && last != token.RPAREN && last != token.RBRACE && last != token.RBRACK && last != token.SEMICOLON && last != token.INC && last != token.DEC && last != token.ELLIPSIS:
		return "incomplete", "\t"
	}
	scratch := &Evaluator{fset: token.NewFileSet(), sources: map[string][]string{}, texts: map[*token.File]string{}}
	if _, err := scratch.parse("cell", src); err != nil {
		if strings.Contains(err.Error(), "the end of the cell") {
			return "incomplete", ""
		}
		return "invalid", ""
	}
	return "complete", ""
}
