package quality

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"banter/stdlib/align"
	"banter/stdlib/chat"
)

// pair makes a pair of stream s whose message was sent at the given second.
func pair(id string, at float64, response string) align.Pair {
	return align.Pair{
		Stream: "s", MessageID: id, AuthorHash: "author-" + id, Response: response, Speech: "what do you think",
		MessageTime: time.Duration(at * 1e9), SpeechStart: 0, SpeechEnd: 2 * time.Second, LastWord: 4,
		Delay: 2 * time.Second, Confidence: 0.8, FDR: 0.05, SpeechProb: 0.9,
	}
}

func apply(t *testing.T, pairs []align.Pair, around Context, rules ...Rule) *Result {
	t.Helper()
	res, err := Apply(context.Background(), pairs, around, rules)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// reasons maps the message ids that fell to why.
func reasons(pairs []align.Pair, res *Result) map[string]string {
	m := map[string]string{}
	for _, d := range res.Drops {
		m[pairs[d.Pair].MessageID] = d.Reason
	}
	return m
}

func TestRulesAboutOnePair(t *testing.T) {
	set := func(f func(*align.Pair)) align.Pair {
		p := pair("x", 10, "fine answer")
		f(&p)
		return p
	}
	for _, c := range []struct {
		name string
		rule Rule
		pair align.Pair
		says string // empty where the pair stays
	}{
		{"confidence at the threshold", Confidence{AtLeast: 0.8}, pair("a", 1, "x"), ""},
		{"confidence below", Confidence{AtLeast: 0.81}, pair("a", 1, "x"), "confidence below 0.81"},
		{"confidence above", Confidence{AtMost: 0.5}, pair("a", 1, "x"), "confidence above 0.5"},
		{"confidence not a number", Confidence{}, set(func(p *align.Pair) { p.Confidence = math.NaN() }), "confidence below 0"},
		{"fdr", FDR{AtMost: 0.01}, pair("a", 1, "x"), "false discovery rate above 0.01"},
		{"fdr at the threshold", FDR{AtMost: 0.05}, pair("a", 1, "x"), ""},
		{"one word of two", Words{Min: 2}, pair("a", 1, "x"), "fewer than 2 words"},
		{"three words of two", Words{Min: 1, Max: 2}, pair("a", 1, "x y z"), "more than 2 words"},
		{"characters, not bytes", Chars{Max: 3}, pair("a", 1, "äöü"), ""},
		{"too many characters", Chars{Max: 3}, pair("a", 1, "äöüß"), "more than 3 characters"},
		{"delay inside", Delay{Max: 10 * time.Second}, pair("a", 1, "x"), ""},
		{"delay too long", Delay{Max: time.Second}, pair("a", 1, "x"), "later than 1s"},
		{"delay too short", Delay{Min: 3 * time.Second, Max: 4 * time.Second}, pair("a", 1, "x"), "sooner than 3s"},
		{"command", Commands{}, pair("a", 1, "!uptime please"), "command"},
		{"not a command", Commands{}, pair("a", 1, "!!! wow"), ""},
		{"bot by badge", Bots{}, set(func(p *align.Pair) { p.AuthorRoles = chat.Bot | chat.Moderator }), "bot"},
		{"moderator is no bot", Bots{}, set(func(p *align.Pair) { p.AuthorRoles = chat.Moderator }), ""},
		{"bot by hash", Bots{Authors: []string{"0123456789abcdef"}}, set(func(p *align.Pair) { p.AuthorHash = "0123456789abcdef" }), "listed"},
		{"link with scheme", Links{}, pair("a", 1, "look https://x.example/y"), "link"},
		{"link with www", Links{}, pair("a", 1, "www.example"), "link"},
		{"bare link", Links{}, pair("a", 1, "cheap viewers -> example.net/v76"), "link"},
		{"bare link at the end", Links{}, pair("a", 1, "go to Example.COM."), "link"},
		{"no link: sentence without space", Links{}, pair("a", 1, "wait.what is that"), ""},
		{"no link: version", Links{}, pair("a", 1, "version 1.2.3 is out"), ""},
		{"no link: dots", Links{}, pair("a", 1, "hmm... ok"), ""},
		{"emotes alone", EmoteOnly{}, set(func(p *align.Pair) { p.EmoteOnly = true }), "emotes"},
		{"addressed", ViewerAddressed{}, pair("a", 1, "@Someone haha nice"), "viewer"},
		{"streamer addressed", ViewerAddressed{Streamer: []string{"@SomeOne"}}, pair("a", 1, "@someone, haha"), ""},
		{"reply", ViewerAddressed{}, set(func(p *align.Pair) { p.ReplyTo = "m1" }), "replies"},
		{"reply to the streamer", ViewerAddressed{Streamer: []string{"cook"}}, set(func(p *align.Pair) { p.ReplyTo, p.Response = "m1", "@cook yes" }), ""},
		{"deleted", Deleted{}, set(func(p *align.Pair) { p.Deleted = true }), "removed"},
		{"cheer", Cheers{AtMost: 99}, set(func(p *align.Pair) { p.Bits = 100 }), "more than 99 bits"},
		{"speech probability", SpeechConfidence{AtLeast: 0.95}, pair("a", 1, "x"), "below 0.95"},
		{"speech without probability", SpeechConfidence{AtLeast: 0.5}, set(func(p *align.Pair) { p.SpeechProb = -1 }), "without"},
		{"speech without probability stays", SpeechConfidence{AtLeast: 0.5, Unknown: true}, set(func(p *align.Pair) { p.SpeechProb = -1 }), ""},
		{"speech too long", SpeechTiming{Max: time.Second}, pair("a", 1, "x"), "longer than 1s"},
		{"speech too short", SpeechTiming{Min: 3 * time.Second}, pair("a", 1, "x"), "shorter than 3s"},
		{"speech too fast", SpeechTiming{MaxRate: 1.5}, pair("a", 1, "x"), "1.5 words a second"},
		{"speech words", SpeechWords{Min: 5}, pair("a", 1, "x"), "fewer than 5"},
		{"insult", Toxicity{}, pair("a", 1, "what an IDIOOOT you are"), "idiot"},
		{"insult in other signs", Toxicity{}, pair("a", 1, "1d10t"), "idiot"},
		{"insult cut by invisible signs", Toxicity{}, pair("a", 1, "you i\u200bdi\u00adot"), "idiot"},
		{"insult in letters of other scripts", Toxicity{}, pair("a", 1, "you \u0456di\u043et"), "idiot"},
		{"a word of another script is itself", Toxicity{Words: []string{"cop"}}, pair("a", 1, "\u0441\u043e\u0440"), ""},
		{"insult of two words", Toxicity{}, pair("a", 1, "oh SHUT  up, you"), "shut up"},
		{"no insult within a word", Toxicity{}, pair("a", 1, "closers and the shutter upstairs"), ""},
		{"own word", Toxicity{Words: []string{"turnip"}}, pair("a", 1, "you Turnip!"), "turnip"},
		{"own word is whole", Toxicity{Words: []string{"turnip"}}, pair("a", 1, "turnips"), ""},
		{"German to an English list", Language{Keep: []string{"en"}}, pair("a", 1, "das ist wirklich ein sehr schöner Tag, findest du nicht auch"), "German"},
		{"English stays", Language{Keep: []string{"en"}}, pair("a", 1, "that is really a very nice day, don't you think so too"), ""},
		{"short text stays", Language{Keep: []string{"en"}}, pair("a", 1, "guten Tag"), ""},
		{"emotes stay", Language{Keep: []string{"en"}}, pair("a", 1, "PogChamp PogChamp PogChamp chefWave chefWave chefWave"), ""},
		{"Russian", Language{Keep: []string{"en"}}, pair("a", 1, "это действительно очень хороший день сегодня"), "another script"},
		{"Russian kept", Language{Keep: []string{"ru"}}, pair("a", 1, "это действительно очень хороший день сегодня"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := apply(t, []align.Pair{c.pair}, Context{}, c.rule)
			switch {
			case c.says == "" && len(res.Drops) > 0:
				t.Errorf("dropped: %s", res.Drops[0].Reason)
			case c.says != "" && len(res.Drops) == 0:
				t.Error("kept")
			case c.says != "" && !strings.Contains(res.Drops[0].Reason, c.says):
				t.Errorf("reason is %q, want %q", res.Drops[0].Reason, c.says)
			}
		})
	}
}

func TestKey(t *testing.T) {
	emotes := map[string]bool{"KEKW": true, "chefWave": true, "o7": true}
	for _, c := range []struct{ a, b string }{
		{"nooooo WAY!!!", "no way"},
		{"hahahahaha", "haha"},
		{"HAHAHAH", "hahaha"},
		{"KEKW KEKW KEKW", "KEKW"},
		{"hiiii chefWave chefWave", "hi chefWave"},
		{"so good \U000E0000", "so good"},
		{"ｗｉｄｅ", "wide"},
		{"cliché", "cliche"},
		{"???", "?"},
		{"lol, lol. lol", "lol"},
		{"so g\u200boo\u00add", "so good"},
		{"KEKW\u200b nice", "KEKW nice"},
	} {
		if a, b := Key(c.a, emotes), Key(c.b, emotes); a != b || a == "" {
			t.Errorf("%q is %q, %q is %q", c.a, a, c.b, b)
		}
	}
	for _, c := range []struct{ a, b string }{
		{"good", "god"}, {"KEKW", "chefWave"}, {"10000", "10"}, {"yes", "no"}, {"?", "!"}, {"too", "to"},
	} {
		if Key(c.a, emotes) == Key(c.b, emotes) {
			t.Errorf("%q and %q have the same key", c.a, c.b)
		}
	}
}

func TestRepetition(t *testing.T) {
	paste := "this is the sacred text of the onion, copy it or be cursed for a hundred years"
	pairs := []align.Pair{
		pair("1", 1, "lets gooooo"), pair("2", 5, "Lets go"), pair("3", 50, "lets go!"), pair("4", 51, "no"),
		pair("5", 60, paste), pair("6", 61, strings.ToUpper(paste)), pair("7", 62, paste+" onionCry"), pair("8", 63, paste),
		pair("9", 200, paste),
	}
	other := pair("10", 0, "lets go")
	other.Stream = "a"
	pairs = append(pairs, other)
	for _, c := range []struct {
		name string
		rule Rule
		want []string // ids that fall
	}{
		{"within 30 s", Duplicates{Window: 30 * time.Second}, []string{"2", "6", "8"}},
		{"whole stream", Duplicates{}, []string{"2", "3", "6", "8", "9"}},
		{"across streams", Duplicates{Global: true}, []string{"1", "2", "3", "6", "8", "9"}},
		{"near, within 30 s", NearDuplicates{Similarity: 0.8, Window: 30 * time.Second}, []string{"2", "6", "7", "8"}},
		{"near, whole stream", NearDuplicates{Similarity: 0.8}, []string{"2", "3", "6", "7", "8", "9"}},
		{"copypasta", Copypasta{MinChars: 30, Copies: 3, Window: 10 * time.Second}, []string{"5", "6", "8"}},
		{"copypasta too short", Copypasta{MinChars: 300, Copies: 2, Window: time.Hour}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for turn := range 5 { // the order of the pairs must not matter
				rng := rand.New(rand.NewPCG(1, uint64(turn)))
				mixed := slices.Clone(pairs)
				rng.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
				var got []string
				for id := range reasons(mixed, apply(t, mixed, Context{}, c.rule)) {
					got = append(got, id)
				}
				slices.Sort(got)
				if !slices.Equal(got, c.want) {
					t.Fatalf("dropped %v, want %v", got, c.want)
				}
			}
		})
	}
}

// A message with several pairs does not repeat itself.
func TestPairsOfOneMessageAreNoDuplicates(t *testing.T) {
	a, b := pair("1", 1, "lets go"), pair("1", 1, "lets go")
	b.FirstWord = 2
	if res := apply(t, []align.Pair{a, b}, Context{}, Duplicates{}, NearDuplicates{Similarity: 0.5}); len(res.Kept) != 2 {
		t.Errorf("dropped %+v", res.Drops)
	}
}

// The exact search must find what comparing every two texts finds.
func TestNearDuplicatesAgreeWithBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	syllables := []string{"ka", "ro", "mi", "tel", "onion", "s", "xy", "go"}
	for _, similarity := range []float64{0.3, 0.5, 0.8, 1} {
		for _, window := range []time.Duration{0, 20 * time.Second} {
			var pairs []align.Pair
			for i := range 300 {
				var b strings.Builder
				for range 1 + rng.IntN(5) {
					b.WriteString(syllables[rng.IntN(len(syllables))])
					if rng.IntN(3) == 0 {
						b.WriteByte(' ')
					}
				}
				pairs = append(pairs, pair(fmt.Sprintf("%03d", i), float64(i), b.String()))
			}
			res := apply(t, pairs, Context{}, NearDuplicates{Similarity: similarity, Window: window})
			got := reasons(pairs, res)
			grams := func(s string) map[string]bool {
				m := map[string]bool{}
				r := []rune(" " + Key(s, nil) + " ")
				for i := 0; i+3 <= len(r); i++ {
					m[string(r[i:i+3])] = true
				}
				return m
			}
			var kept []int
			for i := range pairs {
				a := grams(pairs[i].Response)
				dup := false
				for _, k := range kept {
					if window > 0 && pairs[i].MessageTime-pairs[k].MessageTime > window {
						continue
					}
					b := grams(pairs[k].Response)
					both := 0
					for g := range a {
						if b[g] {
							both++
						}
					}
					if float64(both) >= similarity*float64(len(a)+len(b)-both)-1e-9 {
						dup = true
					}
				}
				if _, dropped := got[pairs[i].MessageID]; dropped != dup {
					t.Fatalf("similarity %v, window %v: %q dropped %v, want %v", similarity, window, pairs[i].Response, dropped, dup)
				}
				if !dup {
					kept = append(kept, i)
				}
			}
		}
	}
}

func TestWholeChatIsLookedAt(t *testing.T) {
	paste := "this is the sacred text of the onion, copy it or be cursed"
	log := []chat.Message{
		{ID: "1", Time: 1 * time.Second, Author: chat.Author{ID: "7", Name: "HelperBot9"}, Text: paste},
		{ID: "2", Time: 2 * time.Second, Author: chat.Author{ID: "8"}, Text: paste},
		{ID: "3", Time: 3 * time.Second, Author: chat.Author{ID: "9"}, Text: paste},
		{ID: "4", Time: 4 * time.Second, Author: chat.Author{ID: "9"}, Text: "a KEKW KEKW", Emotes: []chat.Emote{{Name: "KEKW", Start: 2, End: 6}}},
	}
	pairs := []align.Pair{pair("1", 1, paste), pair("4", 4, "a KEKW KEKW")}
	around := Context{Chats: map[string][]chat.Message{"s": log}}
	if got := reasons(pairs, apply(t, pairs, around, Copypasta{MinChars: 20, Copies: 3, Window: time.Minute})); len(got) != 1 || got["1"] == "" {
		t.Errorf("copypasta: %v", got)
	}
	if got := reasons(pairs, apply(t, pairs, Context{}, Copypasta{MinChars: 20, Copies: 3, Window: time.Minute})); len(got) != 0 {
		t.Errorf("copypasta without the chat: %v", got)
	}
	if got := reasons(pairs, apply(t, pairs, around, Bots{Authors: []string{"helperbot9"}})); len(got) != 1 || got["1"] == "" {
		t.Errorf("bots: %v", got)
	}
	if _, err := Apply(context.Background(), pairs, Context{}, []Rule{Bots{Authors: []string{"helperbot9"}}}); err == nil {
		t.Error("a bot by name without the chat is no error")
	}
	if got := reasons(pairs, apply(t, pairs, around, Flood{Messages: 1, Window: time.Minute})); len(got) != 1 || got["4"] == "" {
		t.Errorf("flood: %v", got)
	}
}

func TestMaskPII(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"mail me: jo.bloggs+x@mail.example.org ok", "mail me: <mail> ok"},
		{"jo (at) example (dot) org", "<mail>"},
		{"call +44 20 7946 0958 now", "call <phone> now"},
		{"call (555) 010-9999", "call <phone>"},
		{"or 555-010-9999", "or <phone>"},
		{"0171 5550 1234", "<phone>"},
		{"I live at 12 Old Mill Road", "I live at <address>"},
		{"Hauptstraße 5 in town", "<address> in town"},
		{"@Some_One2 look, @other!", "@user look, @user!"},
		{"a 1000000 hp boss", "a 1000000 hp boss"},
		{"it was 1,000,000", "it was 1,000,000"},
		{"on 2024-05-17 at 20:15", "on 2024-05-17 at 20:15"},
		{"1 2 3 4 5 6 7 8", "1 2 3 4 5 6 7 8"},
		{"gg 10-0", "gg 10-0"},
		{"12 drive by the road", "12 drive by the road"},
		{"müller@web.example or info@bäcker.example", "<mail> or <mail>"},
		{"jo＠mail.example", "<mail>"},
		{"почта@пример.рф", "<mail>"},
		{"jo{at}mail{dot}example", "<mail>"},
		{"write to jo dot bloggs at gmail dot com please", "write to <mail> please"},
		{"jo_7 at hotmail.com", "<mail>"},
		{"look at example dot com", "look at example dot com"},
		{"call +44\u00a020\u202f7946\u00a00958", "call <phone>"},
		{"call 555\u2011010\u20139999 é", "call <phone> é"},
		{"０１７１ ５５５０ １２３４", "<phone>"},
		{"٠١٧١٥٥٥٠١٢٣", "<phone>"},
		{"1-800-555-0199", "<phone>"},
		{"8 (495) 123-45-67", "<phone>"},
		{"06.12.34.56.78", "<phone>"},
		{"on 2024-05-17 20:15", "on 2024-05-17 20:15"},
		{"on 17.05.2024 20:15", "on 17.05.2024 20:15"},
		{"from 2019-2024", "from 2019-2024"},
		{"p is 0.123456789", "p is 0.123456789"},
		{"pi is 3.14159265358", "pi is 3.14159265358"},
		{"0 1 2 3 4 5 6 7 8 9", "0 1 2 3 4 5 6 7 8 9"},
		{"9-8-7-6-5-4-3-2-1-0", "9-8-7-6-5-4-3-2-1-0"},
		{".@Some_One2 and @@other.", ".@user and @@user."},
		{"＠wide @a@b @名前", "@user @user @user"},
	} {
		p := pair("1", 1, c.in)
		p.Speech = c.in
		pairs := []align.Pair{p}
		res := apply(t, pairs, Context{}, MaskPII{})
		got := res.Pairs(pairs)[0]
		if got.Response != c.want || got.Speech != c.want {
			t.Errorf("%q becomes %q, want %q", c.in, got.Response, c.want)
		}
		if masked := res.Report.Steps[0].Masked; (masked > 0) != (c.in != c.want) || masked%2 != 0 {
			t.Errorf("%q: %d parts masked", c.in, masked)
		}
		if pairs[0].Response != c.in {
			t.Error("the pairs given were changed")
		}
	}
	pairs := []align.Pair{pair("1", 1, "@a x@y.example")}
	if got := apply(t, pairs, Context{}, MaskPII{Kinds: []string{"handle"}}).Pairs(pairs)[0].Response; got != "@user x@y.example" {
		t.Errorf("only handles: %q", got)
	}
}

// loud is a judge that dislikes capitals.
type loud struct{}

func (loud) Name() string    { return "loud" }
func (loud) Version() string { return "2" }
func (loud) Reason(text string) string {
	if text == strings.ToUpper(text) {
		return "loud"
	}
	return ""
}

func TestJudge(t *testing.T) {
	pairs := []align.Pair{pair("1", 1, "AAA"), pair("2", 2, "aaa")}
	around := Context{Judges: []Judge{loud{}}}
	if got := reasons(pairs, apply(t, pairs, around, Toxicity{Judge: "loud", Version: "2"})); len(got) != 1 || got["1"] != "loud" {
		t.Errorf("got %v", got)
	}
	for _, r := range []Rule{Toxicity{Judge: "loud", Version: "1"}, Toxicity{Judge: "quiet"}} {
		if _, err := Apply(context.Background(), pairs, around, []Rule{r}); err == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}

func TestEncodeIsExactAndReversible(t *testing.T) {
	tenth := 0.1
	rules := []Rule{
		Confidence{AtLeast: tenth + 0.2}, FDR{AtMost: 0.1}, Words{Min: 1, Max: 9}, Chars{Max: 100}, Delay{Min: -time.Second, Max: time.Minute},
		Duplicates{Window: 30 * time.Second}, NearDuplicates{Similarity: 0.85, Global: true}, Copypasta{20, 3, time.Minute}, Flood{5, time.Minute},
		Commands{}, Bots{Authors: []string{"b", "a<b"}}, Links{}, EmoteOnly{}, ViewerAddressed{Streamer: []string{"x"}}, Deleted{}, Cheers{},
		Language{Keep: []string{"en", "de"}}, Toxicity{Words: []string{"x*"}}, MaskPII{Kinds: []string{"mail"}},
		SpeechConfidence{AtLeast: 0.5, Unknown: true}, SpeechTiming{Max: time.Second, MaxRate: 6}, SpeechWords{Min: 2},
	}
	if len(rules) != len(all()) {
		t.Fatalf("%d rules are tested, there are %d", len(rules), len(all()))
	}
	seen := map[string]bool{}
	for _, r := range rules {
		b, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(b)] {
			t.Errorf("%s encodes like another rule", r.Name())
		}
		seen[string(b)] = true
		back, err := Decode(b)
		if err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%s comes back as %+v, %v", b, back, err)
		}
	}
	if b, _ := Encode(Confidence{AtLeast: tenth + 0.2}); string(b) != `{"rule":"confidence","with":{"at_least":0.30000000000000004,"at_most":0}}` {
		t.Errorf("got %s", b)
	}
	for _, bad := range []string{``, `{}`, `{"rule":"nope"}`, `{"rule":"words","with":{"min":1,"most":2}}`, `{"rule":"fdr","with":{"at_most":2}}`, `{"rule":"deleted","with":{}} x`} {
		if r, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s is accepted as %+v", bad, r)
		}
	}
}

func TestRulesThatMeanNothingAreRefused(t *testing.T) {
	for _, r := range []Rule{
		nil, Confidence{AtLeast: 0.9, AtMost: 0.2}, Confidence{AtLeast: math.NaN()}, FDR{AtMost: -1}, Words{}, Words{Min: 3, Max: 2}, Chars{Min: -1}, Delay{},
		Duplicates{Window: time.Second, Global: true}, NearDuplicates{}, NearDuplicates{Similarity: 1.5}, Copypasta{}, Flood{}, Cheers{AtMost: -1},
		Language{}, Language{Keep: []string{"klingon"}}, Toxicity{Words: []string{"*"}}, Toxicity{Words: []string{"a"}, Judge: "x"},
		MaskPII{Kinds: []string{"shoes"}}, SpeechConfidence{AtLeast: 2}, SpeechTiming{}, SpeechWords{},
	} {
		if _, err := Apply(context.Background(), nil, Context{}, []Rule{r}); err == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}

// many makes n pairs with spread confidences and texts.
func many(n int) []align.Pair {
	rng := rand.New(rand.NewPCG(3, 3))
	texts := []string{"lol", "KEKW KEKW", "no way dude", "that was so good", "!uptime", "@bob hi", "mail a@b.example", "see example.com/x", "gg"}
	pairs := make([]align.Pair, n)
	for i := range pairs {
		p := pair(fmt.Sprint(i), float64(i)/10, texts[rng.IntN(len(texts))])
		p.Confidence = rng.Float64()
		pairs[i] = p
	}
	return pairs
}

func TestReportAccountsForEveryPair(t *testing.T) {
	pairs := many(50000)
	rules := []Rule{Confidence{AtLeast: 0.3}, Commands{}, Links{}, MaskPII{}, ViewerAddressed{}, Duplicates{Window: time.Second}, Words{Min: 2}}
	res := apply(t, pairs, Context{}, rules...)
	in := len(pairs)
	for i, s := range res.Report.Steps {
		if s.Rule != rules[i].Name() || s.In != in || s.In-s.Dropped != s.Out || len(s.Examples) > maxExamples || s.Dropped > 0 && len(s.Examples) == 0 {
			t.Errorf("step %+v", s)
		}
		in = s.Out
	}
	seen := make([]int, len(pairs))
	for _, i := range res.Kept {
		seen[i]++
	}
	for _, d := range res.Drops {
		seen[d.Pair]++
		if d.Reason == "" || d.Rule < 0 || d.Rule >= len(rules) {
			t.Errorf("drop %+v", d)
		}
	}
	for i, n := range seen {
		if n != 1 {
			t.Fatalf("pair %d is accounted for %d times", i, n)
		}
	}
	if res.Report.In != len(pairs) || res.Report.Out != len(res.Kept) || len(res.Pairs(pairs)) != len(res.Kept) {
		t.Errorf("report says %d in, %d out", res.Report.In, res.Report.Out)
	}
	for _, m := range res.Masks {
		if !strings.Contains(m.Response, "<mail>") {
			t.Fatalf("mask %+v", m)
		}
	}
}

func TestWorkersDoNotChangeTheResult(t *testing.T) {
	pairs := many(60000)
	rules := []Rule{Confidence{AtLeast: 0.3}, Links{}, MaskPII{}, Duplicates{Window: time.Second}}
	var want []byte
	for _, workers := range []int{1, 2, 7} {
		old := runtime.GOMAXPROCS(workers)
		res := apply(t, pairs, Context{}, rules...)
		runtime.GOMAXPROCS(old)
		got, err := json.Marshal(res)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		} else if string(got) != string(want) {
			t.Errorf("%d workers give another result", workers)
		}
	}
}

func TestApplyStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Apply(ctx, many(10), Context{}, []Rule{Links{}}); err == nil {
		t.Error("a stopped run gives a result")
	}
}

func TestReview(t *testing.T) {
	var pairs []align.Pair
	for i, c := range []float64{0.1, 0.45, 0.5, 0.55, 0.7, 0.6, 0.4} {
		p := pair(fmt.Sprint(i), 1, "x")
		p.Confidence = c
		pairs = append(pairs, p)
	}
	rows, err := Review(pairs, 0.4, 0.6)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range rows {
		ids = append(ids, r.MessageID)
	}
	if got := strings.Join(ids, " "); got != "2 1 3 5 6" && got != "2 3 1 5 6" && got != "2 1 3 6 5" && got != "2 3 1 6 5" {
		t.Errorf("order is %s", got)
	}
	if _, err := Review(pairs, 0.6, 0.4); err == nil {
		t.Error("a band upside down is accepted")
	}
}

func TestReadWordList(t *testing.T) {
	got, err := ReadWordList(strings.NewReader("# note\n\nTurnip\nparsnip*\nturnip\nshut it\n"))
	if err != nil || !slices.Equal(got, []string{"parsnip*", "shut it", "turnip"}) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"", "# only a note", "a*b", "--"} {
		if got, err := ReadWordList(strings.NewReader(bad)); err == nil {
			t.Errorf("%q gives %q", bad, got)
		}
	}
}

// On the shipped streams, whose kinds of message are known, the rules must take what they are made for and little else.
func TestRulesOnShippedStreams(t *testing.T) {
	taken, of := map[string]int{}, map[string]int{}
	for _, s := range []string{"s1", "s2", "s3"} {
		var truth struct {
			Messages []struct{ Kind, Sub string } `json:"messages"`
		}
		var log struct {
			Comments []struct {
				ID      string `json:"_id"`
				Message struct {
					Body string `json:"body"`
				} `json:"message"`
			} `json:"comments"`
		}
		for name, v := range map[string]any{"truth.json": &truth, "chat.json": &log} {
			b, err := os.ReadFile("../../testdata/streams/" + s + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, v); err != nil {
				t.Fatal(err)
			}
		}
		var pairs []align.Pair
		for i, c := range log.Comments {
			pairs = append(pairs, pair(fmt.Sprint(i), float64(i), c.Message.Body))
		}
		res := apply(t, pairs, Context{}, Commands{}, Links{}, ViewerAddressed{}, Language{Keep: []string{"en"}}, Toxicity{})
		for i := range truth.Messages {
			of[truth.Messages[i].Kind+"/"+truth.Messages[i].Sub]++
		}
		for _, d := range res.Drops {
			m := truth.Messages[d.Pair]
			taken[m.Kind+"/"+m.Sub]++
			if m.Kind == "reply" {
				t.Errorf("%s: reply %q is dropped: %s", s, pairs[d.Pair].Response, d.Reason)
			}
		}
	}
	t.Log(taken, of)
	for _, kind := range []string{"background/command", "background/link", "chat2chat/", "spam/ad"} {
		if taken[kind] < of[kind] || of[kind] == 0 {
			t.Errorf("%s: %d of %d are taken", kind, taken[kind], of[kind])
		}
	}
}

func FuzzRuleDecode(f *testing.F) {
	for _, r := range all() {
		if b, err := Encode(r); err == nil {
			f.Add(b)
		}
	}
	f.Add([]byte(`{"rule":"toxicity","with":{"words":["a b*"]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Encode(r)
		if err != nil {
			t.Fatalf("decoded rule does not encode: %v", err)
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if third, err := Encode(back); err != nil || string(third) != string(again) {
			t.Fatalf("%s, then %s", again, third)
		}
	})
}

// FuzzTexts runs every rule that reads text over arbitrary text.
func FuzzTexts(f *testing.F) {
	for _, s := range []string{"", "@", "!", "a@b.c", "www.", "\U000E0000", "1d10t", "hahah", "+1 2 3 4 5 6 7", "\xff\xfe"} {
		f.Add(s)
	}
	rules := []Rule{
		MaskPII{}, Words{Min: 1}, Chars{Min: 1}, Links{}, Commands{}, ViewerAddressed{}, Toxicity{}, Language{Keep: []string{"en"}},
		Duplicates{}, NearDuplicates{Similarity: 0.7}, Copypasta{1, 2, time.Hour},
	}
	f.Fuzz(func(t *testing.T, s string) {
		pairs := []align.Pair{pair("1", 1, s), pair("2", 2, s+s)}
		for _, r := range rules {
			if _, err := Apply(context.Background(), pairs, Context{Emotes: []string{"KEKW"}}, []Rule{r}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkRefilterMillion(b *testing.B) {
	pairs := many(1_000_000)
	for b.Loop() {
		if _, err := Apply(context.Background(), pairs, Context{}, []Rule{Confidence{AtLeast: 0.6}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTextRules(b *testing.B) {
	pairs := many(100_000)
	for _, r := range []Rule{Links{}, MaskPII{}, Toxicity{}, Language{Keep: []string{"en"}}, Duplicates{Window: time.Second}, NearDuplicates{Similarity: 0.8, Window: 30 * time.Second}, NearDuplicates{Similarity: 0.8, Global: true}} {
		b.Run(fmt.Sprintf("%s/%v", r.Name(), r), func(b *testing.B) {
			for b.Loop() {
				if _, err := Apply(context.Background(), pairs, Context{}, []Rule{r}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
