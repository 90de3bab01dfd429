package speech

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"banter/stdlib/models"
)

// Options say how to transcribe. All fields but those marked as no part of its identity can change the transcript, and are
// what a cache must look at. [NewOptions] fills them in.
type Options struct {
	Model    models.Model  // speech model
	VAD      *models.Model // voice activity model; nil: pauses are found by loudness alone
	Language string        // ISO 639-1; empty: detected in each window
	Prompt   string        // names and words to expect, as text that might have come before
	Beam     int           // beam width; 1: greedy
	Context  int           // tokens of the window's earlier text as context for the next; 0: none

	Window  time.Duration // length of the stretches that are transcribed one by one, at most 30 min
	Overlap time.Duration // how far two of them overlap where no pause was found to part them

	// Recheck: a segment with a word less likely than this is heard once more by itself, and the likelier of the two is
	// taken; 0: off. It costs one more run of the model for each such segment.
	Recheck float64

	Gates Gates

	GPU bool // compute on a GPU where there is one; a GPU gives other last digits than a CPU

	Threads int `json:"-"` // of each worker; 0: all cores over Parallel; no part of the identity
	// Parallel is how many windows are in work at a time; 0: 1. It should not exceed the engine's workers. No part of the
	// identity.
	Parallel int `json:"-"`
}

// Gates are what makes a segment's words be withheld: recognisers invent text where nobody speaks.
type Gates struct {
	NoSpeech   float64 // from this probability of no speech on, unless the words are likely all the same; above 1: off
	LogProb    float64 // mean log probability of its tokens below which a segment without speech is believed to be invented
	Repeats    int     // from so many repetitions of the same words on; 0: off
	Rate       float64 // words a second that nobody says; 0: off
	Confidence float64 // mean probability of a segment's words below which they are noise; 0: off
}

// NewOptions returns the options that suit a model.
func NewOptions(m models.Model) Options {
	return Options{
		Model:    m,
		Language: m.Quirks.Language,
		Beam:     5,
		Context:  0,
		Window:   28 * time.Second,
		Overlap:  5 * time.Second,
		Recheck:  0.6,
		Gates:    Gates{NoSpeech: 0.6, LogProb: -1, Repeats: 5, Rate: 8, Confidence: 0.2},
	}
}

// Engine runs the native worker's methods; a [banter/internal/worker.Pool] is one.
type Engine interface {
	Call(ctx context.Context, method string, params any, payload []byte) (result json.RawMessage, out []byte, err error)
}

// Source gives samples at 16 kHz, mono, and io.EOF after the last.
type Source interface {
	Read(samples []float32) (int, error)
}

func (o *Options) check() error {
	switch {
	case o.Model.Path == "":
		return errors.New("no speech model is named")
	case o.Window < time.Second || o.Window > 30*time.Minute:
		return fmt.Errorf("a window of %v is not between 1 s and 30 min", o.Window)
	case o.Overlap < 0 || o.Overlap > o.Window/2:
		return fmt.Errorf("an overlap of %v is not between 0 and half a window of %v", o.Overlap, o.Window)
	case o.Context > 0 && o.Model.Quirks.NoTextContext:
		return fmt.Errorf("the model %s does not bear text context", o.Model.Name)
	}
	return nil
}

func (o *Options) parallel() int { return max(o.Parallel, 1) }

func (o *Options) threads() int {
	if o.Threads > 0 {
		return o.Threads
	}
	return max(1, min(runtime.NumCPU(), 8)/o.parallel())
}
