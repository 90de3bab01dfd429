package cell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traefik/yaegi/interp"
)

// supportPath is the import path under which lowered text finds what the desugaring needs.
const supportPath = "banter/cell/support"

// maxDepth bounds calls in progress, so that an endless recursion ends as a panic and not as the process.
const maxDepth = 10_000

// support is the compiled side of lowered text.
type support struct {
	e     *Evaluator
	stop  bool // read by interpreted code at loops and function entries
	depth atomic.Int64

	mu  sync.Mutex
	now *run
}

// run is one execution of a cell.
type run struct {
	s       *support
	ctx     context.Context
	release func() bool
	texts   []string
	reached bool
	death   *death
	cancel  context.CancelFunc
}

// death is a panic that ended a goroutine.
type death struct{ value any }

// stopped is the panic that unwinds a cell that was interrupted.
type stopped struct{}

func (stopped) Error() string { return "interrupted" }

func newSupport(e *Evaluator) *support { return &support{e: e, now: &run{ctx: context.Background()}} }

func (s *support) set(stop bool) { s.stop = stop }

func (s *support) begin(ctx context.Context) *run {
	ctx, cancel := context.WithCancel(ctx)
	r := &run{s: s, ctx: ctx, cancel: cancel}
	s.mu.Lock()
	s.now = r
	s.mu.Unlock()
	s.stop = false
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
		"Stop":  reflect.ValueOf(&s.stop).Elem(),
		"Halt":  reflect.ValueOf(func() { panic(stopped{}) }),
		"Clear": reflect.ValueOf(func(m any) { reflect.ValueOf(m).Clear() }),
		"Enter": reflect.ValueOf(func() {
			if s.depth.Add(1) > maxDepth {
				panic(fmt.Errorf("stack overflow: more than %d calls in progress (an endless recursion?)", maxDepth))
			}
		}),
		"Leave": reflect.ValueOf(func() { s.depth.Add(-1) }),
		"Finished": reflect.ValueOf(func() {
			panic(errors.New("range function continued iteration after function for loop body returned false"))
		}),
		"Text":    reflect.ValueOf(func(text string) { r := s.current(); r.texts = append(r.texts, text) }),
		"Reached": reflect.ValueOf(func() { s.current().reached = true }),
		"Died": reflect.ValueOf(func(v any) {
			if _, ok := v.(stopped); ok {
				return
			}
			r := s.current()
			s.mu.Lock()
			if r.death == nil {
				r.death = &death{v}
			}
			s.mu.Unlock()
			r.cancel()
		}),
		"Exit": reflect.ValueOf(func(code int) { panic(&ExitError{Code: code, Call: "os.Exit"}) }),
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
				panic(stopped{})
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
		table["Printf"] = reflect.ValueOf(func(f string, a ...any) (int, error) { return fmt.Fprintf(o.Stdout, f, a...) })
		table["Println"] = reflect.ValueOf(func(a ...any) (int, error) { return fmt.Fprintln(o.Stdout, a...) })
		table["Scan"] = reflect.ValueOf(func(a ...any) (int, error) { return fmt.Fscan(o.Stdin, a...) })
		table["Scanf"] = reflect.ValueOf(func(f string, a ...any) (int, error) { return fmt.Fscanf(o.Stdin, f, a...) })
		table["Scanln"] = reflect.ValueOf(func(a ...any) (int, error) { return fmt.Fscanln(o.Stdin, a...) })
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

var _ io.Writer
