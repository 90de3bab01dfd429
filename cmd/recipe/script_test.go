package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"banter/dsl/memo"
	"banter/internal/worker"
	"banter/stdlib/media"

	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
	"github.com/mewkiz/flac/meta"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"recipe": main, "kill-worker": killWorker})
}

// TestScripts runs the stories of testdata/script: what a user types, and what must come of it. Beside testscript's own
// commands they know
//
//	events FILE               each line of FILE is an event of --json, the last is the summary
//	sound                     recipe verify finds nothing wrong in $BANTER_STORE
//	one-error [WORD...]       the last command's standard error is one line that begins with "error: " and holds the words
//	flac FILE [BYTES]         write a second of sound, cut off after so many bytes
//	wav FILE SECONDS          write so many seconds of sound
//	damage VERB OUTPUT        flip a byte of a stored output
//	mangle FILE TEXT          overwrite the beginning of FILE
//	mp4 FILE                  write the first bytes of a video
//	truncate FILE BYTES       cut a file off
//	exit-code N PROGRAM...    run a program, which must end with this code
//	kill-worker PROGRAM...    run a program, and kill -9 the native worker that it starts as soon as it works
//
// and the conditions [engine] and [root]. $STREAMS is the folder of shipped streams, $SHORT one with the first half minute
// of one of them.
func TestScripts(t *testing.T) {
	repo := repository(t)
	short := shortStreams(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("STREAMS", filepath.Join(repo, "testdata", "streams"))
			env.Setenv("SHORT", short)
			recipe, err := exec.LookPath("recipe")
			if err != nil {
				return err
			}
			env.Setenv("RECIPEDIR", filepath.Dir(recipe))
			env.Setenv("BANTER_MODELS", filepath.Join(repo, "testdata", "models"))
			env.Setenv("BANTER_STORE", filepath.Join(env.WorkDir, "store"))
			if engine := filepath.Join(repo, "bin", worker.Engine); os.Getenv(worker.EngineVariable) == "" {
				env.Setenv(worker.EngineVariable, engine)
			} else {
				env.Setenv(worker.EngineVariable, os.Getenv(worker.EngineVariable))
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "engine":
				return haveEngine(t), nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"events":    checkEvents,
			"sound":     checkSound,
			"one-error": checkOneError,
			"flac":      writeFLAC,
			"wav":       writeTone,
			"damage":    damageOutput,
			"mangle":    mangleFile,
			"mp4":       writeMP4,
			"exit-code": checkExitCode,
			"truncate":  truncateFile,
		},
	})
}

// repository is the folder that holds go.mod.
func repository(t testing.TB) string {
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// haveEngine says whether the native worker is built. BANTER_REQUIRE_ENGINE=1 makes it a failure if it is not.
func haveEngine(t testing.TB) bool {
	path := os.Getenv(worker.EngineVariable)
	if path == "" {
		path = filepath.Join(repository(t), "bin", worker.Engine)
	}
	_, err := os.Stat(path)
	if err != nil && os.Getenv("BANTER_REQUIRE_ENGINE") == "1" {
		t.Fatalf("%v, and BANTER_REQUIRE_ENGINE=1 wants it: run make native", err)
	}
	return err == nil
}

// shortStreams is a folder with one stream: the first half minute of the first shipped one.
func shortStreams(t testing.TB) string {
	dir := t.TempDir()
	cutStream(t, filepath.Join(dir, "s1"), "s1", 30)
	return dir
}

// cutStream writes the first seconds of a shipped stream, with the chat that belongs to them, into a folder.
func cutStream(t testing.TB, to, stream string, seconds int) {
	t.Helper()
	from := filepath.Join(repository(t), "testdata", "streams", stream)
	if err := os.MkdirAll(to, 0o777); err != nil {
		t.Fatal(err)
	}
	r, err := media.Open(context.Background(), filepath.Join(from, "audio.opus"), media.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	samples := make([]float32, seconds*media.Rate)
	for n := 0; n < len(samples); {
		k, err := r.Read(samples[n:])
		if n += k; err != nil {
			t.Fatalf("the stream ends after %d samples: %v", n, err)
		}
	}
	if err := os.WriteFile(filepath.Join(to, "audio.wav"), wav(samples), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(from, "chat.json"))
	if err != nil {
		t.Fatal(err)
	}
	var log map[string]any
	if err := json.Unmarshal(b, &log); err != nil {
		t.Fatal(err)
	}
	const late = 12 // seconds by which chat follows speech
	log["comments"] = slices.DeleteFunc(log["comments"].([]any), func(c any) bool {
		return c.(map[string]any)["content_offset_seconds"].(float64) > float64(seconds+late)
	})
	if b, err = json.Marshal(log); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "chat.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// wav is 16-bit mono PCM at 16 kHz.
func wav(samples []float32) []byte {
	var b bytes.Buffer
	size := uint32(2 * len(samples))
	b.WriteString("RIFF")
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // a buffer takes everything
	put(36 + size)
	b.WriteString("WAVEfmt ")
	put(uint32(16))
	put([]uint16{1, 1})
	put([]uint32{media.Rate, 2 * media.Rate})
	put([]uint16{2, 16})
	b.WriteString("data")
	put(size)
	for _, x := range samples {
		put(int16(max(-1, min(1, x)) * 32767))
	}
	return b.Bytes()
}

// tone is a sound that no decoder can take for silence.
func tone(samples int) []float32 {
	out := make([]float32, samples)
	for i := range out {
		x := float64(i) / media.Rate
		out[i] = float32(0.3*math.Sin(2*math.Pi*220*x) + 0.1*math.Sin(2*math.Pi*1733*x*x))
	}
	return out
}

func writeTone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: wav FILE SECONDS")
	}
	seconds, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), wav(tone(int(seconds*media.Rate))), 0o644))
}

func writeFLAC(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: flac FILE [BYTES]")
	}
	samples := tone(media.Rate)
	var b bytes.Buffer
	const block = 4000 // samples a frame
	enc, err := flac.NewEncoder(&b, &meta.StreamInfo{BlockSizeMin: block, BlockSizeMax: block, SampleRate: media.Rate, NChannels: 1, BitsPerSample: 16, NSamples: uint64(len(samples))})
	ts.Check(err)
	for from := 0; from < len(samples); from += block {
		sub := &frame.Subframe{SubHeader: frame.SubHeader{Pred: frame.PredVerbatim}, NSamples: block, Samples: make([]int32, block)}
		for i := range sub.Samples {
			sub.Samples[i] = int32(samples[from+i] * 32767)
		}
		ts.Check(enc.WriteFrame(&frame.Frame{Header: frame.Header{HasFixedBlockSize: true, BlockSize: block, SampleRate: media.Rate,
			Channels: frame.ChannelsMono, BitsPerSample: 16}, Subframes: []*frame.Subframe{sub}}))
	}
	ts.Check(enc.Close())
	out := b.Bytes()
	if len(args) == 2 {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		if n >= len(out) {
			ts.Fatalf("the file has only %d bytes", len(out))
		}
		out = out[:n]
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out, 0o644))
}

func checkSound(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(soundStore(ts.Getenv("BANTER_STORE")))
}

func soundStore(dir string) error {
	var said []string
	s, err := memo.Open(dir, func(text string) { said = append(said, text) })
	if err != nil {
		return err
	}
	r, err := s.Verify(context.Background())
	if err != nil {
		return err
	}
	if len(r.Wrong)+len(said) > 0 {
		return fmt.Errorf("the store is not sound: %v %v", r.Wrong, said)
	}
	return nil
}

func checkOneError(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile("stderr")
	line, rest, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(line, "error: ") || rest != "" {
		ts.Fatalf("want one line that begins with \"error: \", got\n%s", text)
	}
	for _, want := range args {
		if !strings.Contains(line, want) {
			ts.Fatalf("the error does not say %q:\n%s", want, line)
		}
	}
	for _, chain := range []string{"failed to", "unexpected error", "panic", "goroutine", "%!", "<nil>"} {
		if strings.Contains(line, chain) {
			ts.Fatalf("the error says %q:\n%s", chain, line)
		}
	}
}

// checkEvents holds the lines of a --json run against what docs/formats.md says of them.
func checkEvents(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: events FILE")
	}
	ts.Check(soundEvents(strings.NewReader(ts.ReadFile(args[0]))))
}

func soundEvents(r io.Reader) error {
	dec := json.NewDecoder(r)
	open := map[string]bool{}
	ended := map[string]int{}
	for n := 1; ; n++ {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("there is no summary")
			}
			return fmt.Errorf("line %d: %w", n, err)
		}
		strict := json.NewDecoder(bytes.NewReader(raw))
		strict.DisallowUnknownFields()
		var kind struct{ Event string }
		if err := json.Unmarshal(raw, &kind); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		switch kind.Event {
		case "step":
			var e struct {
				Event, State, Step, Label, Key, Unit, Text string
				Values                                     map[string]float64 // where a training came to measure before it ended
				Done, Total                                int64
				Seconds                                    float64
			}
			if err := strict.Decode(&e); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			switch e.State {
			case "started":
				open[e.Key] = true
			case "progress", "hit", "done", "failed":
				if !open[e.Key] {
					return fmt.Errorf("line %d: step %s was not started: %s", n, e.Key, raw)
				}
				if e.State != "progress" {
					delete(open, e.Key)
					ended[e.State]++
				}
			case "note":
				if e.Text == "" {
					return fmt.Errorf("line %d: a note without text: %s", n, raw)
				}
			default:
				return fmt.Errorf("line %d: unknown state: %s", n, raw)
			}
			if e.Step == "" {
				return fmt.Errorf("line %d: no step: %s", n, raw)
			}
		case "summary":
			var e struct {
				Event              string
				Hits, Made, Failed int
				Seconds            float64
				Exports            []string
				Error              string
				Exit               int
			}
			if err := strict.Decode(&e); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			if len(open) > 0 || e.Hits != ended["hit"] || e.Made != ended["done"] || e.Failed != ended["failed"] {
				return fmt.Errorf("the summary says %s, the events %v, and %d steps did not end", raw, ended, len(open))
			}
			if (e.Exit == 0) != (e.Error == "") {
				return fmt.Errorf("exit code %d with error %q", e.Exit, e.Error)
			}
			if dec.More() {
				return errors.New("something follows the summary")
			}
			return nil
		default:
			return fmt.Errorf("line %d: unknown event: %s", n, raw)
		}
	}
}

func damageOutput(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: damage VERB OUTPUT")
	}
	s, err := memo.Open(ts.Getenv("BANTER_STORE"), nil)
	ts.Check(err)
	list, err := s.Manifests()
	ts.Check(err)
	for _, m := range list {
		if o, err := m.Output(args[1]); err == nil && m.Verb == args[0] {
			path := s.ObjectPath(o)
			b, err := os.ReadFile(path)
			ts.Check(err)
			b[len(b)/2] ^= 1
			ts.Check(os.Chmod(path, 0o644))
			ts.Check(os.WriteFile(path, b, 0o444))
			return
		}
	}
	ts.Fatalf("no step %s with output %s", args[0], args[1])
}

func mangleFile(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: mangle FILE TEXT")
	}
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	copy(b, args[1])
	ts.Check(os.WriteFile(path, b, 0o644))
}

// writeMP4 writes what makes a file an MP4 to whoever looks at its content.
func writeMP4(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: mp4 FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append([]byte("\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"), make([]byte, 64)...), 0o644))
}

func checkExitCode(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exit-code N PROGRAM [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func truncateFile(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: truncate FILE BYTES")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Chmod(ts.MkAbs(args[0]), 0o644))
	ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
}

func signalTo(pid int, s os.Signal) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Signal(s)
}

// killWorker is a program: it runs another, and kills the native worker that it starts as soon as that has computed for a
// while.
func killWorker() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	ended := make(chan struct{})
	killed := make(chan bool, 1)
	go func() {
		defer close(killed)
		for {
			for _, p := range children(cmd.Process.Pid) {
				// By then the model is loaded: speech is being recognised.
				if filepath.Base(p.name) == worker.Engine && p.cpu >= 150*time.Millisecond {
					_ = signalTo(p.pid, os.Kill)
					killed <- true
					return
				}
			}
			select {
			case <-ended:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	err := cmd.Wait()
	close(ended)
	if !<-killed {
		fmt.Fprintln(os.Stderr, "there was no worker to kill")
		os.Exit(98)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
}

type child struct {
	pid  int
	name string
	cpu  time.Duration // that it has used
}

// children lists the processes that pid started and that still run.
func children(pid int) []child {
	var out []child
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		b, _ := os.ReadFile(task) // it may have ended
		for _, field := range strings.Fields(string(b)) {
			id, err := strconv.Atoi(field)
			if err != nil {
				continue
			}
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
			_, rest, ok := strings.Cut(string(stat), ") ")
			fields := strings.Fields(rest)
			if !ok || len(fields) < 13 || fields[0] == "Z" {
				continue
			}
			name, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", id))
			user, _ := strconv.Atoi(fields[11]) // utime and stime, in hundredths of a second: see proc(5)
			system, _ := strconv.Atoi(fields[12])
			out = append(out, child{id, name, time.Duration(user+system) * 10 * time.Millisecond})
		}
	}
	return out
}
