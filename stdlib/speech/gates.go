package speech

import "strings"

// The reasons why a segment's words are withheld.
const (
	GateNoSpeech   = "no speech"
	GateRepetition = "repetition"
	GateRate       = "rate"
	GateConfidence = "confidence"
)

// judge returns for each segment why its words are withheld, or "".
func (g Gates) judge(groups [][]heardWord, segments []heardSegment) []string {
	why := make([]string, len(groups))
	for i, words := range groups {
		why[i] = g.one(words, segments[i])
	}
	if g.Repeats > 0 {
		g.loops(groups, why)
	}
	return why
}

// unheard is the mean share of quiet in a segment's words above which nobody can have said them.
const unheard = 0.8

// one judges a segment by itself.
func (g Gates) one(words []heardWord, s heardSegment) string {
	if len(words) == 0 {
		return ""
	}
	var text strings.Builder
	var prob, logProb, quiet float64
	tokens := 0
	for _, w := range words {
		text.WriteString(w.text)
		text.WriteByte(' ')
		prob += w.prob
		quiet += w.quiet
		logProb += w.logProb
		tokens += w.tokens
	}
	if annotation(text.String()) {
		return GateNoSpeech
	}
	if s.noSpeech >= g.NoSpeech && logProb/float64(tokens) < g.LogProb {
		return GateNoSpeech
	}
	if g.NoSpeech <= 1 && quiet > unheard*float64(len(words)) {
		return GateNoSpeech
	}
	span := (words[len(words)-1].end - words[0].start).Seconds()
	if g.Rate > 0 && len(words) >= 4 && float64(len(words)) > g.Rate*max(span, 0.1) {
		return GateRate
	}
	if prob/float64(len(words)) < g.Confidence {
		return GateConfidence
	}
	return ""
}

// longestPhrase is the longest, in words, whose repetition is looked for.
const longestPhrase = 12

// loops withholds the segments in which a recogniser has fallen into repeating itself: a phrase that is said Repeats times
// in a row, over segments' bounds too. The phrase's first time may be real, so a segment that holds it alone stays. People
// do say "no no no no no": what is short and quick, below 8 words in all, is left alone.
func (g Gates) loops(groups [][]heardWord, why []string) {
	type place struct {
		plain string
		group int
	}
	var run []place
	for i, words := range groups {
		if why[i] != "" {
			continue
		}
		for _, w := range words {
			run = append(run, place{plain(w.text), i})
		}
	}
	for n := 1; n <= longestPhrase; n++ {
		same := 0 // words in a row, up to here, that equal the word n before them
		for i := n; i <= len(run); i++ {
			if i < len(run) && run[i].plain == run[i-n].plain {
				same++
				continue
			}
			if total := same + n; total/n >= g.Repeats && total >= 8 {
				first := run[i-total+n-1].group // where the phrase's first time ends
				for k := i - total; k < i; k++ {
					if run[k].group != first || run[i-1].group == first {
						why[run[k].group] = GateRepetition
					}
				}
			}
			same = 0
		}
	}
}
