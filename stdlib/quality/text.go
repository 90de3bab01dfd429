package quality

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Key is the normal form by which texts count as the same: lower case, compatibility forms folded, punctuation, accents
// and invisible characters gone, drawn-out letters and repeated syllables cut ("nooooo" is "no", "hahahaha" is "haha"),
// and each run of one emote or word once. Emotes keep their case, for it tells them apart.
func Key(text string, emotes map[string]bool) string {
	var out []string
	last := ""
	for _, word := range fields(text) {
		k := word
		if !emotes[word] {
			if k = wordKey(word); k == "" {
				continue
			}
		}
		if k != last {
			out = append(out, k)
			last = k
		}
	}
	return strings.Join(out, " ")
}

// fields are the words of a text without the invisible characters that chat clients add to send a text twice, and people
// to get a word past a filter.
func fields(text string) []string {
	if strings.ContainsFunc(text, isInvisible) {
		text = strings.Map(func(c rune) rune {
			if isInvisible(c) {
				return -1
			}
			return c
		}, text)
	}
	return strings.FieldsFunc(text, isGap)
}

// isInvisible leaves out the joiner, for it is part of how emoji are written.
func isInvisible(c rune) bool {
	return c >= 0x80 && (unicode.Is(unicode.Cf, c) && c != '\u200d' || c >= 0xe0000 && c <= 0xe0fff)
}

// isGap reports whether c separates words: white space, or the empty Braille cell, which looks like it.
func isGap(c rune) bool { return unicode.IsSpace(c) || c == '\u2800' }

// wordKey is the normal form of one word, empty where nothing but punctuation is left; a word of punctuation alone stays
// as it is, for "?" and "???" are answers: they are one.
func wordKey(word string) string {
	plain := true
	for i := range len(word) {
		if c := word[i]; c < 'a' || c > 'z' {
			plain = false
			break
		}
	}
	if !plain {
		var b strings.Builder
		for _, c := range norm.NFKD.String(word) {
			if unicode.IsLetter(c) || unicode.IsDigit(c) || unicode.Is(unicode.So, c) || unicode.Is(unicode.Sk, c) {
				b.WriteRune(unicode.ToLower(c))
			}
		}
		if b.Len() == 0 {
			if i := strings.IndexAny(word, "?!"); i >= 0 {
				return word[i : i+1]
			}
			return ""
		}
		word = b.String()
	}
	return squeezeSyllables(squeezeLetters(word))
}

// squeezeLetters cuts runs of three or more of one letter to one. Digits stay: 1000 is not 10.
func squeezeLetters(word string) string {
	run, long := 0, false
	var last rune
	for _, c := range word {
		if c == last {
			run++
			long = long || run >= 3
		} else {
			last, run = c, 1
		}
	}
	if !long {
		return word
	}
	r := []rune(word)
	out := make([]rune, 0, len(r))
	for i := 0; i < len(r); {
		j := i
		for j < len(r) && r[j] == r[i] {
			j++
		}
		if j-i >= 3 && !unicode.IsDigit(r[i]) {
			out = append(out, r[i])
		} else {
			out = append(out, r[i:j]...)
		}
		i = j
	}
	return string(out)
}

// squeezeSyllables cuts a word that is one pair of letters over and over, such as hahahah or jajaja, to two of the pair.
func squeezeSyllables(word string) string {
	if len(word) < 5 || word[0] == word[1] || unicode.IsDigit(rune(word[0])) {
		return word
	}
	for i := 2; i < len(word); i++ {
		if word[i] != word[i-2] {
			return word
		}
	}
	return word[:4]
}

// linkPattern finds web addresses, with a scheme, with www, or bare with one of the common endings.
var linkPattern = regexp.MustCompile(`(?i)\bhttps?://\S|\bwww\.[a-z0-9]|\b[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*\.(?:com|net|org|tv|gg|io|ly|me|co|be|info|xyz|ru|de|fr|es|it|uk|nl|pl|br|jp|kr|cn|eu|app|dev|shop|store|live|stream|link|site|online|club|top|gl|to|fm|cc|us|ca)(?:/|\b(?:[^.\w@-]|\.?(?:\s|$)|$))`)

// hasLink reports whether a text holds a web address.
func hasLink(text string) bool {
	return strings.IndexByte(text, '.') >= 0 && linkPattern.MatchString(text) || strings.Contains(text, "://") && linkPattern.MatchString(text)
}
