package speech

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"banter/internal/problem"
)

// decodeJSON reads JSON as speech tools write it. Python's json writes NaN and Infinity and C++'s streams nan and inf, which
// JSON does not have: they become null, a value that is not given.
func decodeJSON(data []byte, into any) error {
	data = withoutNaN(data)
	err := json.Unmarshal(data, into)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		at := min(max(syntax.Offset-1, 0), int64(len(data)))
		p := &problem.Error{At: place(data, at), Err: fmt.Errorf("this is no JSON: %w", err)}
		if rest := bytes.TrimSpace(data[at:]); len(rest) <= 1 {
			p.Err, p.Fix = errors.New("the JSON is cut off here"), "write or fetch the file again"
		}
		return p
	case errors.As(err, &kind):
		return &problem.Error{At: place(data, kind.Offset),
			Err: fmt.Errorf("%q is a JSON %s, where the format has another kind of value", kind.Field, kind.Value)}
	}
	return err
}

// place is where a byte stands, in lines from 1 and bytes of the line from 1.
func place(data []byte, at int64) string {
	before := data[:min(max(at, 0), int64(len(data)))]
	return fmt.Sprintf("line %d, byte %d", 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n'))
}

// withoutNaN writes null for numbers that are none and stand outside of strings. What it returns has the same lines.
func withoutNaN(data []byte) []byte {
	if !slices.ContainsFunc(noNumbers, func(word string) bool { return bytes.Contains(data, []byte(word)) }) {
		return data
	}
	out := make([]byte, 0, len(data))
	quoted := false
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case quoted && c == '\\' && i+1 < len(data):
			out = append(out, c)
			i++
			c = data[i]
		case c == '"':
			quoted = !quoted
		case quoted:
		default:
			if n := len(notANumber(data[i:])); n > 0 {
				out = append(out, "null"...)
				i += n - 1
				continue
			}
		}
		out = append(out, c)
	}
	return out
}

// noNumbers are what JSON does not have, longer ones before what they begin with; the one in brackets is of Windows.
var noNumbers = []string{"NaN", "Infinity", "-Infinity", "nan", "-nan(ind)", "-nan", "inf", "-inf"}

func notANumber(b []byte) string {
	for _, word := range noNumbers {
		if bytes.HasPrefix(b, []byte(word)) {
			return word
		}
	}
	return ""
}
