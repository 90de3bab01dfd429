package cell

import (
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// The interpreter says of each function that a panic passes through how it is called and where it begins. Where in it the
// call was is known by a variable of the function's own, which is set before each statement that calls or may fault
// without having been looked at, and which the function shows when it is left.

// places is what a function says about where it is.
type places struct {
	variable string
	check    int64 // of where the function begins
	stores   int
	last     string    // the text of the latest store
	only     token.Pos // where the latest store is
	leaf     bool      // it calls no function of the cells, and keeps no variable: its one place is where it begins
}

// Bits of a place: line, column and check, the last of which says whose place it is.
const (
	columnBits = 13
	checkBits  = 20
)

func checkOf(line, column int) int64 { return int64(line*31+column) & (1<<checkBits - 1) }

func (l *lowering) pack(pos token.Pos, check int64) int64 {
	p := l.e.fset.Position(pos)
	if !p.IsValid() {
		return 0
	}
	return int64(l.e.lineNumber(p))<<(columnBits+checkBits) | int64(min(p.Column, 1<<columnBits-1))<<checkBits | check
}

// unpack is where a place is, if it is one of the function that begins at line and column.
func (e *Evaluator) unpack(place int64, line, column int) (token.Position, bool) {
	if place == 0 || place&(1<<checkBits-1) != checkOf(line, column) {
		return token.Position{}, false
	}
	return e.lineOf(int(place>>(columnBits+checkBits)), int(place>>checkBits&(1<<columnBits-1))), true
}

// begin makes the places of a function whose first statement is at pos.
func (l *lowering) begin(pos token.Pos) *places {
	p := l.e.fset.Position(pos)
	if !p.IsValid() {
		return nil
	}
	return &places{variable: l.tmp("at"), check: checkOf(l.e.lineNumber(p), p.Column)}
}

// watched is what a function with the places p begins with, and its body: one place is known from the beginning.
func (l *lowering) watched(p *places, body string) (head, rest string) {
	k := l.alias(supportPath)
	head = k + ".Enter(); "
	if p == nil || p.stores == 0 {
		return head + "defer " + k + ".Leave(); ", body
	}
	at := "0"
	if p.stores == 1 {
		at = strings.TrimSuffix(strings.TrimPrefix(p.last, p.variable+" = "), "; ")
		body = strings.Replace(body, p.last, "", 1)
	}
	return head + p.variable + " := " + at + "; defer " + k + ".LeaveFrom(&" + p.variable + "); ", body
}

// store is the text that says that what follows is at pos.
func (l *lowering) store(pos token.Pos) string {
	if l.at == nil {
		return ""
	}
	place := l.pack(pos, l.at.check)
	if place == 0 {
		return ""
	}
	l.at.stores++
	l.at.only = pos
	if l.at.leaf {
		return ""
	}
	l.at.last = l.at.variable + " = " + strconv.FormatInt(place, 10) + "; "
	return l.at.last
}

// heads is what a statement evaluates itself: not the statements inside.
func heads(s ast.Stmt) []ast.Node {
	var list []ast.Node
	add := func(nodes ...ast.Node) { list = append(list, nodes...) }
	clauses := func(b *ast.BlockStmt) {
		for _, c := range b.List {
			switch c := c.(type) {
			case *ast.CaseClause:
				for _, x := range c.List {
					add(x)
				}
			case *ast.CommClause:
				if c.Comm != nil {
					add(c.Comm)
				}
			}
		}
	}
	if s == nil {
		return nil
	}
	switch s := s.(type) {
	case *ast.LabeledStmt:
		return heads(s.Stmt)
	case *ast.BlockStmt:
		return nil
	case *ast.IfStmt:
		if s.Init != nil {
			add(s.Init)
		}
		add(s.Cond)
		return append(list, heads(s.Else)...)
	case *ast.ForStmt:
		if s.Init != nil {
			add(s.Init)
		}
		return append(list, turns(s)...)
	case *ast.RangeStmt:
		add(s.X)
	case *ast.SwitchStmt:
		if s.Init != nil {
			add(s.Init)
		}
		if s.Tag != nil {
			add(s.Tag)
		}
		clauses(s.Body)
	case *ast.TypeSwitchStmt:
		if s.Init != nil {
			add(s.Init)
		}
		add(s.Assign)
	case *ast.SelectStmt:
		clauses(s.Body)
	default:
		add(s)
	}
	return list
}

// turns is what a loop evaluates in each of its turns besides its body.
func turns(s ast.Stmt) []ast.Node {
	var list []ast.Node
	if s, ok := s.(*ast.ForStmt); ok {
		if s.Cond != nil {
			list = append(list, s.Cond)
		}
		if s.Post != nil {
			list = append(list, s.Post)
		}
	}
	return list
}

// calls lists where nodes call functions.
func (l *lowering) calls(nodes []ast.Node) []token.Pos {
	var list []token.Pos
	for _, n := range nodes {
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.CallExpr:
				if l.info.Types[n.Fun].IsType() || l.info.Types[n.Fun].IsBuiltin() {
					return true
				}
				switch f := ast.Unparen(n.Fun).(type) {
				case *ast.SelectorExpr:
					list = append(list, f.Sel.Pos())
				default:
					list = append(list, f.Pos())
				}
			}
			return true
		})
	}
	return list
}

// callsAnything reports whether a loop's body calls functions, beside which saying where costs little.
func (l *lowering) callsAnything(body *ast.BlockStmt) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		if _, lit := n.(*ast.FuncLit); lit || found {
			return false
		}
		if call, ok := n.(*ast.CallExpr); ok {
			found = !l.info.Types[call.Fun].IsType() && !l.info.Types[call.Fun].IsBuiltin()
		}
		return !found
	})
	return found
}

// place says where the function is before a statement. open is whether it may fault in a way that was not looked at.
func (l *lowering) place(s ast.Stmt, open bool) string {
	if l.at == nil {
		return ""
	}
	switch calls := l.calls(heads(s)); {
	case len(calls) == 1:
		return l.store(calls[0])
	case len(calls) > 1:
		return l.store(s.Pos())
	case !open:
		return ""
	}
	for i := len(l.loops) - 1; i >= 0 && !l.loops[i].barrier; i-- {
		if c := l.loops[i]; c.isLoop {
			if c.quiet {
				c.faults = append(c.faults, s.Pos())
				return ""
			}
			break
		}
	}
	return l.store(s.Pos())
}

// placeLoop says before a loop that calls nothing where a fault in it was: at the one statement that may have one, or
// somewhere in the loop.
func (l *lowering) placeLoop(s ast.Stmt) string {
	faults := l.faults
	l.faults = nil
	switch {
	case len(faults) == 0:
		return ""
	case len(faults) == 1:
		return l.store(faults[0])
	}
	return l.store(s.Pos())
}

// mayFault reports whether an expression has an operation that can fault, in a place where it is not looked at.
func (l *lowering) mayFault(n ast.Node) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.IndexExpr:
			if tv := l.info.Types[x.Index]; !tv.IsType() {
				_, isMap := l.typeOf(x.X).Underlying().(*types.Map)
				found = found || !isMap
			}
		case *ast.SliceExpr, *ast.TypeAssertExpr:
			found = true
		case *ast.StarExpr:
			found = found || !l.info.Types[x].IsType()
		case *ast.SelectorExpr:
			if sel := l.info.Selections[x]; sel != nil && sel.Kind() == types.FieldVal && sel.Indirect() {
				found = true
			}
		case *ast.BinaryExpr:
			if b, ok := l.typeOf(x).Underlying().(*types.Basic); ok && (x.Op == token.QUO || x.Op == token.REM) {
				found = found || b.Info()&types.IsInteger != 0 && l.info.Types[x.Y].Value == nil
			}
		}
		return !found
	})
	return found
}

// keptFrames is how many of a panic's frames are kept at each end.
const keptFrames = 50

// trace is what the interpreter says of panics on their way, by goroutine.
type trace struct {
	left   atomic.Int64 // the place that the latest function was left from
	mu     sync.Mutex
	passed map[int]*passage
	latest int // the goroutine of the latest line
}

// passage is the way of one goroutine's panic.
type passage struct {
	frames []passedFrame // the first and the last ones
	elided int           // those between
	lines  int
}

type passedFrame struct {
	text  string
	place int64
}

// Write takes a line of the interpreter's: it says one for each function that a panic leaves.
func (t *trace) Write(line []byte) (int, error) {
	place := t.left.Swap(0)
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.passed[t.latest]
	if p == nil || p.lines < 8 || p.lines&(p.lines-1) == 0 { // which one it is takes time that grows with the depth
		t.latest = goroutine()
		if p = t.passed[t.latest]; p == nil {
			p = &passage{}
			t.passed[t.latest] = p
		}
	}
	p.lines++
	if len(p.frames) == 2*keptFrames {
		p.frames = slices.Delete(p.frames, keptFrames, keptFrames+1)
		p.elided++
	}
	p.frames = append(p.frames, passedFrame{string(line), place})
	return len(line), nil
}

func (t *trace) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passed = map[int]*passage{}
}

// forget drops the way of a panic that has been recovered.
func (t *trace) forget(goroutine int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.passed, goroutine)
}

// of is the way of a goroutine's panic.
func (t *trace) of(goroutine int) passage {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.passed[goroutine]; p != nil {
		return *p
	}
	return passage{}
}

var framePattern = regexp.MustCompile(`^(?:(.*?):)?(\d+):(\d+): panic: (.*)\(\.\.\.\)`)

// panicked makes a *Panic of the panic that a goroutine died of.
func (e *Evaluator) panicked(d *death) error {
	value := goPanic(d.value)
	p := &Panic{Value: value, Goroutine: !d.main, Text: panicText(value)}
	way := e.trace.of(d.goroutine)
	for i, f := range way.frames {
		if i == keptFrames && way.elided > 0 {
			p.Elided, p.ElidedAfter = way.elided, len(p.Frames)
		}
		m := framePattern.FindStringSubmatch(f.text)
		if m == nil {
			continue
		}
		pos := e.position(m[1], m[2], m[3])
		if _, ok := e.sources[pos.Filename]; !ok {
			continue
		}
		line, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		at, known := e.unpack(f.place, line, column)
		name := e.frameName(m[4], pos.Filename)
		switch {
		case known:
			pos = at
		case strings.HasSuffix(name, ".func") && len(p.Frames) > 0:
			continue // of lowered text, or of one that calls nothing of the cells
		}
		p.Frames = append(p.Frames, Frame{Func: name, Pos: pos, SourceLine: e.sourceLine(pos)})
	}
	if x, ok := e.support.sites.Load(d.goroutine); ok {
		at := x.(site)
		pos := e.lineOf(at.line, at.column)
		if at.is(d.value) && e.sources[pos.Filename] != nil {
			if len(p.Frames) == 0 {
				p.Frames = []Frame{{Func: pos.Filename}}
			}
			p.Frames[0].Pos, p.Frames[0].SourceLine = pos, e.sourceLine(pos)
		}
	}
	return p
}

// methodMark stands for the point between a type and its method in the interpreter's names of functions.
const methodMark = "ꓸ"

// frameName is what the author calls a function that the interpreter calls "main.name__7.func".
func (e *Evaluator) frameName(name, cell string) string {
	name = strings.TrimPrefix(name, "main.")
	name, literals, _ := strings.Cut(name, ".")
	if literals != "" {
		literals = "." + literals
	}
	if name == cellFunction {
		return cell + literals
	}
	return strings.ReplaceAll(runSuffix.ReplaceAllString(name, ""), methodMark, ".") + literals
}
