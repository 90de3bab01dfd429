package session

import (
	"context"
	"reflect"
)

// Evaluator runs and understands cells. Completion, inspection and Status are called while a cell runs.
type Evaluator interface {
	// Run runs one cell. It stops soon after ctx is done. name is how errors call the cell: "cell3".
	Run(ctx context.Context, name, src string) (Result, error)
	// Complete offers what could stand at a byte offset in src.
	Complete(src string, cursor int) Completion
	// Inspect describes what stands at a byte offset in src.
	Inspect(src string, cursor int) (Inspection, bool)
	// Status says whether src is a whole cell.
	Status(src string) Status
	// Define gives cells a variable or function.
	Define(name string, value any) error
}

// Result is what a cell comes to.
type Result struct {
	Value    reflect.Value // the last expression's value
	HasValue bool
	Text     string   // the value as text, where the evaluator knows better than fmt; may be empty
	Notes    []string // remarks that the user should see, one a line
}

// Completion is a list of texts that could replace src[Start:End].
type Completion struct {
	Start, End int // byte offsets
	Items      []CompletionItem
}

// CompletionItem is one text that could stand at the cursor.
type CompletionItem struct {
	Text      string
	Kind      string // "function", "type", "field", "package", "path" …
	Signature string // its type
}

// Inspection describes a name.
type Inspection struct {
	Text string // plain text
	HTML string // the same as HTML; may be empty
}

// Status is what a front-end asks before it runs a cell on Enter.
type Status struct {
	State  string // "complete", "incomplete", "invalid" or "unknown"
	Indent string // what the next line of an incomplete cell should begin with
}

// fault is what an error can say beyond its sentence.
type fault interface {
	error
	// Name is its kind: "compile error", "panic".
	Name() string
	// Traceback is the lines that show where it happened; they may hold ANSI colours.
	Traceback() []string
}
