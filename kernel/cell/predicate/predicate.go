// Package predicate compiles function literals such as
//
//	func(p Pair) bool { return p.Confidence > t && len(p.Response) > 2 }
//
// into compiled tests of a row, a hundred times faster than interpreting them. What flows in is checked syntax and the
// values of captured variables; what flows out is a test of rows in memory, one by one or all at once. A literal that is
// more than one pure expression is left to the interpreter, with the reason.
package predicate

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

type (
	boolFunc   = func(p unsafe.Pointer) bool
	intFunc    = func(p unsafe.Pointer) int64
	floatFunc  = func(p unsafe.Pointer) float64
	stringFunc = func(p unsafe.Pointer) string
)

// value is a compiled expression: exactly one function is set.
type value struct {
	b     boolFunc
	i     intFunc
	f     floatFunc
	s     stringFunc
	sieve sieve            // of a bool: the same test of a block; nil: row by row
	float *within[float64] // of a bool that compares a field with a value: how
	int   *within[int64]
	kind  reflect.Kind
	fixed bool // does not depend on the row
	place place
}

// sieves is how a bool is tested for a block.
func (v value) sieves() sieve {
	switch {
	case v.sieve != nil:
		return v.sieve
	case v.fixed && v.b(nil):
		return all
	case v.fixed:
		return none
	}
	return rowByRow(v.b)
}

// place says that a value is a field of the row as it is, or the length of one, so that a comparison can read it
// without a call.
type place struct {
	is, length bool
	offset     uintptr
}

type compiler struct {
	info    *types.Info
	row     types.Object
	rowType reflect.Type
	capture func(obj types.Object) (reflect.Value, bool)
}

// unfit is why a literal cannot be compiled.
type unfit string

// Compile compiles lit, which takes one row whose run-time type is row. capture gives the present values of variables
// from outside. Where ok is false, note says what stands in the way.
func Compile(lit *ast.FuncLit, info *types.Info, row reflect.Type, capture func(obj types.Object) (reflect.Value, bool)) (test *Test, note string, ok bool) {
	defer func() {
		if r := recover(); r != nil {
			u, is := r.(unfit)
			if !is {
				panic(r)
			}
			test, note, ok = nil, string(u), false
		}
	}()
	c := &compiler{info: info, rowType: row, capture: capture}
	params := lit.Type.Params.List
	if len(params) != 1 || len(params[0].Names) > 1 {
		panic(unfit("it does not take one row"))
	}
	if len(params[0].Names) == 1 {
		c.row = info.Defs[params[0].Names[0]]
	}
	if len(lit.Body.List) != 1 {
		panic(unfit("it is more than one return statement"))
	}
	ret, is := lit.Body.List[0].(*ast.ReturnStmt)
	if !is || len(ret.Results) != 1 {
		panic(unfit("it is more than one return statement"))
	}
	v := c.expr(ret.Results[0])
	if v.b == nil {
		panic(unfit("its result is not a comparison"))
	}
	return &Test{v.b, v.sieves(), row.Size()}, "", true
}

func give(format string, args ...any) { panic(unfit(fmt.Sprintf(format, args...))) }

func (c *compiler) expr(e ast.Expr) value {
	if tv := c.info.Types[e]; tv.Value != nil {
		return constantOf(tv.Value, types.Default(tv.Type))
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		return c.expr(e.X)
	case *ast.Ident:
		return c.variable(e)
	case *ast.SelectorExpr:
		return c.field(e)
	case *ast.UnaryExpr:
		return c.unary(e)
	case *ast.BinaryExpr:
		return c.binary(e)
	case *ast.CallExpr:
		return c.call(e)
	}
	give("it has more than comparisons, arithmetic and fields")
	return value{}
}

func kindOf(t types.Type) reflect.Kind {
	b, ok := t.Underlying().(*types.Basic)
	if !ok {
		give("a value of type %s is not a number, string or bool", t)
	}
	k, ok := map[types.BasicKind]reflect.Kind{
		types.Bool: reflect.Bool, types.String: reflect.String, types.Float64: reflect.Float64, types.Float32: reflect.Float32,
		types.Uint8: reflect.Uint8, types.Uint16: reflect.Uint16, types.Uint32: reflect.Uint32,
		types.Int: reflect.Int, types.Int8: reflect.Int8, types.Int16: reflect.Int16, types.Int32: reflect.Int32, types.Int64: reflect.Int64,
	}[b.Kind()]
	if !ok {
		give("arithmetic on %s", t)
	}
	return k
}

func constantOf(v constant.Value, t types.Type) value {
	out := value{kind: kindOf(t), fixed: true}
	switch out.kind {
	case reflect.Bool:
		b := constant.BoolVal(v)
		out.b = func(unsafe.Pointer) bool { return b }
	case reflect.String:
		s := constant.StringVal(v)
		out.s = func(unsafe.Pointer) string { return s }
	case reflect.Float64:
		f, _ := constant.Float64Val(constant.ToFloat(v))
		out.f = func(unsafe.Pointer) float64 { return f }
	case reflect.Float32:
		f, _ := constant.Float32Val(constant.ToFloat(v))
		out.f = func(unsafe.Pointer) float64 { return float64(f) }
	default:
		i, _ := constant.Int64Val(constant.ToInt(v))
		out.i = func(unsafe.Pointer) int64 { return i }
	}
	return out
}

func (c *compiler) variable(id *ast.Ident) value {
	obj := c.info.Uses[id]
	if obj == c.row {
		give("it uses the row as a whole")
	}
	v, ok := c.capture(obj)
	if !ok || !v.IsValid() {
		give("it reads %s", id.Name)
	}
	out := value{kind: kindOf(obj.Type()), fixed: true}
	switch out.kind {
	case reflect.Bool:
		b := v.Bool()
		out.b = func(unsafe.Pointer) bool { return b }
	case reflect.String:
		s := v.String()
		out.s = func(unsafe.Pointer) string { return s }
	case reflect.Float64, reflect.Float32:
		f := v.Float()
		out.f = func(unsafe.Pointer) float64 { return f }
	default:
		i := int64(0)
		if v.CanUint() {
			i = int64(v.Uint())
		} else {
			i = v.Int()
		}
		out.i = func(unsafe.Pointer) int64 { return i }
	}
	return out
}

func (c *compiler) field(e *ast.SelectorExpr) value {
	id, ok := ast.Unparen(e.X).(*ast.Ident)
	if !ok || c.info.Uses[id] != c.row || c.row == nil {
		give("it reads %s", types.ExprString(e))
	}
	f, ok := c.rowType.FieldByName(e.Sel.Name)
	if !ok || len(f.Index) != 1 {
		give("it reads %s", types.ExprString(e))
	}
	off := f.Offset
	out := value{kind: f.Type.Kind(), place: place{is: true, offset: off}}
	switch out.kind {
	case reflect.Bool:
		out.b = func(p unsafe.Pointer) bool { return *(*bool)(unsafe.Add(p, off)) }
		out.sieve = flag(off)
	case reflect.String:
		out.s = func(p unsafe.Pointer) string { return *(*string)(unsafe.Add(p, off)) }
	case reflect.Float64:
		out.f = func(p unsafe.Pointer) float64 { return *(*float64)(unsafe.Add(p, off)) }
	case reflect.Float32:
		out.f = func(p unsafe.Pointer) float64 { return float64(*(*float32)(unsafe.Add(p, off))) }
	case reflect.Int, reflect.Int64:
		out.i = func(p unsafe.Pointer) int64 { return *(*int64)(unsafe.Add(p, off)) }
	case reflect.Int32:
		out.i = func(p unsafe.Pointer) int64 { return int64(*(*int32)(unsafe.Add(p, off))) }
	case reflect.Uint8:
		out.i = func(p unsafe.Pointer) int64 { return int64(*(*uint8)(unsafe.Add(p, off))) }
	default:
		give("the field %s of type %s", f.Name, f.Type)
	}
	return out
}

func (c *compiler) unary(e *ast.UnaryExpr) value {
	x := c.expr(e.X)
	switch {
	case e.Op == token.NOT:
		b := x.b
		return value{kind: reflect.Bool, b: func(p unsafe.Pointer) bool { return !b(p) }, sieve: not(x.sieves())}
	case e.Op == token.SUB && x.f != nil:
		f := x.f
		return value{kind: x.kind, f: func(p unsafe.Pointer) float64 { return -f(p) }}
	case e.Op == token.SUB && x.i != nil:
		i, k := x.i, x.kind
		return value{kind: x.kind, i: func(p unsafe.Pointer) int64 { return wrap(k, -i(p)) }}
	}
	give("the operator %s", e.Op)
	return value{}
}

// wrap brings an integer back into the range of its kind.
func wrap(k reflect.Kind, i int64) int64 {
	switch k {
	case reflect.Int8:
		return int64(int8(i))
	case reflect.Int16:
		return int64(int16(i))
	case reflect.Int32:
		return int64(int32(i))
	case reflect.Uint8:
		return int64(uint8(i))
	case reflect.Uint16:
		return int64(uint16(i))
	case reflect.Uint32:
		return int64(uint32(i))
	}
	return i
}

func (c *compiler) binary(e *ast.BinaryExpr) value {
	x, y := c.expr(e.X), c.expr(e.Y)
	switch e.Op {
	case token.LAND:
		a, b := x.b, y.b
		return value{kind: reflect.Bool, b: func(p unsafe.Pointer) bool { return a(p) && b(p) }, sieve: both(x, y)}
	case token.LOR:
		a, b := x.b, y.b
		return value{kind: reflect.Bool, b: func(p unsafe.Pointer) bool { return a(p) || b(p) }, sieve: either(x.sieves(), y.sieves())}
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
		if x.fixed && !y.fixed { // the row on the left, where a sieve looks for it
			return comparison(mirrored[e.Op], y, x)
		}
		return comparison(e.Op, x, y)
	}
	switch {
	case x.s != nil && e.Op == token.ADD:
		a, b := x.s, y.s
		return value{kind: reflect.String, fixed: x.fixed && y.fixed, s: func(p unsafe.Pointer) string { return a(p) + b(p) }}
	case x.f != nil && y.f != nil:
		return value{kind: x.kind, fixed: x.fixed && y.fixed, f: floatOp(e.Op, x.kind, x.f, y.f)}
	case x.i != nil && y.i != nil:
		if (e.Op == token.QUO || e.Op == token.REM) && (!y.fixed || y.i(nil) == 0) {
			give("a division that may be by zero")
		}
		return value{kind: x.kind, fixed: x.fixed && y.fixed, i: intOp(e.Op, x.kind, x.i, y.i)}
	}
	give("the operator %s", e.Op)
	return value{}
}

func floatOp(op token.Token, k reflect.Kind, a, b floatFunc) floatFunc {
	var f floatFunc
	switch op {
	case token.ADD:
		f = func(p unsafe.Pointer) float64 { return a(p) + b(p) }
	case token.SUB:
		f = func(p unsafe.Pointer) float64 { return a(p) - b(p) }
	case token.MUL:
		f = func(p unsafe.Pointer) float64 { return a(p) * b(p) }
	case token.QUO:
		f = func(p unsafe.Pointer) float64 { return a(p) / b(p) }
	default:
		give("the operator %s", op)
	}
	if k == reflect.Float32 {
		return func(p unsafe.Pointer) float64 { return float64(float32(f(p))) }
	}
	return f
}

func intOp(op token.Token, k reflect.Kind, a, b intFunc) intFunc {
	switch op {
	case token.ADD:
		return func(p unsafe.Pointer) int64 { return wrap(k, a(p)+b(p)) }
	case token.SUB:
		return func(p unsafe.Pointer) int64 { return wrap(k, a(p)-b(p)) }
	case token.MUL:
		return func(p unsafe.Pointer) int64 { return wrap(k, a(p)*b(p)) }
	case token.QUO:
		return func(p unsafe.Pointer) int64 { return wrap(k, a(p)/b(p)) }
	case token.REM:
		return func(p unsafe.Pointer) int64 { return a(p) % b(p) }
	case token.AND:
		return func(p unsafe.Pointer) int64 { return a(p) & b(p) }
	case token.OR:
		return func(p unsafe.Pointer) int64 { return a(p) | b(p) }
	case token.XOR:
		return func(p unsafe.Pointer) int64 { return a(p) ^ b(p) }
	}
	give("the operator %s", op)
	return nil
}

// mirrored is the operator with its sides exchanged.
var mirrored = map[token.Token]token.Token{token.EQL: token.EQL, token.NEQ: token.NEQ, token.LSS: token.GTR, token.LEQ: token.GEQ, token.GTR: token.LSS, token.GEQ: token.LEQ}

// comparison is x op y as a test.
func comparison(op token.Token, x, y value) value {
	out := value{kind: reflect.Bool, fixed: x.fixed && y.fixed, b: compare(op, x, y)}
	if !x.place.is || !y.fixed {
		return out
	}
	offset := x.place.offset
	switch {
	case x.f != nil && x.kind == reflect.Float64:
		w := floatWithin(op, offset, y.f(nil))
		out.float, out.sieve = &w, sift(w)
	case x.i != nil && (x.place.length || x.kind == reflect.Int || x.kind == reflect.Int64):
		if x.place.length { // the second word of a string
			offset += unsafe.Sizeof(uintptr(0))
		}
		w := intWithin(op, offset, y.i(nil))
		out.int, out.sieve = &w, sift(w)
	}
	return out
}

func compare(op token.Token, x, y value) boolFunc {
	switch {
	case x.b != nil && y.b != nil:
		a, b := x.b, y.b
		if op == token.EQL {
			return func(p unsafe.Pointer) bool { return a(p) == b(p) }
		}
		return func(p unsafe.Pointer) bool { return a(p) != b(p) }
	case x.s != nil && y.s != nil:
		return compareOrdered(op, x.s, y.s, y.fixed)
	case x.f != nil && y.f != nil:
		if x.place.is && x.kind == reflect.Float64 && y.fixed {
			return compareField(op, x.place.offset, y.f(nil))
		}
		return compareOrdered(op, x.f, y.f, y.fixed)
	case x.i != nil && y.i != nil:
		if x.place.is && (x.kind == reflect.Int || x.kind == reflect.Int64) && y.fixed {
			if x.place.length { // the length is the second word of a string
				return compareField(op, x.place.offset+unsafe.Sizeof(uintptr(0)), y.i(nil))
			}
			return compareField(op, x.place.offset, y.i(nil))
		}
		return compareOrdered(op, x.i, y.i, y.fixed)
	}
	give("a comparison of two kinds of values")
	return nil
}

func compareOrdered[T int64 | float64 | string](op token.Token, a, b func(unsafe.Pointer) T, fixed bool) boolFunc {
	if fixed {
		v := b(nil)
		switch op {
		case token.EQL:
			return func(p unsafe.Pointer) bool { return a(p) == v }
		case token.NEQ:
			return func(p unsafe.Pointer) bool { return a(p) != v }
		case token.LSS:
			return func(p unsafe.Pointer) bool { return a(p) < v }
		case token.LEQ:
			return func(p unsafe.Pointer) bool { return a(p) <= v }
		case token.GTR:
			return func(p unsafe.Pointer) bool { return a(p) > v }
		}
		return func(p unsafe.Pointer) bool { return a(p) >= v }
	}
	switch op {
	case token.EQL:
		return func(p unsafe.Pointer) bool { return a(p) == b(p) }
	case token.NEQ:
		return func(p unsafe.Pointer) bool { return a(p) != b(p) }
	case token.LSS:
		return func(p unsafe.Pointer) bool { return a(p) < b(p) }
	case token.LEQ:
		return func(p unsafe.Pointer) bool { return a(p) <= b(p) }
	case token.GTR:
		return func(p unsafe.Pointer) bool { return a(p) > b(p) }
	}
	return func(p unsafe.Pointer) bool { return a(p) >= b(p) }
}

// compareField compares the 64-bit field at offset with a value.
func compareField[T int64 | float64](op token.Token, offset uintptr, v T) boolFunc {
	switch op {
	case token.EQL:
		return func(p unsafe.Pointer) bool { return *(*T)(unsafe.Add(p, offset)) == v }
	case token.NEQ:
		return func(p unsafe.Pointer) bool { return *(*T)(unsafe.Add(p, offset)) != v }
	case token.LSS:
		return func(p unsafe.Pointer) bool { return *(*T)(unsafe.Add(p, offset)) < v }
	case token.LEQ:
		return func(p unsafe.Pointer) bool { return *(*T)(unsafe.Add(p, offset)) <= v }
	case token.GTR:
		return func(p unsafe.Pointer) bool { return *(*T)(unsafe.Add(p, offset)) > v }
	}
	return func(p unsafe.Pointer) bool { return *(*T)(unsafe.Add(p, offset)) >= v }
}

// Library functions that are pure and total.
var (
	stringTests = map[string]func(a, b string) bool{
		"strings.Contains": strings.Contains, "strings.HasPrefix": strings.HasPrefix, "strings.HasSuffix": strings.HasSuffix,
		"strings.EqualFold": strings.EqualFold, "strings.ContainsAny": strings.ContainsAny,
	}
	stringMaps = map[string]func(s string) string{
		"strings.ToLower": strings.ToLower, "strings.ToUpper": strings.ToUpper, "strings.TrimSpace": strings.TrimSpace,
	}
	stringCounts = map[string]func(a, b string) int{"strings.Count": strings.Count, "strings.Index": strings.Index}
	floatMaps    = map[string]func(float64) float64{"math.Abs": math.Abs, "math.Sqrt": math.Sqrt, "math.Log": math.Log, "math.Floor": math.Floor, "math.Ceil": math.Ceil}
	durations    = map[string]func(time.Duration) float64{"Seconds": time.Duration.Seconds, "Minutes": time.Duration.Minutes, "Hours": time.Duration.Hours}
)

func (c *compiler) call(e *ast.CallExpr) value {
	if c.info.Types[e.Fun].IsType() {
		return c.conversion(e)
	}
	switch fun := ast.Unparen(e.Fun).(type) {
	case *ast.Ident:
		if b, ok := c.info.Uses[fun].(*types.Builtin); ok && b.Name() == "len" {
			text := c.expr(e.Args[0])
			s := text.s
			if s == nil {
				give("len of something other than a string")
			}
			at := text.place
			at.length = at.is
			return value{kind: reflect.Int, place: at, i: func(p unsafe.Pointer) int64 { return int64(len(s(p))) }}
		}
	case *ast.SelectorExpr:
		f, ok := c.info.Uses[fun.Sel].(*types.Func)
		if !ok {
			break
		}
		if sel := c.info.Selections[fun]; sel != nil {
			if d := durations[f.Name()]; d != nil && f.Pkg() != nil && f.Pkg().Path() == "time" && strings.HasPrefix(f.FullName(), "(time.Duration)") {
				i := c.expr(fun.X).i
				return value{kind: reflect.Float64, f: func(p unsafe.Pointer) float64 { return d(time.Duration(i(p))) }}
			}
			break
		}
		name := f.FullName()
		var args []value
		for _, a := range e.Args {
			args = append(args, c.expr(a))
		}
		if t := stringTests[name]; t != nil {
			a, b := args[0].s, args[1].s
			return value{kind: reflect.Bool, b: func(p unsafe.Pointer) bool { return t(a(p), b(p)) }}
		}
		if t := stringMaps[name]; t != nil {
			a := args[0].s
			return value{kind: reflect.String, s: func(p unsafe.Pointer) string { return t(a(p)) }}
		}
		if t := stringCounts[name]; t != nil {
			a, b := args[0].s, args[1].s
			return value{kind: reflect.Int, i: func(p unsafe.Pointer) int64 { return int64(t(a(p), b(p))) }}
		}
		if t := floatMaps[name]; t != nil {
			a := args[0].f
			return value{kind: reflect.Float64, f: func(p unsafe.Pointer) float64 { return t(a(p)) }}
		}
		if name == "unicode/utf8.RuneCountInString" {
			a := args[0].s
			return value{kind: reflect.Int, i: func(p unsafe.Pointer) int64 { return int64(utf8.RuneCountInString(a(p))) }}
		}
	}
	give("it calls %s", types.ExprString(e.Fun))
	return value{}
}

func (c *compiler) conversion(e *ast.CallExpr) value {
	x := c.expr(e.Args[0])
	k := kindOf(c.info.TypeOf(e))
	switch {
	case k == x.kind:
		return x
	case x.i != nil && k == reflect.Float64:
		i := x.i
		return value{kind: k, f: func(p unsafe.Pointer) float64 { return float64(i(p)) }}
	case x.i != nil && (k >= reflect.Int && k <= reflect.Int64 || k >= reflect.Uint8 && k <= reflect.Uint32):
		i := x.i
		return value{kind: k, i: func(p unsafe.Pointer) int64 { return wrap(k, i(p)) }}
	case x.f != nil && (k == reflect.Int || k == reflect.Int64):
		f := x.f
		return value{kind: k, i: func(p unsafe.Pointer) int64 { return int64(f(p)) }}
	case x.f != nil && k == reflect.Float64:
		return value{kind: k, f: x.f}
	}
	give("the conversion %s", types.ExprString(e))
	return value{}
}
