package main

import (
	"strings"
	"testing"

	"banter/dsl/memo"
	"banter/stdlib/dataset"
)

// A row of one stream is not told what was done to others, whatever the stream was called when a step was made.
func TestStepsOfARow(t *testing.T) {
	key := func(c string) memo.Key { return memo.Key(strings.Repeat(c, 64)) }
	manifest := func(c, verb, label string, parts ...memo.Part) memo.Manifest {
		return memo.Manifest{Key: key(c), Verb: verb, Label: label, Parts: parts}
	}
	written := manifest("6", "transcribe", "c", memo.Part{Name: "input.transcript", Value: "x"})
	written.Reads = []memo.Key{key("5")}
	path := []memo.Manifest{
		manifest("1", "load", "a", memo.Part{Name: "stream", Value: "a"}), manifest("2", "transcribe", "once", memo.Part{Name: "input.recording", Value: "aa"}),
		manifest("3", "load", "b", memo.Part{Name: "stream", Value: "b"}), manifest("4", "transcribe", "b", memo.Part{Name: "input.recording", Value: "bb"}),
		manifest("5", "load", "c", memo.Part{Name: "stream", Value: "c"}), written,
		manifest("7", "align", "3 streams"), manifest("8", "filter", "1 rule"),
	}
	for stream, c := range map[string]struct{ recording, want string }{"a": {"aa", "12 78"}, "b": {"bb", "34 78"}, "c": {"cc", "56 78"}} {
		own, others := ownSteps(path, dataset.Row{Stream: stream, RecordingSHA256: c.recording})
		got := ""
		for _, m := range own {
			got += string(m.Key[0])
		}
		if got != strings.ReplaceAll(c.want, " ", "") || len(own)+len(others) != len(path) {
			t.Errorf("stream %s: steps %s and %d others, want %s", stream, got, len(others), c.want)
		}
	}
}

func TestOptionsThatAreSet(t *testing.T) {
	for options, c := range map[string]struct{ verb, want string }{
		`{"Beam":5,"Context":0,"GPU":false,"Model":{"kind":"","quirks":{}},"Overlap":5000000000,"VAD":null,"Gates":{"Rate":8,"X":0}}`:            {"transcribe", `{"Beam":5,"Gates":{"Rate":8},"Overlap":"5s"}`},
		`{"DelayMin":-1500000000,"FixedLag":[{"From":0,"Lag":250000000}],"StreamLag":{"s1":[{"Lag":90000000000}]},"Seed":5000000000,"LagMin":0}`: {"align", `{"DelayMin":"-1.5s","FixedLag":[{"From":"0s","Lag":"250ms"}],"Seed":5000000000,"StreamLag":{"s1":[{"Lag":"1m30s"}]}}`},
		`{"Clock":{"Base":0,"Start":"0001-01-01T00:00:00Z"},"Emotes":null,"strict":false}`:                                                       {"load", "none"},
		`["not an object"]`: {"align", `["not an object"]`},
	} {
		if got := set(options, optionsOf[c.verb]); got != c.want {
			t.Errorf("%s is shown as %s, want %s", options, got, c.want)
		}
	}
}
