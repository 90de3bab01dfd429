package align

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"banter/stdlib/chat"
	"banter/stdlib/speech"
)

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"Garlic,": "garlic", "nooooo": "no", "hiii": "hi", "good": "good", "FIVE": "#5", "5": "#5", "05": "#5", "seconds": "second",
		"burning!": "burn", "missed": "miss", "stopped": "stop", "hates": "hat", "hate": "hat", "don't": "dont", "...": "", "potatoes": "potato",
		"boss": "boss", "日本": "日本", "😀": "😀", "@": "",
	} {
		if got := normalise(in); got != want {
			t.Errorf("normalise(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestClassOf(t *testing.T) {
	hosts := map[string]bool{"chef": true}
	for text, want := range map[string]class{
		"!uptime": command, "! wow": plain, "@bob hi": chatReply, "@Chef hi": plain, "see https://a.example/x": linkPost, "go to a.example/x": linkPost,
		"1/2": plain, "and/or": plain, "hello": plain, "": plain, "@": plain,
	} {
		if got := classOf(&chat.Message{Text: text}, hosts); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
	if got := classOf(&chat.Message{Text: "hi", ReplyTo: "x"}, nil); got != chatReply {
		t.Errorf("a reply is %v", got)
	}
	if got := classOf(&chat.Message{Text: "hi", Author: chat.Author{Roles: chat.Bot}}, nil); got != serviceBot {
		t.Errorf("a bot is %v", got)
	}
}

func FuzzMessageWords(f *testing.F) {
	f.Add("hello Kappa world", 6, 11)
	f.Add("@a b/c-d", -1, 99)
	f.Add("日本", 1, 2)
	f.Fuzz(func(t *testing.T, text string, start, end int) {
		m := chat.Message{Text: text, Emotes: []chat.Emote{{Start: start, End: end}, {Start: 0, End: 1}}}
		words := messageWords(&m)
		if len(words) > maxTokens {
			t.Fatalf("%d words", len(words))
		}
		for _, w := range words {
			if w == "" {
				t.Fatal("an empty word")
			}
			if !strings.HasPrefix(w, ":") && !utf8.ValidString(w) {
				t.Fatalf("%q is no text", w)
			}
		}
		classOf(&m, nil)
		emoteOnly(&m)
	})
}

func transcript(words ...speech.Word) *speech.Transcript {
	t := &speech.Transcript{Words: words, Segments: []speech.Segment{{Last: len(words)}}}
	return t
}

func word(text string, start, end float64) speech.Word {
	return speech.Word{Text: text, Start: seconds(start), End: seconds(end), Timed: true, Prob: -1}
}

func TestUtterances(t *testing.T) {
	for _, c := range []struct {
		says  string
		words []speech.Word
		want  []Utterance
	}{
		{"a sentence is kept together over a pause",
			[]speech.Word{word("Hello", 0, 0.4), word("there.", 0.4, 0.9), word("How", 1, 1.2), word("so", 1.3, 1.5), word("long", 2.2, 2.5)},
			[]Utterance{{0, 2, 0, seconds(0.9)}, {2, 5, seconds(1), seconds(2.5)}}},
		{"but not over a long one",
			[]speech.Word{word("Hello", 0, 0.4), word("there.", 0.4, 0.9), word("How", 1, 1.2), word("so", 1.3, 1.5), word("long", 2.5, 2.8)},
			[]Utterance{{0, 2, 0, seconds(0.9)}, {2, 4, seconds(1), seconds(1.5)}, {4, 5, seconds(2.5), seconds(2.8)}}},
		{"without punctuation a pause ends it",
			[]speech.Word{word("hello", 0, 0.4), word("there", 0.4, 0.9), word("how", 1.2, 1.4), word("so", 1.5, 1.7), word("long", 2.2, 2.5)},
			[]Utterance{{0, 4, 0, seconds(1.7)}, {4, 5, seconds(2.2), seconds(2.5)}}},
	} {
		if got := Utterances(transcript(c.words...)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.says, got, c.want)
		}
	}
}

func TestUtterancesAreShortAndCoverAllWords(t *testing.T) {
	var words []speech.Word
	for i := range 200 {
		words = append(words, word("la", float64(i)*0.3, float64(i)*0.3+0.29))
	}
	next := 0
	for _, u := range Utterances(transcript(words...)) {
		if u.First != next || u.Last <= u.First {
			t.Fatalf("%v after word %d", u, next)
		}
		if u.End-u.Start > maxUtterance {
			t.Errorf("%v lasts %v", u, u.End-u.Start)
		}
		next = u.Last
	}
	if next != len(words) {
		t.Errorf("the words from %d on are in no utterance", next)
	}
}

func TestGatedSegmentsAreLeftOut(t *testing.T) {
	tr := transcript(word("a", 0, 1), word("b", 1, 2), word("c", 2, 3))
	tr.Words[1].Segment = 1
	tr.Segments = append(tr.Segments, speech.Segment{First: 1, Last: 2, Gate: "repetition"})
	for _, u := range Utterances(tr) {
		if u.First <= 1 && u.Last > 1 {
			t.Errorf("%v holds the gated word", u)
		}
	}
}

// The densities are held against their known moments by numerical integration.
func TestDelayLaws(t *testing.T) {
	for _, l := range []law{{false, 0.8, 0.5, 0}, {false, 1.2, 0.6, 0}, {true, 0.9, 0.5, 0}, {true, 1.3, 0.4, 0}} {
		var mass, mean float64
		const h = 0.001
		for x := h / 2; x < 200; x += h {
			mass += h * l.density(x)
			mean += h * x * l.density(x)
		}
		want := math.Exp(l.mu) // gamma: exp(mu) is the mean
		if !l.gamma {
			want = math.Exp(l.mu + l.sigma*l.sigma/2)
		}
		if math.Abs(mass-1) > 1e-4 || math.Abs(mean-want) > 1e-3*want {
			t.Errorf("%+v: mass %v, mean %v, want 1 and %v", l, mass, mean, want)
		}
	}
}

func TestAUCAndECE(t *testing.T) {
	// right items at 0.9 and 0.4, wrong at 0.8, 0.4 and 0.1: of six pairs 0.9 wins three, 0.4 wins one and ties one
	score, right := []float64{0.9, 0.4, 0.8, 0.4, 0.1}, []bool{true, true, false, false, false}
	if got := AUC(score, right); math.Abs(got-4.5/6) > 1e-12 {
		t.Errorf("AUC %v, want 0.75", got)
	}
	// bin 9: said 0.9, was 1; bin 4: said 0.8 of 2, was 1; bin 8: 0.8 against 0; bin 1: 0.1 against 0
	if got := ECE(score, right, 10); math.Abs(got-(0.1+0.2+0.8+0.1)/5) > 1e-12 {
		t.Errorf("ECE %v, want 0.24", got)
	}
}

func TestScorePairs(t *testing.T) {
	truth, err := ReadTruth(strings.NewReader(`{"sentences":[{"index":0,"start":1,"end":3},{"index":1,"start":20,"end":22}],
		"messages":[{"id":"a","kind":"reply","sentence":0},{"id":"b","kind":"reply","sentence":1},{"id":"c","kind":"spam"},{"id":"d","kind":"reply","sentence":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	pairs := []Pair{
		{MessageID: "a", SpeechStart: seconds(0.8), SpeechEnd: seconds(3.2), Confidence: 0.9, FDR: 0.01},
		{MessageID: "b", SpeechStart: seconds(1), SpeechEnd: seconds(9), Confidence: 0.8, FDR: 0.08}, // the wrong window
		{MessageID: "c", SpeechStart: seconds(1), SpeechEnd: seconds(9), Confidence: 0.3, FDR: 0.5},
		{MessageID: "d", SpeechStart: seconds(20), SpeechEnd: seconds(22), Confidence: 0.7, FDR: 0.15},
	}
	s := ScorePairs(pairs, truth, 0.1)
	if s.Precision != 0.5 || math.Abs(s.Recall-1.0/3) > 1e-12 || math.Abs(s.F1-0.4) > 1e-12 {
		t.Errorf("%+v", s)
	}
	if s.TruePrecision["0.05"] != 1 || math.Abs(s.TruePrecision["0.2"]-2.0/3) > 1e-12 {
		t.Errorf("%+v", s.TruePrecision)
	}
	if _, err := ReadTruth(strings.NewReader(`{"messages":[{"id":"a","kind":"reply","sentence":7}]}`)); err == nil {
		t.Error("a reply to no sentence is taken")
	}
}

func FuzzReadTruth(f *testing.F) {
	f.Add([]byte(`{"lag":[{"from":0,"lag":6}],"sentences":[{"index":0,"start":1,"end":2}],"messages":[{"id":"a","kind":"reply","sentence":0}]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		truth, err := ReadTruth(bytes.NewReader(b))
		if err == nil {
			ScorePairs([]Pair{{MessageID: "a", Confidence: 0.5}}, truth, 0.1)
		}
	})
}

func TestLagErrors(t *testing.T) {
	curve := []LagPiece{{Lag: 6 * time.Second}, {From: 10 * time.Second, Lag: 11 * time.Second}}
	e := LagErrors(curve, []TruthLag{{0, 6.5}, {9, 11}}, 20*time.Second)
	if e[0] != 500*time.Millisecond || e[95] != 5*time.Second || e[150] != 0 {
		t.Errorf("%v %v %v", e[0], e[95], e[150])
	}
	if q := Quantile(e, 0.9); q != 500*time.Millisecond {
		t.Errorf("quantile %v", q)
	}
}

func TestPairTable(t *testing.T) {
	table := newPairTable()
	want := map[[2]int32]float64{}
	r := splitmix(3)
	for range 50000 {
		w, v, f := int32(r.next()%300), int32(r.next()%300), uint8(r.next()%folds)
		table.add(w, v, f, 0.5)
		if f != 2 {
			want[[2]int32{w, v}] += 0.5
		}
	}
	table.sum()
	for k, x := range want {
		if got := table.without(k[0], k[1], 2); math.Abs(got-x) > 1e-4 {
			t.Fatalf("%v: %v, want %v", k, got, x)
		}
	}
	if table.without(999, 999, 0) != 0 {
		t.Error("a pair that was never added has a count")
	}
}

// The calibration is held against draws from a mixture whose odds are known.
func TestCalibrateFindsKnownOdds(t *testing.T) {
	r := splitmix(9)
	uniform := func() float64 { return float64(r.next()>>11) / (1 << 53) }
	normal := func() float64 { return math.Sqrt(-2*math.Log(1-uniform())) * math.Cos(2*math.Pi*uniform()) }
	// others at N(-2, 2), answers at N(2, 2), a third of them answers: the log odds at x are x - log 2
	var odds []evidence
	for range 6000 {
		e := evidence{plain: true}
		centre := -2.0
		if uniform() < 1.0/3 {
			centre = 2
		}
		e.real = centre + 2*normal()
		for k := range e.chance {
			e.chance[k] = -2 + 2*normal()
		}
		odds = append(odds, e)
	}
	p := platt{0, 1}
	for _, x := range []float64{-2, 0, 2} {
		got, want := sigmoid(calibrate(odds, p).at(x)), sigmoid(x-math.Log(2))
		if math.Abs(got-want) > 0.1 {
			t.Errorf("at %v: %.3f, want %.3f", x, got, want)
		}
	}
}

// Whatever people react to, the delays of their answers have mass 1, but for the little that lies beyond the table.
func TestReactionsAreDensities(t *testing.T) {
	for _, early := range []float64{0, 0.4, 1} {
		d := newDensity(law{mu: 0.9, sigma: 0.5, early: early}, -4, 20, 0.1)
		for _, told := range []float64{-1, 0, 0.1, 0.5, 1.2} {
			const h = 0.01
			mass := 0.0
			for x := d.lo; x < d.hi; x += h {
				mass += h * d.reaction(x, told)
			}
			if math.Abs(mass-1) > 0.01 {
				t.Errorf("early %v, told %v s before the end: mass %v", early, told, mass)
			}
		}
		if got := d.between(1, 3); math.Abs(got-numeric(d, 1, 3)) > 0.005 {
			t.Errorf("mass from 1 to 3 s: %v, want %v", got, numeric(d, 1, 3))
		}
	}
}

// numeric is the mass of the reactions to an utterance's end from a to b.
func numeric(d *density, a, b float64) float64 {
	const h = 0.001
	mass := 0.0
	for x := a + h/2; x < b; x += h {
		mass += h * d.at(x)
	}
	return mass
}

// An answer that repeats a word said before the end tells where people react.
func TestEarlyReactionsCountFromTheRepeatedWord(t *testing.T) {
	end, early := newDensity(law{mu: 0.9, sigma: 0.3}, -4, 20, 0.1), newDensity(law{mu: 0.9, sigma: 0.3, early: 1}, -4, 20, 0.1)
	usual := math.Exp(0.9)
	if a, b := end.reaction(usual-1, 1), early.reaction(usual-1, 1); b < 2*a {
		t.Errorf("a second before the usual delay, to a word a second before the end: %v, to the end %v", b, a)
	}
	if a, b := end.reaction(usual-1, 0), early.reaction(usual-1, 0); b > 2*a {
		t.Errorf("to the last word there is no early reaction: %v against %v", b, a)
	}
}

func TestFarJumpsCostMore(t *testing.T) {
	links := make([]linked, 100)
	for i, h := range []float64{0, 2, 8, 30} {
		if i > 0 && jumpCost(links, h) <= jumpCost(links, h/4) || jumpCost(links, h) != jumpCost(links, -h) {
			t.Errorf("a jump of %v s costs %v", h, jumpCost(links, h))
		}
	}
	if jumpCost(links, 5) <= jumpCost(links[:10], 5) {
		t.Error("with more messages a jump has more places and must cost more")
	}
}

// Authors are put into classes by how much they write, all streams of a crowd together.
func TestAuthorsByHowMuchTheyWrite(t *testing.T) {
	var in []*Input
	for _, id := range []string{"a", "b"} {
		s := &Input{Stream: id, Transcript: transcript(word("hello", 0, 1))}
		for author, n := range map[string]int{"once": 0, "twice": 1, "often": 9, "always": 500} {
			if author == "once" && id == "a" {
				n = 1
			}
			for i := range n {
				s.Messages = append(s.Messages, chat.Message{ID: author + fmt.Sprint(i), Time: time.Duration(i) * time.Second, Author: chat.Author{ID: author, Name: author}, Text: "hi"})
			}
		}
		in = append(in, s)
	}
	opt, err := Options{}.withDefaults(1000)
	if err != nil {
		t.Fatal(err)
	}
	c := newCorpus(in, &opt)
	got := map[string]uint8{}
	for _, tr := range c.tracks {
		for _, m := range tr.tgt {
			got[tr.in.Messages[m.index].Author.ID] = c.habit[m.author]
		}
	}
	if want := map[string]uint8{"once": 0, "twice": 1, "often": 4, "always": habits - 1}; !maps.Equal(got, want) {
		t.Errorf("classes %v, want %v", got, want)
	}
}
