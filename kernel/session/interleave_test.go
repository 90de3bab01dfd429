package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// These tests let requests meet at every moment of a cell's life. Whichever comes first, nothing is lost: each request is
// answered, and an interrupt stops what was asked for before it.

func loop(ctx context.Context, _ *scripted) (Result, error) {
	<-ctx.Done()
	return Result{}, ctx.Err()
}

func quick(context.Context, *scripted) (Result, error) { return value(1) }

// collect reads replies until there is one to each of some requests.
func (k *notebookClient) collect(ids ...string) map[string]message {
	k.t.Helper()
	replies := map[string]message{}
	for slices.ContainsFunc(ids, func(id string) bool { return replies[id].Header.Type == "" }) {
		m := k.reply("shell")
		replies[m.Parent.ID] = m
	}
	return replies
}

// TestInterruptBetweenCells interrupts a queue of short cells, often between two of them. The last would run for ever.
func TestInterruptBetweenCells(t *testing.T) {
	k := startKernel(t, withCells(cellFuncs{"quick": quick, "loop": loop}))
	aside := k.ask("control", "create_subshell_request", nil).Content["subshell_id"].(string)
	for round := range 100 {
		var cells []string
		for i := range round % 20 {
			cells = append(cells, k.send("shell", "execute_request", map[string]any{"code": []string{"quick", " "}[i%2]}))
		}
		cells = append(cells, k.send("shell", "execute_request", map[string]any{"code": "loop"}))
		// When this is answered, all cells have arrived.
		last := k.send("shell", "kernel_info_request", nil, "subshell_id", aside)
		replies := k.collect(last)
		k.ask("control", "interrupt_request", nil)
		for len(replies) < len(cells)+1 {
			m := k.reply("shell")
			replies[m.Parent.ID] = m
		}
		var told []string
		for _, id := range cells {
			told = append(told, fmt.Sprint(replies[id].Content["status"], " ", replies[id].Content["ename"]))
		}
		got := strings.Join(told, ",")
		got = strings.TrimLeft(strings.ReplaceAll(got, "ok <nil>", ""), ",")
		got = strings.TrimRight(strings.ReplaceAll(got, "aborted aborted", ""), ",")
		if got != "error interrupted" {
			t.Fatalf("round %d: %v", round, told)
		}
	}
}

// question waits for the question of a cell, and passes over those of cells before it.
func (k *notebookClient) question(cell string) message {
	k.t.Helper()
	m := k.reply("stdin")
	for m.Parent.ID != cell {
		m = k.reply("stdin")
	}
	return m
}

// TestInterruptWhileItAsks interrupts a cell at all moments around a question to the user.
func TestInterruptWhileItAsks(t *testing.T) {
	k := startKernel(t, withCells(cellFuncs{
		"ask": func(ctx context.Context, e *scripted) (Result, error) {
			answer, err := e.n.Input("? ")
			if err != nil {
				return Result{}, err
			}
			return value(answer)
		},
	}))
	for round := range 50 {
		id := k.send("shell", "execute_request", map[string]any{"code": "ask", "allow_stdin": true})
		var question message
		if round%2 == 0 {
			question = k.question(id)
		} else {
			for m := k.next(); m.Header.Type != "execute_input"; m = k.next() {
			}
		}
		k.ask("control", "interrupt_request", nil)
		if m := k.reply("shell"); m.Parent.ID != id || m.Content["ename"] != "interrupted" {
			t.Fatalf("round %d: %v", round, m.Content)
		}
		k.drain()
		if round%2 == 1 {
			continue // whether it came to ask cannot be known
		}
		// The user answers the question that was taken back, and then the one that is asked.
		id = k.send("shell", "execute_request", map[string]any{"code": "ask", "allow_stdin": true})
		again := k.question(id)
		k.answer(question, "late")
		k.answer(again, "right")
		k.collect(id)
		if out := k.outputs(id); data(t, out[1])["text/plain"] != "right" {
			t.Fatalf("round %d: %+v", round, out)
		}
	}
}

// TestSubshellDeletedWhileItRuns deletes subshells while requests to them arrive, wait and run.
func TestSubshellDeletedWhileItRuns(t *testing.T) {
	k := startKernel(t, withCells(cellFuncs{"quick": quick, "loop": loop}))
	for round := range 100 {
		sub := k.ask("control", "create_subshell_request", nil).Content["subshell_id"].(string)
		var ids []string
		for _, code := range []string{"quick", "loop", "quick"} {
			ids = append(ids, k.send("shell", "execute_request", map[string]any{"code": code, "stop_on_error": round%2 == 0}, "subshell_id", sub))
		}
		ids = append(ids, k.send("shell", "kernel_info_request", nil, "subshell_id", sub))
		if round%3 == 0 { // until the loop runs, more or less
			for m := k.next(); m.Parent.ID != ids[1]; m = k.next() {
			}
		}
		if r := k.ask("control", "delete_subshell_request", map[string]any{"subshell_id": sub}).Content; r["status"] != "ok" {
			t.Fatalf("%v", r)
		}
		replies := k.collect(ids...)
		if m := replies[ids[1]]; m.Content["status"] == "ok" || round%3 == 0 && m.Content["evalue"] != errDeleted.Error() {
			t.Fatalf("round %d: %v", round, m.Content)
		}
	}
	main := k.send("shell", "execute_request", map[string]any{"code": "quick"})
	if m := k.collect(main)[main]; m.Content["status"] != "ok" {
		t.Errorf("the main shell after that: %v", m.Content)
	}
}

// TestInterruptAndShutdownDuringTheStart asks for cells before the evaluator is there, which never comes.
func TestInterruptAndShutdownDuringTheStart(t *testing.T) {
	never := make(chan struct{})
	k := startKernel(t, func(o *Options) {
		o.NewEvaluator = func(Streams, *Notebook) (Evaluator, error) { <-never; return nil, errors.New("too late") }
	})
	defer close(never)
	for range 20 {
		id := k.send("shell", "execute_request", map[string]any{"code": "1"})
		for m := k.next(); m.Header.Type != "execute_input"; m = k.next() {
		}
		k.ask("control", "interrupt_request", nil)
		if m := k.collect(id)[id]; m.Content["ename"] != "interrupted" {
			t.Fatalf("%v", m.Content)
		}
		k.drain()
	}
	cell := k.send("shell", "execute_request", map[string]any{"code": "1"})
	k.send("shell", "complete_request", map[string]any{"code": "1"})
	for m := k.next(); m.Parent.ID != cell; m = k.next() {
	}
	k.ask("control", "shutdown_request", map[string]any{"restart": true})
	if m := k.collect(cell)[cell]; m.Content["status"] != "error" {
		t.Errorf("%v", m.Content)
	}
	for range k.iopub { // until the kernel has closed it
	}
}

// TestRestartWhileACellIsStuck shuts a kernel down that runs a cell which nothing stops, and others wait.
func TestRestartWhileACellIsStuck(t *testing.T) {
	stuck := make(chan struct{})
	var ran, closed atomic.Int64
	options := func(o *Options) {
		o.Patience = 50 * time.Millisecond
		o.NewEvaluator = func(s Streams, n *Notebook) (Evaluator, error) {
			return &closing{&scripted{s, n, cellFuncs{
				"stuck": func(context.Context, *scripted) (Result, error) { <-stuck; return value(1) },
				"quick": func(context.Context, *scripted) (Result, error) { ran.Add(1); return value(1) },
			}, map[string]any{}}, &closed}, nil
		}
	}
	defer close(stuck)
	for round := range 5 {
		k := startKernel(t, options)
		cells := []string{k.send("shell", "execute_request", map[string]any{"code": "stuck"})}
		for range 3 {
			cells = append(cells, k.send("shell", "execute_request", map[string]any{"code": "quick", "stop_on_error": false}))
		}
		for m := k.next(); m.Header.Type != "execute_input"; m = k.next() {
		}
		if m := k.ask("control", "shutdown_request", map[string]any{"restart": true}); m.Content["restart"] != true {
			t.Errorf("%v", m.Content)
		}
		if m := k.reply("shell"); m.Parent.ID == cells[0] {
			// Interrupted before it began, or left behind.
			if m.Content["status"] != "error" {
				t.Errorf("%v", m.Content)
			}
		} else if m.Content["evalue"] != errShutdown.Error() {
			t.Errorf("%v", m.Content)
		}
		for range k.iopub { // until the kernel has closed it
		}
		k.ended()
		if ran.Load() != 0 || closed.Load() != int64(round+1) {
			t.Errorf("%d cells ran after the shutdown; evaluators were closed %d times", ran.Load(), closed.Load())
		}
	}
}

// closing is an evaluator that counts how often it was closed.
type closing struct {
	*scripted
	times *atomic.Int64
}

func (c *closing) Close() error { c.times.Add(1); return nil }

// TestCommsWhileACellRuns lets a page talk, over a subshell, to a cell that works and shows meanwhile.
func TestCommsWhileACellRuns(t *testing.T) {
	const messages = 200
	heard := make(chan int, messages)
	k := startKernel(t, withCells(cellFuncs{
		"work": func(ctx context.Context, e *scripted) (Result, error) {
			e.n.HandleComm("threshold", func(c *Comm, data json.RawMessage) {
				c.Hear(func(data json.RawMessage, _ [][]byte) {
					var n int
					if err := json.Unmarshal(data, &n); err != nil {
						n = -1
					}
					heard <- n
					c.Send(n)
				}, nil)
			})
			id := e.n.NewDisplay(HTML("ready"))
			for want := range messages {
				select {
				case n := <-heard:
					if n != want {
						return Result{}, fmt.Errorf("message %d where %d was due", n, want)
					}
				case <-ctx.Done():
					return Result{}, ctx.Err()
				}
				fmt.Fprintln(e.streams.Stdout, "line")
				e.n.UpdateDisplay(id, HTML(fmt.Sprint(want)))
			}
			return value("done")
		},
	}))
	sub := k.ask("control", "create_subshell_request", nil).Content["subshell_id"].(string)
	cell := k.send("shell", "execute_request", map[string]any{"code": "work"})
	var out []message
	for out = append(out, k.next()); out[len(out)-1].Header.Type != "display_data"; out = append(out, k.next()) {
	}
	k.send("shell", "comm_open", map[string]any{"comm_id": "c", "target_name": "threshold", "data": map[string]any{}}, "subshell_id", sub)
	for n := range messages {
		k.send("shell", "comm_msg", map[string]any{"comm_id": "c", "data": n}, "subshell_id", sub)
	}
	if m := k.collect(cell)[cell]; m.Content["status"] != "ok" {
		t.Fatalf("%v", m.Content)
	}
	sent, idle := 0, 0
	for idle < messages+2 { // of the comm's messages, of its opening, and of the cell
		m := k.next()
		out = append(out, m)
		switch {
		case m.Header.Type == "comm_msg":
			if m.Content["data"] != float64(sent) || m.Parent.ID != cell {
				t.Errorf("%v of %s where %d of %s was due", m.Content, m.Parent.ID, sent, cell)
			}
			sent++
		case m.Header.Type == "status" && m.Content["execution_state"] == "idle":
			idle++
		}
	}
	if sent != messages || text(out, "stdout") != strings.Repeat("line\n", messages) {
		t.Errorf("%d messages came back; %q", sent, text(out, "stdout"))
	}
	if list := k.ask("control", "list_subshell_request", nil).Content["subshell_id"]; !reflect.DeepEqual(list, []any{sub}) {
		t.Errorf("%v", list)
	}
}
