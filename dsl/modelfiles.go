package dsl

import (
	"context"
	"maps"
	"slices"

	"banter/dsl/memo"
	"banter/stdlib/models"
)

// withModels makes the digests of models come from the store, which remembers those of files that did not change, and
// notes which files were asked for.
func (s *shared) withModels(ctx context.Context) context.Context {
	return models.WithDigester(ctx, func(ctx context.Context, path string) (string, error) {
		f, err := s.store.File(ctx, path)
		if err != nil {
			return "", err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.modelFiles == nil {
			s.modelFiles = map[string]memo.File{}
		}
		s.modelFiles[path] = f
		return string(f.Digest), nil
	})
}

// modelParts are the names of parts that are models' digests.
var modelParts = []string{"model", "vad", "base", "embedder"}

// watchModels makes a step that uses a model fail if a model's file changes while it works.
func (s *shared) watchModels(step memo.Step) memo.Step {
	if !slices.ContainsFunc(step.Parts, func(p memo.Part) bool { return slices.Contains(modelParts, p.Name) }) {
		return step
	}
	inputs := step.Recheck
	step.Recheck = func() error {
		if inputs != nil {
			if err := inputs(); err != nil {
				return err
			}
		}
		s.mu.Lock()
		files := slices.Collect(maps.Values(s.modelFiles))
		s.mu.Unlock()
		for _, f := range files {
			if err := f.Unchanged(); err != nil {
				return err
			}
		}
		return nil
	}
	return step
}
