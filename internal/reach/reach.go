// Package reach finds what the result of a function depends on. The expression that gives the function goes in, with its
// types; out come its source in normal form, with that of all that it reaches, and the variables that these read. Where
// that is not all, it says what is missing, so that nobody takes a result for another's.
package reach

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// Program is where functions stand that one may reach.
type Program struct {
	Fset *token.FileSet

	// Text is the text of a file of Fset.
	Text func(*token.File) string

	// Function is the declaration of a function or method of the program, "f" or "T.M", with the types of its body;
	// nil: it is not known.
	Function func(name string) (*ast.FuncDecl, *types.Info)

	// Outline says that most of what the program imports is known by its package's name alone. What cannot be told then
	// is not guessed.
	Outline bool
}

// Function is what a function's result depends on.
type Function struct {
	Source  string // in normal form: of the function, and of the functions, types and constants that it reaches
	Reads   []Read // variables from outside of it, in order of their names
	Unknown string // what else it depends on, "it calls time.Now", or empty
}

// Read is a variable that is read, or, where no more than that is read of it, a field.
type Read struct {
	Var    *types.Var
	Fields []int      // the way from Var: an index in a struct for each step, through pointers
	Name   string     // "least", "params.Least"
	Type   types.Type // of what is read
}

// Pure says whether the results of a package's functions depend on their arguments alone.
func Pure(path string) bool { return purePackages[path] }

var purePackages = map[string]bool{
	"strings": true, "bytes": true, "unicode": true, "unicode/utf8": true, "unicode/utf16": true, "math": true, "math/bits": true,
	"math/cmplx": true, "strconv": true, "slices": true, "maps": true, "sort": true, "cmp": true, "regexp": true, "html": true, "errors": true,
}

const dslPath = "banter/dsl" // the package whose names stand without it, as in cells

// own says whether an object is of the program itself.
func own(obj types.Object) bool { return obj.Pkg() != nil && obj.Pkg().Path() == "main" }

// search is how far the search for what a function depends on is.
type search struct {
	program Program
	sources []string
	seen    map[types.Object]bool // functions, types and constants
	named   []*types.TypeName     // types of the program that are reached, as far as their methods were not looked at
	dynamic bool                  // something is converted to an interface: any method of its type may be called
	reads   map[string]Read
	unknown string
}

// Of says what the function that the expression gives depends on.
func Of(x ast.Expr, info *types.Info, program Program) Function {
	s := &search{program: program, seen: map[types.Object]bool{}, reads: map[string]Read{}}
	head := ""
	switch x := ast.Unparen(x).(type) {
	case *ast.FuncLit:
		head = Normal(x, info, program)
		s.visit(x, info)
	case *ast.Ident:
		if f, ok := info.ObjectOf(x).(*types.Func); ok {
			head = f.Name()
			s.function(f)
			break
		}
		s.miss("%s is a variable that holds a function: write the function where it is used", x.Name)
	default:
		s.miss("the function is the result of an expression: write it where it is used")
	}
	s.methods()
	slices.Sort(s.sources)
	f := Function{Source: strings.Join(append([]string{head}, s.sources...), "\n"), Unknown: s.unknown}
	for _, r := range s.reads {
		if !s.covered(r) {
			f.Reads = append(f.Reads, r)
		}
	}
	slices.SortFunc(f.Reads, func(a, b Read) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return int(a.Var.Pos() - b.Var.Pos())
	})
	return f
}

// miss notes something that the function depends on and that cannot be known.
func (s *search) miss(format string, args ...any) {
	if s.unknown == "" {
		s.unknown = fmt.Sprintf(format, args...)
	}
}

// covered says whether all that a read reads is read by another.
func (s *search) covered(r Read) bool {
	for i := range r.Fields {
		if _, ok := s.reads[readKey(r.Var, r.Fields[:i])]; ok {
			return true
		}
	}
	return false
}

func readKey(v *types.Var, fields []int) string { return fmt.Sprintf("%p %v", v, fields) }

// visit follows all that stands in n, a function literal or declaration.
func (s *search) visit(n ast.Node, info *types.Info) {
	inside := func(obj types.Object) bool { return n.Pos() <= obj.Pos() && obj.Pos() < n.End() }
	outer := func(id *ast.Ident) *types.Var {
		v, ok := info.Uses[id].(*types.Var)
		if !ok || v.IsField() || inside(v) || !own(v) && v.Pkg() != nil {
			return nil
		}
		return v
	}
	selected := map[*ast.Ident]bool{}
	switched := map[token.Pos]bool{} // where type switches declare variables
	for _, obj := range info.Implicits {
		switched[obj.Pos()] = true
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			selected[n.Sel] = true
			if r, ok := fieldOf(n, info, outer); ok {
				s.read(r)
				return false
			}
			s.unresolved(n, info)
		case *ast.CallExpr:
			s.arguments(n, info)
		case *ast.Ident:
			if v := outer(n); v != nil {
				s.read(Read{Var: v, Name: v.Name(), Type: v.Type()})
			} else if obj := info.Uses[n]; obj != nil && !inside(obj) {
				s.object(obj)
			}
			if info.ObjectOf(n) == nil && s.program.Outline && !selected[n] && n.Name != "_" && !switched[n.Pos()] {
				s.miss("what %s is cannot be told from its source alone", n.Name)
			}
			if obj := info.ObjectOf(n); obj != nil {
				if _, isPkg := obj.(*types.PkgName); !isPkg {
					s.typ(obj.Type())
				}
			}
		}
		if x, ok := n.(ast.Expr); ok {
			if tv, ok := info.Types[x]; ok && tv.IsValue() {
				s.typ(tv.Type)
			}
		}
		return true
	})
}

// fieldOf is the read of a field of a variable from outside: v.F, v.F.G.
func fieldOf(x *ast.SelectorExpr, info *types.Info, outer func(*ast.Ident) *types.Var) (Read, bool) {
	sel := info.Selections[x]
	if sel == nil || sel.Kind() != types.FieldVal {
		return Read{}, false
	}
	var r Read
	switch base := ast.Unparen(x.X).(type) {
	case *ast.Ident:
		v := outer(base)
		if v == nil {
			return Read{}, false
		}
		r = Read{Var: v, Name: v.Name()}
	case *ast.SelectorExpr:
		var ok bool
		if r, ok = fieldOf(base, info, outer); !ok {
			return Read{}, false
		}
	default:
		return Read{}, false
	}
	return Read{Var: r.Var, Fields: append(slices.Clone(r.Fields), sel.Index()...), Name: r.Name + "." + x.Sel.Name, Type: sel.Type()}, true
}

// unresolved notes what of an outline cannot be told: what is selected from a package that is not pure, or from a value
// whose type is known and does not have it. What is selected from the results of pure packages is pure.
func (s *search) unresolved(x *ast.SelectorExpr, info *types.Info) {
	if !s.program.Outline || info.ObjectOf(x.Sel) != nil {
		return
	}
	if id, ok := ast.Unparen(x.X).(*ast.Ident); ok {
		if pkg, ok := info.Uses[id].(*types.PkgName); ok {
			if !Pure(pkg.Imported().Path()) {
				s.miss("it uses %s.%s", pkg.Imported().Name(), x.Sel.Name)
			}
			return
		}
	}
	if t := info.TypeOf(x.X); t != nil && t != types.Typ[types.Invalid] {
		s.miss("what %s is cannot be told from its source alone", x.Sel.Name)
	}
}

// outlined notes that a type is not known whole.
func (s *search) outlined(name string, t types.Type) {
	if s.program.Outline && strings.Contains(types.TypeString(t, nil), "invalid type") {
		s.miss("the type of %s cannot be told from its source alone", name)
	}
}

func (s *search) read(r Read) {
	s.reads[readKey(r.Var, r.Fields)] = r
	s.outlined(r.Name, r.Type)
	s.typ(r.Type)
}

// arguments notes whether a call converts what it is given to an interface.
func (s *search) arguments(x *ast.CallExpr, info *types.Info) {
	t := info.TypeOf(x.Fun)
	if t == nil {
		return
	}
	if sig, ok := t.Underlying().(*types.Signature); ok {
		s.typ(sig.Params())
	}
}

// object follows what a name outside of the function means.
func (s *search) object(obj types.Object) {
	switch obj := obj.(type) {
	case *types.Var: // of another package, or a field
		if !obj.IsField() {
			s.miss("it reads the variable %s.%s", obj.Pkg().Name(), obj.Name())
		}
	case *types.Func:
		s.function(obj)
	case *types.Const:
		if own(obj) && !s.seen[obj] {
			s.seen[obj] = true
			if s.outlined(obj.Name(), obj.Type()); obj.Val().Kind() == constant.Unknown {
				s.miss("the value of %s cannot be told from its source alone", obj.Name())
				return
			}
			s.sources = append(s.sources, fmt.Sprintf("const %s %s = %s", obj.Name(), types.TypeString(obj.Type(), nil), obj.Val().ExactString()))
			s.typ(obj.Type())
		}
	case *types.TypeName:
		if own(obj) && obj.IsAlias() && !s.seen[obj] {
			s.seen[obj] = true
			s.sources = append(s.sources, "type "+obj.Name()+" = "+types.TypeString(types.Unalias(obj.Type()), nil))
		}
		s.typ(obj.Type())
	}
}

// function follows a function or method.
func (s *search) function(f *types.Func) {
	f = f.Origin()
	if f.Pkg() == nil || s.seen[f] { // the Error of error belongs to no package; that of the program's types is found by their methods
		return
	}
	s.seen[f] = true
	if !own(f) {
		duration := f.Pkg().Path() == "time" && strings.HasPrefix(f.FullName(), "(time.Duration)")
		if !Pure(f.Pkg().Path()) && !duration {
			s.miss("it calls %s", f.FullName())
		}
		return
	}
	name := f.Name()
	if recv := f.Signature().Recv(); recv != nil {
		t := recv.Type()
		if ptr, ok := t.(*types.Pointer); ok {
			t = ptr.Elem()
		}
		named, ok := types.Unalias(t).(*types.Named)
		if !ok || types.IsInterface(t) {
			s.miss("it calls a method of an interface")
			return
		}
		name = named.Obj().Name() + "." + name
	}
	decl, info := s.program.Function(name)
	if decl == nil || info == nil {
		s.miss("it calls %s", name)
		return
	}
	s.sources = append(s.sources, Normal(decl, info, s.program))
	s.visit(decl, info)
}

// typ follows the types of the program that a type is made of.
func (s *search) typ(t types.Type) {
	switch t := t.(type) {
	case *types.Alias:
		s.typ(types.Unalias(t))
	case *types.Named:
		for arg := range t.TypeArgs().Types() {
			s.typ(arg)
		}
		if types.IsInterface(t) {
			s.dynamic = true
		}
		obj := t.Obj()
		if !own(obj) || s.seen[obj] {
			return
		}
		s.seen[obj] = true
		s.named = append(s.named, obj)
		under := t.Origin().Underlying()
		s.outlined(obj.Name(), under)
		s.sources = append(s.sources, "type "+obj.Name()+" "+types.TypeString(under, nil))
		s.typ(under)
	case *types.Interface:
		s.dynamic = true
	case *types.Pointer:
		s.typ(t.Elem())
	case *types.Slice:
		s.typ(t.Elem())
	case *types.Array:
		s.typ(t.Elem())
	case *types.Chan:
		s.typ(t.Elem())
	case *types.Map:
		s.typ(t.Key())
		s.typ(t.Elem())
	case *types.Struct:
		for f := range t.Fields() {
			s.typ(f.Type())
		}
	case *types.Signature:
		s.typ(t.Params())
		s.typ(t.Results())
	case *types.Tuple:
		for v := range t.Variables() {
			s.typ(v.Type())
		}
	}
}

// methods follows the methods of all types that are reached, if anything may call them without saying so. That may reach
// more types.
func (s *search) methods() {
	for len(s.named) > 0 && s.dynamic {
		t := s.named[0]
		s.named = s.named[1:]
		set := types.NewMethodSet(types.NewPointer(t.Type()))
		for m := range set.Methods() {
			if f, ok := m.Obj().(*types.Func); ok && own(f) && !types.IsInterface(t.Type()) {
				s.function(f)
			}
		}
	}
}
