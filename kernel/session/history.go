package session

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gofrs/flock"

	"banter/internal/problem"
	"banter/internal/wholefile"
)

const (
	maxHistoryFile  = 16 << 20 // beyond it, the older half is forgotten
	maxHistoryEntry = 256 << 10
)

// historyEntry is one line of the history file, which is JSON lines.
type historyEntry struct {
	Session int64  `json:"session"` // kernels are numbered from 1
	Line    int64  `json:"line"`    // the cell's execution count
	Code    string `json:"code"`
	Output  string `json:"output,omitempty"` // its value as text
}

type historyRequest struct {
	Output  bool   `json:"output"`
	Access  string `json:"hist_access_type"` // range, tail or search
	Session int64  `json:"session"`          // of a range; 0 is this one, -1 the one before
	Start   int64  `json:"start"`
	Stop    *int64 `json:"stop"`
	N       *int   `json:"n"`
	Pattern string `json:"pattern"` // of a search: * and ? stand for any text and any character
	Unique  bool   `json:"unique"`
}

// history keeps the cells of all kernels of a user in one file. Kernels that run at once share it.
type history struct {
	path string

	mu      sync.Mutex
	session int64 // this kernel's number; 0 before the file has been opened
	lock    *flock.Flock
	broken  error          // why nothing is kept
	memory  []historyEntry // what was run here, where there is no file
}

func openHistory(path string) *history {
	h := &history{path: path}
	if path == "" {
		h.session = 1
	}
	return h
}

// open numbers this kernel. It is left until the first cell has run, so that nobody waits for it.
func (h *history) open() error {
	if h.session > 0 || h.broken != nil {
		return h.broken
	}
	h.broken = func() error {
		if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
			return err
		}
		h.lock = flock.New(h.path + ".lock")
		if err := h.lock.Lock(); err != nil {
			return err
		}
		defer h.lock.Unlock()
		entries, size, err := readHistory(h.path)
		if err != nil {
			return err
		}
		var last int64
		for _, e := range entries {
			last = max(last, e.Session)
		}
		h.session = last + 1
		if size > maxHistoryFile {
			if err := writeHistory(h.path, entries[len(entries)/2:]); err != nil {
				return err
			}
		}
		// A number without a cell yet: the next kernel that starts takes another.
		return h.append(historyEntry{Session: h.session})
	}()
	if h.broken != nil {
		h.broken = &problem.Error{Op: "keep history", Path: h.path, Err: h.broken, Fix: "make the file readable and writable"}
		h.session = 1
	}
	return h.broken
}

// append writes one line. Others may have replaced the file since: so it is opened each time.
func (h *history) append(e historyEntry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}

// add keeps a cell, and lets no client wait for the disk: it holds the lock until the cell is there, after it has
// returned. Where that cannot be done, the cell is kept until the kernel ends.
func (h *history) add(line int64, code, output string) {
	if len(code) > maxHistoryEntry {
		return
	}
	h.mu.Lock()
	go func() {
		defer h.mu.Unlock()
		h.keep(line, code, output)
	}()
}

// close waits for what is being kept.
func (h *history) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
}

func (h *history) keep(line int64, code, output string) {
	e := historyEntry{Line: line, Code: code, Output: output}
	if h.path != "" && h.open() == nil {
		e.Session = h.session
		err := h.lock.RLock()
		if err == nil {
			err = h.append(e)
			err = errors.Join(err, h.lock.Unlock())
		}
		if err == nil {
			return
		}
		h.broken = err
	}
	e.Session = h.session
	h.memory = append(h.memory, e)
	if len(h.memory) > 2000 {
		h.memory = slices.Clone(h.memory[1000:])
	}
}

// find answers a request, oldest first.
func (h *history) find(q historyRequest) ([]historyEntry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []historyEntry
	if h.path != "" && h.open() == nil {
		var err error
		if all, _, err = readHistory(h.path); err != nil {
			return nil, err
		}
	}
	all = append(all, h.memory...)
	all = slices.DeleteFunc(all, func(e historyEntry) bool { return e.Line == 0 })
	limit := len(all)
	if q.N != nil {
		limit = max(0, *q.N)
	}
	switch q.Access {
	case "tail":
	case "range":
		session := q.Session
		if session <= 0 {
			session += h.session
		}
		all = slices.DeleteFunc(all, func(e historyEntry) bool {
			return e.Session != session || e.Line < q.Start || (q.Stop != nil && e.Line >= *q.Stop)
		})
		limit = len(all)
	case "search":
		pattern := q.Pattern
		if pattern == "" {
			pattern = "*"
		}
		all = slices.DeleteFunc(all, func(e historyEntry) bool { return !glob(pattern, e.Code) })
		if q.Unique {
			all = newestOfEach(all)
		}
	default:
		return nil, fmt.Errorf("hist_access_type %q is not range, tail or search", clip(q.Access, 40))
	}
	return all[max(0, len(all)-limit):], nil
}

// newestOfEach keeps the last entry of each code.
func newestOfEach(all []historyEntry) []historyEntry {
	seen := map[string]bool{}
	var kept []historyEntry
	for _, e := range slices.Backward(all) {
		if !seen[e.Code] {
			seen[e.Code] = true
			kept = append(kept, e)
		}
	}
	slices.Reverse(kept)
	return kept
}

func readHistory(path string) (entries []historyEntry, size int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if info.Size() > 4*maxHistoryFile {
		// Not written by us alone. The end of it is what matters.
		if _, err := f.Seek(-maxHistoryFile, io.SeekEnd); err != nil {
			return nil, 0, err
		}
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 64<<10), 8*maxHistoryEntry)
	for lines.Scan() {
		var e historyEntry
		// A line that a crash has cut is passed over.
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Session > 0 {
			entries = append(entries, e)
		}
	}
	return entries, info.Size(), lines.Err()
}

func writeHistory(path string, entries []historyEntry) error {
	var b []byte
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		b = append(append(b, line...), '\n')
	}
	return wholefile.WriteBytes(path, 0o600, b)
}

// glob matches the whole of s against a pattern of *, ? and plain text, in time |pattern|·|s| at most.
func glob(pattern, s string) bool {
	p, t := []rune(pattern), []rune(s)
	i, j, star, mark := 0, 0, -1, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(string(p[i:]), "*") == ""
}
