package dsl

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"banter/internal/cellsplit"
	"banter/internal/reach"
	"banter/stdlib/align"
)

// MainOption is something that a recipe tells about itself.
type MainOption struct{ source fs.FS }

// Source gives a compiled recipe its own source, so that it can say what its functions of a pair are, and find the results
// of the filters that they were given to, as the same recipe does where it is interpreted:
//
//	//go:embed *.go
//	var source embed.FS
//
//	func main() {
//		p := Params{Least: 0.6}
//		dsl.Main(&p, func() {
//			good := dsl.Filter(pairs, func(q dsl.Pair) bool { return q.Confidence > p.Least })
//			...
//		}, dsl.Source(source))
//	}
//
// The compiler embeds what it compiles, so the text is that of the program. No program can read the variables that a
// compiled function captured: a function may read the parameters, constants, and variables that are set to a constant once.
// Any other is asked anew in each run, and the run says why.
func Source(files fs.FS) MainOption { return MainOption{files} }

// compiled is a compiled recipe: its text, and what the names in it mean as far as that can be told without the packages
// that it imports.
type compiled struct {
	params any    // the pointer that Main was given
	files  fs.FS  // with the recipe's text; nil: it was not given
	at     string // the file that calls Main
	line   int

	once  sync.Once
	why   error // why the text is of no use
	fset  *token.FileSet
	text  string
	file  *ast.File
	info  *types.Info
	given *types.Var // the variable that params points to
}

// compiledRecipe is the recipe whose Main runs; skip is how many calls it is away.
func compiledRecipe(params any, options []MainOption, skip int) *compiled {
	c := &compiled{params: params}
	for _, o := range options {
		c.files = o.source
	}
	_, c.at, c.line, _ = runtime.Caller(skip + 1)
	return c
}

// predicate is what can be said of a compiled function of a pair.
func (c *compiled) predicate(f func(Pair) bool) *Predicate {
	p := &Predicate{Keep: func(p *Pair) bool { return f(*p) }}
	if err := c.identify(f, p); err != nil {
		what := "this function"
		pc := reflect.ValueOf(f).Pointer()
		if fn := runtime.FuncForPC(pc); fn != nil && !strings.HasPrefix(fn.Name(), "reflect.") {
			file, line := fn.FileLine(pc)
			what = fmt.Sprintf("the function at %s:%d (%s)", filepath.Base(file), line, fn.Name())
		}
		p.Uncacheable = fmt.Sprintf("%s was compiled, and %v; recipe run, which interprets it, can remember it; so can rules such as FDR.AtMost", what, err)
	}
	return p
}

// identify finds the text of f and what it reads.
func (c *compiled) identify(f func(Pair) bool, p *Predicate) error {
	if c == nil || c.files == nil {
		return errors.New("no program can read which values such a function captured, nor its text unless Main is given dsl.Source")
	}
	c.once.Do(func() { c.why = c.read() })
	if c.why != nil {
		return c.why
	}
	found, err := c.find(f)
	if err != nil {
		return err
	}
	if found.Unknown != "" {
		return errors.New(found.Unknown)
	}
	captures := func() (list []Capture, err error) {
		for _, r := range found.Reads {
			value, err := c.value(r)
			if err != nil {
				return nil, err
			}
			list = append(list, Capture{Name: r.Name, Type: types.TypeString(r.Type, nil), Value: value})
		}
		return list, nil
	}
	if p.Captures, err = captures(); err != nil {
		return err
	}
	p.Source = found.Source
	p.Changed = func() string {
		now, err := captures()
		if err != nil {
			return err.Error()
		}
		for i, c := range now {
			if c != p.Captures[i] {
				return "it changes " + c.Name
			}
		}
		return ""
	}
	return nil
}

// maxRecipe bounds a recipe's text, in bytes.
const maxRecipe = 4 << 20

// read parses the file that calls Main.
func (c *compiled) read() error {
	name := filepath.Base(c.at)
	b, err := fs.ReadFile(c.files, name)
	if err != nil {
		return fmt.Errorf("%s is not among the files that dsl.Source was given: embed *.go", name)
	}
	c.text = string(b)
	if len(b) > maxRecipe || strings.Contains(c.text, "//line ") || strings.Contains(c.text, "/*line ") {
		return fmt.Errorf("%s has line directives, or is too large", name)
	}
	c.fset = token.NewFileSet()
	if c.file, err = parser.ParseFile(c.fset, name, b, parser.SkipObjectResolution); err != nil {
		return fmt.Errorf("its source cannot be read: %w", err)
	}
	c.info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Implicits: map[ast.Node]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}, Instances: map[*ast.Ident]types.Instance{}}
	conf := types.Config{Importer: outline{}, Sizes: types.SizesFor("gc", runtime.GOARCH), Error: func(error) {}} // what is imported is not there
	_, _ = conf.Check("main", c.fset, []*ast.File{c.file}, c.info)
	ast.Inspect(c.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || c.fset.Position(call.Pos()).Line > c.line || c.fset.Position(call.End()).Line < c.line || len(call.Args) < 2 || !isMain(call, c.info) {
			return true
		}
		if x, ok := call.Args[0].(*ast.UnaryExpr); ok && x.Op == token.AND {
			if id, ok := x.X.(*ast.Ident); ok {
				c.given, _ = c.info.Uses[id].(*types.Var)
			}
		}
		return true
	})
	return nil
}

func isMain(call *ast.CallExpr, info *types.Info) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Main" {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	pkg, ok := info.Uses[id].(*types.PkgName)
	return ok && pkg.Imported().Path() == "banter/dsl"
}

// find finds the one function that begins where f does.
func (c *compiled) find(f func(Pair) bool) (found reach.Function, err error) {
	pc := reflect.ValueOf(f).Pointer()
	fn := runtime.FuncForPC(pc)
	if fn == nil {
		return found, errors.New("it has no name")
	}
	file, line := fn.FileLine(fn.Entry())
	if !strings.HasPrefix(fn.Name(), "main.") || strings.Contains(fn.Name(), "[") || file != c.at {
		return found, fmt.Errorf("it is not an ordinary function of %s", filepath.Base(c.at))
	}
	program := reach.Program{Fset: c.fset, Text: func(*token.File) string { return c.text }, Function: c.function, Outline: true}
	var literals []*ast.FuncLit
	var declared *ast.FuncDecl
	ast.Inspect(c.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			if c.fset.Position(n.Pos()).Line == line {
				literals = append(literals, n)
			}
		case *ast.FuncDecl:
			if n.Recv == nil && fn.Name() == "main."+n.Name.Name && c.fset.Position(n.Pos()).Line == line {
				declared = n
			}
		}
		return true
	})
	switch {
	case declared != nil && len(literals) == 0:
		return reach.Of(declared.Name, c.info, program), nil
	case declared == nil && len(literals) == 1:
		return reach.Of(literals[0], c.info, program), nil
	}
	return found, fmt.Errorf("%d functions begin in line %d: write each on lines of its own", len(literals), line)
}

// function is a function or method of the recipe.
func (c *compiled) function(name string) (*ast.FuncDecl, *types.Info) {
	for _, d := range c.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && cellsplit.Names(f)[0] == name {
			return f, c.info
		}
	}
	return nil, nil
}

// value is what a function reads, in canonical form.
func (c *compiled) value(r reach.Read) (string, error) {
	unknown := fmt.Errorf("no program can read the variable %s that it captured", r.Name)
	if r.Var == c.given && r.Var != nil {
		v := reflect.Indirect(reflect.ValueOf(c.params))
		for _, f := range r.Fields {
			if v.Kind() != reflect.Struct || f >= v.NumField() {
				return "", unknown
			}
			v = reflect.Indirect(v.Field(f))
		}
		text, trouble := reach.Canonical(v, nil)
		if trouble != "" {
			return "", fmt.Errorf("it reads %s, which holds %s", r.Name, trouble)
		}
		return text, nil
	}
	if len(r.Fields) > 0 {
		return "", unknown
	}
	value := c.setOnce(r.Var)
	if value == nil {
		return "", unknown
	}
	b, ok := r.Type.Underlying().(*types.Basic)
	if !ok {
		return "", unknown
	}
	var v any
	switch info := b.Info(); {
	case info&types.IsBoolean != 0:
		v = constant.BoolVal(value)
	case info&types.IsString != 0:
		v = constant.StringVal(value)
	case info&types.IsUnsigned != 0:
		v, ok = constant.Uint64Val(constant.ToInt(value))
	case info&types.IsInteger != 0:
		v, ok = constant.Int64Val(constant.ToInt(value))
	case b.Kind() == types.Float64:
		v, _ = constant.Float64Val(value)
	default:
		return "", unknown
	}
	if !ok {
		return "", unknown
	}
	text, _ := reach.Canonical(reflect.ValueOf(v), nil)
	return text, nil
}

// setOnce is the constant that a variable of a function is declared with, if nothing sets it to anything else; or nil.
func (c *compiled) setOnce(v *types.Var) (value constant.Value) {
	if v.Pkg() == nil || v.Parent() == v.Pkg().Scope() { // another file of the program may set it
		return nil
	}
	declared, changed := 0, false
	is := func(x ast.Expr) bool {
		id, ok := ast.Unparen(x).(*ast.Ident)
		return ok && c.info.ObjectOf(id) == v
	}
	ast.Inspect(c.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, x := range n.Lhs {
				if !is(x) {
					continue
				}
				if id, ok := x.(*ast.Ident); ok && n.Tok == token.DEFINE && c.info.Defs[id] == v && len(n.Lhs) == len(n.Rhs) {
					declared++
					value = c.info.Types[n.Rhs[i]].Value
				} else {
					changed = true
				}
			}
		case *ast.ValueSpec:
			for i, id := range n.Names {
				if c.info.Defs[id] == v && len(n.Values) == len(n.Names) {
					declared++
					value = c.info.Types[n.Values[i]].Value
				}
			}
		case *ast.IncDecStmt:
			changed = changed || is(n.X)
		case *ast.UnaryExpr:
			changed = changed || n.Op == token.AND && is(n.X)
		case *ast.RangeStmt:
			changed = changed || n.Key != nil && is(n.Key) || n.Value != nil && is(n.Value)
		case *ast.SelectorExpr: // a method may change it
			changed = changed || is(n.X)
		}
		return true
	})
	if declared != 1 || changed || value == nil || value.Kind() == constant.Unknown {
		return nil
	}
	return value
}

// outline imports packages by their names alone, but for what recipes say most often: dsl.Pair, and lengths of time.
type outline struct{}

var outlined = sync.OnceValue(func() map[string]*types.Package {
	clock := types.NewPackage("time", "time")
	duration := types.NewNamed(types.NewTypeName(token.NoPos, clock, "Duration", nil), types.Typ[types.Int64], nil)
	clock.Scope().Insert(duration.Obj())
	pairs := types.NewPackage("banter/stdlib/align", "align")
	var fields []*types.Var
	t := reflect.TypeFor[align.Pair]()
	for i := range t.NumField() {
		f := t.Field(i)
		ft := types.Type(duration)
		if f.Type != reflect.TypeFor[time.Duration]() {
			j := slices.IndexFunc(types.Typ, func(b *types.Basic) bool { return b.Name() == f.Type.String() })
			if j < 0 { // of a package of Banter's: what is done with it cannot be told
				continue
			}
			ft = types.Typ[j]
		}
		fields = append(fields, types.NewField(token.NoPos, pairs, f.Name, ft, false))
	}
	pair := types.NewNamed(types.NewTypeName(token.NoPos, pairs, "Pair", nil), types.NewStruct(fields, nil), nil)
	dsl := types.NewPackage("banter/dsl", "dsl")
	dsl.Scope().Insert(types.NewTypeName(token.NoPos, dsl, "Pair", pair))
	for name, d := range map[string]time.Duration{"Millisecond": Millisecond, "Second": Second, "Minute": Minute, "Hour": Hour} {
		dsl.Scope().Insert(types.NewConst(token.NoPos, dsl, name, duration, constant.MakeInt64(int64(d))))
		clock.Scope().Insert(types.NewConst(token.NoPos, clock, name, duration, constant.MakeInt64(int64(d))))
	}
	for _, p := range []*types.Package{clock, pairs, dsl} {
		p.MarkComplete()
	}
	return map[string]*types.Package{"time": clock, "banter/stdlib/align": pairs, "banter/dsl": dsl}
})

var _ types.Importer = outline{}

func (outline) Import(path string) (*types.Package, error) {
	if p := outlined()[path]; p != nil {
		return p, nil
	}
	p := types.NewPackage(path, path[strings.LastIndexByte(path, '/')+1:])
	p.MarkComplete()
	return p, nil
}
