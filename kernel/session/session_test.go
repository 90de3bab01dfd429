package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"banter/dsl/event"
	"banter/internal/progress"
)

// scripted is an evaluator whose cells are Go functions of the test.
type scripted struct {
	streams Streams
	n       *Notebook
	cells   map[string]func(context.Context, *scripted) (Result, error)
	defined map[string]any
}

func (e *scripted) Run(ctx context.Context, name, src string) (Result, error) {
	f := e.cells[src]
	if f == nil {
		return Result{}, fmt.Errorf("no cell %q", src)
	}
	return f(ctx, e)
}
func (e *scripted) Define(name string, value any) error { e.defined[name] = value; return nil }
func (e *scripted) Complete(src string, cursor int) Completion {
	return Completion{Start: cursor, End: cursor}
}
func (e *scripted) Inspect(string, int) (Inspection, bool) { return Inspection{}, false }
func (e *scripted) Status(string) Status                   { return Status{State: "unknown"} }

type cellFuncs map[string]func(context.Context, *scripted) (Result, error)

func withCells(c cellFuncs) func(*Options) {
	return func(o *Options) {
		o.NewEvaluator = func(s Streams, n *Notebook) (Evaluator, error) {
			return &scripted{s, n, c, map[string]any{}}, nil
		}
	}
}

func value(v any) (Result, error) { return Result{Value: reflect.ValueOf(v), HasValue: true}, nil }

func TestKernelInfo(t *testing.T) {
	k := startKernel(t, nil)
	for _, socket := range []string{"shell", "control"} {
		info := k.ask(socket, "kernel_info_request", nil).Content
		if info["protocol_version"] != "5.5" || info["status"] != "ok" ||
			!reflect.DeepEqual(info["supported_features"], []any{"kernel subshells"}) {
			t.Errorf("%v", info)
		}
		if lang := info["language_info"].(map[string]any); lang["name"] != "go" || lang["file_extension"] != ".go" {
			t.Errorf("%v", lang)
		}
	}
	if r := k.ask("control", "debug_request", map[string]any{"command": "initialize", "seq": 3, "type": "request"}); r.Content["success"] != false || r.Content["request_seq"] != 3.0 {
		t.Errorf("%v", r.Content)
	}
	if r := k.ask("shell", "strange_request", nil); r.Content["status"] != "error" {
		t.Errorf("%v", r.Content)
	}
	if r := k.ask("shell", "connect_request", nil); r.Content["shell_port"] != 1.0 {
		t.Errorf("%v", r.Content)
	}
}

func TestExecute(t *testing.T) {
	k := startKernel(t, nil)
	reply, out := k.run("1+1")
	if reply.Content["status"] != "ok" || reply.Content["execution_count"] != 1.0 {
		t.Errorf("%v", reply.Content)
	}
	if types(out) != "execute_input execute_result" || data(t, out[1])["text/plain"] != "2" || out[1].Content["execution_count"] != 1.0 {
		t.Errorf("%+v", out)
	}
	if out := k.ok(`fmt.Println("a"); fmt.Println("c")`); types(out) != "execute_input stream" || text(out, "stdout") != "a\nc\n" {
		t.Errorf("%+v", out)
	}
	// Silent: no input, no result, no number, no history.
	if out := k.ok("5", "silent", true, "store_history", true); types(out) != "" {
		t.Errorf("%s", types(out))
	}
	if out := k.ok("6", "store_history", false); data(t, out[1])["text/plain"] != "6" {
		t.Errorf("%+v", out)
	}
	if reply, _ := k.run(" \n"); reply.Content["execution_count"] != 2.0 {
		t.Errorf("a blank cell was numbered: %v", reply.Content)
	}
	reply, out = k.run("undefinedName")
	if reply.Content["status"] != "error" || reply.Content["execution_count"] != 3.0 || types(out) != "execute_input error" {
		t.Errorf("%v, %s", reply.Content, types(out))
	}
	for _, key := range []string{"ename", "evalue", "traceback"} {
		if reply.Content[key] == nil || !reflect.DeepEqual(reply.Content[key], out[1].Content[key]) {
			t.Errorf("%s: %v in the reply, %v in the error", key, reply.Content[key], out[1].Content[key])
		}
	}
	reply, _ = k.run("x := 7", "user_expressions", map[string]any{"good": "x*2", "bad": "nope"})
	expr := reply.Content["user_expressions"].(map[string]any)
	if good := expr["good"].(map[string]any); good["status"] != "ok" || good["data"].(map[string]any)["text/plain"] != "14" {
		t.Errorf("%v", good)
	}
	if bad := expr["bad"].(map[string]any); bad["status"] != "error" {
		t.Errorf("%v", bad)
	}
}

func TestStopOnError(t *testing.T) {
	gate := make(chan struct{})
	var notebook *Notebook
	k := startKernel(t, withCells(cellFuncs{
		"fail": func(_ context.Context, e *scripted) (Result, error) {
			notebook = e.n
			gate <- struct{}{}
			<-gate
			return Result{}, errors.New("no")
		},
		"next": func(context.Context, *scripted) (Result, error) { return value(1) },
	}))
	for _, stop := range []bool{true, false} {
		for _, code := range []string{"fail", "next", "next"} {
			k.send("shell", "execute_request", map[string]any{"code": code, "stop_on_error": stop})
		}
		k.send("shell", "history_request", map[string]any{"hist_access_type": "tail", "n": 1})
		k.ask("control", "kernel_info_request", nil)
		<-gate
		waiting := func() int {
			sh := notebook.session.shells.main
			sh.mu.Lock()
			defer sh.mu.Unlock()
			return len(sh.waiting)
		}
		for deadline := time.Now().Add(20 * time.Second); waiting() < 3; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the requests do not arrive")
			}
		}
		gate <- struct{}{}
		var got []string
		for range 4 {
			m := k.reply("shell")
			got = append(got, m.Header.Type+" "+m.Content["status"].(string))
		}
		want := "execute_reply error, execute_reply ok, execute_reply ok, history_reply ok"
		if stop {
			want = "execute_reply error, execute_reply aborted, execute_reply aborted, history_reply ok"
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("stop_on_error %v: %v", stop, got)
		}
	}
}

func TestInterrupt(t *testing.T) {
	begun, stuck := make(chan struct{}), make(chan struct{})
	var kept atomic.Int64
	k := startKernel(t, withCells(cellFuncs{
		"loop": func(ctx context.Context, _ *scripted) (Result, error) {
			<-ctx.Done()
			kept.Add(1)
			return Result{}, ctx.Err()
		},
		"stuck": func(context.Context, *scripted) (Result, error) {
			close(begun)
			<-stuck
			return value(1)
		},
		"value": func(context.Context, *scripted) (Result, error) { return value(kept.Load()) },
	}))
	// Many times, since an interrupt that comes as soon as the cell is announced must not be too early for it.
	for _, code := range append(slices.Repeat([]string{"loop"}, 100), "stuck") {
		id := k.send("shell", "execute_request", map[string]any{"code": code})
		for m := k.next(); m.Header.Type != "execute_input"; m = k.next() {
		}
		if code == "stuck" {
			<-begun
		}
		began := time.Now()
		if r := k.ask("control", "interrupt_request", nil); r.Content["status"] != "ok" {
			t.Errorf("%v", r.Content)
		}
		m := k.reply("shell")
		if m.Parent.ID != id || m.Content["status"] != "error" || m.Content["ename"] != "interrupted" {
			t.Errorf("%s: %v", code, m.Content)
		}
		if code == "stuck" {
			t.Logf("answered after %v", time.Since(began))
		}
		k.outputs2(id)
	}
	// The stuck cell still holds the evaluator: the next waits, and can be interrupted too.
	id := k.send("shell", "execute_request", map[string]any{"code": "value"})
	for m := k.next(); m.Header.Type != "execute_input"; m = k.next() {
	}
	k.ask("control", "interrupt_request", nil)
	if m := k.reply("shell"); m.Parent.ID != id || m.Content["ename"] != "interrupted" || m.Content["status"] != "error" {
		t.Errorf("%v", m.Content)
	}
	close(stuck)
	k.drain()
	// An interrupt that came before the cell had its turn kept it from running at all.
	if out := k.ok("value"); kept.Load() == 0 || data(t, out[1])["text/plain"] != fmt.Sprint(kept.Load()) {
		t.Errorf("%+v", out)
	}
}

// outputs2 waits for the idle of a request whose busy has been seen.
func (k *notebookClient) outputs2(id string) {
	for m := k.next(); m.Parent.ID != id || m.Content["execution_state"] != "idle"; m = k.next() {
	}
}

// drain waits for the idle of a new request, and so for all that was published before.
func (k *notebookClient) drain() {
	k.t.Helper()
	m := k.ask("control", "kernel_info_request", nil)
	k.outputs2(m.Parent.ID)
}

func TestPanicInTheEvaluatorIsAnError(t *testing.T) {
	k := startKernel(t, withCells(cellFuncs{
		"panic": func(context.Context, *scripted) (Result, error) { panic("boom") },
		"shown": func(context.Context, *scripted) (Result, error) { return value(panicky{}) },
		"fine":  func(context.Context, *scripted) (Result, error) { return value(1) },
	}))
	if reply, _ := k.run("panic"); reply.Content["status"] != "error" || !strings.Contains(reply.Content["evalue"].(string), "boom") {
		t.Errorf("%v", reply.Content)
	}
	if out := k.ok("shown"); !strings.Contains(data(t, out[1])["text/plain"].(string), "panic while it was being shown: shy") {
		t.Errorf("%+v", out)
	}
	k.ok("fine")
}

type panicky struct{}

func (panicky) MimeBundle() map[string]any { panic("shy") }

func TestDisplays(t *testing.T) {
	k := startKernel(t, withCells(cellFuncs{
		"display": func(_ context.Context, e *scripted) (Result, error) {
			fmt.Fprint(e.streams.Stdout, "before ")
			id := e.n.NewDisplay(HTML("<b>1</b>"))
			fmt.Fprint(e.streams.Stdout, "after")
			e.n.UpdateDisplay(id, HTML("<b>2</b>"))
			e.n.UpdateDisplay(id, HTML("<b>3</b>"))
			return Result{}, nil
		},
		"clear": func(_ context.Context, e *scripted) (Result, error) {
			for i := range 10_000 {
				e.n.ClearOutput(true)
				fmt.Fprintln(e.streams.Stdout, i)
			}
			return Result{}, nil
		},
		"bundle": func(context.Context, *scripted) (Result, error) {
			return value(map[string]any{"image/png": []byte("\x89PNG"), "application/json": []int{1, 2}, "text/plain": "p"})
		},
		"table": func(context.Context, *scripted) (Result, error) {
			return value([]struct{ Text string }{{"<script>alert(1)</script>\u202e]</svg>\""}})
		},
		"flood": func(_ context.Context, e *scripted) (Result, error) {
			for i := range 5000 {
				e.n.Display(i)
			}
			return Result{}, nil
		},
	}))
	out := k.ok("display")
	if types(out) != "execute_input stream display_data stream update_display_data" {
		t.Fatalf("%s", types(out))
	}
	id := out[2].Content["transient"].(map[string]any)["display_id"]
	if id == "" || out[4].Content["transient"].(map[string]any)["display_id"] != id || data(t, out[4])["text/html"] != "<b>3</b>" {
		t.Errorf("%+v", out)
	}
	out = k.ok("clear")
	if n := len(out); n > 200 || text(out[n-1:], "stdout") != "9999\n" || out[n-2].Header.Type != "clear_output" {
		t.Errorf("%d outputs, %s", n, types(out[max(0, n-5):]))
	}
	d := data(t, k.ok("bundle")[1])
	if d["image/png"] != "iVBORw==" || d["text/plain"] != "p" || !reflect.DeepEqual(d["application/json"], []any{1.0, 2.0}) {
		t.Errorf("%v", d)
	}
	table := data(t, k.ok("table")[1])["text/html"].(string)
	if strings.Contains(table, "<script") || strings.Contains(table, "</svg>") || strings.ContainsRune(table, '\u202e') || !strings.Contains(table, "&lt;script&gt;") {
		t.Errorf("%s", table)
	}
	out = k.ok("flood")
	if n := strings.Count(types(out), "display_data"); n != maxDisplays || !strings.Contains(text(out, "stderr"), "dropped") {
		t.Errorf("%d displays, %q", n, text(out, "stderr"))
	}
}

func TestPrintLoopIsBounded(t *testing.T) {
	k := startKernel(t, withCells(cellFuncs{
		"loop": func(_ context.Context, e *scripted) (Result, error) {
			for i := range 1_000_000 {
				w := e.streams.Stdout
				if i%2 == 1 {
					w = e.streams.Stderr
				}
				fmt.Fprintf(w, "line %d é\n", i)
			}
			return Result{}, nil
		},
		"next": func(_ context.Context, e *scripted) (Result, error) {
			fmt.Fprint(e.streams.Stdout, "hello")
			return Result{}, nil
		},
	}))
	out := k.ok("loop")
	size := len(text(out, "stdout")) + len(text(out, "stderr"))
	if size > headBytes+2*tailBytes+1000 || len(out) > 2000 {
		t.Errorf("%d bytes in %d messages", size, len(out))
	}
	if !strings.HasPrefix(text(out, "stdout"), "line 0 é\nline 2 é\n") || !strings.HasSuffix(text(out, "stdout"), "line 999998 é\n") ||
		!strings.HasSuffix(text(out, "stderr"), "line 999999 é\n") || !strings.Contains(text(out, "stderr"), "not shown") {
		t.Error("the beginning, the end or the notice is missing")
	}
	if strings.ContainsRune(text(out, "stdout"), '\uFFFD') {
		t.Error("a character was cut")
	}
	if out := k.ok("next"); text(out, "stdout") != "hello" {
		t.Errorf("%+v", out)
	}
}

func TestCompleteInspectAndIsComplete(t *testing.T) {
	k := startKernel(t, nil)
	// Cursors count code points: four stand before fmt, and the last of them takes four bytes.
	code := "é𝔊 fmt.Printl + 1"
	r := k.ask("shell", "complete_request", map[string]any{"code": code, "cursor_pos": 13}).Content
	if !reflect.DeepEqual(r["matches"], []any{"Println"}) || r["cursor_start"] != 7.0 || r["cursor_end"] != 13.0 {
		t.Errorf("%v", r)
	}
	for _, cursor := range []int{-5, 0, 1_000_000} {
		if r := k.ask("shell", "complete_request", map[string]any{"code": code, "cursor_pos": cursor}).Content; r["status"] != "ok" {
			t.Errorf("cursor %d: %v", cursor, r)
		}
	}
	if r := k.ask("shell", "inspect_request", map[string]any{"code": "fmt.Println", "cursor_pos": 5, "detail_level": 0}).Content; r["found"] != true ||
		!strings.HasPrefix(r["data"].(map[string]any)["text/plain"].(string), "func Println") {
		t.Errorf("%v", r)
	}
	if r := k.ask("shell", "inspect_request", map[string]any{"code": "zz", "cursor_pos": 1}).Content; r["found"] != false || r["status"] != "ok" {
		t.Errorf("%v", r)
	}
	if r := k.ask("shell", "is_complete_request", map[string]any{"code": "for {"}).Content; r["status"] != "incomplete" || r["indent"] == nil {
		t.Errorf("%v", r)
	}
}

func TestHistory(t *testing.T) {
	var file string
	k := startKernel(t, func(o *Options) { file = o.HistoryFile })
	for _, code := range []string{"1+1", "2+2", "2+2", "x := 3"} {
		k.ok(code)
	}
	find := func(k *notebookClient, q map[string]any) [][]any {
		t.Helper()
		var rows [][]any
		r := k.ask("shell", "history_request", q)
		for _, row := range r.Content["history"].([]any) {
			rows = append(rows, row.([]any))
		}
		return rows
	}
	if rows := find(k, map[string]any{"hist_access_type": "tail", "n": 2, "output": true}); len(rows) != 2 ||
		!reflect.DeepEqual(rows[0], []any{1.0, 3.0, []any{"2+2", "4"}}) || !reflect.DeepEqual(rows[1], []any{1.0, 4.0, []any{"x := 3", nil}}) {
		t.Errorf("%v", rows)
	}
	if rows := find(k, map[string]any{"hist_access_type": "range", "session": 0, "start": 2, "stop": 4}); len(rows) != 2 || rows[0][2] != "2+2" {
		t.Errorf("%v", rows)
	}
	if rows := find(k, map[string]any{"hist_access_type": "search", "pattern": "?+*", "unique": true}); len(rows) != 2 || rows[0][2] != "1+1" || rows[1][2] != "2+2" {
		t.Errorf("%v", rows)
	}
	// Another kernel sees what this one ran, and numbers itself.
	other := startKernel(t, func(o *Options) { o.HistoryFile = file })
	other.ok("9")
	if rows := find(other, map[string]any{"hist_access_type": "range", "session": -1, "start": 1, "stop": 2}); len(rows) != 1 || rows[0][2] != "1+1" {
		t.Errorf("%v", rows)
	}
	if rows := find(other, map[string]any{"hist_access_type": "tail", "n": 1}); rows[0][0] != 2.0 {
		t.Errorf("%v", rows)
	}
	if r := k.ask("shell", "history_request", map[string]any{"hist_access_type": "psychic"}); r.Content["status"] != "error" {
		t.Errorf("%v", r.Content)
	}
}

func TestGlob(t *testing.T) {
	for _, row := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"", "", true}, {"a", "a", true}, {"a", "b", false}, {"a*", "abc", true}, {"*c", "abc", true},
		{"*b*", "abc", true}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"[a]", "a", false}, {"*é?", "caféx", true}, {"a*b*c", "a1b2b3c", true},
		{strings.Repeat("*a", 50) + "b", strings.Repeat("a", 2000), false},
	} {
		if got := glob(row.pattern, row.s); got != row.want {
			t.Errorf("%.20q on %.20q: %v", row.pattern, row.s, got)
		}
	}
}

func TestInput(t *testing.T) {
	k := startKernel(t, withCells(cellFuncs{
		"ask": func(_ context.Context, e *scripted) (Result, error) {
			fmt.Fprint(e.streams.Stdout, "who? ")
			name, err := e.n.Input("name: ")
			if err != nil {
				return Result{}, err
			}
			return value(name)
		},
		"scan": func(_ context.Context, e *scripted) (Result, error) {
			var a, b string
			if _, err := fmt.Fscanln(e.streams.Stdin, &a, &b); err != nil {
				return Result{}, err
			}
			return value(b + a)
		},
		"read all": func(_ context.Context, e *scripted) (Result, error) {
			b, err := io.ReadAll(e.streams.Stdin)
			if err != nil {
				return Result{}, err
			}
			return value(string(b))
		},
	}))
	id := k.send("shell", "execute_request", map[string]any{"code": "ask", "allow_stdin": true})
	q := k.reply("stdin")
	if q.Header.Type != "input_request" || q.Content["prompt"] != "name: " || q.Content["password"] != false || q.Parent.ID != id {
		t.Fatalf("%+v", q)
	}
	k.send("stdin", "input_reply", map[string]any{"value": "Ada"})
	if m := k.reply("shell"); m.Content["status"] != "ok" {
		t.Errorf("%v", m.Content)
	}
	if out := k.outputs(id); types(out) != "execute_input stream execute_result" || data(t, out[2])["text/plain"] != "Ada" {
		t.Errorf("%+v", out)
	}
	id = k.send("shell", "execute_request", map[string]any{"code": "scan", "allow_stdin": true})
	k.reply("stdin")
	k.send("stdin", "input_reply", map[string]any{"value": "one two"})
	k.reply("shell")
	if out := k.outputs(id); data(t, out[1])["text/plain"] != "twoone" {
		t.Errorf("%+v", out)
	}
	if reply, _ := k.run("ask", "allow_stdin", false); reply.Content["status"] != "error" || !strings.Contains(reply.Content["evalue"].(string), "cannot ask") {
		t.Errorf("%v", reply.Content)
	}
	// A question can be interrupted.
	k.send("shell", "execute_request", map[string]any{"code": "ask", "allow_stdin": true})
	k.reply("stdin")
	k.ask("control", "interrupt_request", nil)
	if m := k.reply("shell"); m.Content["ename"] != "interrupted" {
		t.Errorf("%v", m.Content)
	}
}

func TestComms(t *testing.T) {
	heard := make(chan string, 10)
	k := startKernel(t, withCells(cellFuncs{
		"handle": func(_ context.Context, e *scripted) (Result, error) {
			e.n.HandleComm("threshold", func(c *Comm, data json.RawMessage) {
				heard <- "open " + string(data)
				c.Hear(func(data json.RawMessage, buffers [][]byte) {
					heard <- fmt.Sprintf("message %s %d", data, len(buffers))
					c.Send(map[string]int{"n": 1}, []byte("buffer"))
				}, func() { heard <- "end" })
			})
			return Result{}, nil
		},
		"open": func(_ context.Context, e *scripted) (Result, error) {
			c, err := e.n.OpenComm("view", map[string]int{"at": 3})
			if err != nil {
				return Result{}, err
			}
			c.Close()
			if c.Send(nil) == nil {
				return Result{}, errors.New("sent over a closed comm")
			}
			return Result{}, nil
		},
	}))
	k.ok("handle")
	id := k.send("shell", "comm_open", map[string]any{"comm_id": "c1", "target_name": "threshold", "data": map[string]any{"x": 1}})
	k.outputs(id)
	if got := <-heard; got != `open {"x":1}` {
		t.Error(got)
	}
	info := k.ask("shell", "comm_info_request", map[string]any{"target_name": "threshold"}).Content
	if !reflect.DeepEqual(info["comms"], map[string]any{"c1": map[string]any{"target_name": "threshold"}}) {
		t.Errorf("%v", info)
	}
	id = k.send("shell", "comm_msg", map[string]any{"comm_id": "c1", "data": 0.9})
	var msg message
	for msg = k.next(); msg.Header.Type != "comm_msg"; msg = k.next() {
	}
	if got := <-heard; got != "message 0.9 0" || string(msg.Buffers[0]) != "buffer" {
		t.Errorf("%s, %+v", got, msg)
	}
	k.outputs2(id)
	k.send("shell", "comm_close", map[string]any{"comm_id": "c1", "data": map[string]any{}})
	if got := <-heard; got != "end" {
		t.Error(got)
	}
	k.drain()
	id = k.send("shell", "comm_open", map[string]any{"comm_id": "c2", "target_name": "nobody", "data": map[string]any{}})
	if out := k.outputs(id); types(out) != "comm_close" || out[0].Content["comm_id"] != "c2" {
		t.Errorf("%+v", out)
	}
	if out := k.ok("open"); types(out) != "execute_input comm_open comm_close" || out[1].Content["target_name"] != "view" {
		t.Errorf("%+v", out)
	}
}

func TestSubshells(t *testing.T) {
	gate := make(chan struct{})
	k := startKernel(t, withCells(cellFuncs{
		"wait": func(context.Context, *scripted) (Result, error) { <-gate; return value(1) },
	}))
	id := k.ask("control", "create_subshell_request", nil).Content["subshell_id"].(string)
	if list := k.ask("control", "list_subshell_request", nil).Content["subshell_id"]; !reflect.DeepEqual(list, []any{id}) {
		t.Errorf("%v", list)
	}
	main := k.send("shell", "execute_request", map[string]any{"code": "wait"})
	// While the main shell is busy, the subshell answers.
	sub := k.send("shell", "comm_info_request", map[string]any{}, "subshell_id", id)
	if m := k.reply("shell"); m.Parent.ID != sub {
		t.Fatalf("%+v", m)
	}
	gate <- struct{}{}
	if m := k.reply("shell"); m.Parent.ID != main {
		t.Fatalf("%+v", m)
	}
	if r := k.ask("control", "delete_subshell_request", map[string]any{"subshell_id": id}).Content; r["status"] != "ok" {
		t.Errorf("%v", r)
	}
	if r := k.ask("control", "delete_subshell_request", map[string]any{"subshell_id": id}).Content; r["status"] != "error" {
		t.Errorf("%v", r)
	}
	gone := k.send("shell", "kernel_info_request", map[string]any{}, "subshell_id", id)
	if m := k.reply("shell"); m.Parent.ID != gone || m.Content["status"] != "error" {
		t.Errorf("%+v", m)
	}
}

func TestShutdown(t *testing.T) {
	for _, restart := range []bool{false, true} {
		k := startKernel(t, withCells(cellFuncs{
			"loop": func(ctx context.Context, _ *scripted) (Result, error) { <-ctx.Done(); return Result{}, ctx.Err() },
		}))
		k.send("shell", "execute_request", map[string]any{"code": "loop"})
		id := k.send("control", "shutdown_request", map[string]any{"restart": restart})
		if m := k.reply("control"); m.Header.Type != "shutdown_reply" || m.Content["restart"] != restart || m.Content["status"] != "ok" {
			t.Errorf("%+v", m)
		}
		k.outputs2(id)
		for range k.iopub { // until the kernel has closed it
		}
	}
}

// TestCurves shows a step that measures as it goes on: its curves stand below its bar and end with its last point.
func TestCurves(t *testing.T) {
	k := startKernel(t, withCells(cellFuncs{
		"train": func(ctx context.Context, e *scripted) (Result, error) {
			for i := range 5 {
				e.n.Event(event.Event{State: event.Progress, Verb: "train", Done: int64(i + 1), Total: 5, Unit: "steps",
					Values: map[string]float64{"loss": 3 - float64(i)/2, "lr": 1e-3, "<b>": math.NaN(), "held_out": 2}})
				time.Sleep(redrawEvery)
			}
			e.n.Event(event.Event{State: event.Done, Verb: "train"})
			return Result{}, nil
		},
	}))
	out := k.ok("train")
	last := out[0]
	for _, m := range out {
		if m.Header.Type == "update_display_data" {
			last = m
		}
	}
	page := data(t, last)["text/html"].(string)
	if n := strings.Count(page, "data:image/svg+xml;base64,"); n != 3 {
		t.Errorf("%d pictures", n)
	}
	for _, want := range []string{`value="1.0000"`, "held out", "learning rate"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %.2000s", want, page)
		}
	}
	if strings.Contains(page, "<b>") {
		t.Error("a name is taken for HTML")
	}
}

func TestCurvesStayShort(t *testing.T) {
	var c curves
	for i := range 10000 {
		c.add(int64(i), map[string]float64{"loss": float64(i)})
	}
	k := c.by["loss"]
	if len(k.x) >= maxPoints || len(k.x) < maxPoints/4 || k.x[0] != 0 || k.x[len(k.x)-1] < 9900 {
		t.Errorf("%d points from %v to %v", len(k.x), k.x[0], k.x[len(k.x)-1])
	}
	for i, x := range k.x {
		if k.y[i] != x {
			t.Fatalf("point %d is %v, %v", i, x, k.y[i])
		}
	}
}

func TestSteps(t *testing.T) {
	k := startKernel(t, withCells(cellFuncs{
		"work": func(ctx context.Context, e *scripted) (Result, error) {
			e.n.Event(event.Event{State: event.Hit, Verb: "load", Label: "s1"})
			for i := range 5 {
				e.n.Event(event.Event{State: event.Progress, Verb: "transcribe", Label: "<s1>", Done: int64(i), Total: 5, Unit: "s"})
				time.Sleep(redrawEvery)
			}
			e.n.Event(event.Event{State: event.Note, Verb: "align", Label: "s1", Text: "lag 4.2 s"})
			e.n.Event(event.Event{State: event.Done, Verb: "transcribe", Label: "<s1>"})
			return Result{}, nil
		},
		"tell": func(ctx context.Context, e *scripted) (Result, error) {
			progress.Tell(ctx, progress.Report{Done: 1, Total: 2, Unit: "bytes"})
			time.Sleep(3 * redrawEvery)
			return Result{}, nil
		},
	}))
	out := k.ok("work")
	shown := types(out)
	if strings.Count(shown, " display_data") != 1 || strings.Count(shown, "update_display_data") < 2 {
		t.Fatalf("%s", shown)
	}
	if text(out, "stdout") != "align s1: lag 4.2 s\n" {
		t.Errorf("%q", text(out, "stdout"))
	}
	last := out[0]
	for _, m := range out {
		if m.Header.Type == "update_display_data" {
			last = m
		}
	}
	html := data(t, last)["text/html"].(string)
	if !strings.Contains(html, `value="1.0000"`) || strings.Contains(html, "<s1>") || !strings.Contains(html, "transcribe &lt;s1&gt;") {
		t.Errorf("%s", html)
	}
	if !strings.Contains(data(t, last)["text/plain"].(string), "##############################") {
		t.Errorf("%v", data(t, last)["text/plain"])
	}
	if out := k.ok("tell"); strings.Count(types(out), " display_data") != 1 {
		t.Errorf("%s", types(out))
	}
}
