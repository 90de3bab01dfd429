package cell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traefik/yaegi/interp"

	"banter/dsl"
)

// supportPath is the import path under which lowered text finds what the desugaring needs.
const supportPath = "banter/cell/support"

// maxDepth bounds calls in progress, so that an endless recursion ends as a panic and not as the process.
const maxDepth = 10_000

// support is the compiled side of lowered text.
type support struct {
	e     *Evaluator
	stop  atomic.Bool // the cell is to stop
	flag  *bool       // the same for interpreted code: a hint to look
	depth atomic.Int64

	mu       sync.Mutex
	now      *run
	given    int
	sites    sync.Map      // by goroutine: where its latest fault was seen
	claims   sync.Map      // by goroutine: the panic that a deferred call about to begin may recover
	types    map[int]*Type // those that boxes have
	byKey    map[string]*Type
	ifaces   []iface
	ifaceIDs map[string]int

	passed  map[int]*passedFunc // functions that cells give to verbs, by number
	passing []int               // those that stand in statements of the latest cell and are done with when it is

	observe func(dsl.Predicate) // if set, told of each predicate made
}

// run is one execution of a cell.
type run struct {
	s       *support
	ctx     context.Context
	release func() bool
	texts   []string
	notes   []string
	reached bool
	death   *death

	goroutine atomic.Int64 // that runs the cell
	halted    atomic.Bool
	cancel    context.CancelFunc
}

// death is a panic that ended a goroutine.
type death struct {
	value     any
	main      bool // it ended the cell's own goroutine
	goroutine int
}

// stopped is the panic that unwinds a cell that was interrupted.
type stopped struct{}

func (stopped) Error() string { return "interrupted" }

func newSupport(e *Evaluator) *support {
	return &support{e: e, now: &run{ctx: context.Background()}, passed: map[int]*passedFunc{}, types: map[int]*Type{}, byKey: map[string]*Type{}, ifaceIDs: map[string]int{}}
}

// forget lets go of functions that no code can give to a verb any more.
func (s *support) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.passing {
		delete(s.passed, id)
	}
	s.passing = nil
}

func (s *support) set(stop bool) {
	s.stop.Store(stop)
	raise(s.flag, stop)
}

// raise sets the variable that interpreted loops read. They read it as plain memory, since an atomic operation would cost
// them four times as much as all else that they do; what they do then is decided by the atomic one. So seeing the
// variable late, or at all, changes nothing but when a loop stops.
//
//go:norace
func raise(flag *bool, stop bool) { *flag = stop }

// check ends the cell if it is to stop.
func (s *support) check() {
	if s.stop.Load() {
		s.halt()
	}
}

// halt ends the goroutine that runs the cell: a panic would take time that grows with the square of the depth of calls.
// Elsewhere there may be compiled code that waits for an answer, so there it is a panic.
func (s *support) halt() {
	if r := s.current(); r.goroutine.Load() == int64(goroutine()) {
		r.halted.Store(true)
		runtime.Goexit()
	}
	panic(stopped{})
}

// enter is the begin of a call of a function that calls others.
func (s *support) enter() {
	if s.stop.Load() {
		s.halt()
	}
	if s.depth.Add(1) <= maxDepth {
		return
	}
	trouble := fmt.Errorf("stack overflow: more than %d calls in progress (an endless recursion?)", maxDepth)
	if r := s.current(); r.goroutine.Load() == int64(goroutine()) {
		s.mu.Lock()
		if r.death == nil {
			r.death = &death{value: trouble, main: true, goroutine: goroutine()}
		}
		s.mu.Unlock()
		runtime.Goexit() // as in a compiled program, no deferred call can stop it
	}
	panic(trouble)
}

func (s *support) begin(ctx context.Context) *run {
	ctx, cancel := context.WithCancel(ctx)
	r := &run{s: s, ctx: ctx, cancel: cancel}
	s.mu.Lock()
	s.now = r
	s.mu.Unlock()
	s.set(false)
	s.depth.Store(0)
	r.release = context.AfterFunc(ctx, func() { s.set(true) })
	return r
}

func (r *run) end() { r.release(); r.cancel() }

func (r *run) died() *death {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.death
}

func (s *support) current() *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *support) exports() interp.Exports {
	return interp.Exports{supportPath + "/support": {
		"Index":  reflect.ValueOf(s.indexFault),
		"Slice":  reflect.ValueOf(s.sliceFault),
		"Divide": reflect.ValueOf(func(line, column int) { s.failAt(fault("integer divide by zero"), line, column) }),
		"NilMap": reflect.ValueOf(func(line, column int) { s.failAt(nilMap{}, line, column) }),
		"Nil": reflect.ValueOf(func(line, column int) {
			s.failAt(fault("invalid memory address or nil pointer dereference"), line, column)
		}),
		"Check": reflect.ValueOf(s.check),
		"Runes": reflect.ValueOf(func(text string) (at []int, runes []rune) {
			for i, r := range text {
				at, runes = append(at, i), append(runes, r)
			}
			return at, runes
		}),
		"Clear": reflect.ValueOf(func(m any) { reflect.ValueOf(m).Clear() }),
		"Enter": reflect.ValueOf(s.enter),
		"Leave": reflect.ValueOf(func() { s.depth.Add(-1) }),
		"LeaveFrom": reflect.ValueOf(func(place *int) {
			s.depth.Add(-1)
			s.e.trace.left.Store(int64(*place))
		}),
		"Finished": reflect.ValueOf(func() {
			panic(errors.New("range function continued iteration after function for loop body returned false"))
		}),
		"Text":    reflect.ValueOf(func(v any) { r := s.current(); r.texts = append(r.texts, fmt.Sprint(plain(v))) }),
		"Reached": reflect.ValueOf(func() { s.current().reached = true }),
		"Died": reflect.ValueOf(func(v any) {
			if _, ok := v.(stopped); ok {
				return
			}
			r := s.current()
			s.mu.Lock()
			if r.death == nil {
				r.death = &death{value: v, goroutine: goroutine()}
			}
			s.mu.Unlock()
			r.cancel()
		}),
		"Box":       reflect.ValueOf((*Box)(nil)),
		"Put":       reflect.ValueOf(s.put),
		"Take":      reflect.ValueOf(s.take),
		"Teach":     reflect.ValueOf(s.teach),
		"Unerr":     reflect.ValueOf(unerr),
		"AsError":   reflect.ValueOf(asError),
		"ToError":   reflect.ValueOf(toError),
		"MustError": reflect.ValueOf(s.mustError),
		"As":        reflect.ValueOf(s.as),
		"Must":      reflect.ValueOf(s.must),
		"Mismatch":  reflect.ValueOf(s.mismatch),
		"Method":    reflect.ValueOf(method),
		"NotNil": reflect.ValueOf(func(x any) any {
			if x == nil {
				panic(fault("invalid memory address or nil pointer dereference"))
			}
			return x
		}),
		"Compiled": reflect.ValueOf(func(x any) any {
			if b, ok := bareBox(x).(Box); ok {
				panic(fmt.Errorf("banter cannot reflect on a %s yet: the interpreter's types have neither names nor methods", typeName(b.T.t)))
			}
			return x
		}),
		"Equal":     reflect.ValueOf(equal),
		"AsTarget":  reflect.ValueOf(asTarget),
		"Recovered": reflect.ValueOf(s.recovered),
		"Claim":     reflect.ValueOf(s.claim),
		"NewDefers": reflect.ValueOf(func() *Defers { return &Defers{} }),
		"Guarded":   reflect.ValueOf(s.guarded),
		"Push":      reflect.ValueOf((*Defers).push),
		"Panic":     reflect.ValueOf(func(v any, line, column int) { s.failAt(asFormatted(v), line, column) }),
		"Print":     reflect.ValueOf(func(args ...any) { s.println("", "", args) }),
		"Println":   reflect.ValueOf(func(args ...any) { s.println(" ", "\n", args) }),
		"Plain":     reflect.ValueOf(bare),
		"Predicate": reflect.ValueOf(s.predicate),
		"Values":    reflect.ValueOf(func(values ...any) []any { return values }),
		"Exit":      reflect.ValueOf(func(code int) { panic(&ExitError{Code: code, Call: "os.Exit"}) }),
		"Fatal": reflect.ValueOf(func(args ...any) {
			log.Output(2, fmt.Sprint(args...))
			panic(&ExitError{Code: 1, Call: "log.Fatal"})
		}),
		"Fatalf": reflect.ValueOf(func(format string, args ...any) {
			log.Output(2, fmt.Sprintf(format, args...))
			panic(&ExitError{Code: 1, Call: "log.Fatalf"})
		}),
		"Fatalln": reflect.ValueOf(func(args ...any) {
			log.Output(2, fmt.Sprintln(args...))
			panic(&ExitError{Code: 1, Call: "log.Fatalln"})
		}),
		"Sleep": reflect.ValueOf(func(d time.Duration) {
			t := time.NewTimer(d)
			defer t.Stop()
			select {
			case <-t.C:
			case <-s.current().ctx.Done():
				s.halt()
			}
		}),
	}}
}

// override replaces functions that must not use the process's own streams.
func (s *support) override(path string, table map[string]reflect.Value) {
	o := &s.e.options
	file := func(x any) *os.File { f, _ := x.(*os.File); return f }
	switch path {
	case "fmt":
		table["Print"] = reflect.ValueOf(func(a ...any) (int, error) { return fmt.Fprint(o.Stdout, a...) })
		table["Printf"] = reflect.ValueOf(func(f string, a ...any) (int, error) { f, a = retype(f, a); return fmt.Fprintf(o.Stdout, f, a...) })
		table["Println"] = reflect.ValueOf(func(a ...any) (int, error) { return fmt.Fprintln(o.Stdout, a...) })
		table["Sprintf"] = reflect.ValueOf(func(f string, a ...any) string { f, a = retype(f, a); return fmt.Sprintf(f, a...) })
		table["Fprintf"] = reflect.ValueOf(func(w io.Writer, f string, a ...any) (int, error) {
			f, a = retype(f, a)
			return fmt.Fprintf(w, f, a...)
		})
		table["Appendf"] = reflect.ValueOf(func(b []byte, f string, a ...any) []byte { f, a = retype(f, a); return fmt.Appendf(b, f, a...) })
		table["Errorf"] = reflect.ValueOf(func(f string, a ...any) error { f, a = retype(f, a); return fmt.Errorf(f, a...) })
		table["Scan"] = reflect.ValueOf(func(a ...any) (int, error) { return fmt.Fscan(o.Stdin, a...) })
		table["Scanf"] = reflect.ValueOf(func(f string, a ...any) (int, error) { return fmt.Fscanf(o.Stdin, f, a...) })
		table["Scanln"] = reflect.ValueOf(func(a ...any) (int, error) { return fmt.Fscanln(o.Stdin, a...) })
	case "log":
		table["Printf"] = reflect.ValueOf(func(f string, a ...any) { f, a = retype(f, a); _ = log.Output(2, fmt.Sprintf(f, a...)) })
		table["Panicf"] = reflect.ValueOf(func(f string, a ...any) {
			f, a = retype(f, a)
			text := fmt.Sprintf(f, a...)
			_ = log.Output(2, text)
			panic(text)
		})
	case "os":
		args := []string{"banter"}
		table["Args"] = reflect.ValueOf(&args).Elem()
		for name, stream := range map[string]any{"Stdout": o.Stdout, "Stderr": o.Stderr, "Stdin": o.Stdin} {
			if f := file(stream); f != nil {
				table[name] = reflect.ValueOf(&f).Elem()
			}
		}
	}
}

// println is the built-in, which prints to standard error.
func (s *support) println(between, end string, args []any) {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteString(between)
		}
		switch v := reflect.ValueOf(bare(a)); v.Kind() {
		case reflect.Invalid:
			b.WriteString("nil")
		case reflect.Float32, reflect.Float64:
			b.WriteString(builtinFloat(v.Float()))
		case reflect.Complex64, reflect.Complex128:
			c := v.Complex()
			b.WriteString("(" + builtinFloat(real(c)) + builtinFloat(imag(c)) + "i)")
		case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
			fmt.Fprintf(&b, "%#x", v.Pointer())
		case reflect.Slice:
			fmt.Fprintf(&b, "[%d/%d]%#x", v.Len(), v.Cap(), v.Pointer())
		default:
			fmt.Fprint(&b, v.Interface())
		}
	}
	fmt.Fprint(s.e.options.Stderr, b.String(), end)
}

// builtinFloat is a number as the built-in print writes it.
func builtinFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 0):
		return fmt.Sprintf("%+v", f)
	}
	text := fmt.Sprintf("%+.6e", f)
	i := strings.IndexByte(text, 'e')
	exp, _ := strconv.Atoi(text[i+1:])
	return fmt.Sprintf("%se%+04d", text[:i], exp)
}

func (r *run) remarks() []string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.notes
}

// goPanic gives the value that a compiled program would have panicked with, where the interpreter's own machinery
// panicked in another way. Lengths and indexes are not known any more.
func goPanic(v any) any {
	text := ""
	v = plain(v)
	switch x := v.(type) {
	case *reflect.ValueError:
		return fault("invalid memory address or nil pointer dereference")
	case string:
		text = x
	case error:
		if _, ok := v.(interface{ RuntimeError() }); ok {
			return v
		}
		text = x.Error()
	default:
		return v
	}
	switch {
	case strings.HasPrefix(text, "reflect: ") && strings.Contains(text, "index out of range"):
		return fault("index out of range")
	case strings.Contains(text, "slice index out of bounds"), strings.HasPrefix(text, "reflect.Value.Slice"):
		return fault("slice bounds out of range")
	case strings.Contains(text, "call of nil function"), strings.HasPrefix(text, "reflect: call of reflect.Value.") && strings.Contains(text, "zero Value"), strings.HasPrefix(text, "reflect: Method on nil"):
		return fault("invalid memory address or nil pointer dereference")
	}
	if m := assertionPattern.FindStringSubmatch(text); m != nil {
		return errors.New(m[1])
	}
	return v
}

var assertionPattern = regexp.MustCompile(`^(?:[^:]*:)?\d+:\d+: (interface conversion: .*)$`)

// nilMap is the run-time error of a write to a nil map.
type nilMap struct{}

func (nilMap) Error() string { return "assignment to entry in nil map" }
func (nilMap) RuntimeError() {}

// fault is a run-time error with Go's text.
type fault string

func (f fault) Error() string { return "runtime error: " + string(f) }
func (fault) RuntimeError()   {}
