package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"banter/dsl"
	"banter/kernel/cell"
)

// cells runs cells with kernel/cell, and lets the verbs in them work in one dsl session.
type cells struct {
	*cell.Evaluator
	verbs *dsl.Session
}

// Cells makes the evaluator of a kernel. The exported names of the prelude's packages are there in every cell.
func Cells(config dsl.Config, prelude ...string) func(Streams, *Notebook) (Evaluator, error) {
	return func(s Streams, n *Notebook) (Evaluator, error) {
		config.Sink, config.Front = n.Event, frontend{n}
		verbs, err := dsl.Open(config)
		if err != nil {
			return nil, err
		}
		ev, err := cell.New(cell.Options{Prelude: prelude, Stdout: s.Stdout, Stderr: s.Stderr, Stdin: s.Stdin})
		if err != nil {
			return nil, err
		}
		return &cells{ev, verbs}, nil
	}
}

func (c *cells) Run(ctx context.Context, name, src string) (r Result, err error) {
	err = c.verbs.Run(ctx, func() error {
		out, err := c.Evaluator.Run(ctx, name, src)
		if r = result(out); err == nil && r.HasValue {
			r.Value = inForms(r.Value)
		}
		return err
	})
	return r, plainly(err)
}

// result is what is shown of what a cell comes to. A nil error by itself is no news, and neither is how many bytes a
// print has printed.
func result(out cell.Result) Result {
	r := Result{Value: out.Value, HasValue: out.HasValue, Text: out.Text, Notes: out.Notes}
	noError := strings.HasSuffix(out.Text, " <nil>")
	switch {
	case out.TypeString == "error" && out.HasValue && (!out.Value.IsValid() || out.Value.Kind() == reflect.Interface && out.Value.IsNil()),
		out.TypeString == "(n int, err error)" && noError:
		return Result{Notes: out.Notes}
	}
	if !out.HasValue || out.Text != "" || !out.Value.IsValid() {
		return r
	}
	v := out.Value
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Kind() == reflect.Func && !v.IsNil() && !speaks(v) {
		r.Text = out.TypeString
		if verb, ok := strings.CutSuffix(strings.TrimPrefix(out.TypeString, "dsl."), "Option"); ok {
			r.Text = fmt.Sprintf("an option of %s: say it among the arguments of %[1]s", verb)
		}
	}
	return r
}

// plainly tells a verb's failure as the verb told it. To the cell it is a panic.
func plainly(err error) error {
	var panicked *cell.Panic
	var failed *dsl.Error
	if errors.As(err, &panicked) && errors.As(err, &failed) {
		return &stepFault{failed, panicked}
	}
	return err
}

// stepFault is the failure of a verb, and where in the cell it was said.
type stepFault struct {
	failed *dsl.Error
	at     *cell.Panic
}

func (f *stepFault) Error() string { return f.failed.Error() }
func (f *stepFault) Unwrap() error { return f.failed }
func (f *stepFault) Name() string  { return f.failed.Verb + " failed" }

// Traceback says what went wrong, which step it was and where it was asked for.
func (f *stepFault) Traceback() []string {
	lines := strings.Split("\x1b[31m"+f.Name()+"\x1b[0m: "+f.Error(), "\n")
	if f.failed.Key != "" {
		lines = append(lines, fmt.Sprintf("step %s", f.failed.Key))
	}
	for i, at := range f.at.Frames {
		if more := f.at.Left(i); more != "" {
			lines = append(lines, more)
		}
		lines = append(lines, fmt.Sprintf("%s: in %s", at.Pos, at.Func))
		if at.SourceLine != "" {
			lines = append(lines, "    "+strings.TrimSpace(at.SourceLine))
		}
	}
	return lines
}

// Close ends what cells and verbs left running.
func (c *cells) Close() error { return errors.Join(c.Evaluator.Close(), c.verbs.Close()) }

// StateDir is where kernels of a user keep their history and their notes.
func StateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "banter"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state", "banter"), nil
}

// Complete offers what could stand at the cursor.
func (c *cells) Complete(src string, cursor int) Completion {
	found := c.Evaluator.Complete(src, cursor)
	out := Completion{Start: found.Start, End: found.End}
	for _, item := range found.Items {
		out.Items = append(out.Items, CompletionItem{Text: item.Text, Kind: item.Kind, Signature: item.Signature})
	}
	return out
}

// Inspect shows what a name means, and the value that it has.
func (c *cells) Inspect(src string, cursor int) (Inspection, bool) {
	doc, found := c.Evaluator.Inspect(src, cursor)
	return Inspection{Text: doc.Text()}, found
}

// Status says whether src is a whole cell.
func (c *cells) Status(src string) Status {
	state, indent := c.Evaluator.Status(src)
	return Status{State: state, Indent: indent}
}
