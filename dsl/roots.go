package dsl

import (
	"os"
	"path/filepath"
	"strconv"
	"time"

	"banter/dsl/memo"
)

// What gc keeps: the steps of each recipe's last run that ended well, as long as the store lives; and for a month those of a
// later try that did not, and of the last two sessions of each notebook, since somebody is at work on them.
const (
	keptForWork   = 30 * 24 * time.Hour
	triedSuffix   = " (last try)"
	sessionBefore = " (session before)"
)

// endings says how a run ended that did not end well, by its exit code.
var endings = map[int]string{ExitFailed: "failed", ExitLock: "is not what its lock says", ExitGate: "did not pass its gate"}

// keep records what the run of a recipe needs.
func (s *Session) keep(name string, code int) error {
	if s.dry {
		return nil
	}
	root := memo.Root{Name: name, Keys: s.Keys(), About: s.about()}
	if code == ExitDone {
		if err := s.store.SetRoot(root); err != nil {
			return err
		}
		return s.store.DropRoot(name + triedSuffix)
	}
	if len(root.Keys) == 0 {
		return nil
	}
	root.Name += triedSuffix
	root.About["ended"] = endings[code]
	root.About["code"] = strconv.Itoa(code)
	root.Until = time.Now().Add(keptForWork)
	return s.store.SetRoot(root)
}

// keepSession records what a notebook's session made so far. The first time, what the session before made gets a name of
// its own, so that a kernel that was started anew may say it all again.
func (s *Session) keepSession() error {
	s.mu.Lock()
	n, before := len(s.steps), s.kept
	s.kept = n
	s.mu.Unlock()
	if n == before || s.dry {
		return nil
	}
	name := notebookName()
	if before == 0 {
		if old, ok, err := s.store.Root(name); err != nil {
			return err
		} else if ok {
			old.Name += sessionBefore
			if err := s.store.SetRoot(old); err != nil {
				return err
			}
		}
	}
	return s.store.SetRoot(memo.Root{Name: name, Keys: s.Keys(), About: s.about(), Until: time.Now().Add(keptForWork)})
}

// notebookName is the notebook that this kernel runs, as far as Jupyter says it; else the folder that it runs in.
func notebookName() string {
	name := os.Getenv("JPY_SESSION_NAME")
	if name == "" {
		name = "."
	}
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	if filepath.Ext(name) != ".ipynb" {
		return "notebooks in " + name
	}
	return name
}
