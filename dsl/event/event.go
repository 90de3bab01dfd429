// Package event is what a run says about itself while it runs: which step began, how far it is, whether its result was
// there already, and what it found worth saying. A terminal, a notebook and a log show the same events.
package event

// State is where a step is.
type State string

// The states of a step, in the order in which they can come.
const (
	Started  State = "started"
	Progress State = "progress"
	Hit      State = "hit"    // the store had the result
	Done     State = "done"   // the work was done
	Failed   State = "failed" // the work could not be done
	Note     State = "note"   // something worth saying; the step goes on
)

// Event is one thing that happened.
type Event struct {
	State   State              `json:"state"`
	Verb    string             `json:"step"`            // "transcribe"
	Label   string             `json:"label,omitempty"` // what it is done to: "s1"
	Key     string             `json:"key,omitempty"`
	Done    int64              `json:"done,omitempty"`    // Progress: units finished
	Total   int64              `json:"total,omitempty"`   // Progress: units in all, 0 where not known
	Unit    string             `json:"unit,omitempty"`    // Progress: what is counted
	Text    string             `json:"text,omitempty"`    // for people
	Values  map[string]float64 `json:"values,omitempty"`  // Progress: what was measured at this point, by name: "loss"
	Seconds float64            `json:"seconds,omitempty"` // Hit, Done, Failed: since the step began
}

// Sink takes events. It is called from many goroutines.
type Sink func(Event)
