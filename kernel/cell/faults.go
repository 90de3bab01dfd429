package cell

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"banter/internal/reach"
)

// The interpreter says of a fault neither where in the function it happened nor which index it was. So operations that
// can fault are looked at just before the statement that they stand in, wherever that is seen to change nothing else:
// their operands are variables and constants, and nothing that the statement does before them has an effect.

// faultCall writes the call of a function of the support that panics with the fault at a position.
func (l *lowering) faultCall(name string, at token.Pos, args ...string) string {
	return l.alias(supportPath) + "." + name + "(" + strings.Join(append(args, l.where(at)), ", ") + ")"
}

// where is a position as arguments.
func (l *lowering) where(at token.Pos) string {
	p := l.e.fset.Position(at)
	return fmt.Sprintf("%d, %d", l.e.lineNumber(p), p.Column)
}

// checks is what stands before a statement. open is whether it can fault in a way that this does not look at.
func (l *lowering) checks(s ast.Stmt) (text string, open bool) {
	var roots []ast.Node
	one := func(x ast.Expr) {
		if x != nil {
			roots = append(roots, x)
		}
	}
	var stored []ast.Expr
	switch s := s.(type) {
	case *ast.ExprStmt:
		one(s.X)
	case *ast.AssignStmt:
		for _, x := range s.Lhs {
			if s.Tok != token.DEFINE {
				one(x)
				stored = append(stored, ast.Unparen(x))
			}
		}
		for _, x := range s.Rhs {
			one(x)
		}
	case *ast.IncDecStmt:
		one(s.X)
		stored = append(stored, ast.Unparen(s.X))
	case *ast.ReturnStmt:
		for _, x := range s.Results {
			one(x)
		}
	case *ast.SendStmt:
		one(s.Chan)
		one(s.Value)
	case *ast.RangeStmt:
		one(s.X)
	case *ast.IfStmt:
		if s.Init != nil {
			return l.checks(s.Init)
		}
		one(s.Cond)
	case *ast.SwitchStmt:
		if s.Init != nil {
			return l.checks(s.Init)
		}
		one(s.Tag)
	case *ast.DeclStmt:
		if g, ok := s.Decl.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, spec := range g.Specs {
				for _, x := range spec.(*ast.ValueSpec).Values {
					one(x)
				}
			}
		}
	}
	c := &checker{l: l, seen: map[string]bool{}}
	for _, r := range roots {
		c.effects(r)
	}
	for _, r := range roots {
		c.walk(r, nil)
	}
	for _, x := range stored {
		if i, ok := x.(*ast.IndexExpr); ok && c.clear(nil) && l.pure(i.X) {
			if _, isMap := l.typeOf(i.X).Underlying().(*types.Map); isMap {
				c.add(l.expr(i.X)+" == nil", l.faultCall("NilMap", i.X.Pos()))
			}
		}
	}
	return c.text.String(), c.open
}

// checker collects the checks of one statement.
type checker struct {
	l      *lowering
	seen   map[string]bool
	text   strings.Builder
	impure []ast.Node // what has effects, or faults that are not looked at
	open   bool       // there are faults that are not looked at
}

func (c *checker) add(cond, fault string) {
	if !c.seen[cond] {
		c.seen[cond] = true
		c.text.WriteString("if " + cond + " { " + fault + " }\n")
	}
}

// effects notes what a statement does besides computing.
func (c *checker) effects(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				c.impure = append(c.impure, n)
			}
		case *ast.TypeAssertExpr:
			c.open, c.impure = true, append(c.impure, n)
		case *ast.CallExpr:
			if c.l.info.Types[n.Fun].IsType() {
				return true
			}
			if id, ok := ast.Unparen(n.Fun).(*ast.Ident); ok {
				if b, ok := c.l.object(id).(*types.Builtin); ok && b.Name() != "panic" && b.Name() != "print" && b.Name() != "println" && b.Name() != "recover" {
					return true
				}
			}
			if f := c.l.callee(n); f != nil && f.Pkg() != nil && f.Signature().Recv() == nil && (reach.Pure(f.Pkg().Path()) || strings.HasPrefix(f.FullName(), "fmt.Sprint")) && c.plain(n.Args) {
				return true
			}
			c.impure = append(c.impure, n)
		}
		return true
	})
}

// plain reports whether arguments are data, through which a call has no effect.
func (c *checker) plain(args []ast.Expr) bool {
	for _, a := range args {
		t := c.l.typeOf(a)
		if s, ok := t.Underlying().(*types.Slice); ok {
			t = s.Elem()
		}
		if _, ok := t.Underlying().(*types.Basic); !ok || own(t) {
			return false
		}
	}
	return true
}

// clear reports whether all that has effects happens after what stands inside of around.
func (c *checker) clear(around []ast.Node) bool {
	return !slices.ContainsFunc(c.impure, func(n ast.Node) bool { return !slices.Contains(around, n) })
}

func (c *checker) walk(n ast.Node, around []ast.Node) {
	l := c.l
	inner := append(around[:len(around):len(around)], n)
	switch x := n.(type) {
	case *ast.FuncLit:
		return
	case *ast.CompositeLit:
		c.open = c.open || l.mayFault(x)
		return
	case *ast.BinaryExpr:
		if x.Op == token.LAND || x.Op == token.LOR {
			c.walk(x.X, inner)
			c.open = c.open || l.mayFault(x.Y)
			return
		}
		for _, child := range []ast.Expr{x.X, x.Y} {
			c.walk(child, inner)
		}
		if (x.Op == token.QUO || x.Op == token.REM) && l.info.Types[x].Value == nil && l.info.Types[x.Y].Value == nil {
			b, ok := l.typeOf(x.Y).Underlying().(*types.Basic)
			switch {
			case !ok || b.Info()&types.IsInteger == 0:
			case c.clear(around) && l.pure(x.Y):
				c.add(l.expr(x.Y)+" == 0", l.faultCall("Divide", x.OpPos))
			default:
				c.open = true
			}
		}
		return
	case *ast.IndexExpr:
		if l.info.Types[x.Index].IsType() || l.info.Types[x].Value != nil {
			return
		}
		c.walk(x.X, inner)
		c.walk(x.Index, inner)
		if c.clear(around) {
			c.index(x)
		} else if _, isMap := l.typeOf(x.X).Underlying().(*types.Map); !isMap {
			c.open = true
		}
		return
	case *ast.SliceExpr:
		for _, child := range []ast.Expr{x.X, x.Low, x.High, x.Max} {
			if child != nil {
				c.walk(child, inner)
			}
		}
		if c.clear(around) {
			c.slice(x)
		} else {
			c.open = true
		}
		return
	case *ast.StarExpr:
		if l.info.Types[x].IsType() {
			return
		}
		c.walk(x.X, inner)
		c.pointer(x.X, x.Pos(), around)
		return
	case *ast.SelectorExpr:
		sel := l.info.Selections[x]
		if sel == nil {
			return
		}
		c.walk(x.X, inner)
		if sel.Kind() == types.FieldVal {
			if len(sel.Index()) == 1 {
				c.pointer(x.X, x.Sel.Pos(), around)
			} else {
				c.open = c.open || sel.Indirect()
			}
		}
		return
	}
	for _, child := range children(n) {
		if x, ok := child.(ast.Expr); ok {
			if !l.info.Types[x].IsType() {
				c.walk(x, inner)
			}
		}
	}
}

func (c *checker) pointer(x ast.Expr, at token.Pos, around []ast.Node) {
	l := c.l
	if _, ok := l.typeOf(x).Underlying().(*types.Pointer); !ok {
		return
	}
	if !c.clear(around) || !l.pure(x) {
		c.open = true
		return
	}
	if id, ok := ast.Unparen(x).(*ast.Ident); ok {
		if l.info.Types[id].IsNil() {
			return
		}
		if l.looping() && l.steady(id, l.around) != nil {
			c.open = true // looked at once for each iteration, it would slow the loop down
			return
		}
	}
	c.add(l.expr(x)+" == nil", l.faultCall("Nil", at))
}

// looping reports whether a statement stands in a loop, where a check costs more than it tells.
func (l *lowering) looping() bool {
	for i := len(l.loops) - 1; i >= 0 && !l.loops[i].barrier; i-- {
		if l.loops[i].isLoop {
			return true
		}
	}
	return false
}

// pure reports whether x is made of variables, fields, constants, lengths and sums alone.
func (l *lowering) pure(x ast.Expr) bool {
	if tv := l.info.Types[x]; tv.Value != nil {
		return true
	}
	switch x := x.(type) {
	case *ast.Ident:
		_, ok := l.object(x).(*types.Var)
		return ok
	case *ast.ParenExpr:
		return l.pure(x.X)
	case *ast.SelectorExpr:
		sel := l.info.Selections[x]
		return sel != nil && sel.Kind() == types.FieldVal && l.pure(x.X)
	case *ast.BinaryExpr:
		return (x.Op == token.ADD || x.Op == token.SUB || x.Op == token.MUL) && l.pure(x.X) && l.pure(x.Y)
	case *ast.CallExpr:
		id, ok := ast.Unparen(x.Fun).(*ast.Ident)
		if !ok || len(x.Args) != 1 {
			return false
		}
		b, ok := l.object(id).(*types.Builtin)
		return ok && (b.Name() == "len" || b.Name() == "cap") && l.pure(x.Args[0])
	}
	return false
}

// length is the text of the length of x, "" where x cannot be looked at twice.
func (l *lowering) length(x ast.Expr) string {
	if v := l.info.Types[x].Value; v != nil && v.Kind() == constant.String {
		return fmt.Sprint(len(constant.StringVal(v)))
	}
	if !l.pure(x) || l.info.Types[x].Value != nil {
		return ""
	}
	switch u := l.typeOf(x).Underlying().(type) {
	case *types.Slice:
		return "len(" + l.expr(x) + ")"
	case *types.Array:
		return fmt.Sprint(u.Len())
	case *types.Basic:
		if u.Info()&types.IsString != 0 {
			return "len(" + l.expr(x) + ")"
		}
	}
	return ""
}

func (c *checker) index(x *ast.IndexExpr) {
	l := c.l
	length := l.length(x.X)
	if length == "" || !l.pure(x.Index) || !types.Identical(types.Default(l.typeOf(x.Index)), types.Typ[types.Int]) {
		_, isMap := l.typeOf(x.X).Underlying().(*types.Map)
		c.open = c.open || !isMap
		return
	}
	low, high := l.within(x.Index, x.X)
	i := l.expr(x.Index)
	fault := l.faultCall("Index", x.Lbrack, i, length)
	if !low && l.info.Types[x.Index].Value == nil {
		if l.looping() {
			c.open = true
		} else {
			c.add(i+" < 0", fault)
		}
	}
	if !high {
		c.add(i+" >= "+length, fault)
	}
}

func (c *checker) slice(x *ast.SliceExpr) {
	l := c.l
	length := l.length(x.X)
	if length == "" || x.Slice3 {
		c.open = true
		return
	}
	size, isSlice := length, 0
	if _, ok := l.typeOf(x.X).Underlying().(*types.Slice); ok {
		size, isSlice = "cap("+l.expr(x.X)+")", 1
	}
	lo, hi := "0", length
	open := 1
	for i, b := range []ast.Expr{x.Low, x.High} {
		if b == nil {
			continue
		}
		if !l.pure(b) || !types.Identical(types.Default(l.typeOf(b)), types.Typ[types.Int]) {
			c.open = true
			return
		}
		if i == 0 {
			lo = l.expr(b)
		} else {
			hi, open = l.expr(b), 0
		}
	}
	fault := l.faultCall("Slice", x.Lbrack, lo, hi, size, fmt.Sprint(isSlice), fmt.Sprint(open))
	if x.High != nil {
		if l.info.Types[x.High].Value == nil {
			c.add(hi+" < 0", fault)
		}
		c.add(hi+" > "+size, fault)
	}
	if x.Low != nil {
		if l.info.Types[x.Low].Value == nil {
			c.add(lo+" < 0", fault)
		}
		if lo != "0" {
			c.add(lo+" > "+hi, fault)
		}
	}
}

// counted is a variable of a loop that its body does not assign to.
type counted struct {
	obj  types.Object
	over types.Object // it is less than the length of this
}

// within reports whether an index is known to be at least zero, and less than the length of what it indexes.
func (l *lowering) within(index, x ast.Expr) (low, high bool) {
	id, ok := ast.Unparen(index).(*ast.Ident)
	if !ok {
		return false, false
	}
	obj := l.object(id)
	for _, c := range l.counted {
		if c.obj == obj {
			of, ok := ast.Unparen(x).(*ast.Ident)
			return true, ok && c.over != nil && l.object(of) == c.over
		}
	}
	return false, false
}

// count notes what a loop's head says of its variable.
func (l *lowering) count(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.RangeStmt:
		id, ok := s.Key.(*ast.Ident)
		if !ok || s.Tok != token.DEFINE || l.assignedIn(s.Body, l.info.Defs[id]) {
			return
		}
		over := s.X
		if call, ok := ast.Unparen(s.X).(*ast.CallExpr); ok && l.pure(call) {
			over = call.Args[0]
		} else if b, ok := l.typeOf(s.X).Underlying().(*types.Basic); ok && b.Info()&types.IsInteger != 0 {
			over = nil
		}
		switch l.typeOf(s.X).Underlying().(type) {
		case *types.Slice, *types.Array, *types.Basic:
			l.counted = append(l.counted, counted{l.info.Defs[id], l.steady(over, s.Body)})
		}
	case *ast.ForStmt:
		a, ok := s.Init.(*ast.AssignStmt)
		post, inc := s.Post.(*ast.IncDecStmt)
		if !ok || a.Tok != token.DEFINE || len(a.Lhs) != 1 || !inc || post.Tok != token.INC {
			return
		}
		id, _ := a.Lhs[0].(*ast.Ident)
		over, ok := post.X.(*ast.Ident)
		tv := l.info.Types[a.Rhs[0]]
		if id == nil || !ok || l.info.Defs[id] == nil || l.object(over) != l.info.Defs[id] || tv.Value == nil || strings.HasPrefix(tv.Value.ExactString(), "-") || l.assignedIn(s.Body, l.info.Defs[id]) {
			return
		}
		c := counted{obj: l.info.Defs[id]}
		if cond, ok := s.Cond.(*ast.BinaryExpr); ok && cond.Op == token.LSS {
			if i, ok := ast.Unparen(cond.X).(*ast.Ident); ok && l.object(i) == c.obj {
				if call, ok := ast.Unparen(cond.Y).(*ast.CallExpr); ok && l.pure(call) {
					c.over = l.steady(call.Args[0], s.Body)
				}
			}
		}
		l.counted = append(l.counted, c)
	}
}

// steady is the local variable x, if body does not assign to it.
func (l *lowering) steady(x ast.Expr, body *ast.BlockStmt) types.Object {
	if x == nil {
		return nil
	}
	id, ok := ast.Unparen(x).(*ast.Ident)
	if !ok {
		return nil
	}
	v, ok := l.object(id).(*types.Var)
	if !ok || l.global(v) != "" || l.assignedIn(body, v) {
		return nil
	}
	return v
}

// assignedIn reports whether body assigns to a variable, or takes its address, or hands it to a function literal.
func (l *lowering) assignedIn(body *ast.BlockStmt, obj types.Object) bool {
	found := false
	is := func(x ast.Expr) bool {
		id, ok := ast.Unparen(x).(*ast.Ident)
		return ok && l.info.Uses[id] == obj
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				found = found || is(x)
			}
		case *ast.IncDecStmt:
			found = found || is(n.X)
		case *ast.RangeStmt:
			found = found || n.Key != nil && is(n.Key) || n.Value != nil && is(n.Value)
		case *ast.UnaryExpr:
			found = found || n.Op == token.AND && is(n.X)
		case *ast.FuncLit:
			ast.Inspect(n, func(m ast.Node) bool {
				if id, ok := m.(*ast.Ident); ok && l.info.Uses[id] == obj {
					found = true
				}
				return !found
			})
			return false
		}
		return !found
	})
	return found || l.captured(obj, body)
}

// site is where a panic was raised.
type site struct {
	line, column int
	value        any
}

// is reports whether the panic of a site is one with this value.
func (s site) is(value any) (same bool) {
	defer func() {
		if recover() != nil { // it cannot be compared
			same = true
		}
	}()
	return plain(s.value) == plain(value)
}

// failAt panics with a fault at a position.
func (s *support) failAt(v any, line, column int) {
	s.sites.Store(goroutine(), site{line, column, v})
	panic(v)
}

func (s *support) indexFault(i, n, line, column int) {
	if i < 0 {
		s.failAt(fault(fmt.Sprintf("index out of range [%d]", i)), line, column)
	}
	s.failAt(fault(fmt.Sprintf("index out of range [%d] with length %d", i, n)), line, column)
}

func (s *support) sliceFault(lo, hi, size, isSlice, open, line, column int) {
	text := ""
	switch {
	case open == 1 && lo > hi:
		text = fmt.Sprintf("[%d:%d]", lo, hi)
	case hi < 0:
		text = fmt.Sprintf("[:%d]", hi)
	case hi > size && isSlice == 1:
		text = fmt.Sprintf("[:%d] with capacity %d", hi, size)
	case hi > size:
		text = fmt.Sprintf("[:%d] with length %d", hi, size)
	case lo < 0:
		text = fmt.Sprintf("[%d:]", lo)
	default:
		text = fmt.Sprintf("[%d:%d]", lo, hi)
	}
	s.failAt(fault("slice bounds out of range "+text), line, column)
}
