package cell

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/traefik/yaegi/interp"

	"banter/internal/symbols"
)

// Options says what cells see. The zero value works.
type Options struct {
	Prelude []string // import paths whose exported names every cell may use unqualified, such as "banter/dsl"
	Stdout  io.Writer
	Stderr  io.Writer
	Stdin   io.Reader

	// Patience is how long a call of compiled code, such as a verb, may take to return once the context is done, before it is
	// left behind; zero is 400 ms, which a notebook's user waits.
	Patience time.Duration
}

// Result is what a cell comes to.
type Result struct {
	Value      reflect.Value // the last expression's value
	HasValue   bool
	Values     []reflect.Value // all values, where the last expression has several
	TypeString string          // the value's type as its author wrote it
	Text       string          // the value as fmt prints it, where its type or its methods are the cells' own
	Notes      []string        // remarks that the user should see, one a line
}

// Evaluator holds what a notebook's cells have declared, and runs the next one. Run is not for concurrent use;
// Complete, Inspect and Status may be called while a cell runs.
type Evaluator struct {
	options Options

	mu          sync.Mutex // guards what follows against Complete, Inspect and Status
	fset        *token.FileSet
	importer    *symbols.Importer
	pkg         *types.Package  // the cells' package; emptied for each check
	typeNames   map[string]bool // types that the interpreter has under their own names
	texts       map[*token.File]string
	pageNumbers map[page]int // of cells, in the line numbers that the interpreter sees
	pages       []page
	sources     map[string][]string // by cell name: its lines
	entities    map[string]*entity
	next        map[string]*entity // entities as they will be once the cell being lowered has run
	typeSpecs   map[string]*ast.TypeSpec
	generics    map[string]*genericFunc // by name: "Map", "Stack.Push"
	instances   map[string]string       // of generic functions and types, by interpreter name and arguments
	imports     map[string]*ast.ImportSpec
	shims       map[string]map[string]*genericFunc
	lowering    token.Pos // of the statement being lowered
	dynamics    *dynamics
	graph       *graph
	trail       []footprint // of the latest cells, and of those from which something lives

	interp  *interp.Interpreter
	used    map[string]bool // packages that the interpreter knows
	trace   trace           // what yaegi says about panics passing through
	support *support
	counter int
}

// genericFunc is a generic function, kept to be written out for each list of type arguments.
type genericFunc struct {
	run  string
	decl *ast.FuncDecl
	body *types.Func
	info *types.Info
}

// New returns an evaluator with no declarations.
func New(options Options) (*Evaluator, error) {
	if options.Stdout == nil {
		options.Stdout = os.Stdout
	}
	if options.Stderr == nil {
		options.Stderr = os.Stderr
	}
	if options.Stdin == nil {
		options.Stdin = os.Stdin
	}
	e := &Evaluator{options: options}
	if e.options.Patience == 0 {
		e.options.Patience = 400 * time.Millisecond
	}
	if err := e.reset(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Evaluator) reset() error {
	e.fset = token.NewFileSet()
	e.importer = symbols.NewImporter(e.fset)
	e.pkg = types.NewPackage("main", "main")
	e.typeNames = map[string]bool{}
	e.pageNumbers, e.pages = map[page]int{}, []page{{}}
	e.texts = map[*token.File]string{}
	e.sources = map[string][]string{}
	e.entities = map[string]*entity{}
	e.next = nil
	e.typeSpecs = map[string]*ast.TypeSpec{}
	e.generics = map[string]*genericFunc{}
	e.instances = map[string]string{}
	e.imports = map[string]*ast.ImportSpec{}
	e.shims = map[string]map[string]*genericFunc{}
	e.dynamics = newDynamics()
	e.graph = newGraph()
	e.trail = nil
	e.used = map[string]bool{}
	e.trace.reset()
	e.support = newSupport(e)
	e.interp = interp.New(interp.Options{Stdin: e.options.Stdin, Stdout: e.options.Stdout, Stderr: &e.trace, Args: []string{"banter"}})
	if err := e.interp.Use(e.support.exports()); err != nil {
		return fmt.Errorf("start the interpreter: %w", err)
	}
	if _, err := e.interp.Eval("var " + stopVariable + " bool"); err != nil {
		return fmt.Errorf("start the interpreter: %w", err)
	}
	v, err := e.interp.Eval("&" + stopVariable)
	if err != nil {
		return fmt.Errorf("start the interpreter: %w", err)
	}
	e.support.flag = v.Interface().(*bool)
	e.counter = 0
	for _, path := range e.options.Prelude {
		if _, err := e.importer.Import(path); err != nil {
			return err
		}
	}
	return nil
}

// Restart forgets all declarations.
func (e *Evaluator) Restart() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reset()
}

// Close stops what cells left running.
func (e *Evaluator) Close() error {
	e.support.set(true)
	return nil
}

// Run runs one cell. name is how messages call it: "cell 3". It fails with an *Error when the cell was refused, with a
// *Panic or *ExitError when it did not end well, and with ctx's error when it was stopped.
func (e *Evaluator) Run(ctx context.Context, name, src string) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	e.mu.Lock()
	e.graph.from, _ = ctx.Value(origin{}).(string)
	prepared, err := e.prepare(name, src)
	e.graph.from = ""
	e.mu.Unlock()
	if err != nil {
		return Result{}, err
	}
	return e.execute(ctx, prepared)
}

// prepared is a cell that was checked, lowered and declared.
type prepared struct {
	result *types.Tuple
	notes  []string
}

func (e *Evaluator) prepare(name, src string) (p *prepared, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *refusal:
			e.next = nil
			p, err = nil, e.diagnose(r)
		default: // a fault of the type checker or of the lowering must not end the session
			e.next = nil
			p, err = nil, e.diagnose(&refusal{e.lowering, fmt.Sprintf("banter cannot run this cell yet: checking it failed (%v)", r)})
		}
	}()
	checkedFrom, loweredFrom := e.fset.Base(), e.interp.FileSet().Base()
	defer func() { e.leave(footprint{name, since(e.fset, checkedFrom), since(e.interp.FileSet(), loweredFrom)}) }()
	e.lowering = token.NoPos
	parsed, err := e.parse(name, src)
	if err != nil {
		return nil, e.diagnose(err)
	}
	specs := maps.Clone(e.typeSpecs)
	for _, d := range parsed.decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
			for _, s := range g.Specs {
				specs[s.(*ast.TypeSpec).Name.Name] = s.(*ast.TypeSpec)
			}
		}
	}
	saved := e.typeSpecs
	e.typeSpecs = specs
	defer func() {
		if p == nil {
			e.typeSpecs = saved
		}
	}()
	ck, err := e.check(name, parsed)
	if err != nil {
		return nil, err
	}
	return e.declare(ck)
}

// reservedName matches names that lowered text uses.
var reservedName = regexp.MustCompile(`^(pkg_|cell_|method_|shim_|value_\d)|__\d|ˍ`)

// declare lowers a checked cell and gives its declarations to the interpreter.
func (e *Evaluator) declare(ck *checked) (*prepared, error) {
	e.support.forget()
	e.next = maps.Clone(e.entities)
	names := declared(ck.parts.decls)
	p := &prepared{notes: ck.broken}
	out := newEmission()
	fresh := map[string]bool{} // types that the interpreter does not have yet
	// Types: one keeps its run-time name as long as its layout and methods' signatures stay.
	shapes := map[string]string{}
	for _, t := range ck.typeSpec {
		obj := ck.info.Defs[t.Name]
		ent := &entity{name: t.Name.Name, obj: obj, spec: t, cell: ck.name, shape: e.shape(obj)}
		shapes[ent.name] = ent.shape
		old := e.entities[ent.name]
		if old != nil && old.spec != nil && !names[ent.name] {
			ent.cell = old.cell
		}
		e.next[ent.name] = ent
	}
	changed := map[string]bool{}
	for again := true; again; {
		again = false
		for _, t := range ck.typeSpec {
			n := t.Name.Name
			old := e.entities[n]
			is := old == nil || old.spec == nil || old.shape != shapes[n] || !compatible(old.obj, e.next[n].obj)
			for dep := range idents(t) {
				is = is || changed[dep]
			}
			if is && !changed[n] {
				changed[n], again = true, true
			}
		}
	}
	for _, t := range ck.typeSpec {
		n := t.Name.Name
		ent := e.next[n]
		if old := e.entities[n]; !changed[n] {
			ent.run = old.run
			continue
		}
		ent.run = e.runName(n)
		if !e.typeNames[n] && local(n) == n { // its first meaning keeps the name, which embedded fields show
			ent.run = n
			e.typeNames[n] = true
		}
		fresh[n] = true
	}
	if ck.rebuilt {
		for n, ent := range e.entities {
			if !ent.isVar() {
				continue
			}
			if obj := ck.scope.Lookup(n); obj != nil && obj != ent.obj && e.next[n] == ent { // its type was resolved anew
				again := *ent
				again.obj = obj
				e.next[n] = &again
			}
			for t := range changed {
				if e.entities[t] != nil && mentionsName(ent.obj.Type(), t) {
					delete(e.next, n)
					p.notes = append(p.notes, fmt.Sprintf("%s is gone: it held a value of the earlier type %s; run the cell that makes it again", n, t))
					break
				}
			}
		}
	}
	for _, g := range ck.consts {
		for _, s := range g.Specs {
			for _, id := range s.(*ast.ValueSpec).Names {
				if obj := ck.info.Defs[id]; obj != nil && id.Name != "_" {
					ent := &entity{name: id.Name, obj: obj, gen: g, cell: ck.name}
					if old := e.entities[id.Name]; old != nil && !names[id.Name] {
						ent.cell = old.cell
					}
					e.next[id.Name] = ent
				}
			}
		}
	}
	for n := range e.entities { // methods of a type declared anew in this cell are gone with the old one
		if recv, _, ok := strings.Cut(n, "."); ok && names[recv] && !names[n] {
			delete(e.next, n)
		}
	}
	for _, b := range ck.broken {
		n, _, _ := strings.Cut(b, " ")
		delete(e.next, n)
	}
	generics := maps.Clone(e.generics)
	for _, f := range ck.funcs {
		ent := &entity{name: f.name, obj: f.obj, fn: f.decl, cell: f.cell, info: ck.bodies, uses: map[string]bool{}}
		ent.run = e.runName(strings.ReplaceAll(strings.ReplaceAll(f.name, ".", methodMark), "·", "_"))
		if f.nameless() {
			f.name = ent.run
		} else {
			e.next[f.name] = ent
		}
		if f.body.Type().(*types.Signature).TypeParams().Len() > 0 {
			generics[f.name] = &genericFunc{run: ent.run, decl: f.decl, body: f.body, info: ck.bodies}
		} else {
			delete(generics, f.name)
		}
	}
	for _, f := range ck.waiting {
		e.next[f.name] = &entity{name: f.name, obj: f.obj, fn: f.decl, cell: f.cell, waits: f.waits}
		delete(generics, f.name)
		p.notes = append(p.notes, fmt.Sprintf("%s cannot be called yet: %s", f.name, f.waits.reason))
	}
	savedGenerics, savedDynamics := e.generics, e.dynamics
	e.generics, e.dynamics = generics, e.dynamics.clone()
	rollback := func(err error) (*prepared, error) {
		e.generics, e.dynamics, e.next = savedGenerics, savedDynamics, nil
		for _, key := range out.newInstances {
			delete(e.instances, key)
		}
		return nil, err
	}
	done := false
	defer func() {
		if !done {
			rollback(nil)
		}
	}()
	// Variables of the cell.
	hoisted := map[types.Object]string{}
	seen := map[string]bool{}
	var zero []string
	for _, v := range ck.hoisted {
		if seen[v.Name()] {
			continue
		}
		seen[v.Name()] = true
		ent := &entity{name: v.Name(), cell: ck.name}
		ent.obj = types.NewVar(v.Pos(), ck.pkg, v.Name(), v.Type())
		if old := e.next[v.Name()]; old != nil && old.isVar() && e.sameType(old.obj.Type(), v.Type(), changed) {
			ent.run = old.run
		} else {
			ent.run = e.runName(v.Name())
			zero = append(zero, v.Name())
		}
		hoisted[v] = ent.run
		e.next[v.Name()] = ent
	}
	l := &lowering{e: e, info: ck.info, hoisted: hoisted, out: out, top: true, fresh: map[string]bool{}}
	for _, n := range zero {
		l.fresh[n] = true
	}
	for _, t := range ck.typeSpec {
		ent := e.next[t.Name.Name]
		if !fresh[t.Name.Name] || t.TypeParams != nil {
			continue
		}
		if t.Assign.IsValid() {
			continue // aliases are written as what they stand for
		}
		if types.IsInterface(ent.obj.Type()) {
			continue // an empty interface
		}
		l.in(t)
		out.decls = append(out.decls, l.line(t.Pos())+"type "+ent.run+" "+l.typ(ent.obj.Type().Underlying(), t))
	}
	for _, n := range zero {
		out.decls = append(out.decls, "var "+e.next[n].run+" "+l.typ(e.next[n].obj.Type(), nil))
	}
	inits := ""
	for _, f := range ck.funcs {
		if f.body.Type().(*types.Signature).TypeParams().Len() > 0 {
			continue
		}
		uses := out.uses
		out.uses = map[string]bool{}
		inner := &lowering{e: e, info: ck.bodies, out: out}
		recv, _, isMethod := strings.Cut(f.name, ".")
		if isMethod {
			ent := e.next[f.name]
			out.decls = append(out.decls, inner.function(ent.run, f.decl, f.body, ""))
			inits += e.method(inner, f, e.next[recv].run, ent, fresh[recv])
		} else if ent := e.next[f.name]; ent != nil {
			out.decls = append(out.decls, inner.function(ent.run, f.decl, f.body, ""))
		} else {
			out.decls = append(out.decls, inner.function(f.name, f.decl, f.body, ""))
		}
		if ent := e.next[f.name]; ent != nil {
			ent.uses = out.uses
		}
		if f.cell != ck.name { // it was only written anew
			out.uses = map[string]bool{}
		}
		maps.Copy(out.uses, uses)
	}
	head, body := e.lowerBody(ck, l, p)
	e.relearn(out)
	for len(out.work) > 0 || len(out.dirty) > 0 || len(out.teach) > 0 {
		work := out.work
		out.work = nil
		for _, f := range work {
			f()
		}
		if len(out.work) == 0 {
			e.dispatch(out)
		}
	}
	for _, f := range ck.inits {
		inits += f.name + "()\n"
	}
	for path := range out.imports {
		if err := e.provide(path); err != nil {
			return rollback(e.diagnose(err))
		}
	}
	for i, d := range out.decls {
		if !strings.HasPrefix(d, "/*line") {
			out.decls[i] = nowhere + d
		}
	}
	text := strings.Join(append(out.decls, head+out.inits+inits+body), "\n")
	if os.Getenv("BANTER_SHOW_LOWERED") != "" {
		fmt.Fprintln(os.Stderr, text)
	}
	if err := e.eval(text); err != nil {
		fault := e.interpreterFault(err)
		if y, ok := fault.(*yaegiFault); !ok || !y.pos.IsValid() { // it does not say where: somewhere in the cell
			fault = &refusal{ck.parts.begin(), fault.Error()}
		}
		return rollback(e.diagnose(fault))
	}
	done = true
	for n, s := range ck.imports {
		e.imports[n] = s
	}
	for n := range e.next {
		delete(e.imports, n)
	}
	e.entities, e.next = e.next, nil
	p.notes = append(p.notes, e.graph.ran(ck.name, strings.Join(e.sources[ck.name], "\n"), seen, names, out.uses)...)
	return p, nil
}

// lowerBody writes the cell's statements as a function that returns the last expression's value, in two parts: its
// head and its body.
func (e *Evaluator) lowerBody(ck *checked, l *lowering, p *prepared) (head, body string) {
	stmts := ck.parts.stmts
	results := ""
	tail := ""
	if ck.last != nil {
		stmts = stmts[:len(stmts)-1]
		l.in(ck.last)
		tv := ck.info.Types[ck.last]
		switch t := tv.Type.(type) {
		case *types.Tuple:
			p.result = t
		case nil:
		default:
			if !tv.IsVoid() && !(tv.IsBuiltin()) && t != types.Typ[types.Invalid] {
				d := types.Default(t)
				if b, ok := d.(*types.Basic); ok && b.Kind() == types.UntypedNil {
					d = types.NewInterfaceType(nil, nil)
				}
				p.result = types.NewTuple(types.NewVar(token.NoPos, nil, "", d))
			}
		}
	}
	l.results = nil
	var names []string
	if p.result != nil && p.result.Len() > 0 {
		var parts []string
		for i := range p.result.Len() {
			n := fmt.Sprintf("value_%d", i)
			names = append(names, n)
			parts = append(parts, n+" "+l.typ(p.result.At(i).Type(), ck.last))
		}
		results = " (" + strings.Join(parts, ", ") + ")"
		l.results = names
		l.sig = types.NewSignatureType(nil, nil, nil, nil, p.result, false)
	}
	switch {
	case len(stmts) > 0:
		l.in(stmts[0])
		l.at = l.begin(stmts[0].Pos())
	case ck.last != nil:
		l.at = l.begin(ck.last.Pos())
	}
	if defers(stmts...) {
		l.defers = l.tmp("defers")
	}
	text := l.list(stmts)
	if ck.last != nil {
		l.in(ck.last)
		stmt := &ast.ExprStmt{X: ck.last}
		checks, open := l.checks(stmt)
		text += checks + l.place(stmt, open)
		last := l.line(ck.last.Pos()) + apart(l.expr(ck.last), ck.last)
		if names != nil {
			tail = strings.Join(names, ", ") + " = " + last + "\n" + l.alias(supportPath) + ".Reached()\n"
			texts := false
			for i := range p.result.Len() {
				texts = texts || own(p.result.At(i).Type()) || types.IsInterface(p.result.At(i).Type())
			}
			if texts || len(names) > 1 {
				for i, n := range names {
					tail += l.alias(supportPath) + ".Text(" + l.convert(n, p.result.At(i).Type(), emptyInterface, ck.last) + ")\n"
				}
			}
			tail += "return"
		} else {
			tail = last
		}
	}
	if ck.parts.isFile {
		if main := e.next["main"]; main != nil && main.cell == ck.name {
			tail += "\n" + main.run + "()"
		}
	}
	text += tail + "\n"
	if l.defers != "" {
		text = l.guard(text) + "\nreturn "
	}
	enter, text := l.watched(l.at, text)
	if len(stmts) > 0 { // where a panic's trace says that the cell was
		enter = l.line(stmts[0].Pos()) + enter
	} else if ck.last != nil {
		enter = l.line(ck.last.Pos()) + enter
	}
	return nowhere + "func " + cellFunction + "()" + results + " {\n", enter + text + "}"
}

// runName makes a name for the interpreter, which runSuffix takes back.
func (e *Evaluator) runName(name string) string {
	e.counter++
	return fmt.Sprintf("%s__%d", name, e.counter)
}

// runSuffix is what the interpreter's names have behind those of the cells; __i of instances.
var runSuffix = regexp.MustCompile(`(?:__i?\d+)+$`)

func (e *Evaluator) isTop(obj types.Object) bool {
	return obj.Parent() != nil && obj.Parent().Parent() == types.Universe && obj.Pkg() != nil
}

func (e *Evaluator) pending(name string) *entity {
	if e.next != nil {
		return e.next[name]
	}
	return e.entities[name]
}

func (e *Evaluator) methodsOf(typeName string) []*genericFunc {
	var list []*genericFunc
	for _, n := range sortedKeys(e.generics) {
		if recv, _, ok := strings.Cut(n, "."); ok && recv == typeName {
			list = append(list, e.generics[n])
		}
	}
	return list
}

func (e *Evaluator) genericSource(f *types.Func) *genericFunc {
	if f.Pkg() == nil {
		return nil
	}
	if f.Pkg().Path() == "main" {
		return e.generics[f.Name()]
	}
	return e.shim(f.Pkg().Path(), f.Name())
}

// shape is what a type's values and callers depend on: its definition and the signatures of its methods. A type that
// only gains methods keeps its values, so old methods are compared by those that there were.
func (e *Evaluator) shape(obj types.Object) string {
	text := types.TypeString(obj.Type().Underlying(), nil)
	if named, ok := obj.Type().(*types.Named); ok && named.TypeParams().Len() > 0 {
		for i := range named.NumMethods() { // instances are made with their methods
			text += fmt.Sprint("\n", types.ObjectString(named.Method(i), nil), named.Method(i).Pos())
		}
	}
	return text
}

func methodSignatures(obj types.Object) map[string]string {
	list := map[string]string{}
	if named, ok := obj.Type().(*types.Named); ok {
		for i := range named.NumMethods() {
			list[named.Method(i).Name()] = types.ObjectString(named.Method(i), nil)
		}
	}
	return list
}

// compatible reports whether the methods of a type's new form include all that the interpreter has of it, with the same
// signatures.
func compatible(old, now types.Object) bool {
	have := methodSignatures(now)
	for n, sig := range methodSignatures(old) {
		if have[n] != sig {
			return false
		}
	}
	return true
}

// method declares the interpreter's method of a type: it calls what a variable holds, so that a new definition reaches
// every value and every interface. It returns the statement that sets the variable.
func (e *Evaluator) method(l *lowering, f *funcDecl, recv string, ent *entity, fresh bool) string {
	_, name, _ := strings.Cut(f.name, ".")
	holder := "method_" + recv + "_" + name
	sig := l.sig
	if old := e.entities[f.name]; fresh || old == nil || old.holder != holder {
		params, args := l.params(sig, "a")
		plain := strings.Split(params, ", ")
		first := strings.TrimPrefix(plain[0], "a0 ")
		rest := ""
		if i := strings.Index(params, ", a1 "); i >= 0 {
			rest = params[i+2:]
		}
		ret := ""
		if sig.Results().Len() > 0 {
			ret = "return "
		}
		l.out.decls = append(l.out.decls,
			"var "+holder+" func("+params+")"+l.resultTypes(sig),
			"func (a0 "+first+") "+name+"("+rest+")"+l.resultTypes(sig)+" { "+ret+holder+"("+strings.Join(args, ", ")+") }")
	}
	ent.holder = holder
	return holder + " = " + ent.run + "\n"
}

// sameType compares types of two checks: declared types are the same when their run-time names are.
func (e *Evaluator) sameType(a, b types.Type, changed map[string]bool) bool {
	if types.TypeString(a, nil) != types.TypeString(b, nil) {
		return false
	}
	for t := range changed {
		if mentionsName(b, t) {
			return false
		}
	}
	return true
}

func idents(n ast.Node) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			names[id.Name] = true
		}
		return true
	})
	return names
}

// mentionsName reports whether t refers to the cells' type called name.
func mentionsName(t types.Type, name string) bool {
	return strings.Contains(" "+nonIdent.ReplaceAllString(types.TypeString(t, nil), " ")+" ", " main."+name+" ")
}

var nonIdent = regexp.MustCompile(`[^\pL\pN_.]+`)

func (e *Evaluator) provide(path string) error {
	if e.used[path] {
		return nil
	}
	if path != supportPath {
		table, ok := symbols.Exports(path)
		if !ok {
			return fmt.Errorf("banter cannot run package %s yet", path)
		}
		e.support.override(path, table)
		if err := e.interp.Use(interp.Exports{path + "/pkg": table}); err != nil {
			return err
		}
	}
	if err := e.eval("import " + packageAlias(path) + " " + strconv.Quote(path)); err != nil {
		return err
	}
	e.used[path] = true
	return nil
}

func (e *Evaluator) provides(path, name string) bool {
	p, ok := symbols.Lookup(path)
	if !ok {
		return false
	}
	_, f := p.Funcs[name]
	_, v := p.Vars[name]
	_, t := p.Types[name]
	return f || v || t
}

// eval gives text to yaegi; a panic of its compiler becomes an error.
func (e *Evaluator) eval(text string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the interpreter's compiler failed: %v", r)
		}
	}()
	defer letGo(e.interp)
	_, err = e.interp.Eval(text)
	return err
}

var position3 = regexp.MustCompile(`^(?:(.*?):)?(\d+):(\d+): (.*)$`)

// interpreterFault makes a refusal of what yaegi would not compile.
func (e *Evaluator) interpreterFault(err error) error {
	text := err.Error()
	line, _, _ := strings.Cut(text, "\n")
	if m := position3.FindStringSubmatch(line); m != nil {
		return &yaegiFault{e.position(m[1], m[2], m[3]), m[4]}
	}
	return fmt.Errorf("banter cannot run this cell yet: %s", line)
}

type yaegiFault struct {
	pos token.Position
	msg string
}

func (f *yaegiFault) Error() string {
	return "banter cannot run this yet: the interpreter says " + f.msg
}

// execute calls a prepared cell and waits for it, or for ctx.
func (e *Evaluator) execute(ctx context.Context, p *prepared) (Result, error) {
	e.trace.reset()
	e.support.sites.Clear()
	run := e.support.begin(ctx)
	defer run.end()
	type outcome struct {
		value reflect.Value
		err   error
	}
	finished := make(chan outcome, 1)
	call, before := e.interp.FileSet().Base(), slots(e.interp)
	go func() {
		var out outcome
		run.goroutine.Store(int64(goroutine()))
		ended := false
		defer func() {
			if !ended {
				if r := recover(); r != nil {
					out.err = interp.Panic{Value: r}
				} else {
					out.err = &ExitError{Call: "runtime.Goexit"}
				}
			}
			finished <- out
		}()
		out.value, out.err = e.interp.Eval(cellFunction + "()")
		ended = true
	}()
	var out outcome
	select {
	case out = <-finished:
	case <-ctx.Done():
		select {
		case out = <-finished:
		case <-time.After(e.options.Patience):
			return Result{}, fmt.Errorf("%w (a call of compiled code has not returned and was left behind)", ctx.Err())
		}
	}
	vacate(e.interp, before)
	since(e.interp.FileSet(), call).remove(e.interp.FileSet(), anyFile)
	letGo(e.interp)
	result := Result{Notes: append(p.notes, run.remarks()...)}
	if run.halted.Load() {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		return result, context.Canceled
	}
	if died := run.died(); died != nil {
		return result, e.panicked(died)
	}
	if out.err != nil {
		var pan interp.Panic
		if errors.As(out.err, &pan) {
			if _, ok := pan.Value.(stopped); ok {
				if err := ctx.Err(); err != nil {
					return result, err
				}
				return result, context.Canceled
			}
			if x, ok := pan.Value.(*ExitError); ok {
				return result, x
			}
			return result, e.panicked(&death{value: pan.Value, main: true, goroutine: int(run.goroutine.Load())})
		}
		return result, e.diagnose(e.interpreterFault(out.err))
	}
	if p.result != nil && run.reached {
		if out.value.IsValid() && out.value.CanInterface() && out.value.Kind() == reflect.Struct {
			out.value = reflect.ValueOf(bare(out.value.Interface()))
		}
		result.TypeString = types.TypeString(p.result, func(p *types.Package) string {
			if p.Path() == "main" {
				return ""
			}
			return p.Name()
		})
		if p.result.Len() == 1 {
			result.TypeString = strings.TrimSuffix(strings.TrimPrefix(result.TypeString, "("), ")")
		}
		result.Value, result.HasValue = out.value, out.value.IsValid() && p.result.Len() == 1
		if p.result.Len() == 1 {
			result.Values = []reflect.Value{out.value}
			if !out.value.IsValid() { // nil
				result.Value, result.HasValue = reflect.Zero(reflect.TypeFor[any]()), true
			}
		}
		result.Text = strings.Join(run.texts, " ")
		if p.result.Len() > 1 {
			result.HasValue = true
			result.Value = reflect.ValueOf(result.Text)
		}
	}
	return result, nil
}

func panicText(v any) string {
	switch x := v.(type) {
	case runtime.Error:
		return x.Error()
	case error:
		return x.Error()
	case fmt.Stringer:
		return x.String()
	case string:
		return x
	}
	return fmt.Sprintf("%T(%v)", v, v)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
