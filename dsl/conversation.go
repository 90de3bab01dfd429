package dsl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banter/dsl/memo"
	"banter/internal/problem"
	"banter/internal/worker"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
	"banter/stdlib/lm/llama"
	"banter/stdlib/lm/transformer"
	"banter/stdlib/models"
)

// voices are a base model alone and, where there is one, with an adapter.
type voices struct {
	*base
	plain, tuned generate.Voice // tuned is nil without an adapter
	scratch      string         // folder of the adapter's GGUF file; may be empty
}

func (v *voices) Close() error {
	err := v.base.Close()
	if v.scratch != "" {
		err = errors.Join(err, os.RemoveAll(v.scratch))
	}
	return err
}

// openVoices opens a base model by name and puts the adapter, which may be nil, on a second view of it. A GGUF base is
// served by llama.cpp, where engine is not nil. The caller closes them.
func openVoices(ctx context.Context, name string, a *adapter.Adapter, engine llama.Engine) (*voices, error) {
	model, err := models.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	b, err := openBase(model)
	if err != nil {
		return nil, err
	}
	v := &voices{base: b}
	if a != nil {
		if err := v.fits(a); err != nil {
			return nil, errors.Join(err, v.Close())
		}
	}
	if b.Model.GGUF != nil && engine != nil {
		err = v.serve(engine, model.Path, a)
	} else {
		err = v.compute(a)
	}
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// fits refuses an adapter that was made for another base.
func (v *voices) fits(a *adapter.Adapter) error {
	digest, err := v.Digest()
	if err != nil {
		return err
	}
	return a.Check(v.Config, digest)
}

// compute lets this program do the arithmetic.
func (v *voices) compute(a *adapter.Adapter) error {
	plain, err := transformer.New(v.Model, transformer.Options{})
	if err != nil {
		return err
	}
	v.plain = generate.New(plain, v.Format)
	if a == nil {
		return nil
	}
	tuned, err := transformer.New(v.Model, transformer.Options{})
	if err != nil {
		return err
	}
	v.tuned = generate.New(tuned, v.Format)
	return tuned.SetAdapter(a)
}

// serve lets llama.cpp do it.
func (v *voices) serve(engine llama.Engine, path string, a *adapter.Adapter) error {
	v.plain = llama.New(engine, path, "", v.Format)
	if a == nil {
		return nil
	}
	var err error
	if v.scratch, err = os.MkdirTemp("", "banter-adapter-"); err != nil {
		return err
	}
	file := filepath.Join(v.scratch, "adapter.gguf")
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	v.tuned = llama.New(engine, path, file, v.Format)
	return errors.Join(a.WriteGGUF(f, v.Config), f.Close())
}

// withEngine says in a step's key that llama.cpp computes, and returns the engine, where that is so: for GGUF bases, if the
// native worker is there.
func (s *Session) withEngine(step memo.Step, model models.Model) (memo.Step, llama.Engine, error) {
	if info, err := os.Stat(model.Path); err != nil || info.IsDir() || !s.pool.Found() {
		return step, nil, err
	}
	identity, err := s.llamaIdentity()
	if err != nil {
		return step, nil, err
	}
	step = step.With("engine", identity)
	step.Varies = "llama.cpp's arithmetic rounds differently on other processors"
	return step, s.pool, nil
}

// Conversation is a talk with a base model and with its adapter, side by side. Each keeps what it said itself.
type Conversation struct {
	voices  *voices
	pool    *worker.Pool // of its own; may be nil
	history map[string][]chattemplate.Message
	options generate.Options
}

// The sides of a conversation.
const (
	BaseSide  = "base"
	TunedSide = "tuned"
)

// OpenConversation opens a base model by name or path, and the PEFT adapter in a folder, which may be empty.
func OpenConversation(ctx context.Context, base, adapterDir string, o generate.Options) (*Conversation, error) {
	if err := o.Check(); err != nil {
		return nil, &problem.Error{Op: "open conversation", Err: err}
	}
	var a *adapter.Adapter
	if adapterDir != "" {
		var err error
		if a, err = adapter.Read(adapterDir); err != nil {
			return nil, err
		}
	}
	pool := worker.NewPool(worker.Options{})
	var engine llama.Engine
	if pool.Found() {
		engine = pool
	}
	v, err := openVoices(ctx, base, a, engine)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &Conversation{v, pool, map[string][]chattemplate.Message{}, o}, nil
}

// Sides lists who answers.
func (c *Conversation) Sides() []string {
	if c.voices.tuned == nil {
		return []string{BaseSide}
	}
	return []string{BaseSide, TunedSide}
}

// Say lets one side answer. emit, where it is not nil, gets the answer bit by bit. An answer that was broken off leaves the
// conversation as it was.
func (c *Conversation) Say(ctx context.Context, side, text string, emit func(string)) (string, error) {
	from := c.voices.plain
	if side == TunedSide {
		from = c.voices.tuned
	}
	turns := append(slices.Clone(c.history[side]), chattemplate.Message{Role: "user", Content: text})
	answer, err := from.Answer(ctx, turns, c.options, emit)
	if err != nil {
		return "", err
	}
	c.history[side] = append(turns, chattemplate.Message{Role: "assistant", Content: answer.Text})
	return answer.Text, nil
}

// Turn lets each side answer, and writes the answers to w as they come. A turn that was broken off leaves the conversation
// of both sides as it was.
func (c *Conversation) Turn(ctx context.Context, w io.Writer, text string) (Answered, error) {
	a := Answered{Prompt: text}
	before := maps.Clone(c.history)
	for _, side := range c.Sides() {
		fmt.Fprintf(w, "%5s  ", side)
		answer, err := c.Say(ctx, side, text, func(bit string) { fmt.Fprint(w, Printable(bit)) })
		fmt.Fprintln(w)
		if err != nil {
			c.history = before
			return a, err
		}
		if side == TunedSide {
			a.Tuned = answer
		} else {
			a.Base = answer
		}
	}
	return a, nil
}

// Printable is text that cannot steer a terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r >= 0xa0) {
			return r
		}
		return '\ufffd'
	}, s)
}

// Forget begins anew.
func (c *Conversation) Forget() { clear(c.history) }

// Close lets the models go.
func (c *Conversation) Close() error {
	err := c.voices.Close()
	if c.pool != nil {
		err = errors.Join(err, c.pool.Close())
	}
	return err
}
