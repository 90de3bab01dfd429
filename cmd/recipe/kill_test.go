package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"banter/dsl/event"
)

// wholeRun is a recipe with every kind of work: native workers, alignment, training with checkpoints, exports.
const wholeRun = `package main

import "banter/dsl"

type Params struct {
	Short   string
	Streams string
	Engine  bool
}

func main() {
	p := Params{}
	dsl.Main(&p, func() {
		if p.Engine {
			dsl.Transcribe(dsl.Load(p.Short))
		}
		words := dsl.Words(dsl.Load(p.Streams), p.Streams)
		rows := dsl.Dataset(dsl.Filter(dsl.Align(words), dsl.FDR.AtMost(0.3), dsl.NoBots()))
		tuned := dsl.Train(rows, dsl.LoRA(dsl.Rank(2)), dsl.Steps(150), dsl.Batch(4, 1), dsl.MaxLength(128), dsl.Seed(7))
		dsl.Export(rows, "dataset")
		dsl.Export(tuned, "adapter")
	})
}
`

// trial is a folder in which the recipe is run again and again.
type trial struct {
	dir  string
	args []string
}

func newTrial(t *testing.T) trial {
	dir := t.TempDir()
	repo := repository(t)
	engine := haveEngine(t)
	if !engine {
		t.Log("bin/banter-engine is not built: nothing is killed while speech is recognised")
	}
	recipe := filepath.Join(dir, "whole.go")
	if err := os.WriteFile(recipe, []byte(wholeRun), 0o644); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(dir, "short")
	cutStream(t, filepath.Join(short, "a"), "s1", 6)
	cutStream(t, filepath.Join(short, "b"), "s2", 6)
	streams := filepath.Join(dir, "streams", "s1")
	if err := os.CopyFS(streams, os.DirFS(filepath.Join(repo, "testdata", "streams", "s1"))); err != nil {
		t.Fatal(err)
	}
	return trial{dir, []string{"run", recipe, "--json", "--jobs", "1", "-p", "short=" + short, "-p", "streams=" + filepath.Dir(streams),
		"-p", fmt.Sprintf("engine=%v", engine)}}
}

// command is one run on the store of the given name.
func (tr trial) command(t *testing.T, store string) *exec.Cmd {
	cmd := exec.Command("recipe", append(slices.Clone(tr.args), "--store", filepath.Join(tr.dir, store), "--out", filepath.Join(tr.dir, store+"-out"))...)
	cmd.Dir = repository(t)
	return cmd
}

// finish runs to the end, and gives every exported file and what happened.
func (tr trial) finish(t *testing.T, store string) (files map[string]string, events []timed) {
	t.Helper()
	cmd := tr.command(t, store)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watch(out, func(e event.Event) { events = append(events, timed{e, time.Since(began)}) })
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the run did not complete: %v\n%s", err, stderr.String())
	}
	if err := soundStore(filepath.Join(tr.dir, store)); err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	root := filepath.Join(tr.dir, store+"-out")
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, root)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, events
}

type timed struct {
	event.Event
	at time.Duration // since the run began
}

// watch passes on the events of a --json run until it ends.
func watch(r io.Reader, tell func(event.Event)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil { // the last line may be half a line
			tell(e)
		}
	}
}

// moment is when to kill: so long after a step began.
type moment struct {
	step, label string
	after       time.Duration
	at          time.Duration // in the uninterrupted run, by which moments are put in order
}

// moments draws from the whole length of a run.
func moments(rng *rand.Rand, events []timed, n int) []moment {
	type stretch struct {
		started  timed
		duration time.Duration
	}
	var steps []stretch
	began := map[string]timed{}
	for _, e := range events {
		switch e.State {
		case event.Started:
			began[e.Key] = e
		case event.Done:
			steps = append(steps, stretch{began[e.Key], e.at - began[e.Key].at})
		}
	}
	out := make([]moment, n)
	for i := range out {
		// Half of them fall evenly on the time; of the others one falls into each step in turn, or the longest step would
		// get nearly all.
		s := steps[i/2%len(steps)]
		if i%2 == 0 {
			var total time.Duration
			for _, s := range steps {
				total += s.duration
			}
			x := time.Duration(rng.Int64N(int64(total)))
			for _, s = range steps {
				if x < s.duration {
					break
				}
				x -= s.duration
			}
		}
		after := time.Duration(rng.Int64N(int64(s.duration) + 1))
		out[i] = moment{s.started.Verb, s.started.Label, after, s.started.at + after}
	}
	return out
}

// interrupt runs until the moment, sends the signal, and reports whether the run was still going on then.
func (tr trial) interrupt(t *testing.T, store string, m moment, with syscall.Signal) (struck bool, said string, end error) {
	t.Helper()
	cmd := tr.command(t, store)
	var stdout, stderr bytes.Buffer
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var workers []child
	sent := make(chan struct{})
	var once bool
	watch(io.TeeReader(out, &stdout), func(e event.Event) {
		if !once && e.State == event.Started && e.Verb == m.step && e.Label == m.label {
			once = true
			go func() {
				defer close(sent)
				time.Sleep(m.after)
				workers = children(cmd.Process.Pid)
				_ = cmd.Process.Signal(with) // it may have ended
			}()
		}
	})
	end = cmd.Wait()
	if once {
		<-sent
	}
	for _, w := range workers { // a worker does not outlive who started it
		for range 200 {
			if signalTo(w.pid, syscall.Signal(0)) != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.pid)); err == nil && !strings.Contains(string(stat), ") Z ") {
			t.Errorf("worker %d outlived the run that was killed", w.pid)
		}
	}
	return end != nil, stdout.String() + stderr.String(), end
}

// TestKilledAtAnyMoment kills the runner with SIGKILL at 20 moments. After each the store must be sound, and when a run
// comes through, its files must be those of a run that nobody disturbed.
func TestKilledAtAnyMoment(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	const seed, kills, chains = 20, 20, 4
	tr := newTrial(t)
	want, events := tr.finish(t, "undisturbed")
	if len(want) < 8 {
		t.Fatalf("only %d files were exported", len(want))
	}
	list := moments(rand.New(rand.NewPCG(seed, 0)), events, kills)
	struck := map[string]int{}
	for c := range chains {
		store := fmt.Sprintf("chain%d", c)
		chain := list[c*kills/chains : (c+1)*kills/chains]
		// In the order of the run, so that each falls into work that is still to be done.
		slices.SortFunc(chain, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
		for _, m := range chain {
			hit, _, _ := tr.interrupt(t, store, m, syscall.SIGKILL)
			if hit {
				struck[m.step]++
			}
			if err := soundStore(filepath.Join(tr.dir, store)); err != nil {
				t.Fatalf("killed %v into %s %s: %v", m.after, m.step, m.label, err)
			}
		}
		got, events := tr.finish(t, store)
		for name, text := range want {
			if got[name] != text {
				t.Errorf("%s after the kills of %s is not what an undisturbed run makes", name, store)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d files were exported, want %d", len(got), len(want))
		}
		for _, e := range events {
			if e.State == event.Failed {
				t.Errorf("%s", e.Text)
			}
		}
	}
	total := 0
	for _, n := range struck {
		total += n
	}
	t.Logf("%d of %d signals came before the run's end, by step: %v", total, kills, struck)
	if total < kills*3/4 {
		t.Errorf("only %d of %d signals came before the run's end: the test does not test much", total, kills)
	}
}

// TestInterrupted sends the signal of Ctrl-C: the run says so, ends with code 1, and the next one goes on.
func TestInterrupted(t *testing.T) {
	tr := newTrial(t)
	for _, step := range []string{"train", "transcribe"} {
		m := moment{step: step, label: "lm-micro", after: 100 * time.Millisecond}
		if step == "transcribe" {
			if m.label = "a"; !haveEngine(t) {
				continue
			}
		}
		struck, said, end := tr.interrupt(t, step, m, syscall.SIGINT)
		var exit *exec.ExitError
		if !struck || !errors.As(end, &exit) || exit.ExitCode() != 1 {
			t.Fatalf("%s: ended with %v, want code 1\n%s", step, end, said)
		}
		if err := soundEvents(strings.NewReader(said)); err != nil {
			t.Errorf("%s: %v", step, err)
		}
		if !strings.Contains(said, step+" "+m.label+": interrupted (what was finished is kept: run it again to go on)") {
			t.Errorf("%s: the run does not say that it was interrupted:\n%s", step, said)
		}
		if err := soundStore(filepath.Join(tr.dir, step)); err != nil {
			t.Error(err)
		}
		if step == "train" {
			_, events := tr.finish(t, step)
			for _, e := range events {
				if e.State == event.Done && e.Verb != "train" && e.Verb != "export" { // which comes after it
					t.Errorf("%s %s was made again after the interruption", e.Verb, e.Label)
				}
			}
		}
	}
}
