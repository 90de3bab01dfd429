package llama

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"banter/internal/progress"
	"banter/internal/worker/native"
)

const (
	embedBatch = 256     // texts of one call
	embedBytes = 8 << 10 // of a text: more than the tokens that are read of it
)

// Embedder is a GGUF model that turns texts into vectors: one of the BERT family, as most embedding models are, or a
// language model. It is safe for concurrent use.
type Embedder struct {
	engine Engine
	model  native.LMParams
}

// NewEmbedder returns the embedder of the GGUF model at path, on threads processor cores.
func NewEmbedder(engine Engine, path string, threads int) *Embedder {
	return &Embedder{engine, native.LMParams{Model: path, Threads: threads}}
}

// Embed returns the vectors of texts, one after another, width numbers each and of length 1; that of an empty text is zero.
// The same texts in the same order give the same vectors on the same machine. It reports how many texts are done.
func (e *Embedder) Embed(ctx context.Context, texts []string) (vectors []float32, width int, err error) {
	for at := 0; at < len(texts); at += embedBatch {
		part := make([]string, 0, embedBatch)
		for _, text := range texts[at:min(at+embedBatch, len(texts))] {
			part = append(part, beginning(text, embedBytes))
		}
		some, w, err := e.call(ctx, part)
		if err != nil {
			return nil, 0, err
		}
		if width = w; vectors == nil {
			vectors = make([]float32, 0, len(texts)*w)
		}
		vectors = append(vectors, some...)
		progress.Tell(ctx, progress.Report{Done: int64(at + len(part)), Total: int64(len(texts)), Unit: "texts", Note: "embed texts"})
	}
	return vectors, width, nil
}

func (e *Embedder) call(ctx context.Context, texts []string) ([]float32, int, error) {
	// The worker tells how far it is in its part alone.
	raw, payload, err := e.engine.Call(progress.With(ctx, func(progress.Report) {}), native.MethodEmbed, native.EmbedParams{LMParams: e.model, Texts: texts}, nil)
	if err != nil {
		return nil, 0, err
	}
	var shape native.Embedding
	if err := json.Unmarshal(raw, &shape); err != nil {
		return nil, 0, fmt.Errorf("embed: %w", err)
	}
	vectors, err := native.Floats(payload)
	if err != nil {
		return nil, 0, fmt.Errorf("embed: %w", err)
	}
	if shape.Count != len(texts) || shape.Width < 1 || len(vectors) != shape.Count*shape.Width {
		return nil, 0, errors.New("embed: the worker answers with other vectors than it was asked for")
	}
	return vectors, shape.Width, nil
}

// beginning is at most n bytes of text, whole characters.
func beginning(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
