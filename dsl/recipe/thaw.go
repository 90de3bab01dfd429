package recipe

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"

	"banter/internal/problem"
	"banter/internal/symbols"
)

// ThawOptions says how a recipe becomes a notebook. The zero value works.
type ThawOptions struct {
	Folder, Root string // as in FreezeOptions: where the notebook's relative paths begin, and where the recipe's do
}

// Thaw makes a notebook of a recipe: comments that begin a paragraph become markdown, paragraphs become cells, and the
// verbs lose their package. Frozen again, the notebook gives the same recipe.
func Thaw(file string, o ThawOptions) (*Notebook, error) {
	src, err := read(file)
	if err != nil {
		return nil, err
	}
	nb, err := thaw(file, src, o)
	if err != nil {
		return nil, &problem.Error{Op: "thaw", Path: file, Err: err}
	}
	return nb, nil
}

type thawer struct {
	src      string
	fset     *token.FileSet
	file     *ast.File
	info     *types.Info
	pkg      *types.Package
	cells    []Cell
	options  ThawOptions
	comments []*ast.CommentGroup
	used     map[*ast.CommentGroup]bool
	name     string          // the package dsl's; "" where all its names can go without
	waiting  map[string]bool // package variables that the function sets first
	paths    map[token.Pos]string
}

func thaw(file string, src []byte, o ThawOptions) (*Notebook, error) {
	if err := check(file, src); err != nil {
		return nil, err
	}
	t := &thawer{src: string(src), fset: token.NewFileSet(), options: o, used: map[*ast.CommentGroup]bool{}, waiting: map[string]bool{}, paths: map[token.Pos]string{}}
	var err error
	if t.file, err = parser.ParseFile(t.fset, file, src, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	t.info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: symbols.NewImporter(t.fset)}
	if t.pkg, err = config.Check(mainPath, t.fset, []*ast.File{t.file}, t.info); err != nil {
		return nil, err
	}
	t.comments = t.file.Comments
	t.nameVerbs()
	if t.file.Doc != nil {
		t.markdown(t.file.Doc)
	}
	return t.notebook()
}

func (t *thawer) notebook() (*Notebook, error) {
	paramsLit, body, err := t.mainParts()
	if err != nil {
		return nil, err
	}
	t.findThawedPaths()
	var imports []string
	for _, s := range t.file.Imports {
		path, _ := strconv.Unquote(s.Path.Value) // the parser has checked it
		if path == dslPath && t.name == "" || path == "embed" {
			continue
		}
		line := s.Path.Value
		if s.Name != nil {
			line = s.Name.Name + " " + line
		}
		imports = append(imports, "import "+line)
	}
	if len(imports) > 0 {
		t.code(strings.Join(imports, "\n"))
	}
	for _, d := range t.file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			continue
		}
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "main" {
			continue
		}
		if g, ok := d.(*ast.GenDecl); ok && t.source(g) {
			t.before(d.Pos())
			continue
		}
		from := d.Pos()
		var doc *ast.CommentGroup
		switch d := d.(type) {
		case *ast.GenDecl:
			doc = d.Doc
		case *ast.FuncDecl:
			doc = d.Doc
		}
		if doc != nil && block(doc) {
			from, t.used[doc] = doc.Pos(), true
		}
		t.before(d.Pos())
		if doc != nil && !t.used[doc] {
			t.markdown(doc)
		}
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR && t.wait(g) {
			continue
		}
		text := t.text(from, t.tail(d.End()))
		if paramsLit != nil && declares(d, "Params") {
			text += "\n\n" + t.statement(paramsLit, paramsLit.End())
			paramsLit = nil
		}
		t.code(text)
	}
	if paramsLit != nil {
		t.code(t.statement(paramsLit, paramsLit.End()))
	}
	t.paragraphs(body)
	return &Notebook{t.cells}, nil
}

// source says whether a declaration is only that of the files that dsl.Source is given, and takes its comment for said:
// freeze writes both where a compiled recipe needs them.
func (t *thawer) source(g *ast.GenDecl) bool {
	if g.Tok != token.VAR || len(g.Specs) != 1 {
		return false
	}
	v := g.Specs[0].(*ast.ValueSpec)
	if len(v.Names) != 1 || v.Type == nil || types.TypeString(t.info.TypeOf(v.Type), nil) != "embed.FS" {
		return false
	}
	if g.Doc != nil {
		t.used[g.Doc] = true
	}
	return true
}

// block says whether a comment is one between /* and */.
func block(c *ast.CommentGroup) bool { return strings.HasPrefix(c.List[0].Text, "/*") }

func declares(d ast.Decl, name string) bool {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.TYPE {
		return false
	}
	return slices.ContainsFunc(g.Specs, func(s ast.Spec) bool { return s.(*ast.TypeSpec).Name.Name == name })
}

// mainParts takes func main apart: the statement that makes the parameters, if there is one, and the body that Main runs.
func (t *thawer) mainParts() (params ast.Stmt, body *ast.BlockStmt, err error) {
	odd := errors.New("its func main does more than make parameters and call dsl.Main: put all else into the function that Main is given")
	for _, d := range t.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil || f.Name.Name != "main" {
			continue
		}
		list := f.Body.List
		if len(list) == 2 {
			if s, ok := list[0].(*ast.AssignStmt); ok && len(s.Lhs) == 1 && len(s.Rhs) == 1 {
				params, list = s, list[1:]
			}
		}
		if len(list) != 1 {
			return nil, nil, odd
		}
		x, ok := list[0].(*ast.ExprStmt)
		if !ok {
			return nil, nil, odd
		}
		call, ok := x.X.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return nil, nil, odd
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		lit, isLit := call.Args[1].(*ast.FuncLit)
		if !ok || !isLit || sel.Sel.Name != "Main" {
			return nil, nil, odd
		}
		return params, lit.Body, nil
	}
	return nil, nil, odd
}

// nameVerbs decides whether the dsl's names can stand alone: not where one of them means something else in the recipe.
func (t *thawer) nameVerbs() {
	for id, obj := range t.info.Defs {
		if obj == nil || id.Name == "main" || id.Name == "_" {
			continue
		}
		if v, ok := obj.(*types.Var); ok && v.IsField() {
			continue
		}
		if f, ok := obj.(*types.Func); ok && f.Signature().Recv() != nil {
			continue
		}
		for _, imported := range t.pkg.Imports() {
			if imported.Path() == dslPath && imported.Scope().Lookup(id.Name) != nil && ast.IsExported(id.Name) {
				t.name = "dsl"
			}
		}
	}
}

// wait notes package variables without a value: the statement that sets one first declares it in the notebook.
func (t *thawer) wait(g *ast.GenDecl) bool {
	for _, s := range g.Specs {
		if len(s.(*ast.ValueSpec).Values) > 0 {
			return false
		}
	}
	for _, s := range g.Specs {
		for _, id := range s.(*ast.ValueSpec).Names {
			t.waiting[id.Name] = true
		}
	}
	return true
}

func (t *thawer) code(text string) {
	t.cells = append(t.cells, Cell{Kind: Code, Source: strings.Trim(text, "\n")})
}

// markdown makes a comment a cell.
func (t *thawer) markdown(c *ast.CommentGroup) {
	t.used[c] = true
	var lines []string
	for _, l := range c.List {
		text := l.Text
		if block, ok := strings.CutPrefix(text, "/*"); ok {
			lines = append(lines, strings.Split(strings.TrimSpace(strings.TrimSuffix(block, "*/")), "\n")...)
			continue
		}
		text = strings.TrimPrefix(text, "//")
		lines = append(lines, strings.TrimPrefix(text, " "))
	}
	if text := strings.TrimSpace(strings.Join(lines, "\n")); text != "" {
		t.cells = append(t.cells, Cell{Kind: Markdown, Source: text})
	}
}

// before makes the comments that stand alone between the declarations above pos and it cells. Those within functions
// come with these.
func (t *thawer) before(pos token.Pos) {
	for _, c := range t.comments {
		if c.End() >= pos || t.used[c] || c.Pos() < t.file.Name.End() || t.within(c) {
			continue
		}
		t.markdown(c)
	}
}

// within says whether a comment lies in a declaration, or behind one on its line.
func (t *thawer) within(c *ast.CommentGroup) bool {
	for _, d := range t.file.Decls {
		if c.Pos() > d.Pos() && c.Pos() < d.End() || c.Pos() >= d.End() && t.line(c.Pos()) == t.line(d.End()) {
			return true
		}
	}
	return false
}

func (t *thawer) line(pos token.Pos) int { return t.fset.Position(pos).Line }

// tail is the end of a comment behind pos on its line, or pos.
func (t *thawer) tail(pos token.Pos) token.Pos {
	for _, c := range t.comments {
		if c.Pos() >= pos && t.line(c.Pos()) == t.line(pos) {
			t.used[c] = true
			return c.End()
		}
	}
	return pos
}

// paragraphs makes each paragraph of the body a cell, and the comment that one begins with a cell of its own.
func (t *thawer) paragraphs(body *ast.BlockStmt) {
	type piece struct {
		from, to token.Pos
		text     string
		comment  *ast.CommentGroup
	}
	var pieces []piece
	for _, s := range body.List {
		end := t.tail(s.End())
		pieces = append(pieces, piece{from: s.Pos(), to: end, text: t.statement(s, end)})
	}
	for _, c := range t.comments {
		inside := slices.ContainsFunc(body.List, func(s ast.Stmt) bool { return c.Pos() >= s.Pos() && c.Pos() < s.End() })
		if c.Pos() > body.Lbrace && c.End() <= body.Rbrace && !inside && !t.used[c] {
			pieces = append(pieces, piece{from: c.Pos(), to: c.End(), comment: c})
		}
	}
	slices.SortFunc(pieces, func(a, b piece) int { return int(a.from - b.from) })
	var cell []string
	flush := func() {
		if len(cell) > 0 {
			t.code(strings.Join(cell, "\n"))
		}
		cell = nil
	}
	for i, p := range pieces {
		if i > 0 && t.line(p.from)-t.line(pieces[i-1].to) > 1 {
			flush()
		}
		switch {
		case p.comment == nil:
			cell = append(cell, p.text)
		case len(cell) == 0 && !block(p.comment):
			t.markdown(p.comment)
		default: // in the middle of a paragraph, or between /* and */: the code's own
			cell = append(cell, outdent(t.text(p.from, p.to)))
		}
	}
	flush()
}

// statement is a statement as a cell has it.
func (t *thawer) statement(s ast.Stmt, end token.Pos) string {
	text := outdent(t.text(s.Pos(), end))
	a, ok := s.(*ast.AssignStmt)
	if !ok || a.Tok != token.ASSIGN || len(t.waiting) == 0 {
		return text
	}
	declared := 0
	for i, l := range a.Lhs {
		id, ok := l.(*ast.Ident)
		if !ok || !t.waiting[id.Name] {
			continue
		}
		delete(t.waiting, id.Name)
		declared++
		if len(a.Lhs) == 1 && len(a.Rhs) == 1 && !t.inferred(id, a.Rhs[i]) {
			return "var " + id.Name + " " + t.typeText(t.info.TypeOf(id)) + strings.TrimPrefix(text, id.Name)
		}
	}
	if declared > 0 {
		raw := t.src[t.offset(a.Pos()):t.offset(a.TokPos)]
		return strings.Replace(text, lastToken(raw)+"=", lastToken(raw)+":=", 1)
	}
	return text
}

// lastToken is the end of the left side of an assignment, by which its sign is found again.
func lastToken(left string) string {
	i := strings.LastIndexAny(strings.TrimRight(left, " "), " ,")
	return left[i+1:]
}

// inferred says whether := gives the variable its type.
func (t *thawer) inferred(id *ast.Ident, value ast.Expr) bool {
	tv, ok := t.info.Types[value]
	if !ok {
		return false
	}
	if tv.Value != nil { // constants were converted to the variable's type: look at what they are by themselves
		if b, ok := t.info.TypeOf(id).(*types.Basic); ok {
			if lit, isLit := ast.Unparen(value).(*ast.BasicLit); isLit {
				kinds := map[token.Token]types.BasicKind{token.INT: types.Int, token.FLOAT: types.Float64, token.STRING: types.String, token.CHAR: types.Int32, token.IMAG: types.Complex128}
				return kinds[lit.Kind] == b.Kind()
			}
			return b.Kind() == types.Bool || b.Kind() == types.String
		}
		_, named := types.Unalias(t.info.TypeOf(id)).(*types.Named)
		_, isLit := ast.Unparen(value).(*ast.BasicLit)
		return named && !isLit
	}
	return types.Identical(tv.Type, t.info.TypeOf(id))
}

func (t *thawer) typeText(typ types.Type) string {
	return types.TypeString(typ, func(p *types.Package) string {
		switch {
		case p == t.pkg, p.Path() == dslPath && t.name == "":
			return ""
		}
		return p.Name()
	})
}

func (t *thawer) offset(pos token.Pos) int { return t.fset.Position(pos).Offset }

// text is a stretch of the recipe with the verbs by their own names.
func (t *thawer) text(from, to token.Pos) string {
	var edits []edit
	ast.Inspect(t.file, func(n ast.Node) bool {
		if n == nil || n.End() < from || n.Pos() > to {
			return n != nil && n.End() >= from && n.Pos() <= to
		}
		switch n := n.(type) {
		case *ast.BasicLit:
			if path, ok := t.paths[n.Pos()]; ok && n.Pos() >= from && n.End() <= to {
				edits = append(edits, edit{t.offset(n.Pos()), t.offset(n.End()), strconv.Quote(path)})
			}
		case *ast.SelectorExpr:
			id, ok := n.X.(*ast.Ident)
			if !ok || n.Pos() < from || n.End() > to || t.name != "" {
				break
			}
			if p, ok := t.info.Uses[id].(*types.PkgName); ok && p.Imported().Path() == dslPath {
				edits = append(edits, edit{t.offset(n.Pos()), t.offset(n.Sel.Pos()), ""})
			}
		}
		return true
	})
	slices.SortFunc(edits, func(a, b edit) int { return a.from - b.from })
	var b strings.Builder
	at := t.offset(from)
	for _, e := range edits {
		b.WriteString(t.src[at:e.from] + e.text)
		at = e.to
	}
	b.WriteString(t.src[at:t.offset(to)])
	return b.String()
}

// outdent takes the indentation of the recipe's function off, but not out of texts between backquotes.
func outdent(text string) string {
	lines := strings.Split(text, "\n")
	quoted := false
	for i, l := range lines {
		if i > 0 && !quoted {
			for range 2 {
				l = strings.TrimPrefix(l, "\t")
			}
			lines[i] = l
		}
		if strings.Count(l, "`")%2 == 1 {
			quoted = !quoted
		}
	}
	return strings.Join(lines, "\n")
}

// findThawedPaths rebases the literals that are paths. What a path is, freeze says.
func (t *thawer) findThawedPaths() {
	folder, root := t.options.Folder, t.options.Root
	ast.Inspect(t.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		f, ok := t.info.Uses[sel.Sel].(*types.Func)
		if !ok || f.Pkg() == nil || f.Pkg().Path() != dslPath {
			return true
		}
		for _, arg := range pathArguments(f.Name(), call) {
			lit := t.literal(arg)
			if lit == nil {
				continue
			}
			path, err := strconv.Unquote(lit.Value)
			if err != nil || (f.Name() == "Model" || f.Name() == "Base" || f.Name() == "VAD" || f.Name() == "Embedder") && !namesFile(path, root) {
				continue
			}
			if to, ok := rebase(path, root, folder); ok {
				t.paths[lit.Pos()] = to
			}
		}
		return true
	})
}

// literal is the string literal that an expression always is: itself, a variable or constant that is set once, or the
// default of a parameter.
func (t *thawer) literal(x ast.Expr) *ast.BasicLit {
	switch x := ast.Unparen(x).(type) {
	case *ast.BasicLit:
		if x.Kind == token.STRING {
			return x
		}
	case *ast.Ident:
		return t.setOnce(t.info.Uses[x], "")
	case *ast.SelectorExpr:
		if id, ok := x.X.(*ast.Ident); ok {
			return t.setOnce(t.info.Uses[id], x.Sel.Name)
		}
	}
	return nil
}

// setOnce is the literal that a variable or constant, or the named field of a struct in one, is set to.
func (t *thawer) setOnce(obj types.Object, field string) *ast.BasicLit {
	var found []ast.Expr
	times := 0
	if obj == nil {
		return nil
	}
	ast.Inspect(t.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				if id, ok := l.(*ast.Ident); ok && t.info.ObjectOf(id) == obj {
					times++
					if len(n.Lhs) == len(n.Rhs) {
						found = append(found, n.Rhs[i])
					}
				}
			}
		case *ast.ValueSpec:
			for i, id := range n.Names {
				if t.info.Defs[id] == obj && i < len(n.Values) {
					times++
					found = append(found, n.Values[i])
				}
			}
		}
		return true
	})
	if times != 1 || len(found) != 1 {
		return nil
	}
	x := ast.Unparen(found[0])
	if field != "" {
		lit, ok := x.(*ast.CompositeLit)
		if !ok {
			return nil
		}
		for _, e := range lit.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				if key, ok := kv.Key.(*ast.Ident); ok && key.Name == field {
					x = kv.Value
				}
			}
		}
	}
	if lit, ok := x.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		return lit
	}
	return nil
}
