package session

import (
	"strings"
	"testing"
	"time"

	"banter/dsl"
)

// startCells starts a kernel that runs cells as users do.
func startCells(t *testing.T) *notebookClient {
	t.Helper()
	store := t.TempDir()
	return startKernel(t, func(o *Options) { o.NewEvaluator = Cells(dsl.Config{Store: store}, "banter/dsl") })
}

func TestCellsThatShowThings(t *testing.T) {
	k := startCells(t)
	k.ok("import (\"fmt\"; \"os\"; \"errors\"; \"strconv\"; \"time\")")
	for code, want := range map[string]string{
		"1 + 1":                            "2",
		"x := 3\nx * 2":                    "6",
		`"text"`:                           "text",
		`strconv.Atoi("12")`:               "12 <nil>",
		`strconv.Atoi("x")`:                "0 strconv.Atoi: parsing \"x\": invalid syntax",
		`errors.New("a")`:                  "a",
		"time.Second":                      "1s",
		"[]int{1, 2}":                      "[1 2]",
		"HTML(\"<b>x</b>\")":               "HTML, 8 bytes",
		"type T struct{ N int }\n[]T{{7}}": "[{7}]",
	} {
		out := k.ok(code)
		if last := out[len(out)-1]; last.Header.Type != "execute_result" || data(t, last)["text/plain"] != want {
			t.Errorf("%s: %+v, want %s", code, last, want)
		}
	}
	for code, want := range map[string]string{
		"y := 3":                        "execute_input",
		`fmt.Println("a")`:              "execute_input stream",
		`_, err := os.Stat("/"); err`:   "execute_input",
		`Display(HTML("<i>shown</i>"))`: "execute_input display_data",
		"ClearOutput(false)":            "execute_input clear_output",
	} {
		if got := types(k.ok(code)); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
	if table := data(t, k.ok(`[]struct{ A string }{{"<x>"}}`)[1])["text/html"]; table == nil || !strings.Contains(table.(string), "&lt;x&gt;") {
		t.Errorf("%v", table)
	}
}

// TestPairsAreShownAsCards shows single pairs: as a cell's value, and by Display.
func TestPairsAreShownAsCards(t *testing.T) {
	k := startCells(t)
	pair := `Pair{Stream: "soup", Speech: "what should we cook", Response: "<i>ramen</i>"}`
	for _, code := range []string{pair, "p := " + pair + "\np", "Display(p)", "func f() Pair { return p }\nf()"} {
		out := k.ok(code)
		card := data(t, out[len(out)-1])
		if html, _ := card["text/html"].(string); !strings.Contains(html, "what should we cook") || !strings.Contains(html, "&lt;i&gt;ramen") || strings.Contains(html, "<i>") {
			t.Errorf("%s: %s", code, html)
		}
		if text, _ := card["text/plain"].(string); !strings.Contains(text, "to listen: Play(streams, \"soup\"") {
			t.Errorf("%s: %s", code, text)
		}
	}
}

func TestCellsThatFail(t *testing.T) {
	k := startCells(t)
	for code, want := range map[string][2]string{
		"x := 1\nzz":                       {"compile error", "2:1: undefined: zz"},
		"panic(\"boom\")":                  {"panic", "boom"},
		"Load(\"nowhere/*.wav\")":          {"load failed", "nowhere"},
		"import \"os\"\nos.Exit(3)":        {"exit", "os.Exit(3)"},
		"func f() int { return f() }\nf()": {"panic", "recursion"},
	} {
		reply, out := k.run(code)
		if reply.Content["status"] != "error" || reply.Content["ename"] != want[0] || !strings.Contains(reply.Content["evalue"].(string), want[1]) {
			t.Errorf("%s: %v", code, reply.Content)
		}
		if last := out[len(out)-1]; last.Header.Type != "error" {
			t.Errorf("%s: %s", code, types(out))
		}
	}
	k.ok("1")
}

func TestCellsThatAreInterrupted(t *testing.T) {
	if raceDetector {
		t.Skip("interpreted loops look at a plain variable to see whether they are to stop: the detector calls that a race")
	}
	k := startCells(t)
	k.ok("import \"time\"\nn := 0\nnext := func() int { n++; return n }\nnext()")
	for _, code := range []string{"for { }", "for { n = n }", "time.Sleep(time.Hour)", "<-make(chan int)", "select {}"} {
		id := k.send("shell", "execute_request", map[string]any{"code": code})
		for m := k.next(); m.Header.Type != "execute_input" || m.Parent.ID != id; m = k.next() {
		}
		time.Sleep(100 * time.Millisecond) // until it runs
		k.ask("control", "interrupt_request", nil)
		if m := k.reply("shell"); m.Parent.ID != id || m.Content["ename"] != "interrupted" {
			t.Errorf("%s: %v", code, m.Content)
		}
		k.outputs2(id)
	}
	// Variables and closures are as they were.
	if out := k.ok("next()"); data(t, out[1])["text/plain"] != "2" {
		t.Errorf("%+v", out[1].Content)
	}
}

func TestCompletionAndInspectionInCells(t *testing.T) {
	k := startCells(t)
	k.ok("import \"strings\"\nthreshold := 0.5\ntype pair struct { Speech, Response string }\np := pair{}")
	for code, want := range map[string]string{
		"strings.ToLowerS": "ToLowerSpecial",
		"p.Resp":           "Response",
		"thresh":           "threshold",
	} {
		r := k.ask("shell", "complete_request", map[string]any{"code": code, "cursor_pos": len(code)}).Content
		matches, _ := r["matches"].([]any)
		if len(matches) != 1 || matches[0] != want {
			t.Errorf("%s: %v", code, r)
		}
	}
	r := k.ask("shell", "inspect_request", map[string]any{"code": "threshold", "cursor_pos": 3}).Content
	if text, _ := r["data"].(map[string]any)["text/plain"].(string); r["found"] != true || !strings.Contains(text, "float64") || !strings.Contains(text, "0.5") {
		t.Errorf("%v", r)
	}
}
