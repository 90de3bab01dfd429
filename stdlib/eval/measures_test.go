package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestJensenShannon(t *testing.T) {
	// The last row was computed as H((p+q)/2) - (H(p)+H(q))/2 with numpy.
	for _, c := range []struct {
		p, q []float64
		want float64
	}{
		{[]float64{1, 0}, []float64{0, 1}, 1},
		{[]float64{0.5, 0.5}, []float64{0.5, 0.5}, 0},
		{[]float64{0.1, 0.4, 0.5}, []float64{0.8, 0, 0.2}, 0.4714416},
	} {
		if got := jensenShannon(c.p, c.q); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%v against %v: %v, want %v", c.p, c.q, got, c.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	s := describe([]string{"garlic lol", "Garlic is good.", "chefNom chefNom", "lol"}, newEmoteCounter(nil))
	want := Style{Responses: 4, Words: 2, Emotes: 0.5, Lowercase: 0.75, Punctuation: 0.25, Distinct1: 5.0 / 8, Distinct2: 1}
	s.SelfBLEU = 0
	if s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	if empty := describe(nil, newEmoteCounter(nil)); empty != (Style{}) {
		t.Errorf("%+v", empty)
	}
	c := newEmoteCounter([]string{"LUL"})
	for text, want := range map[string]int{"LUL LUL!": 2, "KEKW": 0, "PogChamp": 1, "😂 ok ❤️": 2, "I'm OK": 0, "runPog, yes": 1, "": 0} {
		if got := c.count(text); got != want {
			t.Errorf("%q has %d emotes, want %d", text, got, want)
		}
	}
}

func TestSelfBLEU(t *testing.T) {
	// nltk's sentence_bleu with weights (1/2, 1/2) for longer texts, and (1,) for one word.
	for _, c := range []struct {
		responses []string
		want      float64
	}{
		{[]string{"a b c", "a b c"}, 1},
		{[]string{"a b c", "d e f"}, 0},
		{[]string{"a b c d", "a b x d"}, math.Sqrt(3.0 / 4 * 1 / 3)},
		{[]string{"lol", "lol ok"}, (math.Exp(-1) + 0) / 2},
		{[]string{"one"}, 0},
	} {
		if got := selfBLEU(c.responses); !near(got, c.want) {
			t.Errorf("%q: %v, want %v", c.responses, got, c.want)
		}
	}
}

func TestBootstrapIntervals(t *testing.T) {
	// The mean of 400 values with a standard deviation of 1 has a standard error of 0.05.
	random := randomFor(5, "test")
	values := make([]float64, 400)
	for i := range values {
		values[i] = random.NormFloat64()
	}
	mean := func(weights []int) (float64, float64) {
		var sum float64
		for i, w := range weights {
			sum += float64(w) * values[i]
		}
		return sum / 400, sum/400 + 0.01
	}
	c := bootstrap(len(values), 1, 2000, mean, difference)
	if width := c.Base.High - c.Base.Low; width < 0.17 || width > 0.22 {
		t.Errorf("the interval is %v wide, want about 0.196", width)
	}
	if !near(c.Change.Low, 0.01) || !near(c.Change.High, 0.01) {
		t.Errorf("a change that is the same in each resample: %+v", c.Change)
	}
	if again := bootstrap(len(values), 1, 2000, mean, difference); again != c {
		t.Error("the same seed gives other intervals")
	}
}

func TestComparePerplexity(t *testing.T) {
	c := comparePerplexity([]perplexityUnit{{[2]float64{-2 * math.Log(8), -2 * math.Log(4)}, 2}, {[2]float64{-4 * math.Log(8), -4 * math.Log(4)}, 4}}, 1, 100)
	if !near(c.Base.Value, 8) || !near(c.Tuned.Value, 4) || !near(c.Change.Value, -0.5) || !near(c.Change.High, -0.5) {
		t.Errorf("%+v", c)
	}
}

func TestCandidatesFollowTheProtocol(t *testing.T) {
	var training []Example
	for i := range 300 {
		training = append(training, Example{ID: fmt.Sprint(i), Prompt: "x", Response: fmt.Sprintf("filler number %d", i)})
	}
	for range 9 {
		training = append(training, Example{Response: "lol"}, Example{Response: "LOL "})
	}
	for i := range 5 {
		training = append(training, Example{Response: fmt.Sprintf("wizard talk %d", i)})
	}
	g := promptGroup{stream: "s", prompt: "the wizard is down", truths: []string{"wizard in shambles", "gg"}}
	p := newPool(training, []Example{{Response: "gg"}, {Response: "wizard in shambles"}})
	list := p.candidates(g, 100, 1)
	if len(list) != 100 || !slices.Equal(list[:2], g.truths) {
		t.Fatalf("%d candidates, the first %q", len(list), list[:2])
	}
	seen := map[string]bool{}
	for _, c := range list {
		if seen[normal(c)] {
			t.Errorf("%q is there twice", c)
		}
		seen[normal(c)] = true
	}
	if normal(list[2]) != "lol" {
		t.Errorf("the most popular is %q", list[2])
	}
	for i := range 5 {
		if at := slices.Index(list, fmt.Sprintf("wizard talk %d", i)); at < 2 || at >= 42 {
			t.Errorf("similar response %d is at %d", i, at)
		}
	}
	if again := p.candidates(g, 100, 1); !slices.Equal(again, list) {
		t.Error("the same seed gives other candidates")
	}
	if other := p.candidates(g, 100, 2); slices.Equal(other, list) {
		t.Error("another seed gives the same candidates")
	}
	few := newPool(training[:4], nil)
	if list := few.candidates(g, 100, 1); len(list) != 6 {
		t.Errorf("%d candidates where there are 4 and 2 truths", len(list))
	}
}

func TestGroupPrompts(t *testing.T) {
	groups := groupPrompts([]Example{{ID: "1", Stream: "a", Prompt: "p", Response: "lol"}, {ID: "2", Stream: "a", Prompt: "p", Response: "LOL"},
		{ID: "3", Stream: "a", Prompt: "p", Response: "gg"}, {ID: "4", Stream: "b", Prompt: "p", Response: "lol"}})
	if len(groups) != 2 || !slices.Equal(groups[0].truths, []string{"lol", "gg"}) || groups[1].stream != "b" {
		t.Errorf("%+v", groups)
	}
}

func TestSuiteRules(t *testing.T) {
	s, err := ParseSuite([]byte(`
name: all rules
cases:
  - name: each
    prompt: p
    require:
      - any_of: [garlic, "the stairs"]
      - all_of: [lol]
      - matches: '^[a-z]'
      - min_words: 2
      - max_words: 5
      - emotes: 1
      - lowercase: true
    forbid:
      - any_of: [as an ai]
`))
	if err != nil {
		t.Fatal(err)
	}
	c := s.Cases[0]
	if c.Samples != 4 {
		t.Errorf("%d samples", c.Samples)
	}
	for answer, want := range map[string][]string{
		"garlic lol runPog":                   nil,
		"under the stairs lol runPog":         nil,
		"garlics lol runPog":                  {"lacks: any of garlic, the stairs"},
		"garlic runPog":                       {"lacks: all of lol"},
		"Garlic lol runPog":                   {"lacks: matches ^[a-z]", "lacks: lowercase"},
		"garlic lol as an AI runPog, one two": {"lacks: at most 5 words", "lacks: lowercase", "has: any of as an ai"},
		"":                                    {"lacks: any of garlic, the stairs", "lacks: all of lol", "lacks: matches ^[a-z]", "lacks: at least 2 words", "lacks: at least 1 emotes"},
	} {
		if j := c.judge(answer, newEmoteCounter(nil), nil); !slices.Equal(j.Failed, want) || j.Passed != (want == nil) {
			t.Errorf("%q: %q, want %q", answer, j.Failed, want)
		}
	}
}

func TestJudgedRules(t *testing.T) {
	s, err := ParseSuite([]byte("name: n\ncases:\n  - name: a\n    prompt: p\n    require:\n      - judge: it sounds bored\n    forbid:\n      - judge: it is rude\n"))
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]bool{"it sounds bored": true}
	c := s.Cases[0]
	if !slices.Equal(c.criteria(), []string{"it sounds bored", "it is rude"}) {
		t.Errorf("criteria %q", c.criteria())
	}
	if j := c.judge("meh", nil, verdicts); !j.Passed {
		t.Errorf("%+v", j)
	}
	if j := c.judge("meh", nil, map[string]bool{"it is rude": true}); !slices.Equal(j.Failed, []string{"lacks: judged that it sounds bored", "has: judged that it is rude"}) {
		t.Errorf("%+v", j)
	}
}

func TestBadSuitesAreRefused(t *testing.T) {
	const head = "name: x\ncases:\n  - name: a\n    prompt: p\n"
	for yaml, want := range map[string]string{
		"": "it is empty", "name: x": "cases", "- a": "line 1: this should be a suite",
		head: "neither requires nor forbids",
		head + "    require:\n      - max_wrods: 3\n":                                     `line 6: there is no "max_wrods" here, but any_of, `,
		head + "    require:\n      - any_of: honey\n":                                    "line 6: `honey` should be a list of texts",
		head + "    require:\n      - max_words: 3\n        min_words: 1\n":               "2 traits",
		head + "    require:\n      - {}\n":                                               "a rule is empty",
		head + "    require:\n      - any_of: ['']\n":                                     "empty phrase",
		head + "    require:\n      - matches: '('\n":                                     "matches: error parsing regexp: missing closing",
		head + "    samples: 101\n    require:\n      - max_words: 3\n":                   "101",
		head + "    require:\n      - max_words: 3\n  - name: a\n    prompt: p\n":         "no name of its own",
		head + "    require:\n      - max_words: 3\n---\nname: y\n":                       "second document",
		strings.Replace(head, "p\n", "' '\n", 1) + "    require:\n      - max_words: 3\n": "no prompt",
	} {
		if _, err := ParseSuite([]byte(yaml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", yaml, err, want)
		}
	}
}

func TestTableIsSafeForChat(t *testing.T) {
	r := &Report{Skipped: []Skipped{{"<img>|\n", "`x`"}}}
	if s := r.Table(); strings.Contains(s, "<img>") || strings.Contains(s, "`x`") {
		t.Error(s)
	}
}

func TestKindsOfCasingAndEnding(t *testing.T) {
	emotes := newEmoteCounter([]string{"LUL"})
	for text, want := range map[string]int{"": noLetters, "LUL 123": noLetters, "ok": lowerCase, "NO WAY": upperCase, "A": sentenceCase, "Both are fine.": sentenceCase,
		"Both, I'd say": sentenceCase, "I think I do": sentenceCase, "ok I do": lowerCase, "gg Wizard": mixedCase, "Gg Wizard": mixedCase, "PogChamp ok": lowerCase, "中文": lowerCase} {
		if got := emotes.casing(text); got != want {
			t.Errorf("the casing of %q is %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]int{"": bare, "ok": bare, "ok.": period, "ok . ": period, "no!": exclamation, "no!!": repeated, "why?": question, "what?!": repeated,
		"well...": ellipsis, "well…": ellipsis, "...": ellipsis, "(yes)": otherMark, "😂": bare} {
		if got := ending(text); got != want {
			t.Errorf("the ending of %q is %d, want %d", text, got, want)
		}
	}
}

// TestFrontier holds the area against the same computed with numpy by testdata/mauve.py, which follows the authors'
// published formulas.
func TestFrontier(t *testing.T) {
	data, err := os.ReadFile("testdata/mauve.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		P, Q []float64
		Area float64
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) < 8 {
		t.Fatal(err, len(cases))
	}
	for _, c := range cases {
		p, q := slices.Clone(c.P), slices.Clone(c.Q)
		smooth(p)
		smooth(q)
		if got := frontierArea(p, q); math.Abs(got-c.Area) > 1e-9 {
			t.Errorf("%v against %v: %v, want %v", c.P, c.Q, got, c.Area)
		}
	}
}

func TestKMeansFindsClouds(t *testing.T) {
	random := randomFor(1, "clouds")
	var points [][]float64
	for i := range 120 {
		p := make([]float64, 8)
		for j := range p {
			p[j] = random.NormFloat64() * 0.1
		}
		p[i%4] += 3
		points = append(points, p)
	}
	cells := kMeans(points, 4, randomFor(2, "start"))
	for i := range points {
		if cells[i] != cells[i%4] {
			t.Fatalf("point %d of cloud %d is in cell %d, not %d", i, i%4, cells[i], cells[i%4])
		}
	}
	same := make([][]float64, 10) // no clouds at all
	for i := range same {
		same[i] = []float64{1, 2}
	}
	kMeans(same, 3, randomFor(2, "start"))
}

func TestTimingTellsCrowdsFromThinkers(t *testing.T) {
	var training []Example
	for i := range 40 {
		training = append(training, Example{Response: "lol", Delay: 1500 * time.Millisecond},
			Example{Response: fmt.Sprintf("honey goes well with number %d of these", i), Delay: 9 * time.Second})
	}
	e := &evaluation{Options: Options{Resamples: 50}, training: training}
	asked := func(base, tuned string) []answered {
		var list []answered
		for range 20 {
			list = append(list, answered{promptGroup{truths: []string{"lol"}, delays: []time.Duration{1200 * time.Millisecond}}, [2]string{base, tuned}})
		}
		return list
	}
	timing := e.timing(asked("honey goes well with it", "LOL"))
	if !near(timing.Divergence.Base.Value, 1) || !near(timing.Divergence.Tuned.Value, 0) || !near(timing.Floor, 0) {
		t.Errorf("%+v", timing)
	}
	// A text that is like none goes by its length: all of one word were quick.
	if timing := e.timing(asked("strange", "many words that nobody has said before")); !near(timing.Divergence.Base.Value, 0) || timing.Divergence.Tuned.Value < 0.5 {
		t.Errorf("%+v", timing)
	}
	for i := range training {
		training[i].Delay = 0
	}
	if (&evaluation{Options: Options{Resamples: 5}, training: training}).timing(asked("a", "b")) != nil {
		t.Error("timing without delays")
	}
}

func TestLeaksAreCounted(t *testing.T) {
	const pasta = "imagine paying for a stream where the soup is always burning"
	e := &evaluation{holdout: []Example{{ID: "a", Prompt: "one", Response: "lol"}, {ID: "b", Prompt: "two", Response: pasta}, {ID: "c", Prompt: "three", Response: "fresh"}},
		training: []Example{{ID: "x", Prompt: "one", Response: "LOL"}, {ID: "y", Prompt: "four", Response: pasta + "!"}}}
	r := &Report{}
	if err := e.leaks(r); err != nil {
		t.Fatal(err)
	}
	l := r.Leaks
	if l.Holdout != 3 || l.Both != 1 || l.Responses != 1 || len(l.Examples) != 2 || l.Examples[1].Training != "y" {
		t.Errorf("%+v", l)
	}
	if err := (Gate{AtMost(Leaked, 0)}).Err(r); err == nil {
		t.Error("a leak passed the gate")
	}
	if err := (Gate{AtMost(GeneralRise, 1)}).Err(r); err == nil || !strings.Contains(err.Error(), "has no general rise") {
		t.Errorf("a report without plain questions: %v", err)
	}
}

func TestLeaderboard(t *testing.T) {
	run := func(mrr, per float64, ids ...string) *Report {
		r := &Report{Seed: 1, Resamples: 200, Ranking: Ranking{MRR: Compared{Tuned: Measure{mrr, mrr, mrr}}}, Perplexity: Compared{Tuned: Measure{per, per, per}}}
		for i, id := range ids {
			r.Responses = append(r.Responses, ResponseScore{ID: id, Tokens: 2, Tuned: -2*math.Log(per) - 0.01*float64(i%3)})
		}
		return r
	}
	same := []string{"a", "b", "c", "d", "e", "f"}
	entries := []Entry{{"worse <b>", run(0.2, 20, same...)}, {"best", run(0.5, 10, same...)}, {"elsewhere", run(0.4, 3, "x", "y")}}
	b, err := NewLeaderboard(entries, MRR)
	if err != nil {
		t.Fatal(err)
	}
	if b.Runs[0].Name != "best" || b.Runs[1].Name != "elsewhere" || b.Runs[2].Name != "worse <b>" || b.Shared {
		t.Errorf("%+v", b.Runs)
	}
	if m := b.Runs[2].Behind; m == nil || !near(math.Round(m.Value*1e6)/1e6, 1) || m.Low < 0.9 {
		t.Errorf("behind by %+v, want a perplexity twice as high", m)
	}
	if b.Runs[1].Behind != nil || !strings.Contains(b.Table(), "* elsewhere: another holdout") {
		t.Errorf("%s", b.Table())
	}
	if b, err := NewLeaderboard(entries, Perplexity); err != nil || b.Runs[0].Name != "elsewhere" {
		t.Errorf("by perplexity the first is %+v, %v", b, err)
	}
	if _, err := NewLeaderboard(entries, "beauty"); err == nil {
		t.Error("ordered by beauty")
	}
	if b, err := NewLeaderboard(entries, TimingDivergence); err != nil || b.Runs[0].Note == "" {
		t.Errorf("by what none has: %+v, %v", b, err)
	}
}

func FuzzParseSuite(f *testing.F) {
	f.Add([]byte(kitchen), "garlic lol")
	f.Add([]byte("name: &a x\ncases: [*a]"), "")
	f.Fuzz(func(t *testing.T, data []byte, answer string) {
		s, err := ParseSuite(data)
		if err != nil {
			return
		}
		for _, c := range s.Cases {
			c.judge(answer, newEmoteCounter(nil), nil)
		}
	})
}

// TestCaveats: what flatters is told beside the numbers, and a gate's reasons explain what their metrics are.
func TestCaveats(t *testing.T) {
	r := &Report{Vocabulary: 1280, Prompts: 34, Perplexity: Compared{Base: Measure{Value: 305175}}}
	r.Style.MauveCells = 3
	text := strings.Join(r.Caveats(), "\n")
	for _, want := range []string{"above the 1280 tokens", "3 cells", "comes easily", "34 prompts are few"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
		if want != "comes easily" && !strings.Contains(r.Table(), want) {
			t.Errorf("%q is not in the table", want)
		}
	}
	r.Perplexity.Base.Value, r.Prompts, r.Style.MauveCells = 1200, 100, 20
	if text := strings.Join(r.Caveats(), "\n"); strings.Contains(text, "above the") || strings.Contains(text, "easily") || strings.Contains(text, "few") {
		t.Error(text)
	}
	for _, row := range r.Rows() {
		if row.Says == "" {
			t.Errorf("nothing explains %s", row.Name)
		}
	}
	r.General = &General{Drift: Measure{4.8, 4.6, 5.1}}
	r.Suites = []SuiteReport{{Name: "kitchen"}}
	got := Gate{AtMost(GeneralDrift, 0.5), AtLeast(Rubric("kitchn"), 0.9)}.Check(r)
	if len(got) != 2 || !strings.Contains(got[0].Reason, "got 4.8 (interval 4.6 to 5.1) nats a token: how far") || !strings.Contains(got[1].Reason, "no rubric kitchn (its rubrics are kitchen, named in their files)") {
		t.Errorf("%+v", got)
	}
}
