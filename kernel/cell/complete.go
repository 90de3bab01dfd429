package cell

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"

	"banter/dsl"
	"banter/internal/symbols"
)

// Completions offers what could replace src[Start:End].
type Completions struct {
	Start, End int
	Items      []Completion
}

// Completion is one text that could stand at the cursor.
type Completion struct {
	Text      string
	Kind      string // "function", "method", "field", "variable", "type", "constant", "package", "keyword", "path"
	Signature string
	Doc       string

	obj types.Object // what it names; nil for keywords and paths
}

// Documentation describes a name.
type Documentation struct {
	Name      string
	Signature string
	Doc       string
	Value     string // the present value of a variable, as fmt prints it; may be empty
}

// Text is the documentation as plain text.
func (d Documentation) Text() string {
	parts := []string{d.Signature}
	if d.Value != "" {
		parts = append(parts, "= "+d.Value)
	}
	if d.Doc != "" {
		parts = append(parts, "", d.Doc)
	}
	return strings.Join(parts, "\n")
}

// Complete offers what could stand at a byte offset of src: members after a dot, file paths inside a string given to
// Load, and names elsewhere. Inside a call, what the parameter takes comes first.
func (e *Evaluator) Complete(src string, cursor int) Completions {
	e.mu.Lock()
	defer e.mu.Unlock()
	cursor = min(max(cursor, 0), len(src))
	if text, start, ok := insideString(src, cursor); ok {
		return Completions{Start: start, End: cursor, Items: paths(text)}
	}
	start := cursor
	for start > 0 && identByte(src[start-1]) {
		start--
	}
	prefix := src[start:cursor]
	out := Completions{Start: start, End: cursor}
	scope := e.scope(src)
	if start > 0 && src[start-1] == '.' {
		operand := operandBefore(src, start-1)
		out.Items = e.members(scope, operand, prefix)
		e.fitting(scope, src, start, out.Items)
		return out
	}
	add := func(obj types.Object, name string) {
		if strings.HasPrefix(name, prefix) {
			out.Items = append(out.Items, e.completion(obj, name))
		}
	}
	for _, n := range scope.Scope().Names() {
		if !strings.Contains(n, "·") {
			add(scope.Scope().Lookup(n), n)
		}
	}
	for _, n := range sortedKeys(e.imports) {
		if strings.HasPrefix(n, prefix) {
			out.Items = append(out.Items, Completion{Text: n, Kind: "package", Signature: e.imports[n].Path.Value})
		}
	}
	for _, n := range types.Universe.Names() {
		add(types.Universe.Lookup(n), n)
	}
	for t := token.BREAK; t <= token.VAR; t++ {
		if strings.HasPrefix(t.String(), prefix) && prefix != "" {
			out.Items = append(out.Items, Completion{Text: t.String(), Kind: "keyword"})
		}
	}
	e.fitting(scope, src, start, out.Items)
	return out
}

// Inspect describes what stands at a byte offset of src.
func (e *Evaluator) Inspect(src string, cursor int) (Documentation, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	cursor = min(max(cursor, 0), len(src))
	end := cursor
	for end < len(src) && identByte(src[end]) {
		end++
	}
	start := end
	for start > 0 && identByte(src[start-1]) {
		start--
	}
	if start == end { // inside an argument list: the function called
		if i, _, ok := callAround(src, cursor); ok {
			end = i
			start = end
			for start > 0 && identByte(src[start-1]) {
				start--
			}
		}
	}
	if start == end {
		return Documentation{}, false
	}
	name := src[start:end]
	scope := e.scope(src)
	if start > 0 && src[start-1] == '.' {
		operand := operandBefore(src, start-1)
		obj, owner := e.member(scope, operand, name)
		if obj == nil {
			return Documentation{}, false
		}
		return e.document(obj, owner), true
	}
	obj := scope.Scope().Lookup(name)
	if obj == nil {
		if s := e.imports[name]; s != nil {
			path := strings.Trim(s.Path.Value, "\"`")
			return Documentation{Name: name, Signature: "package " + path, Doc: symbols.Doc(path)}, true
		}
		if obj = types.Universe.Lookup(name); obj == nil {
			return Documentation{}, false
		}
	}
	d := e.document(obj, "")
	if ent := e.entities[name]; ent != nil && ent.isVar() {
		d.Value = e.valueText(ent)
	}
	return d, true
}

// scope is a package with all that cells declared, and what src itself seems to declare.
func (e *Evaluator) scope(src string) *types.Package {
	pkg := types.NewPackage("main", "main")
	for _, ent := range e.order() {
		if !strings.Contains(ent.name, ".") && ent.obj != nil {
			pkg.Scope().Insert(ent.obj)
		}
	}
	for _, path := range e.options.Prelude {
		if lib, err := e.importer.Import(path); err == nil {
			for _, n := range lib.Scope().Names() {
				if obj := lib.Scope().Lookup(n); obj.Exported() {
					pkg.Scope().Insert(obj)
				}
			}
		}
	}
	// What the cell being written declares, as far as it can be understood.
	f, _ := parser.ParseFile(token.NewFileSet(), "", "package main;func _(){"+src+"\n}", parser.SkipObjectResolution)
	if f == nil {
		return pkg
	}
	ast.Inspect(f, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || a.Tok != token.DEFINE || len(a.Lhs) != 1 || len(a.Rhs) != 1 {
			return true
		}
		id, ok := a.Lhs[0].(*ast.Ident)
		if ok && pkg.Scope().Lookup(id.Name) == nil {
			if t := e.exprType(pkg, types.ExprString(a.Rhs[0])); t != nil {
				pkg.Scope().Insert(types.NewVar(token.NoPos, pkg, id.Name, types.Default(t)))
			}
		}
		return true
	})
	return pkg
}

// exprType is the type of an expression in scope, or nil.
func (e *Evaluator) exprType(pkg *types.Package, text string) types.Type {
	x, err := parser.ParseExpr(text)
	if err != nil {
		return nil
	}
	withImports := types.NewPackage("main", "main")
	for _, n := range pkg.Scope().Names() {
		withImports.Scope().Insert(pkg.Scope().Lookup(n))
	}
	for n, s := range e.imports {
		if lib, err := e.importer.Import(strings.Trim(s.Path.Value, "\"`")); err == nil {
			withImports.Scope().Insert(types.NewPkgName(token.NoPos, withImports, n, lib))
		}
	}
	info := newInfo()
	func() {
		defer func() { _ = recover() }() // a half-written expression may confuse the checker; then there is nothing to offer
		if err := types.CheckExpr(token.NewFileSet(), withImports, token.NoPos, x, info); err != nil {
			return
		}
	}()
	t := info.TypeOf(x)
	if t == nil || t == types.Typ[types.Invalid] {
		return nil
	}
	return t
}

func (e *Evaluator) members(scope *types.Package, operand, prefix string) []Completion {
	var items []Completion
	if s := e.imports[operand]; s != nil && scope.Scope().Lookup(operand) == nil {
		lib, err := e.importer.Import(strings.Trim(s.Path.Value, "\"`"))
		if err != nil {
			return nil
		}
		for _, n := range lib.Scope().Names() {
			if obj := lib.Scope().Lookup(n); obj.Exported() && strings.HasPrefix(n, prefix) {
				items = append(items, e.completion(obj, n))
			}
		}
		return items
	}
	t := e.exprType(scope, operand)
	if t == nil {
		return nil
	}
	seen := map[string]bool{}
	add := func(obj types.Object) {
		own := obj.Pkg() == nil || obj.Pkg().Path() == "main"
		if (obj.Exported() || own) && !seen[obj.Name()] && strings.HasPrefix(obj.Name(), prefix) {
			seen[obj.Name()] = true
			items = append(items, e.completion(obj, obj.Name()))
		}
	}
	fields(t, map[types.Type]bool{}, add)
	mt := t
	if _, ok := t.Underlying().(*types.Pointer); !ok && !types.IsInterface(t) {
		mt = types.NewPointer(t)
	}
	set := types.NewMethodSet(mt)
	for i := range set.Len() {
		add(set.At(i).Obj())
	}
	sort.Slice(items, func(i, j int) bool { return items[i].Text < items[j].Text })
	return items
}

func fields(t types.Type, seen map[types.Type]bool, add func(types.Object)) {
	if seen[t] {
		return
	}
	seen[t] = true
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	st, ok := t.Underlying().(*types.Struct)
	if !ok {
		return
	}
	for i := range st.NumFields() {
		add(st.Field(i))
		if st.Field(i).Embedded() {
			fields(st.Field(i).Type(), seen, add)
		}
	}
}

func (e *Evaluator) member(scope *types.Package, operand, name string) (types.Object, string) {
	if s := e.imports[operand]; s != nil && scope.Scope().Lookup(operand) == nil {
		if lib, err := e.importer.Import(strings.Trim(s.Path.Value, "\"`")); err == nil {
			return lib.Scope().Lookup(name), ""
		}
		return nil, ""
	}
	t := e.exprType(scope, operand)
	if t == nil {
		return nil, ""
	}
	obj, _, _ := types.LookupFieldOrMethod(t, true, scope, name)
	owner := t
	if p, ok := t.Underlying().(*types.Pointer); ok {
		owner = p.Elem()
	}
	if n, ok := types.Unalias(owner).(*types.Named); ok {
		return obj, n.Obj().Name()
	}
	return obj, ""
}

func (e *Evaluator) completion(obj types.Object, name string) Completion {
	d := e.document(obj, "")
	return Completion{Text: name, Kind: kindOf(obj), Signature: d.Signature, Doc: firstSentence(d.Doc), obj: obj}
}

func kindOf(obj types.Object) string {
	switch obj := obj.(type) {
	case *types.Func:
		if obj.Signature().Recv() != nil {
			return "method"
		}
		return "function"
	case *types.Builtin:
		return "function"
	case *types.TypeName:
		return "type"
	case *types.Const:
		return "constant"
	case *types.Var:
		if obj.IsField() {
			return "field"
		}
		return "variable"
	case *types.PkgName:
		return "package"
	}
	return ""
}

func firstSentence(doc string) string {
	if i := strings.Index(doc, ". "); i >= 0 {
		doc = doc[:i+1]
	}
	return strings.ReplaceAll(doc, "\n", " ")
}

func (e *Evaluator) document(obj types.Object, owner string) Documentation {
	d := Documentation{Name: obj.Name(), Signature: types.ObjectString(obj, func(p *types.Package) string {
		if p.Path() == "main" {
			return ""
		}
		return p.Name()
	})}
	if obj.Pkg() == nil {
		return d
	}
	if obj.Pkg().Path() != "main" {
		key := obj.Pkg().Path() + "."
		if f, ok := obj.(*types.Func); ok && f.Signature().Recv() != nil {
			t := f.Signature().Recv().Type()
			if p, ok := t.(*types.Pointer); ok {
				t = p.Elem()
			}
			if n, ok := t.(*types.Named); ok {
				key += n.Obj().Name() + "."
			}
		} else if v, ok := obj.(*types.Var); ok && v.IsField() && owner != "" {
			key += owner + "."
		}
		d.Doc = symbols.Doc(key + obj.Name())
		return d
	}
	if ent := e.entities[obj.Name()]; ent != nil {
		switch {
		case ent.fn != nil:
			d.Doc = e.commentAbove(ent.fn.Pos())
		case ent.spec != nil:
			d.Doc = e.commentAbove(ent.spec.Pos())
		}
	}
	return d
}

// commentAbove is the comment that ends on the line above pos. The text that is parsed has declarations without theirs.
func (e *Evaluator) commentAbove(pos token.Pos) string {
	at := e.fset.Position(pos)
	lines := e.sources[at.Filename]
	var doc []string
	for i := at.Line - 2; i >= 0 && i < len(lines); i-- {
		text, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "//")
		if !ok {
			break
		}
		doc = append(doc, strings.TrimPrefix(text, " "))
	}
	slices.Reverse(doc)
	return strings.TrimSpace(strings.Join(doc, "\n"))
}

// valueText is the present value of a variable.
func (e *Evaluator) valueText(ent *entity) string {
	v, ok := e.interp.Globals()[ent.run]
	if !ok || !v.IsValid() || !v.CanInterface() {
		return ""
	}
	text := sprint(v)
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}

// sprint prints a value; a method of its that panics must not take the caller down.
func sprint(v reflect.Value) (text string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *dsl.Error: // a value that was never made
			text = fmt.Sprintf("(%v)", r.Err)
		default:
			text = fmt.Sprintf("(%s)", v.Type())
		}
	}()
	value := v.Interface()
	_, formats := value.(fmt.Formatter)
	if s, ok := value.(fmt.Stringer); ok && !formats && v.Kind() == reflect.Struct {
		return s.String() // fmt would catch its panic, and print that
	}
	return fmt.Sprint(value)
}

func identByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// operandBefore is the expression that ends before the dot at offset dot.
func operandBefore(src string, dot int) string {
	i := dot
	for i > 0 {
		c := src[i-1]
		switch {
		case identByte(c) || c == '.':
			i--
			continue
		case c == ')' || c == ']' || c == '}':
			depth := 0
			j := i
			for j > 0 {
				switch src[j-1] {
				case ')', ']', '}':
					depth++
				case '(', '[', '{':
					depth--
				}
				j--
				if depth == 0 {
					break
				}
			}
			i = j
			continue
		}
		break
	}
	return strings.TrimSpace(src[i:dot])
}

// insideString reports whether cursor stands inside a string literal that is an argument of Load, or of an option
// inside Load, and returns the literal's text up to it.
func insideString(src string, cursor int) (text string, start int, ok bool) {
	var s scanner.Scanner
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(src))
	s.Init(file, []byte(src), func(token.Position, string) {}, 0)
	var calls []string
	last := ""
	for {
		pos, t, lit := s.Scan()
		off := file.Offset(pos)
		if t == token.EOF || off >= cursor {
			return "", 0, false
		}
		switch t {
		case token.LPAREN:
			calls = append(calls, last)
		case token.RPAREN:
			if len(calls) > 0 {
				calls = calls[:len(calls)-1]
			}
		case token.STRING:
			closed := len(lit) >= 2 && lit[len(lit)-1] == lit[0]
			if cursor > off && (cursor < off+len(lit) || !closed && cursor <= off+len(lit)) {
				for _, c := range calls {
					if c == "Load" {
						return src[off+1 : cursor], off + 1, true
					}
				}
				return "", 0, false
			}
		}
		last = ""
		if t == token.IDENT {
			last = lit
		}
	}
}

// paths lists files that begin with prefix, folders with a slash.
func paths(prefix string) []Completion {
	matches, err := filepath.Glob(escapeGlob(prefix) + "*")
	if err != nil {
		return nil
	}
	var items []Completion
	for _, m := range matches {
		if len(items) == 200 {
			break
		}
		if info, err := os.Stat(m); err == nil && info.IsDir() {
			m += "/"
		}
		items = append(items, Completion{Text: m, Kind: "path"})
	}
	return items
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(s)
}
