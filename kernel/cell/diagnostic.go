package cell

import (
	"errors"
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"go/types"
	"path"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"banter/internal/misspelt"
	"banter/internal/symbols"
)

// Diagnostic is one fault of a cell, found before it ran.
type Diagnostic struct {
	Pos        token.Position // Filename is the cell's name: "cell 3"
	Msg        string
	SourceLine string // the line that Pos points into; empty where it is not known
}

// String is the diagnostic as a compiler prints it, with the source line and a caret below.
func (d Diagnostic) String() string {
	text := fmt.Sprintf("%s: %s", d.Pos, d.Msg)
	if d.SourceLine == "" {
		return text
	}
	return text + "\n    " + strings.ReplaceAll(d.SourceLine, "\t", " ") + "\n    " + caret(d.SourceLine, d.Pos.Column)
}

// caret is a line with ^ under the column-th byte of line.
func caret(line string, column int) string {
	column = min(max(column-1, 0), len(line))
	return strings.Repeat(" ", utf8.RuneCountInString(line[:column])) + "^"
}

// Error says why a cell was refused; none of it ran.
type Error struct{ Diagnostics []Diagnostic }

func (e *Error) Error() string {
	lines := make([]string, len(e.Diagnostics))
	for i, d := range e.Diagnostics {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// Name is the kind of fault.
func (e *Error) Name() string { return "compile error" }

// Traceback is the error, line by line.
func (e *Error) Traceback() []string { return strings.Split(e.Error(), "\n") }

// Frame is one line of a panic's trace.
type Frame struct {
	Func       string
	Pos        token.Position
	SourceLine string
}

// Panic is a panic that the cell did not recover, or that one of its goroutines died of.
type Panic struct {
	Value     any
	Text      string  // as the Go runtime prints it, without "panic: "
	Frames    []Frame // innermost first
	Goroutine bool    // it happened in a goroutine, where it would have ended a program

	Elided, ElidedAfter int // how many frames are left out, and after how many of Frames
}

func (p *Panic) Error() string { return strings.Join(p.Traceback(), "\n") }

// Unwrap gives the value where it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Name is the kind of fault.
func (p *Panic) Name() string { return "panic" }

// Traceback shows what panicked and where.
func (p *Panic) Traceback() []string {
	lines := strings.Split("panic: "+p.Text, "\n")
	if p.Goroutine {
		lines[0] += " [in a goroutine]"
	}
	for i, f := range p.Frames {
		if more := p.Left(i); more != "" {
			lines = append(lines, more)
		}
		lines = append(lines, fmt.Sprintf("%s: in %s", f.Pos, f.Func))
		if f.SourceLine != "" && i < 3 {
			lines = append(lines, "    "+strings.ReplaceAll(f.SourceLine, "\t", " "), "    "+caret(f.SourceLine, f.Pos.Column))
		}
	}
	return lines
}

// Left says how many calls are left out before the i-th of Frames. It is empty where none are.
func (p *Panic) Left(i int) string {
	if p.Elided == 0 || i != p.ElidedAfter {
		return ""
	}
	return fmt.Sprintf("... %d more calls ...", p.Elided)
}

// ExitError says that a cell asked the program to end. The session goes on.
type ExitError struct {
	Code int
	Call string // "os.Exit"
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s(%d) ended the cell; the session goes on", e.Call, e.Code)
}

// Name is the kind of fault.
func (e *ExitError) Name() string { return "exit" }

// Traceback is the sentence.
func (e *ExitError) Traceback() []string { return []string{e.Error()} }

// refusal is a fault at a position of the syntax.
type refusal struct {
	pos token.Pos
	msg string
}

func (r *refusal) Error() string { return r.msg }

// refuse stops lowering: banter cannot run what, which stands at pos.
func refuse(pos token.Pos, format string, args ...any) {
	panic(&refusal{pos, "banter cannot run " + fmt.Sprintf(format, args...)})
}

// guess remembers what was meant by the names that the checker does not know, to be said with them.
func (e *Evaluator) guess(errs []error, c misspelt.Checked) {
	for _, err := range errs {
		te, ok := err.(types.Error)
		if !ok {
			continue
		}
		name, _ := strings.CutPrefix(te.Msg, "undefined: ")
		packages := slices.DeleteFunc(symbols.Paths(), func(p string) bool { return path.Base(p) != name })
		if len(packages) > 0 && slices.ContainsFunc(c.Files, func(f *ast.File) bool { return qualifies(f, te.Pos) }) {
			e.guesses[te.Pos] = fmt.Sprintf(" (is import \"%s\" missing?)", strings.Join(packages, `" or "`))
		} else if hint := misspelt.Ask(c.Meant(te)); hint != "" {
			e.guesses[te.Pos] = hint
		}
	}
}

// diagnose turns faults of the parser, the checker and the lowering into an *Error.
func (e *Evaluator) diagnose(errs ...error) error {
	var out Error
	add := func(pos token.Position, msg string) {
		out.Diagnostics = append(out.Diagnostics, Diagnostic{Pos: e.clamp(pos), Msg: msg, SourceLine: e.sourceLine(pos)})
	}
	for _, err := range errs {
		var list scanner.ErrorList
		var te types.Error
		var r *refusal
		var y *yaegiFault
		switch {
		case errors.As(err, &list):
			for _, se := range list {
				add(se.Pos, se.Msg)
			}
		case errors.As(err, &te):
			add(e.fset.Position(te.Pos), te.Msg+e.guesses[te.Pos])
		case errors.As(err, &r):
			add(e.fset.Position(r.pos), r.msg)
		case errors.As(err, &y):
			add(y.pos, y.Error())
		default:
			add(token.Position{}, err.Error())
		}
	}
	sort.SliceStable(out.Diagnostics, func(i, j int) bool {
		a, b := out.Diagnostics[i].Pos, out.Diagnostics[j].Pos
		return a.Filename == b.Filename && (a.Line < b.Line || a.Line == b.Line && a.Column < b.Column)
	})
	if len(out.Diagnostics) > 10 {
		more := len(out.Diagnostics) - 10
		out.Diagnostics = append(out.Diagnostics[:10], Diagnostic{Msg: fmt.Sprintf("and %d more", more)})
	}
	return &out
}

// clamp brings a position that lies after the end of a cell back to its end.
func (e *Evaluator) clamp(pos token.Position) token.Position {
	lines, ok := e.sources[pos.Filename]
	if !ok || pos.Line <= len(lines) {
		return pos
	}
	pos.Line = max(len(lines), 1)
	pos.Column = 1
	if len(lines) > 0 {
		pos.Column = len(lines[pos.Line-1]) + 1
	}
	return pos
}

func (e *Evaluator) sourceLine(pos token.Position) string {
	pos = e.clamp(pos)
	lines := e.sources[pos.Filename]
	if pos.Line < 1 || pos.Line > len(lines) {
		return ""
	}
	return lines[pos.Line-1]
}
