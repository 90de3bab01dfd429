package prebind_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"banter/kernel/wire"
	"banter/kernel/wire/prebind"
)

// written is a connection file as jupyter_client writes it.
const written = `{
  "shell_port": 48431,
  "iopub_port": 60277,
  "stdin_port": 38123,
  "control_port": 56347,
  "hb_port": 37151,
  "ip": "127.0.0.1",
  "key": "6d5fe1f4-4f4c7a6f9d0d5a7d6e0e3a55",
  "transport": "tcp",
  "signature_scheme": "hmac-sha256",
  "kernel_name": "banter",
  "jupyter_session": "/notebooks/a \"hb_port\": 1.ipynb"
}`

func TestEndpoints(t *testing.T) {
	all := []int{48431, 60277, 56347, 38123, 37151}
	for _, row := range []struct {
		name, text string
		ports      []int
	}{
		{"as Jupyter writes it", written, all},
		{"on one line", strings.NewReplacer("\n", "", " ", "").Replace(written), all},
		{"with spaces and tabs", strings.ReplaceAll(written, ":", "\t:\r\n "), all},
		{"ipc", strings.ReplaceAll(written, `"tcp"`, `"ipc"`), nil},
		{"IPv6", strings.ReplaceAll(written, "127.0.0.1", "::1"), nil},
		{"a name", strings.ReplaceAll(written, "127.0.0.1", "localhost"), nil},
		{"no IP", strings.ReplaceAll(written, `"ip"`, `"pi"`), nil},
		{"escapes", strings.ReplaceAll(written, "127.0.0.1", `127\u002e0.0.1`), nil},
		{"too large a byte", strings.ReplaceAll(written, "127.0.0.1", "127.0.0.256"), nil},
		{"too short", strings.ReplaceAll(written, "127.0.0.1", "127.0.1"), nil},
		{"too long", strings.ReplaceAll(written, "127.0.0.1", "127.0.0.1.1"), nil},
		{"a port that is none", strings.ReplaceAll(written, "48431", "65536"), all[1:]},
		{"a long port", strings.ReplaceAll(written, "48431", "484310"), all[1:]},
		{"a fraction", strings.ReplaceAll(written, "48431", "48431.5"), all[1:]},
		{"negative", strings.ReplaceAll(written, "48431", "-48431"), all[1:]},
		{"text", strings.ReplaceAll(written, "48431", `"48431"`), all[1:]},
		{"cut off", written[:strings.Index(written, "431,")+3], nil},
		{"nothing", "", nil},
	} {
		ip, ports := prebind.Endpoints([]byte(row.text))
		if !slices.Equal(ports, row.ports) {
			t.Errorf("%s: %v, want %v", row.name, ports, row.ports)
		}
		if len(ports) > 0 && ip != [4]byte{127, 0, 0, 1} {
			t.Errorf("%s: %v", row.name, ip)
		}
	}
}

// FuzzEndpoints holds the quick reading of a connection file against the real one, where a file is as the protocol has it:
// an object of strings and numbers in which no key comes twice.
func FuzzEndpoints(f *testing.F) {
	f.Add([]byte(written))
	f.Add([]byte(`{"transport":"tcp","ip":"10.1.2.3","shell_port":1,"iopub_port":2,"control_port":3,"stdin_port":4,"hb_port":5}`))
	f.Add([]byte(`{"ip":"127.0.0.1","transport":"tcp","shell_port":`))
	f.Fuzz(func(t *testing.T, text []byte) {
		ip, ports := prebind.Endpoints(text)
		if len(ports) > 5 || slices.ContainsFunc(ports, func(p int) bool { return p < 1 || p > 65535 }) {
			t.Errorf("%v", ports)
		}
		c, err := wire.ParseConnection(text)
		if err != nil || len(ports) < 5 || !flat(text) {
			return
		}
		if want := []int{c.ShellPort, c.IOPubPort, c.ControlPort, c.StdinPort, c.HeartbeatPort}; !reflect.DeepEqual(ports, want) {
			t.Errorf("%v, want %v", ports, want)
		}
		if got := fmt.Sprintf("%d.%d.%d.%d", ip[0], ip[1], ip[2], ip[3]); !net.ParseIP(c.IP).Equal(net.ParseIP(got)) {
			t.Errorf("%s, want %s", got, c.IP)
		}
	})
}

// flat reports whether text is an object of plain keys, each once, and of plain values that hold no quotes.
func flat(text []byte) bool {
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return false
	}
	again, err := json.Marshal(fields)
	if err != nil {
		return false
	}
	squeezed := strings.NewReplacer(" ", "", "\n", "", "\t", "", "\r", "").Replace(string(text))
	folded := map[string]bool{}
	for key, v := range fields {
		if lower := strings.ToLower(key); folded[lower] || lower != key {
			return false // encoding/json takes keys in any case
		} else {
			folded[lower] = true
		}
		if s, ok := v.(string); ok && strings.ContainsAny(s, `"\`) || strings.ContainsAny(key, `"\`) {
			return false
		}
		switch v.(type) {
		case string, float64:
		default:
			return false
		}
	}
	return len(squeezed) == len(again)
}

func TestSocketsAreHandedOver(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets are opened early on Unix only")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "kernel.json")
	// A port that was free a moment ago may be taken now, by another program: then others are tried.
	for range 20 {
		ports := freePorts(t)
		text := fmt.Sprintf(`{"transport": "tcp", "ip": "127.0.0.1", "shell_port": %d, "iopub_port": %d, "stdin_port": %d, "control_port": %d, "hb_port": %d}`,
			ports[0], ports[1], ports[2], ports[3], ports[4])
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		prebind.Open([]string{"recipe", "kernel", "start", "--connection-file", file})
		taken := 0
		for _, port := range ports {
			address := fmt.Sprintf("127.0.0.1:%d", port)
			early, err := net.Dial("tcp", address) // before anybody accepts
			f := prebind.Take(address)
			if f == nil {
				continue
			}
			taken++
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.FileListener(f)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if accepted.RemoteAddr().String() != early.LocalAddr().String() {
				t.Errorf("%v is accepted, and %v was first", accepted.RemoteAddr(), early.LocalAddr())
			}
			accepted.Close()
			early.Close()
			l.Close()
			if prebind.Take(address) != nil {
				t.Error("a socket is handed over twice")
			}
		}
		prebind.Close()
		if taken == len(ports) {
			return
		}
	}
	t.Error("never all five ports")
}

func TestOtherCommandsOpenNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kernel.json")
	if err := os.WriteFile(file, []byte(written), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"recipe"}, {"recipe", "kernel"}, {"recipe", "kernel", "start"}, {"recipe", "kernel", "start", "-f"},
		{"recipe", "kernel", "list", "-f", file}, {"recipe", "run", "start", "-f", file}, {"recipe", "kernel", "start", "-f", file + "x"},
		{"recipe", "kernel", "start", "--store", file}} {
		if n := prebind.Open(args); n > 0 {
			t.Errorf("%q opens %d sockets", args, n)
		}
	}
	for _, args := range [][]string{{"-f", file}, {"--connection-file", file}, {"-f=" + file}, {"--connection-file=" + file}, {"--store", "x", "-f", file}} {
		if got := prebind.ConnectionFile(args); got != file {
			t.Errorf("%q: %q", args, got)
		}
	}
}

// freePorts are five ports that nobody listens on.
func freePorts(t *testing.T) (ports []int) {
	t.Helper()
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
