package dsl

import (
	"errors"
	"os"

	"banter/dsl/memo"
	"banter/internal/problem"
	"banter/stdlib/align"
	"banter/stdlib/lm/llama"
	"banter/stdlib/models"
)

// withEmbedder says in a step's key which model makes vectors of texts and what computes it, and returns the embedder; nil
// where no model is named.
func (s *Session) withEmbedder(step memo.Step, name string) (memo.Step, align.Embedder, error) {
	if name == "" {
		return step, nil, nil
	}
	refuse := func(err error, fix string) (memo.Step, align.Embedder, error) {
		return step, nil, &problem.Error{Op: "open embedder", Path: name, Err: err, Fix: fix}
	}
	model, err := models.Resolve(s.ctx, name)
	if err != nil {
		return step, nil, err
	}
	if info, err := os.Stat(model.Path); model.Kind != models.LM || err == nil && info.IsDir() {
		return refuse(errors.New("this is no GGUF language model"), "name the .gguf file of an embedding model")
	}
	if !s.pool.Found() {
		return refuse(errors.New("embeddings are computed by the native worker, which is not here"), "build it with make native, or leave Embedder out")
	}
	identity, err := s.llamaIdentity()
	if err != nil {
		return step, nil, err
	}
	step = step.With("embedder", model.SHA256).With("engine", identity+" on the processor")
	step.Varies = "llama.cpp's arithmetic rounds differently on other processors"
	return step, llama.NewEmbedder(s.pool, model.Path, s.cores()), nil
}
