// Package llama lets llama.cpp, in the native worker, answer and score with a GGUF model and a GGUF LoRA adapter. What
// goes in and comes out is what package generate takes and gives; conversations are written by the same chat template
// and tokenizer and tokens are drawn by the same sampler, so that only the arithmetic is llama.cpp's. That is fast, and
// differs in its last bits from one processor to the next.
package llama

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"banter/internal/progress"
	"banter/internal/worker/native"
	"banter/stdlib/lm/chattemplate"
	"banter/stdlib/lm/generate"
)

// Engine runs a method of the native worker: a [worker.Pool], for one.
type Engine interface {
	Call(ctx context.Context, method string, params any, payload []byte) (json.RawMessage, []byte, error)
}

// Voice is a model as llama.cpp serves it. It is safe for concurrent use.
type Voice struct {
	engine Engine
	files  native.LMParams
	format *chattemplate.Format
}

// New returns the voice of the GGUF model at path model, with the GGUF adapter at path adapter or, where that is empty,
// without one. format is that of the model.
func New(engine Engine, model, adapter string, format *chattemplate.Format) *Voice {
	return &Voice{engine, native.LMParams{Model: model, Adapter: adapter}, format}
}

// Answer writes the assistant's next turn, as [generate.Generator.Answer] does.
func (v *Voice) Answer(ctx context.Context, turns []chattemplate.Message, o generate.Options, emit func(text string)) (generate.Answer, error) {
	if err := o.Check(); err != nil {
		return generate.Answer{}, fmt.Errorf("generate: %w", err)
	}
	prompt, err := v.format.Prompt(turns...)
	if err != nil {
		return generate.Answer{}, fmt.Errorf("generate: %w", err)
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = generate.DefaultTokens
	}
	said := 0 // bytes that emit got
	pass := func(text string) {
		if emit != nil && len(text) > said {
			emit(text[said:])
			said = len(text)
		}
	}
	quiet := progress.With(ctx, func(r progress.Report) {
		pass(r.Note[:generate.Settled(r.Note, o.Stop)])
		r.Note = ""
		progress.Tell(ctx, r)
	})
	raw, _, err := v.engine.Call(quiet, native.MethodGenerate, native.GenerateParams{LMParams: v.files, Sampling: o.Sampling, Tokens: prompt,
		MaxTokens: o.MaxTokens, Seed: o.Seed, Stop: o.Stop, Ends: v.format.Ends()}, nil)
	if err != nil {
		return generate.Answer{}, err
	}
	var made native.Generated
	if err := json.Unmarshal(raw, &made); err != nil {
		return generate.Answer{}, fmt.Errorf("generate: %w", err)
	}
	pass(made.Text)
	ending, ok := map[string]generate.Ending{"end of text": generate.EndOfTurn, "stop": generate.Stopped, "length": generate.Limit}[made.Ended]
	if !ok {
		return generate.Answer{}, fmt.Errorf("generate: the worker ended with %q", made.Ended)
	}
	return generate.Answer{Text: made.Text, Tokens: len(made.IDs), Ending: ending}, nil
}

// Score scores responses to a prompt, as [generate.Generator.Score] does.
func (v *Voice) Score(ctx context.Context, prompt string, responses ...string) ([]generate.Score, error) {
	scores := make([]generate.Score, len(responses))
	for i, response := range responses {
		tokens, learn, err := v.format.Encode(prompt, response)
		if err != nil {
			return nil, fmt.Errorf("score response %q: %w", response, err)
		}
		from := slices.Index(learn, true)
		if from < 1 {
			return nil, fmt.Errorf("score response %q: nothing stands before it", response)
		}
		raw, _, err := v.engine.Call(ctx, native.MethodScore, native.ScoreParams{LMParams: v.files, Tokens: tokens}, nil)
		if err != nil {
			return nil, err
		}
		var given native.Scores
		if err := json.Unmarshal(raw, &given); err != nil {
			return nil, fmt.Errorf("score: %w", err)
		}
		if len(given.LogProbs) != len(tokens) {
			return nil, errors.New("score: the worker scored another text")
		}
		for _, p := range given.LogProbs[from:] {
			scores[i].LogProb += p
		}
		scores[i].Tokens = len(tokens) - from
	}
	return scores, nil
}
