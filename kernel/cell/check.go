package cell

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
	"slices"
	"sort"
	"strings"
	"unsafe"
)

// entity is a name that cells have declared: a variable, function, method, type or constant.
type entity struct {
	name   string // "x", "f", "T", "T.M"
	obj    types.Object
	run    string        // its name in the interpreter; a new one for each incompatible meaning
	fn     *ast.FuncDecl // functions and methods
	spec   ast.Spec      // types
	gen    *ast.GenDecl  // constants: the whole group, since iota counts in it
	cell   string        // the cell that declared it
	uses   map[string]bool
	shape  string      // of a type: what its layout depends on
	holder string      // of a method: the variable that holds its newest code
	info   *types.Info // of the body of a function
	stale  string      // why what it refers to is of an older type
	waits  *waiting    // a function that cannot be called yet
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

// receiverName is the name of the type that a method belongs to.
func receiverName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.ParenExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func funcName(d *ast.FuncDecl) string {
	if r := receiverName(d); r != "" {
		return r + "." + d.Name.Name
	}
	return d.Name.Name
}

// declared lists the names that the declarations of a cell give a meaning.
func declared(decls []ast.Decl) map[string]bool {
	names := map[string]bool{}
	for _, d := range decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names[funcName(d)] = true
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					names[s.Name.Name] = true
				case *ast.ValueSpec:
					for _, id := range s.Names {
						names[id.Name] = true
					}
				}
			}
		}
	}
	return names
}

// check type-checks a cell against all that earlier cells declared.
func (e *Evaluator) check(name string, p *parts) (*checked, error) {
	names := declared(p.decls)
	rebuild := false
	for n := range names {
		if old := e.entities[n]; old != nil && !old.isVar() {
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
		for _, f := range e.entities {
			if f.uses[v.Name()] {
				return e.tryCheck(name, p, names, true)
			}
		}
	}
	return ck, nil
}

func (e *Evaluator) tryCheck(name string, p *parts, names map[string]bool, rebuild bool) (*checked, error) {
	ck := &checked{parts: p, name: name, rebuilt: rebuild, info: newInfo(), bodies: newInfo(), imports: map[string]*ast.ImportSpec{}}
	// One package object serves all checks, emptied for each: the checker compares packages by identity where it decides
	// whether an unexported field may be named.
	ck.pkg = e.pkg
	*e.pkg = *types.NewPackage("main", "main")
	scope := e.pkg.Scope()
	ck.scope = scope
	var errs []error
	// Imports of all cells; a declaration of the same name hides one.
	for n, s := range e.imports {
		if !names[n] {
			ck.imports[n] = s
		}
	}
	for _, s := range p.imports {
		n, err := e.importName(s)
		if err != nil {
			errs = append(errs, &refusal{s.Path.Pos(), err.Error()})
			continue
		}
		if n != "_" {
			ck.imports[n] = s
		}
	}
	if len(errs) > 0 {
		return nil, e.diagnose(errs...)
	}
	var liveFuncs []*funcDecl
	var decls []ast.Decl
	oldConsts := map[*ast.GenDecl]bool{}
	for _, n := range e.order() {
		if names[n.name] || n.obj == nil {
			continue
		}
		recv, _, isMethod := strings.Cut(n.name, ".")
		if isMethod && names[recv] {
			continue // a type declared anew begins without methods
		}
		delete(ck.imports, n.name)
		switch {
		case n.isVar():
			if rebuild && mentionsMain(n.obj.Type(), map[types.Type]bool{}) {
				d, err := e.varDecl(n, names)
				if err == nil {
					decls = append(decls, d)
					continue
				}
			}
			insert(scope, n.obj)
		case !rebuild:
			if !isMethod {
				insert(scope, n.obj)
			}
		case n.fn != nil:
			fd := &funcDecl{name: n.name, decl: n.fn, cell: n.cell}
			liveFuncs = append(liveFuncs, fd)
		case n.spec != nil:
			decls = append(decls, &ast.GenDecl{Tok: token.TYPE, TokPos: n.spec.Pos(), Specs: []ast.Spec{n.spec}})
			ck.typeSpec = append(ck.typeSpec, n.spec.(*ast.TypeSpec))
		case n.gen != nil && !oldConsts[n.gen]:
			oldConsts[n.gen] = true
			hidden := false
			for c := range declared([]ast.Decl{n.gen}) {
				hidden = hidden || names[c]
			}
			if hidden { // part of the group has a new meaning: keep the values of the rest
				insert(scope, n.obj)
				oldConsts[n.gen] = false
				continue
			}
			decls = append(decls, n.gen)
			ck.consts = append(ck.consts, n.gen)
		}
	}
	// Only those names of the prelude that the text says: a scope lives as long as any function type checked in it.
	said := map[string]bool{}
	say := func(n ast.Node) {
		for name := range idents(n) {
			said[name] = true
		}
	}
	for _, s := range p.stmts {
		say(s)
	}
	for _, d := range p.decls {
		say(d)
	}
	for _, d := range decls {
		say(d)
	}
	for _, f := range liveFuncs {
		say(f.decl)
	}
	for _, path := range e.options.Prelude {
		lib, err := e.importer.Import(path)
		if err != nil {
			return nil, err
		}
		for _, n := range lib.Scope().Names() {
			if obj := lib.Scope().Lookup(n); said[n] && obj.Exported() && scope.Lookup(n) == nil && !names[n] && ck.imports[n] == nil {
				scope.Insert(obj)
			}
		}
	}
	funcs := liveFuncs
	initCount := 0
	for _, d := range p.decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			fd := &funcDecl{name: funcName(d), decl: d, cell: name}
			if fd.name == "init" || fd.name == "_" {
				if fd.name == "init" && d.Recv == nil {
					initCount++
					c := *d
					c.Name = &ast.Ident{NamePos: d.Name.Pos(), Name: fmt.Sprintf("init·%d", initCount)}
					fd.decl, fd.name = &c, c.Name.Name
					ck.inits = append(ck.inits, fd)
				}
			}
			if d.Body == nil {
				errs = append(errs, &refusal{d.Name.Pos(), "missing function body"})
			}
			funcs = append(funcs, fd)
		case *ast.GenDecl:
			decls = append(decls, d)
			if d.Tok == token.TYPE {
				for _, s := range d.Specs {
					ck.typeSpec = append(ck.typeSpec, s.(*ast.TypeSpec))
				}
			} else {
				ck.consts = append(ck.consts, d)
			}
		}
	}
	if len(errs) > 0 {
		return nil, e.diagnose(errs...)
	}
	for _, f := range funcs {
		c := *f.decl
		c.Body = nil
		decls = append(decls, &c)
	}
	stmts := p.stmts
	if n := len(stmts); n > 0 {
		if x, ok := stmts[n-1].(*ast.ExprStmt); ok {
			ck.last = x.X
		}
	}
	body := &ast.FuncDecl{
		Name: &ast.Ident{Name: "cell·", NamePos: p.closing}, Type: &ast.FuncType{Params: &ast.FieldList{}},
		Body: &ast.BlockStmt{List: stmts, Lbrace: token.NoPos, Rbrace: p.closing},
	}
	decls = append(decls, body)
	quiet := func(te types.Error) bool {
		switch {
		case strings.Contains(te.Msg, "imported and not used"), strings.Contains(te.Msg, "missing function body"), strings.HasPrefix(te.Msg, "imported as "):
			return true
		case strings.HasPrefix(te.Msg, "declared and not used: "):
			obj := ck.info.Scopes[body.Type]
			return obj != nil && obj.Lookup(strings.TrimPrefix(te.Msg, "declared and not used: ")) != nil && obj.Lookup(strings.TrimPrefix(te.Msg, "declared and not used: ")).Pos() == te.Pos
		case ck.last != nil && te.Pos == ck.last.Pos() || ck.last != nil && te.Pos >= ck.last.Pos() && te.Pos < ck.last.End():
			return strings.HasSuffix(te.Msg, "is not used") || strings.Contains(te.Msg, "(no value) used as value")
		}
		return false
	}
	run := func(info *types.Info, pkg *types.Package, decls []ast.Decl) {
		conf := types.Config{Importer: e.importer, GoVersion: "go1.26", Sizes: types.SizesFor("gc", "amd64"), Error: func(err error) {
			if te := err.(types.Error); !quiet(te) {
				errs = append(errs, te)
			}
		}}
		file := &ast.File{Name: &ast.Ident{Name: "main"}, Decls: append(importDecls(ck.imports), decls...)}
		types.NewChecker(&conf, e.fset, pkg, info).Files([]*ast.File{file})
	}
	run(ck.info, ck.pkg, decls)
	if len(errs) > 0 {
		return nil, e.diagnose(mergeErrors(errs)...)
	}
	bodyScope := ck.info.Scopes[body.Type]
	for _, n := range bodyScope.Names() {
		if v, ok := bodyScope.Lookup(n).(*types.Var); ok {
			ck.hoisted = append(ck.hoisted, v)
		}
	}
	sort.Slice(ck.hoisted, func(i, j int) bool { return ck.hoisted[i].Pos() < ck.hoisted[j].Pos() })
	// Bodies see the cell's variables, so they are checked once the types of those are known.
	*e.pkg = *types.NewPackage("main", "main")
	second := e.pkg
	hoisted := map[string]bool{}
	for _, v := range ck.hoisted {
		if !hoisted[v.Name()] {
			hoisted[v.Name()] = true
			second.Scope().Insert(types.NewVar(v.Pos(), second, v.Name(), v.Type()))
			delete(ck.imports, v.Name())
		}
	}
	for _, n := range scope.Names() {
		if n != "cell·" && !hoisted[n] {
			insert(second.Scope(), scope.Lookup(n))
		}
	}
	attempt := 0
	checkBodies := func(fs []*funcDecl) []error {
		errs = nil
		var ready []*funcDecl
		for _, f := range fs {
			if f.waits == nil {
				ready = append(ready, f)
			}
		}
		fs = ready
		attempt++
		var list []ast.Decl
		for _, f := range fs {
			d := bodyDecl(f.decl, e)
			d.Name.Name += strings.Repeat("·", attempt) // the scope still has those of the attempt before
			list = append(list, d)
		}
		info := newInfo()
		run(info, second, list)
		if len(errs) > 0 {
			return errs
		}
		for i, f := range fs {
			f.obj = ck.info.Defs[f.decl.Name].(*types.Func)
			f.body = info.Defs[list[i].(*ast.FuncDecl).Name].(*types.Func)
		}
		merge(ck.bodies, info)
		ck.funcs = append(ck.funcs, fs...)
		return nil
	}
	if len(funcs) > 0 {
		first := checkBodies(funcs)
		if first != nil && e.wait(name, funcs, first) {
			first = checkBodies(funcs)
		}
		if first != nil {
			// A function of an earlier cell may no longer compile; leave it out, and what needs it with it.
			var own, good []*funcDecl
			for _, f := range funcs {
				if f.cell == name {
					own = append(own, f)
				}
			}
			if len(own) == len(funcs) {
				return nil, e.diagnose(mergeErrors(first)...)
			}
			bad := map[string]bool{}
			for _, f := range funcs {
				for _, err := range first {
					var te types.Error
					if asTypes(err, &te) && f.decl.Pos() <= te.Pos && te.Pos < f.decl.End() {
						if f.cell == name {
							return nil, e.diagnose(mergeErrors(first)...)
						}
						bad[f.name] = true
						if mayWait(f) { // until it or what it uses is declared anew
							f.waits = &waiting{errs: []error{te}, reason: fmt.Sprintf("it no longer compiles: %s (%s)", te.Msg, e.fset.Position(te.Pos))}
							break
						}
						ck.broken = append(ck.broken, fmt.Sprintf("%s no longer compiles: %s: %s", f.name, e.fset.Position(te.Pos), te.Msg))
						break
					}
				}
			}
			for _, f := range funcs {
				if !bad[f.name] || f.waits != nil {
					good = append(good, f)
				}
			}
			if len(bad) == 0 {
				return nil, e.diagnose(mergeErrors(first)...)
			}
			if second := checkBodies(good); second != nil {
				return nil, e.diagnose(mergeErrors(second)...)
			}
		}
	}
	if err := ck.settle(e, funcs); err != nil {
		return nil, err
	}
	return ck, nil
}

func asTypes(err error, te *types.Error) bool {
	t, ok := err.(types.Error)
	if ok {
		*te = t
	}
	return ok
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
		tspec := e.typeSpecs[receiverName(d)]
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
	switch x := x.(type) {
	case *ast.Ident:
		if n, ok := names[x.Name]; ok {
			return &ast.Ident{NamePos: x.NamePos, Name: n}
		}
	case *ast.UnaryExpr:
		c := *x
		c.X = renamed(x.X, names)
		return &c
	case *ast.BinaryExpr:
		c := *x
		c.X, c.Y = renamed(x.X, names), renamed(x.Y, names)
		return &c
	case *ast.ArrayType:
		c := *x
		c.Elt = renamed(x.Elt, names)
		return &c
	case *ast.MapType:
		c := *x
		c.Key, c.Value = renamed(x.Key, names), renamed(x.Value, names)
		return &c
	case *ast.StarExpr:
		c := *x
		c.X = renamed(x.X, names)
		return &c
	case *ast.IndexExpr:
		c := *x
		c.X, c.Index = renamed(x.X, names), renamed(x.Index, names)
		return &c
	}
	return x
}

func merge(dst, src *types.Info) {
	for k, v := range src.Types {
		dst.Types[k] = v
	}
	for k, v := range src.Defs {
		dst.Defs[k] = v
	}
	for k, v := range src.Uses {
		dst.Uses[k] = v
	}
	for k, v := range src.Implicits {
		dst.Implicits[k] = v
	}
	for k, v := range src.Instances {
		dst.Instances[k] = v
	}
	for k, v := range src.Selections {
		dst.Selections[k] = v
	}
	for k, v := range src.Scopes {
		dst.Scopes[k] = v
	}
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
	var names []string
	for n := range imports {
		names = append(names, n)
	}
	slices.Sort(names)
	var decls []ast.Decl
	for _, n := range names {
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

// varDecl writes a live variable as a declaration, so that its type is resolved against types declared anew.
func (e *Evaluator) varDecl(n *entity, names map[string]bool) (ast.Decl, error) {
	if n.stale != "" {
		return nil, fmt.Errorf("of an older type")
	}
	aliases := map[string]string{}
	text := types.TypeString(n.obj.Type(), func(p *types.Package) string {
		if p.Path() == "main" {
			return ""
		}
		if aliases[p.Path()] == "" {
			aliases[p.Path()] = fmt.Sprintf("p%d", len(aliases))
		}
		return p.Name()
	})
	if len(aliases) > 0 {
		for path := range aliases {
			found := false
			for name, s := range e.imports {
				if strings.Trim(s.Path.Value, "\"`") == path && !strings.Contains(path, name+"\x00") {
					found = true
				}
			}
			if !found {
				return nil, fmt.Errorf("%s is not imported", path)
			}
		}
	}
	f, err := e.parseFile("package main;var " + n.name + " " + text)
	if err != nil {
		return nil, err
	}
	return f.Decls[0], nil
}

// order lists live entities in a fixed order.
func (e *Evaluator) order() []*entity {
	var names []string
	for n := range e.entities {
		names = append(names, n)
	}
	slices.Sort(names)
	list := make([]*entity, len(names))
	for i, n := range names {
		list[i] = e.entities[n]
	}
	return list
}
