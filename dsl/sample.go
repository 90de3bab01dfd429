package dsl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"banter/dsl/memo"
	"banter/internal/markdown"
	"banter/internal/progress"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
	"banter/stdlib/lm/llama"
)

// Samples are answers of a base model and of its adapter to the same prompts.
type Samples struct {
	step memo.Manifest
}

// Answered is one prompt with both answers.
type Answered struct {
	Prompt string `json:"prompt"`
	Base   string `json:"base"`
	Tuned  string `json:"tuned"`
	Real   string `json:"real,omitempty"` // what somebody really answered, where that is known
}

// SampleOption changes how Sample works.
type SampleOption interface{ sample(*sampleOptions) }

type sampleOptions struct {
	Prompts  []Answered       `json:"prompts"`
	Generate generate.Options `json:"generate"`
}

type sampleOption func(*sampleOptions)

func (f sampleOption) sample(o *sampleOptions) { f(o) }

func (n SeedOption) sample(o *sampleOptions) { o.Generate.Seed = uint64(n) }

// Prompts are what the models answer.
func Prompts(texts ...string) SampleOption {
	return sampleOption(func(o *sampleOptions) {
		for _, t := range texts {
			o.Prompts = append(o.Prompts, Answered{Prompt: t})
		}
	})
}

// PromptsFrom takes the prompts of up to n rows, evenly spread, each prompt once.
func PromptsFrom(rows Rows, n int) SampleOption {
	all := rows.All()
	seen := map[string]bool{}
	all = slices.DeleteFunc(all, func(r Row) bool {
		was := seen[r.Prompt()]
		seen[r.Prompt()] = true
		return was
	})
	n = min(n, len(all))
	return sampleOption(func(o *sampleOptions) {
		for i := range n {
			r := all[i*len(all)/n]
			o.Prompts = append(o.Prompts, Answered{Prompt: r.Prompt(), Real: r.Completion()})
		}
	})
}

// GenerateOption says how answers are drawn, in Sample and in Chat.
type GenerateOption func(*generate.Options)

func (f GenerateOption) sample(o *sampleOptions) { f(&o.Generate) }

// Temperature of 0 takes the likeliest token each time; higher ones vary more. The default is 0.8.
func Temperature(t float64) GenerateOption {
	return func(o *generate.Options) { o.Temperature = t }
}

// TopK draws from the k likeliest tokens alone.
func TopK(k int) GenerateOption { return func(o *generate.Options) { o.TopK = k } }

// TopP draws from the likeliest tokens that together have this probability. The default is 0.95.
func TopP(p float64) GenerateOption { return func(o *generate.Options) { o.TopP = p } }

// MinP leaves out tokens less likely than this share of the likeliest one's probability. The default is 0.1.
func MinP(p float64) GenerateOption { return func(o *generate.Options) { o.MinP = p } }

// Repetition is the penalty for tokens that were there already: 1 is none, and 1.1 is mild.
func Repetition(penalty float64) GenerateOption {
	return func(o *generate.Options) { o.Repetition = penalty }
}

// StopAt ends an answer before any of these texts.
func StopAt(texts ...string) GenerateOption {
	return func(o *generate.Options) { o.Stop = append(o.Stop, texts...) }
}

// MaxTokens bounds the length of an answer. The default is 48.
func MaxTokens(n int) GenerateOption { return func(o *generate.Options) { o.MaxTokens = n } }

const samplesFile = "samples.json"

// Sample lets the base model and the adapter answer the same prompts. The same seed gives the same answers.
func Sample(t Tuned, options ...SampleOption) Samples {
	s := current()
	o := sampleOptions{Generate: usualAnswers()}
	for _, set := range options {
		set.sample(&o)
	}
	if len(o.Prompts) == 0 {
		fail("sample", t.base, errors.New("there is no prompt: give Prompts(...) or PromptsFrom(rows, n)"))
	}
	step, engine, err := s.answering("sample", plural(len(o.Prompts), "prompt"), t, o)
	if err != nil {
		fail("sample", t.base, err)
	}
	m, err := s.do(step, func(ctx context.Context, d *memo.Draft) error {
		answered, err := s.answers(ctx, t, engine, o)
		if err != nil {
			return err
		}
		b, err := json.MarshalIndent(answered, "", " ")
		if err != nil {
			return err
		}
		if err := d.WriteBytes(samplesFile, append(b, '\n')); err != nil {
			return err
		}
		return d.WriteBytes("samples.md", []byte(answersTable(answered, true)))
	})
	if err != nil {
		fail("sample", t.base, err)
	}
	return Samples{m}
}

// answering is the step in which a base and its adapter answer, and the engine that computes the answers.
func (s *Session) answering(verb, label string, t Tuned, options any) (memo.Step, llama.Engine, error) {
	model, err := t.model(s.ctx)
	if err != nil {
		return memo.Step{}, nil, err
	}
	weights, err := t.step.Output("adapter_model.safetensors")
	if err != nil {
		return memo.Step{}, nil, err
	}
	step := memo.Step{Verb: verb, Label: label, Reads: []memo.Key{t.step.Key}}.
		With("base", model.SHA256).With("input.adapter", weights.Digest).With("options", options)
	return s.withEngine(step, model)
}

func (s *Session) answers(ctx context.Context, t Tuned, engine llama.Engine, o sampleOptions) ([]Answered, error) {
	a, err := s.adapter(t)
	if err != nil {
		return nil, err
	}
	v, err := openVoices(ctx, t.base, a, engine)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	out := slices.Clone(o.Prompts)
	for i := range out {
		turns := []chattemplate.Message{{Role: "user", Content: out[i].Prompt}}
		for _, side := range []struct {
			from generate.Voice
			to   *string
		}{{v.plain, &out[i].Base}, {v.tuned, &out[i].Tuned}} {
			answer, err := side.from.Answer(ctx, turns, o.Generate, nil)
			if err != nil {
				return nil, err
			}
			*side.to = answer.Text
		}
		progress.Tell(ctx, progress.Report{Done: int64(i + 1), Total: int64(len(out)), Unit: "prompts"})
	}
	return out, nil
}

// answersTable is answers as a Markdown table, with what was really said where that is known.
func answersTable(list []Answered, known bool) string {
	var b strings.Builder
	head := []string{"prompt", "base", "tuned"}
	if known {
		head = append(head, "real")
	}
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, a := range list {
		for _, text := range []string{a.Prompt, a.Base, a.Tuned, a.Real}[:len(head)] {
			b.WriteString("| " + markdown.Text(text) + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// All returns the prompts with both answers.
func (s Samples) All() []Answered {
	var list []Answered
	if err := current().readJSON(s.step, samplesFile, &list); err != nil {
		fail("sample", "", err)
	}
	return list
}
