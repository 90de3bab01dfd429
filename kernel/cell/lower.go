package cell

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"math"
	"strconv"
	"strings"
)

// lowering rewrites checked syntax into the Go that yaegi runs right: type parameters are gone, loops have their
// variables in the body, ranges over integers and functions are plain loops and calls, constants are literals, names
// declared by cells are the interpreter's own. Text that needs no change is kept as it is.
type lowering struct {
	e       *Evaluator
	info    *types.Info
	subs    substitution
	hoisted map[types.Object]string // variables of the cell being lowered, by their run-time names
	out     *emission
	text    string // source of the file being lowered
	base    token.Pos
	sig     *types.Signature // of the function being lowered
	results []string         // names of its results, when it has them
	loops   []*loopContext
	top     bool                    // outside any function
	defers  string                  // variable that holds what the function defers; "" where it defers nothing
	claimed string                  // variable that holds the panic that recover stops
	around  *ast.BlockStmt          // body of the innermost loop
	counted []counted               // variables of the loops around
	renamed map[types.Object]string // named results, which a return statement may have to name where they are hidden
	fresh   map[string]bool         // variables of the cell that the interpreter has just made
	at      *places                 // of the function being lowered, if it says where it is
	faults  []token.Pos             // statements of the loop just lowered that may fault in ways that are not looked at
}

// emission collects what must be declared before the lowered text can run.
type emission struct {
	decls        []string
	imports      map[string]string // import path to local name
	work         []func()
	uses         map[string]bool // names of cells that the text refers to
	newInstances []string
	inits        string // statements that run before the cell's own
	dirty        map[*dispatcher]bool
	teach        []methodOf
}

func newEmission() *emission {
	return &emission{imports: map[string]string{}, uses: map[string]bool{}, dirty: map[*dispatcher]bool{}}
}

// loopContext is a statement that break or continue may leave, inside out.
type loopContext struct {
	label    string
	function *rangeFunction // the body has become a function; nil for loops that stay loops
	isLoop   bool
	barrier  bool // a function literal: nothing outside can be left

	quiet  bool        // its body calls nothing
	faults []token.Pos // statements of a quiet body that may fault in ways that are not looked at
	again  string      // says where the loop's condition and what follows its body are
}

// rangeFunction is a range over a function on its way to being a call.
type rangeFunction struct {
	body    *ast.BlockStmt
	code    string // variable that says how the body ended
	over    string // variable that is true while the body runs and after the loop
	exits   []string
	results []string
}

func (l *lowering) tmp(prefix string) string {
	l.e.counter++
	return fmt.Sprintf("%sˍ%d", prefix, l.e.counter)
}

// nowhere is a directive that says that the following text is no cell's.
const nowhere = "/*line _.go:1:1*/"

// cellFunction is what the interpreter calls the statements of the cell that runs.
const cellFunction = "cell_run"

// in sets the file that n belongs to.
func (l *lowering) in(n ast.Node) {
	tf := l.e.fset.File(n.Pos())
	if tf == nil {
		return
	}
	l.text, l.base = l.e.texts[tf], token.Pos(tf.Base())
}

func (l *lowering) source(from, to token.Pos) string {
	a, b := int(from-l.base), int(to-l.base)
	if a < 0 || b > len(l.text) || a > b {
		return ""
	}
	return l.text[a:b]
}

// line is a directive that tells yaegi where in the cell the following text stands: a declaration, a statement or, behind its
// operand, an operation that can panic.
func (l *lowering) line(pos token.Pos) string {
	p := l.e.fset.Position(pos)
	if !p.IsValid() || p.Filename == "" {
		return ""
	}
	return fmt.Sprintf("/*line _.go:%d:%d*/", l.e.lineNumber(p), p.Column)
}

// page is a stretch of the lines of a cell.
type page struct {
	cell   string
	number int // lines number*linesPerPage on
}

// linesPerPage is small, since the positions of a file set end at line 2^30 and a session may run for weeks.
const linesPerPage = 1000

// lineNumber is the line that the interpreter sees for a position. It finds imports by the name of the file that a position
// is in, so all its text has one file name, and which cell it is follows from the line.
func (e *Evaluator) lineNumber(p token.Position) int {
	at := page{p.Filename, p.Line / linesPerPage}
	n, ok := e.pageNumbers[at]
	if !ok {
		n = len(e.pages)
		e.pageNumbers[at] = n
		e.pages = append(e.pages, at)
	}
	return n*linesPerPage + p.Line%linesPerPage
}

// lineOf is the way back from lineNumber; no cell's name means that the line is none of a cell.
func (e *Evaluator) lineOf(number, column int) token.Position {
	if k := number / linesPerPage; k > 0 && k < len(e.pages) {
		return token.Position{Filename: e.pages[k].cell, Line: e.pages[k].number*linesPerPage + number%linesPerPage, Column: column}
	}
	return token.Position{}
}

// position turns what the interpreter says back into a position of a cell.
func (e *Evaluator) position(file, line, column string) token.Position {
	n, _ := strconv.Atoi(line)
	c, _ := strconv.Atoi(column)
	if file != "_.go" && file != "" {
		return token.Position{}
	}
	return e.lineOf(n, c)
}

func (l *lowering) typeOf(e ast.Expr) types.Type { return l.subs.of(l.info.TypeOf(e)) }

func (l *lowering) object(id *ast.Ident) types.Object { return l.info.ObjectOf(id) }

// children lists the direct children of n in order.
func children(n ast.Node) []ast.Node {
	var list []ast.Node
	first := true
	ast.Inspect(n, func(c ast.Node) bool {
		if first {
			first = false
			return true
		}
		if c != nil {
			list = append(list, c)
		}
		return false
	})
	return list
}

// node lowers n.
func (l *lowering) node(n ast.Node) string {
	switch n := n.(type) {
	case ast.Expr:
		return l.expr(n)
	case *ast.BlockStmt:
		return "{" + l.list(n.List) + "}"
	case ast.Stmt:
		return l.stmt(n)
	}
	return l.copy(n)
}

// copy keeps the text of n but for its children.
func (l *lowering) copy(n ast.Node) string {
	var b strings.Builder
	at := n.Pos()
	for _, c := range children(n) {
		if c.Pos() < at {
			continue
		}
		b.WriteString(l.source(at, c.Pos()))
		b.WriteString(l.node(c))
		at = c.End()
	}
	b.WriteString(l.source(at, n.End()))
	return b.String()
}

func (l *lowering) list(stmts []ast.Stmt) string {
	var b strings.Builder
	for _, s := range stmts {
		checks, open := l.checks(s)
		place := l.place(s, open)
		text := l.stmt(s)
		if place == "" {
			place = l.placeLoop(s)
		}
		l.faults = nil
		b.WriteString("\n" + checks + place + l.line(s.Pos()) + text)
	}
	b.WriteString("\n")
	return b.String()
}

func (l *lowering) exprs(list []ast.Expr) string {
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = l.expr(x)
	}
	return strings.Join(parts, ", ")
}

func (l *lowering) expr(x ast.Expr) string {
	if x == nil {
		return ""
	}
	tv, known := l.info.Types[x]
	if known && tv.IsType() {
		return l.typ(l.subs.of(tv.Type), x)
	}
	if known && tv.Value != nil {
		return l.constant(x, tv)
	}
	switch x := x.(type) {
	case *ast.Ident:
		return l.ident(x)
	case *ast.SelectorExpr:
		return l.selector(x)
	case *ast.CallExpr:
		return l.call(x)
	case *ast.FuncLit:
		return l.funcLit(x)
	case *ast.CompositeLit:
		return l.composite(x)
	case *ast.IndexExpr:
		if s, ok := l.instance(x.X); ok {
			return s
		}
		if m, ok := l.typeOf(x.X).Underlying().(*types.Map); ok {
			return l.expr(x.X) + l.line(x.Lbrack) + "[" + l.key(x.Index, m) + "]"
		}
		return l.expr(x.X) + l.line(x.Lbrack) + "[" + l.expr(x.Index) + "]"
	case *ast.IndexListExpr:
		if s, ok := l.instance(x.X); ok {
			return s
		}
	case *ast.ParenExpr:
		if _, ok := ast.Unparen(x).(*ast.Ident); ok { // beside && the interpreter would branch on it
			return l.expr(x.X)
		}
		return "(" + l.expr(x.X) + ")"
	case *ast.UnaryExpr:
		return "(" + x.Op.String() + l.expr(x.X) + ")"
	case *ast.StarExpr:
		return "(*" + l.expr(x.X) + ")"
	case *ast.BinaryExpr:
		if x.Op == token.EQL || x.Op == token.NEQ {
			t := l.typeOf(x.X)
			if (types.IsInterface(t) || types.IsInterface(l.typeOf(x.Y))) && !l.info.Types[x.X].IsNil() && !l.info.Types[x.Y].IsNil() {
				return map[token.Token]string{token.EQL: "", token.NEQ: "!"}[x.Op] + l.equal(x.X, x.Y)
			}
			switch t.Underlying().(type) {
			case *types.Struct, *types.Array:
				if types.Identical(t, l.typeOf(x.Y)) { // as an operand of && or || it would not be wired to what follows
					ts := l.typ(t, x)
					return "func(a, b " + ts + ") bool { return a " + x.Op.String() + " b }(" + l.expr(x.X) + ", " + l.expr(x.Y) + ")"
				}
			}
		}
		if x.Op == token.LAND || x.Op == token.LOR {
			// The interpreter would branch on the first thing that it looks at, which of a conversion is the type.
			side := func(x ast.Expr) string {
				if l.info.Types[x].Value == nil && !logical(x) && l.converts(x) {
					return "func() bool { return bool(" + l.expr(x) + ") }()"
				}
				return l.expr(x)
			}
			return "(" + side(x.X) + " " + l.line(x.OpPos) + x.Op.String() + " " + side(x.Y) + ")"
		}
		return "(" + l.expr(x.X) + " " + l.line(x.OpPos) + x.Op.String() + " " + l.expr(x.Y) + ")"
	case *ast.SliceExpr:
		s := l.expr(x.X) + l.line(x.Lbrack) + "[" + l.expr(x.Low) + ":" + l.expr(x.High)
		if x.Slice3 {
			s += ":" + l.expr(x.Max)
		}
		return s + "]"
	case *ast.TypeAssertExpr:
		if x.Type == nil {
			return l.expr(x.X) + ".(type)"
		}
		return l.assertion(x, false)
	case *ast.KeyValueExpr:
		return l.expr(x.Key) + ": " + l.expr(x.Value)
	}
	return l.copy(x)
}

func (l *lowering) constant(x ast.Expr, tv types.TypeAndValue) string {
	t := l.subs.of(tv.Type)
	if _, ok := t.Underlying().(*types.Interface); ok {
		t = tv.Type
	}
	b, ok := t.Underlying().(*types.Basic)
	if !ok {
		return l.copy(x)
	}
	v := tv.Value
	var text string
	plain := false
	switch info := b.Info(); {
	case info&types.IsBoolean != 0:
		text, plain = strconv.FormatBool(constant.BoolVal(v)), true
	case info&types.IsString != 0:
		text, plain = strconv.Quote(constant.StringVal(v)), true
	case info&types.IsInteger != 0:
		text = constant.ToInt(v).ExactString()
		plain = b.Kind() == types.Int || b.Kind() == types.UntypedInt
		if b.Kind() == types.UntypedRune {
			t = types.Typ[types.Int32]
		}
	case info&types.IsFloat != 0:
		f, _ := constant.Float64Val(constant.ToFloat(v))
		if b.Kind() == types.Float32 {
			f32, _ := constant.Float32Val(constant.ToFloat(v))
			f = float64(f32)
		}
		text = strconv.FormatFloat(f, 'g', -1, 64)
		if math.IsInf(f, 0) {
			refuse(x.Pos(), "the constant %s yet", v)
		}
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		plain = b.Kind() != types.Float32
	case info&types.IsComplex != 0:
		re, _ := constant.Float64Val(constant.Real(constant.ToComplex(v)))
		im, _ := constant.Float64Val(constant.Imag(constant.ToComplex(v)))
		text = fmt.Sprintf("complex(float64(%s), float64(%s))", strconv.FormatFloat(re, 'g', -1, 64), strconv.FormatFloat(im, 'g', -1, 64))
		plain = b.Kind() != types.Complex64
	default:
		return l.copy(x)
	}
	if _, named := types.Unalias(t).(*types.Named); !named && plain {
		if strings.HasPrefix(text, "-") {
			return "(" + text + ")"
		}
		return text
	}
	return l.typ(types.Default(t), x) + "(" + text + ")"
}

// global is the run-time name of an object that cells declared at top level; "" for all others.
func (l *lowering) global(obj types.Object) string {
	if name, ok := l.hoisted[obj]; ok {
		l.out.uses[obj.Name()] = true
		return name
	}
	if obj.Pkg() == nil || obj.Pkg().Path() != "main" {
		return ""
	}
	if obj.Parent() != nil && obj.Parent().Parent() == types.Universe || obj.Parent() == nil && l.e.isTop(obj) || l.e.isTop(obj) {
		if n := l.e.pending(obj.Name()); n != nil {
			l.out.uses[obj.Name()] = true
			if old := l.e.entities[obj.Name()]; old != nil && old != n && old.isVar() && n.isVar() {
				// In x := f(x), which declares x anew with another type, the operand is the old one.
				now, was, is := types.TypeString(n.obj.Type(), nil), types.TypeString(old.obj.Type(), nil), types.TypeString(obj.Type(), nil)
				if is != now && is == was {
					return old.run
				}
			}
			return n.run
		}
	}
	return ""
}

// alias is the local name of an imported package.
func (l *lowering) alias(path string) string {
	name, ok := l.out.imports[path]
	if !ok {
		name = packageAlias(path)
		l.out.imports[path] = name
	}
	return name
}

// packageAlias is what lowered text calls a package.
func packageAlias(path string) string {
	return "pkg_" + strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(path)
}

func (l *lowering) ident(x *ast.Ident) string {
	obj := l.object(x)
	switch obj := obj.(type) {
	case nil, *types.Builtin, *types.Nil, *types.Label, *types.PkgName:
		return x.Name
	case *types.Func:
		if s, ok := l.instance(x); ok {
			return s
		}
		if g := l.global(obj); g != "" {
			return g
		}
		if obj.Pkg() != nil && obj.Pkg().Path() != "main" {
			return l.foreign(x.Pos(), obj)
		}
	case *types.Var:
		if name, ok := l.renamed[obj]; ok {
			return name
		}
		if g := l.global(obj); g != "" {
			return g
		}
		if obj.Pkg() != nil && obj.Pkg().Path() != "main" && !obj.IsField() && obj.Parent() == obj.Pkg().Scope() {
			return l.foreign(x.Pos(), obj)
		}
	}
	return local(x.Name)
}

// local is what lowered text calls a local variable: names that have a meaning of their own get another one, so that
// the text around them keeps it.
func local(name string) string {
	if types.Universe.Lookup(name) != nil || reservedName.MatchString(name) {
		return name + "ˍ"
	}
	return name
}

// foreign names a symbol of a compiled package.
func (l *lowering) foreign(at token.Pos, obj types.Object) string {
	path := obj.Pkg().Path()
	if !l.e.provides(path, obj.Name()) {
		refuse(at, "%s.%s yet", path, obj.Name())
	}
	return l.alias(path) + "." + obj.Name()
}

func (l *lowering) selector(x *ast.SelectorExpr) string {
	sel := l.info.Selections[x]
	if sel == nil { // package-qualified
		obj := l.object(x.Sel)
		if s, ok := l.instance(x); ok {
			return s
		}
		if f, ok := obj.(*types.Func); ok {
			if special := l.special(f); special != "" {
				return special
			}
		}
		return l.foreign(x.Pos(), obj)
	}
	if sel.Kind() == types.MethodExpr {
		return l.methodExpr(x, sel)
	}
	if v, ok := sel.Obj().(*types.Var); ok && v.Embedded() {
		return l.expr(x.X) + "." + l.embedded(v)
	}
	if sel.Kind() == types.MethodVal {
		return l.methodValue(x, sel)
	}
	if p, ok := ast.Unparen(x.X).(*ast.StarExpr); ok { // the interpreter's compiler fails on (*p).f in a composite literal
		return l.expr(p.X) + l.line(x.Sel.Pos()) + "." + x.Sel.Name
	}
	return l.expr(x.X) + l.line(x.Sel.Pos()) + "." + x.Sel.Name
}

// methodValue binds x.M to its receiver as it is now.
func (l *lowering) methodValue(x *ast.SelectorExpr, sel *types.Selection) string {
	sig := l.typeOf(x).Underlying().(*types.Signature)
	params, args := l.params(sig, "a")
	ret := ""
	if sig.Results().Len() > 0 {
		ret = "return "
	}
	t := l.typeOf(x.X)
	recv := l.expr(x.X)
	_, byPointer := types.Unalias(sel.Obj().(*types.Func).Signature().Recv().Type()).(*types.Pointer)
	if _, isPointer := t.Underlying().(*types.Pointer); byPointer && !isPointer && !types.IsInterface(t) {
		t, recv = types.NewPointer(t), "&"+recv
	} else if isPointer && !byPointer && len(sel.Index()) == 1 {
		t, recv = t.Underlying().(*types.Pointer).Elem(), "(*"+recv+")"
	}
	call := "r." + x.Sel.Name + "(" + strings.Join(args, ", ") + ")"
	if text, ok := l.dynamicCall("r", t, sel, sig, args); ok {
		call = text
		if types.IsInterface(t) {
			recv = l.alias(supportPath) + ".NotNil(" + recv + ")"
		}
	}
	return "func(r " + l.typ(t, x) + ") " + l.typ(sig, x) + " { return func(" + params + ")" + l.resultTypes(sig) + " { " + ret + call + " } }(" + recv + ")"
}

// embedded is the name of an embedded field in the interpreter: that of its type there.
func (l *lowering) embedded(v *types.Var) string {
	t := pointee(types.Unalias(l.subs.of(v.Type())))
	if n, ok := types.Unalias(t).(*types.Named); ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == "main" && !open(t) {
		return l.named(n, nil)
	}
	return v.Name()
}

// methodExpr writes T.M as a function literal.
func (l *lowering) methodExpr(x *ast.SelectorExpr, sel *types.Selection) string {
	sig := l.typeOf(x).Underlying().(*types.Signature)
	params, args := l.params(sig, "a")
	ret := ""
	if sig.Results().Len() > 0 {
		ret = "return "
	}
	rest := ""
	if len(args) > 1 {
		rest = strings.Join(args[1:], ", ")
	}
	call := args[0] + "." + x.Sel.Name + "(" + rest + ")"
	var list []*types.Var
	for i := 1; i < sig.Params().Len(); i++ {
		list = append(list, sig.Params().At(i))
	}
	method := types.NewSignatureType(nil, nil, nil, types.NewTuple(list...), sig.Results(), sig.Variadic())
	if text, ok := l.dynamicCall(args[0], sig.Params().At(0).Type(), sel, method, args[1:]); ok {
		call = text
	}
	return "func(" + params + ")" + l.resultTypes(sig) + " { " + ret + call + " }"
}

func (l *lowering) params(sig *types.Signature, prefix string) (decl string, args []string) {
	var parts []string
	for i := range sig.Params().Len() {
		name := fmt.Sprintf("%s%d", prefix, i)
		t := sig.Params().At(i).Type()
		if sig.Variadic() && i == sig.Params().Len()-1 {
			parts = append(parts, name+" ..."+l.typ(t.(*types.Slice).Elem(), nil))
			args = append(args, name+"...")
			continue
		}
		parts = append(parts, name+" "+l.typ(t, nil))
		args = append(args, name)
	}
	return strings.Join(parts, ", "), args
}

func (l *lowering) resultTypes(sig *types.Signature) string {
	if sig.Results().Len() == 0 {
		return ""
	}
	var parts []string
	for i := range sig.Results().Len() {
		parts = append(parts, l.typ(sig.Results().At(i).Type(), nil))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// instance names a generic function with its type arguments, declaring the instance when it is new.
func (l *lowering) instance(x ast.Expr) (string, bool) {
	var id *ast.Ident
	switch x := ast.Unparen(x).(type) {
	case *ast.Ident:
		id = x
	case *ast.SelectorExpr:
		if l.info.Selections[x] != nil {
			return "", false
		}
		id = x.Sel
	default:
		return "", false
	}
	inst, ok := l.info.Instances[id]
	if !ok {
		return "", false
	}
	f, ok := l.object(id).(*types.Func)
	if !ok {
		return "", false
	}
	args := make([]types.Type, inst.TypeArgs.Len())
	for i := range args {
		args[i] = l.subs.of(inst.TypeArgs.At(i))
	}
	src := l.e.genericSource(f)
	if src == nil {
		refuse(x.Pos(), "%s.%s yet", f.Pkg().Path(), f.Name())
	}
	if f.Pkg().Path() == "main" {
		l.out.uses[f.Name()] = true
	}
	return l.instantiate(src, args), true
}

// instantiate declares src for args and returns its name.
func (l *lowering) instantiate(src *genericFunc, args []types.Type) string {
	key := src.run
	for _, a := range args {
		key += "|" + l.typ(a, nil)
	}
	if name := l.e.instances[key]; name != "" {
		return name
	}
	l.e.counter++
	name := fmt.Sprintf("%s__i%d", src.run, l.e.counter)
	l.e.instances[key] = name
	l.out.newInstances = append(l.out.newInstances, key)
	subs := substitution{}
	tparams := src.body.Type().(*types.Signature).TypeParams()
	for i := range tparams.Len() {
		subs[tparams.At(i)] = args[i]
	}
	out := l.out
	e := l.e
	out.work = append(out.work, func() {
		inner := &lowering{e: e, info: src.info, subs: subs, out: out}
		out.decls = append(out.decls, inner.function(name, src.decl, src.body, ""))
	})
	return name
}

// typ writes a type in the interpreter's names.
func (l *lowering) typ(t types.Type, at ast.Node) string {
	switch t := t.(type) {
	case *types.Basic:
		if t.Info()&types.IsUntyped != 0 {
			return types.Default(t).String()
		}
		if t.Kind() == types.UnsafePointer {
			refuse(position(at), "package unsafe yet")
		}
		return t.Name()
	case *types.Alias:
		return l.typ(types.Unalias(t), at)
	case *types.TypeParam:
		return l.typ(l.subs.of(t), at)
	case *types.Named:
		return l.named(t, at)
	case *types.Pointer:
		return "*" + l.typ(t.Elem(), at)
	case *types.Slice:
		return "[]" + l.typ(t.Elem(), at)
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), l.typ(t.Elem(), at))
	case *types.Map:
		return "map[" + l.typ(t.Key(), at) + "]" + l.typ(t.Elem(), at)
	case *types.Chan:
		switch t.Dir() {
		case types.SendOnly:
			return "chan<- " + l.typ(t.Elem(), at)
		case types.RecvOnly:
			return "<-chan " + l.typ(t.Elem(), at)
		}
		return "chan (" + l.typ(t.Elem(), at) + ")"
	case *types.Signature:
		params, _ := l.params(t, "p")
		return "func(" + params + ")" + l.resultTypes(t)
	case *types.Struct:
		var b strings.Builder
		b.WriteString("struct {")
		for i := range t.NumFields() {
			f := t.Field(i)
			if i > 0 {
				b.WriteString("; ")
			}
			ft := l.subs.of(f.Type())
			if !f.Embedded() || open(ft) {
				b.WriteString(f.Name() + " ")
			} else if elem := types.Unalias(pointee(types.Unalias(ft))); !isNamed(elem) && elem.String() != f.Name() {
				refuse(position(at), "the embedded alias %s of a type without a name yet", f.Name())
			}
			b.WriteString(l.typ(ft, at))
			if tag := t.Tag(i); tag != "" {
				b.WriteString(" " + strconv.Quote(tag))
			}
		}
		b.WriteString("}")
		return b.String()
	case *types.Interface:
		return "interface{}" // see Box
	case *types.Tuple:
		if t.Len() == 1 {
			return l.typ(t.At(0).Type(), at)
		}
	}
	refuse(position(at), "a value of type %s yet", t)
	return ""
}

// pointee is what a pointer type points at, and any other type itself.
func pointee(t types.Type) types.Type {
	if p, ok := t.(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}

func isNamed(t types.Type) bool { _, ok := t.(*types.Named); return ok }

func position(n ast.Node) token.Pos {
	if n == nil {
		return token.NoPos
	}
	return n.Pos()
}

func (l *lowering) named(t *types.Named, at ast.Node) string {
	obj := t.Obj()
	if obj.Pkg() == nil {
		if obj.Name() == "comparable" {
			return "interface{}"
		}
		return obj.Name()
	}
	if obj.Pkg().Path() != "main" {
		if t.TypeArgs().Len() > 0 {
			switch u := t.Underlying().(type) {
			case *types.Signature, *types.Interface: // iter.Seq
				return l.typ(u, at)
			}
			refuse(position(at), "the type %s yet", t)
		}
		if !obj.Exported() {
			refuse(position(at), "a variable of the unexported type %s yet", t)
		}
		return l.foreign(position(at), obj)
	}
	if open(t) {
		if l.e.isTop(obj) {
			l.out.uses[obj.Name()] = true
		}
		return "interface{}"
	}
	if !l.e.isTop(obj) { // declared inside a function
		run, ok := l.e.dynamics.locals[obj]
		if !ok {
			refuse(position(at), "the type %s here yet", obj.Name())
		}
		return run
	}
	n := l.e.pending(obj.Name())
	if n == nil {
		refuse(position(at), "the type %s here yet: it has been declared anew since", obj.Name())
	}
	l.out.uses[obj.Name()] = true
	if t.TypeArgs().Len() == 0 {
		return n.run
	}
	key := n.run
	for i := range t.TypeArgs().Len() {
		key += "|" + l.typ(l.subs.of(t.TypeArgs().At(i)), at)
	}
	if name := l.e.instances[key]; name != "" {
		return name
	}
	l.e.counter++
	name := fmt.Sprintf("%s__i%d", n.run, l.e.counter)
	l.e.instances[key] = name
	l.out.newInstances = append(l.out.newInstances, key)
	concrete := l.subs.of(t).(*types.Named)
	out, e := l.out, l.e
	out.decls = append(out.decls, "type "+name+" "+(&lowering{e: e, info: l.info, subs: l.subs, out: out}).typ(concrete.Underlying(), at))
	for _, m := range e.methodsOf(obj.Name()) {
		out.work = append(out.work, func() {
			inner := &lowering{e: e, info: m.info, subs: substitution{}, out: out}
			tparams := m.body.Type().(*types.Signature).TypeParams()
			for i := range tparams.Len() {
				inner.subs[tparams.At(i)] = concrete.TypeArgs().At(i)
			}
			out.decls = append(out.decls, inner.function("", m.decl, m.body, name))
		})
	}
	return name
}

func (l *lowering) composite(x *ast.CompositeLit) string {
	t := l.typeOf(x)
	var b strings.Builder
	if p, ok := t.Underlying().(*types.Pointer); ok && x.Type == nil {
		b.WriteString("&" + l.typ(p.Elem(), x))
	} else {
		b.WriteString(l.typ(t, x))
	}
	under := pointee(t.Underlying()).Underlying()
	st, isStruct := under.(*types.Struct)
	var elem, key types.Type
	switch u := under.(type) {
	case *types.Slice:
		elem = u.Elem()
	case *types.Array:
		elem = u.Elem()
	case *types.Map:
		key, elem = u.Key(), u.Elem()
	}
	b.WriteString("{")
	for i, elt := range x.Elts {
		if i > 0 {
			b.WriteString(", ")
		}
		if kv, ok := elt.(*ast.KeyValueExpr); ok {
			if isStruct {
				id := kv.Key.(*ast.Ident)
				v := l.info.Uses[id].(*types.Var)
				elem = v.Type()
				if v.Embedded() {
					b.WriteString(l.embedded(v))
				} else {
					b.WriteString(id.Name)
				}
			} else {
				b.WriteString(l.into(kv.Key, key))
			}
			b.WriteString(": " + l.element(kv.Value, elem))
			continue
		}
		if isStruct {
			elem = st.Field(i).Type()
		}
		b.WriteString(l.element(elt, elem))
	}
	b.WriteString("}")
	return b.String()
}

// element lowers an element of a composite literal. The interpreter's compiler fails on a field of what a pointer to a
// pointer leads to.
func (l *lowering) element(x ast.Expr, t types.Type) string {
	text := l.into(x, t)
	if sel, ok := ast.Unparen(x).(*ast.SelectorExpr); ok && l.info.Selections[sel] != nil {
		twice := false
		ast.Inspect(sel.X, func(n ast.Node) bool {
			if p, ok := n.(*ast.StarExpr); ok {
				_, again := ast.Unparen(p.X).(*ast.StarExpr)
				twice = twice || again
			}
			return !twice
		})
		if twice && t != nil {
			return l.framed(l.typ(l.subs.of(t), x), text)
		}
	}
	return text
}

func (l *lowering) call(x *ast.CallExpr) string {
	if tv := l.info.Types[x.Fun]; tv.IsType() {
		t := l.subs.of(tv.Type)
		if types.IsInterface(t) && !l.info.Types[x.Args[0]].IsNil() {
			from := types.Default(l.typeOf(x.Args[0]))
			if own(from) || types.IsInterface(from) {
				return l.convert(l.expr(x.Args[0]), from, t, x.Args[0])
			}
			// A parameter, since a conversion gives no value that methods can be called on.
			return l.box(l.expr(x.Args[0]), from, t, x.Args[0])
		}
		if _, isFunc := t.Underlying().(*types.Signature); isFunc {
			if _, named := types.Unalias(l.typeOf(x.Args[0])).(*types.Named); !named && !l.info.Types[x.Args[0]].IsNil() {
				// A method of the conversion's result would be looked for in the literal.
				return "func(v " + l.typ(t, x.Fun) + ") " + l.typ(t, x.Fun) + " { return v }(" + l.exprs(x.Args) + ")"
			}
		}
		return "(" + l.typ(t, x.Fun) + ")(" + l.exprs(x.Args) + ")"
	}
	if id, ok := ast.Unparen(x.Fun).(*ast.Ident); ok {
		if b, ok := l.object(id).(*types.Builtin); ok {
			return l.builtin(x, b.Name())
		}
	}
	if text, ok := l.asInto(x); ok {
		return text
	}
	args := make([]string, len(x.Args))
	for i, a := range x.Args {
		args[i] = l.argument(x, i, a)
	}
	fun := ""
	if f, ok := ast.Unparen(x.Fun).(*ast.SelectorExpr); ok && l.info.Selections[f] != nil && l.info.Selections[f].Kind() == types.MethodVal {
		sig := l.typeOf(x.Fun).Underlying().(*types.Signature)
		if l.isDynamic(l.typeOf(f.X), l.info.Selections[f]) {
			if len(x.Args) == 1 && isTupleType(l.info.TypeOf(x.Args[0])) {
				refuse(x.Pos(), "a method of an interface with the values of a call as its arguments yet: assign them to variables first")
			}
			if n := sig.Params().Len(); sig.Variadic() && !x.Ellipsis.IsValid() {
				last := "nil"
				if len(args) >= n {
					last = l.typ(sig.Params().At(n-1).Type(), x) + "{" + strings.Join(args[n-1:], ", ") + "}"
				}
				args = append(args[:n-1:n-1], last)
			}
			text, _ := l.dynamicCall(l.expr(f.X), l.typeOf(f.X), l.info.Selections[f], sig, args)
			return text
		}
		fun = l.expr(f.X) + "." + f.Sel.Name
	} else {
		fun = l.expr(x.Fun)
	}
	s := fun + l.line(x.Lparen) + "(" + strings.Join(args, ", ")
	if x.Ellipsis.IsValid() {
		s += "..."
	}
	return s + ")"
}

func (l *lowering) builtin(x *ast.CallExpr, name string) string {
	result := func() types.Type { return types.Default(l.typeOf(x)) }
	switch name {
	case "min", "max":
		t := result()
		ts := l.typ(t, x)
		b := t.Underlying().(*types.Basic)
		op := map[string]string{"min": "<", "max": ">"}[name]
		cond := "b " + op + " a"
		if b.Info()&types.IsFloat != 0 {
			zero := "a == 0 && b == 0 && 1/b < 0"
			if name == "max" {
				zero = "a == 0 && b == 0 && 1/a < 0"
			}
			cond = "a == a && (b != b || " + cond + " || " + zero + ")"
		}
		var args []string
		for _, a := range x.Args {
			args = append(args, ts+"("+l.expr(a)+")")
		}
		return "func(a " + ts + ", bs ..." + ts + ") " + ts + " { for _, b := range bs { if " + cond + " { a = b } }; return a }(" + strings.Join(args, ", ") + ")"
	case "clear":
		t := l.typeOf(x.Args[0])
		ts := l.typ(t, x)
		if s, ok := t.Underlying().(*types.Slice); ok {
			return "func(s " + ts + ") { var z " + l.typ(s.Elem(), x) + "; for i := range s { s[i] = z } }(" + l.expr(x.Args[0]) + ")"
		}
		return l.alias(supportPath) + ".Clear(" + l.expr(x.Args[0]) + ")"
	case "new":
		if tv := l.info.Types[x.Args[0]]; !tv.IsType() {
			elem := result().Underlying().(*types.Pointer).Elem()
			ts := l.typ(elem, x)
			return "func(v " + ts + ") *" + ts + " { return &v }(" + l.expr(x.Args[0]) + ")"
		}
		return "new(" + l.expr(x.Args[0]) + ")"
	case "recover":
		return l.alias(supportPath) + ".Recovered(" + l.claimed + ")"
	case "print", "println":
		args := make([]string, len(x.Args))
		for i, a := range x.Args {
			args[i] = l.into(a, emptyInterface)
		}
		return l.alias(supportPath) + ".P" + name[1:] + "(" + strings.Join(args, ", ") + ")"
	case "panic":
		return l.faultCall("Panic", x.Pos(), l.into(x.Args[0], emptyInterface))
	}
	args := make([]string, len(x.Args))
	for i, a := range x.Args {
		var to types.Type
		switch {
		case name == "append" && i > 0 && !x.Ellipsis.IsValid():
			to = l.typeOf(x.Args[0]).Underlying().(*types.Slice).Elem()
		case name == "delete" && i == 1:
			if m, ok := l.typeOf(x.Args[0]).Underlying().(*types.Map); ok {
				args[i] = l.key(a, m)
				continue
			}
		}
		args[i] = l.into(a, to)
	}
	s := name + l.line(x.Lparen) + "(" + strings.Join(args, ", ")
	if x.Ellipsis.IsValid() {
		s += "..."
	}
	return s + ")"
}

// function writes a declaration: a function called name, or with recv, a method of that run-time type.
func (l *lowering) function(name string, d *ast.FuncDecl, body *types.Func, recv string) string {
	l.in(d)
	l.sig = l.subs.of(body.Type()).(*types.Signature)
	l.defers = ""
	if defers(d.Body.List...) {
		l.defers = l.tmp("defers")
	}
	var b strings.Builder
	b.WriteString(l.line(d.Pos()) + "func ")
	ft := d.Type
	first := 0
	if d.Recv != nil && recv == "" { // the body of a method: the receiver is the first parameter
		list := &ast.FieldList{List: append([]*ast.Field{d.Recv.List[0]}, ft.Params.List...)}
		b.WriteString(name + "(" + l.fields(list, l.sig.Params(), 0, l.sig.Variadic()) + ")")
		b.WriteString(l.resultFields(ft, l.sig))
		b.WriteString(l.functionBody(d.Body))
		return b.String()
	}
	if d.Recv != nil {
		first = 1
		id := "_"
		if names := d.Recv.List[0].Names; len(names) > 0 {
			id = local(names[0].Name)
		}
		star := ""
		if _, ok := types.Unalias(l.sig.Params().At(0).Type()).(*types.Pointer); ok {
			star = "*"
		}
		b.WriteString("(" + id + " " + star + recv + ") ")
		name = d.Name.Name
	}
	b.WriteString(name + "(" + l.fields(ft.Params, l.sig.Params(), first, l.sig.Variadic()) + ")")
	b.WriteString(l.resultFields(ft, l.sig))
	b.WriteString(l.functionBody(d.Body))
	return b.String()
}

// fields writes parameters with their names.
func (l *lowering) fields(list *ast.FieldList, tuple *types.Tuple, first int, variadic bool) string {
	var parts []string
	i := first
	add := func(name string) {
		t := tuple.At(i).Type()
		if variadic && i == tuple.Len()-1 {
			parts = append(parts, name+" ..."+l.typ(t.(*types.Slice).Elem(), nil))
		} else {
			parts = append(parts, name+" "+l.typ(t, nil))
		}
		i++
	}
	if list != nil {
		for _, f := range list.List {
			if len(f.Names) == 0 {
				add("_")
			}
			for _, id := range f.Names {
				add(local(id.Name))
			}
		}
	}
	return strings.Join(parts, ", ")
}

func (l *lowering) resultFields(ft *ast.FuncType, sig *types.Signature) string {
	l.results = nil
	if sig.Results().Len() == 0 {
		return ""
	}
	if ft.Results != nil && len(ft.Results.List) > 0 && len(ft.Results.List[0].Names) > 0 {
		for _, f := range ft.Results.List {
			for _, id := range f.Names {
				name := l.tmp(id.Name)
				if id.Name == "_" {
					name = l.tmp("r")
				} else if obj := l.info.Defs[id]; obj != nil {
					if l.renamed == nil {
						l.renamed = map[types.Object]string{}
					}
					l.renamed[obj] = name
				}
				l.results = append(l.results, name)
			}
		}
		var parts []string
		for i, n := range l.results {
			parts = append(parts, n+" "+l.typ(sig.Results().At(i).Type(), nil))
		}
		return " (" + strings.Join(parts, ", ") + ")"
	}
	if l.defers != "" {
		var parts []string
		for i := range sig.Results().Len() {
			l.results = append(l.results, l.tmp("r"))
			parts = append(parts, l.results[i]+" "+l.typ(sig.Results().At(i).Type(), nil))
		}
		return " (" + strings.Join(parts, ", ") + ")"
	}
	return l.resultTypes(sig)
}

// enter is the check at the beginning of a function: an interrupt, and the depth of recursion.
func (l *lowering) enter(body *ast.BlockStmt, text string) (enter, rest string) {
	s := l.stopCheck()
	if len(body.List) > 0 { // where a panic's trace says that the function was
		pos := body.List[0].Pos()
		if l.at != nil && l.at.leaf && l.at.stores == 1 {
			pos = l.at.only
		}
		s = strings.Replace(s, stopVariable, l.line(pos)+stopVariable, 1)
	}
	if l.mayRecurse(body) {
		var watch string
		watch, text = l.watched(l.at, text)
		s += watch
	}
	return s, text
}

// stopVariable is the interpreter's own variable that is true once the cell is to stop.
const stopVariable = "cell_stop"

// stopCheck is what each iteration of a loop begins with.
func (l *lowering) stopCheck() string {
	return " if " + stopVariable + " { " + l.alias(supportPath) + ".Check() }; "
}

// mayRecurse reports whether a body calls anything interpreted, so that calls could nest without end.
func (l *lowering) mayRecurse(body *ast.BlockStmt) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || found {
			return !found
		}
		if l.info.Types[call.Fun].IsType() {
			return true
		}
		switch f := ast.Unparen(call.Fun).(type) {
		case *ast.Ident:
			switch obj := l.object(f).(type) {
			case *types.Func:
				found = obj.Pkg() != nil && obj.Pkg().Path() == "main"
			case *types.Var:
				found = true
			}
		case *ast.SelectorExpr:
			if sel := l.info.Selections[f]; sel != nil {
				if obj := sel.Obj(); obj.Pkg() == nil || obj.Pkg().Path() == "main" || types.IsInterface(sel.Recv()) {
					found = true
				}
				if _, ok := sel.Obj().(*types.Var); ok {
					found = true
				}
			}
		case *ast.FuncLit:
		default:
			found = true
		}
		return !found
	})
	return found
}

func (l *lowering) funcLit(x *ast.FuncLit) string {
	sig := l.typeOf(x).Underlying().(*types.Signature)
	saved, savedResults, savedLoops, savedTop, savedDefers, savedClaimed := l.sig, l.results, l.loops, l.top, l.defers, l.claimed
	defer func() {
		l.sig, l.results, l.loops, l.top, l.defers, l.claimed = saved, savedResults, savedLoops, savedTop, savedDefers, savedClaimed
	}()
	l.sig, l.top, l.defers = sig, false, ""
	if defers(x.Body.List...) {
		l.defers = l.tmp("defers")
	}
	l.loops = append(l.loops[:len(l.loops):len(l.loops)], &loopContext{barrier: true})
	params := l.fields(x.Type.Params, sig.Params(), 0, sig.Variadic())
	results := l.resultFields(x.Type, sig)
	return "func(" + params + ")" + results + l.functionBody(x.Body)
}

// key lowers an index of a map.
func (l *lowering) key(x ast.Expr, m *types.Map) string {
	t := l.subs.of(m.Key())
	text := l.into(x, t)
	if from := l.typeOf(x); types.IsInterface(t) && !types.IsInterface(from) && !own(from) && !l.info.Types[x].IsNil() {
		return l.box(text, types.Default(from), t, x)
	}
	return text
}

// isDynamic reports whether a selected method is found by what an interface of the cells holds.
func (l *lowering) isDynamic(t types.Type, sel *types.Selection) bool {
	if types.IsInterface(t) {
		return open(t)
	}
	if _, ok := types.Unalias(sel.Recv()).(*types.TypeParam); ok {
		return false
	}
	recv := sel.Obj().(*types.Func).Signature().Recv()
	if len(sel.Index()) < 2 || recv == nil || !types.IsInterface(recv.Type()) {
		return false
	}
	_, holder := l.path(t, sel.Index()[:len(sel.Index())-1], "")
	return open(holder)
}

// dynamicCall writes the call of such a method on the value that recv stands for.
func (l *lowering) dynamicCall(recv string, t types.Type, sel *types.Selection, sig *types.Signature, args []string) (string, bool) {
	if !l.isDynamic(t, sel) {
		return "", false
	}
	for i, a := range args {
		args[i] = strings.TrimSuffix(a, "...")
	}
	if !types.IsInterface(t) {
		recv, _ = l.path(t, sel.Index()[:len(sel.Index())-1], recv)
	}
	return l.dispatcherFor(sel.Obj().Name(), sig).name + "(" + strings.Join(append([]string{recv}, args...), ", ") + ")", true
}

// asInto lowers errors.As into a type of the cells.
func (l *lowering) asInto(x *ast.CallExpr) (string, bool) {
	f := l.callee(x)
	if f == nil || f.FullName() != "errors.As" || len(x.Args) != 2 {
		return "", false
	}
	p, ok := l.typeOf(x.Args[1]).Underlying().(*types.Pointer)
	if !ok || !own(p.Elem()) {
		return "", false
	}
	pt := l.typ(p, x)
	try := l.assertTo("x", emptyInterface, p.Elem(), true, x)
	return "func(err error, p " + pt + ") bool { return " + l.alias(supportPath) + ".AsTarget(err, func(x interface{}) bool { v, ok := " + try + "; if ok { *p = v }; return ok }) }(" + l.into(x.Args[0], types.Universe.Lookup("error").Type()) + ", " + l.expr(x.Args[1]) + ")", true
}

// logical reports whether x is of && or ||, whose sides are looked at one by one.
func logical(x ast.Expr) bool {
	switch x := ast.Unparen(x).(type) {
	case *ast.UnaryExpr:
		return x.Op == token.NOT && logical(x.X)
	case *ast.BinaryExpr:
		return x.Op == token.LAND || x.Op == token.LOR
	}
	return false
}

// converts reports whether an expression has a conversion in it.
func (l *lowering) converts(x ast.Expr) bool {
	found := false
	ast.Inspect(x, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			found = found || l.info.Types[call.Fun].IsType()
		}
		return !found
	})
	return found
}
