package wholefile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestOldOrNewAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	is := func(want string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil || string(b) != want {
			t.Errorf("%q, %v; want %q", b, err, want)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("%v", files)
		}
	}
	if err := WriteBytes(path, 0o600, []byte("old")); err != nil {
		t.Fatal(err)
	}
	is("old")
	broken := errors.New("broken")
	err := Write(path, 0o644, func(w io.Writer) error {
		io.WriteString(w, "half of the ")
		is2, _ := os.ReadFile(path)
		if string(is2) != "old" {
			t.Errorf("%q while the new one is written", is2)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	is("old")
	if err := WriteBytes(path, 0o644, []byte("new")); err != nil {
		t.Fatal(err)
	}
	is("new")
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := WriteBytes(filepath.Join(dir, "none", "a.txt"), 0o644, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v in a folder that is not there", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteBytes(filepath.Join(dir, "b"), 0o644, nil); err == nil {
		t.Error("a folder is replaced")
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%v is left behind", files)
	}
}

// What a killed process left of the same file goes with the next write, and nothing else does.
func TestLeftoversGo(t *testing.T) {
	dir := t.TempDir()
	long := time.Now().Add(-24 * time.Hour)
	for _, name := range []string{".a.txt.banter-123", ".a.txt.banter-12x", ".a.txt.banter-", ".a.txt.123", ".b.txt.banter-123", "a.txt.banter-123"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".a.txt.banter-456"), nil, 0o644); err != nil { // another is at it
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".a.txt.banter-789"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, ".a.txt.banter-789"), long, long); err != nil {
		t.Fatal(err)
	}
	if err := WriteBytes(filepath.Join(dir, "a.txt"), 0o644, nil); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), ".a.txt.123 .a.txt.banter- .a.txt.banter-12x .a.txt.banter-456 .a.txt.banter-789 .b.txt.banter-123 a.txt a.txt.banter-123"; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
}
