package dsl

import (
	"encoding/json"
	"sync"

	"banter/stdlib/chart"
)

// Frontend is the notebook page that a session's values are shown on. It lets what is shown talk back.
type Frontend interface {
	// Show displays a value, in forms by MIME type, below the cell that runs.
	Show(forms map[string]any)
	// Hear passes what the page sends to an address on to hear, which is called from another goroutine.
	Hear(address string, hear func(data json.RawMessage))
	// Kernel is the id by which the page's server knows this process; empty where it has none.
	Kernel() string
	// Cell says which cell runs, and in which run of it. cell is empty where cells have no names.
	Cell() (cell, run string)
}

// bundled remembers which output of a notebook holds the library that makes charts live.
type bundled struct {
	mu        sync.Mutex
	sent      bool
	cell, run string
}

// charts gives the library when the output that is being made is to hold it: the first with a chart in a session, and
// again each time that output is made anew, so that the saved notebook keeps it.
func (b *bundled) charts(p Frontend) string {
	if p == nil {
		return ""
	}
	cell, run := p.Cell()
	b.mu.Lock()
	defer b.mu.Unlock()
	again := cell != "" && cell == b.cell && run != b.run
	if b.sent && !again {
		return ""
	}
	b.sent, b.cell, b.run = true, cell, run
	return chart.Bundle()
}

// attached is the session that verbs run in, or nil where there is none yet.
func attached() *Session {
	activeMu.Lock()
	defer activeMu.Unlock()
	return active
}
