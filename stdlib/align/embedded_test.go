package align

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"banter/internal/progress"
	"banter/stdlib/chat"
	"banter/stdlib/speech"
)

// numbered is an embedder for which texts that end in the same number mean the same, whatever their words.
type numbered struct {
	asked [][]string
	err   error
}

func (n *numbered) Embed(ctx context.Context, texts []string) ([]float32, int, error) {
	n.asked = append(n.asked, texts)
	const width = 64
	v := make([]float32, 0, width*len(texts))
	for _, text := range texts {
		seed := hashString(strings.TrimLeft(text, "abcdefghijklmnopqrstuvwxyz "))
		r := rand.New(rand.NewPCG(seed, 1))
		row := make([]float32, width)
		for k := range row {
			row[k] = float32(r.NormFloat64()) + 2 // a direction that all texts share
		}
		unit(row)
		v = append(v, row...)
	}
	progress.Tell(ctx, progress.Report{Done: int64(len(texts)), Unit: "texts"})
	return v, width, n.err
}

// paraphrases is a stream whose chat answers every other sentence with words that nobody else says.
func paraphrases(id string, seed uint64) Input {
	r := rand.New(rand.NewPCG(seed, 2))
	in := Input{Stream: id, Transcript: &speech.Transcript{}}
	t := in.Transcript
	for i := range 240 {
		start := time.Duration(i) * 2500 * time.Millisecond
		t.Segments = append(t.Segments, speech.Segment{Start: start, End: start + 1500*time.Millisecond, First: len(t.Words), Last: len(t.Words) + 1})
		t.Words = append(t.Words, speech.Word{Text: fmt.Sprintf("%s%d.", id, 1000+i), Start: start, End: start + 1500*time.Millisecond, Prob: 1, Segment: i, Timed: true})
		said := func(text string, after time.Duration) {
			n := len(in.Messages)
			in.Messages = append(in.Messages, chat.Message{ID: fmt.Sprintf("%s-%d", id, n), Text: text, Time: start + after, Position: int64(n),
				Author: chat.Author{ID: fmt.Sprint(n % 37)}})
		}
		if i%2 == 0 {
			said(fmt.Sprintf("answer%s%d.", id, 1000+i), 1500*time.Millisecond+time.Duration(3e9*math.Exp(0.5*r.NormFloat64())))
		} else {
			said(fmt.Sprintf("other%s%d", id, 5000+i), time.Duration(r.Float64()*2.5e9))
		}
	}
	slices.SortStableFunc(in.Messages, func(a, b chat.Message) int { return int(a.Time - b.Time) })
	return in
}

// right is the share of the answers whose window is or holds what they answer.
func right(r *Result) float64 {
	hits, all := 0, 0
	for _, s := range r.Streams {
		for _, p := range s.Pairs {
			if rest, ok := strings.CutPrefix(p.Response, "answer"); ok {
				all++
				if strings.Contains(p.Speech, rest) && p.LastWord-p.FirstWord <= 2 && p.Confidence > 0.5 {
					hits++
				}
			}
		}
	}
	return float64(hits) / float64(max(1, all))
}

func TestEmbedderFindsParaphrases(t *testing.T) {
	in := []Input{paraphrases("one", 1), paraphrases("two", 2)}
	lag := []LagPiece{{}}
	plain, err := Align(t.Context(), in, Options{FixedLag: lag})
	if err != nil {
		t.Fatal(err)
	}
	e := &numbered{}
	better, err := Align(t.Context(), in, Options{FixedLag: lag, Embedder: e, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := right(plain), right(better); b < 0.85 || a > 0.5*b {
		t.Errorf("%.2f of the answers are found without an embedder, %.2f with one that knows", a, b)
	}
	for _, texts := range e.asked {
		if !slices.IsSorted(texts) || len(slices.Compact(slices.Clone(texts))) != len(texts) {
			t.Error("texts are asked for more than once, or in an order that depends on the streams")
		}
	}
	slices.Reverse(in)
	again, err := Align(t.Context(), in, Options{FixedLag: lag, Embedder: &numbered{}, Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(better.Pairs(), again.Pairs()) {
		t.Error("the result depends on the order of the streams or on the workers")
	}
	unused := &numbered{}
	if _, err := Align(t.Context(), in, Options{FixedLag: lag, Embedder: unused, Without: []string{"semantic"}}); err != nil || unused.asked != nil {
		t.Errorf("an embedder is asked though its feature is left out (%v)", err)
	}
	there, err := Align(t.Context(), in, Options{FixedLag: lag, Embedder: &numbered{}, Direction: ChatToSpeech})
	if err != nil || len(there.Pairs()) == 0 {
		t.Errorf("the other way round: %d pairs, %v", len(there.Pairs()), err)
	}
}

func TestEmbedderThatFails(t *testing.T) {
	in := []Input{paraphrases("one", 1)}
	gone := errors.New("the worker died")
	if _, err := Align(t.Context(), in, Options{Embedder: &numbered{err: gone}}); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
	if _, err := Align(t.Context(), in, Options{Embedder: short{}}); err == nil || !strings.Contains(err.Error(), "numbers came back") {
		t.Errorf("error %v", err)
	}
}

// short gives too few vectors.
type short struct{}

func (short) Embed(context.Context, []string) ([]float32, int, error) {
	return make([]float32, 8), 8, nil
}

func TestRoundedVectorsKeepTheirCosines(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const width, n = 96, 60
	v := make([]float32, width*n)
	for i := range v {
		v[i] = float32(r.NormFloat64()) + 1
	}
	e := &embedded{width: width}
	if err := e.keep(v); err != nil {
		t.Fatal(err)
	}
	tr := &track{}
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	e.messages, e.utterances, e.toChat = [][]int32{all}, [][]int32{all}, true
	mean := make([]float64, width)
	for i, x := range v {
		mean[i%width] += float64(x) / n
	}
	for i := range n {
		for j := range n {
			var dot, a, b float64
			for k := range width {
				x, y := float64(v[i*width+k])-mean[k], float64(v[j*width+k])-mean[k]
				dot, a, b = dot+x*y, a+x*x, b+y*y
			}
			want := dot / math.Sqrt(a*b)
			if got := e.cosine(tr, &target{index: int32(i)}, tr, &source{index: int32(j)}); math.Abs(got-want) > 0.01 {
				t.Fatalf("cosine of %d and %d is %.4f, want %.4f", i, j, got, want)
			}
		}
	}
	same := &embedded{width: 2}
	if err := same.keep([]float32{1, 2, 1, 2, 1, 2}); err != nil || same.length[0] != 0 {
		t.Errorf("what all texts say has the length %v (%v)", same.length, err)
	}
	if err := same.keep([]float32{1, float32(math.NaN())}); err == nil {
		t.Error("NaN is taken")
	}
}
