package cell

import (
	"fmt"
	"reflect"
)

// sprint prints a value; a method of its that panics must not take the caller down.
func sprint(v reflect.Value) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprintf("(%s)", v.Type())
		}
	}()
	return fmt.Sprint(v.Interface())
}
