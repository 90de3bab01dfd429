package recipe

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"banter/internal/problem"
)

// FreezeOptions says how a notebook becomes a recipe. The zero value works.
type FreezeOptions struct {
	// Folder is where the notebook's relative paths begin, and Root where the recipe's do: the folder in which it will be
	// run. Where both are set and differ, literal paths are rewritten.
	Folder, Root string
}

// Frozen is a recipe made of a notebook.
type Frozen struct {
	Source []byte   // gofmt'ed
	Left   []string // what was left out, by cell
	Notes  []string // what the author should know
}

// Freeze cuts a notebook down to what reaches its outputs, as a Go program. It refuses notebooks that were not run from
// top to bottom, and values that only a notebook has, with the cells named.
func Freeze(nb *Notebook, o FreezeOptions) (*Frozen, error) {
	p, err := analyse(nb)
	if err == nil {
		err = p.slice()
	}
	var f *freezer
	if err == nil {
		f = &freezer{program: p, options: o, taken: map[string]bool{}, frozen: &Frozen{}}
		err = f.write()
	}
	if err != nil {
		return nil, &problem.Error{Op: "freeze", Err: err}
	}
	return f.frozen, nil
}

type freezer struct {
	*program
	options FreezeOptions
	frozen  *Frozen
	imports map[string]string // path to name; an empty name is the package's own
	taken   map[string]bool   // variables that the function already has
	edits   []edit            // of the unit that is being written
	paths   map[token.Pos]string
	read    map[string]bool // variables that something kept reads
}

// edit replaces bytes of a cell's text.
type edit struct {
	from, to int
	text     string
}

func (f *freezer) write() error {
	f.widenLifted()
	f.read = map[string]bool{}
	for _, u := range f.units {
		if u.keep {
			for n := range u.uses {
				f.read[n] = true
			}
		}
	}
	f.imports = map[string]string{dslPath: ""}
	for _, u := range f.units {
		if u.keep {
			f.collectImports(u.node())
		}
	}
	f.findPaths()
	paramsAt, paramsName := f.params()
	if paramsAt != nil && !paramsAt.keep {
		paramsAt = nil
	}
	var top, body bytes.Buffer
	title := ""
	var pending []string // markdown that waits for what it introduces
	flush := func(w *bytes.Buffer, indent string) {
		for i, text := range pending {
			if i > 0 {
				w.WriteString("\n")
			}
			w.WriteString(commented(text, indent))
			if i < len(pending)-1 {
				w.WriteString("\n")
			}
		}
		pending = nil
	}
	paramsText, byFunc := "", false
	for i, c := range f.notebook.Cells {
		if c.Kind == Markdown {
			if !f.introduces(i) {
				continue
			}
			text := strings.TrimSpace(c.Source)
			if text == "" {
				continue
			}
			if title == "" && top.Len() == 0 && body.Len() == 0 && len(pending) == 0 && paramsText == "" {
				title = text
				continue
			}
			pending = append(pending, text)
			continue
		}
		if c.Kind != Code {
			continue
		}
		var decls, stmts []*unit
		for _, u := range f.units {
			if u.cell == i && u.keep {
				if u.decl != nil {
					decls = append(decls, u)
				} else {
					stmts = append(stmts, u)
				}
			}
		}
		if left := f.leftOut(i); left != "" {
			f.frozen.Left = append(f.frozen.Left, left)
		}
		if paramsAt != nil && paramsAt.cell == i {
			stmts = slices.DeleteFunc(stmts, func(u *unit) bool { return u == paramsAt })
			text, err := f.text(paramsAt)
			if err != nil {
				return err
			}
			paramsText = text
		}
		for _, u := range decls {
			text, err := f.text(u)
			if err != nil {
				return err
			}
			if len(stmts) == 0 {
				flush(&top, "")
			}
			top.WriteString(strings.TrimSpace(text) + "\n\n")
		}
		if len(stmts) == 0 {
			continue
		}
		if body.Len() > 0 {
			body.WriteString("\n")
		}
		introduced := len(pending) > 0
		flush(&body, "\t\t")
		for k, u := range stmts {
			text, err := f.text(u)
			if err != nil {
				return err
			}
			byFunc = byFunc || f.filtersByFunc(u)
			if strings.TrimSpace(text) == "" {
				continue
			}
			if k > 0 && f.apart(stmts[k-1], u) || k == 0 && introduced && strings.HasPrefix(text, "/*") {
				body.WriteString("\n")
			}
			body.WriteString("\t\t" + text + "\n")
		}
	}
	if len(pending) > 0 {
		body.WriteString("\n")
		flush(&body, "\t\t")
	}
	if title == "" {
		title = "A recipe that was frozen from a notebook."
	}
	source, embed := f.freeName("source"), f.freeName("embed")
	if byFunc {
		f.imports["embed"] = strings.TrimPrefix(embed, "embed")
	}
	var b bytes.Buffer
	b.WriteString(commented(title, ""))
	b.WriteString("package main\n\nimport (\n")
	for _, path := range sortedNames(f.imports) {
		name := f.imports[path]
		if name != "" {
			name += " "
		}
		fmt.Fprintf(&b, "\t%s%q\n", name, path)
	}
	b.WriteString(")\n\n")
	if byFunc {
		fmt.Fprintf(&b, "// The functions that filter are remembered by their text, which a compiled recipe carries along.\n//\n//go:embed *.go\nvar %s %s.FS\n\n", source, embed)
	}
	b.Write(top.Bytes())
	for _, name := range sortedNames(f.lifted) {
		if name != paramsName || paramsAt == nil {
			if f.keptVariable(name) {
				fmt.Fprintf(&b, "var %s %s\n", name, f.qualified(f.typeOf(name)))
			}
		} else {
			fmt.Fprintf(&b, "var %s Params\n", name)
		}
	}
	b.WriteString("\nfunc main() {\n")
	if paramsAt != nil {
		fmt.Fprintf(&b, "\t%s\n\tdsl.Main(&%s, func() {\n", paramsText, paramsName)
	} else {
		b.WriteString("\tdsl.Main(nil, func() {\n")
	}
	b.Write(body.Bytes())
	if byFunc {
		fmt.Fprintf(&b, "\t}, dsl.Source(%s))\n}\n", source)
	} else {
		b.WriteString("\t})\n}\n")
	}
	src, err := format.Source(b.Bytes())
	if err != nil {
		return fmt.Errorf("what was made of it does not parse: %w", err)
	}
	if err := check("recipe.go", src); err != nil {
		return fmt.Errorf("what was made of it does not compile: %w", err)
	}
	f.frozen.Source = src
	return nil
}

// introduces says whether a markdown cell is kept: unless all code up to the next markdown cell is left out.
func (f *freezer) introduces(i int) bool {
	code := false
	if !slices.ContainsFunc(f.notebook.Cells[:i], func(c Cell) bool { return c.Kind == Markdown }) {
		return true // the title
	}
	for k := i + 1; k < len(f.notebook.Cells) && f.notebook.Cells[k].Kind != Markdown; k++ {
		if slices.ContainsFunc(f.units, func(u *unit) bool { return u.cell == k }) {
			code = true
			if f.matters(k) {
				return true
			}
		}
	}
	return !code
}

// commented is text as a comment.
func commented(text, indent string) string {
	var b strings.Builder
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(strings.Map(printable, line), " \t")
		if strings.HasPrefix(strings.TrimSpace(line), "+build") {
			line = "\\" + line // which Go would take for a build constraint
		}
		b.WriteString(strings.TrimRight(indent+"// "+line, " ") + "\n")
	}
	return b.String()
}

// printable takes what a source must not hold, or would hide what it says, out of a text.
func printable(r rune) rune {
	if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff {
		return 0xfffd
	}
	return r
}

var emptyLine = regexp.MustCompile(`\n[ \t]*\n`)

// apart says whether the notebook has an empty line between two statements of a cell.
func (f *freezer) apart(a, b *unit) bool {
	src := f.notebook.Cells[a.cell].Source
	return emptyLine.MatchString(between(src, a.to, b.from))
}

// leftOut says what of a cell was left out.
func (f *freezer) leftOut(cell int) string {
	left, first := 0, ""
	for _, u := range f.units {
		if u.cell != cell || u.keep {
			continue
		}
		if left++; first == "" {
			text := f.notebook.Cells[cell].Source
			first, _, _ = strings.Cut(strings.TrimSpace(text[f.offset(u.node().Pos()):min(len(text), f.offset(u.node().End()))]), "\n")
		}
	}
	switch {
	case left == 0:
		return ""
	case left == 1:
		return fmt.Sprintf("%s: %s", f.notebook.cell(cell), first)
	}
	return fmt.Sprintf("%s: %s, and %d more", f.notebook.cell(cell), first, left-1)
}

// widenLifted makes variables that are declared together with a package variable package variables too: one := cannot do
// both.
func (f *freezer) widenLifted() {
	for again := true; again; {
		again = false
		for _, u := range f.units {
			s, ok := u.stmt.(*ast.AssignStmt)
			if !ok || s.Tok != token.DEFINE || !u.keep {
				continue
			}
			any := false
			for _, id := range declaredBy(s) {
				any = any || f.lifted[id.Name]
			}
			for _, id := range declaredBy(s) {
				if any && id.Name != "_" && !f.lifted[id.Name] {
					f.lifted[id.Name], again = true, true
				}
			}
		}
	}
}

// freeName is a name for something that the recipe declares and the notebook does not.
func (f *freezer) freeName(name string) string {
	for f.pkg.Scope().Lookup(name) != nil {
		name = "its" + strings.ToUpper(name[:1]) + name[1:]
	}
	return name
}

// filtersByFunc says whether a unit has a Filter with a function.
func (f *freezer) filtersByFunc(u *unit) bool {
	found := false
	ast.Inspect(u.node(), func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && f.verb(call) == "Filter" {
			for _, a := range call.Args[min(1, len(call.Args)):] {
				if t := f.info.TypeOf(a); t != nil {
					_, isFunc := t.Underlying().(*types.Signature)
					found = found || isFunc
				}
			}
		}
		return !found
	})
	return found
}

// keptVariable says whether something kept sets or reads a variable.
func (f *freezer) keptVariable(name string) bool {
	return slices.ContainsFunc(f.units, func(u *unit) bool { return u.keep && (u.sets[name] || u.uses[name]) })
}

// qualified is a type as the recipe writes it.
func (f *freezer) qualified(t types.Type) string {
	return types.TypeString(t, func(other *types.Package) string {
		if other == f.pkg {
			return ""
		}
		if _, ok := f.imports[other.Path()]; !ok {
			f.imports[other.Path()] = ""
		}
		if name := f.imports[other.Path()]; name != "" {
			return name
		}
		return other.Name()
	})
}

// collectImports notes the packages that a node names.
func (f *freezer) collectImports(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			if pkg, ok := f.info.Uses[id].(*types.PkgName); ok {
				name := ""
				if pkg.Name() != pkg.Imported().Name() {
					name = pkg.Name()
				}
				f.imports[pkg.Imported().Path()] = name
			}
		}
		return true
	})
}

// text is a unit as the recipe has it.
func (f *freezer) text(u *unit) (string, error) {
	f.edits = nil
	if u.stmt != nil {
		if err := f.editStatement(u); err != nil {
			return "", err
		}
	}
	f.editNames(u.node())
	f.editParams(u)
	src := f.notebook.Cells[u.cell].Source
	slices.SortStableFunc(f.edits, func(a, b edit) int { return a.from - b.from })
	var b strings.Builder
	at := u.from
	for _, e := range f.edits {
		if e.from < at {
			continue // inside what another edit took out
		}
		b.WriteString(src[at:e.from])
		b.WriteString(e.text)
		at = e.to
	}
	if at <= u.to {
		b.WriteString(src[at:u.to])
	}
	return strings.Map(func(r rune) rune {
		if r == '\r' {
			return -1
		}
		return r
	}, b.String()), nil
}

func (f *freezer) replace(from, to token.Pos, text string) {
	f.edits = append(f.edits, edit{f.offset(from), f.offset(to), text})
}

// editNames gives the dsl's names their package, and rewrites paths.
func (f *freezer) editNames(n ast.Node) {
	selected := map[*ast.Ident]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			selected[n.Sel] = true
		case *ast.CallExpr:
			if at, ok := f.chosen[n]; ok {
				f.replace(n.Args[0].End(), n.Rparen, fmt.Sprintf(", %g", at))
				f.frozen.Notes = append(f.frozen.Notes, fmt.Sprintf("%s: %g was chosen in Explore, and is written down", f.notebook.cell(f.cellOf(n)), at))
			}
		case *ast.BasicLit:
			if to, ok := f.paths[n.Pos()]; ok {
				f.replace(n.Pos(), n.End(), strconv.Quote(to))
			}
		case *ast.Ident:
			obj := f.info.Uses[n]
			if obj != nil && obj.Pkg() == f.dsl && obj.Parent() == f.dsl.Scope() && !selected[n] {
				f.replace(n.Pos(), n.Pos(), "dsl.")
			}
		}
		return true
	})
}

// cellOf is the cell that a node stands in.
func (f *freezer) cellOf(n ast.Node) int { return f.files[f.fset.File(n.Pos())].cell }

// editParams gives fields of Params that have a comment but no help tag the comment as their help.
func (f *freezer) editParams(u *unit) {
	g, ok := u.decl.(*ast.GenDecl)
	if !ok || g.Tok != token.TYPE {
		return
	}
	for _, s := range g.Specs {
		ts := s.(*ast.TypeSpec)
		st, ok := ts.Type.(*ast.StructType)
		if !ok || ts.Name.Name != "Params" {
			continue
		}
		for _, field := range st.Fields.List {
			doc := field.Comment
			if doc == nil {
				doc = field.Doc
			}
			if field.Tag != nil || doc == nil {
				continue
			}
			help := strings.Join(strings.Fields(doc.Text()), " ")
			if help == "" || strings.Contains(help, "`") {
				continue
			}
			tag := "`help:" + strconv.Quote(help) + "`"
			f.replace(field.Type.End(), field.Type.End(), " "+tag)
			if field.Comment != nil {
				f.replace(field.Comment.Pos(), field.Comment.End(), "")
			}
		}
	}
}

// editStatement makes a statement stand in the recipe's function: variables that nothing reads go, and := becomes = where
// nothing on its left is new there.
func (f *freezer) editStatement(u *unit) error {
	switch s := u.stmt.(type) {
	case *ast.AssignStmt:
		if s.Tok != token.DEFINE && s.Tok != token.ASSIGN {
			return nil
		}
		fresh, unread := false, 0
		for _, l := range s.Lhs {
			id, ok := l.(*ast.Ident)
			if !ok {
				continue
			}
			switch {
			case id.Name == "_":
				unread++
			case f.variable(id) == "":
			case !f.read[id.Name] && !f.held(id.Name):
				unread++
				f.replace(id.Pos(), id.End(), "_")
			case f.taken[id.Name] || f.lifted[id.Name]:
			default:
				fresh = true
				f.taken[id.Name] = true
				if !f.read[id.Name] { // what is only set in part would be an unused variable
					f.edits = append(f.edits, edit{u.to, u.to, "\n\t\t_ = " + id.Name})
				}
				if s.Tok == token.ASSIGN { // what declared it is left out
					if len(s.Lhs) > 1 || !f.gives(s.Rhs[0], f.info.TypeOf(id)) {
						f.replace(s.Pos(), s.Pos(), fmt.Sprintf("var %s %s\n\t\t", id.Name, f.qualified(f.info.TypeOf(id))))
					} else {
						f.replace(s.TokPos, s.TokPos+1, ":=")
					}
				}
			}
		}
		if unread == len(s.Lhs) && len(s.Rhs) == 1 && f.isCall(s.Rhs[0]) {
			f.edits = nil
			f.replace(s.Pos(), s.Rhs[0].Pos(), "")
		} else if s.Tok == token.DEFINE && !fresh {
			f.replace(s.TokPos, s.TokPos+2, "=")
		}
	case *ast.DeclStmt:
		g, ok := s.Decl.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			return nil
		}
		return f.editVar(u, g)
	case *ast.ExprStmt:
		if !f.isCall(s.X) {
			f.replace(s.Pos(), s.Pos(), "_ = ")
		}
	}
	return nil
}

// held says whether something kept changes a variable in part, so that it has to be there.
func (f *freezer) held(name string) bool {
	return slices.ContainsFunc(f.units, func(u *unit) bool { return u.keep && u.holds[name] })
}

// gives says whether := with a value makes a variable of type t.
func (f *freezer) gives(value ast.Expr, t types.Type) bool {
	tv := f.info.Types[value]
	if tv.Value == nil {
		return tv.Type != nil && types.Identical(tv.Type, t)
	}
	lit, ok := ast.Unparen(value).(*ast.BasicLit)
	if !ok {
		return false
	}
	kinds := map[token.Token]types.BasicKind{token.INT: types.Int, token.FLOAT: types.Float64, token.STRING: types.String, token.CHAR: types.Int32, token.IMAG: types.Complex128}
	return types.Identical(t, types.Typ[kinds[lit.Kind]])
}

func (f *freezer) isCall(x ast.Expr) bool {
	call, ok := ast.Unparen(x).(*ast.CallExpr)
	return ok && !f.info.Types[call.Fun].IsType() && !f.info.Types[call.Fun].IsBuiltin()
}

// editVar writes a var declaration of which some variables are the package's, there already, or read by nothing.
func (f *freezer) editVar(u *unit, g *ast.GenDecl) error {
	plainly := true
	for _, spec := range g.Specs {
		for _, id := range spec.(*ast.ValueSpec).Names {
			if id.Name == "_" {
				continue
			}
			if f.lifted[id.Name] || f.taken[id.Name] || !f.read[id.Name] && !f.held(id.Name) {
				plainly = false
			}
		}
	}
	if plainly {
		for _, spec := range g.Specs {
			for _, id := range spec.(*ast.ValueSpec).Names {
				f.taken[id.Name] = true
				if id.Name != "_" && !f.read[id.Name] {
					f.edits = append(f.edits, edit{u.to, u.to, "\n\t\t_ = " + id.Name})
				}
			}
		}
		return nil
	}
	if len(g.Specs) != 1 || g.Lparen.IsValid() {
		return f.refusal(g.Pos(), "a group of variables of which some are used by functions, or by nothing that is kept: declare them one by one")
	}
	spec := g.Specs[0].(*ast.ValueSpec)
	if len(spec.Names) != 1 {
		return f.refusal(g.Pos(), "several variables of which some are used by functions, or by nothing that is kept: declare them one by one")
	}
	id := spec.Names[0]
	switch there := f.lifted[id.Name] || f.taken[id.Name]; {
	case len(spec.Values) == 1 && there:
		f.replace(g.Pos(), spec.Values[0].Pos(), id.Name+" = ")
	case len(spec.Values) == 1 && f.isCall(spec.Values[0]):
		f.replace(g.Pos(), spec.Values[0].Pos(), "")
	case len(spec.Values) == 1:
		f.replace(g.Pos(), id.End(), "var _")
	case there:
		f.replace(g.Pos(), g.End(), fmt.Sprintf("%s = *new(%s)", id.Name, f.qualified(f.typeOf(id.Name))))
	default:
		f.replace(g.Pos(), g.End(), "")
	}
	return nil
}

// plain is an error of the file system without the path that the caller names.
func plain(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// rebase is a relative path that begins in one folder, as it is seen from another.
func rebase(path, from, to string) (string, bool) {
	if filepath.IsAbs(path) || path == "" || from == "" || to == "" {
		return path, false
	}
	rel, err := filepath.Rel(to, filepath.Join(from, path))
	if err != nil || filepath.Clean(from) == filepath.Clean(to) {
		return path, false
	}
	return filepath.ToSlash(rel), true
}
