package dsl

import (
	"strings"
	"testing"
	"time"
)

// TestBareNumbersAreRefused: a length of time without its unit would be nanoseconds, and give nothing in silence.
func TestBareNumbersAreRefused(t *testing.T) {
	var o alignOptions
	for name, f := range map[string]func(){
		"write 25*Second": func() { Window(0, 25) },
		"write 12*Second": func() { SpeechWindow(12) },
		"write 6*Second":  func() { Lag(6)(&o) },
		"write -3*Second": func() { LagRange(-3, 60*Second) },
		"write 5*Second":  func() { Play(Streams{}, "s1", 0, 5) },
		"write 2*Second":  func() { ChatShift(2) },
		"write 30*Second": func() { NoDuplicates(30) },
		"write 40*Second": func() { NoNearDuplicates(0.9, 40) },
		"write 50*Second": func() { NoCopypasta(20, 3, 50) },
		"write 60*Second": func() { NoFlood(3, 60) },
	} {
		if text := failure(t, f); !strings.Contains(text, name) {
			t.Errorf("%s: the error is %q", name, text)
		}
	}
	if text := failure(t, func() { Window(-1500*time.Millisecond, 25*Second); Lag(Auto)(&o); Lag(0)(&o); NoDuplicates(0) }); text != "" {
		t.Errorf("lengths with units are refused: %s", text)
	}
}

func TestUnknownStreamsAreToldWhichThereAre(t *testing.T) {
	var s Streams
	for _, id := range strings.Fields("a b c d e f g h i j") {
		s.list = append(s.list, loaded{info: Stream{ID: id}})
	}
	if got := s.unknown("i").Error(); got != "there is no such stream: there are a, b, c, d, e, f, g, h and 2 more" {
		t.Error(got)
	}
	s.list = append(s.list, loaded{info: Stream{ID: "friday"}})
	if got := s.unknown("firday").Error(); !strings.HasPrefix(got, "there is no such stream (did you mean friday?): there are a,") {
		t.Error(got)
	}
}
