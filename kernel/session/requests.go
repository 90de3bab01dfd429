package session

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"banter/kernel/wire"
)

// guard turns a panic of the kernel's own code into an answer.
func (s *Session) guard(m *wire.Message) {
	if p := recover(); p != nil {
		s.note(fmt.Sprintf("panic while answering %s: %v\n%s", m.Header.Type, p, debug.Stack()))
		s.refuse(m, fmt.Errorf("panic in the kernel: %v", p))
	}
}

// refuse answers a request with an error.
func (s *Session) refuse(m *wire.Message, err error) {
	if kind, ok := strings.CutSuffix(m.Header.Type, "_request"); ok {
		s.status(m, "busy")
		s.reply(m, kind+"_reply", describe(err))
		s.status(m, "idle")
	}
}

// abort answers an execute request that is not run because the one before it ended in an error.
func (s *Session) abort(m *wire.Message) {
	s.status(m, "busy")
	count := s.count.Load()
	s.reply(m, "execute_reply", errorReply{Status: "aborted", Count: &count, Name: "aborted",
		Value: "a cell before it ended in an error"}.filled())
	s.status(m, "idle")
}

// answer handles one request of a shell. It returns the requests that are to be aborted.
func (s *Session) answer(ctx context.Context, sh *shell, q *request) (abort []*wire.Message) {
	m := q.Message
	defer s.stopAfter(m)
	defer s.guard(m)
	s.status(m, "busy")
	defer s.status(m, "idle")
	switch m.Header.Type {
	case "execute_request":
		return s.execute(ctx, sh, q)
	case "complete_request":
		s.complete(ctx, m)
	case "inspect_request":
		s.inspect(ctx, m)
	case "is_complete_request":
		s.isComplete(ctx, m)
	case "history_request":
		s.recall(m)
	case "comm_info_request":
		s.comms.info(m)
	case "comm_open":
		s.comms.opened(m)
	case "comm_msg":
		s.comms.message(m)
	case "comm_close":
		s.comms.closed(m)
	default:
		s.either(m)
	}
	return nil
}

// either handles the requests that may come on shell and on control.
func (s *Session) either(m *wire.Message) {
	switch m.Header.Type {
	case "kernel_info_request":
		s.reply(m, "kernel_info_reply", s.info())
	case "shutdown_request":
		s.shutdown(m)
	case "connect_request":
		c := s.options.Connection
		s.reply(m, "connect_reply", map[string]any{"status": "ok", "shell_port": c.ShellPort, "iopub_port": c.IOPubPort,
			"stdin_port": c.StdinPort, "hb_port": c.HeartbeatPort, "control_port": c.ControlPort})
	case "debug_request":
		s.refuseDebug(m)
	default:
		if kind, ok := strings.CutSuffix(m.Header.Type, "_request"); ok {
			s.reply(m, kind+"_reply", describe(fmt.Errorf("this kernel does not know %s", clip(m.Header.Type, 100))))
		}
		s.note(fmt.Sprintf("a message of unknown type %q", clip(m.Header.Type, 100)))
	}
}

// refuseDebug answers in the form of the Debug Adapter Protocol.
func (s *Session) refuseDebug(m *wire.Message) {
	var q struct {
		Seq     int    `json:"seq"`
		Command string `json:"command"`
	}
	if err := m.Decode(&q); err != nil {
		s.note(err.Error())
	}
	s.reply(m, "debug_reply", map[string]any{"type": "response", "request_seq": q.Seq, "seq": q.Seq, "success": false,
		"command": clip(q.Command, 100), "message": "this kernel has no debugger", "body": map[string]any{}})
}

func (s *Session) info() map[string]any {
	version := strings.TrimPrefix(runtime.Version(), "go")
	banner := fmt.Sprintf("Banter %s: recorded streams and their chat into a persona model, in Go %s.", s.options.Version, version)
	return map[string]any{
		"status":                 "ok",
		"protocol_version":       wire.ProtocolVersion,
		"implementation":         "banter",
		"implementation_version": s.options.Version,
		"banner":                 banner,
		"debugger":               false,
		"supported_features":     []string{"kernel subshells"},
		"help_links": []map[string]string{
			{"text": "A tour of Go", "url": "https://go.dev/tour/"},
			{"text": "Go packages", "url": "https://pkg.go.dev/std"},
		},
		"language_info": map[string]any{
			"name":            "go",
			"version":         version,
			"mimetype":        "text/x-go",
			"file_extension":  ".go",
			"pygments_lexer":  "go",
			"codemirror_mode": "go",
		},
	}
}

type cursorRequest struct {
	Code   string `json:"code"`
	Cursor *int   `json:"cursor_pos"` // in code points
}

// offset is the cursor in bytes; without one, the end.
func (q cursorRequest) offset() int {
	if q.Cursor == nil {
		return len(q.Code)
	}
	return byteOffset(q.Code, *q.Cursor)
}

const maxCompletions = 1000

func (s *Session) complete(ctx context.Context, m *wire.Message) {
	var q cursorRequest
	ev, err := s.eval(ctx)
	if err == nil {
		err = m.Decode(&q)
	}
	if err != nil {
		s.reply(m, "complete_reply", describe(err))
		return
	}
	at := q.offset()
	c := ev.Complete(q.Code, at)
	if c.Start < 0 || c.Start > c.End || c.End > len(q.Code) {
		c = Completion{Start: at, End: at}
	}
	start, end := codePoints(q.Code, c.Start), codePoints(q.Code, c.End)
	matches, types := []string{}, []map[string]any{}
	for _, item := range c.Items[:min(len(c.Items), maxCompletions)] {
		matches = append(matches, item.Text)
		types = append(types, map[string]any{"start": start, "end": end, "text": item.Text, "type": item.Kind, "signature": item.Signature})
	}
	s.reply(m, "complete_reply", map[string]any{"status": "ok", "matches": matches, "cursor_start": start, "cursor_end": end,
		"metadata": map[string]any{"_jupyter_types_experimental": types}})
}

func (s *Session) inspect(ctx context.Context, m *wire.Message) {
	var q cursorRequest
	ev, err := s.eval(ctx)
	if err == nil {
		err = m.Decode(&q)
	}
	if err != nil {
		s.reply(m, "inspect_reply", describe(err))
		return
	}
	data := map[string]any{}
	about, found := ev.Inspect(q.Code, q.offset())
	if found {
		data["text/plain"] = clip(about.Text, 256<<10)
		if about.HTML != "" {
			data["text/html"] = about.HTML
		}
	}
	s.reply(m, "inspect_reply", map[string]any{"status": "ok", "found": found, "data": data, "metadata": map[string]any{}})
}

func (s *Session) isComplete(ctx context.Context, m *wire.Message) {
	var q struct {
		Code string `json:"code"`
	}
	ev, err := s.eval(ctx)
	if err == nil {
		err = m.Decode(&q)
	}
	if err != nil {
		s.reply(m, "is_complete_reply", map[string]string{"status": "unknown"})
		return
	}
	st := ev.Status(q.Code)
	reply := map[string]string{"status": st.State}
	if st.State == "incomplete" {
		reply["indent"] = st.Indent
	}
	s.reply(m, "is_complete_reply", reply)
}

func (s *Session) recall(m *wire.Message) {
	var q historyRequest
	err := m.Decode(&q)
	var found []historyEntry
	if err == nil {
		found, err = s.history.find(q)
	}
	if err != nil {
		s.reply(m, "history_reply", describe(err))
		return
	}
	rows := make([][3]any, 0, len(found))
	for _, e := range found {
		row := [3]any{e.Session, e.Line, e.Code}
		if q.Output {
			var out any
			if e.Output != "" {
				out = e.Output
			}
			row[2] = [2]any{e.Code, out}
		}
		rows = append(rows, row)
	}
	s.reply(m, "history_reply", map[string]any{"status": "ok", "history": rows})
}

// byteOffset is where the n-th code point of s begins.
func byteOffset(s string, n int) int {
	if n <= 0 {
		return 0
	}
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

// codePoints is how many code points begin before a byte offset.
func codePoints(s string, offset int) int {
	n := 0
	for i := range s {
		if i >= offset {
			break
		}
		n++
	}
	return n
}
