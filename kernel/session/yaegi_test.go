package session

import (
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/scanner"
	"reflect"
	"strings"

	"github.com/traefik/yaegi/interp"
	"github.com/traefik/yaegi/stdlib"
	"github.com/traefik/yaegi/stdlib/unrestricted"
)

// bareEvaluator runs cells with nothing but yaegi: enough to test the session without kernel/cell.
type bareEvaluator struct {
	in  *interp.Interpreter
	own map[string]reflect.Value
}

func newBareEvaluator(streams Streams, _ *Notebook) (Evaluator, error) {
	in := interp.New(interp.Options{Stdout: streams.Stdout, Stderr: streams.Stderr, Stdin: streams.Stdin, Unrestricted: true})
	if err := in.Use(stdlib.Symbols); err != nil {
		return nil, err
	}
	if err := in.Use(unrestricted.Symbols); err != nil {
		return nil, err
	}
	for _, p := range []string{"fmt", "os", "os/exec", "time", "errors", "strings"} {
		if _, err := in.Eval("import " + `"` + p + `"`); err != nil {
			return nil, err
		}
	}
	return &bareEvaluator{in: in, own: map[string]reflect.Value{}}, nil
}

func (e *bareEvaluator) Run(ctx context.Context, name, src string) (Result, error) {
	_, notExpr := parser.ParseExpr(src)
	v, err := e.in.EvalWithContext(ctx, src)
	if err != nil {
		var p interp.Panic
		if errors.As(err, &p) {
			return Result{}, fmt.Errorf("panic: %v", p.Value)
		}
		return Result{}, fmt.Errorf("%s: %w", name, err)
	}
	return Result{Value: v, HasValue: notExpr == nil && v.IsValid() && !strings.HasPrefix(src, "fmt.Print")}, nil
}

func (e *bareEvaluator) Define(name string, value any) error {
	e.own[name] = reflect.ValueOf(value)
	if err := e.in.Use(interp.Exports{"own/" + name + "/own": {name: e.own[name]}}); err != nil {
		return err
	}
	_, err := e.in.Eval(`import . "own/` + name + `"`)
	return err
}

func (e *bareEvaluator) Complete(src string, cursor int) Completion {
	start := strings.LastIndexAny(src[:cursor], " .(") + 1
	c := Completion{Start: start, End: cursor}
	for _, word := range []string{"Println", "Printf", "Sprintf"} {
		if strings.HasPrefix(word, src[start:cursor]) {
			c.Items = append(c.Items, CompletionItem{Text: word, Kind: "function"})
		}
	}
	return c
}

func (e *bareEvaluator) Inspect(src string, cursor int) (Inspection, bool) {
	if strings.Contains(src, "Println") {
		return Inspection{Text: "func Println(a ...any) (n int, err error)"}, true
	}
	return Inspection{}, false
}

func (e *bareEvaluator) Status(src string) Status {
	_, err := parser.ParseFile(newFileSet(), "", "package p\nfunc _() {\n"+src+"\n}", 0)
	var list scanner.ErrorList
	switch {
	case err == nil:
		return Status{State: "complete"}
	case errors.As(err, &list) && (strings.Contains(list[0].Msg, "'EOF'") || strings.Contains(list[0].Msg, "EOF")):
		return Status{State: "incomplete", Indent: "\t"}
	}
	return Status{State: "invalid"}
}
