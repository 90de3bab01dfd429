package align

import (
	"strings"
	"time"
	"unicode/utf8"

	"banter/stdlib/speech"
)

// Limits of an utterance. Spoken sentences last 2–4 s; a run-on longer than maxUtterance is cut at its longest pause so
// that a window can stay tight.
const (
	utterancePause = 450 * time.Millisecond // a silence this long ends an utterance where nothing marks sentences
	sentencePause  = 900 * time.Millisecond // one this long ends it where sentences are marked: people stop to think, recognisers drop words
	markedEvery    = 25                     // words a sentence, at most, in a transcript that marks them
	maxUtterance   = 6 * time.Second
	maxPad         = 800 * time.Millisecond // silence kept around a window's words
)

// Utterance is a run of words that a listener takes in as one piece: a sentence, or what stands between two pauses.
type Utterance struct {
	First, Last int           // words [First, Last) of the transcript
	Start, End  time.Duration // start of the first word, end of the last one, stream time
}

// Utterances cuts a transcript at sentence ends, pauses, changes of segment turn and gated segments, and cuts run-ons at
// their longest pauses. Words of gated segments belong to no utterance.
func Utterances(t *speech.Transcript) []Utterance {
	var out []Utterance
	if t == nil {
		return nil
	}
	pause := utterancePause
	if marksSentences(t) {
		pause = sentencePause
	}
	first := 0
	flush := func(last int) {
		out = cutLong(t.Words, first, last, out)
		first = last
	}
	for i := range t.Words {
		if gated(t, i) {
			flush(i)
			first = i + 1
			continue
		}
		if i+1 == len(t.Words) || gated(t, i+1) || endsUtterance(t, i, pause) {
			flush(i + 1)
		}
	}
	return out
}

func gated(t *speech.Transcript, i int) bool {
	s := t.Words[i].Segment
	return s >= 0 && s < len(t.Segments) && t.Segments[s].Gate != ""
}

// marksSentences says whether a transcript has punctuation.
func marksSentences(t *speech.Transcript) bool {
	ends := 0
	for i := range t.Words {
		if endsSentence(t.Words[i].Text) {
			ends++
		}
	}
	return ends*markedEvery >= len(t.Words)
}

// endsUtterance says whether a new utterance begins after word i; a silence of pause ends one.
func endsUtterance(t *speech.Transcript, i int, pause time.Duration) bool {
	a, b := &t.Words[i], &t.Words[i+1]
	if endsSentence(a.Text) || b.Start-a.End >= pause {
		return true
	}
	if a.Segment != b.Segment && a.Segment >= 0 && b.Segment < len(t.Segments) && a.Segment < b.Segment {
		return t.Segments[a.Segment].Turn != t.Segments[b.Segment].Turn
	}
	return false
}

func endsSentence(w string) bool {
	w = strings.TrimRight(w, `"')]»”’`)
	r, _ := utf8.DecodeLastRuneInString(w)
	return strings.ContainsRune(".!?…。！？", r)
}

// cutLong appends words [first, last) as utterances of at most maxUtterance each where there is more than one word.
func cutLong(words []speech.Word, first, last int, out []Utterance) []Utterance {
	if first >= last {
		return out
	}
	start, end := words[first].Start, words[first].End
	for _, w := range words[first+1 : last] {
		end = max(end, w.End)
	}
	if end-start <= maxUtterance || last-first < 2 {
		return append(out, Utterance{first, last, start, end})
	}
	// the widest gap, commas counting as a third of a second, the middle preferred among equals
	best, bestGap := first+1, time.Duration(-1<<62)
	for i := first + 1; i < last; i++ {
		gap := words[i].Start - words[i-1].End
		if strings.HasSuffix(words[i-1].Text, ",") {
			gap += time.Second / 3
		}
		off := i - (first+last)/2
		gap -= time.Duration(off*off) * 4 * time.Millisecond
		if gap > bestGap {
			best, bestGap = i, gap
		}
	}
	return cutLong(words, best, last, cutLong(words, first, best, out))
}
