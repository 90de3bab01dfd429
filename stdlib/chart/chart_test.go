package chart

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// hostile is text that tries to leave every place it is put in.
var hostile = []string{
	`<script>alert(1)</script>`, `"]</svg><img src=x onerror=alert(1)>`, `'"><svg onload=alert(1)>`, "</script><script>alert(1)//", "\u202Egnp.exe\u2066",
	"a\x00b\x1b[31m\r\nc", `{{.}} ${x} <!-- ]]> -->`, "\u2028\u2029", strings.Repeat("Ω", 1<<20), "\xff\xfe broken", "",
}

// everyChart draws one chart of each kind, with text as every name.
func everyChart(text string) []Chart {
	r := rand.New(rand.NewPCG(1, 2))
	var values, loss, xs, ys []float64
	var labels []string
	for i := range 300 {
		values = append(values, r.Float64())
		loss = append(loss, 3*math.Exp(-float64(i)/80)+r.Float64()*0.2)
		xs, ys = append(xs, r.NormFloat64()), append(ys, r.NormFloat64())
		labels = append(labels, text)
	}
	var lag []LagPoint
	for i := range 40 {
		lag = append(lag, LagPoint{At: time.Duration(i) * 6 * time.Second, Lag: 6 * time.Second, Low: 5 * time.Second, High: 7 * time.Second})
	}
	charts := []Chart{
		Histogram(text, text, values, 0, 1, 20, 0.6),
		LagCurve(text, lag, []time.Duration{100 * time.Second}, lag[:1]),
		ClockCurve(text, []ClockSpan{{0, time.Minute, 0, time.Second, 40}, {time.Minute, time.Hour, 30 * time.Second, time.Second, 400}}, 120),
		PerMinute(text, []time.Duration{-time.Second, 0, time.Minute, 90 * time.Minute}, 2*time.Hour),
		Curves(text, text, text, Curve{Name: text, X: []float64{1, 2, 3}, Y: []float64{3, 2, 4}, Low: []float64{2, 1, 3}, High: []float64{4, 3, 5}}, Curve{Name: text, X: []float64{1, 3}, Y: []float64{1, 1}}),
		LossCurve(text, loss, Curve{Name: text, X: []float64{100, 200}, Y: []float64{2, 1}}),
		Scatter(text, text, text, xs, ys, labels),
		Waterfall(text, 1000, []Drop{{text, 100}, {text, 250}, {"bots", 0}}),
		Timeline(text, []Span{{text, 0, time.Minute, text}, {"chat", time.Second, 2 * time.Second, text}, {"x" + text, time.Minute, 3 * time.Minute, text}}),
	}
	for i := range charts {
		charts[i].Subtitle = text
		charts[i].Marks = append(charts[i].Marks, Mark{At: 0.5, Label: text}, Mark{At: 1, Label: text, Horizontal: true})
	}
	return charts
}

// TestSVG checks that pictures are well-formed, hold nothing that runs, stay small, and come out the same each time.
func TestSVG(t *testing.T) {
	for _, text := range append([]string{"plain"}, hostile...) {
		for i, c := range everyChart(text) {
			svg := SVG(c)
			if !bytes.Equal(svg, SVG(c)) {
				t.Fatalf("chart %d: two drawings differ", i)
			}
			if len(svg) > 80<<10 {
				t.Errorf("chart %d of %.20q takes %d bytes", i, text, len(svg))
			}
			d := xml.NewDecoder(bytes.NewReader(svg))
			for {
				token, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("chart %d of %.20q: %v", i, text, err)
				}
				switch token := token.(type) {
				case xml.StartElement:
					switch token.Name.Local {
					case "svg", "style", "title", "rect", "path", "text":
					default:
						t.Errorf("chart %d of %.20q holds <%s>", i, text, token.Name.Local)
					}
					for _, a := range token.Attr {
						if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
							t.Errorf("chart %d of %.20q holds %s=%q", i, text, a.Name.Local, a.Value)
						}
					}
				case xml.CharData:
					if strings.ContainsAny(string(token), "\u202A\u202B\u202D\u202E\u2066\u2067\u2068\x00\x1b") {
						t.Errorf("chart %d of %.20q shows %q", i, text, token)
					}
				}
			}
		}
	}
}

// TestPNG checks that pictures decode, have the size asked for and are not empty; light and dark differ.
func TestPNG(t *testing.T) {
	for i, c := range everyChart("plain \u202f 莉") {
		c.Width, c.Height = 500, 260
		lightly, err := PNG(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := PNG(c)
		if err != nil || !bytes.Equal(lightly, again) {
			t.Fatalf("chart %d: two drawings differ (%v)", i, err)
		}
		darkly, err := PNGDark(c)
		if err != nil || bytes.Equal(lightly, darkly) {
			t.Errorf("chart %d: dark is light (%v)", i, err)
		}
		img, err := png.Decode(bytes.NewReader(lightly))
		if err != nil {
			t.Fatal(err)
		}
		if b := img.Bounds(); b.Dx() != 500*pngScale || b.Dy() != 260*pngScale {
			t.Errorf("chart %d is %v", i, b)
		}
		colors := map[any]int{}
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				colors[img.At(x, y)]++
			}
		}
		if len(colors) < 20 {
			t.Errorf("chart %d has %d colors only", i, len(colors))
		}
	}
}

// parsed walks the elements that a browser would make of markup.
func parsed(t *testing.T, markup string, visit func(*html.Node)) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(markup))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			visit(n)
		}
	}
}

// inert checks that of markup nothing runs but scripts of which there are exactly n.
func inert(t *testing.T, what, markup string, scripts int) {
	t.Helper()
	found := 0
	parsed(t, markup, func(n *html.Node) {
		if n.Data == "script" {
			found++
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "src" && !strings.HasPrefix(a.Val, "data:image/svg+xml;base64,") || a.Key == "href" {
				t.Errorf("%s: <%s %s=%.60q>", what, n.Data, a.Key, a.Val)
			}
		}
		switch n.Data {
		case "iframe", "object", "embed", "link", "form", "base":
			t.Errorf("%s: <%s>", what, n.Data)
		}
	})
	if found != scripts {
		t.Errorf("%s: %d scripts, want %d", what, found, scripts)
	}
}

// TestHTML checks the notebook fragment: one picture, one script, and options that come back as they went in.
func TestHTML(t *testing.T) {
	for _, text := range append([]string{"plain"}, hostile...) {
		for i, c := range everyChart(text) {
			fragment := HTML(c)
			inert(t, fmt.Sprintf("chart %d of %.20q", i, text), fragment, 1)
			if len(fragment) > 200<<10 {
				t.Errorf("chart %d of %.20q takes %d bytes", i, text, len(fragment))
			}
			_, rest, ok := strings.Cut(fragment, ",option:")
			if !ok {
				t.Fatalf("chart %d of %.20q has no options", i, text)
			}
			options, _, _ := strings.Cut(rest, "})</script>")
			var back map[string]any
			if err := json.Unmarshal([]byte(options), &back); err != nil {
				t.Fatalf("chart %d of %.20q: %v", i, text, err)
			}
			if len(back["series"].([]any)) < len(c.Series) {
				t.Errorf("chart %d: %d series of %d", i, len(back["series"].([]any)), len(c.Series))
			}
			if fragment != HTML(c) {
				t.Errorf("chart %d: two fragments differ", i)
			}
		}
	}
	if Live() != (Bundle() != "") || Live() != (Source() != nil) {
		t.Error("Live, Bundle and Source disagree")
	}
}

// TestBrowser turns charts live in a real browser, where there is one and ECharts was fetched.
func TestBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium here")
	}
	if !Live() {
		t.Skip("this build has no ECharts: run go generate ./stdlib/chart")
	}
	var page strings.Builder
	page.WriteString("<!doctype html><html><head><title>start</title></head><body>")
	charts := everyChart(hostile[1])
	for i, c := range charts {
		if i == len(charts)/2 {
			page.WriteString(Bundle()) // some charts come before it, some after
		}
		page.WriteString(HTML(c))
	}
	page.WriteString("</body></html>")
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(page.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(), "--virtual-time-budget=10000", "--dump-dom", "file://"+path)
	dom, err := cmd.Output()
	if err != nil {
		t.Skipf("chromium does not run here: %v", err)
	}
	live, shown, images := 0, 0, 0
	parsed(t, string(dom), func(n *html.Node) {
		for _, a := range n.Attr {
			if a.Key == "data-live" {
				live++
			}
			if a.Key == "onerror" || a.Key == "onload" {
				t.Errorf("<%s %s>", n.Data, a.Key)
			}
		}
		if n.Data == "svg" {
			marks := 0
			for d := range n.Descendants() {
				if d.Data == "path" || d.Data == "text" {
					marks++
				}
			}
			if marks > 8 {
				shown++
			}
		}
		if n.Data == "img" {
			images++
		}
	})
	if live != len(charts) || shown != len(charts) || images != len(charts) {
		t.Errorf("%d charts live, %d drawn, %d pictures, want %d of each", live, shown, images, len(charts))
	}
}

// TestReport checks that a page of hostile text holds nothing that runs or loads, and is the same each time.
func TestReport(t *testing.T) {
	build := func(text string) string {
		r := &Report{Title: text, Subtitle: text, Facts: []Fact{{text, text}}}
		s := r.Section(text, text)
		s.Cards(Card{text, text, text, Green}, Card{Label: text})
		s.Note(text)
		s.Warning(text)
		for _, c := range everyChart(text) {
			s.Chart(c)
		}
		s.Table(Table{Caption: text, Columns: []Column{{Name: text}}, Rows: Rows([]Cell{{Text: text, Detail: text}})})
		s.Pairs([]PairSample{{Stream: text, Speech: text, Response: text, Lineage: []Fact{{text, text}}}})
		var b strings.Builder
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, text := range append([]string{"plain"}, hostile...) {
		page := build(text)
		if len(page) > 400<<10 {
			t.Errorf("the page of %.20q takes %d bytes", text, len(page))
		}
		inert(t, fmt.Sprintf("%.20q", text), page, 0)
		if strings.Contains(page, "http://") && strings.Count(page, "http://") != strings.Count(page, `xmlns="http://www.w3.org/2000/svg"`) || strings.Contains(page, "https://") {
			t.Errorf("the page of %.20q points elsewhere", text)
		}
		if page != build(text) {
			t.Errorf("two pages of %.20q differ", text)
		}
	}
}

// TestTable checks bounds, notes and numbers to sort by.
func TestTable(t *testing.T) {
	asked := 0
	endless := func(yield func([]Cell) bool) {
		for {
			asked++
			if !yield([]Cell{NumberCell(float64(asked)), TextCell(hostile[asked%len(hostile)]), TimeCell(90 * time.Second)}) {
				return
			}
		}
	}
	fragment := Table{Columns: []Column{{Name: "n", Right: true}, {Name: "text", Wide: true}, {Name: "time"}}, Rows: endless, Limit: 50}.HTML()
	inert(t, "table", fragment, 1)
	rows := 0
	parsed(t, fragment, func(n *html.Node) {
		if n.Data == "tr" {
			rows++
		}
	})
	if rows != 51 || asked != 51 {
		t.Errorf("%d rows shown, %d asked for", rows, asked)
	}
	for _, want := range []string{"The first 50 rows; there are more.", `data-sort="90"`, "1:30", "bytes in all", `data-sort="7"`} {
		if !strings.Contains(fragment, want) {
			t.Errorf("the table does not say %q", want)
		}
	}
	if len(fragment) > 100<<10 {
		t.Errorf("the table takes %d bytes", len(fragment))
	}
	if empty := (Table{Columns: []Column{{Name: "n"}}}).HTML(); !strings.Contains(empty, "No rows.") {
		t.Error("an empty table does not say so")
	}
}

func TestBeforeAfter(t *testing.T) {
	table := BeforeAfter("", []Comparison{
		{Name: "perplexity", Before: Estimate{40, 36, 44}, After: Estimate{25, 22, 28}, LowerIsBetter: true},
		{Name: "MRR", Before: Estimate{0.4, 0.36, 0.44}, After: Estimate{0.2, 0.18, 0.22}},
		{Name: "R@1", Before: Estimate{0.1, 0.05, 0.2}, After: Estimate{0.15, 0.1, 0.2}, Percent: true},
		{Name: "none before", Before: Estimate{}, After: Estimate{Value: 3}},
		{Name: "far down", Before: Estimate{241_640.4, 183_700, 318_200}, After: Estimate{57.871, 38.74, 85.83}, LowerIsBetter: true},
		{Name: "far up", Before: Estimate{0.0222, 0.01, 0.03}, After: Estimate{0.9754, 0.8, 1}},
		{Name: "down to nothing", Before: Estimate{1, 1, 1}, After: Estimate{0.00004, 0, 0.1}, LowerIsBetter: true},
	})
	var got []string
	for row := range table.Rows {
		got = append(got, fmt.Sprintf("%s %s→%s %s %d", row[0].Text, row[1].Text, row[2].Text, row[3].Text, row[3].Tone))
	}
	want := []string{
		fmt.Sprintf("perplexity 40→25 −37.5\u202f%% %d", Green),
		fmt.Sprintf("MRR 0.4→0.2 −50\u202f%% %d", Red),
		fmt.Sprintf("R@1 10\u202f%%→15\u202f%% +50\u202f%% %d", Auto),
		fmt.Sprintf("none before 0→3 3 %d", Auto),
		fmt.Sprintf("far down 241\u202f640→57.9 ÷ 4\u202f176 %d", Green),
		fmt.Sprintf("far up 0.0222→0.975 × 43.9 %d", Green),
		fmt.Sprintf("down to nothing 1→0 ÷ 25\u202f000 %d", Green),
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(table.Columns) != 4 {
		t.Error("a gate is shown where there is none")
	}
}

// TestCounts holds the charts that count against counting by hand.
func TestCounts(t *testing.T) {
	h := Histogram("", "", []float64{0, 0.1, 0.24, 0.25, 0.5, 0.99, 1, -3, 7, math.NaN()}, 0, 1, 4, 0.5)
	if got := fmt.Sprint(h.Series[0].Y); got != "[4 1 1 3]" {
		t.Errorf("histogram %s", got)
	}
	if h.Subtitle != "4 of 9 at or above 0.5" || len(h.Marks) != 1 || h.Series[0].Tones[1] != Gray || h.Series[0].Tones[2] != Blue {
		t.Errorf("threshold: %q %v %v", h.Subtitle, h.Marks, h.Series[0].Tones)
	}
	m := PerMinute("", []time.Duration{-time.Second, 0, 59 * time.Second, time.Minute, 150 * time.Second}, 0)
	if got := fmt.Sprint(m.Series[0].Y); got != "[2 1 1]" || m.Subtitle != "5 messages, 1 of them before the recording" {
		t.Errorf("per minute %s, %q", got, m.Subtitle)
	}
	long := PerMinute("", []time.Duration{0, time.Minute, 99 * time.Hour}, 0)
	if n := len(long.Series[0].Y); n > 401 || long.Series[0].Y[0] != 2.0/60 {
		t.Errorf("99 hours take %d bars, the first %v", n, long.Series[0].Y[0])
	}
	busy := make([]time.Duration, 240)
	for i := range busy {
		busy[i] = time.Duration(i) * time.Second
	}
	if got := PerMinute("", busy, 4*time.Minute).Series[0].Y; len(got) != 24 || got[0] != 60 || got[23] != 60 {
		t.Errorf("a message a second for four minutes: %v", got)
	}
	w := Waterfall("", 100, []Drop{{"a", 30}, {"b", 50}})
	if got := fmt.Sprint(w.Series[0].Low, w.Series[0].Y, w.X.Categories); got != "[0 70 20 0] [100 100 70 20] [all a b kept]" {
		t.Errorf("waterfall %s", got)
	}
	l := LossCurve("", []float64{2, 2, math.NaN(), 2}, Curve{})
	for _, v := range l.Series[1].Y {
		if math.Abs(v-2) > 1e-12 {
			t.Errorf("the running mean of twos is %v", l.Series[1].Y)
			break
		}
	}
}

// TestThin checks that a peak among a million values is drawn.
func TestThin(t *testing.T) {
	n := 1_000_000
	s := Series{X: make([]float64, n), Y: make([]float64, n)}
	for i := range n {
		s.X[i] = float64(i)
	}
	s.Y[123_456], s.Y[777_777] = 9, -9
	out := prepare([]Series{s})[0]
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range out.Y {
		low, high = math.Min(low, v), math.Max(high, v)
	}
	if len(out.X) > maxShown || low != -9 || high != 9 {
		t.Errorf("%d values from %v to %v", len(out.X), low, high)
	}
}

// TestNothing checks that missing, broken and mismatched data draw something and fail at nothing.
func TestNothing(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []Chart{
		{}, {Series: []Series{{}}}, Curves("", "", "", Curve{X: []float64{1}, Y: nil}), Curves("", "", "", Curve{X: []float64{1, nan, inf}, Y: []float64{nan, 1, -inf}}),
		Curves("", "", "", Curve{X: []float64{5}, Y: []float64{5}, Low: []float64{nan}, High: []float64{inf}}),
		Histogram("", "", nil, 0, 0, 0, nan), Histogram("", "", []float64{1}, 5, -5, -1, 0), LagCurve("", nil, nil, []LagPoint{{}}), ClockCurve("", nil, nan), PerMinute("", nil, 0),
		PerMinute("", []time.Duration{math.MaxInt64, math.MinInt64}, -1), LossCurve("", nil, Curve{}), Scatter("", "", "", nil, nil, nil), Waterfall("", 0, nil),
		Timeline("", nil), Timeline("", []Span{{"a", time.Hour, 0, ""}}), {X: Axis{Log: true}, Y: Axis{Log: true}, Series: []Series{{X: []float64{0, 1, 1e9}, Y: []float64{-1, 0, 1e-9}}}},
		{Width: 1, Height: 1 << 30, Title: "x"}, {Marks: []Mark{{At: nan}, {At: inf, Horizontal: true}}}, {X: Axis{Min: 5, Max: 1}, Series: []Series{{X: []float64{1, 2}, Y: []float64{1e308, -1e308}}}},
	} {
		if svg := string(SVG(c)); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || !strings.HasSuffix(svg, "</svg>") {
			t.Errorf("%+v draws %.400s", c, svg)
		}
		if c.Height < 1000 {
			if _, err := PNG(c); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if _, err := OptionsJSON(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		inert(t, "nothing", HTML(c), 1)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		axis   Axis
		lo, hi float64
		want   string
	}{
		{Axis{}, 0, 1, "0 0.2 0.4 0.6 0.8 1"},
		{Axis{}, -3.2, 2.9, "−4 −2 0 2 4"},
		{Axis{}, 0, 12_345, "0 2\u202f500 5\u202f000 7\u202f500 10\u202f000 12\u202f500"},
		{Axis{Unit: Percent}, 0, 0.3, "0\u202f% 10\u202f% 20\u202f% 30\u202f%"},
		{Axis{Unit: Clock}, 0, 14_400, "0:00 1:00:00 2:00:00 3:00:00 4:00:00"},
		{Axis{Unit: Clock}, -40, 200, "−1:00 0:00 1:00 2:00 3:00 4:00"},
		{Axis{Log: true}, 0.02, 700, "0.01 0.1 1 10 100 1\u202f000"},
		{Axis{Categories: []string{"a", "b"}}, 0, 0, "a b"},
		{Axis{}, 7, 7, "6 6.5 7 7.5 8"},
	} {
		s := newScale(c.axis, c.lo, c.hi, 5, false)
		var got []string
		for _, v := range s.ticks {
			got = append(got, s.axis.write(v))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v to %v: %s, want %s", c.lo, c.hi, strings.Join(got, " "), c.want)
		}
	}
}

func FuzzChart(f *testing.F) {
	f.Add("title", "name", 1.0, 2.0, 0.5, uint8(0))
	for i, h := range hostile {
		f.Add(h[:min(len(h), 200)], h[:min(len(h), 200)], float64(i), -1e300, math.Inf(1), uint8(i))
	}
	f.Fuzz(func(t *testing.T, title, name string, a, b, c float64, kind uint8) {
		s := Series{Name: name, Kind: Kind(kind % 5), X: []float64{a, b, c}, Y: []float64{c, a, b}, Span: []float64{b, c}, Low: []float64{a, a, a}, High: []float64{b, b, b}, Labels: []string{name, title}}
		chart := Chart{Title: title, Subtitle: name, X: Axis{Label: name, Unit: Unit(kind % 3), Log: kind&8 != 0}, Y: Axis{Label: title, Min: a, Max: b, Log: kind&16 != 0},
			Series: []Series{s, s}, Marks: []Mark{{At: c, Label: name}, {At: a, Label: title, Horizontal: true}}}
		if kind&32 != 0 {
			chart.X.Categories = []string{title, name, "x"}
		}
		svg := SVG(chart)
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
		if bytes.Contains(svg, []byte("NaN")) && !strings.Contains(title+name, "NaN") {
			t.Fatalf("a number is missing in %s", svg)
		}
		inert(t, "chart", HTML(chart), 1)
	})
}

func BenchmarkSVG(b *testing.B) {
	c := everyChart("plain")[4]
	b.ReportAllocs()
	for b.Loop() {
		SVG(c)
	}
}

func BenchmarkPNG(b *testing.B) {
	c := everyChart("plain")[4]
	for b.Loop() {
		if _, err := PNG(c); err != nil {
			b.Fatal(err)
		}
	}
}
