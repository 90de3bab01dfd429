// Package speech holds transcripts: words with times and probabilities, made by whisper.cpp in the native worker or
// imported from the files of other tools.
package speech

import "time"

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
