package cell

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unsafe"

	"banter/internal/cellsplit"
	"banter/internal/misspelt"
)

// entity is a name that cells have declared: a variable, function, method, type or constant.
type entity struct {
	name   string // "x", "f", "T", "T.M"
	obj    types.Object
	run    string          // its name in the interpreter; a new one for each incompatible meaning
	fn     *ast.FuncDecl   // functions and methods
	spec   ast.Spec        // types
	gen    *ast.GenDecl    // constants: the whole group, since iota counts in it
	cell   string          // the cell that declared it
	uses   map[string]bool // of a function: the cells' names that it refers to
	shape  string          // of a type: what its layout depends on
	holder string          // of a method: the variable that holds its newest code
	info   *types.Info     // of the body of a function
	waits  *waiting        // a function that cannot be called yet
}

// isVar reports whether n is a variable.
func (n *entity) isVar() bool { _, ok := n.obj.(*types.Var); return ok }

// checked is a cell that passed the type checker.
type checked struct {
	parts    *parts
	name     string
	info     *types.Info // of statements and declarations without bodies
	bodies   *types.Info // of function bodies
	pkg      *types.Package
	scope    *types.Scope // what the cell's declarations and its surroundings mean
	hoisted  []*types.Var // variables of the cell, in order of declaration
	last     ast.Expr     // the expression whose value the cell shows
	funcs    []*funcDecl
	typeSpec []*ast.TypeSpec
	consts   []*ast.GenDecl
	rebuilt  bool
	broken   []string
	inits    []*funcDecl
	nameless int // functions called init or _
	imports  map[string]*ast.ImportSpec
	waiting  []*funcDecl // functions that call what no cell has declared yet
}

// funcDecl is a function or method with its checked body.
type funcDecl struct {
	name string // "f", "T.M"
	decl *ast.FuncDecl
	obj  *types.Func // as callers see it
	body *types.Func // as its body was checked: the receiver is the first parameter
	cell string

	waits *waiting
}

func newInfo() *types.Info {
	return &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Implicits: map[ast.Node]types.Object{}, Instances: map[*ast.Ident]types.Instance{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
		Scopes: map[ast.Node]*types.Scope{},
	}
}

func funcName(d *ast.FuncDecl) string { return cellsplit.Names(d)[0] }

// declared is the set of names that declarations give a meaning.
func declared(decls []ast.Decl) map[string]bool {
	names := map[string]bool{}
	for _, d := range decls {
		for _, n := range cellsplit.Names(d) {
			names[n] = true
		}
	}
	return names
}

// check type-checks a cell against all that earlier cells declared.
func (e *Evaluator) check(name string, p *parts) (*checked, error) {
	names := declared(p.decls)
	rebuild := false
	for n := range names {
		if old := e.entities[n]; old != nil && (!old.isVar() || e.inUse(n)) {
			rebuild = true
		}
		if recv, _, ok := strings.Cut(n, "."); ok && !names[recv] {
			rebuild = true // a method for a type of an earlier cell
		}
		rebuild = rebuild || e.awaited(n)
	}
	for _, s := range p.imports {
		if n, err := e.importName(s); err == nil {
			rebuild = rebuild || e.awaited(n)
		}
	}
	for _, n := range e.order() {
		for awaited := range n.awaits() {
			rebuild = rebuild || declares(p.stmts, awaited)
		}
	}
	ck, err := e.tryCheck(name, p, names, rebuild)
	if err != nil || ck.rebuilt {
		return ck, err
	}
	for _, v := range ck.hoisted {
		old := e.entities[v.Name()]
		if old == nil || old.isVar() && types.Identical(old.obj.Type(), v.Type()) {
			continue
		}
		if e.inUse(v.Name()) {
			return e.tryCheck(name, p, names, true)
		}
	}
	return ck, nil
}

// inUse reports whether a function refers to name.
func (e *Evaluator) inUse(name string) bool {
	for _, f := range e.entities {
		if f.uses[name] {
			return true
		}
	}
	return false
}

// checking is the check of one cell on its way.
type checking struct {
	*checked
	e       *Evaluator
	names   map[string]bool     // that the cell declares
	decls   []ast.Decl          // of earlier cells that hold on, and the cell's: all but functions
	all     []*funcDecl         // likewise
	body    *ast.FuncDecl       // the cell's statements, as a function's
	errs    []error             // what the checker said last
	attempt int                 // how often bodies were checked
	before  map[string]ast.Node // what of earlier cells is checked anew, by name
	left    map[string]string   // what of it no longer compiles, and why

	typeImports map[string]*ast.ImportSpec // for the types of earlier variables
}

func (e *Evaluator) tryCheck(name string, p *parts, names map[string]bool, rebuild bool) (*checked, error) {
	left := map[string]string{}
	for {
		c := &checking{e: e, names: names, typeImports: map[string]*ast.ImportSpec{}, before: map[string]ast.Node{}, left: left, checked: &checked{
			parts: p, name: name, rebuilt: rebuild, info: newInfo(), bodies: newInfo(), imports: map[string]*ast.ImportSpec{}}}
		c.scope = c.emptied()
		c.pkg = e.pkg
		if err := c.imported(); err != nil {
			return nil, err
		}
		c.earlier()
		if err := c.own(); err != nil {
			return nil, err
		}
		if err := c.prelude(); err != nil {
			return nil, err
		}
		if err := c.heads(); err != nil {
			if c.leaveOut() {
				continue
			}
			return nil, err
		}
		if err := c.checkBodies(); err != nil {
			return nil, err
		}
		if err := c.settle(e, c.all); err != nil {
			return nil, err
		}
		return c.checked, nil
	}
}

// leaveOut notes what of earlier cells the checker minds, where what it names is of another kind now; the next try is
// without it. It reports whether there is any.
func (c *checking) leaveOut() bool {
	some := false
	for name, n := range c.before {
		for _, err := range c.errs {
			if te, ok := err.(types.Error); ok && c.left[name] == "" && n.Pos() <= te.Pos && te.Pos < n.End() {
				c.left[name], some = te.Msg, true
			}
		}
	}
	return some
}

// emptied empties the cells' package and returns its scope. One package object serves all checks: the checker compares
// packages by identity where it decides whether an unexported field may be named.
func (c *checking) emptied() *types.Scope {
	*c.e.pkg = *types.NewPackage("main", "main")
	return c.e.pkg.Scope()
}

// imported gathers the imports of all cells; a declaration of the same name hides one.
func (c *checking) imported() error {
	for n, s := range c.e.imports {
		if !c.names[n] {
			c.imports[n] = s
		}
	}
	var errs []error
	for _, s := range c.parts.imports {
		n, err := c.e.importName(s)
		if err != nil {
			errs = append(errs, &refusal{s.Path.Pos(), err.Error()})
		} else if n != "_" {
			c.imports[n] = s
		}
	}
	if len(errs) > 0 {
		return c.e.diagnose(errs...)
	}
	return nil
}

// earlier takes over what other cells declared: as it was checked, or to be checked anew.
func (c *checking) earlier() {
	again := map[*ast.GenDecl]bool{} // groups of constants
	for _, n := range c.e.order() {
		if c.names[n.name] || n.obj == nil {
			continue
		}
		recv, _, isMethod := strings.Cut(n.name, ".")
		if isMethod && c.names[recv] {
			continue // a type declared anew begins without methods
		}
		if why := c.left[n.name]; why != "" {
			c.broken = append(c.broken, fmt.Sprintf("%s is gone, since it no longer compiles: %s", n.name, why))
			continue
		}
		delete(c.imports, n.name)
		switch {
		case n.isVar():
			if c.rebuilt && mentionsMain(n.obj.Type(), map[types.Type]bool{}) {
				if d, err := c.varDecl(n); err == nil {
					c.before[n.name] = d
					c.decls = append(c.decls, d)
					continue
				}
			}
			insert(c.scope, n.obj)
		case !c.rebuilt:
			if !isMethod {
				insert(c.scope, n.obj)
			}
		case n.fn != nil:
			c.before[n.name] = n.fn
			c.all = append(c.all, &funcDecl{name: n.name, decl: n.fn, cell: n.cell})
		case n.spec != nil:
			c.before[n.name] = n.spec
			c.decls = append(c.decls, &ast.GenDecl{Tok: token.TYPE, TokPos: n.spec.Pos(), Specs: []ast.Spec{n.spec}})
			c.typeSpec = append(c.typeSpec, n.spec.(*ast.TypeSpec))
		case n.gen != nil && !again[n.gen]:
			c.before[n.name] = n.gen
			if slices.ContainsFunc(cellsplit.Names(n.gen), func(name string) bool {
				now := c.e.entities[name]
				return c.names[name] || now != nil && now.gen != n.gen
			}) {
				insert(c.scope, n.obj) // part of the group has a new meaning: the rest keeps its values
				continue
			}
			again[n.gen] = true
			c.decls = append(c.decls, n.gen)
			c.consts = append(c.consts, n.gen)
		}
	}
}

// own adds what the cell itself declares.
func (c *checking) own() error {
	var errs []error
	for _, d := range c.parts.decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body == nil {
				errs = append(errs, &refusal{d.Name.Pos(), "missing function body"})
			}
			c.all = append(c.all, c.function(d))
		case *ast.GenDecl:
			c.decls = append(c.decls, d)
			if d.Tok == token.TYPE {
				for _, s := range d.Specs {
					c.typeSpec = append(c.typeSpec, s.(*ast.TypeSpec))
				}
			} else {
				c.consts = append(c.consts, d)
			}
		}
	}
	if len(errs) > 0 {
		return c.e.diagnose(errs...)
	}
	return nil
}

// function makes a function of the cell known by its name. One that is called init or _, of which there may be many, gets
// a name that no other has.
func (ck *checked) function(d *ast.FuncDecl) *funcDecl {
	f := &funcDecl{name: funcName(d), decl: d, cell: ck.name}
	if f.name == "init" || f.name == "_" {
		ck.nameless++
		c := *d
		c.Name = &ast.Ident{NamePos: d.Name.Pos(), Name: fmt.Sprintf("%s·%d", f.name, ck.nameless)}
		if f.name == "init" {
			ck.inits = append(ck.inits, f)
		}
		f.decl, f.name = &c, c.Name.Name
	}
	return f
}

// nameless reports whether nothing can refer to a function.
func (f *funcDecl) nameless() bool { return strings.Contains(f.name, "·") }

// prelude puts those names of the prelude into the scope that the text says, where they have no other meaning: a scope
// lives as long as any function type that was checked in it.
func (c *checking) prelude() error {
	said := map[string]bool{}
	for _, s := range c.parts.stmts {
		maps.Copy(said, idents(s))
	}
	for _, d := range c.decls {
		maps.Copy(said, idents(d))
	}
	for _, f := range c.all {
		maps.Copy(said, idents(f.decl))
	}
	for _, path := range c.e.options.Prelude {
		lib, err := c.e.importer.Import(path)
		if err != nil {
			return err
		}
		for _, n := range lib.Scope().Names() {
			if obj := lib.Scope().Lookup(n); said[n] && obj.Exported() && c.scope.Lookup(n) == nil && !c.names[n] && c.imports[n] == nil {
				c.scope.Insert(obj)
			}
		}
	}
	return nil
}

// run has the checker check declarations; what it minds is in c.errs then.
func (c *checking) run(info *types.Info, decls []ast.Decl) {
	c.errs = nil
	conf := types.Config{Importer: c.e.importer, GoVersion: "go1.26", Sizes: types.SizesFor("gc", "amd64"), Error: func(err error) {
		if te := err.(types.Error); !c.quiet(te) {
			c.errs = append(c.errs, te)
		}
	}}
	file := &ast.File{Name: &ast.Ident{Name: "main"}, Decls: slices.Concat(importDecls(c.imports), importDecls(c.typeImports), decls)}
	types.NewChecker(&conf, c.e.fset, c.e.pkg, info).Files([]*ast.File{file})
	c.errs = mergeErrors(c.errs)
	c.e.guess(c.errs, misspelt.Checked{Files: []*ast.File{file}, Info: info, Scope: c.e.pkg.Scope(), Also: c.sayable})
}

// sayable lists the names of the prelude and of imported packages.
func (c *checking) sayable() []string {
	known := sortedKeys(c.imports)
	for _, path := range c.e.options.Prelude {
		if lib, err := c.e.importer.Import(path); err == nil {
			known = append(known, slices.DeleteFunc(lib.Scope().Names(), func(n string) bool { return !token.IsExported(n) })...)
		}
	}
	return known
}

// quiet reports whether the checker minds something that is fine in a cell: an import or a variable of the cell that is not
// used, a function whose body is checked later, and a last expression whose value is shown.
func (c *checking) quiet(te types.Error) bool {
	if name, ok := strings.CutPrefix(te.Msg, "declared and not used: "); ok {
		scope := c.info.Scopes[c.body.Type]
		return scope != nil && scope.Lookup(name) != nil && scope.Lookup(name).Pos() == te.Pos
	}
	if strings.Contains(te.Msg, " imported ") && strings.HasSuffix(te.Msg, "and not used") || strings.Contains(te.Msg, "missing function body") {
		return true
	}
	return c.last != nil && c.last.Pos() <= te.Pos && te.Pos < c.last.End() &&
		(strings.HasSuffix(te.Msg, "is not used") || strings.Contains(te.Msg, "(no value) used as value"))
}

// heads checks the statements, and all declarations without the bodies of functions.
func (c *checking) heads() error {
	decls := c.decls
	for _, f := range c.all {
		d := *f.decl
		d.Body = nil
		decls = append(decls, &d)
	}
	if n := len(c.parts.stmts); n > 0 {
		if x, ok := c.parts.stmts[n-1].(*ast.ExprStmt); ok {
			c.last = x.X
		}
	}
	c.body = &ast.FuncDecl{
		Name: &ast.Ident{Name: "cell·", NamePos: c.parts.closing}, Type: &ast.FuncType{Params: &ast.FieldList{}},
		Body: &ast.BlockStmt{List: c.parts.stmts, Lbrace: token.NoPos, Rbrace: c.parts.closing},
	}
	if c.run(c.info, append(decls, c.body)); c.errs != nil {
		return c.e.diagnose(c.errs...)
	}
	scope := c.info.Scopes[c.body.Type]
	for _, n := range scope.Names() {
		if v, ok := scope.Lookup(n).(*types.Var); ok {
			c.hoisted = append(c.hoisted, v)
		}
	}
	sort.Slice(c.hoisted, func(i, j int) bool { return c.hoisted[i].Pos() < c.hoisted[j].Pos() })
	return nil
}

// checkBodies checks the bodies of functions. They see the cell's variables, whose types are known by now. A function that
// uses what nothing declares yet waits, and one of an earlier cell that no longer compiles is left out.
func (c *checking) checkBodies() error {
	if len(c.all) == 0 {
		return nil
	}
	scope := c.emptied()
	for _, v := range c.hoisted {
		scope.Insert(types.NewVar(v.Pos(), c.pkg, v.Name(), v.Type()))
		delete(c.imports, v.Name())
	}
	for _, n := range c.scope.Names() {
		if n != c.body.Name.Name && scope.Lookup(n) == nil {
			insert(scope, c.scope.Lookup(n))
		}
	}
	good := c.all
	if c.try(good) || c.e.wait(c.name, c.all, c.errs) && c.try(good) {
		return nil
	}
	good = nil
	for _, f := range c.all {
		err, bad := c.faultIn(f)
		switch {
		case bad && f.cell == c.name:
			return c.e.diagnose(c.errs...)
		case bad && mayWait(f): // until it or what it uses is declared anew
			f.waits = &waiting{errs: []error{err}, reason: fmt.Sprintf("it no longer compiles: %s (%s)", err.Msg, c.e.fset.Position(err.Pos))}
		case bad:
			c.broken = append(c.broken, fmt.Sprintf("%s no longer compiles: %s: %s", f.name, c.e.fset.Position(err.Pos), err.Msg))
			continue
		}
		good = append(good, f)
	}
	if !c.try(good) {
		return c.e.diagnose(c.errs...)
	}
	return nil
}

// try checks the bodies of those functions that do not wait.
func (c *checking) try(funcs []*funcDecl) bool {
	c.attempt++
	var ready []*funcDecl
	var list []ast.Decl
	for _, f := range funcs {
		if f.waits != nil {
			continue
		}
		d := bodyDecl(f.decl, c.e)
		d.Name.Name += strings.Repeat("·", c.attempt) // the scope still has those of the attempt before
		ready, list = append(ready, f), append(list, d)
	}
	info := newInfo()
	if c.run(info, list); c.errs != nil {
		return false
	}
	for i, f := range ready {
		f.obj = c.info.Defs[f.decl.Name].(*types.Func)
		f.body = info.Defs[list[i].(*ast.FuncDecl).Name].(*types.Func)
	}
	c.bodies, c.funcs = info, ready
	return true
}

// faultIn is the first thing that the checker minds in a function.
func (c *checking) faultIn(f *funcDecl) (types.Error, bool) {
	for _, err := range c.errs {
		if te, ok := err.(types.Error); ok && f.decl.Pos() <= te.Pos && te.Pos < f.decl.End() {
			return te, true
		}
	}
	return types.Error{}, false
}

// mergeErrors joins the continuation lines that the checker reports as errors of their own.
func mergeErrors(errs []error) []error {
	var out []error
	for _, err := range errs {
		te, ok := err.(types.Error)
		if ok && strings.HasPrefix(te.Msg, "\t") && len(out) > 0 {
			prev := out[len(out)-1].(types.Error)
			prev.Msg += "\n" + te.Msg
			out[len(out)-1] = prev
			continue
		}
		out = append(out, err)
	}
	return out
}

// bodyDecl turns a function into one that can be checked on its own: a method's receiver becomes its first parameter,
// and it gets a name that nobody refers to.
func bodyDecl(d *ast.FuncDecl, e *Evaluator) *ast.FuncDecl {
	c := *d
	c.Name = &ast.Ident{NamePos: d.Name.Pos(), Name: "body·" + strings.ReplaceAll(funcName(d), ".", "·")}
	if d.Recv == nil {
		return &c
	}
	t := *d.Type
	recv := *d.Recv.List[0]
	params := []*ast.Field{&recv}
	if len(recv.Names) == 0 && t.Params != nil && len(t.Params.List) > 0 && len(t.Params.List[0].Names) > 0 {
		recv.Names = []*ast.Ident{{Name: "_", NamePos: recv.Pos()}}
	}
	if len(recv.Names) > 0 && t.Params != nil && len(t.Params.List) > 0 && len(t.Params.List[0].Names) == 0 {
		var named []*ast.Field
		for _, f := range t.Params.List {
			g := *f
			g.Names = []*ast.Ident{{Name: "_", NamePos: f.Pos()}}
			named = append(named, &g)
		}
		t.Params = &ast.FieldList{Opening: t.Params.Opening, List: named, Closing: t.Params.Closing}
	}
	if t.Params != nil {
		params = append(params, t.Params.List...)
	}
	t.Params = &ast.FieldList{Opening: d.Type.Params.Opening, List: params, Closing: d.Type.Params.Closing}
	// Type parameters of a generic receiver become the function's own.
	if args := receiverArgs(recv.Type); len(args) > 0 {
		tspec := e.typeSpecs[cellsplit.Receiver(d)]
		if tspec == nil || tspec.TypeParams == nil {
			refuse(d.Pos(), "this method of a generic type yet")
		}
		list := &ast.FieldList{}
		rename := map[string]string{}
		i := 0
		for _, f := range tspec.TypeParams.List {
			for _, id := range f.Names {
				if i < len(args) {
					rename[id.Name] = args[i].Name
				}
				i++
			}
		}
		i = 0
		for _, f := range tspec.TypeParams.List {
			for range f.Names {
				if i >= len(args) {
					break
				}
				id := *args[i]
				if id.Name == "_" {
					id.Name = fmt.Sprintf("unused·%d", i)
				}
				list.List = append(list.List, &ast.Field{Names: []*ast.Ident{&id}, Type: renamed(f.Type, rename)})
				i++
			}
		}
		t.TypeParams = list
	}
	c.Recv, c.Type = nil, &t
	return &c
}

func receiverArgs(t ast.Expr) []*ast.Ident {
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
			continue
		case *ast.ParenExpr:
			t = x.X
			continue
		case *ast.IndexExpr:
			if id, ok := x.Index.(*ast.Ident); ok {
				return []*ast.Ident{id}
			}
		case *ast.IndexListExpr:
			var ids []*ast.Ident
			for _, a := range x.Indices {
				if id, ok := a.(*ast.Ident); ok {
					ids = append(ids, id)
				}
			}
			return ids
		}
		return nil
	}
}

// renamed copies a type expression with type parameters renamed.
func renamed(x ast.Expr, names map[string]string) ast.Expr {
	in := func(x ast.Expr) ast.Expr { return renamed(x, names) }
	fields := func(list *ast.FieldList) *ast.FieldList {
		if list == nil {
			return nil
		}
		c := *list
		c.List = nil
		for _, f := range list.List {
			g := *f
			g.Type = in(f.Type)
			c.List = append(c.List, &g)
		}
		return &c
	}
	switch x := x.(type) {
	case *ast.Ident:
		if n, ok := names[x.Name]; ok {
			return &ast.Ident{NamePos: x.NamePos, Name: n}
		}
	case *ast.ParenExpr:
		return in(x.X)
	case *ast.UnaryExpr:
		return &ast.UnaryExpr{OpPos: x.OpPos, Op: x.Op, X: in(x.X)}
	case *ast.BinaryExpr:
		return &ast.BinaryExpr{X: in(x.X), OpPos: x.OpPos, Op: x.Op, Y: in(x.Y)}
	case *ast.StarExpr:
		return &ast.StarExpr{Star: x.Star, X: in(x.X)}
	case *ast.ArrayType:
		return &ast.ArrayType{Lbrack: x.Lbrack, Len: x.Len, Elt: in(x.Elt)}
	case *ast.Ellipsis:
		return &ast.Ellipsis{Ellipsis: x.Ellipsis, Elt: in(x.Elt)}
	case *ast.MapType:
		return &ast.MapType{Map: x.Map, Key: in(x.Key), Value: in(x.Value)}
	case *ast.ChanType:
		return &ast.ChanType{Begin: x.Begin, Arrow: x.Arrow, Dir: x.Dir, Value: in(x.Value)}
	case *ast.FuncType:
		return &ast.FuncType{Func: x.Func, Params: fields(x.Params), Results: fields(x.Results)}
	case *ast.StructType:
		return &ast.StructType{Struct: x.Struct, Fields: fields(x.Fields)}
	case *ast.InterfaceType:
		return &ast.InterfaceType{Interface: x.Interface, Methods: fields(x.Methods)}
	case *ast.IndexExpr:
		return &ast.IndexExpr{X: in(x.X), Lbrack: x.Lbrack, Index: in(x.Index), Rbrack: x.Rbrack}
	case *ast.IndexListExpr:
		c := &ast.IndexListExpr{X: in(x.X), Lbrack: x.Lbrack, Rbrack: x.Rbrack}
		for _, index := range x.Indices {
			c.Indices = append(c.Indices, in(index))
		}
		return c
	}
	return x
}

// insert puts an object of an earlier check into a scope.
func insert(scope *types.Scope, obj types.Object) {
	if obj != nil {
		scope.Insert(obj)
		adopt(scope, obj)
	}
}

// adopt makes scope the one that an object of an earlier check is declared in: the checker walks from types given as
// type arguments up to the scope of the package that it checks.
func adopt(scope *types.Scope, obj types.Object) {
	if obj.Parent() == scope || obj.Pkg() == nil || obj.Pkg().Path() != "main" {
		return
	}
	v := reflect.ValueOf(obj).Elem().FieldByName("object")
	if !v.IsValid() {
		return
	}
	if f := v.FieldByName("parent"); f.IsValid() && f.Type() == reflect.TypeFor[*types.Scope]() {
		*(**types.Scope)(unsafe.Pointer(f.UnsafeAddr())) = scope
	}
}

func importDecls(imports map[string]*ast.ImportSpec) []ast.Decl {
	var decls []ast.Decl
	for _, n := range sortedKeys(imports) {
		decls = append(decls, &ast.GenDecl{Tok: token.IMPORT, TokPos: imports[n].Pos(), Specs: []ast.Spec{imports[n]}})
	}
	return decls
}

// importName is the name under which a file sees an import.
func (e *Evaluator) importName(s *ast.ImportSpec) (string, error) {
	path := strings.Trim(s.Path.Value, "\"`")
	if path == "embed" {
		return "", errors.New("banter cannot embed files in a cell: read them, with os.ReadFile or Load")
	}
	pkg, err := e.importer.Import(path)
	if err != nil {
		return "", err
	}
	if s.Name != nil {
		if s.Name.Name == "." {
			return "", fmt.Errorf("banter cannot run a dot import of %s yet: name the package", path)
		}
		return s.Name.Name, nil
	}
	return pkg.Name(), nil
}

// mentionsMain reports whether t refers to a type that a cell declared.
func mentionsMain(t types.Type, seen map[types.Type]bool) bool {
	if t == nil || seen[t] {
		return false
	}
	seen[t] = true
	switch t := t.(type) {
	case *types.Alias:
		return mentionsMain(types.Unalias(t), seen)
	case *types.Named:
		if t.Obj().Pkg() != nil && t.Obj().Pkg().Path() == "main" {
			return true
		}
		for i := range t.TypeArgs().Len() {
			if mentionsMain(t.TypeArgs().At(i), seen) {
				return true
			}
		}
		return false
	case *types.Pointer:
		return mentionsMain(t.Elem(), seen)
	case *types.Slice:
		return mentionsMain(t.Elem(), seen)
	case *types.Array:
		return mentionsMain(t.Elem(), seen)
	case *types.Chan:
		return mentionsMain(t.Elem(), seen)
	case *types.Map:
		return mentionsMain(t.Key(), seen) || mentionsMain(t.Elem(), seen)
	case *types.Signature:
		return mentionsMain(t.Params(), seen) || mentionsMain(t.Results(), seen)
	case *types.Tuple:
		for i := range t.Len() {
			if mentionsMain(t.At(i).Type(), seen) {
				return true
			}
		}
	case *types.Struct:
		for i := range t.NumFields() {
			if mentionsMain(t.Field(i).Type(), seen) {
				return true
			}
		}
	case *types.Interface:
		for i := range t.NumMethods() {
			if mentionsMain(t.Method(i).Type(), seen) {
				return true
			}
		}
	}
	return false
}

// varDecl writes a live variable as a declaration, so that its type is resolved against types declared anew. The packages
// that the type names are imported for it, under names that no cell says.
func (c *checking) varDecl(n *entity) (ast.Decl, error) {
	text := types.TypeString(n.obj.Type(), func(p *types.Package) string {
		if p.Path() == "main" {
			return ""
		}
		name := packageAlias(p.Path()) + "ˍ"
		c.typeImports[name] = &ast.ImportSpec{Name: ast.NewIdent(name), Path: &ast.BasicLit{Kind: token.STRING, Value: strconv.Quote(p.Path())}}
		return name
	})
	f, err := c.e.parseFile("package main;var " + n.name + " " + text)
	if err != nil {
		return nil, err
	}
	return f.Decls[0], nil
}

// order lists live entities in a fixed order.
func (e *Evaluator) order() []*entity {
	var list []*entity
	for _, n := range sortedKeys(e.entities) {
		list = append(list, e.entities[n])
	}
	return list
}
