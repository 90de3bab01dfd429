package align

import (
	"time"
)

// Result is the alignment of all streams of a call, in order of their ids.
type Result struct {
	Streams []StreamResult
	Options Options // as used, defaults filled in
}

// StreamResult is the alignment of one stream.
type StreamResult struct {
	Stream      string
	Pairs       []Pair // in order of message time: the best pair of every message that has any candidate, likely or not
	Lag         []LagPiece
	Delay       Delay
	FDR         []FDRPoint // falling in Confidence
	Diagnostics Diagnostics

	model *model // for Explain; nil in a result that Align did not make
	track int    // index into model.c.tracks
}

// FDRPoint is one point of the false-discovery curve: of the Pairs with at least this Confidence, the share FDR is
// expected to be wrong.
type FDRPoint struct {
	Confidence float64 `json:"confidence"`
	FDR        float64 `json:"fdr"`
	Pairs      int     `json:"pairs"`
}

// Diagnostics are numbers about one stream and what they mean, in sentences.
type Diagnostics struct {
	Words      int            `json:"words"`
	Utterances int            `json:"utterances"`
	Messages   int            `json:"messages"`
	Candidates int            `json:"candidates"`       // messages with any candidate
	Classes    map[string]int `json:"classes"`          // messages by form
	LinkScore  float64        `json:"link_score"`       // evidence for a link, in deviations of permuted chat: by shared words; for quiet chats by the whole model
	ActivityAt time.Duration  `json:"activity_at"`      // lag by the correlation of activity alone
	ActivityZ  float64        `json:"activity_z"`       // how far that peak stands out
	Ranker     *Ranker        `json:"ranker,omitempty"` // where trees were asked for
	Answers    float64        `json:"answers"`          // expected messages that answer speech
	Notes      []string       `json:"notes"`
}
