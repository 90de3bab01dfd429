package eval

import (
	"reflect"
	"testing"

	"banter/stdlib/lm/generate"
)

func TestCanonical(t *testing.T) {
	aloud := Options{Candidates: 100, RankAtMost: 100, AskAtMost: 100, Resamples: 1000, MaxTokens: 48, Workers: 3,
		Sampling: generate.Sampling{Temperature: 0.8, TopP: 0.95, MinP: 0.1}}
	if a, b := (Options{}).Canonical(), aloud.Canonical(); !reflect.DeepEqual(a, b) {
		t.Errorf("defaults said aloud mean something else: %+v and %+v", a, b)
	}
	for name, o := range map[string]Options{"seed": {Seed: 1}, "candidates": {Candidates: 10}, "resamples": {Resamples: 99}, "emotes": {Emotes: []string{"Kappa"}}} {
		if reflect.DeepEqual(o.Canonical(), (Options{}).Canonical()) {
			t.Errorf("%s makes no difference", name)
		}
	}
}
