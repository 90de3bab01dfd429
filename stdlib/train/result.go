package train

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"

	"banter/internal/problem"
	"banter/internal/wholefile"
	"banter/stdlib/lm"
)

// The files that a result's folder holds beside those of PEFT.
const (
	GGUFFile   = "adapter.gguf" // the adapter as llama.cpp loads it
	RecordFile = "run.json"     // the [Record]
)

// Write writes the result's folder: the adapter for PEFT and for llama.cpp, and the record of the run. The same result
// gives the same bytes; what the clock said is left out.
func (r *Result) Write(dir string, base lm.Config) error {
	if err := r.Adapter.Write(dir); err != nil {
		return err
	}
	var gguf bytes.Buffer
	if err := r.Adapter.WriteGGUF(&gguf, base); err != nil {
		return &problem.Error{Op: "write training result", Path: dir, Err: err}
	}
	record, err := json.MarshalIndent(r.Record, "", "  ")
	if err != nil {
		return &problem.Error{Op: "write training result", Path: dir, Err: err}
	}
	for name, data := range map[string][]byte{GGUFFile: gguf.Bytes(), RecordFile: append(record, '\n')} {
		if err := wholefile.Write(filepath.Join(dir, name), 0o644, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		}); err != nil {
			return &problem.Error{Op: "write training result", Path: dir, At: name, Err: err}
		}
	}
	return nil
}
