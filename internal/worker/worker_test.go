//go:build unix

package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"
)

// roleVariable makes the test's own executable play a worker.
const roleVariable = "BANTER_TEST_WORKER"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "good":
		if err := Serve(os.Stdin, os.Stdout, "test-worker", "1", testHandlers()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "other protocol":
		writeFrame(os.Stdout, &Header{Kind: KindHello, Hello: &Hello{Protocol: Protocol + 1, Program: "test-worker"}}, nil)
		time.Sleep(time.Minute)
	case "no worker":
		fmt.Println("hello, this is some other program")
		time.Sleep(time.Minute)
	case "no hello":
		time.Sleep(time.Minute)
	case "dies at once":
		fmt.Fprintln(os.Stderr, "libsomething.so.1: cannot open shared object file")
		os.Exit(127)
	case "parent": // starts a worker, says its process id, and waits to be killed
		pool := NewPool(Options{Path: os.Args[0], Env: []string{roleVariable + "=good"}})
		raw, _, err := pool.Call(context.Background(), "pid", nil, nil)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(string(raw))
		pool.Call(context.Background(), "sleep deaf", nil, nil)
	}
	os.Exit(0)
}

func testHandlers() map[string]Handler {
	return map[string]Handler{
		"echo": func(_ context.Context, r *Request) (any, []byte, error) {
			return r.Params, r.Payload, nil
		},
		"pid": func(context.Context, *Request) (any, []byte, error) { return os.Getpid(), nil, nil },
		"count": func(ctx context.Context, _ *Request) (any, []byte, error) {
			for i := range 4 {
				progress.Tell(ctx, progress.Report{Done: int64(i + 1), Total: 4, Unit: "steps"})
				time.Sleep(progressEvery + 5*time.Millisecond)
			}
			return "done", nil, nil
		},
		"sleep": func(ctx context.Context, _ *Request) (any, []byte, error) {
			<-ctx.Done()
			return nil, nil, ctx.Err()
		},
		"sleep deaf": func(context.Context, *Request) (any, []byte, error) {
			time.Sleep(time.Minute)
			return nil, nil, nil
		},
		"fail": func(context.Context, *Request) (any, []byte, error) {
			return nil, nil, &Failure{Path: "a.bin", Message: "the model is bad", Fix: "fetch it again"}
		},
		"panic": func(context.Context, *Request) (any, []byte, error) { panic("oops") },
		"exit": func(context.Context, *Request) (any, []byte, error) {
			for i := range 30 {
				fmt.Fprintf(os.Stderr, "line %d\n", i)
			}
			os.Exit(3)
			return nil, nil, nil
		},
		"kill": func(context.Context, *Request) (any, []byte, error) {
			self, _ := os.FindProcess(os.Getpid())
			self.Signal(syscall.SIGKILL)
			time.Sleep(time.Minute)
			return nil, nil, nil
		},
		"garbage": func(context.Context, *Request) (any, []byte, error) {
			fmt.Println("progress: 10 %")
			return nil, nil, nil
		},
		"too large": func(context.Context, *Request) (any, []byte, error) {
			return nil, make([]byte, MaxPayload+1), nil
		},
	}
}

func pool(t *testing.T, role string, o Options) *Pool {
	t.Helper()
	o.Path, o.Env = os.Args[0], append(o.Env, roleVariable+"="+role)
	if o.Grace == 0 {
		o.Grace = 300 * time.Millisecond
	}
	p := NewPool(o)
	t.Cleanup(func() { p.Close() })
	return p
}

func TestCall(t *testing.T) {
	p := pool(t, "good", Options{})
	hello, err := p.Hello(t.Context())
	if err != nil || hello.Program != "test-worker" || hello.Protocol != Protocol || len(hello.Methods) != len(testHandlers()) {
		t.Fatalf("hello is %+v (%v)", hello, err)
	}
	payload := bytes.Repeat([]byte("0123456789"), 1<<18)
	raw, out, err := p.Call(t.Context(), "echo", map[string]int{"a": 1}, payload)
	if err != nil || string(raw) != `{"a":1}` || !bytes.Equal(out, payload) {
		t.Fatalf("the echo is %s with %d bytes (%v)", raw, len(out), err)
	}
	var reports []int64
	ctx := progress.With(t.Context(), func(r progress.Report) { reports = append(reports, r.Done) })
	if _, _, err := p.Call(ctx, "count", nil, nil); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(reports) != "[1 2 3 4]" {
		t.Errorf("progress was %v, want all four steps", reports)
	}
}

// TestFailuresLeaveTheWorker checks that errors which a worker words itself do not cost the process.
func TestFailuresLeaveTheWorker(t *testing.T) {
	p := pool(t, "good", Options{})
	pid := func() string {
		raw, _, err := p.Call(t.Context(), "pid", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	before := pid()
	for method, want := range map[string]string{
		"fail":      "fail a.bin: the model is bad (fetch it again)",
		"panic":     "oops",
		"nothing":   `no method "nothing"`,
		"too large": "over the limit",
	} {
		_, _, err := p.Call(t.Context(), method, nil, nil)
		var f *Failure
		var known *problem.Error
		if !errors.As(err, &f) || !errors.As(err, &known) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gave %v, want a failure with %q", method, err, want)
		}
	}
	if after := pid(); after != before {
		t.Errorf("the worker was replaced: %s, then %s", before, after)
	}
}

func TestDeath(t *testing.T) {
	p := pool(t, "good", Options{})
	for _, c := range []struct{ method, want string }{
		{"exit", "exit code 3"},
		{"exit", "line 29"},
		{"kill", "killed by signal 9"},
		{"garbage", `progress: 10 %`},
	} {
		_, _, err := p.Call(t.Context(), c.method, nil, nil)
		var d *Death
		if !errors.As(err, &d) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s gave %v, want a death with %q", c.method, err, c.want)
			continue
		}
		if len(d.Stderr) > stderrLines {
			t.Errorf("%s: %d lines of standard error were kept", c.method, len(d.Stderr))
		}
		if _, _, err := p.Call(t.Context(), "echo", 1, nil); err != nil {
			t.Errorf("after %s the next call gave %v", c.method, err)
		}
	}
}

func TestIdleDeath(t *testing.T) {
	p := pool(t, "good", Options{})
	raw, _, err := p.Call(t.Context(), "pid", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	idle := p.idle[0]
	p.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-idle.exited
	if _, _, err := p.Call(t.Context(), "echo", 1, nil); err != nil {
		t.Errorf("after an idle worker's death the next call gave %v", err)
	}
}

func TestStartFails(t *testing.T) {
	for role, want := range map[string]string{
		"other protocol": "speaks version",
		"no worker":      "this is some ot",
		"dies at once":   "cannot open shared object",
	} {
		_, _, err := pool(t, role, Options{}).Call(t.Context(), "echo", nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", role, err, want)
		}
	}
	_, _, err := pool(t, "no hello", Options{StartTimeout: 100 * time.Millisecond}).Call(t.Context(), "echo", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "did not say hello") {
		t.Errorf("a mute program: got %v", err)
	}
}

func TestCancel(t *testing.T) {
	p := pool(t, "good", Options{})
	if _, err := p.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"sleep", "sleep deaf"} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, _, err := p.Call(ctx, method, nil, nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want a cancellation", method, err)
		}
		p.mu.Lock()
		alive := len(p.idle)
		p.mu.Unlock()
		if want := map[string]int{"sleep": 1, "sleep deaf": 0}[method]; alive != want {
			t.Errorf("%s: %d workers live on, want %d", method, alive, want)
		}
		if _, _, err := p.Call(t.Context(), "echo", 1, nil); err != nil {
			t.Errorf("after a cancelled %s the next call gave %v", method, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := p.Call(ctx, "echo", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a call with a done context gave %v", err)
	}
}

func TestPool(t *testing.T) {
	p := pool(t, "good", Options{Workers: 3})
	var mu sync.Mutex
	pids := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			raw, _, err := p.Call(t.Context(), "pid", nil, nil)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			pids[string(raw)] = true
			mu.Unlock()
			if i%10 == 9 { // deaths among the calls must not take others along
				if _, _, err := p.Call(t.Context(), "kill", nil, nil); err == nil {
					t.Error("a killed worker gave an answer")
				}
			}
		})
	}
	wg.Wait()
	if len(pids) < 2 || len(pids) > 6 {
		t.Errorf("30 calls were answered by %d processes, want between 2 and 6", len(pids))
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := p.Call(t.Context(), "echo", nil, nil); !errors.Is(err, errClosed) {
		t.Errorf("a closed pool gave %v", err)
	}
}

// TestCloseDuringCall checks that closing a pool ends calls in flight.
func TestCloseDuringCall(t *testing.T) {
	p := pool(t, "good", Options{})
	if _, err := p.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := p.Call(t.Context(), "sleep deaf", nil, nil)
		done <- err
	}()
	for busy := false; !busy; { // until the call has taken the worker
		p.mu.Lock()
		busy = len(p.idle) == 0
		p.mu.Unlock()
		runtime.Gosched()
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("the call succeeded")
	}
}

// TestWorkerDiesWithParent kills a program that has a worker at work, and waits for the worker to be gone too.
func TestWorkerDiesWithParent(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=parent")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the parent says %q", line)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	for range 500 {
		// Nobody may collect an orphan where the first process is a plain program: a zombie is dead too.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || err == nil && bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	t.Error("the worker outlives its parent")
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bin", Engine)
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{path, filepath.Join(dir, "go.mod")} {
		if err := os.WriteFile(f, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(EngineVariable, "")
	t.Setenv("PATH", "")
	t.Chdir(filepath.Join(dir, "a", "b"))
	if got, err := Find(""); err != nil || mustEval(t, got) != mustEval(t, path) {
		t.Errorf("from below the repository: %q (%v)", got, err)
	}
	t.Chdir(t.TempDir())
	if got, err := Find(""); err == nil {
		t.Errorf("from elsewhere: found %q", got)
	} else if !strings.Contains(err.Error(), "make native") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	t.Setenv(EngineVariable, path)
	if got, err := Find(""); err != nil || got != path {
		t.Errorf("by variable: %q (%v)", got, err)
	}
	t.Setenv(EngineVariable, filepath.Join(dir, "go.mod", "nothing"))
	if _, err := Find(""); err == nil {
		t.Error("a wrong variable is overlooked")
	}
}

func mustEval(t *testing.T, path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return real
}

func TestFrameLimits(t *testing.T) {
	if err := writeFrame(io.Discard, &Header{Params: json.RawMessage(`"` + strings.Repeat("x", MaxHeader) + `"`)}, nil); err == nil {
		t.Error("a header over the limit is written")
	}
	if err := writeFrame(io.Discard, &Header{}, make([]byte, MaxPayload+1)); err == nil {
		t.Error("a payload over the limit is written")
	}
	// A prefix that promises much must not cost memory before the bytes come.
	huge := []byte("BNT1\x00\x00\x00\x00\x00\x00\x00\x10")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := readFrame(bufio.NewReader(bytes.NewReader(huge)))
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Error("a frame without its bytes is taken")
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("%d bytes were taken for a frame that never came", took)
	}
	over := []byte("BNT1\xff\xff\xff\xff\x00\x00\x00\x00")
	if _, _, err := readFrame(bufio.NewReader(bytes.NewReader(over))); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("a header of 4 GB gave %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	var good bytes.Buffer
	if err := writeFrame(&good, &Header{Kind: KindResult, Call: 7, Result: json.RawMessage(`{"a":[1,2]}`)}, []byte("payload")); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add(good.Bytes()[:20])
	f.Add([]byte("BNT1"))
	f.Add([]byte("whisper_init: loading model\n"))
	f.Add([]byte("BNT1\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		for {
			h, payload, err := readFrame(r)
			if err != nil {
				return
			}
			// What was read can be written, and read again as the same.
			var again bytes.Buffer
			if err := writeFrame(&again, h, payload); err != nil {
				t.Fatal(err)
			}
			h2, payload2, err := readFrame(bufio.NewReader(&again))
			if err != nil || h2.Kind != h.Kind || h2.Call != h.Call || !bytes.Equal(payload, payload2) {
				t.Fatalf("a frame changes: %+v, then %+v (%v)", h, h2, err)
			}
		}
	})
}

func BenchmarkCall(b *testing.B) {
	p := NewPool(Options{Path: os.Args[0], Env: []string{roleVariable + "=good"}})
	defer p.Close()
	payload := make([]byte, 28*16000*4) // a window of samples
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		if _, _, err := p.Call(b.Context(), "echo", nil, payload); err != nil {
			b.Fatal(err)
		}
	}
}
