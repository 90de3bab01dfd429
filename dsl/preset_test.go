package dsl

import (
	"errors"
	"strings"
	"testing"
)

// TestATrainingIsForeseen: a dry run tells what a training takes before its plan is in the store, and that it is there
// once it has run.
func TestATrainingIsForeseen(t *testing.T) {
	onStream(t, nil, func(n *notebook, _ Streams, words Transcripts) {
		rows := Dataset(Filter(Align(words), FDR.AtMost(0.1)))
		train := func() Tuned { return Train(rows, Preset(8), LoRA(Rank(2)), Steps(3)) }
		foresee := func() ([]Training, error) {
			dry, err := Open(Config{Store: current().Store().Dir(), DryRun: true})
			if err != nil {
				t.Fatal(err)
			}
			defer dry.Close()
			err = dry.Run(t.Context(), func() error { train(); return nil })
			return dry.Trainings(), err
		}
		found, err := foresee()
		if !NotMade(err) || len(found) != 1 {
			t.Fatalf("%v, %+v", err, found)
		}
		f := found[0]
		if f.Stored || f.Steps != 3 || f.Engine != "go" || f.Preset != "8 GB" || f.Memory < 10<<20 || !(f.Seconds > 0) || f.Rows == 0 || f.Learned == 0 {
			t.Errorf("%+v", f)
		}
		run := train().Run()
		if run.Options.Rank != 2 || run.Options.BatchRows != 8 || run.Options.BatchTokens != 1024 || run.Rows != f.Rows || run.Learned != f.Learned || len(run.History) != f.Steps {
			t.Errorf("foreseen were %+v, it ran with %+v", f, run.Options)
		}
		if found, err = foresee(); err != nil || len(found) != 1 || !found[0].Stored {
			t.Errorf("%v, %+v", err, found)
		}
	})
}

func TestEnginesAndPresetsThatThereAreNot(t *testing.T) {
	onStream(t, nil, func(n *notebook, _ Streams, words Transcripts) {
		rows := Dataset(Filter(Align(words), FDR.AtMost(0.1)))
		for want, option := range map[string]TrainOption{
			"no engine":       Engine("abacus"),
			"no precision":    Engine("torch", Precision("f7"), Device("cpu")),
			"no device":       Engine("torch", Device("abacus")),
			"fake-python":     Engine("torch", Python("/nowhere/fake-python"), Device("cpu")),
			"smallest preset": Preset(0),
		} {
			func() {
				defer func() {
					err, _ := recover().(*Error)
					if err == nil || !strings.Contains(err.Error(), want) || errors.Unwrap(err) == nil {
						t.Errorf("%s: %v", want, err)
					}
				}()
				Train(rows, option)
			}()
		}
	})
}
