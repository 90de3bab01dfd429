package cell

import (
	"go/scanner"
	"go/token"
	"go/types"
	"slices"
)

// fitting brings to the front what the parameter takes that is about to be written at cursor: first what is or returns such a
// value, such as the options of a verb, then what has methods that do.
func (e *Evaluator) fitting(scope *types.Package, src string, cursor int, items []Completion) {
	want := e.wanted(scope, src, cursor)
	if want == nil {
		return
	}
	slices.SortStableFunc(items, func(a, b Completion) int { return misfit(a.obj, want) - misfit(b.obj, want) })
}

// wanted is the type of the parameter that is about to be written, or nil where that says nothing.
func (e *Evaluator) wanted(scope *types.Package, src string, cursor int) types.Type {
	paren, n, ok := callAround(src, cursor)
	if !ok {
		return nil
	}
	callee := operandBefore(src, paren)
	t := e.exprType(scope, callee)
	if t == nil {
		return nil
	}
	f, ok := t.Underlying().(*types.Signature)
	if !ok || f.Params().Len() == 0 || n >= f.Params().Len() && !f.Variadic() {
		return nil
	}
	last := f.Params().Len() - 1
	want := f.Params().At(min(n, last)).Type()
	if list, ok := want.(*types.Slice); ok && f.Variadic() && n >= last {
		want = list.Elem()
	}
	// Filter takes functions as well, and so says any: its rules are what there is to choose from.
	if filter := scope.Scope().Lookup("Filter"); filter != nil && filter.Name() == callee && filter.Pkg() != scope && n > 0 {
		if rule := filter.Pkg().Scope().Lookup("Rule"); rule != nil {
			want = rule.Type()
		}
	}
	if i, ok := want.Underlying().(*types.Interface); ok && i.Empty() {
		return nil
	}
	return want
}

// misfit is 0 for what gives a value of type want, 1 for what has a method that does, and 2 for all else.
func misfit(obj types.Object, want types.Type) int {
	switch obj := obj.(type) {
	case nil, *types.TypeName, *types.PkgName, *types.Builtin, *types.Nil:
		return 2
	case *types.Func:
		r := obj.Signature().Results()
		if _, named := want.(*types.Named); named && r.Len() == 1 && types.AssignableTo(r.At(0).Type(), want) || types.AssignableTo(obj.Signature(), want) {
			return 0
		}
		return 2
	default:
		t, ok := obj.Type().(*types.Named)
		if types.AssignableTo(obj.Type(), want) {
			return 0
		}
		if !ok {
			return 2
		}
		for m := range types.NewMethodSet(t).Methods() {
			if f, ok := m.Obj().(*types.Func); ok && f.Exported() && misfit(f, want) == 0 {
				return 1
			}
		}
		return 2
	}
}

// callAround finds the call in whose arguments cursor stands: the offset of its parenthesis, and how many arguments come
// before. What stands in strings and comments does not count.
func callAround(src string, cursor int) (paren, arguments int, ok bool) {
	type open struct{ at, commas int }
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(src))
	s.Init(file, []byte(src), func(token.Position, string) {}, 0)
	var stack []open
	var last token.Token
	for {
		pos, t, _ := s.Scan()
		off := file.Offset(pos)
		if t == token.EOF || off >= cursor {
			break
		}
		switch t {
		case token.LPAREN:
			at := -1 // one that only groups
			if last == token.IDENT || last == token.RPAREN || last == token.RBRACK || last == token.RBRACE {
				at = off
			}
			stack = append(stack, open{at: at})
		case token.LBRACK, token.LBRACE:
			stack = append(stack, open{at: -1})
		case token.RPAREN, token.RBRACK, token.RBRACE:
			if len(stack) > 0 {
				stack = stack[:len(stack)-1]
			}
		case token.COMMA:
			if len(stack) > 0 {
				stack[len(stack)-1].commas++
			}
		}
		last = t
	}
	if len(stack) == 0 || stack[len(stack)-1].at < 0 {
		return 0, 0, false
	}
	call := stack[len(stack)-1]
	return call.at, call.commas, true
}
