// Package align decides which speech each chat message answers. It models the lag between the two clocks, the delay of
// people's reactions, and the chat that answers no speech at all, and gives every pair a probability and a false
// discovery rate.
package align

import (
	"time"

	"banter/stdlib/chat"
)

// Pair links a span of speech to the chat message that responds to it.
type Pair struct {
	Stream      string        // stream id
	MessageID   string        // chat.Message.ID
	AuthorHash  string        // salted digest of the author's id: never the name
	Speech      string        // the words of the window
	SpeechStart time.Duration // start of the window, stream time of the recording
	SpeechEnd   time.Duration // end of the window
	FirstWord   int           // words [FirstWord, LastWord) of the stream's transcript
	LastWord    int
	Response    string        // the message's text
	MessageTime time.Duration // as logged, on the chat's clock
	Lag         time.Duration // chat clock minus speech clock at this moment
	Delay       time.Duration // MessageTime - Lag - end of the utterance answered: how long the writer took
	Confidence  float64       // probability, 0..1, that the message answers speech in the window
	FDR         float64       // expected share of wrong pairs among those at least this confident, by decoys; 0..1

	// What filters ask about the message and its window; Align copies it from the chat log and the transcript.
	AuthorRoles chat.Roles // what the author is on the channel
	Emotes      int        // emotes in the response
	EmoteOnly   bool       // the response is nothing but emotes
	Deleted     bool       // removed by a moderator or its author later on
	ReplyTo     string     // id of the chat message that this one answers, or empty
	Bits        int        // cheered bits
	SpeechProb  float64    // mean word probability of the window, 0..1; -1 where the transcript does not say
}
