package dsl

import "strings"

// GateError is why a run was refused although every step of it succeeded.
type GateError struct {
	Reasons []string
}

func (e *GateError) Error() string {
	return "not passed: " + strings.Join(e.Reasons, "; ")
}
