// Package install tells Jupyter about the kernel: it writes, finds and removes the folder with a kernel's specification
// and logos, in the places where Jupyter looks for them.
package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"banter/internal/problem"
)

// Spec is what Jupyter is told.
type Spec struct {
	Name        string   // of the folder, and in notebooks: "banter"
	DisplayName string   // in menus: "Banter (Go)"
	Argv        []string // how to start it; "{connection_file}" stands for the connection file's path
}

// DefaultSpec starts the kernel by a program's `kernel start`.
func DefaultSpec(program string) Spec {
	return Spec{Name: "banter", DisplayName: "Banter (Go)",
		Argv: []string{program, "kernel", "start", "--connection-file", "{connection_file}"}}
}

// specFile is kernel.json.
type specFile struct {
	Argv          []string       `json:"argv"`
	DisplayName   string         `json:"display_name"`
	Language      string         `json:"language"`
	InterruptMode string         `json:"interrupt_mode"`
	Metadata      map[string]any `json:"metadata"`
}

// mark is the key in a specification's metadata that says that it is ours.
const mark = "banter"

// Place is where kernels are installed: a folder that holds one folder a kernel.
type Place struct{ Kernels string }

// UserPlace is for one user.
func UserPlace() (Place, error) {
	dir, err := userData()
	return Place{filepath.Join(dir, "kernels")}, err
}

// PrefixPlace is for one installation of Python or Jupyter: /usr/local, a virtual environment, a Conda environment.
func PrefixPlace(prefix string) Place {
	return Place{filepath.Join(prefix, "share", "jupyter", "kernels")}
}

// EnvironmentPrefix is the folder of the virtual or Conda environment that is active, or else where the python3 on the
// path is installed.
func EnvironmentPrefix() (string, error) {
	for _, name := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if dir := os.Getenv(name); dir != "" {
			return dir, nil
		}
	}
	out, err := exec.Command("python3", "-c", "import sys; print(sys.prefix)").Output()
	if err != nil {
		return "", &problem.Error{Op: "find Python's prefix", Err: err, Fix: "activate an environment, or give --prefix"}
	}
	return strings.TrimSpace(string(out)), nil
}

func userData() (string, error) {
	if dir := os.Getenv("JUPYTER_DATA_DIR"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Jupyter"), nil
	case "windows":
		if dir := os.Getenv("APPDATA"); dir != "" {
			return filepath.Join(dir, "jupyter"), nil
		}
		return filepath.Join(home, ".jupyter", "data"), nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "jupyter"), nil
	}
	return filepath.Join(home, ".local", "share", "jupyter"), nil
}

// Places are all folders in which Jupyter looks, the first found first.
func Places() []Place {
	var dirs []string
	dirs = append(dirs, filepath.SplitList(os.Getenv("JUPYTER_PATH"))...)
	if prefix, err := EnvironmentPrefix(); err == nil {
		dirs = append(dirs, filepath.Join(prefix, "share", "jupyter"))
	}
	if dir, err := userData(); err == nil {
		dirs = append(dirs, dir)
	}
	if runtime.GOOS == "windows" {
		dirs = append(dirs, filepath.Join(os.Getenv("PROGRAMDATA"), "jupyter"))
	} else {
		dirs = append(dirs, "/usr/local/share/jupyter", "/usr/share/jupyter")
	}
	var places []Place
	for _, dir := range dirs {
		p := Place{filepath.Join(dir, "kernels")}
		if dir != "" && !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	return places
}

// validName is what Jupyter accepts.
var validName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// Install writes a kernel's folder, in place of one that is there, and returns its path.
func (p Place) Install(s Spec) (path string, err error) {
	path = filepath.Join(p.Kernels, s.Name)
	fail := func(err error, fix string) (string, error) {
		return "", &problem.Error{Op: "install kernel", Path: path, Err: err, Fix: fix}
	}
	if !validName.MatchString(s.Name) || strings.Trim(s.Name, ".") == "" {
		return fail(fmt.Errorf("%q is not a kernel's name", s.Name), "use letters, digits, '.', '-' and '_'")
	}
	const denied = "choose --user, or --prefix of a folder that can be written"
	if err := os.MkdirAll(p.Kernels, 0o755); err != nil {
		return fail(err, denied)
	}
	if other, err := read(path); err == nil && !other.Ours {
		return fail(errors.New("another kernel of that name is there"), "remove it, or give --name")
	}
	// The folder appears whole or not at all.
	fresh, err := os.MkdirTemp(p.Kernels, ".installing-")
	if err != nil {
		return fail(err, denied)
	}
	defer os.RemoveAll(fresh)
	b, err := json.MarshalIndent(specFile{Argv: s.Argv, DisplayName: s.DisplayName, Language: "go", InterruptMode: "message",
		Metadata: map[string]any{mark: true, "debugger": false, "supported_features": []string{"kernel subshells"}}}, "", "  ")
	if err != nil {
		return fail(err, "")
	}
	files := map[string][]byte{"kernel.json": append(b, '\n'), "logo-svg.svg": []byte(logoSVG)}
	for _, size := range []int{32, 64} {
		if files[fmt.Sprintf("logo-%dx%d.png", size, size)], err = logoPNG(size); err != nil {
			return fail(err, "")
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(fresh, name), content, 0o644); err != nil {
			return fail(err, denied)
		}
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return fail(err, "")
	}
	if err := os.RemoveAll(path); err != nil {
		return fail(err, denied)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fail(err, denied)
	}
	return path, nil
}

// Uninstall removes a kernel's folder and returns its path. It removes nothing that was not written by Install.
func (p Place) Uninstall(name string) (path string, err error) {
	path = filepath.Join(p.Kernels, name)
	fail := func(err error, fix string) (string, error) {
		return "", &problem.Error{Op: "uninstall kernel", Path: path, Err: err, Fix: fix}
	}
	if !validName.MatchString(name) || strings.Trim(name, ".") == "" {
		return fail(fmt.Errorf("%q is not a kernel's name", name), "see `recipe kernel list`")
	}
	found, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(errors.New("it is not installed there"), "see `recipe kernel list`")
	case err != nil:
		return fail(err, "")
	case !found.Ours:
		return fail(errors.New("it is another program's kernel"), "use `jupyter kernelspec uninstall`")
	}
	if err := os.RemoveAll(path); err != nil {
		return fail(err, "remove the folder with the rights of its owner")
	}
	return path, nil
}

// Installed is a kernel that was found.
type Installed struct {
	Name        string
	DisplayName string
	Path        string // its folder
	Program     string // what it starts
	Ours        bool   // whether it is Banter's
	Broken      string // why it cannot be started; empty where it can
	Shadowed    bool   // whether Jupyter finds another of its name first
}

// List finds all kernels of Banter in some places.
func List(places []Place) []Installed {
	var found []Installed
	names := map[string]bool{}
	for _, p := range places {
		entries, err := os.ReadDir(p.Kernels)
		if err != nil {
			continue // most places do not exist
		}
		for _, e := range entries {
			k, err := read(filepath.Join(p.Kernels, e.Name()))
			if err != nil {
				continue // no kernel, or one that Jupyter cannot read either
			}
			k.Shadowed = names[strings.ToLower(k.Name)]
			names[strings.ToLower(k.Name)] = true
			if k.Ours {
				found = append(found, k)
			}
		}
	}
	return found
}

func read(dir string) (Installed, error) {
	k := Installed{Name: filepath.Base(dir), Path: dir}
	b, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
	if err != nil {
		return k, err
	}
	var f specFile
	if err := json.Unmarshal(b, &f); err != nil {
		return k, err
	}
	k.DisplayName = f.DisplayName
	k.Ours, _ = f.Metadata[mark].(bool)
	if len(f.Argv) == 0 {
		k.Broken = "its kernel.json has no argv"
		return k, nil
	}
	k.Program = f.Argv[0]
	if _, err := exec.LookPath(k.Program); err != nil {
		k.Broken = "its program is not there"
	}
	return k, nil
}
