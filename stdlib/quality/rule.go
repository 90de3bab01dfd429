// Package quality decides which pairs of speech and response are good enough to learn from. Rules are plain data, so that
// they can be hashed, stored and compared; [Apply] runs them in order over pairs and says of each pair that falls which
// rule took it and why. Nothing is dropped in silence, and the outcome is the same for any number of workers.
package quality

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
)

// Rule is one filter or one masking step. The rules are the exported types of this package that have this method; their
// zero value is refused where it would mean nothing.
type Rule interface {
	// Name is the rule's stable name, such as "confidence". It is part of the rule's encoding.
	Name() string
	validate() error
	prepare(*scene) (judge, error)
}

// Confidence keeps pairs whose probability lies in [AtLeast, AtMost].
type Confidence struct {
	AtLeast float64 `json:"at_least"`
	AtMost  float64 `json:"at_most"` // 0 means 1
}

// FDR keeps pairs whose false discovery rate is at most AtMost.
type FDR struct {
	AtMost float64 `json:"at_most"`
}

// Words keeps responses with a number of words in [Min, Max]. An emote counts as a word. Max 0 means no limit.
type Words struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// Chars keeps responses with a number of characters in [Min, Max]. Max 0 means no limit.
type Chars struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// Delay keeps pairs whose writer took between Min and Max.
type Delay struct {
	Min time.Duration `json:"min_ns"`
	Max time.Duration `json:"max_ns"`
}

// Duplicates keeps one of the responses with the same normal form (see [Key]) that come within Window of the one kept;
// Window 0 means the whole stream. Global looks across streams, too, without regard to time.
type Duplicates struct {
	Window time.Duration `json:"window_ns"`
	Global bool          `json:"global"`
}

// NearDuplicates is Duplicates for responses whose normal forms share character trigrams: it keeps one of those with a
// Jaccard similarity of at least Similarity.
type NearDuplicates struct {
	Similarity float64       `json:"similarity"`
	Window     time.Duration `json:"window_ns"`
	Global     bool          `json:"global"`
}

// Copypasta drops every copy of a long text that the chat repeats: normal forms of at least MinChars characters, sent at
// least Copies times within Window. It looks at the whole chat where the Context holds it.
type Copypasta struct {
	MinChars int           `json:"min_chars"`
	Copies   int           `json:"copies"`
	Window   time.Duration `json:"window_ns"`
}

// Flood drops the messages of an author who sends more than Messages within Window.
type Flood struct {
	Messages int           `json:"messages"`
	Window   time.Duration `json:"window_ns"`
}

// Commands drops messages that speak to a bot, such as "!uptime".
type Commands struct{}

// Bots drops messages of authors who are bots by badge or by being one of the well-known services. Authors lists further
// ones, by name, id or author hash; names and ids need the stream's chat in the Context.
type Bots struct {
	Authors []string `json:"authors,omitempty"`
}

// Links drops messages that hold a web address.
type Links struct{}

// EmoteOnly drops messages that are nothing but emotes.
type EmoteOnly struct{}

// ViewerAddressed drops what viewers say to each other: messages that begin with @name, or that the platform marks as a
// reply to another message. Streamer lists the names of those who speak in the recording; to address them is no reason.
type ViewerAddressed struct {
	Streamer []string `json:"streamer,omitempty"`
}

// Deleted drops messages that were removed from the chat.
type Deleted struct{}

// Cheers drops messages that came with more than AtMost bits: a paid alert reads another script.
type Cheers struct {
	AtMost int `json:"at_most"`
}

// Language keeps messages in one of Keep, as ISO 639-1 codes. Only texts with at least MinLetters letters outside of
// emotes, names and links are judged, and only where the detector is sure; all others stay. MinLetters 0 means 32.
type Language struct {
	Keep       []string `json:"keep"`
	MinLetters int      `json:"min_letters"`
}

// Toxicity drops messages with a word of Words (see [ReadWordList] for the form), or of the package's own mild list
// where Words is empty. Judge names a [Judge] of the Context instead, and Version must be its version.
type Toxicity struct {
	Words   []string `json:"words,omitempty"`
	Judge   string   `json:"judge,omitempty"`
	Version string   `json:"version,omitempty"`
}

// MaskPII replaces personal details in the response and in the speech by a mark, and keeps the pair. Kinds lists which:
// "mail", "phone", "address", "handle"; none means all.
type MaskPII struct {
	Kinds []string `json:"kinds,omitempty"`
}

// SpeechConfidence keeps pairs whose speech the recogniser gave a mean word probability of at least AtLeast. Unknown says
// whether speech without probabilities stays.
type SpeechConfidence struct {
	AtLeast float64 `json:"at_least"`
	Unknown bool    `json:"unknown"`
}

// SpeechTiming keeps pairs whose window lasts between Min and Max and holds at most MaxRate words a second. A zero means
// no limit.
type SpeechTiming struct {
	Min     time.Duration `json:"min_ns"`
	Max     time.Duration `json:"max_ns"`
	MaxRate float64       `json:"max_rate"`
}

// SpeechWords keeps pairs with a number of spoken words in [Min, Max]. Max 0 means no limit.
type SpeechWords struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

func (Confidence) Name() string       { return "confidence" }
func (FDR) Name() string              { return "fdr" }
func (Words) Name() string            { return "words" }
func (Chars) Name() string            { return "chars" }
func (Delay) Name() string            { return "delay" }
func (Duplicates) Name() string       { return "duplicates" }
func (NearDuplicates) Name() string   { return "near_duplicates" }
func (Copypasta) Name() string        { return "copypasta" }
func (Flood) Name() string            { return "flood" }
func (Commands) Name() string         { return "commands" }
func (Bots) Name() string             { return "bots" }
func (Links) Name() string            { return "links" }
func (EmoteOnly) Name() string        { return "emote_only" }
func (ViewerAddressed) Name() string  { return "viewer_addressed" }
func (Deleted) Name() string          { return "deleted" }
func (Cheers) Name() string           { return "cheers" }
func (Language) Name() string         { return "language" }
func (Toxicity) Name() string         { return "toxicity" }
func (MaskPII) Name() string          { return "mask_pii" }
func (SpeechConfidence) Name() string { return "speech_confidence" }
func (SpeechTiming) Name() string     { return "speech_timing" }
func (SpeechWords) Name() string      { return "speech_words" }

// all lists one of each rule, for decoding.
func all() []Rule {
	return []Rule{
		Confidence{}, FDR{}, Words{}, Chars{}, Delay{}, Duplicates{}, NearDuplicates{}, Copypasta{}, Flood{}, Commands{},
		Bots{}, Links{}, EmoteOnly{}, ViewerAddressed{}, Deleted{}, Cheers{}, Language{}, Toxicity{}, MaskPII{},
		SpeechConfidence{}, SpeechTiming{}, SpeechWords{},
	}
}

// Encode is the canonical form of a rule, for storing and for keys: {"rule":"confidence","with":{...}} with all
// parameters in a fixed order, so that equal rules have equal bytes.
func Encode(r Rule) ([]byte, error) {
	if r == nil {
		return nil, errors.New("a rule is nil")
	}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("rule %s: %w", r.Name(), err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Rule string `json:"rule"`
		With Rule   `json:"with"`
	}{r.Name(), r})
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// Decode is the inverse of Encode. It refuses names and parameters that it does not know.
func Decode(b []byte) (Rule, error) {
	var head struct {
		Rule string          `json:"rule"`
		With json.RawMessage `json:"with"`
	}
	if err := strict(b, &head); err != nil {
		return nil, fmt.Errorf("the rule is not understood: %w", err)
	}
	for _, r := range all() {
		if r.Name() != head.Rule {
			continue
		}
		v := reflect.New(reflect.TypeOf(r))
		if len(head.With) > 0 {
			if err := strict(head.With, v.Interface()); err != nil {
				return nil, fmt.Errorf("rule %s: %w", head.Rule, err)
			}
		}
		r = v.Elem().Interface().(Rule)
		if err := r.validate(); err != nil {
			return nil, fmt.Errorf("rule %s: %w", head.Rule, err)
		}
		return r, nil
	}
	return nil, fmt.Errorf("there is no rule %q", head.Rule)
}

// strict unmarshals one JSON value without unknown fields and with nothing after it.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is more after the value")
	}
	return nil
}

func unit(name string, v float64) error {
	if math.IsNaN(v) || v < 0 || v > 1 {
		return fmt.Errorf("%s %v is not in 0..1", name, v)
	}
	return nil
}

func span[T int | time.Duration](name string, low, high T) error {
	switch {
	case high != 0 && low > high:
		return fmt.Errorf("%s from %v to %v is empty", name, low, high)
	case low == 0 && high == 0:
		return fmt.Errorf("%s has no bound: it would keep everything", name)
	}
	return nil
}

func (r Confidence) top() float64 {
	if r.AtMost == 0 {
		return 1
	}
	return r.AtMost
}

func (r Confidence) validate() error {
	if err := errors.Join(unit("at least", r.AtLeast), unit("at most", r.AtMost)); err != nil {
		return err
	}
	if r.AtLeast > r.top() {
		return fmt.Errorf("from %v to %v is empty", r.AtLeast, r.top())
	}
	return nil
}

func (r FDR) validate() error { return unit("at most", r.AtMost) }

func (r Words) validate() error { return counts("words", r.Min, r.Max) }
func (r Chars) validate() error { return counts("characters", r.Min, r.Max) }

func (r SpeechWords) validate() error { return counts("spoken words", r.Min, r.Max) }

func counts(name string, low, high int) error {
	if low < 0 || high < 0 {
		return fmt.Errorf("%s cannot be fewer than none", name)
	}
	return span(name, low, high)
}

func (r Delay) validate() error {
	if r.Min >= r.Max {
		return fmt.Errorf("delay from %v to %v is empty", r.Min, r.Max)
	}
	return nil
}

func (r Duplicates) validate() error { return window(r.Window, r.Global) }

func window(w time.Duration, global bool) error {
	if w < 0 {
		return fmt.Errorf("window %v is negative", w)
	}
	if w != 0 && global {
		return errors.New("across streams there is no time window: leave one of them out")
	}
	return nil
}

func (r NearDuplicates) validate() error {
	if !(r.Similarity > 0 && r.Similarity <= 1) {
		return fmt.Errorf("similarity %v is not above 0 and at most 1", r.Similarity)
	}
	return window(r.Window, r.Global)
}

func (r Copypasta) validate() error {
	if r.MinChars < 1 || r.Copies < 2 || r.Window <= 0 {
		return errors.New("it needs characters (1 or more), copies (2 or more) and a window")
	}
	return nil
}

func (r Flood) validate() error {
	if r.Messages < 1 || r.Window <= 0 {
		return errors.New("it needs a number of messages and a window")
	}
	return nil
}

func (Commands) validate() error        { return nil }
func (Bots) validate() error            { return nil }
func (Links) validate() error           { return nil }
func (EmoteOnly) validate() error       { return nil }
func (ViewerAddressed) validate() error { return nil }
func (Deleted) validate() error         { return nil }

func (r Cheers) validate() error {
	if r.AtMost < 0 {
		return errors.New("bits cannot be fewer than none")
	}
	return nil
}

func (r Toxicity) validate() error {
	if r.Judge != "" && len(r.Words) > 0 {
		return errors.New("choose a judge or a word list, not both")
	}
	if r.Judge == "" && r.Version != "" {
		return errors.New("a version without a judge means nothing")
	}
	for _, w := range r.Words {
		if _, err := parsePattern(w); err != nil {
			return err
		}
	}
	return nil
}

func (r SpeechConfidence) validate() error { return unit("at least", r.AtLeast) }

func (r SpeechTiming) validate() error {
	if r.Min < 0 || r.Max < 0 || math.IsNaN(r.MaxRate) || math.IsInf(r.MaxRate, 0) || r.MaxRate < 0 {
		return errors.New("a limit is not a positive number")
	}
	if r.MaxRate > 0 && r.Min == 0 && r.Max == 0 {
		return nil
	}
	return span("speech", r.Min, r.Max)
}
