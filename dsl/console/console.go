// Package console shows a run in a terminal: a bar for each step that is at work, one line for each that is done, or
// JSON, one object a line, for programs.
package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"banter/dsl/event"

	"github.com/rivo/uniseg"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// Console is where a run is shown. Its methods may be called from many goroutines.
type Console struct {
	out, err io.Writer
	json     bool
	began    time.Time

	mu    sync.Mutex
	bars  *mpb.Progress // nil where the output is no terminal
	open  map[string]*bar
	last  map[string]time.Time // when a step's progress was last written as JSON
	label int                  // how wide the column of labels is by now
}

type bar struct {
	bar  *mpb.Bar
	note string
	mu   sync.Mutex
}

// Summary is how a run ended.
type Summary struct {
	Hits, Made, Failed int
	Stopped            int      // of the failed: what nothing was wrong with
	Exports            []string // files written to the out folder
}

// New shows a run on out, and its errors on err.
func New(out, err io.Writer, asJSON bool) *Console {
	c := &Console{out: out, err: err, json: asJSON, began: time.Now(), open: map[string]*bar{}, last: map[string]time.Time{}, label: narrowLabel}
	// A terminal that calls itself dumb does not know the sequences by which bars are drawn over.
	if f, ok := out.(*os.File); ok && !asJSON && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())) {
		c.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40), mpb.WithAutoRefresh())
	}
	return c
}

// Event shows one event.
func (c *Console) Event(e event.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.json {
		c.line(e)
		return
	}
	id := e.Key
	switch e.State {
	case event.Started:
	case event.Progress:
		c.progress(id, e)
	case event.Note:
		c.print("%s: %s\n", strings.TrimSpace(e.Verb+" "+clean(e.Label)), clean(e.Text))
	case event.Hit:
		c.close(id)
		c.step(e, "hit")
	case event.Done:
		c.close(id)
		c.step(e, "done")
	case event.Failed:
		c.close(id)
		how := "failed"
		if strings.HasSuffix(e.Text, context.Canceled.Error()) { // because of another, or of whoever runs it
			how = "stopped"
		}
		c.step(e, how)
	}
}

// step writes the line of a step that ended.
func (c *Console) step(e event.Event, how string) {
	c.print("  %-10s %s %-7s %s  %6.2fs\n", e.Verb, c.column(e.Label), how, short(e.Key), e.Seconds)
}

// Columns of labels, in cells of the terminal.
const (
	narrowLabel = 16
	widestLabel = 48
)

// column writes a label as wide as the widest so far, so that what stands behind it stays in line: a wider one widens the column
// from there on, and one that is too wide loses its middle, since names of files differ at their ends.
func (c *Console) column(label string) string {
	label = clean(label)
	if width := uniseg.StringWidth(label); width > widestLabel {
		label = shortened(label)
	}
	width := uniseg.StringWidth(label)
	c.label = max(c.label, width)
	return label + strings.Repeat(" ", c.label-width)
}

// shortened is a label with an ellipsis for its middle.
func shortened(label string) string {
	var clusters []string
	for g := uniseg.NewGraphemes(label); g.Next(); {
		clusters = append(clusters, g.Str())
	}
	const each = (widestLabel - 1) / 2 // for either end
	take := func(next func(i int) string) (n int) {
		for width := 0; n < len(clusters); n++ {
			if width += uniseg.StringWidth(next(n)); width > each {
				return n
			}
		}
		return n
	}
	head := take(func(i int) string { return clusters[i] })
	tail := take(func(i int) string { return clusters[len(clusters)-1-i] })
	return strings.Join(clusters[:head], "") + "…" + strings.Join(clusters[len(clusters)-tail:], "")
}

func short(key string) string { return key[:min(len(key), 12)] }

// clean keeps names from files and chat from steering the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' { // begins the further lines of what the type checker says
			return ' '
		}
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return '\ufffd'
		}
		return r
	}, s)
}

func (c *Console) print(format string, args ...any) {
	if c.bars != nil {
		fmt.Fprintf(c.bars, format, args...)
		return
	}
	fmt.Fprintf(c.out, format, args...)
}

func (c *Console) progress(id string, e event.Event) {
	if c.bars == nil {
		return
	}
	b := c.open[id]
	if b == nil {
		b = &bar{}
		b.bar = c.bars.AddBar(e.Total,
			mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(fmt.Sprintf("  %-10s %s ", e.Verb, c.column(e.Label)))),
			mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO), decor.Any(func(decor.Statistics) string {
				b.mu.Lock()
				defer b.mu.Unlock()
				return "  " + b.note
			})))
		c.open[id] = b
	}
	b.mu.Lock()
	b.note = clean(e.Text)
	b.mu.Unlock()
	if e.Total > 0 {
		b.bar.SetTotal(max(e.Total, e.Done+1), false) // the bar ends with the step, not with its last unit
		b.bar.SetCurrent(e.Done)
	}
}

func (c *Console) close(id string) {
	if b := c.open[id]; b != nil {
		b.bar.Abort(true)
		delete(c.open, id)
	}
}

// line writes an event as JSON. Progress of one step is written at most twice a second, but what was measured always.
func (c *Console) line(e event.Event) {
	if e.State == event.Progress && len(e.Values) == 0 {
		if time.Since(c.last[e.Key]) < 500*time.Millisecond {
			return
		}
		c.last[e.Key] = time.Now()
	}
	c.encode(struct {
		Kind string `json:"event"`
		event.Event
	}{"step", e})
}

func (c *Console) encode(v any) {
	enc := json.NewEncoder(c.out)
	if err := enc.Encode(v); err != nil {
		fmt.Fprintf(c.err, "write event: %v\n", err)
	}
}

// Finish shows how the run ended. With JSON an error is an object too.
func (c *Console) Finish(s Summary, err error, code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.open {
		c.close(id)
	}
	if c.bars != nil {
		c.bars.Shutdown()
	}
	seconds := time.Since(c.began).Seconds()
	if c.json {
		end := struct {
			Kind    string   `json:"event"`
			Hits    int      `json:"hits"`
			Made    int      `json:"made"`
			Failed  int      `json:"failed"`
			Seconds float64  `json:"seconds"`
			Exports []string `json:"exports,omitempty"`
			Error   string   `json:"error,omitempty"`
			Exit    int      `json:"exit"`
		}{"summary", s.Hits, s.Made, s.Failed, seconds, s.Exports, "", code}
		if err != nil {
			end.Error = err.Error()
		}
		c.encode(end)
		return
	}
	if n := s.Hits + s.Made + s.Failed; n > 0 || err == nil {
		steps := "steps"
		if n == 1 {
			steps = "step"
		}
		stopped := ""
		if s.Stopped > 0 {
			stopped = fmt.Sprintf(", %d stopped", s.Stopped)
		}
		fmt.Fprintf(c.out, "%d %s: %d hit, %d made, %d failed%s in %.1fs\n", n, steps, s.Hits, s.Made, s.Failed-s.Stopped, stopped, seconds)
	}
	for _, path := range s.Exports {
		fmt.Fprintf(c.out, "wrote %s\n", path)
	}
	if err != nil {
		var lines []string // there is more than one where a compiler would say more than one
		for line := range strings.Lines(err.Error()) {
			lines = append(lines, clean(strings.TrimSuffix(line, "\n")))
		}
		fmt.Fprintf(c.err, "error: %s\n", strings.Join(lines, "\n"))
	}
}
