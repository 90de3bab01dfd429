// Package generate lets a model write answers and says how likely it finds given ones. A computing model and its format
// of conversations go in; text, or log-probabilities, come out. The same model, conversation, options and seed give the
// same answer on any machine.
package generate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"banter/internal/progress"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/sampling"
	"banter/stdlib/lm/transformer"
)

// Generator writes and scores answers. It is safe for concurrent use while the model's adapter does not change.
type Generator struct {
	model  *transformer.Model
	format *chattemplate.Format
}

// New joins a model and its format.
func New(model *transformer.Model, format *chattemplate.Format) *Generator {
	return &Generator{model, format}
}

// Model returns the generator's model.
func (g *Generator) Model() *transformer.Model { return g.model }

// Format returns the generator's format.
func (g *Generator) Format() *chattemplate.Format { return g.format }

// Sampling says how the next token is drawn.
type Sampling = sampling.Sampling

// Voice is what answers: a [Generator], or another engine's model.
type Voice interface {
	// Answer writes the assistant's next turn. emit, where it is not nil, gets the text bit by bit.
	Answer(ctx context.Context, turns []chattemplate.Message, o Options, emit func(text string)) (Answer, error)
}

// DefaultTokens is where an answer is cut off if nothing else is said.
const DefaultTokens = 256

// Options says how an answer is drawn.
type Options struct {
	Sampling
	MaxTokens int      // the answer is cut off after so many; 0: DefaultTokens
	Stop      []string // the answer ends before any of these
	Seed      uint64
}

// Ending says why an answer ended.
type Ending string

// The ways an answer ends.
const (
	EndOfTurn Ending = "end of turn" // the model said so
	Stopped   Ending = "stop"        // a stop string
	Limit     Ending = "limit"       // MaxTokens, or the model's positions
)

// Answer is what a model wrote.
type Answer struct {
	Text   string
	Tokens int // generated, the mark that ends the turn included
	Ending Ending
}

// Answer writes the assistant's next turn. emit, where it is not nil, gets the text bit by bit.
func (g *Generator) Answer(ctx context.Context, turns []chattemplate.Message, o Options, emit func(text string)) (Answer, error) {
	if err := o.Check(); err != nil {
		return Answer{}, fmt.Errorf("generate: %w", err)
	}
	prompt, err := g.format.Prompt(turns...)
	if err != nil {
		return Answer{}, fmt.Errorf("generate: %w", err)
	}
	limit := o.MaxTokens
	if limit == 0 {
		limit = DefaultTokens
	}
	if room := g.model.Config().MaxPositions - len(prompt); room < 1 {
		return Answer{}, fmt.Errorf("generate: the conversation has %d tokens, the model reads %d (shorten it)", len(prompt), g.model.Config().MaxPositions)
	} else if room < limit {
		limit = room
	}
	d := g.model.Decoder()
	logits, err := d.Append(ctx, prompt)
	if err != nil {
		return Answer{}, fmt.Errorf("generate: %w", err)
	}
	s := sampling.New(o.Sampling, o.Seed, prompt)
	var ids []int
	w := writer{stops: o.Stop, emit: emit}
	for {
		token := s.Next(logits)
		if g.format.EndsTurn(token) {
			w.finish()
			return Answer{w.text[:w.end()], len(ids) + 1, EndOfTurn}, nil
		}
		ids = append(ids, int(token))
		progress.Tell(ctx, progress.Report{Done: int64(len(ids)), Total: int64(limit), Unit: "tokens"})
		w.update(g.format.Tokenizer().Decode(ids, true))
		if w.stopped {
			w.finish()
			return Answer{w.text[:w.end()], len(ids), Stopped}, nil
		}
		if len(ids) == limit {
			w.finish()
			return Answer{w.text[:w.end()], len(ids), Limit}, nil
		}
		if logits, err = d.Append(ctx, []int32{token}); err != nil {
			return Answer{}, fmt.Errorf("generate: after %d tokens: %w", len(ids), err)
		}
	}
}

// Check says which option makes no sense.
func (o Options) Check() error {
	if o.MaxTokens < 0 {
		return fmt.Errorf("at most %d tokens", o.MaxTokens)
	}
	for _, s := range o.Stop {
		if s == "" {
			return errors.New("an empty stop string")
		}
	}
	return o.Sampling.Check()
}

// writer passes text on as it grows, but holds back what may yet change: half a character, or the start of a stop string.
type writer struct {
	stops   []string
	emit    func(string)
	text    string
	at      int // where a stop string begins, once stopped
	stopped bool
	sent    int
}

// end is where the answer ends in text.
func (w *writer) end() int {
	if w.stopped {
		return w.at
	}
	return len(w.text)
}

func (w *writer) update(text string) {
	w.text = text
	for _, stop := range w.stops {
		if at := strings.Index(text, stop); at >= 0 && (!w.stopped || at < w.at) {
			w.at, w.stopped = at, true
		}
	}
	if w.stopped {
		return
	}
	w.send(Settled(text, w.stops))
}

// Settled returns how many bytes of a growing text can be passed on: not half a character, nor what may be the start of a
// stop string.
func Settled(text string, stops []string) int {
	safe := len(strings.TrimRight(text, string(utf8.RuneError)))
	for _, stop := range stops {
		for n := min(len(stop)-1, len(text)); n > 0; n-- {
			if strings.HasSuffix(text, stop[:n]) {
				safe = min(safe, len(text)-n)
				break
			}
		}
	}
	return safe
}

// finish passes on the rest.
func (w *writer) finish() { w.send(w.end()) }

func (w *writer) send(to int) {
	if w.emit != nil && to > w.sent {
		w.emit(w.text[w.sent:to])
		w.sent = to
	}
}
