// Package dsl is what a notebook cell or a recipe says: the verbs Load, Transcribe, Align, Filter, Dataset, Train, Eval
// and Sample, their options, and the values they give.
//
// A value is a handle on stored results. It is immutable: a verb returns a new one. Every verb's result is kept in the
// store of the current [Session] under a key of all that it depends on, so that a verb said again, here or in another
// process, costs a look-up.
//
// Verbs do not return errors: they stop the cell or recipe by a panic with an [*Error], which the kernel and the runner
// show as the sentence it is.
//
// Times are in stream time: the [time.Duration] since the first sample of the recording.
package dsl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"banter/dsl/event"
	"banter/dsl/memo"
	"banter/dsl/memo/bucket"
	"banter/internal/progress"
	"banter/internal/worker"
)

// Session is where verbs run: a store, a context that can stop them, and somebody to tell about progress.
type Session struct {
	ctx context.Context
	*shared
}

// shared is what all views of one session have in common.
type shared struct {
	store      *memo.Store
	sink       event.Sink
	out        string            // folder for exports and reports
	jobs       int               // streams worked on at once
	params     map[string]string // overrides of the recipe's parameters
	program    *compiled         // the recipe, where it is a program of its own
	text       []byte            // of the recipe; may be nil
	listParams func(any)         // where not nil, Main only passes the parameters to it
	dry        bool              // steps are looked up, and nothing is written
	pool       *worker.Pool      // native workers, started on first use
	decode     decoded           // artifacts in memory
	front      Frontend          // where values are shown; nil: nowhere
	bundled    bundled
	explored   atomic.Int64 // pictures of Explore so far

	mu         sync.Mutex
	steps      []Ran
	kept       int // of steps, how many gc knows of: see keepSession
	exports    []string
	trainings  []Training           // that a dry run came to
	given      []Param              // what Main was given, as this run has it
	modelFiles map[string]memo.File // that were asked for, as they were then
}

// Ran is one step as it went in this session.
type Ran struct {
	Step    memo.Step
	Key     memo.Key
	Outcome memo.Outcome
	Seconds float64
	Err     error
	Shared  bool // in a dry run: a hit, but in the shared store alone
}

// Config is how to open a session. The zero value works.
type Config struct {
	Store  string            // folder of the store; empty: [DefaultStore]
	Shared string            // bucket behind the store, as package bucket opens it; empty: the environment's BANTER_SHARED, or none
	Out    string            // folder for exports and reports; empty: "out"
	Sink   event.Sink        // told of progress; nil: nobody
	Jobs   int               // streams worked on at once; 0: one a core
	Params map[string]string // overrides of the recipe's parameters
	Engine string            // the banter-engine program; empty: look for it
	Front  Frontend          // the notebook page that values are shown on; nil: there is none

	DryRun bool // only look steps up: the first whose result is not there ends the run

	// Recipe is the text of the recipe that is to run, where it is known: a model that it names in vain is told before its
	// first verb.
	Recipe []byte

	// ListParams, if set, makes Main pass its parameters to it and do nothing else.
	ListParams func(params any)
}

// DefaultStore is the store that is used when none is named: the environment's BANTER_STORE, or .banter in the nearest
// folder, from here upwards, that has one or is the root of a project.
func DefaultStore() string {
	if dir := os.Getenv("BANTER_STORE"); dir != "" {
		return dir
	}
	here, err := os.Getwd()
	if err != nil {
		return ".banter"
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		for _, mark := range []string{".banter", ".git", "go.mod"} {
			if _, err := os.Stat(filepath.Join(dir, mark)); err == nil {
				return filepath.Join(dir, ".banter")
			}
		}
		if dir == filepath.Dir(dir) {
			return filepath.Join(here, ".banter")
		}
	}
}

// workerGrace is how long a native worker has to stop by itself when a step is cancelled. Then it is killed, which loses
// nothing but the models that it had loaded: an interrupted cell ends at once, whatever the worker is in the middle of.
const workerGrace = 250 * time.Millisecond

// Open opens a session. Close it to end its native workers.
func Open(c Config) (*Session, error) {
	if c.Store == "" {
		c.Store = DefaultStore()
	}
	if c.Out == "" {
		c.Out = "out"
	}
	if c.Jobs <= 0 {
		c.Jobs = runtime.GOMAXPROCS(0)
	}
	if c.Sink == nil {
		c.Sink = func(event.Event) {}
	}
	store, err := memo.Open(c.Store, func(text string) { c.Sink(event.Event{State: event.Note, Verb: "store", Text: text}) })
	if err != nil {
		return nil, err
	}
	if c.Shared == "" {
		c.Shared = os.Getenv("BANTER_SHARED")
	}
	if c.Shared != "" {
		b, err := bucket.Open(context.Background(), c.Shared)
		if err != nil {
			return nil, err
		}
		store.Share(b)
	}
	all := &shared{store: store, sink: c.Sink, out: c.Out, jobs: c.Jobs, params: c.Params,
		text: c.Recipe, listParams: c.ListParams, dry: c.DryRun, front: c.Front, pool: worker.NewPool(worker.Options{Path: c.Engine, Workers: c.Jobs, Grace: workerGrace})}
	return &Session{all.withModels(context.Background()), all}, nil
}

// Flush waits until all results are in the shared store, if there is one, or ctx is done.
func (s *Session) Flush(ctx context.Context) {
	if n := s.store.Pending(); n > 0 {
		s.note("store", "", "sending %s to %s", plural(n, "result"), s.store.Shared())
	}
	if err := s.store.Flush(ctx); err != nil {
		s.note("store", "", "broken off with %s left to send to %s: recipe cache push sends them", plural(s.store.Pending(), "result"), s.store.Shared())
	}
}

// Close ends the session's native workers, and gives what is still on its way to the shared store a moment to get there.
// Its results stay in the store.
func (s *Session) Close() error {
	const moment = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	_ = s.store.Flush(ctx) // what does not get there is sent by recipe cache push
	return errors.Join(s.pool.Close(), s.store.Close())
}

// Store is where the session keeps its results.
func (s *Session) Store() *memo.Store { return s.store }

// Out is the folder for exports and reports.
func (s *Session) Out() string { return s.out }

// Ran lists the steps that were asked for so far, in the order in which they ended.
func (s *Session) Ran() []Ran {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Ran(nil), s.steps...)
}

// Exports lists the files written to the out folder so far.
func (s *Session) Exports() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.exports...)
}

// Keys are the keys of all steps that succeeded so far: what gc must keep for this run.
func (s *Session) Keys() []memo.Key {
	var keys []memo.Key
	for _, r := range s.Ran() {
		if r.Err == nil {
			keys = append(keys, r.Key)
		}
	}
	return keys
}

// about says how the run was called: what it takes to run it again, and to compare it.
func (s *Session) about() map[string]string {
	about := map[string]string{"out": s.out}
	if dir, err := os.Getwd(); err == nil {
		about["dir"] = dir
	}
	for _, p := range s.Given() {
		about["param."+p.Name] = p.Default
	}
	for name, value := range s.params {
		about["set."+strings.ToLower(name)] = value
	}
	return about
}

// Run lets the verbs that body says work in this session until ctx is done. A verb's failure comes back as an [*Error];
// any other panic goes on.
func (s *Session) Run(ctx context.Context, body func() error) (err error) {
	defer attach(&Session{s.withModels(ctx), s.shared})()
	if s.front != nil {
		defer func() {
			if e := s.keepSession(); e != nil {
				s.note("store", "", "what this session makes is not marked as wanted: %v", e)
			}
		}()
	}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			err = r
		default:
			panic(r)
		}
	}()
	return body()
}

var (
	activeMu sync.Mutex
	active   *Session
)

func attach(s *Session) (detach func()) {
	activeMu.Lock()
	defer activeMu.Unlock()
	before := active
	active = s
	return func() {
		activeMu.Lock()
		defer activeMu.Unlock()
		active = before
	}
}

// current is the session that verbs run in. A program that says verbs outside [Main] and [Session.Run] gets one with
// all defaults.
func current() *Session {
	activeMu.Lock()
	defer activeMu.Unlock()
	if active == nil {
		s, err := Open(Config{})
		if err != nil {
			panic(&Error{Verb: "open", Err: err})
		}
		active = s
	}
	return active
}

// Error is why a verb could not do its work.
type Error struct {
	Verb  string
	Label string // what it was done to: a stream's id, a file
	Key   memo.Key
	Err   error
}

func (e *Error) Error() string {
	text := e.Verb
	if e.Label != "" {
		text += " " + e.Label
	}
	if errors.Is(e.Err, context.Canceled) {
		return text + ": interrupted (what was finished is kept: run it again to go on)"
	}
	return text + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// fail stops the cell or recipe.
func fail(verb, label string, err error) {
	var inner *Error
	if errors.As(err, &inner) {
		panic(inner)
	}
	panic(&Error{Verb: verb, Label: label, Err: err})
}

// do returns the result of one step, from the store or by work.
func (s *Session) do(step memo.Step, work func(context.Context, *memo.Draft) error) (memo.Manifest, error) {
	step = s.watchModels(step.With("impl", implementation(step.Verb)))
	key := step.Key()
	if s.dry {
		return s.lookUp(step, key)
	}
	began := time.Now()
	say := func(e event.Event) {
		e.Verb, e.Label, e.Key = step.Verb, step.Label, string(key)
		s.sink(e)
	}
	say(event.Event{State: event.Started})
	ctx := progress.With(s.ctx, func(r progress.Report) {
		say(event.Event{State: event.Progress, Done: r.Done, Total: r.Total, Unit: r.Unit, Text: r.Note, Values: r.Values})
	})
	m, outcome, err := s.store.Do(ctx, step, work)
	seconds := time.Since(began).Seconds()
	if err == nil {
		step.Parts, key = m.Parts, m.Key // work may have found that more belongs to them
	}
	s.mu.Lock()
	s.steps = append(s.steps, Ran{Step: step, Key: key, Outcome: outcome, Seconds: seconds, Err: err})
	s.mu.Unlock()
	switch {
	case err != nil:
		failed := &Error{step.Verb, step.Label, key, err}
		say(event.Event{State: event.Failed, Seconds: seconds, Text: failed.Error()})
		return m, failed
	case outcome == memo.Hit:
		say(event.Event{State: event.Hit, Seconds: seconds})
	default:
		say(event.Event{State: event.Done, Seconds: seconds})
	}
	return m, nil
}

// note says something about a verb that is no part of its result.
func (s *Session) note(verb, label, format string, args ...any) {
	s.sink(event.Event{State: event.Note, Verb: verb, Label: label, Text: fmt.Sprintf(format, args...)})
}

// cores is how many processor cores there are to share out.
func (s *Session) cores() int { return runtime.GOMAXPROCS(0) }

// each runs f for 0..n-1 on the session's jobs and stops at the first error.
func (s *Session) each(n int, f func(*Session, int) error) error {
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	inner := &Session{ctx, s.shared}
	var wait sync.WaitGroup
	var missed atomic.Pointer[error] // of a dry run, which looks at all
	next := make(chan int)
	for range min(s.jobs, n) {
		wait.Go(func() {
			for i := range next {
				err := f(inner, i)
				if s.dry && NotMade(err) {
					missed.Store(&err)
				} else if err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wait.Wait()
	if err := missed.Load(); err != nil && ctx.Err() == nil {
		return *err
	}
	return context.Cause(ctx)
}
