//go:build unix

package session

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"banter/kernel/wire"
)

// kernelProcess is a kernel in a process of its own, as Jupyter starts it.
type kernelProcess struct {
	*notebookClient
	cmd   *exec.Cmd
	log   *bytes.Buffer
	ended chan error
}

// startProcess starts a kernel with its connection file in dir. Started again there, it is the same kernel restarted.
func startProcess(t *testing.T, dir string) *kernelProcess {
	t.Helper()
	file := filepath.Join(dir, "connection.json")
	c := wire.Connection{Transport: "ipc", IP: filepath.Join(dir, "k"), Key: "secret", SignatureScheme: "hmac-sha256",
		ShellPort: 1, ControlPort: 2, StdinPort: 3, IOPubPort: 4, HeartbeatPort: 5}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &kernelProcess{cmd: exec.Command(os.Args[0]), log: &bytes.Buffer{}, ended: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), "BANTER_TEST_CONNECTION_FILE="+file, "BANTER_TEST_STATE="+filepath.Join(dir, "state"))
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { p.cmd.Process.Kill() })
	p.notebookClient = connect(t, c)
	return p
}

func (p *kernelProcess) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the kernel does not end")
		return nil
	}
}

func TestOutputOfTheWholeProcess(t *testing.T) {
	p := startProcess(t, t.TempDir())
	out := p.ok(`fmt.Println("printed 1")
os.Stdout.WriteString("written 2\n")
fmt.Println("printed 3")
c := exec.Command("sh", "-c", "echo child 4; echo child error 5 >&2; echo child 6")
c.Stdout, c.Stderr = os.Stdout, os.Stderr
c.Run()
fmt.Println("printed 7")
Display(HTML("<hr>"))
os.Stdout.WriteString("written 8\n")`)
	if got, want := text(out, "stdout"), "printed 1\nwritten 2\nprinted 3\nchild 4\nchild 6\nprinted 7\nwritten 8\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := text(out, "stderr"); got != "child error 5\n" {
		t.Errorf("%q on stderr", got)
	}
	for i, m := range out {
		if m.Header.Type == "display_data" && (text(out[:i], "stdout") == "" || text(out[i:], "stdout") != "written 8\n") {
			t.Errorf("the display stands in the wrong place: %s", types(out))
		}
	}
	// More than a pipe holds, and a character in two writes.
	out = p.ok(`os.Stdout.WriteString(strings.Repeat("0123456789", 50_000))
os.Stdout.Write([]byte("\xc3"))
os.Stdout.Write([]byte("\xa9!"))`)
	if got := text(out, "stdout"); len(got) != 500_003 || !strings.HasSuffix(got, "é!") {
		t.Errorf("%d bytes, ending in %q", len(got), got[max(0, len(got)-5):])
	}
	// What a goroutine prints after its cell has ended still belongs to that cell.
	id := p.send("shell", "execute_request", map[string]any{"code": `go func() { time.Sleep(300 * time.Millisecond); fmt.Println("late") }()`})
	p.reply("shell")
	p.outputs(id)
	if m := p.next(); m.Header.Type != "stream" || m.Content["text"] != "late\n" || m.Parent.ID != id {
		t.Errorf("%+v", m)
	}
	p.ask("control", "shutdown_request", map[string]any{"restart": false})
	if err := p.wait(t); err != nil {
		t.Errorf("%v\n%s", err, p.log)
	}
}

func TestWhatHappenedIsSaidAfterARestart(t *testing.T) {
	for _, row := range []struct {
		name string
		kill func(*testing.T, *kernelProcess)
		want []string
	}{
		{"fault", func(t *testing.T, p *kernelProcess) {
			p.send("shell", "execute_request", map[string]any{"code": `go func() { var m map[string]int; m["a"] = 1 }(); time.Sleep(time.Minute)`})
		}, []string{"died while it ran cell 1", "assignment to entry in nil map"}},
		{"killed", func(t *testing.T, p *kernelProcess) {
			p.send("shell", "execute_request", map[string]any{"code": `fmt.Println("here"); time.Sleep(time.Minute)`})
			for m := p.next(); m.Header.Type != "stream"; m = p.next() {
			}
			p.cmd.Process.Signal(syscall.SIGKILL)
		}, []string{`died while it ran cell 1 (fmt.Println("here"); time.Sleep(time.Minute))`, "it was killed"}},
		{"idle", func(t *testing.T, p *kernelProcess) { p.cmd.Process.Signal(syscall.SIGKILL) }, nil},
		{"restarted by the user", func(t *testing.T, p *kernelProcess) {
			p.ask("control", "shutdown_request", map[string]any{"restart": true})
		}, nil},
		{"terminated", func(t *testing.T, p *kernelProcess) { p.cmd.Process.Signal(syscall.SIGTERM) }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			p := startProcess(t, dir)
			p.ask("shell", "kernel_info_request", nil)
			row.kill(t, p)
			p.wait(t)
			again := startProcess(t, dir)
			said := text(again.ok("1"), "stderr")
			for _, want := range row.want {
				if !strings.Contains(said, want) {
					t.Errorf("%q does not say %q", said, want)
				}
			}
			if len(row.want) == 0 && said != "" {
				t.Errorf("%q after an orderly end", said)
			}
			if said := text(again.ok("2"), "stderr"); said != "" {
				t.Errorf("%q is said twice", said)
			}
			again.ask("control", "shutdown_request", map[string]any{"restart": false})
			if err := again.wait(t); err != nil {
				t.Errorf("%v\n%s", err, again.log)
			}
			if left, _ := os.ReadDir(filepath.Join(dir, "state")); len(left) != 0 {
				t.Errorf("%v is left behind", left)
			}
		})
	}
}

func TestInterruptSignal(t *testing.T) {
	p := startProcess(t, t.TempDir())
	id := p.send("shell", "execute_request", map[string]any{"code": "for { time.Sleep(time.Millisecond) }"})
	for m := p.next(); m.Header.Type != "execute_input"; m = p.next() {
	}
	p.cmd.Process.Signal(os.Interrupt)
	if m := p.reply("shell"); m.Parent.ID != id || m.Content["ename"] != "interrupted" {
		t.Errorf("%+v", m.Content)
	}
}
