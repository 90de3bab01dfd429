package cell

import (
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"go/types"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"unsafe"

	"banter/dsl"
	"banter/kernel/cell/predicate"
	"banter/stdlib/align"
)

// A function of a pair that a cell gives to a verb is passed as a dsl.Predicate: its compiled form where it is one pure
// expression, and in any case what its results depend on, which is its source, the source of all functions of the
// cells that it reaches, and the values of the variables that these read.

// passedFunc is such an argument, found while lowering.
type passedFunc struct {
	lit         *ast.FuncLit
	info        *types.Info
	pos         token.Position
	source      string
	names       []string
	objects     []types.Object
	uncacheable string
}

var pairType = reflect.TypeFor[align.Pair]()

// isPredicate reports whether t is func(align.Pair) bool.
func isPredicate(t types.Type) bool {
	sig, ok := t.Underlying().(*types.Signature)
	if !ok || sig.Params().Len() != 1 || sig.Results().Len() != 1 || sig.Variadic() {
		return false
	}
	n, ok := types.Unalias(sig.Params().At(0).Type()).(*types.Named)
	return ok && n.Obj().Name() == "Pair" && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == "banter/stdlib/align" &&
		types.Identical(sig.Results().At(0).Type(), types.Typ[types.Bool])
}

// argument lowers the i-th argument of a call.
func (l *lowering) argument(x *ast.CallExpr, i int, a ast.Expr) string {
	text := l.passed(x, i, a)
	if t := l.info.TypeOf(a); t != nil && isPredicate(l.subs.of(t)) && l.calleeIsVerb(x) {
		p := &passedFunc{info: l.info, pos: l.e.fset.Position(a.Pos())}
		l.identify(p, a)
		l.e.support.mu.Lock()
		l.e.support.given++
		id := l.e.support.given
		l.e.support.passed[id] = p
		if l.top {
			l.e.support.passing = append(l.e.support.passing, id)
		}
		l.e.support.mu.Unlock()
		text = fmt.Sprintf("%s.Predicate(%d, %s", l.alias(supportPath), id, text)
		for j, obj := range p.objects {
			name := l.global(obj)
			if name == "" {
				name = l.renamed[obj]
			}
			if name == "" {
				name = local(p.names[j])
			}
			text += ", " + name
		}
		return text + ")"
	}
	return l.shown(x, i, a, text)
}

// passed lowers the i-th argument of a call as its parameter gets it.
func (l *lowering) passed(x *ast.CallExpr, i int, a ast.Expr) string {
	if f := l.callee(x); f != nil && f.Pkg() != nil && f.Pkg().Path() != "main" && keepsNothing[f.Pkg().Path()] {
		return l.expr(a)
	}
	sig, ok := l.typeOf(x.Fun).Underlying().(*types.Signature)
	if !ok {
		return l.expr(a)
	}
	param := func(i int) types.Type {
		n := sig.Params().Len()
		if sig.Variadic() && i >= n-1 && !x.Ellipsis.IsValid() {
			return sig.Params().At(n - 1).Type().(*types.Slice).Elem()
		}
		if i >= n {
			return nil
		}
		return sig.Params().At(i).Type()
	}
	if isTupleType(l.info.TypeOf(a)) {
		return l.adapt(l.expr(a), a, param)
	}
	raw := l.expr(a)
	if f := l.callee(x); f != nil && f.Pkg() != nil && f.Pkg().Path() != "main" {
		raw = l.bound(a, raw)
	}
	text := l.convert(raw, l.info.TypeOf(a), param(i), a)
	if f := l.callee(x); f != nil && f.Pkg() != nil && f.Pkg().Path() != "main" {
		if t := l.subs.of(param(i)); l.info.Types[a].IsNil() && t != nil && types.IsInterface(t) && !open(t) && !isError(t) {
			return "(" + l.typ(t, a) + ")(nil)" // the interpreter must know the type, to pass no value of it
		}
	}
	if t := l.subs.of(param(i)); t != nil && types.IsInterface(t) && !isTupleType(l.typeOf(a)) && !l.info.Types[a].IsNil() {
		if _, isCall := ast.Unparen(a).(*ast.CallExpr); !isCall && text == raw {
			return text
		}
		return "(" + text + ")" // the interpreter boxes the result of a call once more where it is an argument itself
	}
	return text
}

// keepsNothing are packages whose functions are done with their arguments when they return.
var keepsNothing = map[string]bool{"sort": true, "reflect": true}

// calleeIsVerb reports whether x calls a function of the dsl.
func (l *lowering) calleeIsVerb(x *ast.CallExpr) bool {
	var id *ast.Ident
	switch f := ast.Unparen(x.Fun).(type) {
	case *ast.Ident:
		id = f
	case *ast.SelectorExpr:
		id = f.Sel
	default:
		return false
	}
	f, ok := l.object(id).(*types.Func)
	return ok && f.Pkg() != nil && f.Pkg().Path() == "banter/dsl"
}

// purePackages hold functions whose results depend on their arguments alone.
var purePackages = map[string]bool{
	"strings": true, "bytes": true, "unicode": true, "unicode/utf8": true, "unicode/utf16": true, "math": true, "math/bits": true,
	"math/cmplx": true, "strconv": true, "slices": true, "maps": true, "sort": true, "cmp": true, "regexp": true, "html": true, "errors": true,
}

// identify collects what a passed function depends on.
func (l *lowering) identify(p *passedFunc, a ast.Expr) {
	lit, ok := ast.Unparen(a).(*ast.FuncLit)
	seen := map[string]bool{}
	captured := map[types.Object]bool{}
	var sources []string
	var visit func(n ast.Node, info *types.Info, own func(types.Object) bool)
	visit = func(n ast.Node, info *types.Info, own func(types.Object) bool) {
		ast.Inspect(n, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			switch obj := info.Uses[id].(type) {
			case *types.Var:
				switch {
				case obj.IsField() || own(obj):
				case obj.Pkg() != nil && obj.Pkg().Path() != "main":
					p.uncacheable = fmt.Sprintf("it reads the variable %s.%s", obj.Pkg().Name(), obj.Name())
				case !captured[obj]:
					captured[obj] = true
					p.objects = append(p.objects, obj)
				}
			case *types.Func:
				if obj.Pkg() == nil {
					break
				}
				if obj.Pkg().Path() != "main" {
					duration := obj.Pkg().Path() == "time" && strings.HasPrefix(obj.FullName(), "(time.Duration)")
					if !purePackages[obj.Pkg().Path()] && !duration {
						p.uncacheable = "it calls " + obj.FullName()
					}
					break
				}
				name := obj.Name()
				if recv := obj.Signature().Recv(); recv != nil {
					t := recv.Type()
					if ptr, ok := t.(*types.Pointer); ok {
						t = ptr.Elem()
					}
					if named, ok := types.Unalias(t).(*types.Named); ok {
						name = named.Obj().Name() + "." + name
					} else {
						p.uncacheable = "it calls a method of an interface"
					}
					if types.IsInterface(t) {
						p.uncacheable = "it calls a method of an interface"
					}
				}
				if seen[name] {
					break
				}
				seen[name] = true
				ent := l.e.pending(name)
				if ent == nil || ent.fn == nil || ent.info == nil {
					p.uncacheable = "it calls " + name
					break
				}
				sources = append(sources, l.e.normal(ent.fn, ent.info))
				visit(ent.fn, ent.info, within(ent.fn))
			case *types.Const:
				if obj.Pkg() != nil && obj.Pkg().Path() == "main" && !seen["const "+obj.Name()] {
					seen["const "+obj.Name()] = true
					sources = append(sources, "const "+obj.Name()+" = "+obj.Val().ExactString())
				}
			case *types.TypeName:
				if obj.Pkg() != nil && obj.Pkg().Path() == "main" && !seen["type "+obj.Name()] {
					seen["type "+obj.Name()] = true
					sources = append(sources, "type "+obj.Name()+" "+types.TypeString(obj.Type().Underlying(), nil))
				}
			}
			return true
		})
	}
	if ok {
		p.lit = lit
		p.source = l.e.normal(lit, l.info)
		visit(lit, l.info, within(lit))
	} else if id, isName := ast.Unparen(a).(*ast.Ident); isName {
		if f, isFunc := l.object(id).(*types.Func); isFunc {
			visit(id, l.info, func(types.Object) bool { return false })
			p.source = f.Name()
		} else {
			p.uncacheable = fmt.Sprintf("%s is a variable that holds a function: write the function where it is used", id.Name)
		}
	} else {
		p.uncacheable = "the function is the result of an expression: write it where it is used"
	}
	sort.Strings(sources)
	p.source = strings.Join(append([]string{p.source}, sources...), "\n")
	sort.SliceStable(p.objects, func(i, j int) bool { return p.objects[i].Name() < p.objects[j].Name() })
	for _, obj := range p.objects {
		p.names = append(p.names, obj.Name())
		if l.global(obj) == "" && !l.visible(obj) {
			p.uncacheable = "it reads " + obj.Name()
		}
	}
	if p.uncacheable != "" {
		var keep []types.Object
		var names []string
		for i, obj := range p.objects {
			if l.global(obj) != "" || l.visible(obj) {
				keep, names = append(keep, obj), append(names, p.names[i])
			}
		}
		p.objects, p.names = keep, names
	}
}

// visible reports whether a local variable can be named where the call stands.
func (l *lowering) visible(obj types.Object) bool {
	return l.info.Defs != nil && obj.Parent() != nil && !l.e.isTop(obj)
}

// within reports whether an object is declared inside n.
func within(n ast.Node) func(types.Object) bool {
	return func(obj types.Object) bool { return n.Pos() <= obj.Pos() && obj.Pos() < n.End() }
}

// normal is the source of n without comments and with one blank between tokens. The names of the dsl stand without their
// package, as in cells: so a recipe that imports it says the same.
func (e *Evaluator) normal(n ast.Node, info *types.Info) string {
	tf := e.fset.File(n.Pos())
	text := e.texts[tf]
	from, to := int(n.Pos())-tf.Base(), int(n.End())-tf.Base()
	if d, ok := n.(*ast.FuncDecl); ok { // without its doc comment
		from = int(d.Type.Func) - tf.Base()
	}
	src := text[from:to]
	qualifiers := map[int]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		if x, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := x.X.(*ast.Ident); ok {
				if pkg, ok := info.Uses[id].(*types.PkgName); ok && pkg.Imported().Path() == "banter/dsl" {
					qualifiers[int(id.Pos())-tf.Base()-from] = true
				}
			}
		}
		return true
	})
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(src))
	s.Init(file, []byte(src), nil, 0)
	var b strings.Builder
	var before token.Token
	for {
		pos, t, lit := s.Scan()
		if t == token.IDENT && qualifiers[file.Offset(pos)] {
			s.Scan() // its period
			continue
		}
		if t == token.EOF {
			return b.String()
		}
		if t == token.SEMICOLON {
			before = t
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if before == token.SEMICOLON && t != token.RBRACE && t != token.RPAREN {
			b.WriteString("; ")
		}
		if lit == "" || t.IsOperator() {
			lit = t.String()
		}
		if t == token.COMMA {
			lit = ","
		}
		b.WriteString(lit)
		before = t
	}
}

// predicate makes the dsl's form of a passed function, at the moment of the call.
func (s *support) predicate(id int, keep func(align.Pair) bool, values ...any) any {
	s.mu.Lock()
	p := s.passed[id]
	s.mu.Unlock()
	if p == nil { // of a cell that was left behind while it ran
		panic(stopped{})
	}
	out := dsl.Predicate{Keep: func(pair *dsl.Pair) bool { return keep(*pair) }, Source: p.source, Uncacheable: p.uncacheable}
	captures := map[types.Object]reflect.Value{}
	for i, name := range p.names {
		v := reflect.ValueOf(values[i])
		captures[p.objects[i]] = v
		text, err := canonical(v, 0)
		if err != "" && out.Uncacheable == "" {
			out.Uncacheable = fmt.Sprintf("it reads %s, which holds %s", name, err)
		}
		out.Captures = append(out.Captures, dsl.Capture{Name: name, Type: types.TypeString(p.objects[i].Type(), nil), Value: text})
	}
	note := ""
	if p.lit != nil {
		f, why, ok := predicate.Compile(p.lit, p.info, pairType, func(obj types.Object) (reflect.Value, bool) {
			v, ok := captures[obj]
			return v, ok
		})
		if ok {
			out.Keep = func(pair *dsl.Pair) bool { return f.Keep(unsafe.Pointer(pair)) }
			out.KeepAll = func(pairs []dsl.Pair, keep []bool) {
				f.Rows(unsafe.Pointer(unsafe.SliceData(pairs)), keep[:len(pairs)])
			}
		} else {
			note = why
		}
	} else {
		note = "it is not a function literal"
	}
	if note != "" {
		r := s.current()
		s.mu.Lock()
		r.notes = append(r.notes, fmt.Sprintf("%s: this filter is interpreted, about a hundred times slower: %s", p.pos, note))
		s.mu.Unlock()
	}
	if s.observe != nil {
		s.observe(out)
	}
	return out
}

// canonical writes a value so that equal values give equal text; trouble says what has no such form.
func canonical(v reflect.Value, depth int) (text, trouble string) {
	if !v.IsValid() {
		return "nil", ""
	}
	if v.CanInterface() {
		if b, ok := bareBox(v.Interface()).(Box); ok {
			text, trouble := canonical(reflect.ValueOf(b.V), depth+1)
			return b.T.key + "(" + text + ")", trouble
		}
	}
	if depth > 32 {
		return "", "a value that is nested too deep"
	}
	list := func(open string, n int, item func(i int) (string, string)) (string, string) {
		var b strings.Builder
		b.WriteString(open)
		for i := range n {
			t, trouble := item(i)
			if trouble != "" {
				return "", trouble
			}
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(t)
		}
		b.WriteByte('}')
		return b.String(), ""
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), ""
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), ""
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(v.Uint(), 10), ""
	case reflect.Float32, reflect.Float64:
		return "0x" + strconv.FormatUint(math.Float64bits(v.Float()), 16), ""
	case reflect.Complex64, reflect.Complex128:
		return fmt.Sprintf("0x%x,0x%x", math.Float64bits(real(v.Complex())), math.Float64bits(imag(v.Complex()))), ""
	case reflect.String:
		return strconv.Quote(v.String()), ""
	case reflect.Slice:
		if v.IsNil() {
			return "nil", ""
		}
		return list("{", v.Len(), func(i int) (string, string) { return canonical(v.Index(i), depth+1) })
	case reflect.Array:
		return list("{", v.Len(), func(i int) (string, string) { return canonical(v.Index(i), depth+1) })
	case reflect.Struct:
		return list("{", v.NumField(), func(i int) (string, string) {
			t, trouble := canonical(v.Field(i), depth+1)
			return v.Type().Field(i).Name + ":" + t, trouble
		})
	case reflect.Map:
		if v.IsNil() {
			return "nil", ""
		}
		var entries []string
		for it := v.MapRange(); it.Next(); {
			k, trouble := canonical(it.Key(), depth+1)
			if trouble != "" {
				return "", trouble
			}
			e, trouble := canonical(it.Value(), depth+1)
			if trouble != "" {
				return "", trouble
			}
			entries = append(entries, k+":"+e)
		}
		sort.Strings(entries)
		return list("{", len(entries), func(i int) (string, string) { return entries[i], "" })
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return "nil", ""
		}
		if v.Kind() == reflect.Interface {
			t, trouble := canonical(v.Elem(), depth+1)
			return v.Elem().Type().String() + "(" + t + ")", trouble
		}
		t, trouble := canonical(v.Elem(), depth+1)
		return "&" + t, trouble
	case reflect.Func:
		return "", "a function"
	case reflect.Chan:
		return "", "a channel"
	}
	return "", "a " + v.Kind().String()
}
