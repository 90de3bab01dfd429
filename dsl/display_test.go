package dsl

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// notebook is a page that remembers what it was told.
type notebook struct {
	shown     []map[string]any
	heard     map[string]func(json.RawMessage)
	cell, run string
}

func (n *notebook) Show(forms map[string]any)                       { n.shown = append(n.shown, forms) }
func (n *notebook) Hear(address string, hear func(json.RawMessage)) { n.heard[address] = hear }
func (n *notebook) Kernel() string                                  { return "kernel-id" }
func (n *notebook) Cell() (cell, run string)                        { return n.cell, n.run }

// onStream runs body in a session with one of the shipped streams in a folder, whose chat is changed first.
func onStream(t *testing.T, change func(text string, i int) string, body func(n *notebook, streams Streams, words Transcripts)) {
	t.Helper()
	dir := t.TempDir()
	from, to := filepath.Join("..", "testdata", "streams", "s1"), filepath.Join(dir, "streams", "s1")
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"audio.opus", "chat.json", "script.vtt", "truth.json", "words.json"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "chat.json" && change != nil {
			b = changeChat(t, b, change)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n := &notebook{heard: map[string]func(json.RawMessage){}}
	s, err := Open(Config{Store: filepath.Join(dir, "store"), Out: filepath.Join(dir, "out"), Front: n})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Run(context.Background(), func() error {
		streams := Load(filepath.Join(dir, "streams"))
		body(n, streams, Words(streams, filepath.Join(dir, "streams")))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// changeChat rewrites the texts of a TwitchDownloader log.
func changeChat(t *testing.T, log []byte, change func(string, int) string) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(log, &doc); err != nil {
		t.Fatal(err)
	}
	for i, c := range doc["comments"].([]any) {
		message := c.(map[string]any)["message"].(map[string]any)
		text := change(message["body"].(string), i)
		message["body"], message["fragments"] = text, []any{map[string]any{"text": text, "emoticon": nil}}
		c.(map[string]any)["commenter"].(map[string]any)["display_name"] = change("", i)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// attacks are texts that would do something, were they not shown as text.
var attacks = []string{
	"<script>attack()</script>", "<img src=x onerror=attack()>", `"]</script><script>attack()</script>`, "</svg><svg onload=attack()>",
	"\u202eright to left \u2066", `<iframe srcdoc="<script>attack()</script>">`, "</textarea></style></title><img src=x onerror=attack()>", "<!--", "]]>", "\x1b[31m\x00",
	strings.Repeat("x", 1_000_000),
}

type displayer interface{ MimeBundle() map[string]any }

// displays are all values that show themselves and need no training.
func displays(n *notebook, streams Streams, words Transcripts) map[string]displayer {
	pairs := Align(words)
	good := Filter(pairs, FDR.AtMost(0.3), NoCommands(), Length(1, 40))
	score, _ := Score(pairs, 0.1)
	took, _ := good.Filtered()
	return map[string]displayer{
		"streams": streams, "transcripts": words, "pairs": pairs, "filtered": good, "rows": good.Rows(), "score": score,
		"histogram": Histogram(pairs, Confidence, 0.5), "words": Histogram(pairs, ResponseWords), "lag": LagChart(pairs), "delay": DelayChart(pairs), "fdr": FDRChart(pairs),
		"messages": MessagesPerMinute(streams), "waterfall": Waterfall(good), "took": took, "unfiltered": Waterfall(pairs), "sound": Play(streams, "s1", 30*Second, 32*Second), "threshold": Explore(pairs),
	}
}

func TestHostileChatIsShownAsText(t *testing.T) {
	onStream(t, func(text string, i int) string {
		attack := attacks[i%len(attacks)]
		if i%2 == 1 {
			return text + " " + attack
		}
		return attack
	}, func(n *notebook, streams Streams, words Transcripts) {
		all := displays(n, streams, words)
		forms := map[string]map[string]any{}
		for name, v := range all {
			forms[name] = v.MimeBundle()
		}
		forms["explore"] = n.shown[0]
		seen := false
		for name, f := range forms {
			markup, plain := f["text/html"].(string), f["text/plain"].(string)
			seen = seen || strings.Contains(markup, "attack()")
			// The library that makes charts live is 0.5 MB, and it comes once.
			if len(markup) > 1<<20 || len(plain) > 1<<16 || len(plain) == 0 {
				t.Errorf("%s: %d bytes of HTML, %d of text", name, len(markup), len(plain))
			}
			checkMarkup(t, name, markup)
			for _, bad := range []string{"\x1b", "\x00", "\u202e", "\u2066"} {
				if strings.Contains(plain, bad) || strings.Contains(markup, bad) {
					t.Errorf("%s: holds %q", name, bad)
				}
			}
		}
		if !seen {
			t.Error("no attack was shown at all: the test shows nothing")
		}
	})
}

// checkMarkup parses HTML as browsers do and looks for what no value of ours makes.
func checkMarkup(t *testing.T, name, markup string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(markup))
	if err != nil {
		t.Fatal(name, err)
	}
	for node := range doc.Descendants() {
		switch {
		case node.Type == html.CommentNode:
			t.Errorf("%s: a comment: %.60q", name, node.Data)
		case node.Type != html.ElementNode:
		case node.Data == "script":
			if text := node.FirstChild.Data; strings.HasPrefix(text, "attack") || strings.Contains(text, "<script") {
				t.Errorf("%s: a script: %.60q", name, text)
			}
		case node.Data == "iframe" || node.Data == "svg":
			t.Errorf("%s: an element %s", name, node.Data)
		}
		for _, a := range node.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "src" && !strings.HasPrefix(a.Val, "data:") {
				t.Errorf("%s: <%s %s=%.40q>", name, node.Data, a.Key, a.Val)
			}
			if image, ok := strings.CutPrefix(a.Val, "data:image/svg+xml;base64,"); ok {
				svg, err := base64.StdEncoding.DecodeString(image)
				if err != nil || bytes.Contains(svg, []byte("<script")) || bytes.Contains(svg, []byte("onload")) && !bytes.Contains(svg, []byte("&lt;svg onload")) {
					t.Errorf("%s: a picture that is not inert (%v)", name, err)
				}
			}
		}
	}
}

func TestWhatDisplaysSay(t *testing.T) {
	onStream(t, nil, func(n *notebook, streams Streams, words Transcripts) {
		all := displays(n, streams, words)
		pairs := all["pairs"].(Pairs)
		good := all["filtered"].(Pairs)
		for name, want := range map[string][]string{
			"streams":     {"1 stream", "188", "TwitchDownloader"},
			"transcripts": {"356 words", "Hello everyone"},
			"pairs":       {fmt.Sprintf("%d pairs of 1 stream", pairs.Len()), "median delay", fmt.Sprintf("… 20 of %d rows", pairs.Len())},
			"filtered":    {fmt.Sprintf("%d pairs of %d", good.Len(), pairs.Len()), "fdr", "commands"},
			"rows":        {"to train on", "held out"},
			"score":       {"precision", "ground truth"},
			"lag":         {"estimated lag", "true lag"},
			"delay":       {"fitted law"},
			"waterfall":   {"fdr", "Examples"},
			"took":        {"Pairs left after each rule", "Examples"},
			"unfiltered":  {"straight from Align"},
			"sound":       {"s1 from 00:30.0 to 00:32.0"},
		} {
			f := all[name].MimeBundle()
			for _, w := range want {
				if !strings.Contains(f["text/plain"].(string), w) {
					t.Errorf("%s does not say %q:\n%s", name, w, f["text/plain"])
				}
			}
			if png, ok := f["image/png"].([]byte); ok && !bytes.HasPrefix(png, []byte("\x89PNG")) {
				t.Errorf("%s: its picture is no PNG", name)
			}
		}
		for i, p := range pairs.first(5) {
			if p != pairs.All()[i] {
				t.Errorf("first pair %d is %+v", i, p)
			}
		}
		if got := len(pairs.first(1 << 20)); got != pairs.Len() {
			t.Errorf("%d pairs of %d are read", got, pairs.Len())
		}
	})
}

func TestExploreFollowsThePage(t *testing.T) {
	onStream(t, nil, func(n *notebook, _ Streams, words Transcripts) {
		pairs := Align(words)
		threshold := Explore(pairs)
		if len(n.heard) != 1 || len(n.shown) != 1 {
			t.Fatalf("%d addresses, %d pictures", len(n.heard), len(n.shown))
		}
		var say func(json.RawMessage)
		for address, hear := range n.heard {
			say = hear
			if !strings.Contains(n.shown[0]["text/html"].(string), address) {
				t.Error("the picture does not know its address")
			}
		}
		all := pairs.All()
		check := func(edge int) {
			t.Helper()
			least := float64(edge) / edges
			kept, wrong := 0, 0.0
			for _, p := range all {
				if p.Confidence >= least {
					kept++
					wrong = math.Max(wrong, p.FDR)
				}
			}
			if threshold.Confidence() != least || threshold.Kept() != kept || Filter(pairs, threshold.Rule()).Len() != kept {
				t.Errorf("at %g: %g keeps %d and filters %d, want %d", least, threshold.Confidence(), threshold.Kept(), Filter(pairs, threshold.Rule()).Len(), kept)
			}
			// Of one stream: the rate of the least sure pair that is kept.
			if math.Abs(threshold.FDR()-wrong) > 1e-5 {
				t.Errorf("at %g: FDR %g, want %g", least, threshold.FDR(), wrong)
			}
		}
		start := int(math.Round(threshold.Confidence() * edges))
		check(start)
		if threshold.FDR() > 0.1 {
			t.Errorf("it starts at an FDR of %g", threshold.FDR())
		}
		for _, edge := range []int{0, 1, 77, 150, 199, 200} {
			say(json.RawMessage(fmt.Sprintf(`{"edge":%d}`, edge)))
			check(edge)
		}
		for _, nonsense := range []string{"", "null", "{}", `{"edge":-1}`, `{"edge":201}`, `{"edge":1e99}`, `{"edge":"1"}`, "[", `{"edge":null}`} {
			say(json.RawMessage(nonsense))
			check(200)
		}
	})
}

func TestACellSaysWhichThresholdItWasRunWith(t *testing.T) {
	onStream(t, nil, func(n *notebook, _ Streams, words Transcripts) {
		pairs := Align(words)
		n.cell, n.run = "a", "1"
		threshold := Explore(pairs, 0.3)
		var address string
		for a := range n.heard {
			address = a
		}
		told := func(want ...float64) {
			t.Helper()
			var got []float64
			for _, forms := range n.shown {
				if m, ok := forms[thresholdMIME].(map[string]any); ok {
					if m["explore"] != address {
						t.Errorf("of %v", m["explore"])
					}
					got = append(got, m["confidence"].(float64))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("cells say %v, want %v", got, want)
			}
		}
		told()
		n.cell, n.run = "b", "2"
		threshold.Rule()
		threshold.Confidence()
		told(0.3)
		n.heard[address](json.RawMessage(`{"edge":71}`))
		_ = threshold.String()
		told(0.3)
		n.cell, n.run = "b", "3"
		threshold.Rule()
		threshold.Kept()
		told(0.3, 0.355)
	})
}

func TestThresholdsCompareAsRulesDo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	try := func(c float64) {
		want := 0
		for i := range edges {
			if c >= float64(i)/edges {
				want = i
			}
		}
		if got := binOf(c); got != want {
			t.Errorf("confidence %v is in bin %d, want %d", c, got, want)
		}
	}
	for i := range edges + 1 {
		at := float64(i) / edges
		try(at)
		try(math.Nextafter(at, 0))
		try(math.Nextafter(at, 2))
		try(r.Float64())
	}
	try(math.NaN())
	try(-1)
	try(2)
}

func TestPlay(t *testing.T) {
	onStream(t, nil, func(_ *notebook, streams Streams, _ Transcripts) {
		for _, c := range []struct{ from, to, length time.Duration }{
			{10 * Second, 12 * Second, 2 * Second}, {-5 * Second, Second, Second}, {0, Hour, maxPlay}, {239 * Second, 300 * Second, Second},
		} {
			sound := Play(streams, "s1", c.from, c.to)
			var head struct {
				RIFF             [4]byte
				Size             uint32
				WAVE, Fmt        [4]byte
				FmtSize          uint32
				Format, Channels uint16
				Rate, Bytes      uint32
				Block, Bits      uint16
				Data             [4]byte
				DataSize         uint32
			}
			if err := binary.Read(bytes.NewReader(sound.wav), binary.LittleEndian, &head); err != nil {
				t.Fatal(err)
			}
			got := time.Duration(head.DataSize) * Second / time.Duration(head.Bytes)
			if string(head.RIFF[:])+string(head.WAVE[:])+string(head.Data[:]) != "RIFFWAVEdata" || int(head.DataSize)+44 != len(sound.wav) || head.Rate != 16000 || head.Format != 1 ||
				(got-c.length).Abs() > 20*Millisecond {
				t.Errorf("%v to %v: %+v, %v long", c.from, c.to, head, got)
			}
		}
		defer func() {
			if err, ok := recover().(*Error); !ok || !strings.Contains(err.Error(), "nothing lies between") {
				t.Errorf("a span behind the end: %v", err)
			}
		}()
		Play(streams, "s1", Hour, 2*Hour)
	})
}

func TestChartsOfANotebookShareOneLibrary(t *testing.T) {
	var b bundled
	n := &notebook{cell: "a", run: "1"}
	whole := len(b.charts(n))
	for _, c := range []struct {
		cell, run string
		again     bool
	}{{"a", "1", false}, {"b", "2", false}, {"a", "3", true}, {"a", "3", false}, {"b", "4", false}, {"", "5", false}} {
		n.cell, n.run = c.cell, c.run
		want := 0
		if c.again {
			want = whole
		}
		if got := len(b.charts(n)); got != want {
			t.Errorf("run %s of cell %q: %d bytes, want %d", c.run, c.cell, got, want)
		}
	}
	if (&bundled{}).charts(nil) != "" {
		t.Error("without a page there is nobody to send it to")
	}
}

func TestExploreOfManyStreams(t *testing.T) {
	var pairs []Pair
	for i := range 5000 {
		c := float64(i%997) / 997
		pairs = append(pairs, Pair{Stream: fmt.Sprint("stream ", i/50), Confidence: c, FDR: 1 - c, Speech: strings.Repeat("<b>", 1000), Response: strings.Repeat("\u202e", 1000)})
	}
	c := newCurve(pairs)
	if len(c.streams) != exploreStreams+1 || len(c.samples) > edges*sampledPerBin {
		t.Errorf("%d streams and %d samples", len(c.streams), len(c.samples))
	}
	for _, edge := range []int{0, 50, 120, edges} {
		want := 0
		for _, p := range pairs {
			if p.Confidence >= float64(edge)/edges {
				want++
			}
		}
		if kept, wrong := c.at(edge); kept != want || wrong < 0 || wrong > float64(kept) {
			t.Errorf("at edge %d: %d kept, %g wrong, want %d kept", edge, kept, wrong, want)
		}
	}
	forms := (&Threshold{curve: c}).picture("a", "k")
	if n := len(forms["text/html"].(string)); n > 1<<20 {
		t.Errorf("the picture has %d bytes", n)
	}
	checkMarkup(t, "many", forms["text/html"].(string))
}

// What a recipe prints is what a notebook shows as text, and nothing of how a value is made.
func TestPrintedValuesAreTheirText(t *testing.T) {
	l := newLab(t, "s1")
	if _, err := l.say(func() {
		streams := Load(l.streams)
		words := Words(streams, l.words)
		pairs := Align(words)
		for _, v := range []displayer{streams, words, pairs, Filter(pairs, NoBots())} {
			if got, want := fmt.Sprint(v), v.MimeBundle()["text/plain"]; got != want || strings.Contains(got, "banter-manifest") {
				t.Errorf("%T prints\n%.500s\nwant\n%s", v, got, want)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}
