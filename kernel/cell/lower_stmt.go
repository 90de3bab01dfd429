package cell

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

func (l *lowering) stmt(s ast.Stmt) string {
	l.e.lowering = s.Pos()
	switch s := s.(type) {
	case *ast.BlockStmt:
		return "{" + l.list(s.List) + "}"
	case *ast.ExprStmt:
		return l.expr(s.X)
	case *ast.AssignStmt:
		return l.assign(s)
	case *ast.DeclStmt:
		return l.declaration(s)
	case *ast.IncDecStmt:
		return l.expr(s.X) + s.Tok.String()
	case *ast.SendStmt:
		var elem types.Type
		if c, ok := l.typeOf(s.Chan).Underlying().(*types.Chan); ok {
			elem = c.Elem()
		}
		return l.expr(s.Chan) + " <- " + l.into(s.Value, elem)
	case *ast.IfStmt:
		before, init, after := l.initial(s.Init)
		text := before + "if " + init + l.expr(s.Cond) + " {" + l.list(s.Body.List) + "}"
		if s.Else != nil {
			text += " else " + l.stmt(s.Else)
		}
		return text + after
	case *ast.ForStmt:
		return l.forLoop(s, "")
	case *ast.RangeStmt:
		return l.rangeLoop(s, "")
	case *ast.LabeledStmt:
		switch inner := s.Stmt.(type) {
		case *ast.ForStmt:
			return l.forLoop(inner, s.Label.Name)
		case *ast.RangeStmt:
			return l.rangeLoop(inner, s.Label.Name)
		case *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			return l.leavable(inner, s.Label.Name)
		}
		return s.Label.Name + ":\n" + l.stmt(s.Stmt)
	case *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
		return l.leavable(s, "")
	case *ast.CaseClause:
		text := "default:"
		if s.List != nil {
			text = "case " + l.exprs(s.List) + ":"
		}
		return text + l.clause(s.Body)
	case *ast.CommClause:
		text := "default:"
		if s.Comm != nil {
			text = "case " + l.communication(s.Comm) + ":"
		}
		return text + l.clause(s.Body)
	case *ast.BranchStmt:
		return l.branch(s)
	case *ast.ReturnStmt:
		return l.returned(s)
	case *ast.GoStmt:
		return l.spawn(s)
	case *ast.DeferStmt:
		return l.deferred(s)
	case *ast.EmptyStmt:
		return ""
	}
	return l.copy(s)
}

// clause lowers the statements of a case.
func (l *lowering) clause(stmts []ast.Stmt) string {
	for _, s := range stmts {
		if _, ok := s.(*ast.LabeledStmt); !ok {
			continue
		}
		// The interpreter finds labels in blocks alone.
		tail := ""
		if b, ok := stmts[len(stmts)-1].(*ast.BranchStmt); ok && b.Tok == token.FALLTHROUGH {
			stmts, tail = stmts[:len(stmts)-1], "\nfallthrough\n"
		}
		return "\n{" + l.list(stmts) + "}" + tail
	}
	return l.list(stmts)
}

// leavesRangeFunction reports whether a label stands outside the body of a range over a function.
func (l *lowering) leavesRangeFunction(label *ast.Ident) bool {
	obj := l.info.Uses[label]
	for i := len(l.loops) - 1; i >= 0 && !l.loops[i].barrier; i-- {
		if f := l.loops[i].function; f != nil {
			return obj == nil || obj.Pos() < f.body.Pos() || obj.Pos() >= f.body.End()
		}
	}
	return false
}

// initial lowers the statement that an if, a for or a switch begins with: init stands in its head. Where it has become
// several statements, they stand before it, in a block.
func (l *lowering) initial(s ast.Stmt) (before, init, after string) {
	if s == nil {
		return "", "", ""
	}
	text := l.stmt(s)
	if a, ok := s.(*ast.AssignStmt); ok && len(a.Lhs) > 1 && len(a.Rhs) == len(a.Lhs) && strings.ContainsAny(text, "\n{") {
		return "{ " + text + "\n", "", "\n}"
	}
	return "", text + "; ", ""
}

// leavable lowers a statement that break leaves, with its label.
func (l *lowering) leavable(s ast.Stmt, label string) string {
	l.loops = append(l.loops, &loopContext{label: label})
	defer func() { l.loops = l.loops[:len(l.loops)-1] }()
	clauses := func(b *ast.BlockStmt) string {
		var text strings.Builder
		for _, c := range b.List {
			text.WriteString("\n" + l.stmt(c))
		}
		return "{" + text.String() + "\n}"
	}
	switch s := s.(type) {
	case *ast.SwitchStmt:
		if s.Tag != nil && l.comparesInterfaces(s) {
			return l.interfaceSwitch(s, label)
		}
		before, init, after := l.initial(s.Init)
		return before + labelText(label) + "switch " + init + l.expr(s.Tag) + " " + clauses(s.Body) + after
	case *ast.TypeSwitchStmt:
		return l.typeSwitch(s, label)
	case *ast.SelectStmt:
		return labelText(label) + "select " + clauses(s.Body)
	}
	return ""
}

func (l *lowering) assign(s *ast.AssignStmt) string {
	if text, ok := l.received(s); ok {
		return text
	}
	if s.Tok == token.DEFINE {
		names := make([]string, len(s.Lhs))
		some := false
		for i, x := range s.Lhs {
			id := x.(*ast.Ident)
			names[i] = local(id.Name)
			obj := l.info.Defs[id]
			if run, ok := l.hoisted[obj]; ok && obj != nil {
				names[i], some = run, true
			} else if obj == nil && id.Name != "_" {
				if run, ok := l.hoisted[l.info.Uses[id]]; ok {
					names[i], some = run, true
				}
			}
		}
		if l.mustPart(s.Lhs, s.Rhs) {
			fresh := make([]bool, len(names))
			for i, x := range s.Lhs {
				obj := l.info.Defs[x.(*ast.Ident)]
				_, hoisted := l.hoisted[obj]
				fresh[i] = obj != nil && !hoisted
			}
			return l.oneByOne(names, fresh, s.Lhs, s.Rhs)
		}
		if some {
			return strings.Join(names, ", ") + " = " + l.assigned(s.Lhs, s.Rhs)
		}
		return strings.Join(names, ", ") + " := " + l.assigned(s.Lhs, s.Rhs)
	}
	if len(s.Lhs) > 1 && len(s.Lhs) == len(s.Rhs) {
		return l.parallel(s)
	}
	lhs := make([]string, len(s.Lhs))
	for i, x := range s.Lhs {
		if id, ok := x.(*ast.Ident); ok && id.Name == "_" {
			lhs[i] = "_"
			continue
		}
		lhs[i] = l.expr(x)
	}
	return strings.Join(lhs, ", ") + " " + s.Tok.String() + " " + l.assigned(s.Lhs, s.Rhs)
}

// received lowers _, ok := <-ch, for which the interpreter mistakes another variable for the blank one.
func (l *lowering) received(s *ast.AssignStmt) (string, bool) {
	if len(s.Lhs) != 2 || len(s.Rhs) != 1 || !isBlank(s.Lhs[0]) {
		return "", false
	}
	x, ok := ast.Unparen(s.Rhs[0]).(*ast.UnaryExpr)
	if !ok || x.Op != token.ARROW {
		return "", false
	}
	value := "func(c " + l.typ(l.typeOf(x.X), x) + ") bool { v, ok := <-c; _ = v; return ok }(" + l.expr(x.X) + ")"
	if isBlank(s.Lhs[1]) {
		return "_ = " + value, true
	}
	op, name := " = ", l.expr(s.Lhs[1])
	if id, isIdent := s.Lhs[1].(*ast.Ident); isIdent && s.Tok == token.DEFINE {
		name = local(id.Name)
		if run, hoisted := l.hoisted[l.object(id)]; hoisted {
			name = run
		} else if l.info.Defs[id] != nil {
			op = " := "
		} else {
			name = l.expr(id)
		}
	}
	return name + op + l.convert(value, types.Typ[types.Bool], l.typeOf(s.Lhs[1]), x), true
}

// mustPart reports whether several values that are assigned one to one have to be assigned one after the other: where one
// becomes an interface, or is a variable of the cells beside the result of a call, the interpreter gets it wrong together.
func (l *lowering) mustPart(lhs, rhs []ast.Expr) bool {
	if len(lhs) < 2 || len(lhs) != len(rhs) {
		return false
	}
	for _, x := range lhs {
		id, ok := x.(*ast.Ident)
		if !ok || l.object(id) == nil {
			continue
		}
		if _, hoisted := l.hoisted[l.object(id)]; hoisted || types.IsInterface(l.subs.of(l.object(id).Type())) {
			return true
		}
	}
	return false
}

// oneByOne declares or assigns several variables after all values are known.
func (l *lowering) oneByOne(names []string, fresh []bool, lhs, rhs []ast.Expr) string {
	var values, stores strings.Builder
	for i, x := range lhs {
		t := types.Default(l.typeOf(rhs[i]))
		if obj := l.object(x.(*ast.Ident)); obj != nil {
			t = l.subs.of(obj.Type())
		}
		if b, ok := t.(*types.Basic); ok && b.Kind() == types.UntypedNil {
			t = emptyInterface
		}
		v := l.tmp("v")
		values.WriteString("var " + v + " " + l.typ(t, x) + " = " + l.into(rhs[i], t) + "; _ = " + v + "\n")
		switch {
		case isBlank(x):
		case fresh[i]:
			stores.WriteString("var " + names[i] + " " + l.typ(t, x) + " = " + v + "\n")
		default:
			stores.WriteString(names[i] + " = " + v + "\n")
		}
	}
	return values.String() + stores.String()
}

// assigned lowers the right side of an assignment.
func (l *lowering) assigned(lhs, rhs []ast.Expr) string {
	to := func(i int) types.Type {
		if i >= len(lhs) || isBlank(lhs[i]) {
			return nil
		}
		if id, ok := lhs[i].(*ast.Ident); ok && l.object(id) != nil {
			return l.object(id).Type()
		}
		return l.info.TypeOf(lhs[i])
	}
	if len(rhs) == 1 && len(lhs) > 1 {
		x := ast.Unparen(rhs[0])
		text := ""
		switch x := x.(type) {
		case *ast.UnaryExpr:
			text = "<-" + l.expr(x.X)
		case *ast.TypeAssertExpr:
			text = l.assertion(x, true)
		default:
			text = l.expr(x)
		}
		return l.adapt(text, x, to)
	}
	parts := make([]string, len(rhs))
	for i, x := range rhs {
		parts[i] = apart(l.into(x, to(i)), x)
	}
	return strings.Join(parts, ", ")
}

// apart keeps a literal from being made in the place of the variable that it is assigned to: where the interpreter does
// that with a struct, what points at the variable, closures over it and results go on with the old one.
func apart(text string, x ast.Expr) string {
	if _, ok := x.(*ast.CompositeLit); ok {
		return "(" + text + ")"
	}
	return text
}

func (l *lowering) declaration(s *ast.DeclStmt) string {
	g := s.Decl.(*ast.GenDecl)
	switch g.Tok {
	case token.CONST:
		return "" // constants are written as literals where they are used
	case token.TYPE:
		for _, spec := range g.Specs {
			t := spec.(*ast.TypeSpec)
			obj := l.info.Defs[t.Name]
			if t.TypeParams != nil || len(l.subs) > 0 {
				refuse(t.Pos(), "a type declared inside a generic function yet")
			}
			if t.Assign.IsValid() || types.IsInterface(obj.Type()) {
				continue
			}
			if _, ok := l.e.dynamics.locals[obj]; !ok {
				run := l.e.runName(t.Name.Name)
				l.e.dynamics.locals[obj] = run
				l.out.decls = append(l.out.decls, "type "+run+" "+l.typ(obj.Type().Underlying(), t))
			}
		}
		return ""
	}
	var lines []string
	for _, spec := range g.Specs {
		v := spec.(*ast.ValueSpec)
		var names []string
		hoisted := false
		for _, id := range v.Names {
			name := local(id.Name)
			if run, ok := l.hoisted[l.info.Defs[id]]; ok && name != "_" {
				name, hoisted = run, true
			}
			names = append(names, name)
		}
		switch {
		case hoisted && len(v.Values) == 0:
			for i, id := range v.Names {
				if id.Name != "_" && !l.fresh[id.Name] {
					z := l.tmp("zero")
					lines = append(lines, "var "+z+" "+l.typ(l.subs.of(l.info.Defs[id].Type()), v)+"; "+names[i]+" = "+z)
				}
			}
		case l.mustPart(identExprs(v.Names), v.Values):
			fresh := make([]bool, len(names))
			for i := range fresh {
				fresh[i] = !hoisted
			}
			lines = append(lines, l.oneByOne(names, fresh, identExprs(v.Names), v.Values))
		case hoisted:
			lines = append(lines, strings.Join(names, ", ")+" = "+l.assigned(identExprs(v.Names), v.Values))
		default:
			text := "var " + strings.Join(names, ", ")
			if v.Type != nil {
				text += " " + l.expr(v.Type)
			}
			if len(v.Values) > 0 {
				text += " = " + l.assigned(identExprs(v.Names), v.Values)
			}
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "\n")
}

func identExprs(ids []*ast.Ident) []ast.Expr {
	list := make([]ast.Expr, len(ids))
	for i, id := range ids {
		list[i] = id
	}
	return list
}

// captured reports whether a function literal in body, or a pointer, can outlive an iteration with the variable.
func (l *lowering) captured(obj types.Object, nodes ...ast.Node) bool {
	found := false
	for _, n := range nodes {
		if n == nil || found {
			continue
		}
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				ast.Inspect(n, func(m ast.Node) bool {
					if id, ok := m.(*ast.Ident); ok && l.info.Uses[id] == obj {
						found = true
					}
					return !found
				})
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					ast.Inspect(n.X, func(m ast.Node) bool {
						if id, ok := m.(*ast.Ident); ok && l.info.Uses[id] == obj {
							found = true
						}
						return !found
					})
				}
			case *ast.RangeStmt:
				if t := l.info.TypeOf(n.X); t != nil {
					if _, ok := t.Underlying().(*types.Signature); ok { // its body becomes a function
						ast.Inspect(n.Body, func(m ast.Node) bool {
							if id, ok := m.(*ast.Ident); ok && l.info.Uses[id] == obj {
								found = true
							}
							return !found
						})
					}
				}
			}
			return !found
		})
	}
	return found
}

// body lowers the body of a loop. Where it declares a name of the loop's own again, it becomes a block of its own.
// again is what the loop says where it is before its next turn.
func (l *lowering) body(b *ast.BlockStmt, label, again string, function *rangeFunction, own ...ast.Expr) string {
	c := &loopContext{label: label, isLoop: true, function: function, quiet: !l.callsAnything(b) && function == nil, again: again}
	l.loops = append(l.loops, c)
	around := l.around
	l.around = b
	defer func() { l.loops, l.around, l.faults = l.loops[:len(l.loops)-1], around, c.faults }()
	text := l.list(b.List) + again
	for _, x := range own {
		if id, ok := x.(*ast.Ident); ok && id != nil && declares(b.List, id.Name) {
			return "{" + text + "}\n"
		}
	}
	return text
}

// declares reports whether one of the statements declares name.
func declares(list []ast.Stmt, name string) bool {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.LabeledStmt:
			if declares([]ast.Stmt{s.Stmt}, name) {
				return true
			}
		case *ast.AssignStmt:
			for _, x := range s.Lhs {
				if id, ok := x.(*ast.Ident); ok && s.Tok == token.DEFINE && id.Name == name {
					return true
				}
			}
		case *ast.DeclStmt:
			if declared([]ast.Decl{s.Decl})[name] {
				return true
			}
		}
	}
	return false
}

func labelText(label string) string {
	if label == "" {
		return ""
	}
	return label + ":\n"
}

func (l *lowering) forLoop(s *ast.ForStmt, label string) string {
	before := l.counted
	l.count(s)
	defer func() { l.counted = before }()
	again := ""
	if calls := l.calls(turns(s)); len(calls) > 0 {
		again = l.store(calls[0])
	}
	var own []*ast.Ident
	if a, ok := s.Init.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
		for _, x := range a.Lhs {
			id := x.(*ast.Ident)
			var nodes []ast.Node
			nodes = append(nodes, s.Body)
			if s.Cond != nil {
				nodes = append(nodes, s.Cond)
			}
			if s.Post != nil {
				nodes = append(nodes, s.Post)
			}
			if obj := l.info.Defs[id]; obj != nil && l.captured(obj, nodes...) {
				own = append(own, id)
			}
		}
	}
	several := false // the post statement becomes a block
	if a, ok := s.Post.(*ast.AssignStmt); ok {
		several = len(a.Lhs) > 1
	}
	if len(own) == 0 && !several {
		before, init, after := l.initial(s.Init)
		head := l.expr(s.Cond)
		if s.Init != nil || s.Post != nil {
			if init == "" {
				init = "; "
			}
			head = init + head + "; "
			if s.Post != nil {
				head += l.stmt(s.Post)
			}
		}
		return before + labelText(label) + "for " + head + " {" + l.stopCheck() + l.body(s.Body, label, again, nil) + "}" + after
	}
	// Each iteration has its own variables: they begin as copies of the last iteration's, and the post statement works
	// on the new ones.
	first := l.tmp("first")
	text := "{ "
	if s.Init != nil {
		text += l.stmt(s.Init) + "\n"
	}
	copies := ""
	for _, id := range own {
		p := l.tmp("prev")
		name := local(id.Name)
		text += p + " := &" + name + "; "
		copies += name + " := *" + p + "; " + p + " = &" + name + "; "
	}
	text += first + " := true\n" + labelText(label) + "for {" + l.stopCheck() + copies
	post := ""
	if s.Post != nil {
		post = l.stmt(s.Post)
	}
	text += "if " + first + " { " + first + " = false } else { " + post + " }\n"
	if s.Cond != nil {
		text += "if !(" + l.expr(s.Cond) + ") { break }\n"
	}
	return text + l.body(s.Body, label, again, nil, identExprs(own)...) + "} }"
}

// elementType is the type of the i-th variable of a range over t.
func elementType(t types.Type, i int) types.Type {
	switch u := t.Underlying().(type) {
	case *types.Map:
		return []types.Type{u.Key(), u.Elem()}[i]
	case *types.Chan:
		return u.Elem()
	case *types.Slice:
		return []types.Type{types.Typ[types.Int], u.Elem()}[i]
	case *types.Array:
		return []types.Type{types.Typ[types.Int], u.Elem()}[i]
	case *types.Pointer:
		return elementType(u.Elem(), i)
	case *types.Basic:
		return []types.Type{types.Typ[types.Int], types.Typ[types.Int32]}[i]
	}
	return nil
}

// bind gives x, which a range statement names, its value of a turn.
func (l *lowering) bind(s *ast.RangeStmt, x ast.Expr, value string, t types.Type) string {
	if isBlank(x) {
		return ""
	}
	if s.Tok == token.DEFINE {
		name := local(x.(*ast.Ident).Name)
		return name + " := " + value + "; _ = " + name + "\n"
	}
	return l.expr(x) + " = " + l.convert(value, t, l.typeOf(x), x) + "\n"
}

func isBlank(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return x == nil || ok && id.Name == "_"
}

func (l *lowering) rangeLoop(s *ast.RangeStmt, label string) string {
	before := l.counted
	l.count(s)
	defer func() { l.counted = before }()
	t := l.typeOf(s.X)
	switch u := t.Underlying().(type) {
	case *types.Basic:
		if u.Info()&types.IsInteger != 0 {
			it := types.Default(t)
			if !isBlank(s.Key) && !types.IsInterface(l.typeOf(s.Key)) { // whose type a constant takes
				it = l.typeOf(s.Key)
			}
			ts := l.typ(it, s)
			i, n := l.tmp("i"), l.tmp("n")
			set := l.bind(s, s.Key, i, it)
			return labelText(label) + fmt.Sprintf("for %s, %s := %s(0), %s(%s); %s < %s; %s++ {", i, n, ts, ts, l.expr(s.X), i, n, i) + l.stopCheck() + set + l.body(s.Body, label, "", nil, s.Key) + "}"
		}
		if u.Info()&types.IsString != 0 {
			return l.rangeString(s, label)
		}
	case *types.Signature:
		return l.rangeFunc(s, u, label)
	}
	_, byPointer := t.Underlying().(*types.Pointer)
	if !isBlank(s.Value) {
		_, isChan := elementType(t, 1).Underlying().(*types.Chan)
		byPointer = byPointer || isChan
	}
	if byPointer {
		return l.rangeIndexes(s, label)
	}
	// Variables that are captured are copied in the body, so that each iteration has its own.
	var names [2]string
	set := ""
	for i, x := range []ast.Expr{s.Key, s.Value} {
		id, isIdent := x.(*ast.Ident)
		switch {
		case isBlank(x):
			names[i] = "_"
		case s.Tok == token.DEFINE && isIdent && !l.captured(l.info.Defs[id], s.Body):
			names[i] = local(id.Name)
		default:
			names[i] = l.tmp("v")
			set += l.bind(s, x, names[i], elementType(t, i))
		}
	}
	head := "for "
	switch {
	case names[1] != "_":
		head += names[0] + ", " + names[1] + " :="
	case names[0] != "_":
		head += names[0] + " :="
	case s.Key != nil:
		head += l.tmp("k") + " :="
	default:
		head += "_ ="
	}
	head += " range " + l.expr(s.X)
	return labelText(label) + head + " {" + l.stopCheck() + set + l.body(s.Body, label, "", nil, s.Key, s.Value) + "}"
}

// rangeString ranges over what compiled code finds in a string: the interpreter counts more than one byte where there is
// no UTF-8.
func (l *lowering) rangeString(s *ast.RangeStmt, label string) string {
	at, runes, i := l.tmp("at"), l.tmp("runes"), l.tmp("i")
	set := l.bind(s, s.Key, at+"["+i+"]", types.Typ[types.Int]) + l.bind(s, s.Value, runes+"["+i+"]", types.Typ[types.Int32])
	head := "{ " + at + ", " + runes + " := " + l.alias(supportPath) + ".Runes(string(" + l.expr(s.X) + ")); _ = " + runes + "\n"
	return head + labelText(label) + "for " + i + " := range " + at + " {" + l.stopCheck() + set + l.body(s.Body, label, "", nil, s.Key, s.Value) + "} }"
}

// rangeIndexes ranges over a pointer to an array, or over channels that a slice, an array or a map holds, by way of the
// indexes: the interpreter takes the pointer for a list, and has no variable for an element that is a channel.
func (l *lowering) rangeIndexes(s *ast.RangeStmt, label string) string {
	of, i := l.tmp("of"), l.tmp("i")
	t := l.typeOf(s.X)
	set := l.bind(s, s.Key, i, elementType(t, 0)) + l.bind(s, s.Value, of+"["+i+"]", elementType(t, 1))
	head := "for " + i + " := range " + of
	if p, ok := t.Underlying().(*types.Pointer); ok {
		head = fmt.Sprintf("for %s := 0; %s < %d; %s++", i, i, p.Elem().Underlying().(*types.Array).Len(), i)
	}
	return "{ " + of + " := " + l.expr(s.X) + "; _ = " + of + "\n" + labelText(label) + head + " {" + l.stopCheck() + set + l.body(s.Body, label, "", nil, s.Key, s.Value) + "} }"
}

// rangeFunc turns the loop body into the iterator's yield function. Statements that leave the body say how in a
// variable, and the text after the call does it.
func (l *lowering) rangeFunc(s *ast.RangeStmt, sig *types.Signature, label string) string {
	yield := sig.Params().At(0).Type().Underlying().(*types.Signature)
	var params []string
	set := ""
	for i := range yield.Params().Len() {
		t := l.subs.of(yield.Params().At(i).Type())
		name := l.tmp("v")
		set += l.bind(s, []ast.Expr{s.Key, s.Value}[i], name, t)
		params = append(params, name+" "+l.typ(t, s))
	}
	over := l.tmp("over")
	f := &rangeFunction{code: l.tmp("exit"), over: over, body: s.Body}
	var text strings.Builder
	text.WriteString("{ " + f.code + " := 0; " + over + " := false\n")
	if !l.top && l.sig != nil && l.results == nil {
		for i := range l.sig.Results().Len() {
			r := l.tmp("ret")
			f.results = append(f.results, r)
			text.WriteString("var " + r + " " + l.typ(l.sig.Results().At(i).Type(), s) + "; _ = " + r + "\n")
		}
	}
	body := l.body(s.Body, label, "", f, s.Key, s.Value)
	k := l.alias(supportPath)
	text.WriteString("(" + l.expr(s.X) + ")(func(" + strings.Join(params, ", ") + ") bool { if " + over + " { " + k + ".Finished() }\n" + over + " = true\n" + l.stopCheck() + set + body + over + " = false\nreturn true })\n")
	text.WriteString(over + " = true\n")
	for i, exit := range f.exits {
		text.WriteString(fmt.Sprintf("if %s == %d { %s }\n", f.code, i+1, exit))
	}
	text.WriteString("}")
	return text.String()
}

// leave says that the body of f ends with exit done after the call.
func (f *rangeFunction) leave(exit string) string {
	for i, x := range f.exits {
		if x == exit {
			return fmt.Sprintf("{ %s = %d; return false }", f.code, i+1)
		}
	}
	f.exits = append(f.exits, exit)
	return fmt.Sprintf("{ %s = %d; return false }", f.code, len(f.exits))
}

func (l *lowering) branch(s *ast.BranchStmt) string {
	if s.Tok == token.GOTO {
		if l.leavesRangeFunction(s.Label) {
			refuse(s.Pos(), "goto inside a range over a function yet")
		}
		return "{ " + l.stopCheck() + "goto " + s.Label.Name + " }"
	}
	if s.Tok == token.FALLTHROUGH {
		return "fallthrough"
	}
	// Find the statement that is left, and the range functions on the way out.
	var crossed []*rangeFunction
	for i := len(l.loops) - 1; i >= 0 && !l.loops[i].barrier; i-- {
		c := l.loops[i]
		matches := s.Label != nil && c.label == s.Label.Name || s.Label == nil && (c.isLoop || s.Tok == token.BREAK)
		if !matches {
			if c.function != nil {
				crossed = append(crossed, c.function)
			}
			continue
		}
		plain := s.Tok.String()
		if s.Label != nil {
			plain += " " + s.Label.Name
		}
		if c.function != nil { // the statement itself is a range function
			if len(crossed) == 0 {
				if s.Tok == token.CONTINUE {
					return "{ " + overOf(c.function) + "return true }"
				}
				return "return false"
			}
			inner := "return false"
			if s.Tok == token.CONTINUE {
				inner = overOf(c.function) + "return true"
			}
			return chain(crossed, inner)
		}
		if s.Tok == token.CONTINUE && c.again != "" {
			plain = "{ " + c.again + plain + " }"
		}
		if len(crossed) == 0 {
			return plain
		}
		return chain(crossed, plain)
	}
	if s.Label != nil {
		return s.Tok.String() + " " + s.Label.Name
	}
	return s.Tok.String()
}

// chain leaves nested range functions, innermost first, and does exit after the outermost call.
func chain(crossed []*rangeFunction, exit string) string {
	for i := len(crossed) - 1; i >= 0; i-- {
		exit = crossed[i].leave(exit)
	}
	return exit
}

func overOf(f *rangeFunction) string { return f.over + " = false; " }

func (l *lowering) returned(s *ast.ReturnStmt) string {
	var crossed []*rangeFunction
	for i := len(l.loops) - 1; i >= 0 && !l.loops[i].barrier; i-- {
		if l.loops[i].function != nil {
			crossed = append(crossed, l.loops[i].function)
		}
	}
	if len(crossed) == 0 {
		if len(s.Results) == 0 {
			return "return"
		}
		if l.defers != "" { // the body is a literal of its own
			return "{ " + l.setResults(l.results, s) + "return }"
		}
		return "return " + l.resultsOf(s)
	}
	outer := crossed[len(crossed)-1]
	names := l.results
	if names == nil {
		names = outer.results
	}
	set := ""
	exit := "return"
	if len(s.Results) > 0 {
		set = l.setResults(names, s)
		if l.defers == "" {
			exit = "return " + strings.Join(names, ", ")
		}
	}
	return "{ " + set + chain(crossed, exit) + " }"
}

// setResults assigns the operands of a return statement to the variables of the results: all are evaluated before the
// first is set, and each by itself, since the interpreter gets nil among several values wrong.
func (l *lowering) setResults(names []string, s *ast.ReturnStmt) string {
	if len(s.Results) != len(names) || len(names) == 1 {
		return strings.Join(names, ", ") + " = " + l.resultsOf(s) + "; "
	}
	var values, stores string
	for i, x := range s.Results {
		t := l.sig.Results().At(i).Type()
		v := l.tmp("v")
		values += "var " + v + " " + l.typ(l.subs.of(t), x) + " = " + l.into(x, t) + "; "
		stores += names[i] + " = " + v + "; "
	}
	return values + stores
}

// resultsOf lowers the operands of a return statement.
func (l *lowering) resultsOf(s *ast.ReturnStmt) string {
	to := func(i int) types.Type {
		if l.sig == nil || i >= l.sig.Results().Len() {
			return nil
		}
		return l.sig.Results().At(i).Type()
	}
	if len(s.Results) == 1 && isTupleType(l.info.TypeOf(s.Results[0])) {
		return l.adapt(l.expr(s.Results[0]), s.Results[0], to)
	}
	parts := make([]string, len(s.Results))
	for i, x := range s.Results {
		parts[i] = apart(l.into(x, to(i)), x)
	}
	return strings.Join(parts, ", ")
}

// parallel writes a, b = x, y in the two phases of the language: operands and values first, then the assignments.
func (l *lowering) parallel(s *ast.AssignStmt) string {
	var pins, values, stores strings.Builder
	pin := func(x ast.Expr) string {
		if tv := l.info.Types[x]; tv.Value != nil {
			return l.expr(x)
		}
		name := l.tmp("p")
		pins.WriteString("var " + name + " " + l.typ(types.Default(l.typeOf(x)), x) + " = " + l.expr(x) + "\n")
		return name
	}
	address := func(x ast.Expr) string {
		name := l.tmp("p")
		pins.WriteString(name + " := &" + l.expr(x) + "\n")
		return "(*" + name + ")"
	}
	for i, x := range s.Lhs {
		x = ast.Unparen(x)
		v := l.tmp("v")
		vt := l.info.TypeOf(x)
		if isBlank(x) || vt == nil {
			vt = types.Default(l.info.TypeOf(s.Rhs[i]))
		}
		if b, ok := vt.(*types.Basic); ok && b.Kind() == types.UntypedNil {
			vt = types.NewInterfaceType(nil, nil)
		}
		values.WriteString("var " + v + " " + l.typ(l.subs.of(vt), x) + " = " + l.into(s.Rhs[i], vt) + "; _ = " + v + "\n")
		target := ""
		switch x := x.(type) {
		case *ast.Ident:
			if x.Name == "_" {
				continue
			}
			target = l.expr(x)
		case *ast.IndexExpr:
			base := ""
			if _, ok := l.typeOf(x.X).Underlying().(*types.Array); ok {
				base = address(x.X)
			} else {
				base = pin(x.X)
			}
			target = base + "[" + pin(x.Index) + "]"
		case *ast.StarExpr:
			target = "*" + pin(x.X)
		case *ast.SelectorExpr:
			if sel := l.info.Selections[x]; sel == nil {
				target = l.expr(x)
			} else if _, ok := l.typeOf(x.X).Underlying().(*types.Pointer); ok {
				target = pin(x.X) + "." + x.Sel.Name
			} else {
				target = address(x.X) + "." + x.Sel.Name
			}
		default:
			refuse(x.Pos(), "this assignment yet")
		}
		stores.WriteString(target + " = " + v + "\n")
	}
	return "{ " + pins.String() + values.String() + stores.String() + "}"
}

// typeSwitch writes a type switch as assertions that find the clause and a switch that goes there: the interpreter's own
// matches types by their names, which its types do not have.
func (l *lowering) typeSwitch(s *ast.TypeSwitchStmt, label string) string {
	var x ast.Expr
	name := ""
	switch a := s.Assign.(type) {
	case *ast.ExprStmt:
		x = ast.Unparen(a.X).(*ast.TypeAssertExpr).X
	case *ast.AssignStmt:
		x = ast.Unparen(a.Rhs[0]).(*ast.TypeAssertExpr).X
		name = local(a.Lhs[0].(*ast.Ident).Name)
	}
	xt := l.typ(l.typeOf(x), x)
	v, clause := l.tmp("x"), l.tmp("clause")
	var find, body strings.Builder
	find.WriteString("{ ")
	if s.Init != nil {
		find.WriteString(l.stmt(s.Init) + "\n")
	}
	from := l.typeOf(x)
	value := l.expr(x)
	if isError(from) {
		value, from, xt = l.convert(value, from, emptyInterface, x), emptyInterface, "interface{}"
	}
	find.WriteString("var " + v + " " + xt + " = " + value + "; _ = " + v + "; " + clause + " := 0\n")
	tests := ""
	fallback := 0
	for i, c := range s.Body.List {
		c := c.(*ast.CaseClause)
		bind := ""
		var only types.Type
		if len(c.List) == 1 && !l.info.Types[c.List[0]].IsNil() {
			only = l.typeOf(c.List[0])
		}
		if c.List == nil {
			fallback = i + 1
		}
		for _, t := range c.List {
			set := clause + fmt.Sprintf(" = %d", i+1)
			if tests != "" {
				tests += " else "
			}
			if l.info.Types[t].IsNil() {
				tests += "if " + v + " == nil { " + set + " }"
				continue
			}
			assert := l.assertTo(v, from, l.typeOf(t), true, t)
			ts := l.typ(l.typeOf(t), t)
			if only != nil && name != "" && name != "_" {
				value := l.tmp("v")
				find.WriteString("var " + value + " " + ts + "; _ = " + value + "\n")
				ok, got := l.tmp("ok"), l.tmp("got")
				tests += "if " + got + ", " + ok + " := " + assert + "; " + ok + " { " + set + "; " + value + " = " + got + " }"
				bind = name + " := " + value + "; _ = " + name + "\n"
			} else {
				ok := l.tmp("ok")
				tests += "if _, " + ok + " := " + assert + "; " + ok + " { " + set + " }"
			}
		}
		if bind == "" && name != "" && name != "_" {
			bind = "var " + name + " " + l.typ(l.typeOf(x), x) + " = " + l.convert(v, from, l.typeOf(x), x) + "; _ = " + name + "\n"
		}
		head := fmt.Sprintf("case %d:", i+1)
		body.WriteString("\n" + head + bind + l.clause(c.Body))
	}
	if fallback > 0 {
		if tests == "" {
			tests = clause + fmt.Sprintf(" = %d", fallback)
		} else {
			tests += fmt.Sprintf(" else { %s = %d }", clause, fallback)
		}
	}
	return find.String() + tests + "\n" + labelText(label) + "switch " + clause + " {" + body.String() + "\n} }"
}

// comparesInterfaces reports whether the tag of a switch, or what a case holds against it, is an interface.
func (l *lowering) comparesInterfaces(s *ast.SwitchStmt) bool {
	isInterface := func(x ast.Expr) bool { return types.IsInterface(l.typeOf(x)) }
	return isInterface(s.Tag) || slices.ContainsFunc(s.Body.List, func(c ast.Stmt) bool {
		return slices.ContainsFunc(c.(*ast.CaseClause).List, isInterface)
	})
}

// interfaceSwitch writes a switch on interface values as one on comparisons with its tag.
func (l *lowering) interfaceSwitch(s *ast.SwitchStmt, label string) string {
	v := l.tmp("x")
	text := "{ "
	if s.Init != nil {
		text += l.stmt(s.Init) + "\n"
	}
	text += "var " + v + " interface{} = " + l.into(s.Tag, emptyInterface) + "; _ = " + v + "\n" + labelText(label) + "switch {"
	for _, c := range s.Body.List {
		c := c.(*ast.CaseClause)
		head := "default:"
		if c.List != nil {
			tests := make([]string, len(c.List))
			for i, x := range c.List {
				if l.info.Types[x].IsNil() {
					tests[i] = v + " == nil"
				} else {
					tests[i] = l.alias(supportPath) + ".Equal(" + v + ", " + l.into(x, emptyInterface) + ")"
				}
			}
			head = "case " + strings.Join(tests, ", ") + ":"
		}
		text += "\n" + head + l.clause(c.Body)
	}
	return text + "\n} }"
}

func isTupleType(t types.Type) bool { _, ok := t.(*types.Tuple); return ok }

// communication lowers the operation of a select case, which must be a bare send or receive.
func (l *lowering) communication(s ast.Stmt) string {
	receive := func(x ast.Expr) string {
		u, ok := ast.Unparen(x).(*ast.UnaryExpr)
		if !ok {
			refuse(x.Pos(), "this select case yet")
		}
		return "<-" + l.expr(u.X)
	}
	switch s := s.(type) {
	case *ast.ExprStmt:
		return receive(s.X)
	case *ast.AssignStmt:
		if s.Tok != token.DEFINE {
			refuse(s.Pos(), "a select case that assigns to variables from outside yet: use :=")
		}
		return l.exprs(s.Lhs) + " := " + receive(s.Rhs[0])
	}
	return l.stmt(s)
}
