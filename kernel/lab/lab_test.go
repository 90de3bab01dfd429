// Package lab holds what `make lab` runs. Its tests let Jupyter's own tools judge the kernel.
package lab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// python is a Python with Jupyter: the one that `lab.sh setup` makes, or the one that BANTER_LAB_PYTHON names.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("BANTER_LAB_PYTHON")
	if path == "" {
		path = filepath.Join("..", "..", ".venv", "bin", "python")
	}
	if out, err := exec.Command(path, "-c", "import jupyter_kernel_test, nbclient, nbconvert").CombinedOutput(); err != nil {
		t.Skipf("no Python with Jupyter (run kernel/lab/lab.sh setup, or set BANTER_LAB_PYTHON): %v %s", err, out)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}

// installed builds the program, installs its kernel for this test alone, and returns the environment that finds it.
func installed(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "recipe")
	build := exec.Command("go", "build", "-o", program, "./cmd/recipe")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(program, "kernel", "install", "--prefix", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return append(os.Environ(), "JUPYTER_PATH="+filepath.Join(dir, "share", "jupyter"), "JUPYTER_RUNTIME_DIR="+filepath.Join(dir, "runtime"),
		"XDG_STATE_HOME="+filepath.Join(dir, "state"), "BANTER_STORE="+filepath.Join(dir, "store"))
}

// check runs a script within a time: the conformance tests wait for ever for a reply that does not come.
func check(t *testing.T, env []string, limit time.Duration, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = env
	cmd.WaitDelay = 5 * time.Second // kernels that outlive the script
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}

func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and starts kernels")
	}
	interpreter := python(t)
	out := check(t, installed(t), 3*time.Minute, interpreter, "conformance.py")
	if strings.Contains(out, "skipped") || !strings.Contains(out, "Ran 13 tests") {
		t.Errorf("not all tests ran:\n%s", out)
	}
}

func TestNotebookByNbclientAndNbconvert(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and starts kernels")
	}
	interpreter := python(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "n.ipynb")
	notebook := `{"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"name": "banter", "display_name": "Banter (Go)", "language": "go"}},
"cells": [
{"cell_type": "code", "id": "a", "metadata": {}, "source": "import \"fmt\"\nx := 20\nfmt.Println(\"printed\")", "outputs": [], "execution_count": null},
{"cell_type": "code", "id": "b", "metadata": {}, "source": "x*2 + 2", "outputs": [], "execution_count": null},
{"cell_type": "code", "id": "c", "metadata": {}, "source": "Display(HTML(\"<i>shown</i>\"))", "outputs": [], "execution_count": null}]}`
	if err := os.WriteFile(path, []byte(notebook), 0o644); err != nil {
		t.Fatal(err)
	}
	check(t, installed(t), 3*time.Minute, interpreter, "execute.py", "--save", "--html", dir, path)
	saved, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "n.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"printed", "42", "<i>shown</i>"} {
		if !strings.Contains(string(saved), want) || !strings.Contains(string(page), want) {
			t.Errorf("%s is missing in the saved notebook or its page", want)
		}
	}
}
