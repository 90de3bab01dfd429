package speech

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		reference, hypothesis  string
		correct, sub, ins, del int
	}{
		{"the cat sat", "the cat sat", 3, 0, 0, 0},
		{"The cat sat.", "the CAT, sat!", 3, 0, 0, 0},
		{"the cat sat", "the dog sat", 2, 1, 0, 0},
		{"the cat sat", "the sat", 2, 0, 0, 1},
		{"the cat sat", "the big cat sat", 3, 0, 1, 0},
		{"the cat sat", "", 0, 0, 0, 3},
		{"", "what", 0, 0, 1, 0},
		{"a b c d", "b c d e", 3, 0, 1, 1},
	} {
		words := func(text string) (w []Word) {
			for _, f := range strings.Fields(text) {
				w = append(w, Word{Text: f})
			}
			return w
		}
		s := Compare(&Transcript{Words: words(c.hypothesis)}, words(c.reference))
		if s.Correct != c.correct || s.Sub != c.sub || s.Ins != c.ins || s.Del != c.del {
			t.Errorf("%q against %q: %+v", c.hypothesis, c.reference, s)
		}
	}
	if got := WER("one two three four", "one too three"); got != 0.5 {
		t.Errorf("the word error rate is %v, want 0.5", got)
	}
}

func TestCompareTimes(t *testing.T) {
	var ref, hyp []Word
	for i := range 10 {
		at := time.Duration(i) * time.Second
		ref = append(ref, Word{Text: "no", Start: at, Timed: true})
		hyp = append(hyp, Word{Text: "no", Start: at + time.Duration(i)*50*time.Millisecond, Timed: i != 9})
	}
	s := Compare(&Transcript{Words: hyp}, ref)
	if s.Timed != 9 || s.StartErrorMedian != 200*time.Millisecond || s.Within200ms != 5.0/9 || s.Within100ms != 3.0/9 || s.Within500ms != 1 {
		t.Errorf("got %+v", s)
	}
	// Of equal words the one near in time is meant, not the first.
	s = Compare(&Transcript{Words: hyp[5:6]}, ref)
	if s.StartErrorMedian != 250*time.Millisecond || s.Del != 9 {
		t.Errorf("a lone word was paired with another time: %+v", s)
	}
}

// distance is the textbook Levenshtein distance, as an independent oracle.
func distance(a, b []string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
			case a[i-1] == b[j-1]:
				d[i][j] = d[i-1][j-1]
			default:
				d[i][j] = 1 + min(d[i-1][j-1], d[i-1][j], d[i][j-1])
			}
		}
	}
	return d[len(a)][len(b)]
}

func TestCompareAgainstDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() (text []string, words []Word) {
		for range r.IntN(20) {
			text = append(text, string(rune('a'+r.IntN(4))))
			words = append(words, Word{Text: text[len(text)-1], Start: time.Duration(r.IntN(60)) * time.Second})
		}
		return text, words
	}
	for range 2000 {
		a, ref := random()
		b, hyp := random()
		s := Compare(&Transcript{Words: hyp}, ref)
		if s.Sub+s.Ins+s.Del != distance(a, b) || s.Correct+s.Sub+s.Del != len(a) || s.Correct+s.Sub+s.Ins != len(b) {
			t.Fatalf("%v against %v: %+v, distance %d", b, a, s, distance(a, b))
		}
	}
}

func BenchmarkCompare(b *testing.B) {
	var ref []Word
	for i := range 10_000 { // more than an hour of talk
		ref = append(ref, Word{Text: string(rune('a' + i*i%26)), Start: time.Duration(i) * time.Second / 2})
	}
	for b.Loop() {
		Compare(&Transcript{Words: ref[5:]}, ref)
	}
}
