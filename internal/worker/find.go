package worker

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"banter/internal/problem"
)

// Engine is the file name of the native worker.
const Engine = "banter-engine"

// EngineVariable is the environment variable that names the native worker's file where it is in none of the usual places.
const EngineVariable = "BANTER_ENGINE"

// Find returns the path of the native worker: explicit if it is not empty, else what $BANTER_ENGINE names, else the file
// next to this executable, in bin/ of the working directory or of a directory above it that holds a go.mod, or in $PATH.
func Find(explicit string) (string, error) {
	if explicit == "" {
		explicit = os.Getenv(EngineVariable)
	}
	if explicit != "" {
		if err := executable(explicit); err != nil {
			return "", &problem.Error{Op: "find the native worker", Path: explicit, Err: err, Fix: "name the file that `make native` built"}
		}
		return filepath.Abs(explicit)
	}
	var places []string
	if self, err := os.Executable(); err == nil {
		places = append(places, filepath.Dir(self))
		if real, err := filepath.EvalSymlinks(self); err == nil {
			places = append(places, filepath.Dir(real))
		}
	}
	if dir, err := os.Getwd(); err == nil {
		places = append(places, filepath.Join(dir, "bin"))
		for {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				places = append(places, filepath.Join(dir, "bin"))
			}
			up := filepath.Dir(dir)
			if up == dir {
				break
			}
			dir = up
		}
	}
	for _, place := range places {
		if path := filepath.Join(place, Engine); executable(path) == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath(Engine); err == nil {
		return filepath.Abs(path)
	}
	return "", &problem.Error{
		Op: "find the native worker", Path: Engine,
		Err: errors.New("it is not next to this program, not in bin/ and not in $PATH"),
		Fix: "run `make native`, or name the file in $" + EngineVariable,
	}
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return errors.Unwrap(err)
	case info.IsDir():
		return errors.New("is a directory")
	case info.Mode()&0o111 == 0:
		return errors.New("is not executable")
	}
	return nil
}
