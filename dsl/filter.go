package dsl

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"banter/dsl/memo"
	"banter/stdlib/align"
	"banter/stdlib/chat"
	"banter/stdlib/quality"
)

// Column is a number that every pair has: what filters compare and histograms show.
type Column string

// The columns of pairs.
const (
	Confidence    Column = "confidence"     // probability that the message answers the speech
	FDR           Column = "fdr"            // expected share of wrong pairs among those at least this confident
	Delay         Column = "delay"          // seconds from the end of the speech to the message, the lag taken off
	PairLag       Column = "lag"            // seconds that the chat's clock is behind the recording's
	ResponseWords Column = "response words" // an emote counts as one
	SpeechWords   Column = "speech words"
	SpeechProb    Column = "speech probability" // mean probability of the recognised words; -1 where not known
)

// Of gives the column's value for one pair.
func (c Column) Of(p Pair) float64 {
	switch c {
	case Confidence:
		return p.Confidence
	case FDR:
		return p.FDR
	case Delay:
		return p.Delay.Seconds()
	case PairLag:
		return p.Lag.Seconds()
	case ResponseWords:
		return float64(wordCount(p.Response))
	case SpeechWords:
		return float64(p.LastWord - p.FirstWord)
	case SpeechProb:
		return p.SpeechProb
	}
	fail("column", string(c), fmt.Errorf("pairs have no such column"))
	return 0
}

func wordCount(s string) int {
	n, in := 0, false
	for _, r := range s {
		space := r == ' ' || r == '\t' || r == '\n'
		if !space && !in {
			n++
		}
		in = !space
	}
	return n
}

// AtLeast keeps pairs whose value is at least x. Delays are in seconds.
func (c Column) AtLeast(x float64) Rule { return c.bound(x, true) }

// AtMost keeps pairs whose value is at most x. Delays are in seconds.
func (c Column) AtMost(x float64) Rule { return c.bound(x, false) }

// unbounded stands for no limit on a delay.
const unbounded = time.Hour

func (c Column) bound(x float64, least bool) Rule {
	pick := func(low, high quality.Rule) Rule {
		if least {
			return Rule{low}
		}
		return Rule{high}
	}
	seconds := time.Duration(x * float64(time.Second))
	switch c {
	case Confidence:
		return pick(quality.Confidence{AtLeast: x}, quality.Confidence{AtMost: x})
	case FDR:
		if !least {
			return Rule{quality.FDR{AtMost: x}}
		}
	case Delay:
		return pick(quality.Delay{Min: seconds, Max: unbounded}, quality.Delay{Min: -unbounded, Max: seconds})
	case ResponseWords:
		return pick(quality.Words{Min: int(x)}, quality.Words{Max: int(x)})
	case SpeechWords:
		return pick(quality.SpeechWords{Min: int(x)}, quality.SpeechWords{Max: int(x)})
	case SpeechProb:
		if least {
			return Rule{quality.SpeechConfidence{AtLeast: x, Unknown: true}}
		}
	}
	fail("filter", string(c), fmt.Errorf("this column has no such bound: write a func(p Pair) bool instead"))
	return Rule{}
}

// Rule is one filter of Filter, as plain data.
type Rule struct {
	rule quality.Rule
}

// NoBots drops messages of bots: by badge, by being a well-known service, or by name.
func NoBots(names ...string) Rule { return Rule{quality.Bots{Authors: names}} }

// NoCommands drops messages that speak to a bot, such as "!uptime".
func NoCommands() Rule { return Rule{quality.Commands{}} }

// NoLinks drops messages that hold a web address.
func NoLinks() Rule { return Rule{quality.Links{}} }

// NoEmoteOnly drops messages that are nothing but emotes.
func NoEmoteOnly() Rule { return Rule{quality.EmoteOnly{}} }

// NoReplies drops what viewers say to each other: messages that begin with @name or answer another message. To address
// one of the streamer's names is no reason.
func NoReplies(streamer ...string) Rule { return Rule{quality.ViewerAddressed{Streamer: streamer}} }

// NoDeleted drops messages that were removed from the chat.
func NoDeleted() Rule { return Rule{quality.Deleted{}} }

// NoCheers drops messages that came with more than atMost bits.
func NoCheers(atMost int) Rule { return Rule{quality.Cheers{AtMost: atMost}} }

// NoDuplicates keeps one of the responses that are the same but for case, emotes and elongation, within a stretch of time.
func NoDuplicates(within time.Duration) Rule {
	withUnit("filter", "NoDuplicates", within)
	return Rule{quality.Duplicates{Window: within}}
}

// NoNearDuplicates keeps one of the responses whose character trigrams are at least so similar (0..1), within a stretch
// of time.
func NoNearDuplicates(similarity float64, within time.Duration) Rule {
	withUnit("filter", "NoNearDuplicates", within)
	return Rule{quality.NearDuplicates{Similarity: similarity, Window: within}}
}

// NoCopypasta drops every copy of texts of at least chars characters that came copies times within a stretch of time.
func NoCopypasta(chars, copies int, within time.Duration) Rule {
	withUnit("filter", "NoCopypasta", within)
	return Rule{quality.Copypasta{MinChars: chars, Copies: copies, Window: within}}
}

// NoFlood drops the messages of an author who sends more than so many within a stretch of time.
func NoFlood(messages int, within time.Duration) Rule {
	withUnit("filter", "NoFlood", within)
	return Rule{quality.Flood{Messages: messages, Window: within}}
}

// NoToxic drops messages with a word of the list, or of Banter's own short list where none is given.
func NoToxic(words ...string) Rule { return Rule{quality.Toxicity{Words: words}} }

// Languages keeps messages in the given languages (ISO 639-1), as far as a text is long enough to tell.
func Languages(codes ...string) Rule { return Rule{quality.Language{Keep: codes}} }

// Length keeps responses with at least min and at most max words; an emote counts as one. max 0 means no limit.
func Length(min, max int) Rule { return Rule{quality.Words{Min: min, Max: max}} }

// MaskPII masks personal details in both texts and keeps the pair: "mail", "phone", "address", "handle", or all.
func MaskPII(kinds ...string) Rule { return Rule{quality.MaskPII{Kinds: kinds}} }

// Filtered is what a Filter did: rule by rule, how many it took, and examples.
type Filtered struct{ quality.Report }

// filterStep is one stage of a Filter: rules that are data, or a predicate.
type filterStep struct {
	rules     []quality.Rule
	predicate *Predicate
}

// Filter keeps the pairs that pass every rule, in the order given. A rule is a [Rule] such as FDR.AtMost(0.1), or a
// func(p Pair) bool. What each rule dropped, and why, is kept with the result.
func Filter(pairs Pairs, rules ...any) Pairs {
	s := current()
	stages, err := s.filterStages(rules)
	if err != nil {
		fail("filter", "", err)
	}
	in, err := pairs.step.Output(pairsFile)
	if err != nil {
		fail("filter", "", err)
	}
	step := memo.Step{Verb: "filter", Label: plural(len(rules), "rule"), Reads: []memo.Key{pairs.step.Key}}.With("input.pairs", in.Digest)
	for _, l := range pairs.words.streams.list { // rules about repetition and authors look at the whole chat
		o, err := l.step.Output(messagesFile)
		if err != nil {
			fail("filter", l.info.ID, err)
		}
		step = step.With("input.messages."+l.info.ID, o.Digest)
	}
	n := 0
	uncacheable := ""
	for _, st := range stages {
		for _, r := range st.rules {
			b, err := quality.Encode(r)
			if err != nil {
				fail("filter", r.Name(), err)
			}
			step = step.With(fmt.Sprintf("rule.%03d", n), json.RawMessage(b))
			n++
		}
		if p := st.predicate; p != nil {
			step = p.identify(step, fmt.Sprintf("rule.%03d", n))
			if p.Uncacheable != "" {
				uncacheable = p.Uncacheable
			}
			n++
		}
	}
	const runAnew = "this filter is run anew each time: %s"
	work := func(ctx context.Context, d *memo.Draft) error {
		if err := s.filterInto(ctx, d, pairs, stages); err != nil || uncacheable != "" {
			return err
		}
		if effect := effectOf(stages); effect != "" {
			s.note("filter", step.Label, runAnew, effect)
			d.Anew(anewPart())
		}
		return nil
	}
	var m memo.Manifest
	if uncacheable != "" {
		s.note("filter", step.Label, runAnew, uncacheable)
		m, err = s.doAnew(step, work)
	} else {
		m, err = s.do(step, work)
	}
	if err != nil {
		fail("filter", step.Label, err)
	}
	out := pairs
	out.step = m
	return out
}

// effectOf says what predicates changed while they ran, or is empty.
func effectOf(stages []filterStep) string {
	for _, st := range stages {
		if p := st.predicate; p != nil && p.Changed != nil {
			if effect := p.Changed(); effect != "" {
				return effect
			}
		}
	}
	return ""
}

func (s *Session) filterStages(rules []any) ([]filterStep, error) {
	var stages []filterStep
	for i, r := range rules {
		switch r := r.(type) {
		case Rule:
			if n := len(stages); n > 0 && stages[n-1].predicate == nil {
				stages[n-1].rules = append(stages[n-1].rules, r.rule)
			} else {
				stages = append(stages, filterStep{rules: []quality.Rule{r.rule}})
			}
		case func(Pair) bool:
			stages = append(stages, filterStep{predicate: s.program.predicate(r)})
		case Predicate:
			stages = append(stages, filterStep{predicate: &r})
		default:
			return nil, fmt.Errorf("rule %d is a %T: want a Rule such as FDR.AtMost(0.1), or a func(p Pair) bool", i+1, r)
		}
	}
	return stages, nil
}

func (s *Session) filterInto(ctx context.Context, d *memo.Draft, in Pairs, stages []filterStep) error {
	pairs, err := s.pairs(in.step)
	if err != nil {
		return err
	}
	around := quality.Context{Chats: map[string][]chat.Message{}}
	for _, l := range in.words.streams.list {
		if around.Chats[l.info.ID], err = s.messages(l); err != nil {
			return err
		}
	}
	report := Filtered{quality.Report{In: len(pairs), Steps: []quality.Step{}}}
	var dropped []quality.Dropped
	for _, st := range stages {
		if st.predicate != nil {
			kept, fell, step := st.predicate.apply(pairs)
			pairs, dropped = kept, append(dropped, fell...)
			report.Steps = append(report.Steps, step)
			continue
		}
		result, err := quality.Apply(ctx, pairs, around, st.rules)
		if err != nil {
			return err
		}
		for _, drop := range result.Drops {
			dropped = append(dropped, quality.NewDropped(pairs[drop.Pair], st.rules[drop.Rule].Name(), drop.Reason))
		}
		report.Steps = append(report.Steps, result.Report.Steps...)
		pairs = result.Pairs(pairs)
	}
	report.Out = len(pairs)
	if err := d.Write(pairsFile, func(w io.Writer) error { return align.WritePairs(w, pairs) }); err != nil {
		return err
	}
	if err := d.Write("dropped.parquet", func(w io.Writer) error { return quality.WriteDropped(w, dropped) }); err != nil {
		return err
	}
	b, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		return err
	}
	if err := d.Facts(map[string]int{"pairs": len(pairs), "in": report.In}); err != nil {
		return err
	}
	return d.WriteBytes("filter.json", append(b, '\n'))
}

// Filtered is what the Filter that made these pairs did. Pairs that Align made have none.
func (p Pairs) Filtered() (Filtered, bool) {
	o, err := p.step.Output("filter.json")
	if err != nil {
		return Filtered{}, false
	}
	var r Filtered
	b, err := current().store.Read(o)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		fail("filter", p.step.Key.Short(), err)
	}
	return r, true
}
