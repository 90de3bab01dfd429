package dsl

import (
	"errors"
	"fmt"

	"banter/dsl/memo"
)

// errNotMade ends a dry run: what follows depends on bytes that are not there.
var errNotMade = errors.New("its result is not in the store")

// errElsewhere ends a dry run at a result that a run would fetch: a dry run writes nothing.
var errElsewhere = fmt.Errorf("%w, but in the shared one", errNotMade)

// NotMade says whether a dry run ended at a step whose result is not there, and Elsewhere whether the shared store has it.
func NotMade(err error) bool { return errors.Is(err, errNotMade) }

// Elsewhere says whether a dry run ended at a step whose result only the shared store has.
func Elsewhere(err error) bool { return errors.Is(err, errElsewhere) }

// lookUp is what a dry run does of a step.
func (s *Session) lookUp(step memo.Step, key memo.Key) (memo.Manifest, error) {
	m, ok, err := s.store.Find(key)
	ran := Ran{Step: step, Key: key, Outcome: memo.Hit, Err: err}
	if err == nil && !ok {
		ran.Outcome, ran.Err = memo.Made, errNotMade
		if s.store.Offers(s.ctx, key) {
			ran.Err = errElsewhere
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

// declare remembers what Main was given.
func (s *Session) declare(params any) error {
	if params == nil {
		return nil
	}
	list, err := ListParams(params)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = list
	return nil
}
