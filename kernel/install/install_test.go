package install

import (
	"bytes"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstallListUninstall(t *testing.T) {
	place := PrefixPlace(t.TempDir())
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path, err := place.Install(DefaultSpec(program))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := place.Install(DefaultSpec(program)); err != nil {
		t.Errorf("installing again: %v", err)
	}
	var spec map[string]any
	b, err := os.ReadFile(filepath.Join(path, "kernel.json"))
	if err != nil || json.Unmarshal(b, &spec) != nil {
		t.Fatalf("%s, %v", b, err)
	}
	for key, want := range map[string]any{"display_name": "Banter (Go)", "language": "go", "interrupt_mode": "message"} {
		if spec[key] != want {
			t.Errorf("%s is %v, want %v", key, spec[key], want)
		}
	}
	if argv := spec["argv"].([]any); argv[0] != program || argv[len(argv)-1] != "{connection_file}" {
		t.Errorf("argv %v", argv)
	}
	entries, err := os.ReadDir(place.Kernels)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: something was left beside the kernel", entries, err)
	}
	for name, size := range map[string]int{"logo-32x32.png": 32, "logo-64x64.png": 64} {
		b, err := os.ReadFile(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := png.Decode(bytes.NewReader(b))
		if err != nil || m.Bounds().Dx() != size || m.Bounds().Dy() != size {
			t.Errorf("%s: %v, %v", name, m.Bounds(), err)
		}
	}
	other := PrefixPlace(t.TempDir())
	spec2 := DefaultSpec("/nowhere/recipe")
	if _, err := other.Install(spec2); err != nil {
		t.Fatal(err)
	}
	found := List([]Place{place, {"/nowhere"}, other})
	if len(found) != 2 || found[0].Path != path || found[0].Broken != "" || found[0].Shadowed || found[1].Broken == "" || !found[1].Shadowed {
		t.Errorf("%+v", found)
	}
	if _, err := place.Uninstall("banter"); err != nil {
		t.Fatal(err)
	}
	if found := List([]Place{place}); len(found) != 0 {
		t.Errorf("%+v is still there", found)
	}
	if _, err := place.Uninstall("banter"); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("%v", err)
	}
}

func TestForeignKernelsAreLeftAlone(t *testing.T) {
	place := PrefixPlace(t.TempDir())
	dir := filepath.Join(place.Kernels, "banter")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kernel.json"), []byte(`{"argv":["x"],"display_name":"other"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := place.Install(DefaultSpec("x")); err == nil {
		t.Error("another kernel was overwritten")
	}
	if _, err := place.Uninstall("banter"); err == nil {
		t.Error("another kernel was removed")
	}
	if len(List([]Place{place})) != 0 {
		t.Error("another kernel is listed as ours")
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", "a b"} {
		if _, err := place.Install(Spec{Name: name}); err == nil {
			t.Errorf("installed as %q", name)
		}
		if _, err := place.Uninstall(name); err == nil {
			t.Errorf("uninstalled %q", name)
		}
	}
}

func TestUserPlace(t *testing.T) {
	t.Setenv("JUPYTER_DATA_DIR", "/data")
	if p, err := UserPlace(); err != nil || p.Kernels != filepath.Join("/data", "kernels") {
		t.Errorf("%v, %v", p, err)
	}
	t.Setenv("VIRTUAL_ENV", "/venv")
	if p, err := EnvironmentPrefix(); err != nil || p != "/venv" {
		t.Errorf("%v, %v", p, err)
	}
}
