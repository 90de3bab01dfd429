package align

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Direction says who answers whom.
type Direction uint8

const (
	SpeechToChat Direction = iota // a message answers speech
	ChatToSpeech                  // speech answers a message
)

func (d Direction) String() string {
	if d == ChatToSpeech {
		return "chat-to-speech"
	}
	return "speech-to-chat"
}

// Options say how to align. The zero value is the default; it is plain data, so that it can be hashed. Salt and seed aside,
// every option holds for all streams of a call.
type Options struct {
	Direction Direction

	// MaxWindow bounds the speech window of a pair, padding included. Default 12 s.
	MaxWindow time.Duration

	// DelayMin and DelayMax bound how long after the end of an utterance (lag taken off) an answer may come.
	// Default -1.5 s (people answer before the sentence is over) and 20 s.
	DelayMin, DelayMax time.Duration

	// LagMin and LagMax bound the search for the lag: chat clock minus speech clock. Default -30 s and 60 s.
	LagMin, LagMax time.Duration

	// FixedLag, where not empty, is used in place of a search: one piece for a constant lag, more for a given map. It
	// holds for every stream that has no entry in StreamLag.
	FixedLag []LagPiece
	// StreamLag gives single streams their lag map.
	StreamLag map[string][]LagPiece

	// Without leaves features out: "overlap", "association", "semantic", "form", "address", "author", "text", "emote".
	Without []string

	// Ranker says what judges the content of a candidate. The default is LogisticRanker.
	Ranker string

	// Hosts are the streamer's own names in chat: a message that begins with one of them talks to the streamer.
	Hosts []string

	// Salt goes into AuthorHash. The default is a constant of this project, so that hashes agree between runs; give a
	// secret one before publishing data.
	Salt string

	// Seed fixes the random directions of the semantic vectors. Any value gives the same quality.
	Seed int64

	// Decoys is how many shifted copies of the speech estimate the false discovery rate. Default 8, or 2 for streams with
	// more than 100,000 messages in all.
	Decoys int

	// Embedder, where given, makes the vectors that the semantic feature compares, in place of those that are fitted on the
	// corpus itself. The result depends on it; whoever hashes the options has to say in their own way which one it is.
	Embedder Embedder `json:"-"`

	// Workers bounds the goroutines. Default one a CPU. The result does not depend on it.
	Workers int `json:"-"`
}

// LagPiece is a stretch of speech time with one lag.
type LagPiece struct {
	From time.Duration // speech time from which it holds, until the next piece
	Lag  time.Duration // chat clock minus speech clock
	Lo   time.Duration // 95 % interval of Lag
	Hi   time.Duration
}

// Rankers.
const (
	LogisticRanker = "logistic" // a logistic regression on a few features
	TreeRanker     = "trees"    // the same, corrected by boosted trees where these judge held-out speech and chat better
)

const defaultSalt = "banter/align/author/1"

// featureNames are the parts that Options.Without can leave out.
var featureNames = []string{"overlap", "association", "semantic", "form", "address", "author", "text", "emote"}

// Canonical is o with its defaults written out, so that options which mean the same are the same. What makes no sense
// stays as it is, for Align to refuse.
func (o Options) Canonical() Options {
	full, err := o.withDefaults(0)
	if err != nil {
		return o
	}
	full.Decoys = o.Decoys // its default depends on the chat's size
	full.Without = slices.Clone(o.Without)
	slices.Sort(full.Without)
	full.Without = slices.Compact(full.Without)
	return full
}

// withDefaults fills in what is zero and refuses what makes no sense.
func (o Options) withDefaults(messages int) (Options, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.MaxWindow, 12*time.Second)
	if o.DelayMin == 0 && o.DelayMax == 0 {
		o.DelayMin = -1500 * time.Millisecond
	}
	def(&o.DelayMax, 20*time.Second)
	if o.LagMin == 0 && o.LagMax == 0 {
		o.LagMin, o.LagMax = -30*time.Second, 60*time.Second
	}
	if o.Ranker == "" {
		o.Ranker = LogisticRanker
	}
	if o.Salt == "" {
		o.Salt = defaultSalt
	}
	if o.Decoys == 0 {
		o.Decoys = 8
		if messages > 100_000 {
			o.Decoys = 2
		}
	}
	switch {
	case o.MaxWindow < time.Second || o.MaxWindow > time.Minute:
		return o, fmt.Errorf("window of %v: want 1 s to 60 s", o.MaxWindow)
	case o.DelayMax <= o.DelayMin || o.DelayMax > 2*time.Minute || o.DelayMin < -10*time.Second:
		return o, fmt.Errorf("delays from %v to %v: want bounds that rise, within -10 s to 120 s", o.DelayMin, o.DelayMax)
	case o.LagMax < o.LagMin || o.LagMax-o.LagMin > 20*time.Minute:
		return o, fmt.Errorf("lags from %v to %v: want bounds that rise, at most 20 min apart", o.LagMin, o.LagMax)
	case o.Decoys < 1 || o.Decoys > 100:
		return o, fmt.Errorf("%d decoys: want 1 to 100", o.Decoys)
	case o.Ranker != LogisticRanker && o.Ranker != TreeRanker:
		return o, fmt.Errorf("no ranker %q: there are %s and %s", o.Ranker, LogisticRanker, TreeRanker)
	case o.Direction > ChatToSpeech:
		return o, fmt.Errorf("direction %d is not known", o.Direction)
	}
	for _, w := range o.Without {
		found := false
		for _, f := range featureNames {
			found = found || f == w
		}
		if !found {
			return o, fmt.Errorf("no feature %q to leave out: there are %s", w, strings.Join(featureNames, ", "))
		}
	}
	check := func(p []LagPiece) error {
		for i := 1; i < len(p); i++ {
			if p[i].From <= p[i-1].From {
				return fmt.Errorf("lag map: piece %d begins at %v, not after the one before", i, p[i].From)
			}
		}
		return nil
	}
	if err := check(o.FixedLag); err != nil {
		return o, err
	}
	for id, p := range o.StreamLag {
		if err := check(p); err != nil {
			return o, fmt.Errorf("stream %s: %w", id, err)
		}
	}
	return o, nil
}

func (o *Options) has(feature string) bool {
	for _, w := range o.Without {
		if w == feature {
			return false
		}
	}
	return true
}

// lagMap gives the lag that the caller set for a stream, or nil.
func (o *Options) lagMap(stream string) []LagPiece {
	if p := o.StreamLag[stream]; len(p) > 0 {
		return p
	}
	return o.FixedLag
}
