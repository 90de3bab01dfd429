package cell

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banter/dsl"
	"banter/stdlib/align"
	"banter/stdlib/chat"
)

// predicates writes random tests of a pair: of all fields, with the operators and functions that are compiled.
type predicates struct{ *rand.Rand }

func (g predicates) of(list ...string) string { return list[g.IntN(len(list))] }

// Operands on the left are never constant, so that no constant overflows.
func (g predicates) float(depth int) string {
	if depth > 0 && g.IntN(3) == 0 {
		switch g.IntN(5) {
		case 0:
			return "float64(" + g.int(depth-1) + ")"
		case 1:
			return "math." + g.of("Abs", "Sqrt", "Floor", "Ceil", "Log") + "(" + g.float(depth-1) + ")"
		case 2:
			return "(" + g.duration(depth-1) + ")." + g.of("Seconds", "Minutes", "Hours") + "()"
		case 3:
			return "-" + g.float(0)
		}
		return "(" + g.float(depth-1) + g.of(" + ", " - ", " * ", " / ") + g.floatOr(depth-1) + ")"
	}
	return g.of("p.Confidence", "p.FDR", "p.SpeechProb", "p.Confidence", "tf", "nan", "inf")
}

func (g predicates) floatOr(depth int) string {
	if g.IntN(2) == 0 {
		return g.of("0.5", "0.25", "1", "1e300", "0.1")
	}
	return g.float(depth)
}

func (g predicates) int(depth int) string {
	if depth > 0 && g.IntN(3) == 0 {
		switch g.IntN(6) {
		case 0:
			return "len(" + g.text(depth-1) + ")"
		case 1:
			return "(" + g.int(depth-1) + g.of(" / ", " % ") + g.of("3", "7", "-2", "(-1)") + ")"
		case 2:
			return "int(" + g.duration(depth-1) + ")"
		case 3:
			return g.of("strings.Count(", "strings.Index(") + g.text(depth-1) + ", " + g.textOr(0) + ")"
		case 4:
			return "utf8.RuneCountInString(" + g.text(depth-1) + ")"
		}
		return "(" + g.int(depth-1) + g.of(" + ", " - ", " * ", " & ", " | ", " ^ ") + g.intOr(depth-1) + ")"
	}
	return g.of("p.FirstWord", "p.LastWord", "p.Emotes", "p.Bits", "ti", "len(p.Response)", "len(p.Speech)", "int(small)", "int(int8(p.Bits))", "int(uint8(p.Emotes))")
}

func (g predicates) intOr(depth int) string {
	if g.IntN(2) == 0 {
		return g.of("0", "1", "3", "-5", "9223372036854775807", "-9223372036854775808")
	}
	return g.int(depth)
}

func (g predicates) duration(depth int) string {
	if depth > 0 && g.IntN(3) == 0 {
		return "(" + g.duration(depth-1) + g.of(" + ", " - ") + g.of("Second", "2*Millisecond", "td", g.duration(depth-1)) + ")"
	}
	return g.of("p.SpeechStart", "p.SpeechEnd", "p.MessageTime", "p.Lag", "p.Delay", "td")
}

func (g predicates) text(depth int) string {
	if depth > 0 && g.IntN(3) == 0 {
		if g.IntN(2) == 0 {
			return "strings." + g.of("ToLower", "ToUpper", "TrimSpace") + "(" + g.text(depth-1) + ")"
		}
		return "(" + g.text(depth-1) + " + " + g.textOr(depth-1) + ")"
	}
	return g.of("p.Stream", "p.MessageID", "p.AuthorHash", "p.Speech", "p.Response", "p.Response", "p.ReplyTo", "ts")
}

func (g predicates) textOr(depth int) string {
	if g.IntN(2) == 0 {
		return g.of(`""`, `"chef"`, `"é"`, `" "`, `"s1"`, `"\xff"`)
	}
	return g.text(depth)
}

func (g predicates) test(depth int) string {
	if depth > 0 && g.IntN(5) < 3 {
		switch g.IntN(6) {
		case 0:
			return "!(" + g.test(depth-1) + ")"
		case 1, 2:
			return "(" + g.test(depth-1) + " && " + g.test(depth-1) + ")"
		case 3, 4:
			return "(" + g.test(depth-1) + " || " + g.test(depth-1) + ")"
		}
		return "((" + g.test(depth-1) + ")" + g.of(" == ", " != ") + "(" + g.test(depth-1) + "))"
	}
	op := g.of(" == ", " != ", " < ", " <= ", " > ", " >= ")
	switch g.IntN(10) {
	case 0:
		return g.of("p.EmoteOnly", "p.Deleted", "tb")
	case 1:
		return "strings." + g.of("Contains", "HasPrefix", "HasSuffix", "EqualFold", "ContainsAny") + "(" + g.text(depth) + ", " + g.textOr(0) + ")"
	case 2:
		return g.text(depth) + op + g.textOr(depth)
	case 3:
		return g.duration(depth) + op + g.of("2*Second", "0", "td", g.duration(depth))
	case 4:
		return "p.AuthorRoles&" + g.of("3", "8", "p.AuthorRoles") + g.of(" == ", " != ") + g.of("0", "2", "p.AuthorRoles")
	case 5, 6:
		return g.int(depth) + op + g.intOr(depth)
	case 7: // the value on the left
		return g.of("0.5", "1", "nan", "tf") + op + g.float(depth)
	}
	return g.float(depth) + op + g.floatOr(depth)
}

// values at the edges, and others.
func (g predicates) pairs(n int) []align.Pair {
	floats := []float64{0, math.Copysign(0, -1), 0.5, 0.25, 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64, math.MaxFloat64, 0.1, math.Nextafter(0.5, 1)}
	ints := []int{0, 1, -1, 3, -5, 7, 127, 128, 255, 256, math.MaxInt64, math.MinInt64, math.MaxInt32}
	texts := []string{"", "chef", "Chef wave", "é", " x ", "\xff", "s1", "s10", "漢字", "İ", strings.Repeat("long ", 20)}
	float := func() float64 {
		if g.IntN(3) == 0 {
			return g.Float64()
		}
		return floats[g.IntN(len(floats))]
	}
	whole := func() int {
		if g.IntN(3) == 0 {
			return g.IntN(20) - 5
		}
		return ints[g.IntN(len(ints))]
	}
	text := func() string { return texts[g.IntN(len(texts))] }
	span := func() time.Duration { return time.Duration(g.IntN(9)-3) * time.Second / 2 }
	list := make([]align.Pair, n)
	for i := range list {
		list[i] = align.Pair{Stream: text(), MessageID: text(), AuthorHash: text(), Speech: text(), SpeechStart: span(), SpeechEnd: time.Duration(whole()), FirstWord: whole(), LastWord: whole(),
			Response: text(), MessageTime: span(), Lag: span(), Delay: span(), Confidence: float(), FDR: float(), AuthorRoles: chat.Roles(g.IntN(256)), Emotes: whole(),
			EmoteOnly: g.IntN(2) == 0, Deleted: g.IntN(2) == 0, ReplyTo: text(), Bits: whole(), SpeechProb: float()}
	}
	return list
}

const captured = "tf, nan, inf, ti, small, ts, td, tb := 0.5, math.NaN(), math.Inf(1), 3, int8(-100), \"chef\", 2*Second, true"

// TestRandomPredicates holds the three ways in which a filter is run against each other, and against the compiler.
func TestRandomPredicates(t *testing.T) {
	count := 400
	if testing.Short() {
		count = 60
	}
	g := predicates{rand.New(rand.NewPCG(7, 11))}
	list := g.pairs(300)
	var tests []string
	for range count {
		tests = append(tests, g.test(4))
	}
	want := underTheCompiler(t, tests, list)

	e, err := New(Options{Prelude: []string{"banter/dsl"}})
	if err != nil {
		t.Fatal(err)
	}
	var got dsl.Predicate
	e.support.observe = func(p dsl.Predicate) { got = p }
	if _, err := e.Run(t.Context(), "cell 1", "import (\"math\"; \"strings\"; \"unicode/utf8\")\n"+captured); err != nil {
		t.Fatal(err)
	}
	passed := func(lit string) (dsl.Predicate, []string) {
		got = dsl.Predicate{}
		r, err := e.Run(t.Context(), "cell 2", "Filter(Pairs{}, "+lit+")")
		if got.Keep == nil {
			t.Fatalf("%s: the verb got no predicate: %v", lit, err)
		}
		return got, r.Notes
	}
	trues, falses := 0, 0
	for n, test := range tests {
		fast, notes := passed("func(p Pair) bool { return " + test + " }")
		if fast.KeepAll == nil {
			t.Errorf("it is not compiled: %v\n%s", notes, test)
			continue
		}
		slow, _ := passed("func(p Pair) bool { keep := " + test + "; return keep }")
		if slow.KeepAll != nil {
			t.Fatal("the interpreter is not asked")
		}
		all := make([]bool, len(list))
		fast.KeepAll(list, all)
		for i := range list {
			one, interpreted := fast.Keep(&list[i]), interpreting(t, slow, test, &list[i])
			real := interpreted
			if want != nil {
				real = want[n][i]
			}
			if one != all[i] || one != interpreted || one != real {
				t.Errorf("row by row %v, at once %v, interpreted %v, compiled by Go %v\n%s\n%+v", one, all[i], interpreted, real, test, list[i])
				break
			}
			if one {
				trues++
			} else {
				falses++
			}
		}
	}
	if trues < falses/10 || falses < trues/10 {
		t.Errorf("the tests say little: %d true, %d false", trues, falses)
	}
}

// interpreting tests a pair by the interpreter.
func interpreting(t *testing.T, slow dsl.Predicate, test string, p *align.Pair) bool {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("the interpreter panics: %v\n%s", r, test)
		}
	}()
	return slow.Keep(p)
}

// underTheCompiler is what each test says of each pair as an ordinary program, or nil where none is to be built.
func underTheCompiler(t *testing.T, tests []string, list []align.Pair) [][]bool {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if testing.Short() || err != nil {
		return nil
	}
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n\t\"math\"\n\t\"os\"\n\t\"strings\"\n\t\"unicode/utf8\"\n\n\t\"banter/stdlib/align\"\n\t\"banter/stdlib/chat\"\n\t\"time\"\n)\n\n" +
		"const (\n\tSecond = time.Second\n\tMillisecond = time.Millisecond\n)\n\nvar _ = utf8.RuneError\nvar _ = strings.Count\n\nvar " + strings.Replace(captured, ":=", "=", 1) + "\n\nvar list = []align.Pair{\n")
	for _, p := range list {
		f := func(x float64) string { return fmt.Sprintf("math.Float64frombits(%#x)", math.Float64bits(x)) }
		fmt.Fprintf(&b, "{%q, %q, %q, %q, %d, %d, %d, %d, %q, %d, %d, %d, %s, %s, chat.Roles(%d), %d, %v, %v, %q, %d, %s},\n", p.Stream, p.MessageID, p.AuthorHash, p.Speech, p.SpeechStart, p.SpeechEnd,
			p.FirstWord, p.LastWord, p.Response, p.MessageTime, p.Lag, p.Delay, f(p.Confidence), f(p.FDR), p.AuthorRoles, p.Emotes, p.EmoteOnly, p.Deleted, p.ReplyTo, p.Bits, f(p.SpeechProb))
	}
	b.WriteString("}\n\nvar tests = []func(p align.Pair) bool{\n")
	for _, test := range tests {
		b.WriteString("func(p align.Pair) bool { return " + test + " },\n")
	}
	b.WriteString("}\n\nfunc main() {\n\tvar out []byte\n\tfor _, test := range tests {\n\t\tfor _, p := range list {\n\t\t\tif test(p) {\n\t\t\t\tout = append(out, '1')\n\t\t\t} else {\n\t\t\t\tout = append(out, '0')\n\t\t\t}\n\t\t}\n\t}\n\tos.Stdout.Write(out)\n}\n")
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, goTool, "run", file)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || len(out) != len(tests)*len(list) {
		t.Fatalf("the compiler: %v, %d results\n%.2000s", err, len(out), stderr.String())
	}
	want := make([][]bool, len(tests))
	for n := range want {
		for _, c := range out[n*len(list):][:len(list)] {
			want[n] = append(want[n], c == '1')
		}
	}
	return want
}
