package dsl

import (
	"strings"
	"testing"
)

// The variables of a cell that was interrupted have their zero values. What uses one says so.
func TestValuesThatWereNeverMade(t *testing.T) {
	l := newLab(t, "s1")
	var (
		streams Streams
		words   Transcripts
		pairs   Pairs
		rows    Rows
		tuned   Tuned
	)
	for name, use := range map[string]func(){
		"Transcribe": func() { Transcribe(streams) }, "Words": func() { Words(streams, l.words) }, "Align": func() { Align(words) }, "Filter": func() { Filter(pairs, NoBots()) },
		"Dataset": func() { Dataset(pairs) }, "All": func() { pairs.All() }, "Train": func() { Train(rows, Base("lm-micro")) },
		"Eval": func() { Eval(tuned, rows) }, "Sample": func() { Sample(tuned, Prompts("hi")) }, "Chat": func() { Chat(tuned, Say("hi")) },
		"Export": func() { Export(tuned, "adapter") }, "Export rows": func() { Export(rows, "rows") },
	} {
		if _, err := l.say(use); err == nil || !strings.Contains(err.Error(), "this value was never made") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
