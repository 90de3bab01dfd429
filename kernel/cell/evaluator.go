package cell

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/traefik/yaegi/interp"

	"banter/internal/symbols"
)

// Options says what cells see. The zero value works.
type Options struct {
	Prelude []string // import paths whose exported names every cell may use unqualified, such as "banter/dsl"
	Stdout  io.Writer
	Stderr  io.Writer
	Stdin   io.Reader

	// Patience is how long a call of compiled code, such as a verb, may take to return once the context is done, before it is
	// left behind; zero is 400 ms, which a notebook's user waits.
	Patience time.Duration
}

// Result is what a cell comes to.
type Result struct {
	Value      reflect.Value // the last expression's value
	HasValue   bool
	Values     []reflect.Value // all values, where the last expression has several
	TypeString string          // the value's type as its author wrote it
	Text       string          // the value as fmt prints it, where its type or its methods are the cells' own
	Notes      []string        // remarks that the user should see, one a line
}

// Evaluator holds what a notebook's cells have declared, and runs the next one. Run is not for concurrent use;
// Complete, Inspect and Status may be called while a cell runs.
type Evaluator struct {
	options Options

	mu          sync.Mutex // guards what follows against Complete, Inspect and Status
	fset        *token.FileSet
	importer    *symbols.Importer
	pkg         *types.Package  // the cells' package; emptied for each check
	typeNames   map[string]bool // types that the interpreter has under their own names
	texts       map[*token.File]string
	pageNumbers map[page]int // of cells, in the line numbers that the interpreter sees
	pages       []page
	sources     map[string][]string  // by cell name: its lines
	guesses     map[token.Pos]string // what may have been meant by a name that nothing declares
	entities    map[string]*entity
	next        map[string]*entity // entities as they will be once the cell being lowered has run
	typeSpecs   map[string]*ast.TypeSpec
	generics    map[string]*genericFunc // by name: "Map", "Stack.Push"
	instances   map[string]string       // of generic functions and types, by interpreter name and arguments
	imports     map[string]*ast.ImportSpec
	shims       map[string]map[string]*genericFunc
	lowering    token.Pos // of the statement being lowered
	dynamics    *dynamics
	graph       *graph
	trail       []footprint // of the latest cells, and of those from which something lives

	interp  *interp.Interpreter
	used    map[string]bool // packages that the interpreter knows
	trace   trace           // what yaegi says about panics passing through
	support *support
	counter int
}

// genericFunc is a generic function, kept to be written out for each list of type arguments.
type genericFunc struct {
	run  string
	decl *ast.FuncDecl
	body *types.Func
	info *types.Info
}

// New returns an evaluator with no declarations.
func New(options Options) (*Evaluator, error) {
	if options.Stdout == nil {
		options.Stdout = os.Stdout
	}
	if options.Stderr == nil {
		options.Stderr = os.Stderr
	}
	if options.Stdin == nil {
		options.Stdin = os.Stdin
	}
	e := &Evaluator{options: options}
	if e.options.Patience == 0 {
		e.options.Patience = 400 * time.Millisecond
	}
	if err := e.reset(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Evaluator) reset() error {
	e.fset = token.NewFileSet()
	e.importer = symbols.NewImporter(e.fset)
	e.pkg = types.NewPackage("main", "main")
	e.typeNames = map[string]bool{}
	e.pageNumbers, e.pages = map[page]int{}, []page{{}}
	e.texts = map[*token.File]string{}
	e.sources = map[string][]string{}
	e.guesses = map[token.Pos]string{}
	e.entities = map[string]*entity{}
	e.next = nil
	e.typeSpecs = map[string]*ast.TypeSpec{}
	e.generics = map[string]*genericFunc{}
	e.instances = map[string]string{}
	e.imports = map[string]*ast.ImportSpec{}
	e.shims = map[string]map[string]*genericFunc{}
	e.dynamics = newDynamics()
	e.graph = newGraph()
	e.trail = nil
	e.used = map[string]bool{}
	e.trace.reset()
	e.support = newSupport(e)
	e.interp = interp.New(interp.Options{Stdin: e.options.Stdin, Stdout: e.options.Stdout, Stderr: &e.trace, Args: []string{"banter"}})
	if err := e.interp.Use(e.support.exports()); err != nil {
		return fmt.Errorf("start the interpreter: %w", err)
	}
	if _, err := e.interp.Eval("var " + stopVariable + " bool"); err != nil {
		return fmt.Errorf("start the interpreter: %w", err)
	}
	v, err := e.interp.Eval("&" + stopVariable)
	if err != nil {
		return fmt.Errorf("start the interpreter: %w", err)
	}
	e.support.flag = v.Interface().(*bool)
	e.counter = 0
	for _, path := range e.options.Prelude {
		if _, err := e.importer.Import(path); err != nil {
			return err
		}
	}
	return nil
}

// Restart forgets all declarations.
func (e *Evaluator) Restart() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reset()
}

// Close stops what cells left running.
func (e *Evaluator) Close() error {
	e.support.set(true)
	return nil
}

// Run runs one cell. name is how messages call it: "cell 3". It fails with an *Error when the cell was refused, with a
// *Panic or *ExitError when it did not end well, and with ctx's error when it was stopped.
func (e *Evaluator) Run(ctx context.Context, name, src string) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	e.mu.Lock()
	e.graph.from, _ = ctx.Value(origin{}).(string)
	prepared, err := e.prepare(name, src)
	e.graph.from = ""
	e.mu.Unlock()
	if err != nil {
		return Result{}, err
	}
	return e.execute(ctx, prepared)
}

// prepared is a cell that was checked, lowered and declared.
type prepared struct {
	result *types.Tuple
	notes  []string
}

func (e *Evaluator) prepare(name, src string) (p *prepared, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *refusal:
			e.next = nil
			p, err = nil, e.diagnose(r)
		default: // a fault of the type checker or of the lowering must not end the session
			e.next = nil
			p, err = nil, e.diagnose(&refusal{e.lowering, fmt.Sprintf("banter cannot run this cell yet: checking it failed (%v)", r)})
		}
	}()
	checkedFrom, loweredFrom := e.fset.Base(), e.interp.FileSet().Base()
	defer func() { e.leave(footprint{name, since(e.fset, checkedFrom), since(e.interp.FileSet(), loweredFrom)}) }()
	e.lowering = token.NoPos
	parsed, err := e.parse(name, src)
	if err != nil {
		return nil, e.diagnose(err)
	}
	specs := maps.Clone(e.typeSpecs)
	for _, d := range parsed.decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
			for _, s := range g.Specs {
				specs[s.(*ast.TypeSpec).Name.Name] = s.(*ast.TypeSpec)
			}
		}
	}
	saved := e.typeSpecs
	e.typeSpecs = specs
	defer func() {
		if p == nil {
			e.typeSpecs = saved
		}
	}()
	ck, err := e.check(name, parsed)
	if err != nil {
		return nil, err
	}
	return e.declare(ck)
}

func (e *Evaluator) isTop(obj types.Object) bool {
	return obj.Parent() != nil && obj.Parent().Parent() == types.Universe && obj.Pkg() != nil
}

func (e *Evaluator) pending(name string) *entity {
	if e.next != nil {
		return e.next[name]
	}
	return e.entities[name]
}

func (e *Evaluator) methodsOf(typeName string) []*genericFunc {
	var list []*genericFunc
	for _, n := range sortedKeys(e.generics) {
		if recv, _, ok := strings.Cut(n, "."); ok && recv == typeName {
			list = append(list, e.generics[n])
		}
	}
	return list
}

func (e *Evaluator) genericSource(f *types.Func) *genericFunc {
	if f.Pkg() == nil {
		return nil
	}
	if f.Pkg().Path() == "main" {
		return e.generics[f.Name()]
	}
	return e.shim(f.Pkg().Path(), f.Name())
}

func idents(n ast.Node) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			names[id.Name] = true
		}
		return true
	})
	return names
}

func (e *Evaluator) provide(path string) error {
	if e.used[path] {
		return nil
	}
	if path != supportPath {
		table, ok := symbols.Exports(path)
		if !ok {
			return fmt.Errorf("banter cannot run package %s yet", path)
		}
		e.support.override(path, table)
		if err := e.interp.Use(interp.Exports{path + "/pkg": table}); err != nil {
			return err
		}
	}
	if err := e.eval("import " + packageAlias(path) + " " + strconv.Quote(path)); err != nil {
		return err
	}
	e.used[path] = true
	return nil
}

func (e *Evaluator) provides(path, name string) bool {
	p, ok := symbols.Lookup(path)
	if !ok {
		return false
	}
	_, f := p.Funcs[name]
	_, v := p.Vars[name]
	_, t := p.Types[name]
	return f || v || t
}

// eval gives text to yaegi; a panic of its compiler becomes an error.
func (e *Evaluator) eval(text string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the interpreter's compiler failed: %v", r)
		}
	}()
	defer letGo(e.interp)
	_, err = e.interp.Eval(text)
	return err
}

var position3 = regexp.MustCompile(`^(?:(.*?):)?(\d+):(\d+): (.*)$`)

// interpreterFault makes a refusal of what yaegi would not compile.
func (e *Evaluator) interpreterFault(err error) error {
	text := err.Error()
	line, _, _ := strings.Cut(text, "\n")
	if m := position3.FindStringSubmatch(line); m != nil {
		return &yaegiFault{e.position(m[1], m[2], m[3]), m[4]}
	}
	return fmt.Errorf("banter cannot run this cell yet: %s", line)
}

type yaegiFault struct {
	pos token.Position
	msg string
}

func (f *yaegiFault) Error() string {
	return "banter cannot run this yet: the interpreter says " + f.msg
}

// execute calls a prepared cell and waits for it, or for ctx.
func (e *Evaluator) execute(ctx context.Context, p *prepared) (Result, error) {
	e.trace.reset()
	e.support.sites.Clear()
	run := e.support.begin(ctx)
	defer run.end()
	type outcome struct {
		value reflect.Value
		err   error
	}
	finished := make(chan outcome, 1)
	call, before := e.interp.FileSet().Base(), slots(e.interp)
	go func() {
		var out outcome
		run.goroutine.Store(int64(goroutine()))
		ended := false
		defer func() {
			if !ended {
				if r := recover(); r != nil {
					out.err = interp.Panic{Value: r}
				} else {
					out.err = &ExitError{Call: "runtime.Goexit"}
				}
			}
			finished <- out
		}()
		out.value, out.err = e.interp.Eval(cellFunction + "()")
		ended = true
	}()
	var out outcome
	select {
	case out = <-finished:
	case <-ctx.Done():
		select {
		case out = <-finished:
		case <-time.After(e.options.Patience):
			return Result{}, fmt.Errorf("%w (a call of compiled code has not returned and was left behind)", ctx.Err())
		}
	}
	vacate(e.interp, before)
	since(e.interp.FileSet(), call).remove(e.interp.FileSet(), anyFile)
	letGo(e.interp)
	result := Result{Notes: append(p.notes, run.remarks()...)}
	if run.halted.Load() {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		return result, context.Canceled
	}
	if died := run.died(); died != nil {
		return result, e.panicked(died)
	}
	if out.err != nil {
		var pan interp.Panic
		if errors.As(out.err, &pan) {
			if _, ok := pan.Value.(stopped); ok {
				if err := ctx.Err(); err != nil {
					return result, err
				}
				return result, context.Canceled
			}
			if x, ok := pan.Value.(*ExitError); ok {
				return result, x
			}
			return result, e.panicked(&death{value: pan.Value, main: true, goroutine: int(run.goroutine.Load())})
		}
		return result, e.diagnose(e.interpreterFault(out.err))
	}
	if p.result != nil && run.reached {
		if out.value.IsValid() && out.value.CanInterface() && out.value.Kind() == reflect.Struct {
			out.value = reflect.ValueOf(bare(out.value.Interface()))
		}
		result.TypeString = types.TypeString(p.result, func(p *types.Package) string {
			if p.Path() == "main" {
				return ""
			}
			return p.Name()
		})
		if p.result.Len() == 1 {
			result.TypeString = strings.TrimSuffix(strings.TrimPrefix(result.TypeString, "("), ")")
		}
		result.Value, result.HasValue = out.value, out.value.IsValid() && p.result.Len() == 1
		if p.result.Len() == 1 {
			result.Values = []reflect.Value{out.value}
			if !out.value.IsValid() { // nil
				result.Value, result.HasValue = reflect.Zero(reflect.TypeFor[any]()), true
			}
		}
		result.Text = strings.Join(run.texts, " ")
		if p.result.Len() > 1 {
			result.HasValue = true
			result.Value = reflect.ValueOf(result.Text)
		}
	}
	return result, nil
}

func panicText(v any) string {
	switch x := v.(type) {
	case runtime.Error:
		return x.Error()
	case error:
		return x.Error()
	case fmt.Stringer:
		return x.String()
	case string:
		return x
	}
	return fmt.Sprintf("%T(%v)", v, v)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
