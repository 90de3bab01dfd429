package session

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"banter/internal/progress"
	"banter/kernel/cell"
	"banter/kernel/wire"
)

type executeRequest struct {
	Code            string            `json:"code"`
	Silent          bool              `json:"silent"`
	StoreHistory    *bool             `json:"store_history"`
	UserExpressions map[string]string `json:"user_expressions"`
	AllowStdin      *bool             `json:"allow_stdin"`
	StopOnError     *bool             `json:"stop_on_error"`
}

type executeReply struct {
	Status          string         `json:"status"`
	Count           int64          `json:"execution_count"`
	Payload         []page         `json:"payload"`
	UserExpressions map[string]any `json:"user_expressions"`
}

// page is a text for the front-end's pager.
type page struct {
	Source string         `json:"source"` // "page"
	Data   map[string]any `json:"data"`
	Start  int            `json:"start"`
}

const (
	maxUserExpressions = 100
	maxPages           = 16
	freeAfter          = 2 * time.Second
)

// run is one cell under way, or the last one.
type run struct {
	request    *wire.Message
	ctx        context.Context
	allowStdin bool

	mu    sync.Mutex
	pages []page
	bars  *board
}

var (
	errInterrupted = errors.New("the cell was interrupted")
	errShutdown    = errors.New("the kernel is shutting down")
	errDeleted     = errors.New("the subshell was deleted")
)

func orTrue(b *bool) bool { return b == nil || *b }

// execute runs a cell and answers. It returns the execute requests that waited behind a cell that failed.
func (s *Session) execute(ctx context.Context, sh *shell, cell *request) (abort []*wire.Message) {
	m := cell.Message
	var q executeRequest
	if err := m.Decode(&q); err != nil {
		sh.end(cell, err)
		s.reply(m, "execute_reply", describe(err))
		return nil
	}
	r := &run{request: m, allowStdin: orTrue(q.AllowStdin)}
	ctx, end := cell.begin(ctx)
	defer end(nil)
	r.bars = newBoard(s, r)
	r.ctx = progress.With(ctx, r.bars.report)

	store := orTrue(q.StoreHistory) && !q.Silent
	number := s.count.Load()
	blank := strings.TrimSpace(q.Code) == ""
	if store && !blank {
		number = s.count.Add(1)
	}
	if !q.Silent {
		s.publish(m, "execute_input", map[string]any{"code": q.Code, "execution_count": number}, nil, nil)
	}
	if blank && len(q.UserExpressions) == 0 {
		sh.end(cell, nil)
		s.reply(m, "execute_reply", executeReply{Status: "ok", Count: number, Payload: []page{}, UserExpressions: map[string]any{}})
		return nil
	}
	reply, shown, err := s.perform(r, &q, number)
	sh.end(cell, err)
	s.settle()
	s.outlet.end()
	if store && !blank {
		s.history.add(number, q.Code, shown)
	}
	if err != nil {
		e := describe(err)
		if !q.Silent {
			s.publish(m, "error", errorReply{Name: e.Name, Value: e.Value, Traceback: e.Traceback}, nil, nil)
		}
		e.Count = &number
		if orTrue(q.StopOnError) {
			// Taken before the client hears of the error: what it sends in answer to that is to be run.
			abort = sh.takeExecutes()
		}
		s.reply(m, "execute_reply", e)
		return abort
	}
	s.reply(m, "execute_reply", reply)
	return nil
}

// perform waits for its turn, runs the cell and shows what it comes to.
func (s *Session) perform(r *run, q *executeRequest, number int64) (reply executeReply, shown string, err error) {
	ev, err := s.eval(r.ctx)
	if err != nil {
		return reply, "", err
	}
	select {
	case s.turn <- struct{}{}:
	case <-r.ctx.Done():
		return reply, "", interruption{context.Cause(r.ctx)}
	}
	held := &lease{turn: s.turn}
	defer held.release()
	if r.ctx.Err() != nil { // stopped while its turn came
		return reply, "", interruption{context.Cause(r.ctx)}
	}
	s.settle()
	s.outlet.begin(r.request)
	s.current.Store(r)
	if report := s.box.report(); report != "" {
		s.outlet.write(stderr, []byte(report+"\n"))
	}
	s.box.begin(number, q.Code)

	var result Result
	name := fmt.Sprintf("cell %d", number)
	if strings.TrimSpace(q.Code) != "" {
		result, err = s.runPatiently(r, ev, name, q.Code, held)
	}
	if err == nil {
		for _, note := range result.Notes {
			s.printLine(stderr, note)
		}
		if result.HasValue && !q.Silent {
			shown = s.showResult(result, number)
		}
	}
	r.bars.finish()
	reply = executeReply{Status: "ok", Count: number, Payload: []page{}, UserExpressions: map[string]any{}}
	if err == nil {
		for name, expr := range q.UserExpressions {
			if len(reply.UserExpressions) == maxUserExpressions || r.ctx.Err() != nil {
				break
			}
			reply.UserExpressions[name] = s.expression(r, ev, expr, held)
		}
		r.mu.Lock()
		reply.Payload = append(reply.Payload, r.pages...)
		r.mu.Unlock()
	}
	s.box.finish()
	s.freeLater()
	return reply, shown, err
}

// runPatiently runs src. A cell that is interrupted and does not stop, because it is stuck in compiled code that takes
// no context, is left behind: the client has its answer, and the next cell waits until the stuck one is through.
func (s *Session) runPatiently(r *run, ev Evaluator, name, src string, held *lease) (Result, error) {
	type outcome struct {
		result Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		var out outcome
		defer func() {
			if p := recover(); p != nil {
				out.err = fmt.Errorf("panic in the kernel while it ran %s: %v\n%s", name, p, debug.Stack())
			}
			done <- out
		}()
		ctx := r.ctx
		if name != expressionName {
			ctx = cell.WithOrigin(ctx, cellOf(r.request))
		}
		out.result, out.err = ev.Run(ctx, name, src)
	}()
	finish := func(out outcome) (Result, error) {
		cause := context.Cause(r.ctx)
		switch {
		case cause == nil:
		case out.err == nil, out.err == context.Canceled:
			out.err = interruption{cause}
		case errors.Is(out.err, context.Canceled), errors.Is(out.err, cause):
			out.err = interruption{out.err} // what was interrupted has more to say
		}
		return out.result, out.err
	}
	select {
	case out := <-done:
		return finish(out)
	case <-r.ctx.Done():
	}
	select {
	case out := <-done:
		return finish(out)
	case <-time.After(s.options.Patience):
	}
	held.moved = true
	go func() {
		<-done
		<-held.turn
	}()
	return Result{}, interruption{fmt.Errorf(
		"%w, and is stuck in compiled code that cannot be stopped: the next cell runs when that returns; restart the kernel to be rid of it",
		context.Cause(r.ctx))}
}

// lease is a cell's hold on the evaluator.
type lease struct {
	turn  <-chan struct{}
	moved bool // given to a goroutine that waits for a stuck cell
}

func (l *lease) release() {
	if !l.moved {
		<-l.turn
	}
}

// interruption is the error of a cell that was stopped from outside.
type interruption struct{ error }

func (interruption) Name() string { return "interrupted" }
func (i interruption) Traceback() []string {
	return []string{"\x1b[31minterrupted\x1b[0m: " + i.Error()}
}
func (i interruption) Unwrap() error { return i.error }

// expressionName is how errors call a user_expression.
const expressionName = "expression"

// expression evaluates one of a request's user_expressions.
func (s *Session) expression(r *run, ev Evaluator, expr string, held *lease) any {
	result, err := s.runPatiently(r, ev, expressionName, expr, held)
	if err == nil && !result.HasValue {
		err = errors.New("it has no value")
	}
	if err != nil {
		return describe(err)
	}
	b := result.render()
	return map[string]any{"status": "ok", "data": b.data, "metadata": b.metadataOrEmpty()}
}

// showResult shows a cell's value, and returns it as text for the history.
func (s *Session) showResult(result Result, number int64) string {
	b := result.render()
	s.settle()
	s.outlet.show(output{msgType: "execute_result",
		content: map[string]any{"execution_count": number, "data": b.data, "metadata": b.metadataOrEmpty()}}, b.size())
	text, _ := b.data["text/plain"].(string)
	return clip(text, 4<<10)
}

func (s *Session) printLine(name, line string) {
	printer{s, name}.Write([]byte(strings.TrimSuffix(line, "\n") + "\n"))
}

// freeLater gives the memory of values that cells have dropped back to the system, once no cell has run for a while.
func (s *Session) freeLater() {
	s.shells.mu.Lock()
	defer s.shells.mu.Unlock()
	if s.lull == nil {
		s.lull = time.AfterFunc(freeAfter, func() {
			if !s.busy() {
				debug.FreeOSMemory()
			}
		})
		return
	}
	s.lull.Reset(freeAfter)
}
