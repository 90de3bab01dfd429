package cell

import (
	"go/ast"
	"go/constant"
	"go/types"
	"strings"
)

// special names what stands for a compiled function that must not act on the process, or that an interrupt must reach.
func (l *lowering) special(f *types.Func) string {
	switch f.FullName() {
	case "os.Exit":
		return l.alias(supportPath) + ".Exit"
	case "log.Fatal", "log.Fatalf", "log.Fatalln":
		return l.alias(supportPath) + "." + f.Name()
	case "time.Sleep":
		return l.alias(supportPath) + ".Sleep"
	}
	return ""
}

// checkFormat refuses formats that show the names of types: the interpreter's types have none.
func (l *lowering) checkFormat(x *ast.CallExpr) {
	sel, ok := ast.Unparen(x.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	f, ok := l.object(sel.Sel).(*types.Func)
	if !ok || f.Pkg() == nil || f.Pkg().Path() != "fmt" && f.Pkg().Path() != "log" || !strings.HasSuffix(f.Name(), "f") {
		return
	}
	at := 0
	if f.Name() == "Fprintf" || f.Name() == "Appendf" {
		at = 1
	}
	own := false
	for _, a := range x.Args[min(at+1, len(x.Args)):] {
		own = own || mentionsMain(l.typeOf(a), map[types.Type]bool{})
	}
	if !own || at >= len(x.Args) {
		return
	}
	v := l.info.Types[x.Args[at]].Value
	if v == nil {
		refuse(x.Pos(), "%s with a format that is not constant for a value of a type of the cell yet", f.FullName())
	}
	format := constant.StringVal(v)
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		sharp := false
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.*[]", format[i]) >= 0; i++ {
			sharp = sharp || format[i] == '#'
		}
		if i < len(format) && (format[i] == 'T' || sharp && format[i] == 'v') {
			refuse(x.Pos(), "%s of %%%s for a value of a type of the cell yet: the type would be shown without its name", f.FullName(), map[bool]string{true: "#v", false: "T"}[sharp])
		}
	}
}

// argument lowers the i-th argument of a call.
func (l *lowering) argument(x *ast.CallExpr, i int, a ast.Expr) string { return l.expr(a) }
