package session

import (
	"fmt"
	"html"
	"strings"
	"sync"
	"time"

	"banter/dsl/event"
	"banter/internal/progress"
)

const (
	maxSteps      = 200
	redrawEvery   = 100 * time.Millisecond
	plainBarWidth = 30
)

// board shows the steps of one cell as bars that move in place. Steps that are over before anybody could read their bars
// are not shown.
type board struct {
	session *Session
	run     *run

	mu    sync.Mutex
	bars  []*bar
	byID  map[string]*bar
	timer *time.Timer // runs while something is to be drawn
	over  bool
}

// bar is one step.
type bar struct {
	state   event.State
	title   string
	report  progress.Report
	display string // id of its display; empty until it is drawn
	began   time.Time
	ended   time.Time // zero while it is at work
	dirty   bool
	curves  curves
}

func newBoard(s *Session, r *run) *board { return &board{session: s, run: r, byID: map[string]*bar{}} }

// loose names work that belongs to no verb, such as the hashing of a model's file.
const loose = "working"

// report takes progress of such work. Nobody says when it ends: its last unit does.
func (b *board) report(r progress.Report) {
	e := event.Event{State: event.Progress, Verb: loose, Done: r.Done, Total: r.Total, Unit: r.Unit, Text: r.Note, Values: r.Values}
	b.event(e)
	if r.Total > 0 && r.Done >= r.Total {
		e.State = event.Done
		b.event(e)
	}
}

func (b *board) event(e event.Event) {
	title := e.Verb
	if e.Label != "" {
		title += " " + e.Label
	}
	if e.State == event.Note {
		b.session.printLine(stdout, clip(title+": "+e.Text, 4<<10))
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	id := title + "\x00" + e.Key
	x := b.byID[id]
	again := x != nil && !x.ended.IsZero() && (e.State == event.Started || e.Verb == loose && e.State == event.Progress)
	if again && x.display == "" { // nobody has seen it
		*x = bar{title: x.title, began: time.Now()}
	} else if x == nil || again {
		if len(b.bars) == maxSteps {
			return
		}
		x = &bar{title: clip(title, 200), began: time.Now()}
		b.byID[id] = x
		b.bars = append(b.bars, x)
	}
	x.state, x.dirty = e.State, true
	switch e.State {
	case event.Progress:
		x.report = progress.Report{Done: e.Done, Total: e.Total, Unit: e.Unit, Note: e.Text}
		x.curves.add(e.Done, e.Values)
	case event.Hit, event.Done, event.Failed:
		x.ended = time.Now()
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(redrawEvery, b.redraw)
	}
}

func (b *board) redraw() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer = nil
	if !b.over { // finish has drawn what there was
		b.drawLocked()
	}
}

func (b *board) drawLocked() {
	for _, x := range b.bars {
		if !x.dirty || (x.display == "" && !x.ended.IsZero()) {
			continue
		}
		x.dirty = false
		data := map[string]any{"text/html": x.html(), "text/plain": x.plain()}
		if x.display == "" {
			x.display = b.session.notebook.NewDisplay(data)
			continue
		}
		b.session.notebook.UpdateDisplay(x.display, data)
	}
}

// finish draws the last state of the bars that are shown, and ends the board.
func (b *board) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	for _, x := range b.bars {
		if x.ended.IsZero() {
			x.ended, x.dirty = time.Now(), true
			x.state = event.Done
			if b.run.ctx.Err() != nil {
				x.state = event.Failed
			}
		}
		x.dirty = x.dirty && x.display != ""
		if x.dirty {
			b.session.notebook.UpdateDisplay(x.display, map[string]any{"text/html": x.html(), "text/plain": x.plain()})
		}
	}
}

// fraction is how much is done, or -1 where that is not known.
func (x *bar) fraction() float64 {
	switch {
	case x.state == event.Done || x.state == event.Hit:
		return 1
	case x.report.Total <= 0:
		return -1
	}
	return min(1, max(0, float64(x.report.Done)/float64(x.report.Total)))
}

// caption says in words what the bar shows.
func (x *bar) caption() string {
	r := x.report
	var parts []string
	if r.Total > 0 {
		parts = append(parts, fmt.Sprintf("%d/%d %s", r.Done, r.Total, r.Unit))
	} else if r.Done > 0 {
		parts = append(parts, fmt.Sprintf("%d %s", r.Done, r.Unit))
	}
	until := x.ended
	if until.IsZero() {
		until = time.Now()
	}
	took := until.Sub(x.began)
	parts = append(parts, took.Round(100*time.Millisecond).String())
	if f := x.fraction(); f > 0 && f < 1 && took > time.Second && x.ended.IsZero() {
		left := time.Duration(float64(took) * (1 - f) / f)
		parts = append(parts, left.Round(time.Second).String()+" left")
	}
	switch {
	case x.state == event.Failed:
		parts = append(parts, "stopped")
	case r.Note != "" && x.ended.IsZero():
		parts = append(parts, clip(r.Note, 200))
	}
	return strings.Join(parts, " · ")
}

func (x *bar) html() string {
	value := ""
	if f := x.fraction(); f >= 0 {
		value = fmt.Sprintf(` value="%.4f"`, f)
	}
	return fmt.Sprintf(`<div style="display:flex;gap:.8em;align-items:center;font-family:var(--jp-ui-font-family,sans-serif);font-size:90%%">`+
		`<span style="min-width:14em">%s</span><progress style="width:16em" max="1"%s></progress><span>%s</span></div>`,
		html.EscapeString(x.title), value, html.EscapeString(x.caption())) + x.curves.picture(x.report.Unit, !x.ended.IsZero())
}

func (x *bar) plain() string {
	filled := 0
	if f := x.fraction(); f >= 0 {
		filled = int(f * plainBarWidth)
	}
	line := make([]byte, plainBarWidth)
	for i := range line {
		line[i] = '-'
		if i < filled {
			line[i] = '#'
		}
	}
	return fmt.Sprintf("%s [%s] %s", x.title, line, x.caption())
}
