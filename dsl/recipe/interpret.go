package recipe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"time"

	"banter/dsl"
	"banter/internal/problem"
	"banter/internal/symbols"

	"github.com/traefik/yaegi/interp"
	"github.com/traefik/yaegi/stdlib"
)

//go:generate go run github.com/traefik/yaegi/cmd/yaegi extract -name recipe banter/dsl

// Symbols holds what recipes may import besides Go's own library.
var Symbols = map[string]map[string]reflect.Value{}

// grace is how long an interrupted recipe may take to put its steps away.
const grace = 5 * time.Second

// Interpret checks a `package main` against embedded type information and runs it in yaegi. It stops soon after ctx is
// done.
func Interpret(ctx context.Context, filename string, src []byte) error {
	if err := check(filename, src); err != nil {
		return &dsl.UsageError{Err: err}
	}
	trace := &panicTrace{to: os.Stderr}
	i := interp.New(interp.Options{Stderr: trace, Args: []string{filename}, Env: os.Environ()})
	if err := i.Use(stdlib.Symbols); err != nil {
		return err
	}
	if err := i.Use(Symbols); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		_, err := i.Eval(string(src))
		done <- unwrap(filename, trace.place(), err)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done: // verbs stop by themselves and say what they were doing
		if err != nil {
			return err
		}
		return context.Cause(ctx)
	case <-time.After(grace):
		return context.Cause(ctx)
	}
}

// unwrap takes a verb's own error out of the interpreter's.
func unwrap(filename, place string, err error) error {
	var p interp.Panic
	if !errors.As(err, &p) {
		return err
	}
	if e, ok := p.Value.(*dsl.Error); ok {
		return e
	}
	if place != "" {
		filename += ":" + place
	}
	return &problem.Error{Op: "run", Path: filename, Err: fmt.Errorf("panic: %v", p.Value)}
}

// panicTrace passes on what a recipe writes, and keeps for itself the lines by which yaegi names the calls that led to a
// panic, the innermost first.
type panicTrace struct {
	to    io.Writer
	mu    sync.Mutex
	first string
}

var panicLine = regexp.MustCompile(`^(\d+:\d+): panic: .*\(\.\.\.\)\n$`)

func (t *panicTrace) Write(b []byte) (int, error) {
	if m := panicLine.FindSubmatch(b); m != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.first == "" {
			t.first = string(m[1])
		}
		return len(b), nil
	}
	return t.to.Write(b)
}

// place is line:column of the panic, or empty.
func (t *panicTrace) place() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first
}

// check reports what a compiler would.
func check(filename string, src []byte) error {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, filename, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var found []string
	config := types.Config{Importer: symbols.NewImporter(fset), Error: func(err error) { found = append(found, err.Error()) }}
	if _, err := config.Check("main", fset, []*ast.File{f}, nil); err == nil {
		return refuse(fset, f)
	}
	const most = 10
	if len(found) > most {
		found = append(found[:most], "too many errors")
	}
	return errors.New(strings.Join(found, "\n"))
}

// refuse names what yaegi would run otherwise than Go does.
func refuse(fset *token.FileSet, f *ast.File) error {
	var b bytes.Buffer
	say := func(n ast.Node, what string) {
		fmt.Fprintf(&b, "%s: recipe run cannot run %s yet: use go run\n", fset.Position(n.Pos()), what)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Type.TypeParams != nil {
				say(n, "functions with type parameters")
			}
		case *ast.TypeSpec:
			if n.TypeParams != nil {
				say(n, "types with type parameters")
			}
		case *ast.GoStmt:
			say(n, "go statements")
		case *ast.SelectStmt:
			say(n, "select statements")
		}
		return true
	})
	if b.Len() > 0 {
		return errors.New(strings.TrimSpace(b.String()))
	}
	return nil
}
