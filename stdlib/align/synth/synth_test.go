package synth

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"banter/stdlib/align"
)

func config() Config {
	return Config{Seed: 4, Minutes: 30, Lag: []align.TruthLag{{From: 0, Lag: 5}, {From: 0.5, Lag: 9}},
		Delay: Delay{Law: "lognormal", Median: 3, Spread: 0.4}, Rate: 60, Answers: 0.4, Spam: 0.2, Talk: 0.1, ASR: 0.1}
}

func TestSameSeedSameStream(t *testing.T) {
	if !reflect.DeepEqual(Make(config()), Make(config())) {
		t.Error("two streams of one seed differ")
	}
	other := config()
	other.Seed++
	if reflect.DeepEqual(Make(config()).Input.Messages, Make(other).Input.Messages) {
		t.Error("two seeds give one chat")
	}
}

func TestStreamIsAsAskedFor(t *testing.T) {
	s := Make(config())
	if len(s.Input.Messages) != len(s.Truth.Messages) {
		t.Fatalf("%d messages, %d truths", len(s.Input.Messages), len(s.Truth.Messages))
	}
	kinds := map[string]float64{}
	var delays []float64
	for i, m := range s.Truth.Messages {
		if m.ID != s.Input.Messages[i].ID {
			t.Fatal("messages and truth are not in one order")
		}
		kinds[m.Kind]++
		if m.Kind == "reply" {
			end := s.Truth.Sentences[*m.Sentence].End
			if at := s.Input.Messages[i].Time.Seconds(); math.Abs(at-end-*m.Lag-*m.Delay) > 0.002 {
				t.Fatalf("message %s at %v: sentence ends %v, lag %v, delay %v", m.ID, at, end, *m.Lag, *m.Delay)
			}
			delays = append(delays, *m.Delay)
		}
	}
	n := float64(len(s.Truth.Messages))
	if n < 1500 || n > 2100 || kinds["reply"] < 0.33*n || kinds["reply"] > 0.47*n || kinds["chat2chat"] < 0.06*n || kinds["spam"] < 0.05*n {
		t.Errorf("%v of %v", kinds, n)
	}
	slices.Sort(delays)
	if m := delays[len(delays)/2]; math.Abs(m-3) > 0.2 {
		t.Errorf("median delay %v, want 3", m)
	}
	for i := 1; i < len(s.Input.Transcript.Words); i++ {
		if s.Input.Transcript.Words[i].Start < s.Input.Transcript.Words[i-1].Start {
			t.Fatalf("word %d starts before the one before", i)
		}
	}
}
