package session

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"

	"banter/dsl"
)

// frontend is what values of verbs see of the notebook that they are shown in. It is a dsl.Frontend.
type frontend struct{ notebook *Notebook }

// Show displays forms by MIME type below the cell that runs.
func (f frontend) Show(forms map[string]any) { f.notebook.Display(forms) }

// Hear passes on what the front-end sends over any comm to the target.
func (f frontend) Hear(target string, hear func(json.RawMessage)) {
	f.notebook.HandleComm(target, func(c *Comm, data json.RawMessage) {
		c.Hear(func(data json.RawMessage, _ [][]byte) { hear(data) }, nil)
		hear(data)
	})
}

// Ask asks the user for a line of text.
func (f frontend) Ask(prompt string) (string, error) { return f.notebook.Input(prompt) }

// Kernel is the id that a Jupyter server gave this kernel: it is in the name of the connection file.
func (f frontend) Kernel() string {
	name := filepath.Base(f.notebook.session.options.ConnectionFile)
	id, isJSON := strings.CutSuffix(name, ".json")
	id, isKernel := strings.CutPrefix(id, "kernel-")
	if !isJSON || !isKernel {
		return ""
	}
	return id
}

// Cell names the cell that runs, as front-ends do that know several, and the run of it.
func (f frontend) Cell() (cell, run string) {
	return f.notebook.Cell()
}

// inForms lets a value show itself while its session is there: a verb's value reads what it shows from the store.
// Others stay as they are, and so does one that cannot.
func inForms(v reflect.Value) (forms reflect.Value) {
	if !v.IsValid() || !v.CanInterface() || v.Kind() == reflect.Pointer && v.IsNil() {
		return v
	}
	d, ok := displayer(v.Interface())
	if !ok {
		return v
	}
	defer func() {
		if p := recover(); p != nil {
			if _, failed := p.(*dsl.Error); failed {
				panic(p)
			}
			forms = v // it is shown later, and its panic with it
		}
	}()
	return reflect.ValueOf(d.MimeBundle())
}
