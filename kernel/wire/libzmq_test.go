package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAgainstLibzmq lets the reference implementation of ZeroMQ be the client.
func TestAgainstLibzmq(t *testing.T) {
	python := labPython(t)
	for _, transport := range []string{"tcp", "ipc"} {
		t.Run(transport, func(t *testing.T) {
			if testing.Short() && transport == "ipc" {
				t.Skip("tcp is enough for a short test")
			}
			c := freeConnection(t, transport)
			f, err := Listen(c, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close(0)
			go func() {
				for {
					select {
					case m := <-f.Shell():
						switch m.Header.Type {
						case "publish_request":
							f.Publish(m, "published", map[string]int{}, nil, nil)
						case "flood_request":
							big := map[string]string{"text": strings.Repeat("x", 1<<20)}
							for range 200 {
								f.Publish(m, "flood", big, nil, nil)
								time.Sleep(time.Millisecond) // one that reads keeps up with this
							}
						}
						f.Reply(m, "echo_reply", m.Content)
					case <-f.done:
						return
					}
				}
			}()
			b, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "connection.json")
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, python, "testdata/libzmq.py", file).CombinedOutput()
			if err != nil || !bytes.HasSuffix(bytes.TrimSpace(out), []byte("ok")) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// labPython is a Python that has Jupyter's client: the one that `make lab` sets up, or the one that BANTER_LAB_PYTHON
// names. Without one, the test is skipped.
func labPython(t *testing.T) string {
	t.Helper()
	python := os.Getenv("BANTER_LAB_PYTHON")
	if python == "" {
		python = filepath.Join("..", "..", ".venv", "bin", "python")
	}
	if out, err := exec.Command(python, "-c", "import zmq, jupyter_client").CombinedOutput(); err != nil {
		t.Skipf("no Python with pyzmq and jupyter_client (run kernel/lab/lab.sh setup, or set BANTER_LAB_PYTHON): %v %s", err, out)
	}
	return python
}
