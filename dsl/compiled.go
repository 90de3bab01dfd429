package dsl

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
)

// uncacheable says of a compiled function which it is, and why its result cannot be remembered. Its source could be found
// by where it was compiled, though not that it is still what was compiled; the values that it captured cannot be read at
// all, and a key without them would give wrong results.
func uncacheable(f any) string {
	what := "this function"
	pc := reflect.ValueOf(f).Pointer()
	if fn := runtime.FuncForPC(pc); fn != nil && !strings.HasPrefix(fn.Name(), "reflect.") {
		file, line := fn.FileLine(pc)
		what = fmt.Sprintf("the function at %s:%d (%s)", filepath.Base(file), line, fn.Name())
	}
	return what + " was compiled, and no program can read which values such a function captured: recipe run, which interprets it, " +
		"remembers it; so do rules such as FDR.AtMost, and a Predicate that names its Source and Captures"
}
