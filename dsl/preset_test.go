package dsl

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banter/stdlib/lm"
	"banter/stdlib/models"
	"banter/stdlib/train"
	"banter/stdlib/train/torch"
)

// TestATrainingIsForeseen: a dry run tells what a training takes before its plan is in the store, and that it is there
// once it has run.
func TestATrainingIsForeseen(t *testing.T) {
	onStream(t, nil, func(n *notebook, _ Streams, words Transcripts) {
		rows := Dataset(Filter(Align(words), FDR.AtMost(0.1)))
		training := func() Tuned { return Train(rows, Preset(8), LoRA(Rank(2)), Steps(3)) }
		foresee := func() ([]Training, error) {
			dry, err := Open(Config{Store: current().Store().Dir(), DryRun: true})
			if err != nil {
				t.Fatal(err)
			}
			defer dry.Close()
			err = dry.Run(t.Context(), func() error { training(); return nil })
			return dry.Trainings(), err
		}
		found, err := foresee()
		if !NotMade(err) || len(found) != 1 {
			t.Fatalf("%v, %+v", err, found)
		}
		f := found[0]
		if len(f.Presets) != len(train.Presets()) || f.Presets[1].Name != "8 GB" || !f.Presets[1].Fits || f.Presets[1].Precision != "" || f.Presets[1].Memory < 10<<20 {
			t.Errorf("presets: %+v", f.Presets)
		}
		if f.Stored || f.Steps != 3 || f.Engine != "go" || f.Preset != "8 GB" || f.Memory < 10<<20 || !(f.Seconds > 0) || f.Rows == 0 || f.Learned == 0 {
			t.Errorf("%+v", f)
		}
		run := training().Run()
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
			"\"4bit\"":        Engine("go", Precision("4bit")),
			"torch engine's":  Engine("go", Device("cpu")),
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

// TestABaseInGGUFIsWidenedForTorch: a dry run says what comes before torch, and the folder that is written holds the same model.
func TestABaseInGGUFIsWidenedForTorch(t *testing.T) {
	t.Setenv(torch.PythonVariable, "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	const base = "../testdata/models/lm-micro/lm-micro-f16.gguf"
	onStream(t, nil, func(n *notebook, _ Streams, words Transcripts) {
		rows := Dataset(Filter(Align(words), FDR.AtMost(0.1)))
		dry, err := Open(Config{Store: current().Store().Dir(), DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		defer dry.Close()
		err = dry.Run(t.Context(), func() error { Train(rows, Base(base), Engine("torch", Device("cpu")), Steps(3)); return nil })
		found := dry.Trainings()
		if !NotMade(err) || len(found) != 1 {
			t.Fatalf("%v, %+v", err, found)
		}
		text := found[0].String()
		for _, want := range []string{"Hugging Face folder of F32, once", "installing torch", "known once torch is installed"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in %q", want, text)
			}
		}
		s := current()
		model, err := models.Resolve(t.Context(), base)
		if err != nil {
			t.Fatal(err)
		}
		o := trainOptions{engine: engineChoice{name: "torch", options: torch.Options{Device: "cpu"}}}
		if err := o.resolveEngine(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.widenBase(&o, model); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for _, output := range o.engine.widened.Outputs {
			if err := s.store.Copy(output, filepath.Join(dir, output.Name)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := lm.Open(base)
		if err != nil {
			t.Fatal(err)
		}
		defer want.Close()
		got, err := lm.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		for _, name := range want.Weights.Names() {
			a, _ := want.Weights.Tensor(name)
			b, ok := got.Weights.Tensor(name)
			if !ok || b.Type != lm.F32 || !slices.Equal(a.Float32(), b.Float32()) {
				t.Errorf("tensor %s is another", name)
			}
		}
	})
}
