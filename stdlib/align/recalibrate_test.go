package align

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"banter/internal/problem"

	"github.com/parquet-go/parquet-go"
)

// labelled makes pairs of some streams whose confidence is wrong by the given curve, and labels of the first n.
func labelled(streams, n int, truth func(confidence float64) float64) ([]Pair, []Label) {
	r := rand.New(rand.NewPCG(7, 7))
	var pairs []Pair
	var labels []Label
	for i := range 2 * n {
		k := i % streams
		p := Pair{Stream: fmt.Sprintf("s%d", k), MessageID: fmt.Sprint(i), Confidence: r.Float64(), MessageTime: time.Duration(i) * time.Second, FDR: 0.1, FirstWord: i}
		pairs = append(pairs, p)
		if i < n {
			labels = append(labels, Label{p.Stream, p.MessageID, -1, r.Float64() < truth(p.Confidence)})
		}
	}
	return pairs, labels
}

// overconfident is the truth behind confidences that say too much.
func overconfident(c float64) float64 { return sigmoid(-1 + 0.6*logOdds(c)) }

func TestRecalibrateFindsTheCurve(t *testing.T) {
	for _, c := range []struct {
		labels  int
		streams int
		method  string
		by      string
		within  float64
	}{{600, 2, "platt", "time", 0.06}, {600, 8, "platt", "stream", 0.06}, {6000, 8, "isotonic", "stream", 0.08}} {
		pairs, labels := labelled(c.streams, c.labels, overconfident)
		got, r, err := Recalibrate(pairs, labels)
		if err != nil {
			t.Fatal(err)
		}
		if r.Method != c.method || r.HeldOutBy != c.by || r.Labels != c.labels || r.Unmatched != 0 {
			t.Errorf("%d labels in %d streams: %+v", c.labels, c.streams, r)
		}
		for i := range pairs {
			if x := pairs[i].Confidence; x > 0.03 && x < 0.97 && math.Abs(got[i].Confidence-overconfident(x)) > c.within {
				t.Errorf("%s: %.3f becomes %.3f, is %.3f", c.method, x, got[i].Confidence, overconfident(x))
				break
			}
			if want := pairs[i]; got[i].FDR != want.FDR || got[i].MessageID != want.MessageID {
				t.Fatalf("pair %d is another: %+v", i, got[i])
			}
		}
		if r.Before.ECE < 0.15 || r.After.ECE > 0.05 || r.After.Brier >= r.Before.Brier || math.Abs(r.After.AUC-r.Before.AUC) > 0.02 {
			t.Errorf("%s: before %+v, after %+v", c.method, r.Before, r.After)
		}
		if n := len(r.After.Coverage); n != 5 || r.After.Coverage[0].Precision < r.After.Coverage[n-1].Precision+0.1 {
			t.Errorf("%s: coverage %v", c.method, r.After.Coverage)
		}
	}
}

func TestRecalibrationRises(t *testing.T) {
	pairs, labels := labelled(3, 3000, func(c float64) float64 { return 0.2 + 0.5*c*c })
	kept := labels[:0]
	for i, l := range labels { // people saw the middle only
		if c := pairs[i].Confidence; c > 0.3 && c < 0.7 {
			kept = append(kept, l)
		}
	}
	got, r, err := Recalibrate(pairs, kept)
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != "isotonic" || r.Low < 0.3 || r.High > 0.7 || r.Outside < len(pairs)/2 {
		t.Errorf("%+v", r)
	}
	order := make([]int, len(pairs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if pairs[a].Confidence < pairs[b].Confidence {
			return -1
		}
		return 1
	})
	for k := 1; k < len(order); k++ {
		a, b := order[k-1], order[k]
		if got[a].Confidence > got[b].Confidence {
			t.Fatalf("%v becomes %v, %v becomes %v", pairs[a].Confidence, got[a].Confidence, pairs[b].Confidence, got[b].Confidence)
		}
	}
	if top := got[order[len(order)-1]].Confidence; top <= r.At(0.69) {
		t.Errorf("the most confident pair gets %v, as much as one at 0.69", top)
	}
}

// TestIsotonicIsNearest holds pooling against its definition: the fitted value of point i is the largest, over starts a <= i,
// of the smallest, over ends b >= i, mean of a..b (Robertson, Wright and Dykstra 1988).
func TestIsotonicIsNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		n := 1 + r.IntN(30)
		conf, right := make([]float64, n), make([]bool, n)
		for i := range conf {
			conf[i], right[i] = (float64(i)+0.5)/float64(n), r.Float64() < float64(i)/float64(n)
		}
		steps := isotonic(conf, right)
		for i := range conf {
			want := math.Inf(-1)
			for a := 0; a <= i; a++ {
				least := math.Inf(1)
				for b := i; b < n; b++ {
					sum := 0.0
					for _, ok := range right[a : b+1] {
						if ok {
							sum++
						}
					}
					least = math.Min(least, sum/float64(b+1-a))
				}
				want = math.Max(want, least)
			}
			found := false
			for _, s := range steps {
				found = found || math.Abs(s.Probability-want) < 1e-12
			}
			if !found {
				t.Fatalf("point %d of %v is %v, which is no step of %v", i, right, want, steps)
			}
		}
		for i := 1; i < len(steps); i++ {
			if steps[i].Probability <= steps[i-1].Probability || steps[i].Confidence <= steps[i-1].Confidence {
				t.Fatalf("steps do not rise: %v", steps)
			}
		}
	}
	if s := isotonic([]float64{0.5, 0.5, 0.5, 0.5}, []bool{false, true, true, false}); len(s) != 1 || s[0] != (Step{0.5, 0.5}) {
		t.Errorf("ties: %v", s)
	}
}

func TestPlattSolvesItsEquations(t *testing.T) {
	pairs, labels := labelled(1, 500, overconfident)
	var conf []float64
	var right []bool
	n := [2]float64{}
	for i, l := range labels {
		conf, right = append(conf, pairs[i].Confidence), append(right, l.Right)
		if l.Right {
			n[1]++
		} else {
			n[0]++
		}
	}
	a, b := fitPlatt(conf, right)
	var ga, gb float64 // the likelihood has no slope at its top
	for i, c := range conf {
		y := 1 / (n[0] + 2)
		if right[i] {
			y = (n[1] + 1) / (n[1] + 2)
		}
		d := y - sigmoid(a+b*logOdds(c))
		ga += d
		gb += d * logOdds(c)
	}
	if math.Abs(ga) > 1e-3 || math.Abs(gb) > 1e-3 {
		t.Errorf("a %v, b %v: slopes %v, %v", a, b, ga, gb)
	}
}

func TestRecalibrateRefuses(t *testing.T) {
	pairs, labels := labelled(2, 200, overconfident)
	turned := slices.Clone(labels)
	for i := range turned {
		turned[i].Right = !turned[i].Right
	}
	twice := append(slices.Clone(labels), Label{labels[3].Stream, labels[3].MessageID, -1, !labels[3].Right})
	elsewhere := slices.Clone(labels)
	for i := range elsewhere {
		elsewhere[i].FirstWord = 100000
	}
	for name, c := range map[string]struct {
		labels []Label
		want   string
	}{
		"none": {nil, "0 of the labels"}, "few": {labels[:10], "10 of the labels"}, "turned round": {turned, "not more often right"},
		"contradicting": {twice, "right and wrong"}, "other windows": {elsewhere, "200 are not"},
	} {
		_, _, err := Recalibrate(pairs, c.labels)
		var p *problem.Error
		if !errors.As(err, &p) || !strings.Contains(err.Error(), c.want) || p.Fix == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	same := slices.Clone(pairs)
	same[1].MessageID, same[1].Stream = same[0].MessageID, same[0].Stream
	if _, _, err := Recalibrate(same, labels); err == nil || !strings.Contains(err.Error(), "first_word") {
		t.Errorf("one message of two pairs: %v", err)
	}
}

func TestReadLabels(t *testing.T) {
	read := func(s string) ([]Label, error) { return ReadLabels(strings.NewReader(s), int64(len(s))) }
	got, err := read("\xef\xbb\xbfstream,speech,message_id,right,first_word\ns1,\"a, b\nc\",m1,yes,4\ns1,x,m2,NO,\ns1,y,m3,,\n")
	if want := []Label{{"s1", "m1", 4, true}, {"s1", "m2", -1, false}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	var b bytes.Buffer
	if err := WriteLabels(&b, got); err != nil {
		t.Fatal(err)
	}
	if again, err := read(b.String()); err != nil || !slices.Equal(again, got) {
		t.Errorf("written and read: %v, %v", again, err)
	}
	for in, want := range map[string]string{
		"": "empty", "stream_id,right\na,yes\n": `"message_id"`, "stream,message_id,right\na,b,maybe\n": "line 2", "stream,message_id,right\na,b\n": "line 2",
		"{\n": "line 1", `{"stream":"a","message_id":"b","right":"yes"}`: "line 1", "{}\n" + `{"first_word":-1,"right":true}`: "line 2",
		"stream,stream_id,message_id,right\n": "twice", "stream,message_id,right,first_word\na,b,yes,-3\n": "first_word", "PAR1": "read labels",
	} {
		if _, err := read(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", in, err)
		}
	}
	queue := `{"id":"s1/m1/4","stream":"s1","message_id":"m1","speech":"x","right":true}
{"id":"s1/m3/9","stream":"s1","message_id":"m3"}

{"stream_id":"s1","message_id":"m2","right":false}
`
	if lines, err := read(queue); err != nil || !slices.Equal(lines, got) {
		t.Errorf("review queue: %v, %v", lines, err)
	}
	four := int64(4)
	b.Reset()
	if err := parquet.Write(&b, []labelRow{{"s1", "m1", &four, true}, {"s1", "m2", nil, false}}, parquet.Compression(&parquet.Zstd)); err != nil {
		t.Fatal(err)
	}
	if table, err := ReadLabels(bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil || !slices.Equal(table, got) {
		t.Errorf("parquet: %v, %v", table, err)
	}
	b.Reset()
	type other struct {
		Stream string `parquet:"stream_id"`
	}
	if err := parquet.Write(&b, []other{{"s1"}}, parquet.Compression(&parquet.Zstd)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLabels(bytes.NewReader(b.Bytes()), int64(b.Len())); err == nil || !strings.Contains(err.Error(), "message_id") {
		t.Errorf("a table without labels: %v", err)
	}
}

func FuzzReadLabels(f *testing.F) {
	f.Add([]byte("stream_id,message_id,first_word,right\ns,m,3,yes\n"))
	f.Add([]byte("stream,message_id,right\n\"s\n\",m,0\n"))
	f.Add([]byte(`{"id":"s/m/3","stream":"s","message_id":"m","right":true}`))
	f.Add([]byte("PAR1\x00\x00\x00\x00PAR1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		labels, err := ReadLabels(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, l := range labels {
			if l.FirstWord < -1 {
				t.Fatalf("word %d", l.FirstWord)
			}
		}
	})
}
