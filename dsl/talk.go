package dsl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"banter/dsl/memo"
	"banter/internal/progress"
	"banter/stdlib/chart"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
	"banter/stdlib/lm/llama"
)

// Talk is what Chat gives: a conversation with a trained model, or, as an option of Load, where the chat logs are.
type Talk struct {
	logs  string
	turns []Answered
}

func (t Talk) load(o *loadOptions) {
	if t.logs == "" {
		fail("load", "", errors.New("a conversation holds no chat logs: name them by a pattern, Chat(\"chat/*.json\")"))
	}
	o.chat = t.logs
}

// ChatOption changes how Chat talks.
type ChatOption interface{ chat(*chatOptions) }

type chatOptions struct {
	Turns    []string         `json:"turns"`
	Generate generate.Options `json:"generate"`
}

type chatOption func(*chatOptions)

func (f chatOption) chat(o *chatOptions) { f(o) }

func (f GenerateOption) chat(o *chatOptions) { f(&o.Generate) }

func (n SeedOption) chat(o *chatOptions) { o.Generate.Seed = uint64(n) }

// usualAnswers is how answers are drawn unless a cell says otherwise.
func usualAnswers() generate.Options {
	return generate.Options{Sampling: usualSampling, MaxTokens: 48}
}

// Say gives the user's side of a conversation, turn by turn.
func Say(turns ...string) ChatOption {
	return chatOption(func(o *chatOptions) { o.Turns = append(o.Turns, turns...) })
}

const talkFile = "talk.json"

// Chat talks with a model that Train gave: the base and the adapter answer side by side, each with its own answers before
// it. With Say the user's side is a script, and the same seed gives the same conversation; without, the notebook asks for
// each turn until an empty one.
//
// As an option of Load, Chat names the chat logs by a pattern such as "chat/*.json". A log belongs to the recording with
// the same name, or to the one whose name holds the log's video id.
func Chat(with any, options ...ChatOption) Talk {
	switch with := with.(type) {
	case string:
		if len(options) > 0 {
			fail("chat", with, errors.New("chat logs have no options here: Say and the like are for Chat(tuned)"))
		}
		if with == "" {
			fail("chat", "", errors.New("the pattern of the chat logs is empty"))
		}
		return Talk{logs: with}
	case Tuned:
		o := chatOptions{Generate: usualAnswers()}
		for _, set := range options {
			set.chat(&o)
		}
		var turns []Answered
		var err error
		if len(o.Turns) > 0 {
			turns, err = current().script(with, o)
		} else {
			turns, err = current().interview(with, o)
		}
		if err != nil {
			fail("chat", with.base, err)
		}
		return Talk{turns: turns}
	}
	fail("chat", "", fmt.Errorf("Chat talks with what Train gave, or names chat logs by a pattern; this is a %T", with))
	return Talk{}
}

// script has both sides answer given turns.
func (s *Session) script(t Tuned, o chatOptions) ([]Answered, error) {
	step, engine, err := s.answering("chat", plural(len(o.Turns), "turn"), t, o)
	if err != nil {
		return nil, err
	}
	m, err := s.do(step, func(ctx context.Context, d *memo.Draft) error {
		c, err := s.converse(ctx, t, engine, o.Generate)
		if err != nil {
			return err
		}
		defer c.Close()
		turns := make([]Answered, len(o.Turns))
		for i, text := range o.Turns {
			turns[i].Prompt = text
			for side, to := range map[string]*string{BaseSide: &turns[i].Base, TunedSide: &turns[i].Tuned} {
				if *to, err = c.Say(ctx, side, text, nil); err != nil {
					return err
				}
			}
			progress.Tell(ctx, progress.Report{Done: int64(i + 1), Total: int64(len(turns)), Unit: "turns"})
		}
		b, err := json.MarshalIndent(turns, "", " ")
		if err != nil {
			return err
		}
		return d.WriteBytes(talkFile, append(b, '\n'))
	})
	if err != nil {
		return nil, err
	}
	var turns []Answered
	err = s.readJSON(m, talkFile, &turns)
	return turns, err
}

// converse opens a conversation with an adapter and its base.
func (s *Session) converse(ctx context.Context, t Tuned, engine llama.Engine, o generate.Options) (*Conversation, error) {
	a, err := s.adapter(t)
	if err != nil {
		return nil, err
	}
	v, err := openVoices(ctx, t.base, a, engine)
	if err != nil {
		return nil, err
	}
	return &Conversation{v, nil, map[string][]chattemplate.Message{}, o}, nil
}

// asker is a Frontend whose user can be asked for a line of text.
type asker interface {
	Ask(prompt string) (string, error)
}

// interview asks the notebook's user for turns.
func (s *Session) interview(t Tuned, o chatOptions) ([]Answered, error) {
	ask, ok := s.front.(asker)
	if !ok {
		return nil, errors.New("there is nobody here to talk with: give the turns, Chat(tuned, Say(\"Hi!\", \"And you?\")), or use recipe chat in a terminal")
	}
	model, err := t.model(s.ctx)
	if err != nil {
		return nil, err
	}
	_, engine, err := s.withEngine(memo.Step{}, model)
	if err != nil {
		return nil, err
	}
	c, err := s.converse(s.ctx, t, engine, o.Generate)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var turns []Answered
	for {
		text, err := ask.Ask("> ")
		if err != nil {
			return turns, err
		}
		switch text = strings.TrimSpace(text); text {
		case "":
			return turns, nil
		case "/new":
			c.Forget()
			continue
		}
		turn, err := c.Turn(s.ctx, os.Stdout, text)
		if err != nil {
			return turns, err
		}
		turns = append(turns, turn)
	}
}

// All returns the turns with both answers.
func (t Talk) All() []Answered { return append([]Answered(nil), t.turns...) }

// String is the conversation as a Markdown table, or what Load is told.
func (t Talk) String() string {
	if t.logs != "" {
		return "chat logs " + t.logs
	}
	return answersTable(t.turns, false)
}

// MimeBundle shows the turns side by side.
func (t Talk) MimeBundle() map[string]any {
	var v view
	if t.logs != "" {
		v.say("Chat logs: %s. As an option, Load(\"vods/*.mkv\", Chat(%q)), this says where they are.", t.logs, t.logs)
		return v.forms()
	}
	g := grid{columns: []chart.Column{{Name: "said", Wide: true}, {Name: "base", Wide: true}, {Name: "tuned", Wide: true}}, total: len(t.turns)}
	for _, a := range t.turns[:min(len(t.turns), shownRows)] {
		g.rows = append(g.rows, []chart.Cell{chart.TextCell(a.Prompt), chart.TextCell(a.Base), chart.TextCell(a.Tuned)})
	}
	v.list(g)
	return v.forms()
}
