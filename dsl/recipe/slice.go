package recipe

import (
	"fmt"
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// slice marks what reaches an output, and refuses what cannot be trusted to be what the notebook showed.
func (p *program) slice() error {
	live := map[string]bool{}
	any := false
	for i := len(p.units) - 1; i >= 0; i-- {
		u := p.units[i]
		if u.stmt == nil {
			continue
		}
		u.keep = u.sink
		for n := range u.sets {
			u.keep = u.keep || live[n]
		}
		if !u.keep {
			continue
		}
		any = true
		for n := range u.kills {
			delete(live, n)
		}
		for n := range u.uses {
			live[n] = true
		}
		for n := range u.holds {
			live[n] = true
		}
	}
	if !any {
		return &cellError{"nothing in this notebook reaches an output: say Train, Eval, Export or Report, or name what it is about with Output(...)"}
	}
	p.keepDeclarations()
	for _, refuse := range []func() error{p.refuseErrors, p.refuseParamEdits, p.refuseOrder, p.refuseAnew, p.settleChoices} {
		if err := refuse(); err != nil {
			return err
		}
	}
	return nil
}

// keepDeclarations keeps the functions, types and constants that what is kept uses.
func (p *program) keepDeclarations() {
	for again := true; again; {
		again = false
		for _, u := range p.units {
			if !u.keep {
				continue
			}
			for n := range u.uses {
				d := p.decls[n]
				if d == nil {
					continue
				}
				if !d.keep {
					d.keep, again = true, true
				}
				for _, name := range d.names {
					for _, m := range p.methods[name] {
						if !m.keep && p.lastMethod(m, m.decl.(*ast.FuncDecl)) {
							m.keep, again = true, true
						}
					}
				}
			}
		}
	}
}

func (p *program) refuseErrors() error {
	for _, u := range p.units {
		if !u.keep {
			continue
		}
		if u.err != nil {
			if name := notebookOnly(u.err.Error()); name != "" {
				return &cellError{fmt.Sprintf("%s: %s is there in notebooks only: write what it gave as a literal", p.notebook.cell(u.cell), name)}
			}
			return u.err
		}
		if g, ok := u.stmt.(*ast.GoStmt); ok {
			return p.refusal(g.Pos(), "a go statement reaches an output: a recipe says one step after the other")
		}
		if l, ok := u.stmt.(*ast.LabeledStmt); ok {
			return p.refusal(l.Pos(), "a label outside any function: put the loop into a function")
		}
	}
	return nil
}

// notebookOnly is the function in an error about an undefined name that the kernel gives to notebooks, or "".
func notebookOnly(text string) string {
	_, name, ok := strings.Cut(text, "undefined: ")
	name, _, _ = strings.Cut(name, " (did you mean")
	if ok && slices.Contains([]string{"Display", "NewDisplay", "UpdateDisplay", "ClearOutput", "HTML", "Markdown", "SVG", "PNG", "Page", "Input", "Password", "Deps"}, name) {
		return name
	}
	return ""
}

// settleChoices finds what was chosen in each Explore that reaches an output, which the saved notebook tells, and refuses
// those of which it does not.
func (p *program) settleChoices() error {
	p.chosen = map[*ast.CallExpr]float64{}
	for i := range p.notebook.Cells {
		var calls []*ast.CallExpr // of the cell, in order
		kept := map[*ast.CallExpr]bool{}
		for _, u := range p.units {
			if u.cell != i {
				continue
			}
			ast.Inspect(u.node(), func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && p.verb(call) == "Explore" {
					calls = append(calls, call)
					kept[call] = u.keep
				}
				return true
			})
		}
		for k, call := range calls {
			if !kept[call] {
				continue
			}
			explores := p.notebook.Cells[i].Explores
			var found []float64
			if len(explores) == len(calls) { // none of them stands in a loop, and all were run
				found = p.choicesOf(explores[k])
			}
			switch {
			case len(call.Args) > 1 && len(found) == 0: // the notebook says it, and nothing speaks against it
			case len(found) == 0:
				return p.refusal(call.Pos(), "what is chosen in Explore reaches an output, and a recipe has nobody to choose: run the cells that use it and save the notebook, "+
					"or write the confidence that you chose as a literal, such as Filter(pairs, Confidence.AtLeast(0.6))")
			case len(found) > 1:
				return p.refusal(call.Pos(), "the cells that use what was chosen in Explore were run with %s: run them all again with the one that you want, "+
					"or write it as a literal: Confidence.AtLeast(%g)", numbers(found), found[len(found)-1])
			default:
				p.chosen[call] = found[0]
			}
		}
	}
	return nil
}

// choicesOf are the confidences that kept cells took from a picture of Explore, in the order in which they were run.
func (p *program) choicesOf(explore string) (found []float64) {
	for i, c := range p.notebook.Cells {
		if !slices.ContainsFunc(p.units, func(u *unit) bool { return u.cell == i && u.keep }) {
			continue
		}
		for _, choice := range c.Chosen {
			if choice.Explore == explore && !slices.Contains(found, choice.Confidence) {
				found = append(found, choice.Confidence)
			}
		}
	}
	return found
}

func numbers(list []float64) string {
	var parts []string
	for _, x := range list {
		parts = append(parts, fmt.Sprint(x))
	}
	return strings.Join(parts, " and ")
}

// acts says whether a cell does anything that another may depend on.
func (p *program) acts(cell int) bool {
	for _, u := range p.units {
		if u.cell == cell && (u.decl != nil || u.sink || u.keep || len(u.sets) > 0) {
			return true
		}
	}
	return false
}

// refuseOrder refuses a notebook whose cells were not run from top to bottom. One that was never run, or whose outputs
// and numbers were cleared, says nothing against its order. Cells that only show something may be run at any time.
func (p *program) refuseOrder() error {
	var cells []int
	seen := map[int]bool{}
	anyRun := false
	for _, u := range p.units {
		if !seen[u.cell] && p.acts(u.cell) {
			seen[u.cell] = true
			cells = append(cells, u.cell)
		}
		anyRun = anyRun || p.notebook.Cells[u.cell].Run > 0
	}
	if !anyRun {
		return nil
	}
	var wrong []string
	last := -1
	for _, c := range cells {
		run := p.notebook.Cells[c].Run
		switch {
		case run == 0:
			if p.matters(c) {
				wrong = append(wrong, p.notebook.cell(c)+" was not run since it was edited or the kernel started")
			}
			continue
		case last >= 0 && run < p.notebook.Cells[last].Run:
			if shared := p.shared(last, c); shared != "" {
				wrong = append(wrong, fmt.Sprintf("%s is stale: %s, which gives it %s, was run after it", p.notebook.cell(c), p.notebook.cell(last), shared))
			} else {
				wrong = append(wrong, fmt.Sprintf("%s was run before %s, which stands above it", p.notebook.cell(c), p.notebook.cell(last)))
			}
			continue
		}
		last = c
	}
	if len(wrong) == 0 {
		return nil
	}
	const most = 5
	if n := len(wrong); n > most {
		wrong = append(wrong[:most], fmt.Sprintf("and %d more", n-most))
	}
	return &cellError{"the notebook was not run from top to bottom: " + strings.Join(wrong, "; ") + ": restart the kernel, run all cells and save"}
}

// matters says whether something of a cell is kept.
func (p *program) matters(cell int) bool {
	return slices.ContainsFunc(p.units, func(u *unit) bool { return u.cell == cell && u.keep })
}

// shared names a variable or declaration of one cell that another uses, or is "".
func (p *program) shared(from, to int) string {
	made, used := map[string]bool{}, map[string]bool{}
	for _, u := range p.units {
		switch u.cell {
		case from:
			for _, n := range u.names {
				made[n] = true
			}
			for n := range u.sets {
				made[n] = true
			}
		case to:
			for n := range u.uses {
				used[n] = true
			}
		}
	}
	for _, n := range sortedNames(made) {
		if used[n] {
			return n
		}
	}
	return ""
}

// refuseAnew refuses a name that a cell declares anew after a kept cell used its earlier meaning: run again, that cell
// would use the new one.
func (p *program) refuseAnew() error {
	anew := map[string][]int{} // the cells that declare a name
	for _, u := range p.units {
		names := slices.Clone(u.names)
		for _, id := range declaredBy(u.stmt) {
			// On the left of := only what is new in its cell is declared; what an earlier cell declared is declared anew.
			names = append(names, id.Name)
		}
		for _, n := range names {
			if n != "_" && !slices.Contains(anew[n], u.cell) {
				anew[n] = append(anew[n], u.cell)
			}
		}
	}
	for _, u := range p.units {
		if !u.keep {
			continue
		}
		for _, n := range sortedNames(u.uses) {
			cells := anew[n]
			for _, c := range cells {
				if c > u.cell && u.stmt != nil && cells[0] <= u.cell {
					return &cellError{fmt.Sprintf("%s uses %s, which %s declares anew: %s is stale; give the later %s another name",
						p.notebook.cell(u.cell), n, p.notebook.cell(c), p.notebook.cell(u.cell), n)}
				}
			}
		}
	}
	// What is left of several declarations has to be of one type, since a recipe has one variable.
	for _, n := range sortedNames(p.vars) {
		var was types.Type
		cell := 0
		for _, u := range p.vars[n] {
			v := u.declares[n]
			if !u.keep || v == nil {
				continue
			}
			if was != nil && !types.Identical(was, v.Type()) {
				return &cellError{fmt.Sprintf("%s is a %s in %s and a %s in %s: give one of them another name", n, p.typeText(was), p.notebook.cell(cell), p.typeText(v.Type()), p.notebook.cell(u.cell))}
			}
			was, cell = v.Type(), u.cell
		}
		for _, u := range p.units {
			if d := p.decls[n]; d != nil && d.keep && u.keep && u.sets[n] {
				return &cellError{fmt.Sprintf("%s is a variable in %s and something else in %s: give one of them another name", n, p.notebook.cell(u.cell), p.notebook.cell(d.cell))}
			}
		}
	}
	return nil
}

func (p *program) typeText(t types.Type) string {
	return types.TypeString(t, func(other *types.Package) string {
		if other == p.pkg {
			return ""
		}
		return other.Name()
	})
}

// params finds the statement that makes the recipe's parameters: p := Params{...}, of a struct type Params of the
// notebook. It is nil where there is none, or where nothing kept uses it.
func (p *program) params() (*unit, string) {
	d := p.decls["Params"]
	if d == nil {
		return nil, ""
	}
	for _, u := range p.units {
		for n, v := range u.declares {
			named, ok := types.Unalias(v.Type()).(*types.Named)
			if ok && named.Obj().Name() == "Params" && named.Obj().Pkg() == p.pkg {
				if _, isStruct := named.Underlying().(*types.Struct); isStruct {
					return u, n
				}
			}
		}
	}
	return nil, ""
}

// refuseParamEdits refuses what a run's --param could not change.
func (p *program) refuseParamEdits() error {
	at, name := p.params()
	if at == nil {
		return nil
	}
	needed := false
	for _, u := range p.units {
		needed = needed || u.keep
	}
	if !needed {
		return nil
	}
	assign, ok := at.stmt.(*ast.AssignStmt)
	var lit *ast.CompositeLit
	if ok && len(assign.Lhs) == 1 && len(assign.Rhs) == 1 {
		lit, _ = ast.Unparen(assign.Rhs[0]).(*ast.CompositeLit)
	}
	if lit == nil {
		return p.refusal(at.stmt.Pos(), "the parameters of a recipe are made by %s := Params{...}, all in one literal", name)
	}
	for n := range at.uses {
		if p.vars[n] != nil {
			return p.refusal(at.stmt.Pos(), "the default of a parameter uses the variable %s: write it as a literal", n)
		}
	}
	for _, u := range p.units {
		if u != at && u.stmt != nil && u.keep && u.sets[name] {
			return p.refusal(u.stmt.Pos(), "%s is changed here, which would overrule --param: write the value into the literal in %s", name, p.notebook.cell(at.cell))
		}
	}
	st := at.declares[name].Type().Underlying().(*types.Struct)
	for i := range st.NumFields() {
		f := st.Field(i)
		if !f.Exported() || f.Embedded() {
			return p.refusal(at.stmt.Pos(), "the field %s of Params is not exported: a parameter begins with a capital letter", f.Name())
		}
		if basic, ok := f.Type().Underlying().(*types.Basic); !ok || basic.Info()&(types.IsString|types.IsInteger|types.IsFloat|types.IsBoolean) == 0 {
			return p.refusal(at.stmt.Pos(), "the field %s of Params is a %s: a parameter is a text, a number, a duration, true or false", f.Name(), p.typeText(f.Type()))
		}
	}
	at.keep = true
	p.keepDeclarations()
	return nil
}
