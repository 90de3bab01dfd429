package speech

import (
	"fmt"
	"time"
)

// joiner puts windows' words together, in order.
type joiner struct {
	o        *Options
	language string
	end      time.Duration // of the last window
	quiet    bool          // the last window ended in a pause
	words    []heardWord   // with segment an index into segments
	segments []heardSegment
}

// sameWord is how far apart two windows may place one word.
const sameWord = time.Second

// add takes the next window.
func (m *joiner) add(w *window, words []heardWord, segments []heardSegment, language string) {
	if m.language == "" {
		m.language = language
	}
	sounds := newSoundMap(w.loudness)
	offset := streamTime(w.start)
	for i := range words {
		words[i].quiet = sounds.quietShare(words[i].start-offset, words[i].end-offset)
	}
	for i := range words {
		words[i].segment += len(m.segments)
	}
	m.segments = append(m.segments, segments...)
	keep, skip := seam(m.words, words, m.end, streamTime(w.start), streamTime(w.from), m.quiet)
	m.words = append(m.words[:keep], words[skip:]...)
	m.end = streamTime(w.start + int64(len(w.samples)))
	m.quiet = w.quiet
}

// seam decides where two windows' words are joined: those of before up to keep are taken, and those of after from skip on.
// The windows share the audio from start to end, and were parted at cut: in a pause, or else anywhere.
func seam(before, after []heardWord, end, start, cut time.Duration, quiet bool) (keep, skip int) {
	keep = len(before)
	tail := keep // first word of before in the shared audio
	for tail > 0 && before[tail-1].start >= start-sameWord {
		tail--
	}
	head := 0 // first word of after beyond the shared audio
	for head < len(after) && after[head].start <= end+sameWord {
		head++
	}
	if tail == keep || head == 0 {
		return keep, 0
	}
	type match struct{ before, after int }
	var matches []match
	for _, step := range alignWords(plainHeard(before[tail:]), plainHeard(after[:head])) {
		if step.ref < 0 || step.hyp < 0 {
			continue
		}
		b, a := &before[tail+step.ref], &after[step.hyp]
		if plain(b.text) == plain(a.text) && (b.start-a.start).Abs() <= sameWord {
			matches = append(matches, match{tail + step.ref, step.hyp})
		}
	}
	if quiet {
		// No word lies across a pause, but one at its edge may have been heard twice.
		if k := len(matches); k > 0 {
			b, a := matches[k-1].before, matches[k-1].after
			if (before[b].start - after[a].start).Abs() <= sameWord/3 {
				return b + 1, a + 1
			}
		}
		return keep, 0
	}
	// Windows hear badly at their ends: the word that both agree on and that lies farthest from both is best.
	best := -1
	for i, m := range matches {
		if best < 0 || (before[m.before].start-cut).Abs() < (before[matches[best].before].start-cut).Abs() {
			best = i
		}
	}
	if best >= 0 {
		return matches[best].before + 1, matches[best].after + 1
	}
	for keep > tail && before[keep-1].start >= cut {
		keep--
	}
	for skip < head && after[skip].start < cut {
		skip++
	}
	return keep, skip
}

func plainHeard(words []heardWord) []plainWord {
	out := make([]plainWord, len(words))
	for i, w := range words {
		out[i] = plainWord{plain(w.text), Word{Start: w.start}}
	}
	return out
}

// turnPause is a pause after which a new turn begins.
const turnPause = 2 * time.Second

// transcript makes the final form: gates, turns, and starts in order.
func (m *joiner) transcript() *Transcript {
	t := &Transcript{
		Language: m.language,
		Model:    fmt.Sprintf("%s@sha256:%s", m.o.Model.Name, m.o.Model.SHA256),
		Duration: m.end,
	}
	if m.o.Language != "" {
		t.Language = m.o.Language
	}
	groups := make([][]heardWord, len(m.segments))
	for _, w := range m.words {
		groups[w.segment] = append(groups[w.segment], w)
	}
	gates := m.o.Gates.judge(groups, m.segments)
	var last, lastStart time.Duration
	turn, turnNext := 0, false
	for i, words := range groups {
		if len(words) == 0 {
			turnNext = turnNext || m.segments[i].turnNext
			continue
		}
		s := Segment{Start: words[0].start, End: words[len(words)-1].end, First: len(t.Words), NoSpeech: m.segments[i].noSpeech, Gate: gates[i]}
		if gates[i] != "" {
			s.Withheld = len(words)
			words = nil
		} else {
			if len(t.Words) > 0 && (turnNext || s.Start-last > turnPause) {
				turn++
			}
			turnNext = m.segments[i].turnNext
		}
		s.Turn = turn
		for _, w := range words {
			start := max(w.start, lastStart) // windows may differ by some milliseconds
			lastStart = start
			t.Words = append(t.Words, Word{Text: w.text, Start: start, End: max(w.end, start), Prob: w.prob, Segment: len(t.Segments), Timed: true})
			last = max(w.end, start)
		}
		if len(words) > 0 {
			s.Start, s.End = t.Words[s.First].Start, last
		}
		s.Last = len(t.Words)
		t.Segments = append(t.Segments, s)
	}
	return t
}
