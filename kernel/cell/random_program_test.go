package cell

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// program is a random program in two forms that mean the same: cells to run one after the other, and one package whose
// function Main does what they do together.
type program struct {
	seed  uint64
	cells []string
	decls string // package level of the compiled form
	main  string // body of Main
}

// variable is a name in scope of the generated text.
type variable struct {
	name, typ string
	fixed     bool // not to be assigned: loop variables, and what functions read
}

// function is a function of the cells, with the types of its parameters and its result.
type function struct {
	name   string
	params []string
	result string
}

// writer writes one program. Everything it decides comes from its source of randomness.
type writer struct {
	r         *rand.Rand
	scopes    [][]variable
	funcs     []function
	count     int
	depth     int             // of nested statements
	loops     int             // of nested loops
	inner     int             // how many functions of type func(int) int are being written
	idiomatic bool            // an idiom is being written, whose own names have no numbers
	earlier   int             // how many variables of the cells are of earlier cells
	anew      map[string]bool // variables that this cell declares anew

	decls strings.Builder // package level of the compiled form
	first strings.Builder // what the first cell declares
}

var randomTypes = []string{"int", "int", "int", "string", "string", "bool", "[]int", "[]string", "map[string]int", "P", "*P", "[3]int", "float64", "uint8", "any", "Shape", "func(int) int"}

// newProgram writes the program of a seed.
func newProgram(seed uint64) program {
	w := &writer{r: rand.New(rand.NewPCG(seed, 20260101)), scopes: [][]variable{nil}}
	w.declare()
	out := program{seed: seed}
	var main strings.Builder
	open := 0
	for c := range 2 + w.r.IntN(4) {
		var cell strings.Builder
		w.earlier, w.anew = len(w.scopes[0]), map[string]bool{}
		if c > 0 && w.r.IntN(3) == 0 {
			w.functionCell(&cell, &main)
		}
		for range 2 + w.r.IntN(5) {
			switch w.r.IntN(10) {
			case 0, 1, 2, 3:
				open += w.top(&cell, &main)
			case 4, 5:
				text := w.idiom()
				cell.WriteString(text)
				main.WriteString(text)
			default:
				text := w.stmt()
				cell.WriteString(text)
				main.WriteString(text)
			}
		}
		text := w.show()
		cell.WriteString(text)
		main.WriteString(text)
		out.cells = append(out.cells, cell.String())
	}
	main.WriteString(strings.Repeat("}\n", open))
	out.cells = append([]string{w.first.String()}, out.cells...)
	out.decls, out.main = w.decls.String(), main.String()
	return out
}

func (w *writer) pick(list ...string) string { return list[w.r.IntN(len(list))] }

func (w *writer) fresh(prefix string) string { w.count++; return fmt.Sprintf("%s%d", prefix, w.count) }

func (w *writer) both(text string) { w.decls.WriteString(text); w.first.WriteString(text) }

const randomImports = `import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
)
`

// declare writes what every program begins with: types with methods, generic functions and some of its own.
func (w *writer) declare() {
	w.both(randomImports)
	w.decls.WriteString("var _, _, _, _, _, _, _ = errors.New, maps.Keys[map[int]int], slices.Max[[]int], sort.Ints, strconv.Itoa, strings.ToUpper, sync.OnceFunc\n")
	num, day := "type Num struct { n int }; func NewNum(n int) Num { return Num{n} }; func (n Num) value() int { return n.n }", "= int"
	if w.r.IntN(6) == 0 { // types that assertions cannot tell from int
		num = "type Num int; func NewNum(n int) Num { return Num(n) }; func (n Num) value() int { return int(n) }"
	}
	if w.r.IntN(6) == 0 {
		day = "int"
	}
	w.both(fmt.Sprintf(`
type P struct { A, B int; S string }
func (p P) Sum() int { return p.A*%d + p.B }
func (p *P) Add(n int) { p.A += n; p.S += %q }
func (p P) Area() int { return p.A * p.B }
type Box struct { P; N int }
func (b Box) Area() int { return b.N + b.P.Area() }
%s
func (n Num) Area() int { return n.value() * %d }
type Shape interface { Area() int }
type Tree struct { L, R *Tree; V int }
func (t *Tree) Insert(v int) *Tree { if t == nil { return &Tree{V: v} }; if v < t.V { t.L = t.L.Insert(v) } else { t.R = t.R.Insert(v) }; return t }
func (t *Tree) Walk(f func(int) bool) bool { if t == nil { return true }; return t.L.Walk(f) && f(t.V) && t.R.Walk(f) }
const ( C0 = iota * %d + 1; C1; C2; C3 = "c" + "%d" )
const ( K0 = 1 << iota; K1; _; K3 )
type Day %s
const ( Mon Day = iota; Tue; Wed )
func Map[T, U any](s []T, f func(T) U) []U { var r []U; for _, v := range s { r = append(r, f(v)) }; return r }
func Keep[T any](s []T, f func(T) bool) []T { r := s[:0:0]; for _, v := range s { if f(v) { r = append(r, v) } }; return r }
func Fold[T, A any](s []T, a A, f func(A, T) A) A { for _, v := range s { a = f(a, v) }; return a }
func Most[T int | float64 | string](a T, more ...T) T { for _, b := range more { if b > a { a = b } }; return a }
type Stack[T any] struct { items []T }
func (s *Stack[T]) Push(v T) { s.items = append(s.items, v) }
func (s *Stack[T]) Pop() (v T, ok bool) { if len(s.items) == 0 { return v, false }; v = s.items[len(s.items)-1]; s.items = s.items[:len(s.items)-1]; return v, true }
func Upto(n int) func(func(int) bool) { return func(yield func(int) bool) { for i := 0; i < n; i++ { if !yield(i) { return } } } }
func Each(s []string) func(func(int, string) bool) { return func(yield func(int, string) bool) { for i, v := range s { if !yield(i, v) { return } } } }
func Sorted(m map[string]int) []string { var ks []string; for k := range m { ks = append(ks, k) }; sort.Strings(ks); return ks }
func Try(f func()) (msg string) { defer func() { if r := recover(); r != nil { msg = fmt.Sprint("caught ", r) } }(); f(); return "fine" }
func Fib(n int) int { if n < 2 { return n }; return Fib(n-1) + Fib(n-2) }
`, 2+w.r.IntN(5), w.pick("a", "é", "+"), num, 1+w.r.IntN(9), 1+w.r.IntN(4), w.r.IntN(100), day))
}

// functionCell declares a function that later cells may declare anew. The compiled form holds it in a variable, so that
// callers see the newest one.
func (w *writer) functionCell(cell, main *strings.Builder) {
	f := function{name: w.fresh("f"), result: w.pick("int", "string", "bool", "[]int")}
	again := false
	if len(w.funcs) > 0 && w.r.IntN(2) == 0 {
		f, again = w.funcs[w.r.IntN(len(w.funcs))], true
	} else {
		for range 1 + w.r.IntN(2) {
			f.params = append(f.params, w.pick("int", "int", "string", "[]int", "P"))
		}
	}
	saved, savedFuncs := w.scopes, w.funcs
	w.funcs = nil // calls go to nobody, so that work stays bounded
	var params []variable
	var list []string
	for i, t := range f.params {
		params = append(params, variable{fmt.Sprintf("p%d", i), t, false})
		list = append(list, fmt.Sprintf("p%d %s", i, t))
	}
	w.scopes = [][]variable{params}
	w.depth = 1
	body := ""
	w.push() // scopes[0] is where names to hide come from; the block of the body is that of the parameters
	w.scopes[0], w.scopes[1] = nil, params
	for range 1 + w.r.IntN(4) {
		body += w.stmt()
	}
	if w.r.IntN(4) == 0 {
		body += "defer fmt.Println(\"deferred in " + f.name + "\", " + w.expr("int", 1) + ")\n"
	}
	body += "return " + w.expr(f.result, 2) + "\n"
	w.depth = 0
	w.scopes, w.funcs = saved, savedFuncs
	sig := "(" + strings.Join(list, ", ") + ") " + f.result
	cell.WriteString("func " + f.name + sig + " {\n" + body + "}\n")
	if !again {
		w.funcs = append(w.funcs, f)
		main.WriteString("var " + f.name + " func" + sig + "\n_ = " + f.name + "\n")
	}
	main.WriteString(f.name + " = func" + sig + " {\n" + body + "}\n")
}

// top declares a variable of the cells, or one anew, with the same or another type. It returns how many blocks the
// compiled form has opened.
func (w *writer) top(cell, main *strings.Builder) int {
	t := w.pick(randomTypes...)
	vars := w.scopes[0]
	if w.earlier > 0 && w.r.IntN(3) == 0 {
		i := w.r.IntN(w.earlier)
		v := vars[i]
		if w.anew[v.name] {
			return 0
		}
		w.anew[v.name] = true
		if w.r.IntN(2) == 0 {
			t = v.typ
		}
		text := v.name + " := " + w.expr(t, 2) + "\n"
		if t != "int" && t != "string" && t != "bool" || w.r.IntN(2) == 0 {
			text = "var " + v.name + " " + t + " = " + w.expr(t, 2) + "\n"
		}
		cell.WriteString(text)
		if t == v.typ {
			_, value, _ := strings.Cut(text, "= ")
			main.WriteString(v.name + " = " + value)
			return 0
		}
		main.WriteString("{\n" + text + "_ = " + v.name + "\n")
		vars[i].typ = t
		return 1
	}
	name := w.fresh("v")
	text := "var " + name + " " + t + " = " + w.expr(t, 2) + "\n"
	if t != "any" && t != "Shape" && t != "uint8" && t != "float64" && w.r.IntN(2) == 0 {
		text = name + " := " + w.expr(t, 2) + "\n"
	}
	cell.WriteString(text)
	main.WriteString(text + "_ = " + name + "\n")
	w.scopes[0] = append(w.scopes[0], variable{name, t, false})
	return 0
}

// of lists the variables in view of a type, innermost meaning only.
func (w *writer) of(t string, assign bool) []string {
	seen := map[string]bool{}
	var list []string
	for i := len(w.scopes) - 1; i >= 0; i-- {
		for j := len(w.scopes[i]) - 1; j >= 0; j-- {
			v := w.scopes[i][j]
			numbered := strings.ContainsAny(v.name, "0123456789")
			if !seen[v.name] && v.typ == t && !(assign && v.fixed) && (numbered || !w.idiomatic) {
				list = append(list, v.name)
			}
			seen[v.name] = true
		}
	}
	return list
}

func (w *writer) variable(t string) (string, bool) {
	if t == "func(int) int" && w.inner > 0 {
		return "", false // or a function might come to call itself
	}
	list := w.of(t, false)
	if len(list) == 0 {
		return "", false
	}
	return w.pick(list...), true
}

func (w *writer) literal() string { return fmt.Sprint(w.r.IntN(12)) }

func (w *writer) text() string {
	return fmt.Sprintf("%q", w.pick("a", "bc", "", "héllo", "x y", "日本", "zz"))
}

// expr is an expression of type t. It has no side effects but prints and panics.
func (w *writer) expr(t string, depth int) string {
	if t == "func(int) int" {
		w.inner++
		defer func() { w.inner-- }()
	}
	if v, ok := w.variable(t); ok && (depth <= 0 || w.r.IntN(3) == 0) {
		return v
	}
	if depth > 0 && w.r.IntN(5) == 0 && w.loops < 2 {
		for _, i := range w.r.Perm(len(w.funcs)) {
			if f := w.funcs[i]; f.result == t {
				args := make([]string, len(f.params))
				for j, p := range f.params {
					args[j] = w.expr(p, 0)
				}
				return f.name + "(" + strings.Join(args, ", ") + ")"
			}
		}
	}
	d := depth - 1
	num := func() string { // an int that is no constant
		if v, ok := w.variable("int"); ok {
			return v
		}
		return "len(fmt.Sprint(" + w.literal() + "))"
	}
	switch t {
	case "int":
		if depth <= 0 {
			return w.literal()
		}
		switch w.r.IntN(16) {
		case 0, 1, 2:
			return "(" + w.expr(t, d) + " " + w.pick("+", "-", "*", "&", "|", "^", "&^") + " " + w.expr(t, d) + ")"
		case 3:
			return "(" + w.expr(t, d) + w.pick(" / ", " % ") + fmt.Sprint(1+w.r.IntN(9)) + ")"
		case 4:
			return "(" + num() + w.pick(" << ", " >> ") + fmt.Sprint(w.r.IntN(6)) + ")"
		case 5:
			return "len(" + w.expr(w.pick("string", "[]int", "map[string]int", "[]string"), d) + ")"
		case 6:
			return w.expr("P", d) + w.pick(".A", ".B", ".Sum()", ".Area()")
		case 7:
			return "func() int { if " + w.expr("bool", d) + " { return " + w.expr(t, d) + " }; return " + w.expr(t, d) + " }()"
		case 8:
			return w.pick("min", "max") + "(" + w.expr(t, d) + ", " + w.expr(t, d) + ")"
		case 9:
			return "int(uint8(" + num() + "))"
		case 10:
			return w.pick("C0", "C1", "C2", "K0", "K3", "int(Wed)", "int(int8("+num()+" * 37))", "int(uint16("+num()+" - 9))", "int(int32("+num()+") << 20)")
		case 11:
			return w.expr("Shape", d) + ".Area()"
		case 12:
			return "Most(" + w.expr(t, d) + ", " + w.expr(t, d) + ")"
		case 13:
			return "(" + w.expr("func(int) int", d) + ")(" + w.expr(t, d) + ")"
		case 14:
			return "Fold(" + w.expr("[]int", d) + ", " + w.expr("int", d) + ", func(a, b int) int { return a" + w.pick("+", "-", "^") + "b })"
		}
		return "-" + num()
	case "string":
		if depth <= 0 {
			return w.text()
		}
		switch w.r.IntN(8) {
		case 0, 1:
			return "(" + w.expr(t, d) + " + " + w.expr(t, d) + ")"
		case 2:
			return "fmt.Sprint(" + w.expr(w.pick("int", "bool", "[]int", "map[string]int", "P", "[3]int", "any"), d) + ")"
		case 3:
			return "strings." + w.pick("ToUpper", "TrimSpace", "ToLower") + "(" + w.expr(t, d) + ")"
		case 4:
			return "fmt.Sprintf(" + w.pick(`"%d|%v"`, `"%03d %+v"`, `"%x-%v"`) + ", " + w.expr("int", d) + ", " + w.expr("P", d) + ")"
		case 5:
			return "strconv.Itoa(" + w.expr("int", d) + ")"
		case 6:
			return "func(s string) string { r := []rune(s); slices.Reverse(r); return string(r) }(" + w.expr(t, d) + ")"
		}
		return w.text()
	case "bool":
		if depth <= 0 {
			return w.pick("true", "false")
		}
		switch w.r.IntN(6) {
		case 0:
			return "(" + w.expr("int", d) + w.pick(" < ", " == ", " >= ", " != ") + w.expr("int", d) + ")"
		case 1:
			return "(" + w.expr("string", d) + w.pick(" < ", " == ", " != ") + w.expr("string", d) + ")"
		case 2:
			return "(" + w.expr(t, d) + w.pick(" && ", " || ") + w.expr(t, d) + ")"
		case 3:
			return "!" + w.expr(t, d)
		case 4:
			return "(" + w.expr("P", d) + " == " + "(" + w.expr("P", d) + "))"
		}
		return "strings.Contains(" + w.expr("string", d) + ", " + w.text() + ")"
	case "[]int":
		switch n := w.r.IntN(6); {
		case depth > 0 && n == 0:
			return "append([]int(nil), " + w.expr(t, d) + "...)"
		case depth > 0 && n == 1:
			return "Map(" + w.expr(t, d) + ", func(n int) int { return n" + w.pick("+", "*", "-") + w.literal() + " })"
		case depth > 0 && n == 2:
			return "Keep(" + w.expr(t, d) + ", func(n int) bool { return n%2 == " + w.pick("0", "1") + " })"
		case depth > 0 && n == 3:
			return "append([]int{" + w.expr("int", d) + "}, " + w.expr(t, d) + "...)"
		}
		return "[]int{" + w.expr("int", d) + ", " + w.literal() + ", " + w.expr("int", d) + "}"
	case "[]string":
		switch n := w.r.IntN(4); {
		case depth > 0 && n == 0:
			return "Map(" + w.expr("[]int", d) + ", func(n int) string { return fmt.Sprint(n) })"
		case depth > 0 && n == 1:
			return "strings.Fields(" + w.expr("string", d) + ")"
		case depth > 0 && n == 2:
			return "Sorted(" + w.expr("map[string]int", d) + ")"
		}
		return "[]string{" + w.text() + ", " + w.expr("string", d) + "}"
	case "map[string]int":
		return fmt.Sprintf("map[string]int{%q: %s, %q: %s}", w.pick("a", "b"), w.expr("int", d), w.pick("c", "d"), w.expr("int", d))
	case "P":
		if p, ok := w.variable("*P"); ok && w.r.IntN(3) == 0 {
			return "(*" + p + ")"
		}
		if w.r.IntN(2) == 0 {
			return "(P{" + w.expr("int", d) + ", " + w.literal() + ", " + w.text() + "})"
		}
		return "(P{S: " + w.text() + ", B: " + w.expr("int", d) + "})"
	case "*P":
		return "&P{A: " + w.expr("int", d) + "}"
	case "[3]int":
		return "[3]int{" + w.expr("int", d) + ", 2: " + w.literal() + "}"
	case "float64":
		return "(float64(" + w.expr("int", d) + ") / " + w.pick("2", "4", "8") + ")"
	case "uint8":
		return "uint8(" + num() + ")"
	case "any":
		return "any(" + w.expr(w.pick("int", "string", "bool", "[]int", "P", "float64"), d) + ")"
	case "Shape":
		return w.pick("Shape("+w.expr("P", d)+")", "Shape(NewNum("+num()+"))", "Shape(Box{"+w.expr("P", d)+", "+w.literal()+"})", "Shape(&P{3, 4, \"\"})")
	case "func(int) int":
		switch w.r.IntN(3) {
		case 0:
			return "func(n int) int { return n " + w.pick("+", "*", "-") + " " + w.expr("int", d) + " }"
		case 1:
			return "func() func(int) int { c := " + w.expr("int", d) + "; return func(n int) int { return c " + w.pick("+", "^") + " n } }()"
		}
		return "func(n int) int { if n > " + w.literal() + " { return n }; return n * " + w.literal() + " }"
	}
	panic("no expression of type " + t)
}

func (w *writer) push() { w.scopes = append(w.scopes, nil) }
func (w *writer) pop()  { w.scopes = w.scopes[:len(w.scopes)-1] }

func (w *writer) bind(name, t string, fixed bool) {
	w.scopes[len(w.scopes)-1] = append(w.scopes[len(w.scopes)-1], variable{name, t, fixed})
}

func (w *writer) block(n int) string {
	w.push()
	defer w.pop()
	var b strings.Builder
	for range n {
		b.WriteString(w.stmt())
	}
	return b.String()
}

// local is a name for a new local variable, which may hide one of an outer block.
func (w *writer) local() string {
	if w.r.IntN(2) == 0 {
		for i := range len(w.scopes) - 1 {
			if s := w.scopes[i]; len(s) > 0 {
				name := s[w.r.IntN(len(s))].name
				if !slices.ContainsFunc(w.scopes[len(w.scopes)-1], func(v variable) bool { return v.name == name }) {
					return name
				}
			}
		}
	}
	return w.fresh("x")
}

// stmt is a statement that declares nothing in the scope of the cell.
func (w *writer) stmt() string {
	w.depth++
	defer func() { w.depth-- }()
	top := len(w.scopes) == 1
	if w.depth > 4 {
		return "fmt.Println(" + w.expr("int", 1) + ")\n"
	}
	loop := func(head string, inner func() string) string {
		w.loops++
		defer func() { w.loops-- }()
		w.push()
		defer w.pop()
		return head + " {\n" + inner() + "}\n"
	}
	few := func() string { return fmt.Sprint(1 + w.r.IntN(4)) }
	switch n := w.r.IntN(22); {
	case n < 3:
		return "fmt.Println(" + w.expr(w.pick("int", "string", "bool", "[]int", "P", "map[string]int", "[3]int", "float64", "uint8"), 2) + ", " + w.expr("int", 2) + ")\n"
	case n < 5 && !top:
		name := w.local()
		t := w.pick(randomTypes...)
		text := "var " + name + " " + t + " = " + w.expr(t, 2) + "; _ = " + name + "\n"
		if t == "int" || t == "string" {
			text = name + " := " + w.expr(t, 2) + "; _ = " + name + "\n"
		}
		w.bind(name, t, false)
		return text
	case n < 8:
		t := w.pick("int", "string", "bool", "[]int", "P", "[3]int", "any", "Shape")
		list := w.of(t, true)
		if len(list) == 0 {
			return "fmt.Println(" + w.expr(t, 1) + ")\n"
		}
		v := w.pick(list...)
		if t == "int" && w.r.IntN(2) == 0 {
			return v + " " + w.pick("+=", "-=", "*=", "|=", "^=", "&^=") + " " + w.expr("int", 1) + "\n"
		}
		if t == "int" && len(list) > 1 && w.r.IntN(2) == 0 {
			u := w.pick(list...)
			if u != v {
				return v + ", " + u + " = " + u + ", " + v + "\n"
			}
		}
		if t == "string" {
			return v + " += " + w.text() + "\n"
		}
		return v + " = " + w.expr(t, 2) + "\n"
	case n == 8:
		return "if " + w.expr("bool", 2) + " {\n" + w.block(1+w.r.IntN(2)) + "} else {\n" + w.block(1) + "}\n"
	case n == 9 && w.loops < 2:
		i := w.pick("i", "j", w.fresh("i"))
		return loop("for "+i+" := 0; "+i+" < "+few()+"; "+i+"++", func() string { w.bind(i, "int", true); return w.block(1 + w.r.IntN(2)) })
	case n == 10 && w.loops < 2:
		i := w.pick("i", "k")
		return loop("for "+i+" := range "+few(), func() string { w.bind(i, "int", true); return "_ = " + i + "\n" + w.block(1+w.r.IntN(2)) })
	case n == 11 && w.loops < 2:
		return loop("for i, v := range "+w.expr("[]int", 1), func() string {
			w.bind("i", "int", true)
			w.bind("v", "int", false)
			return "_, _ = i, v\n" + w.block(1+w.r.IntN(2))
		})
	case n == 12 && w.loops < 2:
		return loop("for i, c := range "+w.expr("string", 1), func() string { return "fmt.Println(i, c, string(c))\n" })
	case n == 13 && w.loops < 2:
		m := w.expr("map[string]int", 1)
		return loop("for _, key := range Sorted("+m+")", func() string { w.bind("key", "string", false); return "_ = key\n" + w.block(1) })
	case n == 14 && w.loops < 2:
		label := w.fresh("L")
		leave := w.pick("break ", "continue ") + label
		return label + ":\n" + loop("for i := range "+few(), func() string {
			return loop("for j := range Upto("+few()+")", func() string {
				w.bind("i", "int", true)
				w.bind("j", "int", true)
				return "if i+j == " + w.literal() + " { " + leave + " }\nif j == 2 { " + w.pick("continue", "break") + " }\nfmt.Println(i, j)\n" + w.block(1)
			})
		})
	case n == 15:
		return "switch x := " + w.expr("int", 2) + "; {\ncase x < " + w.literal() + ":\nfmt.Println(\"less\", x)\n" + w.pick("fallthrough\n", "") + "case x%2 == 0:\n" + w.block(1) + "default:\n" + w.block(1) + "}\n"
	case n == 16:
		return "switch " + w.expr("string", 1) + " {\ncase \"a\", \"bc\":\n" + w.block(1) + "case \"\":\n" + w.block(1) + "default:\n" + w.block(1) + "}\n"
	case n == 17:
		x := w.expr("any", 2)
		return "switch x := " + x + ".(type) {\ncase int:\nfmt.Println(\"int\", x+1)\ncase string, bool:\nfmt.Println(\"sb\", x)\ncase []int:\nfmt.Println(\"slice\", len(x))\ncase P:\nfmt.Println(\"P\", x.Sum())\ncase nil:\nfmt.Println(\"nil\")\ndefault:\nfmt.Println(\"other\", x)\n}\n"
	case n == 18:
		if p, ok := w.variable("*P"); ok {
			return p + ".Add(" + w.expr("int", 1) + ")\nfmt.Println(*" + p + ")\n"
		}
		return "fmt.Println(Try(func() { fmt.Println(" + w.expr("int", 1) + " / (" + w.expr("int", 2) + " & len(fmt.Sprint(1)))) }))\n"
	case n == 19:
		if m := w.of("map[string]int", true); len(m) > 0 {
			v := w.pick(m...)
			return v + "[" + w.text() + "] += " + w.expr("int", 1) + "\ndelete(" + v + ", " + w.text() + ")\nfmt.Println(len(" + v + "), " + v + ")\n"
		}
		return "fmt.Println(" + w.expr("map[string]int", 2) + ")\n"
	case n == 20:
		if s := w.of("[]int", true); len(s) > 0 {
			v := w.pick(s...)
			return "if len(" + v + ") > 1 { " + v + "[0], " + v + "[1] = " + v + "[1], " + v + "[0]; " + v + "[len(" + v + ")-1] " + w.pick("+=", "*=", "=") + " " + w.expr("int", 1) + " }\n"
		}
		return "{\n" + w.block(2) + "}\n"
	case n == 21:
		if a := w.of("[3]int", true); len(a) > 0 {
			v := w.pick(a...)
			return "{ b := " + v + "; b[1] = " + w.expr("int", 1) + "; fmt.Println(" + v + ", b, b == " + v + ") }\n"
		}
		return "fmt.Println(" + w.expr("[3]int", 2) + ")\n"
	}
	return w.idiom()
}

// show prints all variables of the cells.
func (w *writer) show() string {
	var b strings.Builder
	for _, v := range w.scopes[0] {
		switch v.typ {
		case "*P":
			b.WriteString("fmt.Println(\"" + v.name + "\", *" + v.name + ")\n")
		case "Shape":
			b.WriteString("fmt.Println(\"" + v.name + "\", " + v.name + ".Area())\n")
		case "func(int) int":
			b.WriteString("fmt.Println(\"" + v.name + "\", " + v.name + "(7))\n")
		default:
			b.WriteString("fmt.Println(\"" + v.name + "\", " + v.name + ")\n")
		}
	}
	return b.String()
}
