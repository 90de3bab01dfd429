package cell

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"os"
	"regexp"
	"strings"
)

// reservedName matches names that lowered text uses.
var reservedName = regexp.MustCompile(`^(pkg_|cell_|method_|shim_|value_\d)|__\d|ˍ`)

// runName makes a name for the interpreter, which runSuffix takes back.
func (e *Evaluator) runName(name string) string {
	e.counter++
	return fmt.Sprintf("%s__%d", name, e.counter)
}

// runSuffix is what the interpreter's names have behind those of the cells; __i of instances.
var runSuffix = regexp.MustCompile(`(?:__i?\d+)+$`)

// declaring is a checked cell on its way into the interpreter.
type declaring struct {
	*checked
	e       *Evaluator
	p       *prepared
	out     *emission
	names   map[string]bool         // that the cell declares
	changed map[string]bool         // types that the interpreter has otherwise, or not at all
	vars    map[types.Object]string // the cell's variables, by their run-time names
	zero    []string                // those that the interpreter does not have yet
}

// declare lowers a checked cell and gives its declarations to the interpreter.
func (e *Evaluator) declare(ck *checked) (*prepared, error) {
	e.support.forget()
	e.next = maps.Clone(e.entities)
	d := &declaring{checked: ck, e: e, p: &prepared{notes: ck.broken}, out: newEmission(), names: declared(ck.parts.decls),
		changed: map[string]bool{}, vars: map[types.Object]string{}}
	generics, dynamics := e.generics, e.dynamics
	e.generics, e.dynamics = maps.Clone(generics), dynamics.clone()
	done := false
	defer func() {
		if !done {
			e.generics, e.dynamics, e.next = generics, dynamics, nil
			for _, key := range d.out.newInstances {
				delete(e.instances, key)
			}
		}
	}()
	d.types()
	if ck.rebuilt {
		d.retype()
	}
	d.constants()
	for n := range e.entities { // methods of a type declared anew in this cell are gone with the old one
		if recv, _, ok := strings.Cut(n, "."); ok && d.names[recv] && !d.names[n] {
			delete(e.next, n)
		}
	}
	for _, b := range ck.broken {
		n, _, _ := strings.Cut(b, " ")
		delete(e.next, n)
	}
	d.functions()
	d.variables()
	text, err := d.text()
	if err != nil {
		return nil, e.diagnose(err)
	}
	if os.Getenv("BANTER_SHOW_LOWERED") != "" {
		fmt.Fprintln(os.Stderr, text)
	}
	if err := e.eval(text); err != nil {
		fault := e.interpreterFault(err)
		if y, ok := fault.(*yaegiFault); !ok || !y.pos.IsValid() { // it does not say where: somewhere in the cell
			fault = &refusal{ck.parts.begin(), fault.Error()}
		}
		return nil, e.diagnose(fault)
	}
	done = true
	maps.Copy(e.imports, ck.imports)
	for n := range e.next {
		delete(e.imports, n)
	}
	e.entities, e.next = e.next, nil
	vars := map[string]bool{}
	for _, v := range ck.hoisted {
		vars[v.Name()] = true
	}
	d.p.notes = append(d.p.notes, e.graph.ran(ck.name, strings.Join(e.sources[ck.name], "\n"), vars, d.names, d.out.uses)...)
	return d.p, nil
}

// types names the types. One keeps its run-time name as long as its layout and its methods' signatures stay.
func (d *declaring) types() {
	e := d.e
	for _, t := range d.typeSpec {
		n, obj := t.Name.Name, d.info.Defs[t.Name]
		e.next[n] = &entity{name: n, obj: obj, spec: t, cell: d.cellOf(n), shape: e.shape(obj)}
	}
	for again := true; again; {
		again = false
		for _, t := range d.typeSpec {
			n := t.Name.Name
			old := e.entities[n]
			is := old == nil || old.spec == nil || old.shape != e.next[n].shape || !compatible(old.obj, e.next[n].obj)
			for dep := range idents(t) {
				is = is || d.changed[dep]
			}
			if is && !d.changed[n] {
				d.changed[n], again = true, true
			}
		}
	}
	for _, t := range d.typeSpec {
		n := t.Name.Name
		ent := e.next[n]
		if !d.changed[n] {
			ent.run = e.entities[n].run
			continue
		}
		ent.run = e.runName(n)
		if !e.typeNames[n] && local(n) == n { // its first meaning keeps the name, which embedded fields show
			ent.run = n
			e.typeNames[n] = true
		}
	}
}

// cellOf is the cell that declares a type or constant: this one, or the one that did where it is only checked anew.
func (d *declaring) cellOf(name string) string {
	if old := d.e.entities[name]; old != nil && !old.isVar() && !d.names[name] {
		return old.cell
	}
	return d.name
}

// retype gives earlier variables the types as they were resolved anew, and drops those whose type is another by now.
func (d *declaring) retype() {
	e := d.e
	for _, ent := range e.order() {
		n := ent.name
		if !ent.isVar() {
			continue
		}
		if obj := d.scope.Lookup(n); obj != nil && obj != ent.obj && e.next[n] == ent {
			again := *ent
			again.obj = obj
			e.next[n] = &again
		}
		for _, t := range sortedKeys(d.changed) {
			if e.entities[t] != nil && mentionsName(ent.obj.Type(), t) {
				delete(e.next, n)
				d.p.notes = append(d.p.notes, fmt.Sprintf("%s is gone: it held a value of the earlier type %s; run the cell that makes it again", n, t))
				break
			}
		}
	}
}

func (d *declaring) constants() {
	for _, g := range d.consts {
		for _, s := range g.Specs {
			for _, id := range s.(*ast.ValueSpec).Names {
				if obj := d.info.Defs[id]; obj != nil && id.Name != "_" {
					d.e.next[id.Name] = &entity{name: id.Name, obj: obj, gen: g, cell: d.cellOf(id.Name)}
				}
			}
		}
	}
}

func (d *declaring) functions() {
	e := d.e
	for _, f := range d.funcs {
		ent := &entity{name: f.name, obj: f.obj, fn: f.decl, cell: f.cell, info: d.bodies, uses: d.usedBy(f.decl)}
		ent.run = e.runName(strings.ReplaceAll(strings.ReplaceAll(f.name, ".", methodMark), "·", "_"))
		if f.nameless() {
			f.name = ent.run
		} else {
			e.next[f.name] = ent
		}
		if f.generic() {
			e.generics[f.name] = &genericFunc{run: ent.run, decl: f.decl, body: f.body, info: d.bodies}
		} else {
			delete(e.generics, f.name)
		}
	}
	for _, f := range d.waiting {
		e.next[f.name] = &entity{name: f.name, obj: f.obj, fn: f.decl, cell: f.cell, waits: f.waits}
		delete(e.generics, f.name)
		d.p.notes = append(d.p.notes, fmt.Sprintf("%s cannot be called yet: %s", f.name, f.waits.reason))
	}
}

// usedBy is the set of the cells' names that a function refers to.
func (d *declaring) usedBy(f *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			if obj := d.bodies.Uses[id]; obj != nil && d.e.isTop(obj) && obj.Pkg().Path() == "main" {
				names[id.Name] = true
			}
		}
		return true
	})
	return names
}

// generic reports whether a function is written out for each list of type arguments.
func (f *funcDecl) generic() bool {
	return f.body.Type().(*types.Signature).TypeParams().Len() > 0
}

// variables names the cell's variables. One that there was keeps its name, and so its value, where its type stays.
func (d *declaring) variables() {
	e := d.e
	for _, v := range d.hoisted {
		n := v.Name()
		ent := &entity{name: n, cell: d.name, obj: types.NewVar(v.Pos(), d.pkg, n, v.Type())}
		if old := e.next[n]; old != nil && old.isVar() && e.sameType(old.obj.Type(), v.Type(), d.changed) {
			ent.run = old.run
		} else {
			ent.run = e.runName(n)
			d.zero = append(d.zero, n)
		}
		d.vars[v] = ent.run
		e.next[n] = ent
	}
}

// text is all that the interpreter is to compile.
func (d *declaring) text() (string, error) {
	e, out := d.e, d.out
	l := &lowering{e: e, info: d.info, hoisted: d.vars, out: out, top: true, fresh: map[string]bool{}}
	for _, n := range d.zero {
		l.fresh[n] = true
	}
	for _, t := range d.typeSpec {
		ent := e.next[t.Name.Name]
		// Aliases are written as what they stand for, interfaces as empty ones, and generic types as their instances.
		if d.changed[ent.name] && t.TypeParams == nil && !t.Assign.IsValid() && !types.IsInterface(ent.obj.Type()) {
			l.in(t)
			out.decls = append(out.decls, l.line(t.Pos())+"type "+ent.run+" "+l.typ(ent.obj.Type().Underlying(), t))
		}
	}
	for _, n := range d.zero {
		out.decls = append(out.decls, "var "+e.next[n].run+" "+l.typ(e.next[n].obj.Type(), nil))
	}
	inits := ""
	for _, f := range d.funcs {
		if !f.generic() {
			inits += d.function(f)
		}
	}
	head, body := e.lowerBody(d.checked, l, d.p)
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
	for _, f := range d.inits {
		inits += f.name + "()\n"
	}
	for _, path := range sortedKeys(out.imports) {
		if err := e.provide(path); err != nil {
			return "", err
		}
	}
	for i, decl := range out.decls {
		if !strings.HasPrefix(decl, "/*line") {
			out.decls[i] = nowhere + decl
		}
	}
	return strings.Join(append(out.decls, head+out.inits+inits+body), "\n"), nil
}

// function declares a function or method, and returns the statements that go with it.
func (d *declaring) function(f *funcDecl) (inits string) {
	e, out := d.e, d.out
	before := out.uses
	out.uses = map[string]bool{}
	l := &lowering{e: e, info: d.bodies, out: out}
	ent, run := e.next[f.name], f.name
	if ent != nil {
		run = ent.run
	}
	out.decls = append(out.decls, l.function(run, f.decl, f.body, ""))
	if recv, _, isMethod := strings.Cut(f.name, "."); isMethod {
		inits = e.method(l, f, e.next[recv].run, ent, d.changed[recv])
	}
	if f.cell != d.name { // it was only written anew
		out.uses = map[string]bool{}
	}
	maps.Copy(out.uses, before)
	return inits
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

// mentionsName reports whether t refers to the cells' type called name.
func mentionsName(t types.Type, name string) bool {
	return strings.Contains(" "+nonIdent.ReplaceAllString(types.TypeString(t, nil), " ")+" ", " main."+name+" ")
}

var nonIdent = regexp.MustCompile(`[^\pL\pN_.]+`)
