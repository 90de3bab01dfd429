package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"banter/dsl"
	"banter/dsl/memo"
	"banter/internal/problem"
	"banter/stdlib/align"
	"banter/stdlib/dataset"
	"banter/stdlib/speech"
)

type traceCmd struct {
	storeFlag
	Row  string `arg:"" help:"A row's id, or how it begins; or FILE:N, the N-th row of a rows.parquet, counted from 1."`
	Rows string `help:"The rows.parquet in which to look for the id." default:"out/dataset/rows.parquet" placeholder:"FILE"`
	JSON bool   `help:"Answer as one JSON object." name:"json"`
}

func (c *traceCmd) Run(ctx context.Context, s streams) error {
	row, err := c.find()
	if err != nil {
		return err
	}
	store := c.Store
	session, err := dsl.Open(dsl.Config{Store: store})
	if err != nil {
		return err
	}
	defer session.Close()
	path, err := session.Trace(row)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, map[string]any{"row": row, "steps": path})
	}
	at := func(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }
	fmt.Fprintf(s.out, "row %s (%s, %s)\n", row.ID, row.Split, row.Direction)
	fmt.Fprintf(s.out, "  speech   %q\n           stream %s from %s to %s, words %d to %d\n", row.Speech, row.Stream, at(row.SpeechStartMS), at(row.SpeechEndMS), row.FirstWord, row.LastWord)
	fmt.Fprintf(s.out, "  response %q\n           message %s at %s on the chat's clock, by author %s\n", row.Response, row.MessageID, at(row.MessageTimeMS), row.AuthorHash)
	fmt.Fprintf(s.out, "  link     lag %s, delay %s, confidence %.3f, false discovery rate %.3f\n", at(row.LagMS), at(row.DelayMS), row.Confidence, row.FDR)
	fmt.Fprintf(s.out, "  recording SHA-256 %s\n", row.RecordingSHA256)
	for _, f := range row.Filters {
		fmt.Fprintf(s.out, "  passed   %s\n", f)
	}
	own, others := ownSteps(path, row)
	for _, m := range own {
		fmt.Fprintf(s.out, "  step     %s %s %s\n", m.Key.Short(), m.Verb, m.Label)
		for _, p := range m.Parts {
			if p.Name == "options" {
				fmt.Fprintf(s.out, "           %s = %s\n", p.Name, set(p.Value, optionsOf[m.Verb]))
			}
		}
	}
	if len(others) > 0 {
		fmt.Fprintf(s.out, "  besides  %d steps of other streams, which were aligned together with this one (--json lists them)\n", len(others))
	}
	return nil
}

// ownSteps parts the steps that a row was made by from those that read other streams' recordings and chats.
func ownSteps(path []memo.Manifest, row dataset.Row) (own, others []memo.Manifest) {
	part := func(m memo.Manifest, name string) string {
		for _, p := range m.Parts {
			if p.Name == name {
				return p.Value
			}
		}
		return ""
	}
	loaded := map[memo.Key]bool{} // of this stream
	for _, m := range path {
		loaded[m.Key] = m.Verb == "load" && part(m, "stream") == row.Stream
	}
	for _, m := range path {
		mine := true
		switch m.Verb {
		case "load":
			mine = loaded[m.Key]
		case "transcribe": // which may have been made when the stream had another name
			mine = part(m, "input.recording") == row.RecordingSHA256 || m.Label == row.Stream || slices.ContainsFunc(m.Reads, func(k memo.Key) bool { return loaded[k] })
		}
		if mine {
			own = append(own, m)
		} else {
			others = append(others, m)
		}
	}
	return own, others
}

// optionsOf are the types of the options that hold times, by the verb that takes them. A manifest has times in nanoseconds.
var optionsOf = map[string]reflect.Type{"align": reflect.TypeFor[align.Options](), "transcribe": reflect.TypeFor[speech.Options]()}

// set is a step's options, of type t where that is known, without those that are off: members that are zero, empty or null.
func set(options string, t reflect.Type) string {
	var all map[string]any
	dec := json.NewDecoder(strings.NewReader(options))
	dec.UseNumber() // as they were written
	if err := dec.Decode(&all); err != nil {
		return options
	}
	var strip func(v any) (any, bool)
	strip = func(v any) (any, bool) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				if kept, ok := strip(member); ok {
					v[name] = kept
				} else {
					delete(v, name)
				}
			}
			return v, len(v) > 0
		case []any:
			return v, len(v) > 0
		case string:
			return v, v != "" && v != "0s" && v != "0001-01-01T00:00:00Z"
		case json.Number:
			return v, v != "0"
		case bool:
			return v, v
		}
		return v, v != nil
	}
	strip(spelt(all, t))
	if len(all) == 0 {
		return "none"
	}
	text, err := json.Marshal(all)
	if err != nil {
		return options
	}
	return string(text)
}

// spelt is v, which a t was written as, with its times as people write them.
func spelt(v any, t reflect.Type) any {
	if t == nil {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			switch t.Kind() {
			case reflect.Map:
				v[name] = spelt(member, t.Elem())
			case reflect.Struct:
				if f, ok := t.FieldByName(name); ok {
					v[name] = spelt(member, f.Type)
				}
			}
		}
	case []any:
		if t.Kind() == reflect.Slice {
			for i := range v {
				v[i] = spelt(v[i], t.Elem())
			}
		}
	case json.Number:
		if ns, err := v.Int64(); err == nil && t == reflect.TypeFor[time.Duration]() {
			return time.Duration(ns).String()
		}
	}
	return v
}

// find reads the row that was asked for.
func (c *traceCmd) find() (dataset.Row, error) {
	file, id, number := c.Rows, c.Row, 0
	if path, n, ok := strings.Cut(c.Row, ".parquet:"); ok {
		k, err := strconv.Atoi(n)
		if err != nil || k < 1 {
			return dataset.Row{}, fmt.Errorf("%q is not the number of a row: they are counted from 1", n)
		}
		file, id, number = path+".parquet", "", k
	}
	if number == 0 && (id == "" || strings.Trim(id, "0123456789abcdef") != "") {
		return dataset.Row{}, &dsl.UsageError{Err: fmt.Errorf("%q is neither the beginning of a row's id, which is hexadecimal, nor FILE.parquet:N", c.Row)}
	}
	f, err := os.Open(file)
	if err != nil {
		return dataset.Row{}, &problem.Error{Op: "trace", Path: file, Err: errors.Unwrap(err), Fix: "name the rows.parquet of a run with --rows"}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return dataset.Row{}, err
	}
	var found []dataset.Row
	n := 0
	err = dataset.Each(f, info.Size(), func(r dataset.Row) error {
		if n++; n == number || (id != "" && strings.HasPrefix(r.ID, id)) {
			found = append(found, r)
		}
		return nil
	})
	switch {
	case err != nil:
		return dataset.Row{}, &problem.Error{Op: "trace", Path: file, Err: err, Fix: "name the rows.parquet that Export(rows, ...) wrote"}
	case len(found) == 0 && number > 0:
		return dataset.Row{}, fmt.Errorf("%s has %d rows: there is no row %d", file, n, number)
	case len(found) == 0:
		return dataset.Row{}, fmt.Errorf("%s has no row whose id begins with %s", file, id)
	case len(found) > 1:
		return dataset.Row{}, fmt.Errorf("%d rows of %s have an id that begins with %s: give more of it", len(found), file, id)
	}
	return found[0], nil
}
