package dsl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"banter/dsl/memo"
	"banter/internal/progress"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
	"banter/stdlib/models"
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

// Temperature of 0 takes the likeliest token each time; higher ones vary more. The default is 0.8.
func Temperature(t float64) SampleOption {
	return sampleOption(func(o *sampleOptions) { o.Generate.Temperature = t })
}

// TopP draws from the likeliest tokens that together have this probability. The default is 0.95.
func TopP(p float64) SampleOption {
	return sampleOption(func(o *sampleOptions) { o.Generate.TopP = p })
}

// MinP leaves out tokens less likely than this share of the likeliest one's probability.
func MinP(p float64) SampleOption {
	return sampleOption(func(o *sampleOptions) { o.Generate.MinP = p })
}

// MaxTokens bounds the length of an answer. The default is 48.
func MaxTokens(n int) SampleOption {
	return sampleOption(func(o *sampleOptions) { o.Generate.MaxTokens = n })
}

const samplesFile = "samples.json"

// Sample lets the base model and the adapter answer the same prompts. The same seed gives the same answers.
func Sample(t Tuned, options ...SampleOption) Samples {
	s := current()
	o := sampleOptions{Generate: generate.Options{Sampling: generate.Sampling{Temperature: 0.8, TopP: 0.95}, MaxTokens: 48}}
	for _, set := range options {
		set.sample(&o)
	}
	if len(o.Prompts) == 0 {
		fail("sample", t.base, errors.New("there is no prompt: give Prompts(...) or PromptsFrom(rows, n)"))
	}
	model, err := models.Resolve(s.ctx, t.base)
	if err != nil {
		fail("sample", t.base, err)
	}
	weights, err := t.step.Output("adapter_model.safetensors")
	if err != nil {
		fail("sample", t.base, err)
	}
	step := memo.Step{Verb: "sample", Label: plural(len(o.Prompts), "prompt"), Reads: []memo.Key{t.step.Key}}.
		With("base", model.SHA256).With("input.adapter", weights.Digest).With("options", o)
	m, err := s.do(step, func(ctx context.Context, d *memo.Draft) error {
		answered, err := s.answers(ctx, t, o)
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
		return d.WriteBytes("samples.md", []byte(samplesTable(answered)))
	})
	if err != nil {
		fail("sample", t.base, err)
	}
	return Samples{m}
}

func (s *Session) answers(ctx context.Context, t Tuned, o sampleOptions) ([]Answered, error) {
	a, err := s.adapter(t)
	if err != nil {
		return nil, err
	}
	v, err := openVoices(ctx, t.base, a)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	out := slices.Clone(o.Prompts)
	for i := range out {
		turns := []chattemplate.Message{{Role: "user", Content: out[i].Prompt}}
		for _, side := range []struct {
			from *generate.Generator
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

// samplesTable is the samples as a Markdown table.
func samplesTable(list []Answered) string {
	cell := func(s string) string {
		return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "`", "\\`").Replace(s)
	}
	var b strings.Builder
	b.WriteString("| prompt | base | tuned | real |\n|---|---|---|---|\n")
	for _, a := range list {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(a.Prompt), cell(a.Base), cell(a.Tuned), cell(a.Real))
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
