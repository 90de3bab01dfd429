package eval

import (
	"fmt"

	"banter/stdlib/dataset"
)

// Leaks says how much of the holdout nearly stands in training too: near-duplicates, and copypasta across the split.
type Leaks struct {
	Holdout   int    `json:"holdout"`
	Both      int    `json:"both"`      // prompt and response have the same normal forms as a training example's
	Responses int    `json:"responses"` // long responses that are nearly a training example's
	Prompts   int    `json:"prompts"`   // prompts that are nearly a training example's
	Leaked    int    `json:"leaked"`    // held-out examples that are one of the first two, at least
	Examples  []Leak `json:"examples,omitempty"`
}

// Leak is one of them.
type Leak struct {
	Holdout  string `json:"holdout"` // ids
	Training string `json:"training"`
	Response string `json:"response"`
}

// Share is that of the holdout which leaked.
func (l *Leaks) Share() float64 { return float64(l.Leaked) / float64(max(1, l.Holdout)) }

// leaks holds the two sides against each other, as the making of a dataset does.
func (e *evaluation) leaks(r *Report) error {
	rows := make([]dataset.Row, 0, len(e.holdout)+len(e.training))
	add := func(side []Example, split string) {
		for _, x := range side {
			rows = append(rows, dataset.Row{ID: x.ID, Stream: x.Stream, Split: split, Direction: dataset.SpeechToChat, Speech: x.Prompt, Response: x.Response})
		}
	}
	add(e.holdout, dataset.Holdout)
	add(e.training, dataset.Train)
	_, found, err := dataset.CheckLeaks(rows, dataset.Leak{Emotes: e.Emotes})
	if err != nil {
		return fmt.Errorf("check leaks: %w", err)
	}
	r.Leaks = &Leaks{Holdout: found.Holdout, Both: found.Both, Responses: found.Completions, Prompts: found.Prompts, Leaked: max(found.Both, found.Completions)}
	for _, x := range found.Examples {
		r.Leaks.Examples = append(r.Leaks.Examples, Leak{x.Holdout, x.Train, x.Text})
	}
	return nil
}
