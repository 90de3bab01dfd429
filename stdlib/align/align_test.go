package align_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"banter/stdlib/align"
	"banter/stdlib/align/synth"
	"banter/stdlib/chat"
	"banter/stdlib/speech"
)

// stream makes a labelled stream of some minutes with a jump of the lag.
func stream(seed uint64, minutes float64) *synth.Stream {
	return synth.Make(synth.Config{Seed: seed, Minutes: minutes, Lag: []align.TruthLag{{From: 0, Lag: 7}, {From: 0.55, Lag: 12}},
		Delay: synth.Delay{Law: "lognormal", Median: 2.5, Spread: 0.5}, Rate: 40, Spam: 0.1, Talk: 0.08, ASR: 0.05})
}

func run(t *testing.T, opt align.Options, in ...align.Input) *align.Result {
	t.Helper()
	r, err := align.Align(t.Context(), in, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func kept(pairs []align.Pair, rate float64) map[string][2]time.Duration {
	out := map[string][2]time.Duration{}
	for _, p := range pairs {
		if p.FDR <= rate {
			out[p.MessageID] = [2]time.Duration{p.SpeechStart, p.SpeechEnd}
		}
	}
	return out
}

// same compares all that results say, byte for byte.
func same(t *testing.T, a, b *align.Result) bool {
	t.Helper()
	print := func(r *align.Result) string {
		sum, err := json.Marshal(r.Summary().Streams)
		if err != nil {
			t.Fatal(err)
		}
		pairs, err := json.Marshal(r.Pairs())
		if err != nil {
			t.Fatal(err)
		}
		return string(sum) + string(pairs)
	}
	return print(a) == print(b)
}

func TestFindsAnswers(t *testing.T) {
	var pairs [][]align.Pair
	var truth []*align.Truth
	var late []time.Duration
	for seed := uint64(1); seed <= 3; seed++ {
		s := stream(seed, 10)
		r := run(t, align.Options{}, s.Input)
		pairs, truth = append(pairs, r.Streams[0].Pairs), append(truth, &s.Truth)
		late = append(late, align.LagErrors(r.Streams[0].Lag, s.Truth.Lag, s.Length)...)
		for _, p := range r.Streams[0].Pairs {
			if p.SpeechEnd-p.SpeechStart > 12*time.Second {
				t.Fatalf("window of %v", p.SpeechEnd-p.SpeechStart)
			}
			if p.Confidence < 0 || p.Confidence > 1 || p.FDR < 0 || p.FDR > 1 || math.IsNaN(p.Confidence+p.FDR) {
				t.Fatalf("confidence %v, FDR %v", p.Confidence, p.FDR)
			}
		}
	}
	score := align.ScoreStreams(pairs, truth, 0.1)
	within := align.Quantile(late, 0.9)
	t.Logf("%+v, lag error %v", score, within)
	if score.Precision < 0.87 || score.Recall < 0.55 || score.ECE > 0.08 || within > time.Second {
		t.Errorf("precision %.3f, recall %.3f, ECE %.3f, 90 %% of the lag within %v", score.Precision, score.Recall, score.ECE, within)
	}
}

func TestShuffledChatKeepsNothing(t *testing.T) {
	for seed := uint64(10); seed < 13; seed++ {
		s := stream(seed, 10)
		r := rand.New(rand.NewPCG(seed, 1))
		// every message gets the time of another: no text has any link to the speech
		times := make([]time.Duration, len(s.Input.Messages))
		for i, m := range s.Input.Messages {
			times[i] = m.Time
		}
		r.Shuffle(len(times), func(i, j int) { times[i], times[j] = times[j], times[i] })
		for i := range times {
			s.Input.Messages[i].Time = times[i]
		}
		res := run(t, align.Options{}, s.Input)
		if n := len(kept(res.Streams[0].Pairs, 0.1)); float64(n) >= 0.01*float64(len(times)) {
			t.Errorf("seed %d: %d of %d shuffled messages pass at FDR 0.1 (%+v)", seed, n, len(times), res.Streams[0].Diagnostics)
		}
	}
}

// The last sentences of a stream are answered after its end, where there is no chat: that they go unanswered is no sign of
// another lag, under which earlier messages would happen to fit them.
func TestNoJumpWhereChatEnds(t *testing.T) {
	s := synth.Make(synth.Config{Seed: 905, Minutes: 4, Lag: []align.TruthLag{{From: 0, Lag: 7}, {From: 0.5, Lag: 11}},
		Delay: synth.Delay{Law: "lognormal", Median: 2.6, Spread: 0.5}, Rate: 60, Spam: 0.1, Talk: 0.08, ASR: 0.05})
	lag := run(t, align.Options{}, s.Input).Streams[0].Lag
	if last := lag[len(lag)-1]; last.From > s.Length-30*time.Second {
		t.Errorf("the lag is said to jump to %v at %v of %v", last.Lag, last.From, s.Length)
	}
}

// A quiet chat shares few words with the speech; the whole model tells whether it belongs to it.
func TestQuietChatIsLinkedOrNot(t *testing.T) {
	if testing.Short() {
		t.Skip("fits a dozen permuted chats for each stream")
	}
	linked, chance := 0, 0
	for seed := uint64(30); seed < 34; seed++ {
		s := synth.Make(synth.Config{Seed: seed, Minutes: 15, Lag: []align.TruthLag{{Lag: 8}},
			Delay: synth.Delay{Law: "lognormal", Median: 2.6, Spread: 0.5}, Rate: 8, Spam: 0.1, Talk: 0.08, ASR: 0.05})
		foreign := synth.Make(synth.Config{Seed: 1000 + seed, Minutes: 15, Lag: []align.TruthLag{{Lag: 8}},
			Delay: synth.Delay{Law: "lognormal", Median: 2.6, Spread: 0.5}, Rate: 8, Spam: 0.1, Talk: 0.08, ASR: 0.05})
		r := run(t, align.Options{}, s.Input, align.Input{Stream: "foreign", Transcript: foreign.Input.Transcript, Messages: s.Input.Messages})
		for _, st := range r.Streams {
			n := len(kept(st.Pairs, 0.2)) // of few pairs, seldom one is sure
			switch {
			case st.Stream == "foreign":
				if n > 0 {
					chance++
				}
			case n > 0:
				linked++
			}
			t.Logf("%s: link score %.1f, %d pairs", st.Stream, st.Diagnostics.LinkScore, n)
		}
	}
	if linked < 4 || chance > 1 {
		t.Errorf("of 4 quiet chats %d are linked to their own speech and %d to another's", linked, chance)
	}
}

func TestCommonShiftChangesTimesOnly(t *testing.T) {
	s := stream(20, 4)
	before := run(t, align.Options{}, s.Input)
	const shift = 1234567891 * time.Nanosecond * 100
	moved := s.Input
	tr := *s.Input.Transcript
	tr.Words, tr.Segments = slices.Clone(tr.Words), slices.Clone(tr.Segments)
	for i := range tr.Words {
		tr.Words[i].Start += shift
		tr.Words[i].End += shift
	}
	for i := range tr.Segments {
		tr.Segments[i].Start += shift
		tr.Segments[i].End += shift
	}
	moved.Transcript = &tr
	moved.Messages = slices.Clone(moved.Messages)
	for i := range moved.Messages {
		moved.Messages[i].Time += shift
	}
	after := run(t, align.Options{}, moved)
	a, b := before.Streams[0].Pairs, slices.Clone(after.Streams[0].Pairs)
	for i := range b {
		b[i].SpeechStart -= shift
		b[i].SpeechEnd -= shift
		b[i].MessageTime -= shift
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("a common shift of both clocks changed the pairs")
	}
}

func TestOrderOfStreamsDoesNotMatter(t *testing.T) {
	a, b, c := stream(30, 3), stream(31, 3), stream(32, 3)
	one := run(t, align.Options{}, a.Input, b.Input, c.Input)
	two := run(t, align.Options{}, c.Input, a.Input, b.Input)
	if !same(t, one, two) {
		t.Error("the order of the inputs changed the result")
	}
}

func TestWorkersDoNotMatter(t *testing.T) {
	a, b := stream(33, 3), stream(34, 3)
	one := run(t, align.Options{Workers: 1}, a.Input, b.Input)
	many := run(t, align.Options{Workers: 7}, a.Input, b.Input)
	if !same(t, one, many) {
		t.Error("the number of workers changed the result")
	}
}

func TestAuthorsNamesDoNotMatter(t *testing.T) {
	s := stream(35, 4)
	before := run(t, align.Options{}, s.Input)
	renamed := s.Input
	renamed.Messages = slices.Clone(renamed.Messages)
	for i := range renamed.Messages {
		m := &renamed.Messages[i]
		m.Author.ID = "x" + m.Author.ID
		m.Author.Name = fmt.Sprintf("Q%dZ", len(m.Author.Name)*7919)
	}
	after := run(t, align.Options{}, renamed)
	a, b := slices.Clone(before.Streams[0].Pairs), slices.Clone(after.Streams[0].Pairs)
	hashes := map[string]string{}
	for i := range a {
		if h, ok := hashes[a[i].AuthorHash]; ok && h != b[i].AuthorHash {
			t.Fatal("one author got two hashes")
		}
		hashes[a[i].AuthorHash] = b[i].AuthorHash
		if a[i].AuthorHash == b[i].AuthorHash {
			t.Fatal("another id has the same hash")
		}
		a[i].AuthorHash, b[i].AuthorHash = "", ""
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("renaming authors changed the pairs")
	}
}

func TestStreamOfAnotherCrowdChangesNothing(t *testing.T) {
	s, other := stream(40, 5), synth.Make(synth.Config{Seed: 41, Minutes: 5, Lag: []align.TruthLag{{Lag: -4}},
		Delay: synth.Delay{Law: "gamma", Median: 5, Spread: 0.4}, Rate: 60, Spam: 0.2})
	for i := range other.Input.Messages { // its chat answers nothing, and its words are other words
		other.Input.Messages[i].Text = "zq" + other.Input.Messages[i].Text
		other.Input.Messages[i].Emotes = nil
		other.Input.Messages[i].Author.ID += "other"
	}
	alone := run(t, align.Options{}, s.Input)
	both := run(t, align.Options{}, s.Input, other.Input)
	i := slices.IndexFunc(both.Streams, func(r align.StreamResult) bool { return r.Stream == s.Input.Stream })
	both.Streams = both.Streams[i : i+1]
	if !same(t, alone, both) {
		t.Error("a stream of another crowd changed the result")
	}
}

func TestFixedLagIsKept(t *testing.T) {
	s := stream(50, 6)
	want := []align.LagPiece{{From: 0, Lag: 7 * time.Second}, {From: 198 * time.Second, Lag: 12 * time.Second}}
	r := run(t, align.Options{FixedLag: want}, s.Input)
	for i, p := range r.Streams[0].Lag {
		if p.Lag != want[i].Lag || p.From != want[i].From {
			t.Errorf("piece %d is %v, want %v", i, p, want[i])
		}
	}
	if score := align.ScorePairs(r.Streams[0].Pairs, &s.Truth, 0.1); score.Precision < 0.87 || score.Recall < 0.45 {
		t.Errorf("with the true lag: %+v", score)
	}
}

func TestSpeechThatAnswersChat(t *testing.T) {
	// the streamer reads half of a row of questions aloud, 3 s after they were written
	var in align.Input
	in.Stream, in.Transcript = "s", &speech.Transcript{}
	r := rand.New(rand.NewPCG(5, 5))
	words := []string{"apple", "river", "castle", "thunder", "violin", "pepper", "mirror", "candle", "rocket", "garden", "tiger", "window"}
	want := map[string]time.Duration{}
	type line struct {
		at   float64
		a, b string
	}
	var lines []line
	for i := range 200 {
		a, b, at := words[r.IntN(len(words))], words[r.IntN(len(words))], 7*float64(i)+3*r.Float64()
		m := chat.Message{ID: fmt.Sprint(i), Time: time.Duration((at + 5) * float64(time.Second)), Text: "what about " + a + " and " + b, Author: chat.Author{ID: fmt.Sprint(i % 20)}}
		in.Messages = append(in.Messages, m)
		if i%2 == 0 {
			answer := at + 2.5*math.Exp(0.4*r.NormFloat64())
			lines = append(lines, line{answer, a, b})
			want[m.ID] = time.Duration(answer * float64(time.Second))
		} else {
			lines = append(lines, line{1400 * r.Float64(), words[r.IntN(len(words))], words[r.IntN(len(words))]})
		}
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	for _, l := range lines {
		for k, w := range []string{"well", l.a, "and", l.b, "okay."} {
			t0 := l.at + 0.01*float64(k)
			in.Transcript.Words = append(in.Transcript.Words, speech.Word{Text: w, Start: time.Duration(t0 * float64(time.Second)), End: time.Duration((t0 + 0.01) * float64(time.Second)), Prob: -1, Timed: true})
		}
	}
	in.Transcript.Segments = []speech.Segment{{Last: len(in.Transcript.Words)}}
	res := run(t, align.Options{Direction: align.ChatToSpeech}, in)
	slack := 100 * time.Millisecond
	right, all := 0, 0
	for _, p := range res.Streams[0].Pairs {
		if p.FDR <= 0.1 {
			all++
			if s, ok := want[p.MessageID]; ok && s >= p.SpeechStart-slack && s < p.SpeechEnd {
				right++
			}
		}
	}
	if all < 40 || float64(right) < 0.85*float64(all) {
		t.Errorf("%d pairs kept, %d right; lag %v", all, right, res.Streams[0].Lag)
	}
}

func TestNothingToPair(t *testing.T) {
	s := stream(60, 2)
	for name, in := range map[string]align.Input{
		"nothing":      {Stream: "s"},
		"no speech":    {Stream: "s", Messages: s.Input.Messages},
		"no chat":      {Stream: "s", Transcript: s.Input.Transcript},
		"one message":  {Stream: "s", Transcript: s.Input.Transcript, Messages: s.Input.Messages[:1]},
		"no words":     {Stream: "s", Transcript: &speech.Transcript{}, Messages: s.Input.Messages},
		"empty texts":  {Stream: "s", Transcript: s.Input.Transcript, Messages: make([]chat.Message, 40)},
		"distant chat": {Stream: "s", Transcript: s.Input.Transcript, Messages: []chat.Message{{ID: "a", Time: 300 * time.Hour, Text: "hi"}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, d := range []align.Direction{align.SpeechToChat, align.ChatToSpeech} {
				r := run(t, align.Options{Direction: d}, in)
				if n := len(kept(r.Streams[0].Pairs, 0.1)); n > 0 {
					t.Errorf("%v: %d pairs kept", d, n)
				}
				if len(r.Streams[0].Diagnostics.Notes) == 0 {
					t.Errorf("%v: says nothing about it", d)
				}
			}
		})
	}
}

func TestRefusesBadOptions(t *testing.T) {
	for _, o := range []align.Options{
		{MaxWindow: time.Hour}, {DelayMin: 5 * time.Second, DelayMax: time.Second}, {LagMin: 2, LagMax: 1}, {Decoys: -1},
		{Without: []string{"luck"}}, {FixedLag: []align.LagPiece{{From: 5}, {From: 5}}}, {Direction: 9}, {Ranker: "luck"},
	} {
		if _, err := align.Align(t.Context(), nil, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	s := stream(61, 1)
	if _, err := align.Align(t.Context(), []align.Input{s.Input, s.Input}, align.Options{}); err == nil {
		t.Error("two streams of one id are taken")
	}
}

func TestStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := align.Align(ctx, []align.Input{stream(62, 3).Input}, align.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestExplain(t *testing.T) {
	s := stream(63, 5)
	r := run(t, align.Options{}, s.Input)
	for i, p := range r.Streams[0].Pairs {
		e, err := r.Explain(0, i)
		if err != nil {
			t.Fatal(err)
		}
		sum, inside := e.Background, 0.0
		for _, c := range e.Candidates {
			sum += c.Probability
			if c.Start >= p.SpeechStart && c.End <= p.SpeechEnd {
				inside += c.Probability
			}
		}
		if math.Abs(sum-1) > 1e-9 || math.Abs(inside-p.Confidence) > 1e-9 {
			t.Fatalf("pair %d: probabilities sum to %v; window holds %v, confidence is %v", i, sum, inside, p.Confidence)
		}
	}
	if _, err := r.Explain(0, len(r.Streams[0].Pairs)); err == nil {
		t.Error("a pair that is not there is explained")
	}
	if _, err := (&align.Result{}).Explain(0, 0); err == nil {
		t.Error("a result without a model explains")
	}
}

func TestBeatsBaselines(t *testing.T) {
	s := stream(70, 10)
	r := run(t, align.Options{}, s.Input)
	ours := align.ScorePairs(r.Streams[0].Pairs, &s.Truth, 0.1).F1
	for _, name := range align.BaselineNames() {
		pairs, err := align.Baseline(name, s.Input, r.Streams[0].Lag)
		if err != nil {
			t.Fatal(err)
		}
		f1 := align.ScorePairs(pairs, &s.Truth, 0.1).F1
		t.Logf("%s: F1 %.3f, ours %.3f", name, f1, ours)
		if f1 == 0 || f1 > ours {
			t.Errorf("%s has F1 %.3f, we have %.3f", name, f1, ours)
		}
	}
}

func BenchmarkAlign(b *testing.B) {
	s := stream(80, 30)
	b.ReportMetric(float64(len(s.Input.Messages)), "messages")
	for b.Loop() {
		if _, err := align.Align(b.Context(), []align.Input{s.Input}, align.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
