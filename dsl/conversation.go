package dsl

import (
	"context"
	"errors"
	"slices"

	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
	"banter/stdlib/lm/transformer"
	"banter/stdlib/models"
)

// voices are a base model alone and, where there is one, with an adapter.
type voices struct {
	*base
	plain, tuned *generate.Generator // tuned is nil without an adapter
}

// openVoices opens a base model and puts the adapter, which may be nil, on a second view of it. The caller closes them.
func openVoices(ctx context.Context, name string, a *adapter.Adapter) (*voices, error) {
	model, err := models.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	b, err := openBase(model)
	if err != nil {
		return nil, err
	}
	v := &voices{base: b}
	plain, err := transformer.New(b.Model, transformer.Options{})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	v.plain = generate.New(plain, b.Format)
	if a == nil {
		return v, nil
	}
	tuned, err := transformer.New(b.Model, transformer.Options{})
	if err == nil {
		err = tuned.SetAdapter(a)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	v.tuned = generate.New(tuned, b.Format)
	return v, nil
}

// Conversation is a talk with a base model and with its adapter, side by side. Each keeps what it said itself.
type Conversation struct {
	voices  *voices
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
	var a *adapter.Adapter
	if adapterDir != "" {
		var err error
		if a, err = adapter.Read(adapterDir); err != nil {
			return nil, err
		}
	}
	v, err := openVoices(ctx, base, a)
	if err != nil {
		return nil, err
	}
	return &Conversation{v, map[string][]chattemplate.Message{}, o}, nil
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

// Forget begins anew.
func (c *Conversation) Forget() { clear(c.history) }

// Close lets the models go.
func (c *Conversation) Close() error { return c.voices.Close() }
