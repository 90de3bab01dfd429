package speech

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"banter/internal/worker"
	"banter/internal/worker/native"
	"banter/stdlib/media"
	"banter/stdlib/models"
)

// script is what is said in a made-up recording: words from start to end, in samples.
type script struct {
	words []scriptWord
	n     int64
}

type scriptWord struct {
	text       string
	start, end int64
}

// speak makes a script of random words. With pauses there is now and then a second of silence; without, somebody talks on
// and on.
func speak(seed uint64, length time.Duration, pauses bool) *script {
	r := rand.New(rand.NewPCG(seed, 0))
	s := &script{n: samplesIn(length)}
	for at := int64(8000); ; {
		n := int64(3200 + r.IntN(6400))
		if at+n+8000 > s.n {
			return s
		}
		s.words = append(s.words, scriptWord{fmt.Sprintf("w%d", r.IntN(12)), at, at + n})
		at += n + 160*int64(r.IntN(8))
		if pauses && r.IntN(6) == 0 {
			at += 12000
		}
	}
}

// The samples of a script say at which frame they are: each is a loudness times 1 + frame/2^18, which float32 keeps.
const (
	spoken  = 0.25
	unsaid  = 0.0005
	perUnit = 1 << 18
)

// reader gives a script's samples in pieces of odd sizes, and counts how many may be needed at a time.
type reader struct {
	s     *script
	at    int64
	wants []bool // by frame: somebody speaks
	most  int
}

func (s *script) open() *reader {
	r := &reader{s: s, wants: make([]bool, s.n/frame+1)}
	for _, w := range s.words {
		for f := w.start / frame; f <= (w.end-1)/frame; f++ {
			r.wants[f] = true
		}
	}
	return r
}

func (r *reader) Read(p []float32) (int, error) {
	r.most = max(r.most, len(p))
	n := int(min(int64(len(p)), 7001, r.s.n-r.at))
	for i := range n {
		f := (r.at + int64(i)) / frame
		v := unsaid
		if r.wants[f] {
			v = spoken
		}
		p[i] = float32(v * (1 + float64(f)/perUnit))
	}
	r.at += int64(n)
	if r.at == r.s.n {
		return n, io.EOF
	}
	return n, nil
}

// ears is an engine that hears a script perfectly, but for words that a window cuts: of those it gives a fragment.
type ears struct {
	s        *script
	jitter   time.Duration // of word times, by window
	calls    int
	longest  int // samples of a call
	fragment bool
}

func (e *ears) Call(_ context.Context, method string, _ any, payload []byte) (json.RawMessage, []byte, error) {
	if method != native.MethodTranscribe {
		return nil, nil, fmt.Errorf("nobody asked for %s", method)
	}
	x, err := native.Floats(payload)
	if err != nil {
		return nil, nil, err
	}
	e.calls++
	e.longest = max(e.longest, len(x))
	base := float64(unsaid)
	if math.Abs(float64(x[0])) > 0.1 {
		base = spoken
	}
	start := int64(math.Round((float64(x[0])/base-1)*perUnit)) * frame
	end := start + int64(len(x))
	ms := func(sample int64) int64 { return sample * 1000 / native.SampleRate }
	var t native.Transcription
	seg := native.Segment{}
	for _, w := range e.s.words {
		if w.end <= start || w.start >= end {
			continue
		}
		text := w.text
		from, to := max(w.start, start)-start, min(w.end, end)-start
		if w.start < start || w.end > end {
			text = "frag"
			e.fragment = true
		}
		shift := int64(0)
		if e.jitter > 0 {
			shift = (start/frame*7919+int64(len(seg.Tokens))*104729)%(2*e.jitter.Milliseconds()+1) - e.jitter.Milliseconds()
		}
		seg.Tokens = append(seg.Tokens, native.Token{Text: []byte(" " + text), Prob: 0.9, StartMS: max(0, ms(from)+shift), EndMS: ms(to), DTWMS: -1})
	}
	if len(seg.Tokens) > 0 {
		seg.EndMS = ms(end - start)
		t.Segments = append(t.Segments, seg)
	}
	raw, err := json.Marshal(t)
	return raw, nil, err
}

func testOptions(window, overlap time.Duration) Options {
	o := NewOptions(models.Model{Name: "ears", Path: "ears", SHA256: "0"})
	o.Window, o.Overlap = window, overlap
	return o
}

// TestSeams checks that cutting loses no word and doubles none, where there are pauses and where there are none.
func TestSeams(t *testing.T) {
	cut := false
	for seed := range uint64(5) {
		for _, pauses := range []bool{true, false} {
			s := speak(seed, 2*time.Minute, pauses)
			for _, window := range []time.Duration{9 * time.Second, 17 * time.Second, 28 * time.Second} {
				for _, parallel := range []int{1, 3} {
					e := &ears{s: s, jitter: time.Duration(seed%3) * 40 * time.Millisecond}
					o := testOptions(window, 4*time.Second)
					o.Gates.Rate = 0
					o.Parallel = parallel
					var engine Engine = e
					if parallel > 1 {
						engine = &locked{engine: e, turn: make(chan struct{}, 1)}
					}
					r := s.open()
					got, err := Transcribe(t.Context(), engine, r, o)
					if err != nil {
						t.Fatal(err)
					}
					if err := got.Check(); err != nil {
						t.Fatal(err)
					}
					var want []string
					for _, w := range s.words {
						want = append(want, w.text)
					}
					if got.Text() != strings.Join(want, " ") {
						t.Fatalf("seed %d, pauses %v, windows of %v: heard %d words, said %d\nheard %s\nsaid  %s", seed, pauses, window, len(got.Words), len(want), got.Text(), strings.Join(want, " "))
					}
					for i, w := range got.Words {
						if d := (w.Start - streamTime(s.words[i].start)).Abs(); d > 200*time.Millisecond {
							t.Errorf("seed %d: word %d starts %v away from where it was said", seed, i, d)
						}
					}
					if int64(r.most) > samplesIn(window) || int64(e.longest) > samplesIn(window) {
						t.Errorf("windows of %v took %d samples at a time and heard %d", window, r.most, e.longest)
					}
					if got.Duration != 2*time.Minute {
						t.Errorf("the recording is said to last %v", got.Duration)
					}
					cut = cut || e.fragment
				}
			}
		}
	}
	if !cut {
		t.Error("no window cut a word, so the test proved nothing about it")
	}
}

// locked lets many windows call an engine that takes one call at a time.
type locked struct {
	engine Engine
	turn   chan struct{}
}

func (l *locked) Call(ctx context.Context, method string, params any, payload []byte) (json.RawMessage, []byte, error) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.engine.Call(ctx, method, params, payload)
}

// silent is a recording of nothing.
type silent struct{ left int }

func (s *silent) Read(p []float32) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(s.left, len(p))
	clear(p[:n])
	s.left -= n
	return n, nil
}

func TestTranscribeSilence(t *testing.T) {
	e := &ears{s: &script{}}
	got, err := Transcribe(t.Context(), e, &silent{16000 * 100}, testOptions(20*time.Second, 4*time.Second))
	if err != nil || len(got.Words) != 0 || e.calls != 0 || got.Duration != 100*time.Second {
		t.Errorf("of silence: %d words, %d calls, %v (%v)", len(got.Words), e.calls, got.Duration, err)
	}
	if _, err := Transcribe(t.Context(), e, &silent{}, testOptions(20*time.Second, 4*time.Second)); err == nil || !strings.Contains(err.Error(), "no samples") {
		t.Errorf("a recording without samples gave %v", err)
	}
}

// faulty fails after some samples.
type faulty struct{ silent }

var errFaulty = errors.New("the disk is gone")

func (f *faulty) Read(p []float32) (int, error) {
	if f.left == 0 {
		return 0, errFaulty
	}
	return f.silent.Read(p)
}

// mute is an engine that fails.
type mute struct{}

func (mute) Call(context.Context, string, any, []byte) (json.RawMessage, []byte, error) {
	return nil, nil, errFaulty
}

func TestTranscribeErrors(t *testing.T) {
	s := speak(1, time.Minute, true)
	o := testOptions(20*time.Second, 4*time.Second)
	if _, err := Transcribe(t.Context(), &ears{s: s}, &faulty{silent{100000}}, o); !errors.Is(err, errFaulty) {
		t.Errorf("a faulty source gave %v", err)
	}
	if _, err := Transcribe(t.Context(), mute{}, s.open(), o); !errors.Is(err, errFaulty) {
		t.Errorf("a faulty engine gave %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Transcribe(ctx, &ears{s: s}, s.open(), o); !errors.Is(err, context.Canceled) {
		t.Errorf("a done context gave %v", err)
	}
	for name, change := range map[string]func(*Options){
		"no model":       func(o *Options) { o.Model.Path = "" },
		"window":         func(o *Options) { o.Window = 0 },
		"overlap":        func(o *Options) { o.Overlap = o.Window },
		"context denied": func(o *Options) { o.Context, o.Model.Quirks.NoTextContext = 64, true },
	} {
		bad := o
		change(&bad)
		if _, err := Transcribe(t.Context(), &ears{s: s}, s.open(), bad); err == nil {
			t.Errorf("%s: options that cannot be are taken", name)
		}
	}
}

func TestGates(t *testing.T) {
	g := NewOptions(models.Model{}).Gates
	segment := func(text string, prob float64, each time.Duration) []heardWord {
		var words []heardWord
		for i, f := range strings.Fields(text) {
			at := time.Duration(i) * each
			words = append(words, heardWord{text: f, start: at, end: at + each, prob: prob, logProb: math.Log(prob), tokens: 1})
		}
		return words
	}
	second := time.Second / 3
	for _, c := range []struct {
		name     string
		words    []heardWord
		noSpeech float64
		want     string
	}{
		{"speech", segment("so the dragon is down again", 0.9, second), 0.1, ""},
		{"sure words where speech is doubted", segment("so the dragon is down", 0.9, second), 0.9, ""},
		{"doubtful words where speech is doubted", segment("thanks for watching", 0.3, second), 0.9, GateNoSpeech},
		{"a remark", segment("[BLANK_AUDIO]", 0.9, second), 0, GateNoSpeech},
		{"music", segment("♪ ♪", 0.9, second), 0, GateNoSpeech},
		{"twenty words a second", segment("one two three four five six seven", 0.9, 50*time.Millisecond), 0, GateRate},
		{"noise", segment("uh ah oh", 0.1, second), 0, GateConfidence},
		{"a loop", segment(strings.Repeat("I know ", 9), 0.9, second), 0, GateRepetition},
		{"emphasis", segment("no no no no no", 0.9, second), 0, ""},
	} {
		if got := g.judge([][]heardWord{c.words}, []heardSegment{{noSpeech: c.noSpeech}})[0]; got != c.want {
			t.Errorf("%s: gate %q, want %q", c.name, got, c.want)
		}
	}
	quiet := segment("thank you very much", 0.9, second)
	for i := range quiet {
		quiet[i].quiet = 0.95
	}
	if got := g.judge([][]heardWord{quiet}, []heardSegment{{}})[0]; got != GateNoSpeech {
		t.Errorf("words over silence: gate %q", got)
	}
	// A loop over segments: the first of them may be real.
	var groups [][]heardWord
	for range 7 {
		groups = append(groups, segment("thank you all", 0.9, second))
	}
	got := g.judge(groups, make([]heardSegment, len(groups)))
	if got[0] != "" || got[1] != GateRepetition || got[6] != GateRepetition {
		t.Errorf("a loop over segments: gates %q", got)
	}
}

func TestWithheldWordsAreCounted(t *testing.T) {
	s := speak(3, 30*time.Second, true)
	o := testOptions(28*time.Second, 4*time.Second)
	o.Gates.Confidence = 0.95 // the engine above is sure to 0.9
	got, err := Transcribe(t.Context(), &ears{s: s}, s.open(), o)
	if err != nil {
		t.Fatal(err)
	}
	withheld := 0
	for _, seg := range got.Segments {
		if seg.Gate != "" && seg.Gate != GateConfidence || seg.First != seg.Last {
			t.Errorf("segment %+v", seg)
		}
		withheld += seg.Withheld
	}
	if len(got.Words) != 0 || withheld != len(s.words) {
		t.Errorf("%d words stand and %d are withheld of %d", len(got.Words), withheld, len(s.words))
	}
}

func TestAssemble(t *testing.T) {
	token := func(text string) native.Token { return native.Token{Text: []byte(text), Prob: 0.5, DTWMS: -1} }
	for _, c := range []struct {
		name   string
		tokens []native.Token
		want   []string
	}{
		{"parts of words", []native.Token{token(" wel"), token("come"), token(" back"), token(".")}, []string{"welcome", "back."}},
		{"a lone mark", []native.Token{token(" so"), token(" -"), token(" yes")}, []string{"so-", "yes"}},
		{"a character in two tokens", []native.Token{token(" caf"), token("\xc3"), token("\xa9")}, []string{"café"}},
		{"no spaces in the script", []native.Token{token("今日"), token("は"), token("\xe5\xa4"), token("\xa9"), token("。")}, []string{"今日", "は", "天。"}},
		{"broken bytes", []native.Token{token(" a\xff")}, []string{"a"}},
	} {
		w := &window{samples: make([]float32, 16000)}
		words, _ := assemble(w, &native.Transcription{Segments: []native.Segment{{Tokens: c.tokens}}})
		var got []string
		for _, word := range words {
			got = append(got, word.text)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSettle checks that attention's rare misses by seconds are mended, and order kept.
func TestSettle(t *testing.T) {
	w := &window{samples: make([]float32, 10*native.SampleRate), loudness: make([]level, 1000)}
	for i := range w.loudness {
		w.loudness[i] = -60
		if i >= 203 && i < 900 {
			w.loudness[i] = -20
		}
	}
	ms := time.Millisecond
	words := []heardWord{
		{tokenStart: 1950 * ms, tokenEnd: 2500 * ms, warpStart: 2100 * ms}, // the sound begins at 2030
		{tokenStart: 2600 * ms, tokenEnd: 3000 * ms, warpStart: 2520 * ms}, // attention is believed
		{tokenStart: 3200 * ms, tokenEnd: 3600 * ms, warpStart: 7000 * ms}, // a miss
		{tokenStart: 1000 * ms, tokenEnd: 4200 * ms, warpStart: -1},        // backwards
		{tokenStart: 4400 * ms, tokenEnd: 9800 * ms, warpStart: 4400 * ms}, // goes on into the silence
	}
	settle(words, w)
	want := []time.Duration{2030 * ms, 2520 * ms, 3200 * ms, 3800 * ms, 4400 * ms}
	for i := range words {
		if words[i].start != want[i] {
			t.Errorf("word %d starts at %v, want %v", i, words[i].start, want[i])
		}
	}
	if words[4].end != 9*time.Second {
		t.Errorf("the last word ends at %v, want the end of the sound at 9 s", words[4].end)
	}
}

// engine starts the real worker, or skips the test where it was not built.
func engine(t *testing.T, workers int) *worker.Pool {
	t.Helper()
	if _, err := worker.Find(""); err != nil {
		if os.Getenv("BANTER_REQUIRE_ENGINE") != "" {
			t.Fatal(err)
		}
		t.Skip("the native worker is not built: ", err)
	}
	p := worker.NewPool(worker.Options{Workers: workers})
	t.Cleanup(func() { p.Close() })
	return p
}

func shipped(t *testing.T, stream string) (*media.Reader, []Word) {
	t.Helper()
	dir := filepath.Join("..", "..", "testdata", "streams", stream)
	f, err := os.Open(filepath.Join(dir, "words.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ref, err := ReadReference(f)
	if err != nil {
		t.Fatal(err)
	}
	audio, err := media.Open(t.Context(), filepath.Join(dir, "audio.opus"), media.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { audio.Close() })
	return audio, ref.Words
}

// first gives the first samples of another source.
type first struct {
	Source
	left int
}

func (f *first) Read(p []float32) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.Source.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

// TestStreams holds the shipped streams' transcripts against what was really said.
func TestStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	pool := engine(t, 1)
	m, err := models.Resolve(t.Context(), "asr-micro")
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{"s1", "s2", "s3"} {
		audio, ref := shipped(t, stream)
		got, err := Transcribe(t.Context(), pool, audio, NewOptions(m))
		if err != nil {
			t.Fatal(err)
		}
		s := Compare(got, ref)
		t.Logf("%s: %.1f %% of %d words right, word error rate %.1f %%, median start error %v, %.1f %% within 200 ms", stream, 100*s.Right(), s.Words, 100*s.WER(), s.StartErrorMedian, 100*s.Within200ms)
		if s.Right() < 0.93 || s.WER() > 0.07 || s.StartErrorMedian > 60*time.Millisecond || s.Within200ms < 0.85 {
			t.Errorf("%s: %+v", stream, s)
		}
	}
}

// TestSameBytes checks that threads, workers and windows in flight do not change a transcript.
func TestSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	m, err := models.Resolve(t.Context(), "asr-micro")
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, c := range []struct{ threads, workers int }{{1, 1}, {2, 1}, {1, 2}, {3, 2}} {
		audio, _ := shipped(t, "s2")
		o := NewOptions(m)
		o.Threads, o.Parallel, o.Beam, o.Window = c.threads, c.workers, 1, 15*time.Second
		got, err := Transcribe(t.Context(), engine(t, c.workers), &first{audio, 40 * native.SampleRate}, o)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteParquet(&b, got); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = b.Bytes()
		} else if !bytes.Equal(want, b.Bytes()) {
			t.Errorf("%d threads and %d workers give other bytes", c.threads, c.workers)
		}
	}
}

// TestVoiceActivity checks that a voice activity model finds the pauses and loses no words.
func TestVoiceActivity(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "data", "models", "silero-v6.2.0-ggml.bin")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not here", path)
	}
	pool := engine(t, 1)
	m, err := models.Resolve(t.Context(), "asr-micro")
	if err != nil {
		t.Fatal(err)
	}
	vad, err := models.Resolve(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	audio, ref := shipped(t, "s2")
	o := NewOptions(m)
	o.VAD, o.Beam = &vad, 1
	got, err := Transcribe(t.Context(), pool, &first{audio, 40 * native.SampleRate}, o)
	if err != nil {
		t.Fatal(err)
	}
	var said []Word
	for _, w := range ref {
		if w.End < 40*time.Second {
			said = append(said, w)
		}
	}
	if s := Compare(got, said); s.Right() < 0.9 {
		t.Errorf("with voice activity detection: %+v", s)
	}
}
