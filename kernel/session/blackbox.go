package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"banter/internal/problem"
)

const (
	maxCrashText   = 16 << 10
	maxCrashStacks = 256 << 10
)

// blackBox notes which cell runs, and what the Go runtime says when the process dies. When the kernel of a connection
// file starts and finds such a note, the one before it did not end as it should, and the user is told with the first
// cell that is run.
type blackBox struct {
	state string // path of the note
	crash string // path of the runtime's last words
	file  *os.File
	told  string // what is to be said
	// stacks are the goroutines of the kernel that died; empty where none are known.
	stacks string
}

type boxNote struct {
	Cell    int64     `json:"cell"`
	Code    string    `json:"code"` // its first line
	Began   time.Time `json:"began"`
	Running bool      `json:"running"`
}

// openBlackBox reads what the kernel before this one left behind, and begins anew. It returns a box that works, if only
// as one that keeps nothing, with any error.
func openBlackBox(dir, connectionFile string) (*blackBox, error) {
	b := &blackBox{}
	if dir == "" || connectionFile == "" {
		return b, nil
	}
	absolute, err := filepath.Abs(connectionFile)
	if err != nil {
		return b, err
	}
	sum := sha256.Sum256([]byte(absolute))
	name := filepath.Join(dir, "kernel-"+hex.EncodeToString(sum[:8]))
	fail := func(err error) (*blackBox, error) {
		return &blackBox{told: b.told, stacks: b.stacks}, &problem.Error{Op: "note what the kernel does", Path: dir, Err: err,
			Fix: "make the directory writable: a crash cannot be explained without it"}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	b.state, b.crash = name+".json", name+".crash"
	b.told = b.lastWords()
	if b.file, err = os.OpenFile(b.state, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(b.crash, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	defer f.Close() // the runtime keeps a descriptor of its own
	if err := debug.SetCrashOutput(f, debug.CrashOptions{}); err != nil {
		return fail(err)
	}
	return b, nil
}

// lastWords explains how the kernel before this one ended; empty if it ended as it should.
func (b *blackBox) lastWords() string {
	var note boxNote
	raw, err := os.ReadFile(b.state)
	if err != nil {
		return "" // there was none, or it said goodbye
	}
	crash, err := os.ReadFile(b.crash)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		crash = []byte(err.Error())
	}
	if err := json.Unmarshal(raw, &note); err != nil {
		note = boxNote{} // cut off while it was written: the crash itself is still known
	}
	if !note.Running && len(crash) == 0 {
		return ""
	}
	var s strings.Builder
	s.WriteString("The kernel was restarted: the one before it died")
	if note.Running {
		fmt.Fprintf(&s, " while it ran cell %d (%s)", note.Cell, note.Code)
	}
	s.WriteString(". Its variables are gone.\n")
	if len(crash) == 0 {
		s.WriteString("It left no message: it was killed, by the system for want of memory or by somebody.")
	} else {
		// The first paragraph names the fault. What follows are the stacks of all goroutines, which speak of the interpreter
		// and not of the cell: they go to the log.
		fault, stacks, _ := strings.Cut(strings.TrimSpace(string(crash)), "\n\n")
		s.WriteString(clip(fault, maxCrashText))
		b.stacks = clip(stacks, maxCrashStacks)
	}
	return s.String()
}

// report returns once what is to be said.
func (b *blackBox) report() string {
	told := b.told
	b.told = ""
	return told
}

func (b *blackBox) write(n boxNote) {
	if b.file == nil {
		return
	}
	raw, err := json.Marshal(n)
	if err == nil {
		// Padded, so that a shorter note covers a longer one without a second system call.
		line := fmt.Appendf(nil, "%-512s\n", raw)
		_, err = b.file.WriteAt(line, 0)
	}
	if err != nil {
		b.file.Close()
		b.file = nil
	}
}

func (b *blackBox) begin(cell int64, code string) {
	first, _, _ := strings.Cut(strings.TrimSpace(code), "\n")
	if r := []rune(first); len(r) > 60 {
		first = string(r[:60]) + "…"
	}
	b.write(boxNote{Cell: cell, Code: first, Began: time.Now(), Running: true})
}

func (b *blackBox) finish() { b.write(boxNote{}) }

// close says that the kernel ends as it should.
func (b *blackBox) close() {
	if b.file == nil {
		return
	}
	b.file.Close()
	debug.SetCrashOutput(nil, debug.CrashOptions{})
	os.Remove(b.state)
	os.Remove(b.crash)
}
