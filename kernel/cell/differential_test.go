package cell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// sample is a program given as declarations and the body of main. It prints with fmt.
type sample struct{ name, decls, body string }

// compiled runs all samples under the real compiler in one program and returns what each printed; a sample that
// panicked ends with a line "PANIC: value".
func compiled(t *testing.T, samples []sample) []string {
	t.Helper()
	if testing.Short() {
		t.Skip("the real compiler takes seconds: not in -short")
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command to compare with")
	}
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module samples\n\ngo 1.26\n")
	var main strings.Builder
	main.WriteString("package main\n\nimport (\n\t\"fmt\"\n")
	for i := range samples {
		fmt.Fprintf(&main, "\ts%d \"samples/s%d\"\n", i, i)
	}
	main.WriteString(")\n\nfunc one(i int, f func()) {\n\tdefer func() {\n\t\tif r := recover(); r != nil {\n\t\t\tfmt.Printf(\"PANIC: %v\\n\", r)\n\t\t}\n\t\tfmt.Printf(\"\\x01\\n\")\n\t}()\n\tf()\n}\n\nfunc main() {\n")
	for i, s := range samples {
		write(fmt.Sprintf("s%d/s.go", i), fmt.Sprintf("package s%d\n\n%s\nfunc Main() {\n%s\n}\n", i, s.decls, s.body))
		fmt.Fprintf(&main, "\tone(%d, s%d.Main)\n", i, i)
	}
	main.WriteString("}\n")
	write("main.go", main.String())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, goTool, "build", "-gcflags=-e", "-o", "samples", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the compiler: %v\n%s", err, out)
	}
	run := exec.CommandContext(ctx, filepath.Join(dir, "samples"))
	var stderr bytes.Buffer
	run.Stderr = &stderr
	out, err := run.Output()
	parts := strings.Split(string(out), "\x01\n")
	if err != nil {
		text := stderr.String()
		t.Fatalf("the compiled samples: %v in %s\n%s", err, samples[min(len(parts)-1, len(samples)-1)].name, text[:min(len(text), 2000)])
	}
	if len(parts) != len(samples)+1 {
		t.Fatalf("%d outputs of %d samples", len(parts)-1, len(samples))
	}
	for i := range parts {
		parts[i] = samplePackage.ReplaceAllString(parts[i], "main.")
	}
	return parts[:len(samples)]
}

// samplePackage is how compiled samples show the package that cells are all in.
var samplePackage = regexp.MustCompile(`\b(?:samples/)?s\d+\.`)

// interpreted runs a sample as cells: the declarations, then the body.
func interpreted(t *testing.T, s sample) (out string, err error) {
	var b bytes.Buffer
	e, err := New(Options{Stdout: &b, Stderr: &b})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := e.Run(ctx, "cell 1", s.decls); err != nil {
		return b.String(), err
	}
	_, err = e.Run(ctx, "cell 2", s.body)
	var p *Panic
	if errors.As(err, &p) {
		fmt.Fprintf(&b, "PANIC: %v\n", p.Value)
		return b.String(), nil
	}
	return b.String(), err
}

// compare fails for each sample that does something else than under the compiler without being refused.
func compare(t *testing.T, samples []sample) {
	want := compiled(t, samples)
	refusals := 0
	for i, s := range samples {
		got, err := interpreted(t, s)
		switch {
		case refused(err):
			refusals++
			t.Logf("%s: refused: %v", s.name, err)
		case err != nil:
			t.Errorf("%s: compiles, but: %v\n%s\n%s", s.name, err, s.decls, s.body)
		case got != want[i]:
			t.Errorf("%s: silent difference\ncompiled %q\ncells    %q\n%s\n%s", s.name, want[i], got, s.decls, s.body)
		}
	}
	t.Logf("%d samples, %d refused", len(samples), refusals)
}

// faults are run-time errors whose index and length are not told where looking before would change what a program does.
var faults = regexp.MustCompile(`(runtime error: (?:index|slice bounds) out of range)[^\n]*`)

// TestAgainstCompiler runs the samples of testdata/samples.txt: "== name", declarations, "--", the body of main.
func TestAgainstCompiler(t *testing.T) {
	data, err := os.ReadFile("testdata/samples.txt")
	if err != nil {
		t.Fatal(err)
	}
	var samples []sample
	for _, part := range strings.Split("\n"+string(data), "\n== ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		decls, body, ok := strings.Cut(rest, "--\n")
		if !ok {
			t.Fatalf("%s: no -- line", name)
		}
		samples = append(samples, sample{name, decls, body})
	}
	compare(t, samples)
}
