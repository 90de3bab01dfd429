package recipe

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"

	"banter/internal/cellsplit"
	"banter/internal/misspelt"
	"banter/internal/symbols"
)

const (
	dslPath  = "banter/dsl"
	mainPath = "main"
)

// program is a notebook's code as one program: what each piece of it sets and uses.
type program struct {
	notebook *Notebook
	fset     *token.FileSet
	files    map[*token.File]origin
	info     *types.Info
	pkg      *types.Package
	dsl      *types.Package

	units   []*unit                   // in the order of the notebook
	decls   map[string]*unit          // by name: functions, types and constants; of several the last
	vars    map[string][]*unit        // by name: the statements that declare a variable of the notebook, in order
	lifted  map[string]bool           // variables that functions of the notebook use: they have to be package variables
	methods map[string][]*unit        // by receiver's type
	imports []*ast.ImportSpec         // of all cells
	inCell  map[ast.Node]int          // imports: their cell
	linked  map[string]string         // union-find of variables that may share memory
	heldBy  map[string][]string       // by variable: what the closures in its value capture
	sinks   map[string]bool           // verbs that are outputs
	chosen  map[*ast.CallExpr]float64 // calls of Explore: what was chosen there
}

// origin is where the text of a parsed file comes from.
type origin struct {
	cell   int // index in the notebook
	prefix int // bytes before the cell's text
}

// unit is the smallest piece that is kept or left out: a statement of a cell, or a declaration.
type unit struct {
	cell     int
	from, to int // bytes of the cell's text, with the comments that belong to it
	stmt     ast.Stmt
	decl     ast.Decl
	names    []string // of a declaration: what it declares

	declares map[string]*types.Var // variables that it declares
	kills    map[string]bool       // variables that it sets whatever they held before
	sets     map[string]bool       // variables that it may change
	holds    map[string]bool       // variables that it changes in part or perhaps: they have to be there before
	uses     map[string]bool       // variables, functions, types and constants that it reads
	sink     bool
	err      error // why it does not compile
	keep     bool
}

// cellError is a refusal that names its cells.
type cellError struct {
	text string
}

func (e *cellError) Error() string { return e.text }

// cell is how messages call a cell: its place among all cells, counted from 1, and the number of its run.
func (nb *Notebook) cell(i int) string {
	if c := nb.Cells[i]; c.Run > 0 {
		return fmt.Sprintf("cell %d (In [%d])", i+1, c.Run)
	}
	return fmt.Sprintf("cell %d", i+1)
}

// analyse parses and checks all code cells.
func analyse(nb *Notebook) (*program, error) {
	p := &program{notebook: nb, fset: token.NewFileSet(), files: map[*token.File]origin{}, decls: map[string]*unit{}, vars: map[string][]*unit{},
		lifted: map[string]bool{}, methods: map[string][]*unit{}, inCell: map[ast.Node]int{}}
	for i, c := range nb.Cells {
		if c.Kind != Code || strings.TrimSpace(c.Source) == "" {
			continue
		}
		if err := p.parse(i, c.Source); err != nil {
			return nil, err
		}
	}
	if err := p.index(); err != nil {
		return nil, err
	}
	if err := p.check(nil); err != nil {
		return nil, err
	}
	// What functions of the notebook use of its variables is not in their sight until the variables are the package's.
	if p.lift() {
		vars := map[string]types.Type{}
		for name := range p.lifted {
			vars[name] = p.typeOf(name)
		}
		if err := p.check(vars); err != nil {
			return nil, err
		}
	}
	p.effects()
	return p, nil
}

func (p *program) parse(i int, src string) error {
	declText, stmtText, _ := cellsplit.Split(src)
	const declPrefix, stmtPrefix = "package main;", "package main;func _(){"
	declFile, err := p.parseFile(i, declPrefix, declText, "")
	if err != nil {
		return err
	}
	stmtFile, err := p.parseFile(i, stmtPrefix, stmtText, "\n}")
	if err != nil {
		return err
	}
	if len(stmtFile.Decls) != 1 {
		return p.refusal(stmtFile.Decls[1].Pos(), "unexpected } outside any block")
	}
	var units []*unit
	for _, d := range declFile.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			for _, s := range g.Specs {
				p.imports = append(p.imports, s.(*ast.ImportSpec))
				p.inCell[s] = i
			}
			continue
		}
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && (f.Name.Name == "main" || f.Name.Name == "init") {
			return p.refusal(f.Pos(), "a recipe has its own func %s: say what it does in the cell itself", f.Name.Name)
		}
		units = append(units, &unit{cell: i, decl: d})
	}
	body := stmtFile.Decls[0].(*ast.FuncDecl).Body
	for _, s := range body.List {
		if _, empty := s.(*ast.EmptyStmt); !empty {
			units = append(units, &unit{cell: i, stmt: s})
		}
	}
	slices.SortFunc(units, func(a, b *unit) int { return p.offset(a.node().Pos()) - p.offset(b.node().Pos()) })
	p.extents(units, src, append(declFile.Comments, stmtFile.Comments...))
	p.units = append(p.units, units...)
	return nil
}

func (u *unit) node() ast.Node {
	if u.decl != nil {
		return u.decl
	}
	return u.stmt
}

// extents gives each unit the comments before it, and behind it on its last line. Comments after the last unit are its.
func (p *program) extents(units []*unit, src string, comments []*ast.CommentGroup) {
	at := 0
	for k, u := range units {
		u.from, u.to = p.offset(u.node().Pos()), p.offset(u.node().End())
		limit := len(src)
		if k+1 < len(units) {
			limit = p.offset(units[k+1].node().Pos())
		}
		// Comments of one file may stand within what is a unit of the other: only those in the gaps count.
		for _, c := range comments {
			for _, line := range c.List {
				from, to := p.offset(line.Pos()), p.offset(line.End())
				switch {
				case from >= at && to <= u.from && onlyComments(between(src, to, u.from)):
					u.from = min(u.from, from)
				case from >= u.to && to <= limit && (!strings.Contains(src[u.to:from], "\n") || k+1 == len(units)):
					u.to = max(u.to, to)
				}
			}
		}
		at = u.to
	}
}

func between(src string, from, to int) string { return src[from:max(from, to)] }

// onlyComments says whether a text has nothing but comments, blanks and semicolons.
func onlyComments(text string) bool {
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", -1, len(text)), []byte(text), func(token.Position, string) {}, 0)
	for {
		switch _, tok, _ := s.Scan(); tok {
		case token.EOF:
			return true
		case token.SEMICOLON:
		default:
			return false
		}
	}
}

func (p *program) parseFile(cell int, prefix, text, suffix string) (*ast.File, error) {
	f, err := parser.ParseFile(p.fset, "", prefix+text+suffix, parser.ParseComments|parser.SkipObjectResolution)
	if f != nil {
		p.files[p.fset.File(f.FileStart)] = origin{cell, len(prefix)}
	}
	var list scanner.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		offset, msg := list[0].Pos.Offset-len(prefix), list[0].Msg
		if offset >= len(strings.TrimRight(text, " \t\n")) {
			if head, _, ok := strings.Cut(msg, ", found "); ok {
				msg = head + ", found the end of the cell"
			}
		}
		return nil, p.refuseAt(cell, min(max(0, offset), len(text)), "syntax error: "+msg)
	}
	return f, err
}

// offset is a position's place in its cell's text.
func (p *program) offset(pos token.Pos) int {
	f := p.fset.File(pos)
	return max(0, f.Offset(pos)-p.files[f].prefix)
}

func (p *program) refusal(pos token.Pos, format string, args ...any) error {
	return p.refuseAt(p.files[p.fset.File(pos)].cell, p.offset(pos), fmt.Sprintf(format, args...))
}

func (p *program) refuseAt(cell, offset int, what string) error {
	src := p.notebook.Cells[cell].Source
	line := 1 + strings.Count(src[:min(offset, len(src))], "\n")
	return &cellError{fmt.Sprintf("%s, line %d: %s", p.notebook.cell(cell), line, what)}
}

// index finds what the units declare.
func (p *program) index() error {
	for _, u := range p.units {
		if d, ok := u.decl.(*ast.FuncDecl); ok {
			if recv := cellsplit.Receiver(d); recv != "" {
				p.methods[recv] = append(p.methods[recv], u)
				continue
			}
		}
		u.names = cellsplit.Names(u.decl)
		for _, n := range u.names {
			if n != "_" {
				p.decls[n] = u
			}
		}
		for _, id := range declaredBy(u.stmt) {
			if id.Name == "dsl" {
				return p.refusal(id.Pos(), "a recipe has the verbs under the name dsl: rename the variable")
			}
			if id.Name != "_" {
				p.vars[id.Name] = append(p.vars[id.Name], u)
			}
		}
	}
	if u := p.decls["dsl"]; u != nil {
		return p.refusal(u.decl.Pos(), "a recipe has the verbs under the name dsl: rename this")
	}
	return nil
}

// declaredBy lists the names on the left of := and those of a var declaration. Some of := may be old.
func declaredBy(s ast.Stmt) []*ast.Ident {
	var ids []*ast.Ident
	switch s := s.(type) {
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE {
			for _, l := range s.Lhs {
				if id, ok := l.(*ast.Ident); ok {
					ids = append(ids, id)
				}
			}
		}
	case *ast.DeclStmt:
		if g, ok := s.Decl.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, spec := range g.Specs {
				ids = append(ids, spec.(*ast.ValueSpec).Names...)
			}
		}
	}
	return ids
}

// check type-checks the notebook as one package: its declarations, and all statements in one function. A cell that
// declares a variable anew stands in a block of its own, with all that follow it. Mistakes are kept with their units,
// since what is left out need not compile.
func (p *program) check(lifted map[string]types.Type) error {
	importer := symbols.NewImporter(p.fset)
	dsl, err := importer.Import(dslPath)
	if err != nil {
		return err
	}
	p.dsl, p.pkg = dsl, types.NewPackage(mainPath, "main")
	p.info = &types.Info{Scopes: map[ast.Node]*types.Scope{}, Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{}}
	file := &ast.File{Name: ast.NewIdent("main")}
	taken := map[string]bool{"main": true}
	seen := map[string]bool{}
	for _, s := range p.imports {
		name := ""
		if s.Name != nil {
			name = s.Name.Name
		}
		if name == "." && s.Path.Value != `"`+dslPath+`"` {
			return p.refusal(s.Pos(), "a dot import other than that of the verbs: import %s by its name", s.Path.Value)
		}
		if id := name + " " + s.Path.Value; !seen[id] && name != "." {
			seen[id] = true
			file.Decls = append(file.Decls, &ast.GenDecl{Tok: token.IMPORT, TokPos: s.Pos(), Specs: []ast.Spec{s}})
		}
	}
	var outer, block []ast.Stmt
	var blocks [][]ast.Stmt
	declared := map[string]int{} // variable to cell
	cell := -1
	for _, u := range p.units {
		u.err = nil
		if u.decl != nil {
			current := true
			for _, n := range u.names {
				taken[n] = true
				current = current && (n == "_" || p.decls[n] == u)
			}
			if f, ok := u.decl.(*ast.FuncDecl); ok {
				current = current && p.lastMethod(u, f)
			}
			if current {
				file.Decls = append(file.Decls, u.decl)
			}
			continue
		}
		anew := false
		for _, id := range declaredBy(u.stmt) {
			if c, ok := declared[id.Name]; ok && c != u.cell && id.Name != "_" {
				anew = true
			}
			declared[id.Name] = u.cell
		}
		if anew && u.cell != cell {
			blocks = append(blocks, block)
			block = nil
			cell = u.cell
		}
		block = append(block, u.stmt)
	}
	for i := len(blocks) - 1; i >= 0; i-- {
		block = append(blocks[i], &ast.BlockStmt{Lbrace: first(block), List: block, Rbrace: first(block)})
	}
	outer = append(outer, block...)
	file.Decls = append(file.Decls, &ast.FuncDecl{Name: ast.NewIdent("main"), Type: &ast.FuncType{Params: &ast.FieldList{}},
		Body: &ast.BlockStmt{List: outer}})
	for name, t := range lifted {
		p.pkg.Scope().Insert(types.NewVar(token.NoPos, p.pkg, name, t))
		taken[name] = true
	}
	for _, n := range dsl.Scope().Names() {
		if obj := dsl.Scope().Lookup(n); obj.Exported() && !taken[n] {
			p.pkg.Scope().Insert(obj)
		}
	}
	meant := misspelt.Checked{Files: []*ast.File{file}, Info: p.info, Scope: p.pkg.Scope()}
	config := types.Config{Importer: importer, GoVersion: "go1.26", Sizes: types.SizesFor("gc", "amd64"), Error: func(err error) { p.blame(err, meant) }}
	_ = types.NewChecker(&config, p.fset, p.pkg, p.info).Files([]*ast.File{file}) // what is wrong went to blame
	return nil
}

func first(list []ast.Stmt) token.Pos {
	if len(list) == 0 {
		return token.NoPos
	}
	return list[0].Pos()
}

// lastMethod says whether no later cell declares the method anew.
func (p *program) lastMethod(u *unit, f *ast.FuncDecl) bool {
	recv := cellsplit.Receiver(f)
	if recv == "" {
		return true
	}
	list := p.methods[recv]
	for _, other := range list[slices.Index(list, u)+1:] {
		if other.decl.(*ast.FuncDecl).Name.Name == f.Name.Name {
			return false
		}
	}
	return true
}

// blame keeps a type error with the unit that it is in. Unused variables and imports are no mistakes in a notebook.
func (p *program) blame(err error, meant misspelt.Checked) {
	var te types.Error
	if !errors.As(err, &te) || te.Soft || !te.Pos.IsValid() {
		return
	}
	for _, u := range p.units {
		if n := u.node(); te.Pos >= n.Pos() && te.Pos <= n.End() && u.err == nil {
			u.err = p.refusal(te.Pos, "%s%s", te.Msg, misspelt.Ask(meant.Meant(te)))
			return
		}
	}
}

// lift finds the variables of the notebook that its functions use.
func (p *program) lift() bool {
	for _, u := range p.units {
		f, ok := u.decl.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if ok && p.vars[id.Name] != nil && p.info.Uses[id] == nil && p.info.Defs[id] == nil {
				p.lifted[id.Name] = true
			}
			return true
		})
	}
	return len(p.lifted) > 0
}

// typeOf is the type of the variable's first declaration.
func (p *program) typeOf(name string) types.Type {
	for _, u := range p.vars[name] {
		for _, id := range declaredBy(u.stmt) {
			if id.Name == name {
				if v, ok := p.info.ObjectOf(id).(*types.Var); ok && v.Type() != nil {
					return v.Type()
				}
			}
		}
	}
	return types.Typ[types.Invalid]
}

// variable is the name of the notebook's variable that an identifier means, or "".
func (p *program) variable(id *ast.Ident) string {
	if p.vars[id.Name] == nil {
		return ""
	}
	v, ok := p.info.ObjectOf(id).(*types.Var)
	if !ok {
		return ""
	}
	if v.IsField() || v.Pkg() != p.pkg {
		return ""
	}
	if v.Parent() == p.pkg.Scope() {
		return id.Name
	}
	for _, u := range p.vars[id.Name] {
		for _, d := range declaredBy(u.stmt) {
			if p.info.Defs[d] == v {
				return id.Name
			}
		}
	}
	return ""
}

// verb is the name of the dsl's function that a call calls, or "".
func (p *program) verb(call *ast.CallExpr) string {
	var id *ast.Ident
	switch f := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		id = f
	case *ast.SelectorExpr:
		id = f.Sel
	default:
		return ""
	}
	f, ok := p.info.Uses[id].(*types.Func)
	if !ok || f.Pkg() != p.dsl || f.Signature().Recv() != nil {
		return ""
	}
	return f.Name()
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
