package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"banter/internal/progress"
)

// Death is the end of a worker that was still needed.
type Death struct {
	Program string   // file name of the worker
	Method  string   // the call that was in flight; empty while it started
	Cause   string   // "killed by signal 9 (killed)", "exit code 3"
	Hint    string   // what that often means, or empty
	Stderr  []string // the last lines of its standard error
}

func (d *Death) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the worker %s died", d.Program)
	if d.Method != "" {
		fmt.Fprintf(&b, " during %s", d.Method)
	} else {
		b.WriteString(" while starting")
	}
	b.WriteString(": " + d.Cause)
	if d.Hint != "" {
		b.WriteString(", " + d.Hint)
	}
	if len(d.Stderr) > 0 {
		b.WriteString("; its last words: " + strings.Join(d.Stderr, " | "))
	}
	return b.String()
}

const (
	stderrLines   = 12  // kept for a [Death]
	stderrLineLen = 400 // bytes kept of each
)

// process is one running worker. One call at a time is in flight on it.
type process struct {
	program string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	hello   Hello
	calls   uint64 // number of the last call

	exited chan struct{} // closed when the process is gone and its standard error read to the end
	mu     sync.Mutex    // guards tail
	tail   []string      // the last lines of standard error
}

// start runs the program at path and shakes hands with it.
func start(ctx context.Context, path string, args, env []string, timeout time.Duration) (*process, error) {
	p := &process{program: filepath.Base(path), exited: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	// Without the first ggml starts a debugger when it aborts, and its pages hide the line that says why. The second has
	// its threads sleep while they wait for each other: spinning, they starve whatever else runs, each other included.
	p.cmd.Env = append([]string{"GGML_NO_BACKTRACE=1", "OMP_WAIT_POLICY=passive"}, os.Environ()...)
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.SysProcAttr = attributes()
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p.stdin, p.stdout = stdin, bufio.NewReaderSize(stdout, 1<<16)

	started := make(chan error, 1)
	go p.run(started, stderr)
	if err := <-started; err != nil {
		if _, missing := os.Stat(path); missing == nil && errors.Is(err, syscall.ENOENT) {
			return nil, fmt.Errorf("start %s: the file is there, but the loader that it was built for is not (run `make native` again: it was built in another place)", path)
		}
		return nil, fmt.Errorf("start %s: %w", path, err)
	}

	// A worker that never says hello, or a caller that goes away, ends the wait by ending the process.
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the worker %s did not say hello within %v", p.program, timeout))
	defer cancel()
	stop := context.AfterFunc(ctx, p.kill)
	h, _, err := readFrame(p.stdout)
	if !stop() {
		<-p.exited
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, p.broken("", err)
	}
	if h.Kind != KindHello || h.Hello == nil {
		p.kill()
		return nil, fmt.Errorf("%s begins with a frame of kind %q instead of a hello", path, h.Kind)
	}
	if h.Hello.Protocol != Protocol {
		p.kill()
		return nil, fmt.Errorf("%s speaks version %d of the worker protocol, this program speaks %d (build both from the same source: make native)",
			path, h.Hello.Protocol, Protocol)
	}
	p.hello = *h.Hello
	return p, nil
}

// run starts the process and waits for its end on one operating system thread: see [attributes].
func (p *process) run(started chan<- error, stderr io.Reader) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.exited)
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.readStderr(stderr)
	// Wait closes the pipe of standard output, so its reader must have come to the end of it first. It has when the
	// process is gone: but what the process wrote may still lie in the pipe. Hence Process.Wait, and the pipes are closed
	// by [process.close] and [process.broken].
	state, err := p.cmd.Process.Wait()
	if err == nil {
		p.cmd.ProcessState = state
	}
}

func (p *process) readStderr(r io.Reader) {
	in := bufio.NewReaderSize(r, 4096)
	for {
		line, err := in.ReadSlice('\n')
		if text := strings.TrimSpace(strings.ToValidUTF8(string(line[:min(len(line), stderrLineLen)]), "?")); text != "" {
			p.mu.Lock()
			p.tail = append(p.tail, text)
			if len(p.tail) > stderrLines {
				p.tail = p.tail[1:]
			}
			p.mu.Unlock()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// call sends one call and waits for its answer. Any error but a [*Failure] means that the process is of no further use.
// When ctx ends, the worker is told so and has grace to answer before it is killed.
func (p *process) call(ctx context.Context, method string, params any, payload []byte, grace time.Duration) (json.RawMessage, []byte, error) {
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, nil, &Failure{Message: err.Error()}
	}
	p.calls++
	id := p.calls

	// The process is killed if it does not take the frame or answer in time after ctx has ended.
	sent, answered := make(chan struct{}), make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-answered:
			return
		case <-ctx.Done():
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-sent:
			// An error here shows itself at the reading end.
			_ = writeFrame(p.stdin, &Header{Kind: KindCancel, Call: id}, nil)
		case <-timer.C:
			p.kill()
			return
		}
		select {
		case <-answered:
		case <-timer.C:
			p.kill()
		}
	}()
	writeErr := make(chan error, 1)
	go func() {
		err := writeFrame(p.stdin, &Header{Kind: KindCall, Call: id, Method: method, Params: raw}, payload)
		close(sent)
		writeErr <- err
	}()
	h, out, err := p.readAnswer(ctx, id)
	close(answered)
	<-watched
	if err != nil {
		err = p.broken(method, err)
		<-writeErr
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		return nil, nil, err
	}
	if err := <-writeErr; err != nil {
		return nil, nil, p.broken(method, err)
	}
	if h.Kind == KindError {
		if ctx.Err() != nil {
			return nil, nil, &cancelled{ctx.Err()}
		}
		if h.Failure == nil {
			h.Failure = &Failure{Message: "the worker gives no reason"}
		}
		return nil, nil, h.Failure
	}
	return h.Result, out, nil
}

// cancelled is a context's error after which the process is still well.
type cancelled struct{ error }

func (c *cancelled) Unwrap() error { return c.error }

// readAnswer passes progress on until the answer comes.
func (p *process) readAnswer(ctx context.Context, id uint64) (*Header, []byte, error) {
	for {
		h, payload, err := readFrame(p.stdout)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case h.Call != id:
			return nil, nil, fmt.Errorf("%w: an answer to call %d instead of %d", errNotAFrame, h.Call, id)
		case h.Kind == KindProgress && h.Progress != nil:
			progress.Tell(ctx, *h.Progress)
		case h.Kind == KindResult || h.Kind == KindError:
			return h, payload, nil
		default:
			return nil, nil, fmt.Errorf("%w: kind %q", errNotAFrame, h.Kind)
		}
	}
}

// broken ends the process and says why the conversation with it broke off.
func (p *process) broken(method string, err error) error {
	// A process that is dying by itself gets the time to do so, for its true cause to be seen.
	died := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed)
	if died {
		select {
		case <-p.exited:
		case <-time.After(2 * time.Second):
			died = false
		}
	}
	p.kill()
	<-p.exited
	p.mu.Lock()
	d := &Death{Program: p.program, Method: method, Stderr: append([]string(nil), p.tail...)}
	p.mu.Unlock()
	if !died {
		d.Cause = "its output is broken: " + err.Error()
		if errors.Is(err, errNotAFrame) {
			d.Hint = "something else in it writes to standard output"
		}
		return d
	}
	d.Cause, d.Hint = cause(p.cmd.ProcessState)
	return d
}

// cause words how a process ended.
func cause(state *os.ProcessState) (cause, hint string) {
	if state == nil {
		return "its end is not known", ""
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		cause = fmt.Sprintf("killed by signal %d (%v)", int(status.Signal()), status.Signal())
		switch status.Signal() {
		case syscall.SIGKILL:
			hint = "as the system does when memory runs out, or as somebody did by hand"
		case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGABRT:
			hint = "a crash in native code: the model file may be damaged or not what it is said to be"
		case syscall.SIGILL:
			hint = "a machine instruction that this CPU does not have"
		}
		return cause, hint
	}
	if code := state.ExitCode(); code != 0 {
		return fmt.Sprintf("exit code %d", code), ""
	}
	return "it exited without an answer", ""
}

// kill ends the process without ceremony; it may be called at any time and more than once.
func (p *process) kill() {
	// The only error is that the process is gone already.
	_ = p.cmd.Process.Kill()
	_ = p.stdin.Close()
}

// close lets an idle process end by itself, and kills it if it does not do so within grace.
func (p *process) close(grace time.Duration) {
	_ = p.stdin.Close()
	select {
	case <-p.exited:
	case <-time.After(grace):
		p.kill()
		<-p.exited
	}
}
