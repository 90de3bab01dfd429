package dsl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banter/dsl/event"
	"banter/dsl/memo"
)

// lab is a folder with small streams, on which verbs are said in one session after another, as in processes of their own.
type lab struct {
	t       *testing.T
	dir     string
	store   string
	streams string
	words   string
}

func newLab(t *testing.T, ids ...string) *lab {
	dir := t.TempDir()
	l := &lab{t, dir, filepath.Join(dir, "store"), filepath.Join(dir, "streams"), filepath.Join(dir, "words")}
	for i, id := range ids {
		l.stream(id, i)
	}
	return l
}

func (l *lab) write(path, text string) {
	l.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// stream makes a stream of half a minute: a sound that is its own, a chat log, and a transcript.
func (l *lab) stream(id string, n int) {
	l.write(filepath.Join(l.streams, id, "audio.wav"), tone(n))
	l.write(filepath.Join(l.streams, id, "chat.json"), chatLog(n, "hello"))
	l.write(filepath.Join(l.words, id, "script.vtt"), "WEBVTT\n\n00:00:01.000 --> 00:00:04.000\nwhat should we cook today\n\n00:00:10.000 --> 00:00:13.000\nthe dragon is back again\n")
}

// tone is 30 s of 16-bit sound at 8 kHz.
func tone(n int) string {
	const samples = 30 * 8000
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	b = binary.LittleEndian.AppendUint32(b, 2*samples)
	for i := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(8000*math.Sin(float64(i)*float64(n+1)/50))))
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return string(b)
}

func chatLog(n int, first string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"streamer":{"name":"x","id":1},"video":{"id":"%d","title":"t","start":0,"end":30},"comments":[`, 100+n)
	for i, text := range []string{first, "soup!", "pasta please", "oh no the dragon", "run", "soup again"} {
		if i > 0 {
			b.WriteByte(',')
		}
		at := 3 + 4*i
		fmt.Fprintf(&b, `{"_id":"m%d-%d","created_at":"2025-03-01T18:00:%02d.500Z","content_offset_seconds":%d,"commenter":{"display_name":"v%d","_id":"%d","name":"v%d"},"message":{"body":%q,"bits_spent":0,"fragments":[{"text":%q,"emoticon":null}],"user_badges":[],"emoticons":[]}}`,
			n, i, at, at, i%3, i%3, i%3, text, text)
	}
	return b.String() + "]}"
}

// say runs verbs in a session of its own, and gives the outcome of each step by its verb and label: "load a".
func (l *lab) say(body func()) (map[string]memo.Outcome, error) {
	l.t.Helper()
	s, err := Open(Config{Store: l.store, Out: filepath.Join(l.dir, "out")})
	if err != nil {
		l.t.Fatal(err)
	}
	defer s.Close()
	err = s.Run(context.Background(), func() error { body(); return nil })
	out := map[string]memo.Outcome{}
	for _, r := range s.Ran() {
		if r.Err == nil {
			name := r.Step.Verb
			if name == "load" || name == "transcribe" {
				name += " " + r.Step.Label
			}
			out[name] = r.Outcome
		}
	}
	return out, err
}

// pairs says the verbs that need no model.
func (l *lab) pairs(options []AlignOption, rules ...any) func() {
	return func() { Filter(Align(Words(Load(l.streams), l.words), options...), rules...) }
}

// made lists the steps that were not hits.
func made(out map[string]memo.Outcome) []string {
	names := []string{}
	for name, o := range out {
		if o == memo.Made {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func always(*Pair) bool { return true }

func predicate(source string, captures ...Capture) Predicate {
	return Predicate{Keep: always, Source: source, Captures: captures}
}

// TestAdversarialVerbs says the same verbs twice and changes something between: only what depends on it may be made again.
func TestAdversarialVerbs(t *testing.T) {
	thr := Capture{"thr", "float64", "0.6"}
	lim := Capture{"lim", "int", "3"}
	type said struct {
		options []AlignOption
		rules   []any
	}
	plain := said{rules: []any{NoBots(), FDR.AtMost(0.9)}}
	for _, c := range []struct {
		name   string
		first  said
		change func(l *lab)
		then   said
		made   []string
	}{
		{"nothing", plain, nil, plain, nil},

		// Options that mean the same
		{"options in another order", said{options: []AlignOption{Window(0, 10*Second), SpeechWindow(8 * Second)}}, nil, said{options: []AlignOption{SpeechWindow(8 * Second), Window(0, 10*Second)}}, nil},
		{"option said twice, the last counts", said{options: []AlignOption{SpeechWindow(8 * Second)}}, nil, said{options: []AlignOption{SpeechWindow(9 * Second), SpeechWindow(8 * Second)}}, nil},
		{"default said aloud: lag", said{}, nil, said{options: []AlignOption{Lag(Auto)}}, nil},
		{"default said aloud: window", said{}, nil, said{options: []AlignOption{Window(-1500*Millisecond, 20*Second)}}, nil},
		{"default said aloud: speech window", said{}, nil, said{options: []AlignOption{SpeechWindow(12 * Second)}}, nil},
		{"default said aloud: lag range", said{}, nil, said{options: []AlignOption{LagRange(-30*Second, Minute)}}, nil},
		{"features left out in another order", said{options: []AlignOption{Without("text", "emote")}}, nil, said{options: []AlignOption{Without("emote", "text", "emote")}}, nil},
		{"duration in other units", said{options: []AlignOption{SpeechWindow(10 * Second)}}, nil, said{options: []AlignOption{SpeechWindow(10000 * Millisecond)}}, nil},
		{"float formatting in a rule", said{rules: []any{FDR.AtMost(0.10)}}, nil, said{rules: []any{FDR.AtMost(1e-1)}}, nil},
		{"default said aloud: ranker", said{}, nil, said{options: []AlignOption{Ranker("logistic")}}, nil},
		{"no hosts", said{}, nil, said{options: []AlignOption{Hosts()}}, nil},

		// Options that do not
		{"another window", said{}, nil, said{options: []AlignOption{Window(-Second, 20*Second)}}, []string{"align", "filter"}},
		{"a fixed lag", said{}, nil, said{options: []AlignOption{Lag(5 * Second)}}, []string{"align", "filter"}},
		{"another salt", said{}, nil, said{options: []AlignOption{Salt("x")}}, []string{"align", "filter"}},
		{"salts that are no text", said{options: []AlignOption{Salt("\xff")}}, nil, said{options: []AlignOption{Salt("\xfe")}}, []string{"align", "filter"}},
		{"another ranker", said{}, nil, said{options: []AlignOption{Ranker("trees")}}, []string{"align"}},
		{"a host", said{}, nil, said{options: []AlignOption{Hosts("x")}}, []string{"align"}},
		{"the other direction", said{}, nil, said{options: []AlignOption{ChatToSpeech()}}, []string{"align", "filter"}},
		{"threshold of a rule", said{rules: []any{FDR.AtMost(0.5)}}, nil, said{rules: []any{FDR.AtMost(0.6)}}, []string{"filter"}},
		{"at most for at least", said{rules: []any{Confidence.AtMost(0.5)}}, nil, said{rules: []any{Confidence.AtLeast(0.5)}}, []string{"filter"}},
		{"rules in another order", said{rules: []any{NoBots(), NoLinks()}}, nil, said{rules: []any{NoLinks(), NoBots()}}, []string{"filter"}},
		{"a rule twice", said{rules: []any{NoBots()}}, nil, said{rules: []any{NoBots(), NoBots()}}, []string{"filter"}},
		{"names of bots", said{rules: []any{NoBots("a", "b")}}, nil, said{rules: []any{NoBots("a", "c")}}, []string{"filter"}},
		{"names joined", said{rules: []any{NoBots("a", "b")}}, nil, said{rules: []any{NoBots("a,b")}}, []string{"filter"}},

		// Predicates
		{"same predicate", said{rules: []any{predicate("p.C > thr", thr)}}, nil, said{rules: []any{predicate("p.C > thr", thr)}}, nil},
		{"same predicate at another cell", said{rules: []any{predicate("p.C > thr", thr)}}, nil, said{rules: []any{Predicate{Keep: func(p *Pair) bool { return p != nil }, Source: "p.C > thr", Captures: []Capture{thr}}}}, nil},
		{"captures in another order", said{rules: []any{predicate("s", thr, lim)}}, nil, said{rules: []any{predicate("s", lim, thr)}}, nil},
		{"source of a predicate", said{rules: []any{predicate("p.C > thr", thr)}}, nil, said{rules: []any{predicate("p.C >= thr", thr)}}, []string{"filter"}},
		{"helper of a predicate", said{rules: []any{predicate("f(p)\nfunc f = g\nfunc g = 1", thr)}}, nil, said{rules: []any{predicate("f(p)\nfunc f = g\nfunc g = 2", thr)}}, []string{"filter"}},
		{"captured value", said{rules: []any{predicate("s", thr)}}, nil, said{rules: []any{predicate("s", Capture{"thr", "float64", "0.9"})}}, []string{"filter"}},
		{"captured type", said{rules: []any{predicate("s", Capture{"x", "int", "1"})}}, nil, said{rules: []any{predicate("s", Capture{"x", "uint8", "1"})}}, []string{"filter"}},
		{"one capture less", said{rules: []any{predicate("s", thr, lim)}}, nil, said{rules: []any{predicate("s", thr)}}, []string{"filter"}},
		{"values of two captures swapped", said{rules: []any{predicate("s", Capture{"a", "int", "1"}, Capture{"b", "int", "2"})}}, nil, said{rules: []any{predicate("s", Capture{"a", "int", "2"}, Capture{"b", "int", "1"})}}, []string{"filter"}},
		{"values of two captures of one name swapped", said{rules: []any{predicate("s", Capture{"a", "int", "1"}, Capture{"a", "int", "2"})}}, nil, said{rules: []any{predicate("s", Capture{"a", "int", "2"}, Capture{"a", "int", "1"})}}, []string{"filter"}},
		{"border of name and value moved", said{rules: []any{predicate("s", Capture{"a", "int", "1"})}}, nil, said{rules: []any{predicate("s", Capture{"a", "", "int 1"})}}, []string{"filter"}},
		{"predicate and rule swapped", said{rules: []any{predicate("s"), NoBots()}}, nil, said{rules: []any{NoBots(), predicate("s")}}, []string{"filter"}},
		{"two predicates swapped", said{rules: []any{predicate("s"), predicate("r")}}, nil, said{rules: []any{predicate("r"), predicate("s")}}, []string{"filter"}},
		{"predicate that cannot be remembered", said{rules: []any{Predicate{Keep: always, Source: "s", Uncacheable: "it captures a channel"}}}, nil, said{rules: []any{Predicate{Keep: always, Source: "s", Uncacheable: "it captures a channel"}}}, []string{"filter"}},
		{"compiled function", said{rules: []any{func(Pair) bool { return true }}}, nil, said{rules: []any{func(Pair) bool { return true }}}, []string{"filter"}},

		// Files
		{"files touched", plain, func(l *lab) { l.touch("streams/a/audio.wav", "streams/a/chat.json", "words/a/script.vtt") }, plain, nil},
		{"files written again", plain, func(l *lab) { l.stream("a", 0) }, plain, nil},
		{"folder of all streams renamed", plain, func(l *lab) { l.streams = l.move(l.streams, "vods") }, plain, nil},
		{"recording renamed", plain, func(l *lab) { l.move("streams/a/audio.wav", "streams/a/video.wav") }, plain, nil},
		{"recording with another extension", plain, func(l *lab) { l.move("streams/a/audio.wav", "streams/a/audio.mkv") }, plain, nil},
		{"notes beside the recording", plain, func(l *lab) { l.write(filepath.Join(l.streams, "a", "notes.md"), "x") }, plain, nil},
		{"store moved", plain, func(l *lab) { l.store = l.move(l.store, "elsewhere") }, plain, nil},
		{"chat changed", plain, func(l *lab) { l.write(filepath.Join(l.streams, "a", "chat.json"), chatLog(0, "hi")) }, plain, []string{"align", "filter", "load a"}},
		{"chat written otherwise, with the same messages", plain, func(l *lab) { l.append("streams/a/chat.json", "\n") }, plain, []string{"load a"}},
		{"recording changed", plain, func(l *lab) { l.write(filepath.Join(l.streams, "a", "audio.wav"), tone(7)) }, plain, []string{"load a"}},
		{"transcript changed", plain, func(l *lab) { l.replace("words/a/script.vtt", "cook", "bake") }, plain, []string{"align", "filter", "transcribe a"}},
		{"transcript with other line ends", plain, func(l *lab) { l.append("words/a/script.vtt", "\n\n") }, plain, []string{"transcribe a"}},
		{"stream renamed", plain, func(l *lab) { l.move("streams/a", "streams/c"); l.move("words/a", "words/c") }, plain, []string{"align", "filter", "load c"}},
		{"unrelated stream added", plain, func(l *lab) { l.stream("z", 9) }, plain, []string{"align", "filter", "load z"}},
		{"stream removed", plain, func(l *lab) { l.move("streams/b", "gone") }, plain, []string{"align", "filter"}},
		{"another store", plain, func(l *lab) { l.store += "2" }, plain, []string{"align", "filter", "load a", "load b", "transcribe a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, "a", "b")
			if _, err := l.say(l.pairs(c.first.options, c.first.rules...)); err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(l)
			}
			out, err := l.say(l.pairs(c.then.options, c.then.rules...))
			if err != nil {
				t.Fatal(err)
			}
			got := made(out)
			for i, step := range got { // where both streams have one transcript, either may come first to make it
				if step == "transcribe b" {
					got[i] = "transcribe a"
				}
			}
			if !slices.Equal(got, c.made) && len(got)+len(c.made) > 0 {
				t.Errorf("made again: %v, want %v", got, c.made)
			}
			s, err := memo.Open(l.store, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r, err := s.Verify(context.Background()); err != nil || len(r.Wrong) > 0 {
				t.Errorf("verify: %v %v", r.Wrong, err)
			}
		})
	}
}

func (l *lab) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.dir, name)
}

func (l *lab) move(from, to string) string {
	l.t.Helper()
	if err := os.Rename(l.path(from), l.path(to)); err != nil {
		l.t.Fatal(err)
	}
	return l.path(to)
}

func (l *lab) touch(names ...string) {
	l.t.Helper()
	for _, n := range names {
		at := time.Now().Add(time.Hour)
		if err := os.Chtimes(l.path(n), at, at); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *lab) replace(name, old, new string) {
	l.t.Helper()
	b, err := os.ReadFile(l.path(name))
	if err != nil {
		l.t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		l.t.Fatalf("%s does not hold %q", name, old)
	}
	l.write(l.path(name), strings.ReplaceAll(string(b), old, new))
}

func (l *lab) append(name, text string) {
	l.t.Helper()
	b, err := os.ReadFile(l.path(name))
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(l.path(name), string(b)+text)
}

// TestVerbsRefuse says what verbs must not take.
func TestVerbsRefuse(t *testing.T) {
	l := newLab(t, "a")
	for name, c := range map[string]struct {
		rule func() any
		want string
	}{
		"not a number":   {func() any { return FDR.AtMost(math.NaN()) }, "NaN"},
		"something else": {func() any { return 7 }, "rule 1 is a int: want a Rule such as FDR.AtMost(0.1)"},
		"no such bound":  {func() any { return FDR.AtLeast(0.1) }, "no such bound"},
		"no such column": {func() any { return Column("taste").AtMost(1) }, "filter taste"},
		"other function": {func() any { return func(Pair) int { return 1 } }, "want a Rule"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := l.say(func() { Filter(Align(Words(Load(l.streams), l.words)), c.rule()) })
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
	for name, o := range map[string]AlignOption{"window": Window(10*Second, 5*Second), "feature": Without("smell"), "ranker": Ranker("luck"), "speech window": SpeechWindow(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			if _, err := l.say(l.pairs([]AlignOption{o})); err == nil {
				t.Error("this was taken")
			}
		})
	}
}

// TestAdversarialDataset says Dataset twice with options that mean the same, or do not.
func TestAdversarialDataset(t *testing.T) {
	for _, c := range []struct {
		name        string
		first, then []DatasetOption
		made        []string
	}{
		{"nothing", nil, nil, nil},
		{"default said aloud: share", nil, []DatasetOption{HoldoutShare(0.2)}, nil},
		{"default said aloud: seed", nil, []DatasetOption{HoldoutSeed(0)}, nil},
		{"nothing held out, said in two ways", []DatasetOption{HoldoutShare(-1)}, []DatasetOption{HoldoutShare(-0.5)}, nil},
		{"options in another order", []DatasetOption{HoldoutSeed(3), KeepLeaks()}, []DatasetOption{KeepLeaks(), HoldoutSeed(3)}, nil},
		{"another share", nil, []DatasetOption{HoldoutShare(0.25)}, []string{"dataset"}},
		{"another seed", nil, []DatasetOption{HoldoutSeed(1)}, []string{"dataset"}},
		{"leaks kept", nil, []DatasetOption{KeepLeaks()}, []string{"dataset"}},
		{"another license", nil, []DatasetOption{License("CC0-1.0")}, []string{"dataset"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, "a")
			say := func(options []DatasetOption) map[string]memo.Outcome {
				out, err := l.say(func() { Dataset(Align(Words(Load(l.streams), l.words)), options...) })
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			say(c.first)
			if got := made(say(c.then)); !slices.Equal(got, c.made) && len(got)+len(c.made) > 0 {
				t.Errorf("made again: %v, want %v", got, c.made)
			}
		})
	}
}

// TestCompiledFunctionIsNamed: a filter that cannot be remembered says which function it is, and why.
func TestCompiledFunctionIsNamed(t *testing.T) {
	l := newLab(t, "a")
	var notes []string
	s, err := Open(Config{Store: l.store, Sink: func(e event.Event) {
		if e.State == event.Note && e.Verb == "filter" {
			notes = append(notes, e.Text)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	least := 3
	err = s.Run(t.Context(), func() error {
		Filter(Align(Words(Load(l.streams), l.words)), func(p Pair) bool { return len(p.Response) > least })
		return nil
	})
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], "adversarial_test.go:") || !strings.Contains(notes[0], "TestCompiledFunctionIsNamed") ||
		!strings.Contains(notes[0], "captured") || strings.Contains(notes[0], "/adversarial_test.go") {
		t.Errorf("it said %q, %v", notes, err)
	}
}

// TestWhy asks why a step was done, and why another was not.
func TestWhy(t *testing.T) {
	l := newLab(t, "a")
	_, err := l.say(func() {
		words := Words(Load(l.streams), l.words)
		first := Why(Align(words))
		if len(first) != 1 || first[0].Hit || first[0].Nearest != "" || !strings.Contains(first.String(), "no other step of this verb") {
			t.Errorf("the first: %+v", first)
		}
		other := Align(words, SpeechWindow(9*Second))
		why := Why(other)
		if len(why) != 1 || why[0].Hit || len(why[0].Changed) != 1 || why[0].Changed[0].Was != "12000000000" || why[0].Changed[0].Is != "9000000000" {
			t.Errorf("with another option: %+v", why)
		}
		if again := Why(Align(words)); !again[0].Hit || again[0].Key != first[0].Key {
			t.Errorf("said again: %+v", again)
		}
		thr := predicate("p.C > thr", Capture{"<b>thr</b>", "float64", "0.6"})
		Filter(other, thr)
		thr.Captures[0].Value = "0.9"
		forms := Why(Filter(other, thr)).MimeBundle()
		page, text := forms["text/html"].(string), forms["text/plain"].(string)
		for _, want := range []string{"captured.&lt;b&gt;thr&lt;/b&gt;", "float64 0.6", "float64 0.9", "was done"} {
			if !strings.Contains(page, want) {
				t.Errorf("the page does not say %q:\n%s", want, page)
			}
		}
		if strings.Contains(page, "<b>thr") || !strings.Contains(text, "float64 0.9") {
			t.Errorf("page\n%s\ntext\n%s", page, text)
		}
		if n := len(Why(words.Streams())); n != 1 {
			t.Errorf("%d reasons for the streams", n)
		}
		if n := len(Why(words)); n != 1 {
			t.Errorf("%d reasons for the transcripts", n)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.say(func() { Why(7) }); err == nil || !strings.Contains(err.Error(), "a int is no result of a step") {
		t.Errorf("error %v", err)
	}
}

// TestEffectsAreNotSkipped: a predicate that counts is asked again each time.
func TestEffectsAreNotSkipped(t *testing.T) {
	l := newLab(t, "a")
	count := 0
	counting := Predicate{Keep: func(*Pair) bool { count++; return true }, Source: "n ++"}
	before := 0
	counting.Changed = func() string {
		if count != before {
			return "it changes n"
		}
		return ""
	}
	var asked []int
	for range 2 {
		before = count
		out, err := l.say(func() { Filter(Align(Words(Load(l.streams), l.words)), counting) })
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, count-before)
		if out["filter"] != memo.Made {
			t.Error("the filter was found, and its effect is missing")
		}
		if out["align"] != memo.Hit && len(asked) == 2 {
			t.Error("what comes before the filter was made again")
		}
	}
	if asked[0] == 0 || asked[0] != asked[1] {
		t.Errorf("asked %v times", asked)
	}
	counting.Changed = func() string { return "" } // as where nothing was counted
	for i, want := range []memo.Outcome{memo.Made, memo.Hit} {
		if out, err := l.say(func() { Filter(Align(Words(Load(l.streams), l.words)), counting) }); err != nil || out["filter"] != want {
			t.Errorf("without an effect, time %d: %v, %v", i+1, out["filter"], err)
		}
	}
}
