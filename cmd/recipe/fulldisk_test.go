package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFullDisk runs on a file system that is too small: one clear error, a sound store, and a run that goes on when there
// is space again.
func TestFullDisk(t *testing.T) {
	for _, size := range []string{"40k", "256k", "500k"} { // ends while loading, making rows, training
		t.Run(size, func(t *testing.T) { fullDisk(t, size) })
	}
}

func fullDisk(t *testing.T, size string) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here: %s", bytes.TrimSpace(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	dir := t.TempDir()
	recipe := filepath.Join(dir, "r.go")
	if err := os.WriteFile(recipe, []byte(wholeRun), 0o644); err != nil {
		t.Fatal(err)
	}
	streams := filepath.Join(dir, "streams", "s1")
	if err := os.CopyFS(streams, os.DirFS(filepath.Join(repository(t), "testdata", "streams", "s1"))); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(disk, "store")
	run := func() (string, error) {
		cmd := exec.Command("recipe", "run", recipe, "-p", "streams="+filepath.Dir(streams), "--store", store, "--out", filepath.Join(dir, "out"))
		cmd.Dir = repository(t)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		return stderr.String(), err
	}
	said, err := run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("ended with %v, want code 1: %s", err, said)
	}
	line, rest, _ := strings.Cut(said, "\n")
	if rest != "" || !strings.HasPrefix(line, "error: ") || !strings.Contains(line, "no space left on device") ||
		!strings.Contains(line, "free some space") && !strings.Contains(line, "make room") {
		t.Errorf("want one line that says what is wrong and what to do, got\n%s", said)
	}
	t.Log(line)
	if err := soundStore(store); err != nil {
		t.Error(err)
	}
	if out, err := exec.Command("mount", "-o", "remount,size=64m", disk).CombinedOutput(); err != nil {
		t.Fatalf("remount: %s", out)
	}
	if said, err := run(); err != nil {
		t.Errorf("with space again: %v\n%s", err, said)
	}
	if err := soundStore(store); err != nil {
		t.Error(err)
	}
}
