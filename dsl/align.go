package dsl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"banter/dsl/memo"
	"banter/stdlib/align"
)

// Units of time, so that a cell can say 12*Second.
const (
	Millisecond = time.Millisecond
	Second      = time.Second
	Minute      = time.Minute
	Hour        = time.Hour
)

// Auto leaves a choice to Banter.
const Auto = -1

// Pair links a span of speech to the chat message that responds to it.
type Pair = align.Pair

// Alignment is what Align found out about the streams: lags, delays, false discovery rates.
type Alignment = align.Summary

// Pairs are speech windows with the messages that respond to them.
type Pairs struct {
	words Transcripts
	step  memo.Manifest
	align memo.Manifest // the Align step that the pairs come from

	embedder string // that Align was told to ask, as it was said; empty: none
}

// AlignOption changes how Align works.
type AlignOption func(*alignOptions)

type alignOptions struct {
	align.Options
	embedder string
}

// Window bounds the delay: a response comes at least from and at most to after the end of what it answers, the lag
// taken off. The default is -1.5 s to 20 s.
func Window(from, to time.Duration) AlignOption {
	withUnit("align", "Window", from, to)
	return func(o *alignOptions) { o.DelayMin, o.DelayMax = from, to }
}

// SpeechWindow bounds how much speech a pair may span. The default is 12 s.
func SpeechWindow(longest time.Duration) AlignOption {
	withUnit("align", "SpeechWindow", longest)
	return func(o *alignOptions) { o.MaxWindow = longest }
}

// Lag is how far the chat's clock is behind the recording's: Auto, which is the default, estimates it piece by piece.
func Lag(lag time.Duration) AlignOption {
	return func(o *alignOptions) {
		o.FixedLag = nil
		if lag != Auto {
			withUnit("align", "Lag", lag)
			o.FixedLag = []align.LagPiece{{Lag: lag, Lo: lag, Hi: lag}}
		}
	}
}

// LagRange bounds the search for the lag. The default is -30 s to 60 s.
func LagRange(from, to time.Duration) AlignOption {
	withUnit("align", "LagRange", from, to)
	return func(o *alignOptions) { o.LagMin, o.LagMax = from, to }
}

// ChatToSpeech pairs the other way round: which message the streamer's words respond to.
func ChatToSpeech() AlignOption {
	return func(o *alignOptions) { o.Direction = align.ChatToSpeech }
}

// Hosts are the streamer's names in chat: a message that begins with one of them talks to the streamer.
func Hosts(names ...string) AlignOption {
	return func(o *alignOptions) { o.Hosts = slices.Clone(names) }
}

// Without leaves features of the alignment model out, to see what they are worth: "overlap", "association", "semantic",
// "form", "address", "author", "text", "emote".
func Without(features ...string) AlignOption {
	return func(o *alignOptions) { o.Without = slices.Clone(features) }
}

// Ranker says what judges how well a message fits what was said: "logistic", a regression on a few features, or "trees", the
// same corrected by boosted trees, which are grown on the streams themselves and used only where they judge stretches that
// they did not see better.
func Ranker(name string) AlignOption { return func(o *alignOptions) { o.Ranker = name } }

// Salt goes into the hashes that stand for authors. Give a secret one before you publish a dataset. It stands in the recipe
// and in the store, where forget needs it, so keep both to yourself then; it is not in the dataset, the report or the adapter.
func Salt(secret string) AlignOption { return func(o *alignOptions) { o.Salt = secret } }

// Embedder has a GGUF model tell how near in meaning a message is to what was said, where otherwise vectors that are fitted
// on the corpus itself do: a name of `recipe models list`, or a path. Models of the BERT family made for embeddings suit
// best; any language model is taken. It needs the native worker, and computes on the processor, each text once. What it is
// worth on your streams is told by Score and, without ground truth, by how many pairs pass at the same false discovery rate.
func Embedder(model string) AlignOption {
	return func(o *alignOptions) { o.embedder = model }
}

// Align finds, for each chat message, the speech that it most likely responds to, how sure that is, and the false
// discovery rate at that confidence. All messages with any candidate are kept: Filter is what drops.
func Align(words Transcripts, options ...AlignOption) Pairs {
	s := current()
	if len(words.list) == 0 {
		fail("align", "", memo.ErrNeverMade)
	}
	var chosen alignOptions
	for _, set := range options {
		set(&chosen)
	}
	o := chosen.Canonical()
	step := memo.Step{Verb: "align", Label: plural(len(words.list), "stream")}.With("options", o)
	step, embedder, err := s.withEmbedder(step, chosen.embedder)
	if err != nil {
		fail("align", "", err)
	}
	for i, l := range words.streams.list {
		messages, err := l.step.Output(messagesFile)
		if err != nil {
			fail("align", l.info.ID, err)
		}
		transcript, err := words.list[i].Output(wordsFile)
		if err != nil {
			fail("align", l.info.ID, err)
		}
		step = step.With("input.messages."+l.info.ID, messages.Digest).With("input.words."+l.info.ID, transcript.Digest)
		step.Reads = append(step.Reads, l.step.Key, words.list[i].Key)
	}
	m, err := s.do(step, func(ctx context.Context, d *memo.Draft) error {
		o.Embedder = embedder
		return s.alignInto(ctx, d, words, o)
	})
	if err != nil {
		fail("align", "", err)
	}
	pairs := Pairs{words: words, step: m, align: m, embedder: chosen.embedder}
	for _, st := range pairs.Alignment().Streams {
		if slices.ContainsFunc(words.streams.list, func(l loaded) bool { return l.info.ID == st.Stream && l.info.Chat == nil }) {
			continue // Load has said that there is no chat
		}
		for _, note := range st.Diagnostics.Notes {
			s.note("align", st.Stream, "%s", note)
		}
	}
	return pairs
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

const (
	pairsFile     = "pairs.parquet"
	alignmentFile = "alignment.json"
)

// alignInputs gathers what was said and written in each stream.
func (s *Session) alignInputs(words Transcripts) ([]align.Input, error) {
	inputs := make([]align.Input, len(words.list))
	for i, l := range words.streams.list {
		messages, err := s.messages(l)
		if err != nil {
			return nil, err
		}
		transcript, err := s.transcript(words.list[i])
		if err != nil {
			return nil, err
		}
		inputs[i] = align.Input{Stream: l.info.ID, Transcript: transcript, Messages: messages}
	}
	return inputs, nil
}

func (s *Session) alignInto(ctx context.Context, d *memo.Draft, words Transcripts, o align.Options) error {
	inputs, err := s.alignInputs(words)
	if err != nil {
		return err
	}
	result, err := align.Align(ctx, inputs, o)
	if err != nil {
		return err
	}
	pairs := result.Pairs()
	if err := d.Write(pairsFile, func(w io.Writer) error { return align.WritePairs(w, pairs) }); err != nil {
		return err
	}
	summary, err := json.MarshalIndent(result.Summary(), "", " ")
	if err != nil {
		return err
	}
	if err := d.Facts(map[string]int{"pairs": len(pairs)}); err != nil {
		return err
	}
	return d.WriteBytes(alignmentFile, append(summary, '\n'))
}

// All returns the pairs, in order of stream and time of the message.
func (p Pairs) All() []Pair {
	list, err := current().pairs(p.step)
	if err != nil {
		fail("pairs", p.step.Key.Short(), err)
	}
	return slices.Clone(list)
}

// Len is how many pairs there are.
func (p Pairs) Len() int {
	var facts struct{ Pairs int }
	if err := p.step.DecodeFacts(&facts); err != nil {
		fail("pairs", p.step.Key.Short(), err)
	}
	return facts.Pairs
}

// At returns the i-th pair.
func (p Pairs) At(i int) Pair {
	list, err := current().pairs(p.step)
	if err != nil {
		fail("pairs", p.step.Key.Short(), err)
	}
	if i < 0 || i >= len(list) {
		fail("pairs", p.step.Key.Short(), fmt.Errorf("there is no pair %d: there are %d, counted from 0", i, len(list)))
	}
	return list[i]
}

// Alignment is what Align found out about the streams that the pairs come from.
func (p Pairs) Alignment() Alignment {
	var a Alignment
	o, err := p.align.Output(alignmentFile)
	if err == nil {
		var b []byte
		if b, err = current().store.Read(o); err == nil {
			err = json.Unmarshal(b, &a)
		}
	}
	if err != nil {
		fail("align", p.align.Key.Short(), err)
	}
	return a
}

// Streams are the streams that the pairs come from.
func (p Pairs) Streams() Streams { return p.words.streams }

func (s *Session) pairs(step memo.Manifest) ([]Pair, error) {
	return table(s, step, pairsFile, align.ReadPairs)
}

var errNoPairs = errors.New("there are no pairs: loosen the filters, or look at the alignment's notes")
