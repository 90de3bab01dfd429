package chat

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// EmoteCode is an emote that viewers see wherever its name stands as a word of its own.
type EmoteCode struct {
	ID       string
	Name     string
	Provider string // "bttv", "ffz", "7tv"
}

// emoteTable finds emotes by name.
type emoteTable map[string]EmoteCode

// maxEmoteCodes bounds the emotes that a log can define.
const maxEmoteCodes = 100_000

// add makes e known; the first of a name wins.
func (t emoteTable) add(e EmoteCode) {
	if e.Name == "" || len(e.Name) > 100 || strings.ContainsAny(e.Name, " \t\n") || len(t) >= maxEmoteCodes {
		return
	}
	if _, ok := t[e.Name]; !ok {
		t[e.Name] = e
	}
}

// find adds the emotes of the table that stand in text as words, beside those already known, and sorts all by place.
func (t emoteTable) find(text string, known []Emote) []Emote {
	if len(t) == 0 {
		return known
	}
	found := known
	for i := 0; i < len(text); {
		if text[i] == ' ' {
			i++
			continue
		}
		end := i + strings.IndexByte(text[i:], ' ')
		if end < i {
			end = len(text)
		}
		if e, ok := t[text[i:end]]; ok && !overlaps(known, i, end) {
			found = append(found, Emote{ID: e.ID, Name: e.Name, Provider: e.Provider, Start: i, End: end})
		}
		i = end
	}
	if len(found) > len(known) {
		slices.SortFunc(found, func(a, b Emote) int { return cmp.Compare(a.Start, b.Start) })
	}
	return found
}

func overlaps(emotes []Emote, start, end int) bool {
	for _, e := range emotes {
		if start < e.End && e.Start < end {
			return true
		}
	}
	return false
}

// tidy sorts emotes by place and drops those that overlap an earlier one or lie outside text; dropped counts these.
func tidy(emotes []Emote, text string) (kept []Emote, dropped int64) {
	byStart := func(a, b Emote) int { return cmp.Compare(a.Start, b.Start) }
	if !slices.IsSortedFunc(emotes, byStart) {
		slices.SortStableFunc(emotes, byStart)
	}
	kept = emotes[:0]
	last := 0
	for _, e := range emotes {
		if e.Start < last || e.End <= e.Start || e.End > len(text) ||
			!utf8.RuneStart(text[e.Start]) || e.End < len(text) && !utf8.RuneStart(text[e.End]) {
			dropped++
			continue
		}
		last = e.End
		kept = append(kept, e)
	}
	return kept, dropped
}

// codePointSpan turns a span counted in code points into bytes of text; ok is false outside it.
func codePointSpan(text string, begin, end int) (start, stop int, ok bool) {
	if begin < 0 || end <= begin {
		return 0, 0, false
	}
	n := 0
	start, stop = -1, -1
	for i := range text {
		if n == begin {
			start = i
		}
		if n == end {
			stop = i
			break
		}
		n++
	}
	if n == end && stop < 0 {
		stop = len(text)
	}
	return start, stop, start >= 0 && stop > start
}

// wordAt gives the word of text that begins at the code point or, failing that, the UTF-16 unit at. Logs count either
// way, and disagree on whether an emote's end is its last character, the one behind it or one further; so its beginning is
// trusted and its end is the word's.
func wordAt(text string, at int) (start, end int, ok bool) {
	points, units := 0, 0
	byPoints, byUnits := -1, -1
	for i, r := range text {
		begins := i == 0 || text[i-1] == ' '
		if points == at && begins {
			byPoints = i
		}
		if units == at && begins {
			byUnits = i
		}
		points++
		units++
		if r >= 0x10000 {
			units++
		}
	}
	start = byPoints
	if start < 0 || start < len(text) && text[start] == ' ' {
		start = byUnits
	}
	if start < 0 {
		return 0, 0, false
	}
	end = strings.IndexByte(text[start:], ' ')
	if end < 0 {
		end = len(text) - start
	}
	return start, start + end, end > 0
}

// thirdParty guesses who serves an emote from its picture's address or the shape of its id: FrankerFaceZ counts, 7TV writes
// ULIDs, and both BTTV and older 7TV ids are 24 hexadecimal digits.
func thirdParty(id, url string) string {
	switch {
	case strings.Contains(url, "betterttv"):
		return "bttv"
	case strings.Contains(url, "frankerfacez"):
		return "ffz"
	case strings.Contains(url, "7tv"):
		return "7tv"
	case id != "" && strings.Trim(id, "0123456789") == "" && len(id) < 12:
		return "ffz"
	case len(id) == 26 && strings.HasPrefix(id, "01"):
		return "7tv"
	}
	return "third-party"
}
