package session

import (
	"fmt"
	"html"
	"sync"
	"time"

	"banter/internal/progress"
)

// StepState is what a step of a cell is doing.
type StepState string

// A step ends in one of the last three.
const (
	StepRunning StepState = "running"
	StepHit     StepState = "hit" // its result was there already
	StepDone    StepState = "done"
	StepFailed  StepState = "failed"
)

// Step is one piece of long work of a cell: a verb at work on its inputs.
type Step struct {
	ID     string // the same in all reports of one step
	Title  string // "Transcribe 3 streams"
	State  StepState
	Report progress.Report
}

// StepSink takes what happens to steps. It may be called from many goroutines and returns at once.
type StepSink interface{ Step(Step) }

const (
	maxSteps      = 200
	redrawEvery   = 100 * time.Millisecond
	plainBarWidth = 30
)

// board shows the steps of one cell as bars that move in place. The first steps that are over before anybody could
// read them are not shown.
type board struct {
	session *Session
	run     *run

	mu    sync.Mutex
	steps []*bar
	byID  map[string]*bar
	timer *time.Timer
	over  bool
}

type bar struct {
	step    Step
	display string // id of its display; empty until it is drawn
	began   time.Time
	ended   time.Time
	dirty   bool
}

func newBoard(s *Session, r *run) *board { return &board{session: s, run: r, byID: map[string]*bar{}} }

// report takes progress that is not part of a named step.
func (b *board) report(r progress.Report) {
	b.Step(Step{Title: "working", State: StepRunning, Report: r})
}

// Step takes one report.
func (b *board) Step(st Step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	x := b.byID[st.ID]
	if x == nil {
		if len(b.steps) == maxSteps {
			return
		}
		x = &bar{began: time.Now()}
		b.byID[st.ID] = x
		b.steps = append(b.steps, x)
	}
	x.step, x.dirty = st, true
	if st.State != StepRunning {
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
	b.drawLocked()
}

func (b *board) drawLocked() {
	for _, x := range b.steps {
		if !x.dirty {
			continue
		}
		x.dirty = false
		data := map[string]any{"text/html": x.html(), "text/plain": x.plain()}
		if x.display == "" {
			if x.step.State == StepHit {
				continue // the verb's own value says so
			}
			x.display = b.session.notebook.Display(data)
			continue
		}
		b.session.notebook.UpdateDisplay(x.display, data)
	}
}

// finish draws what has not been drawn of steps that are shown, and ends the board.
func (b *board) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	for _, x := range b.steps {
		if x.step.State == StepRunning {
			x.ended = time.Now()
			x.dirty = true
			x.step.State = StepDone
			if b.run.ctx.Err() != nil {
				x.step.State = StepFailed
			}
		}
		x.dirty = x.dirty && x.display != ""
	}
	b.drawLocked()
}

// fraction is how much is done, or -1 where the total is not known.
func (x *bar) fraction() float64 {
	r := x.step.Report
	switch {
	case x.step.State == StepDone || x.step.State == StepHit:
		return 1
	case r.Total <= 0:
		return -1
	}
	return min(1, max(0, float64(r.Done)/float64(r.Total)))
}

// caption says in words what the bar shows.
func (x *bar) caption() string {
	r := x.step.Report
	s := ""
	if r.Total > 0 {
		s = fmt.Sprintf("%d/%d %s", r.Done, r.Total, r.Unit)
	} else if r.Done > 0 {
		s = fmt.Sprintf("%d %s", r.Done, r.Unit)
	}
	until := x.ended
	if until.IsZero() {
		until = time.Now()
	}
	took := until.Sub(x.began)
	s += fmt.Sprintf(" · %s", took.Round(100*time.Millisecond))
	if f := x.fraction(); f > 0 && f < 1 && took > time.Second && x.step.State == StepRunning {
		left := time.Duration(float64(took) * (1 - f) / f)
		s += fmt.Sprintf(" · %s left", left.Round(time.Second))
	}
	if r.Note != "" {
		s += " · " + clip(r.Note, 200)
	}
	if x.step.State == StepFailed {
		s += " · stopped"
	}
	return s
}

func (x *bar) html() string {
	value := ""
	if f := x.fraction(); f >= 0 {
		value = fmt.Sprintf(` value="%.4f"`, f)
	}
	return fmt.Sprintf(`<div style="display:flex;gap:.8em;align-items:center;font-family:var(--jp-ui-font-family,sans-serif);font-size:90%%">`+
		`<span style="min-width:14em">%s</span><progress style="width:16em" max="1"%s></progress><span>%s</span></div>`,
		html.EscapeString(clip(x.step.Title, 200)), value, html.EscapeString(x.caption()))
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
	return fmt.Sprintf("%s [%s] %s", clip(x.step.Title, 200), line, x.caption())
}
