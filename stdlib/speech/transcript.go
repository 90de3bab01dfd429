// Package speech holds transcripts: words with times and probabilities, made by whisper.cpp in the native worker or
// imported from the files of other tools.
package speech

import (
	"fmt"
	"strings"
	"time"
)

// Transcript is what was said in one recording.
type Transcript struct {
	Language string        // ISO 639-1, as detected or asked for
	Model    string        // name and digest of the model, or the import's format
	Duration time.Duration // of the recording; 0 where the source does not say
	Words    []Word        // in order of Start
	Segments []Segment     // in order of Start; every word belongs to one
}

// Word is one spoken word in stream time.
type Word struct {
	Text    string // as written, punctuation included, without surrounding space
	Start   time.Duration
	End     time.Duration
	Prob    float64 // 0..1; -1 where the source does not say
	Segment int     // index into Transcript.Segments
	Timed   bool    // Start and End were measured for this word, not spread over its segment
}

// Segment is a run of words that the recogniser gave as one piece.
type Segment struct {
	Start, End  time.Duration
	First, Last int     // words [First, Last) of Transcript.Words
	Turn        int     // speaker turn, counted from 0; a new turn begins where the speaker changes or pauses long
	NoSpeech    float64 // probability that there is no speech; -1 where not known
	Gate        string  // why the segment's words were withheld ("no speech", "repetition", "rate", "confidence"), or empty
	Withheld    int     // how many words the gate took
}

// Check says what is wrong with t's structure, if anything: words not in order, or not where their segments say.
func (t *Transcript) Check() error {
	next := 0
	for i, s := range t.Segments {
		if s.First != next || s.Last < s.First || s.Last > len(t.Words) {
			return fmt.Errorf("segment %d holds words %d to %d, where word %d comes next of %d", i, s.First, s.Last, next, len(t.Words))
		}
		next = s.Last
	}
	if next != len(t.Words) {
		return fmt.Errorf("%d words belong to no segment", len(t.Words)-next)
	}
	for i, w := range t.Words {
		switch {
		case w.Segment < 0 || w.Segment >= len(t.Segments) || i < t.Segments[w.Segment].First || i >= t.Segments[w.Segment].Last:
			return fmt.Errorf("word %d (%q) is not in its segment %d", i, w.Text, w.Segment)
		case w.End < w.Start:
			return fmt.Errorf("word %d (%q) ends at %v, before its start at %v", i, w.Text, w.End, w.Start)
		case i > 0 && w.Start < t.Words[i-1].Start:
			return fmt.Errorf("word %d (%q) starts at %v, before the word before it at %v", i, w.Text, w.Start, t.Words[i-1].Start)
		}
	}
	return nil
}

// Text is all words as running text.
func (t *Transcript) Text() string {
	var b strings.Builder
	for i, w := range t.Words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w.Text)
	}
	return b.String()
}
