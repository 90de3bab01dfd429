package dsl

import (
	"errors"

	"banter/dsl/memo"
)

// errNotMade ends a dry run: what follows depends on bytes that are not there.
var errNotMade = errors.New("its result is not in the store")

// NotMade says whether a dry run ended at a step whose result, or the bytes of whose input, are not in the store.
func NotMade(err error) bool { return errors.Is(err, errNotMade) || errors.Is(err, memo.ErrElsewhere) }

// lookUp is what a dry run does of a step. One that only the shared store has is taken from there as far as its manifest.
func (s *Session) lookUp(step memo.Step, key memo.Key) (memo.Manifest, error) {
	m, ok, err := s.store.Find(key)
	ran := Ran{Step: step, Key: key, Outcome: memo.Hit, Err: err}
	if err == nil && !ok {
		if m, ran.Shared = s.store.Offers(s.ctx, key); !ran.Shared {
			ran.Outcome, ran.Err = memo.Made, errNotMade
		}
	}
	s.mu.Lock()
	s.steps = append(s.steps, ran)
	s.mu.Unlock()
	if ran.Err != nil {
		return m, &Error{step.Verb, step.Label, key, ran.Err}
	}
	return m, nil
}

// Given are the parameters of the recipe that ran, with the values that they had in this run.
func (s *Session) Given() []Param {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Param(nil), s.given...)
}

// declare remembers what Main was given, and says before the first verb what is named in vain.
func (s *Session) declare(params any) error {
	var list []Param
	if params != nil {
		var err error
		if list, err = ListParams(params); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.given = list
	s.mu.Unlock()
	text := s.text
	if text == nil {
		text = s.program.ownText()
	}
	if text == nil {
		return nil
	}
	return misnamed(text, list)
}
