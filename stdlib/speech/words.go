package speech

import (
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"banter/internal/worker/native"
)

// heardWord is a word as a window gives it, with each way to tell its time apart. Times are stream time.
type heardWord struct {
	text       string
	tokenStart time.Duration // from timestamp tokens
	tokenEnd   time.Duration
	warpStart  time.Duration // from attention; -1 where there is none
	prob       float64       // geometric mean of its tokens' probabilities
	logProb    float64       // sum over its tokens
	tokens     int
	segment    int // index into the window's segments

	start, end time.Duration // as decided, see [settle]
	quiet      float64       // share of the time between them that is not loud
}

// heardSegment is a segment as a window gives it.
type heardSegment struct {
	start, end time.Duration
	noSpeech   float64
	turnNext   bool
}

// assemble makes words of a window's tokens. A token that begins with a space begins a word, and so does one that begins
// with a character of a script that has no spaces.
func assemble(w *window, heard *native.Transcription) ([]heardWord, []heardSegment) {
	offset := streamTime(w.start)
	limit := streamTime(w.start + int64(len(w.samples)))
	at := func(ms int64) time.Duration {
		return min(max(offset+time.Duration(ms)*time.Millisecond, offset), limit)
	}
	var words []heardWord
	var segments []heardSegment
	for i, s := range heard.Segments {
		segments = append(segments, heardSegment{at(s.StartMS), max(at(s.EndMS), at(s.StartMS)), float64(s.NoSpeech), s.TurnNext})
		var text []byte // of the word at hand; tokens may part characters
		first := len(words)
		for _, t := range s.Tokens {
			if len(t.Text) == 0 {
				continue
			}
			if len(words) == first || t.Text[0] == ' ' || beginsAlone(text, t.Text) {
				if len(words) > first {
					words[len(words)-1].text = string(text)
				}
				text = text[:0]
				words = append(words, heardWord{tokenStart: at(t.StartMS), warpStart: -1, segment: i})
				if t.DTWMS >= 0 {
					words[len(words)-1].warpStart = at(t.DTWMS)
				}
			}
			word := &words[len(words)-1]
			text = append(text, t.Text...)
			word.tokenEnd = max(at(t.EndMS), word.tokenStart)
			word.logProb += math.Log(max(float64(t.Prob), 1e-9))
			word.tokens++
		}
		if len(words) > first {
			words[len(words)-1].text = string(text)
		}
	}
	kept := words[:0]
	for _, word := range words {
		word.text = strings.TrimSpace(strings.ToValidUTF8(word.text, ""))
		word.prob = math.Exp(word.logProb / float64(word.tokens))
		switch {
		case word.text == "":
		case plain(word.text) == "" && len(kept) > 0 && kept[len(kept)-1].segment == word.segment:
			kept[len(kept)-1].text += word.text // a mark by itself belongs to the word before it
		default:
			kept = append(kept, word)
		}
	}
	return kept, segments
}

// beginsAlone reports whether a token that follows text begins a word although no space says so.
func beginsAlone(text, token []byte) bool {
	if !utf8.Valid(text) {
		return false
	}
	lead, _ := utf8.DecodeRune(token)
	if utf8.RuneStart(token[0]) && !utf8.FullRune(token) { // the first part of a character: it is of the script before it
		lead, _ = utf8.DecodeLastRune(text)
	}
	return standsAlone(lead)
}

// standsAlone reports whether a script writes no spaces between words, so that each character may begin one.
func standsAlone(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// annotation reports whether a segment's text is a remark such as "[BLANK_AUDIO]", "(music)" or "♪" and not speech.
func annotation(text string) bool {
	text = strings.TrimSpace(text)
	if text == "" {
		return true
	}
	depth := 0
	for _, r := range text {
		switch {
		case strings.ContainsRune("[({（【", r):
			depth++
		case strings.ContainsRune("])}）】", r):
			depth--
		case depth <= 0 && (unicode.IsLetter(r) || unicode.IsNumber(r)):
			return false
		}
	}
	return true
}
