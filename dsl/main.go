package dsl

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"banter/dsl/console"
	"banter/dsl/memo"
	"banter/internal/misspelt"
)

// Main runs a recipe. params is a pointer to a struct whose fields, with their present values as defaults, are what a
// run may change; body says the verbs.
//
//	func main() {
//		p := Params{Streams: "testdata/streams", FDR: 0.1}
//		dsl.Main(&p, func() {
//			streams := dsl.Load(p.Streams)
//			...
//		})
//	}
//
// Under `recipe run` the parameters come from --param, and the runner shows the progress. The same file under `go run`
// takes -param name=value, -store, -shared, -out, -jobs and -json itself, and ends the process with the runner's exit codes.
func Main(params any, body func(), options ...MainOption) {
	activeMu.Lock()
	hosted := active
	activeMu.Unlock()
	if hosted != nil {
		if hosted.listParams != nil {
			hosted.listParams(params)
			return
		}
		if err := SetParams(params, hosted.params); err != nil {
			fail("recipe", "", err)
		}
		if err := hosted.declare(params); err != nil {
			fail("recipe", "", err)
		}
		body()
		return
	}
	os.Exit(standalone(params, body, compiledRecipe(params, options, 1)))
}

type assignments map[string]string

func (a assignments) String() string { return "" }

func (a assignments) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return fmt.Errorf("%q is not name=value", text)
	}
	a[name] = value
	return nil
}

func standalone(params any, body func(), program *compiled) int {
	given := assignments{}
	var c Config
	flag.Var(given, "param", "set a parameter: `name=value` (may be given more than once)")
	flag.StringVar(&c.Store, "store", "", "`folder` of stored results (default: .banter of this project)")
	flag.StringVar(&c.Shared, "shared", "", "`bucket` behind the store: a folder, or s3://BUCKET/PREFIX?region=REGION (default: $BANTER_SHARED)")
	flag.StringVar(&c.Out, "out", "out", "`folder` for exports and the report")
	flag.IntVar(&c.Jobs, "jobs", 0, "streams worked on at once (default: one a core)")
	asJSON := flag.Bool("json", false, "say what happens as JSON, one object a line")
	flag.Parse()
	c.Params = given
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	show := console.New(os.Stdout, os.Stderr, *asJSON)
	c.Sink = show.Event
	s, err := Open(c)
	if err == nil {
		defer s.Close()
		s.program = program
		err = s.Run(ctx, func() error {
			if err := SetParams(params, given); err != nil {
				return err
			}
			if err := s.declare(params); err != nil {
				return err
			}
			body()
			return nil
		})
		s.Flush(ctx)
	}
	return Finish(s, show, os.Args[0], err)
}

// The exit codes of a run.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2
	ExitLock   = 3 // an output is not what the lock file says
	ExitGate   = 4 // a gate was not passed
)

// LockError is why a run was refused although its steps succeeded: it is not what the lock file says.
type LockError struct{ Reason string }

func (e *LockError) Error() string { return e.Reason }

// UsageError is a mistake in how a recipe was called, not in its work.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Finish records what the run named name needs, shows how it ended, and returns the exit code.
func Finish(s *Session, show *console.Console, name string, err error) int {
	var summary console.Summary
	if s != nil {
		for _, r := range s.Ran() {
			switch {
			case r.Err != nil:
				summary.Failed++
				if errors.Is(r.Err, context.Canceled) {
					summary.Stopped++
				}
			case r.Outcome == 0:
				summary.Made++
			default:
				summary.Hits++
			}
		}
		summary.Exports = s.Exports()
	}
	code := exitCode(err)
	if s != nil && code != ExitUsage {
		switch e := s.keep(name, code); {
		case err != nil || e == nil:
		case memo.Unwritable(e): // all that the run wanted was there
			s.note("store", "", "this run is not recorded, so that gc may take what it needs: %v", e)
		default:
			err, code = e, ExitFailed
		}
	}
	show.Finish(summary, err, code)
	return code
}

// exitCode is that of a run that ended with err.
func exitCode(err error) int {
	var gate *GateError
	var usage *UsageError
	var lock *LockError
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &gate):
		return ExitGate
	case errors.As(err, &lock):
		return ExitLock
	case errors.As(err, &usage):
		return ExitUsage
	}
	return ExitFailed
}

// Param is one parameter of a recipe.
type Param struct {
	Name    string // as --param says it: the field's name in lower case
	Type    string
	Default string
	Help    string // the field's `help` tag
}

// ListParams describes the struct that params points to.
func ListParams(params any) ([]Param, error) {
	if params == nil {
		return nil, nil
	}
	v, err := paramStruct(params)
	if err != nil {
		return nil, err
	}
	var list []Param
	for i := range v.NumField() {
		f := v.Type().Field(i)
		list = append(list, Param{strings.ToLower(f.Name), f.Type.String(), fmt.Sprint(v.Field(i).Interface()), f.Tag.Get("help")})
	}
	return list, nil
}

func paramStruct(params any) (reflect.Value, error) {
	v := reflect.ValueOf(params)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return v, fmt.Errorf("parameters are a %T: Main wants a pointer to a struct", params)
	}
	return v.Elem(), nil
}

// SetParams sets the fields of the struct that params points to from text.
func SetParams(params any, values map[string]string) error {
	if params == nil {
		if len(values) > 0 {
			return &UsageError{errors.New("this recipe has no parameters")}
		}
		return nil
	}
	v, err := paramStruct(params)
	if err != nil {
		return err
	}
	names := make([]string, 0, v.NumField())
	for i := range v.NumField() {
		names = append(names, strings.ToLower(v.Type().Field(i).Name))
	}
	for name, text := range values {
		i := slices.Index(names, strings.ToLower(name))
		if i < 0 {
			return &UsageError{fmt.Errorf("there is no parameter %q%s: this recipe has %s", name, misspelt.Hint(strings.ToLower(name), names), strings.Join(names, ", "))}
		}
		if err := setField(v.Field(i), text); err != nil {
			return &UsageError{fmt.Errorf("parameter %s: %w", names[i], err)}
		}
	}
	return nil
}

func setField(f reflect.Value, text string) error {
	wrong := func(what string) error { return fmt.Errorf("%q is not %s", text, what) }
	switch {
	case f.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return wrong("a duration such as 1.5s or 2m")
		}
		f.SetInt(int64(d))
	case f.Kind() == reflect.String:
		f.SetString(text)
	case f.CanInt():
		n, err := strconv.ParseInt(text, 10, f.Type().Bits())
		if err != nil {
			return wrong("a whole number")
		}
		f.SetInt(n)
	case f.CanUint():
		n, err := strconv.ParseUint(text, 10, f.Type().Bits())
		if err != nil {
			return wrong("a whole number of at least 0")
		}
		f.SetUint(n)
	case f.CanFloat():
		x, err := strconv.ParseFloat(text, f.Type().Bits())
		if err != nil || x != x {
			return wrong("a number")
		}
		f.SetFloat(x)
	case f.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return wrong("true or false")
		}
		f.SetBool(b)
	default:
		return fmt.Errorf("a parameter cannot be a %s", f.Type())
	}
	return nil
}
