package dsl

import (
	"fmt"
	"strings"
)

// GateError is why a run was refused although every step of it succeeded.
type GateError struct {
	Reasons []string
}

func (e *GateError) Error() string {
	return fmt.Sprintf("gate not passed: %s", strings.Join(e.Reasons, "; "))
}
