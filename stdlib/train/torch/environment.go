package torch

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"banter/internal/problem"
	"banter/internal/progress"

	"github.com/gofrs/flock"
)

//go:embed requirements.lock
var lock string

// PythonVariable names the environment's variable that says which interpreter to use instead of the locked environment.
const PythonVariable = "BANTER_TORCH_PYTHON"

// wanted are the packages whose versions can change a result, and whose absence is told.
var wanted = []string{"torch", "transformers", "peft", "safetensors", "numpy", "pyarrow"}

const only4Bit = "bitsandbytes"

// locked returns the versions of the packages in the lock.
func locked() map[string]string {
	versions := map[string]string{}
	for line := range strings.Lines(lock) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), ";")
		if name, version, ok := strings.Cut(line, "=="); ok {
			versions[name] = strings.TrimSpace(version)
		}
	}
	return versions
}

// EnvironmentDir is where the locked environment is, or will be: a folder of the user's caches, by the lock's digest.
func EnvironmentDir() (string, error) {
	caches, err := os.UserCacheDir()
	if err != nil {
		return "", &problem.Error{Op: "find the folder for Python environments", Err: err, Fix: "set HOME, or name an interpreter in " + PythonVariable}
	}
	sum := sha256.Sum256([]byte(lock))
	return filepath.Join(caches, "banter", "torch-"+hex.EncodeToString(sum[:6])), nil
}

// Environment makes the locked Python environment in dir where it is not yet there, and returns its interpreter. It says
// what it installs. Of two processes that want it at once one makes it.
func Environment(ctx context.Context, dir string) (python string, err error) {
	python = interpreter(dir)
	fail := func(err error, fix string) (string, error) {
		if ctx.Err() != nil {
			err, fix = ctx.Err(), ""
		}
		return "", &problem.Error{Op: "install the torch engine", Path: dir, Err: err, Fix: fix}
	}
	if complete(dir) {
		return python, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err, "name an interpreter in "+PythonVariable)
	}
	guard := flock.New(dir + ".lock")
	if _, err := guard.TryLockContext(ctx, lockPoll); err != nil {
		return fail(err, "")
	}
	defer func() { err = errors.Join(err, guard.Unlock()) }()
	if complete(dir) {
		return python, nil
	}
	progress.Tell(ctx, progress.Report{Note: installing(dir)})
	list := filepath.Join(dir, "requirements.lock")
	if err := os.WriteFile(list, []byte(lock), 0o644); err != nil {
		return fail(err, "")
	}
	commands := [][]string{{systemPython(), "-m", "venv", "--clear", dir}, {python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", list}}
	if uv, err := exec.LookPath("uv"); err == nil {
		commands = [][]string{{uv, "venv", "--quiet", "--allow-existing", "--python", ">=3.11", dir}, {uv, "pip", "install", "--quiet", "--python", python, "-r", list}}
	}
	for i, c := range commands {
		if i == 1 { // making the environment may have emptied the folder
			if err := os.WriteFile(list, []byte(lock), 0o644); err != nil {
				return fail(err, "")
			}
		}
		var said bytes.Buffer
		command := exec.CommandContext(ctx, c[0], c[1:]...)
		command.Stdout, command.Stderr = &said, &said
		if err := command.Run(); err != nil {
			return fail(fmt.Errorf("%s: %w: %s", strings.Join(c[:min(4, len(c))], " "), err, lastLines(said.String(), 3)),
				"install uv, or Python 3.11 or later with its venv module, and see to it that it reaches a package index; or name an interpreter that has "+
					strings.Join(wanted, ", ")+" in "+PythonVariable)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, completeFile), []byte(lock), 0o644); err != nil {
		return fail(err, "")
	}
	return python, nil
}

// interpreter is the one of the environment in dir.
func interpreter(dir string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(dir, "Scripts", "python.exe")
	}
	return filepath.Join(dir, "bin", "python")
}

// completeFile holds the lock that an environment was made from, once it is whole.
const completeFile = "complete"

func complete(dir string) bool {
	have, err := os.ReadFile(filepath.Join(dir, completeFile))
	return err == nil && string(have) == lock
}

// installing says what is installed where.
func installing(dir string) string {
	v := locked()
	return fmt.Sprintf("installing torch %s, transformers %s, peft %s and what they need into %s, once: a download of gigabytes",
		v["torch"], v["transformers"], v["peft"], dir)
}

func systemPython() string {
	if path, err := exec.LookPath("python3"); err == nil {
		return path
	}
	return "python"
}

// installed asks an interpreter which versions of packages it has. It does not load them.
func installed(ctx context.Context, python string, packages []string) (map[string]string, error) {
	const ask = `import importlib.metadata as m, json, sys
v = {}
for p in sys.argv[1:]:
    try: v[p] = m.version(p)
    except m.PackageNotFoundError: pass
print(json.dumps(v))`
	out, err := exec.CommandContext(ctx, python, append([]string{"-c", ask}, packages...)...).Output()
	if err != nil {
		if e := (*exec.ExitError)(nil); errors.As(err, &e) {
			err = fmt.Errorf("%w: %s", err, lastLines(string(e.Stderr), 2))
		}
		return nil, &problem.Error{Op: "ask Python for its packages", Path: python, Err: err, Fix: "name a Python 3 interpreter"}
	}
	versions := map[string]string{}
	if err := json.Unmarshal(out, &versions); err != nil {
		return nil, &problem.Error{Op: "ask Python for its packages", Path: python, Err: fmt.Errorf("it answers %q: %w", lastLines(string(out), 1), err), Fix: "name a Python 3 interpreter"}
	}
	return versions, nil
}

// lastLines returns the last n lines of a text that are not empty, on one line.
func lastLines(text string, n int) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
