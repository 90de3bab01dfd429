// Package progress carries "how far along" reports from long work to whoever shows them: a terminal bar, a notebook
// display or a JSON line. A function that works long takes a context, calls [Tell] now and then, and need not know
// whether anybody listens.
package progress

import "context"

// Report says how far one piece of work has come.
type Report struct {
	Done  int64  // units finished so far
	Total int64  // units in all; 0 where it is not known
	Unit  string // what is counted: "s" of audio, "bytes", "steps", "messages"
	Note  string // a short status such as "loss 2.31"; may be empty

	// Values are what was measured at this point, by name, such as "loss": they make a curve. It may be nil, and is not
	// changed later.
	Values map[string]float64
}

// Func receives reports. It may be called from many goroutines and must return quickly.
type Func func(Report)

type contextKey struct{}

// With returns a context whose work reports to f.
func With(ctx context.Context, f Func) context.Context {
	return context.WithValue(ctx, contextKey{}, f)
}

// Tell passes r to the listener of ctx, if there is one.
func Tell(ctx context.Context, r Report) {
	if f, ok := ctx.Value(contextKey{}).(Func); ok && f != nil {
		f(r)
	}
}

// WithTotal returns a context whose reports without a total get this one: for work that does not know how much there is,
// called by somebody who does.
func WithTotal(ctx context.Context, total int64) context.Context {
	return With(ctx, func(r Report) {
		if r.Total == 0 {
			r.Total = total
		}
		Tell(ctx, r)
	})
}
