package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"banter/dsl/memo"
	"banter/dsl/recipe"
	"banter/internal/worker"
)

// TestNotebooksInACleanRoot runs each notebook as the kernel does, freezes it, and runs the recipe headless where there is
// nothing else: in a root directory of its own with no network, that holds the program, the native worker with its
// libraries, the recipe, and the shipped streams and models. Every step must have the key that it has in the notebook, and
// give the same bytes.
//
// The recipe takes the words of Transcribe, which cost minutes, from an archive of the notebook's store, and makes the
// rest itself. It runs where BANTER_CLEAN_ROOT is set; where that is "empty", the recipe's store is empty and it recognises
// all speech again.
func TestNotebooksInACleanRoot(t *testing.T) {
	from := os.Getenv("BANTER_CLEAN_ROOT")
	if from == "" {
		t.Skip("takes minutes: make clean-root")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root directory")
	}
	if !haveEngine(t) {
		t.Skip("bin/banter-engine is not built: make native")
	}
	repo := repository(t)
	notebooks, err := filepath.Glob(filepath.Join(repo, "notebooks", "*.ipynb"))
	if err != nil || len(notebooks) == 0 {
		t.Fatalf("%d notebooks, %v", len(notebooks), err)
	}
	program := filepath.Join(t.TempDir(), "recipe")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/recipe")
	build.Dir, build.Env = repo, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	engine := os.Getenv(worker.EngineVariable)
	if engine == "" {
		engine = filepath.Join(repo, "bin", worker.Engine)
	}
	t.Setenv(worker.EngineVariable, engine)
	shared := t.TempDir() // the notebooks have one store, as a project does
	t.Chdir(filepath.Join(repo, "notebooks"))
	for _, file := range notebooks {
		name := strings.TrimSuffix(filepath.Base(file), ".ipynb")
		t.Run(name, func(t *testing.T) {
			nb, err := recipe.ReadNotebook(file)
			if err != nil {
				t.Fatal(err)
			}
			inNotebook(t, nb, shared)
			frozen, err := recipe.Freeze(nb, recipe.FreezeOptions{Folder: filepath.Dir(file), Root: repo})
			if err != nil {
				t.Fatal(err)
			}
			root := cleanRoot(t, program, engine)
			project := filepath.Join(root, "home", "project")
			for _, dir := range []string{"streams", "models"} {
				if err := os.CopyFS(filepath.Join(project, "testdata", dir), os.DirFS(filepath.Join(repo, "testdata", dir))); err != nil {
					t.Fatal(err)
				}
			}
			write(t, filepath.Join(project, "recipes", name+".go"), frozen.Source)
			if from != "empty" {
				exportTranscripts(t, shared, filepath.Join(project, "words.tar.zst"))
				inRoot(t, root, "recipe", "cache", "import", "words.tar.zst")
			}
			said := inRoot(t, root, "recipe", "run", "recipes/"+name+".go")
			if strings.Contains(said, " 0 made") {
				t.Errorf("nothing was made:\n%s", said)
			}
			want := results(t, shared)
			got := results(t, filepath.Join(project, ".banter"))
			made := map[string]int{}
			for _, step := range got {
				verb, _, _ := strings.Cut(step, " ")
				made[verb]++
				if !slices.Contains(want, step) {
					t.Errorf("this step of the recipe is none of the notebook's, or gave other bytes:\n%s", step)
				}
			}
			if err := soundStore(filepath.Join(project, ".banter")); err != nil {
				t.Error(err)
			}
			t.Logf("%d steps with the notebook's keys and bytes: %v", len(got), made)
		})
	}
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o777)
	if err == nil {
		err = os.WriteFile(file, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func exportTranscripts(t *testing.T, store, file string) {
	t.Helper()
	s, err := memo.Open(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Manifests()
	if err != nil {
		t.Fatal(err)
	}
	var keys []memo.Key
	for _, m := range all {
		if m.Verb == "transcribe" {
			keys = append(keys, m.Key)
		}
	}
	var b bytes.Buffer
	if _, err := s.Export(t.Context(), &b, keys); err != nil || len(keys) == 0 {
		t.Fatalf("%d transcripts, %v", len(keys), err)
	}
	write(t, file, b.Bytes())
}

// cleanRoot makes a root directory that holds the program, and the worker with the libraries that the loader finds for it.
func cleanRoot(t *testing.T, program, engine string) string {
	t.Helper()
	root := t.TempDir()
	copyIn := func(from, to string) {
		t.Helper()
		in, err := os.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		to = filepath.Join(root, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			t.Fatal(err)
		}
		out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
		if err == nil {
			_, err = io.Copy(out, in)
			err = errors.Join(err, out.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copyIn(program, "bin/recipe")
	copyIn(engine, "bin/banter-engine")
	out, err := exec.CommandContext(t.Context(), "ldd", engine).Output()
	if err != nil {
		t.Fatalf("ldd: %v", err)
	}
	for _, path := range regexp.MustCompile(`/\S+`).FindAllString(string(out), -1) {
		copyIn(path, path)
		if strings.HasPrefix(filepath.Base(path), "libggml.so") { // its plug-ins, of which the loader knows nothing
			plugins, err := filepath.Glob(filepath.Join(filepath.Dir(path), "ggml", "backends*", "*.so"))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range plugins {
				copyIn(p, p)
			}
		}
	}
	for _, dir := range []string{"tmp", "home/project"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// inRoot runs a program of a clean root in its project, with nothing of this environment and no network.
func inRoot(t *testing.T, root string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := &exec.Cmd{Path: "/bin/" + args[0], Args: args, Dir: "/home/project", Stdout: &stdout, Stderr: &stderr,
		Env:         []string{"HOME=/home", "PATH=/bin", "BANTER_STORE=/home/project/.banter", "BANTER_MODELS=/home/project/testdata/models"},
		SysProcAttr: &syscall.SysProcAttr{Chroot: root, Cloneflags: syscall.CLONE_NEWNET}}
	err := cmd.Run()
	if errors.Is(err, syscall.EPERM) {
		t.Skipf("the root directory cannot be changed here: %v", err)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w\n%s%s", strings.Join(args, " "), err, &stdout, &stderr))
	}
	return stdout.String()
}
