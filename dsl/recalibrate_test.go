package dsl

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"banter/dsl/memo"
)

// chattyLab is a lab whose streams have pairs enough to label.
func chattyLab(t *testing.T) *lab {
	l := newLab(t, "a", "b")
	for n, id := range []string{"a", "b"} {
		log := chatLog(n, "hello")
		head, _, _ := strings.Cut(log, `"comments":[`)
		var b strings.Builder
		b.WriteString(head + `"comments":[`)
		for i := range 60 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"_id":"%s%d","created_at":"2025-03-01T18:00:%02d.500Z","content_offset_seconds":%d,"commenter":{"display_name":"v%d","_id":"%d","name":"v%d"},"message":{"body":"%s","bits_spent":0,"fragments":[],"user_badges":[],"emoticons":[]}}`,
				id, i, i/2, i/2, i%9, i%9, i%9, []string{"soup", "the dragon", "what", "cook pasta", "lol", "again"}[i%6])
		}
		l.write(filepath.Join(l.streams, id, "chat.json"), b.String()+"]}")
	}
	return l
}

func TestRecalibrate(t *testing.T) {
	l := chattyLab(t)
	file := filepath.Join(l.dir, "labels.csv")
	var before []Pair
	if _, err := l.say(func() { before = Align(Words(Load(l.streams), l.words)).All() }); err != nil {
		t.Fatal(err)
	}
	write := func(seed uint64, more string) {
		r := rand.New(rand.NewPCG(seed, 1))
		var b strings.Builder
		b.WriteString("stream_id,message_id,right\n")
		for i, p := range before {
			if i%4 != 3 {
				fmt.Fprintf(&b, "%s,%s,%v\n", p.Stream, p.MessageID, r.Float64() < 0.3+0.5*p.Confidence)
			}
		}
		l.write(file, b.String()+more)
	}
	write(1, "a,nobody,yes\n")
	var after []Pair
	var found Recalibrated
	again := func() map[string]memo.Outcome {
		t.Helper()
		out, err := l.say(func() {
			p := Recalibrate(Align(Words(Load(l.streams), l.words)), file)
			after = Filter(p, Confidence.AtLeast(0)).All()
			found, _ = p.Recalibrated()
			if _, ok := Align(Words(Load(l.streams), l.words)).Recalibrated(); ok {
				t.Error("pairs that nobody recalibrated say that they were")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := again(); out["align"] == memo.Made || out["recalibrate"] != memo.Made {
		t.Errorf("first: %v", out)
	}
	if len(after) != len(before) || found.Method != "platt" || found.Unmatched != 1 || found.Labels != len(before)*3/4 || found.HeldOutBy != "time" {
		t.Fatalf("%d pairs, %+v", len(after), found)
	}
	for i := range after {
		if want := found.At(before[i].Confidence); after[i].Confidence != want || after[i].FDR != before[i].FDR {
			t.Fatalf("pair %d: %v, want %v", i, after[i].Confidence, want)
		}
	}
	if out := again(); out["recalibrate"] == memo.Made {
		t.Error("the same labels were taken for others")
	}
	write(2, "")
	if out := again(); out["recalibrate"] != memo.Made || out["align"] == memo.Made {
		t.Errorf("other labels: %v", out)
	}
	l.write(file, "stream_id,message_id,right\na,a1,yes\n")
	if _, err := l.say(func() { Recalibrate(Align(Words(Load(l.streams), l.words)), file) }); err == nil || !strings.Contains(err.Error(), "label more pairs") {
		t.Errorf("one label: %v", err)
	}
	if _, err := l.say(func() { Recalibrate(Align(Words(Load(l.streams), l.words)), file+"x") }); err == nil || !strings.Contains(err.Error(), "labels.csvx") {
		t.Errorf("no labels: %v", err)
	}
}
