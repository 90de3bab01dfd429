package quality

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/abadojack/whatlanggo"
)

// minLetters is how many letters a text must have to be judged where the rule does not say.
const minLetters = 32

// spoken are the languages that a text may be judged to be written in, besides those to keep: those that chats are full
// of. The detector's rarer ones are more often wrong than right about a line of chat.
var spoken = []string{
	"ar", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hr", "hu", "id", "it", "ja", "ko", "nl", "pl", "pt", "ro", "ru", "sv", "th",
	"tl", "tr", "uk", "vi", "zh",
}

func (r Language) validate() error {
	if len(r.Keep) == 0 {
		return errors.New("it keeps no language: name at least one, such as en")
	}
	for _, code := range r.Keep {
		if _, ok := languages[code]; !ok {
			return fmt.Errorf("there is no language %q here: use a code of two letters, such as en", code)
		}
	}
	if r.MinLetters < 0 {
		return errors.New("letters cannot be fewer than none")
	}
	return nil
}

// languages are those that the detector tells apart and that have a code of two letters.
var languages = func() map[string]whatlanggo.Lang {
	m := map[string]whatlanggo.Lang{}
	for lang := range whatlanggo.Langs {
		if code := lang.Iso6391(); code != "" {
			m[code] = lang
		}
	}
	return m
}()

func (r Language) prepare(s *scene) (judge, error) {
	emotes := s.emoteSet()
	least := r.MinLetters
	if least == 0 {
		least = minLetters
	}
	keep := map[whatlanggo.Lang]bool{}
	for _, code := range r.Keep {
		keep[languages[code]] = true
	}
	among := map[whatlanggo.Lang]bool{}
	for _, code := range append(slices.Clone(spoken), r.Keep...) {
		if lang, ok := languages[code]; ok {
			among[lang] = true
		}
	}
	return judge{drop: func(i int) string {
		text, letters := prose(s.response(i), emotes)
		if letters < least {
			return ""
		}
		if whatlanggo.DetectLangWithOptions(text, whatlanggo.Options{Whitelist: keep}) < 0 {
			return "written in another script"
		}
		info := whatlanggo.DetectWithOptions(text, whatlanggo.Options{Whitelist: among})
		code := info.Lang.Iso6391()
		if code == "" || !info.IsReliable() || slices.Contains(r.Keep, code) {
			return ""
		}
		return "written in " + info.Lang.String()
	}}, nil
}

// prose is a text without emotes, names, links and words that are not letters, and how many letters it has. It is
// in lower case, for capitals are loudness in chat.
func prose(text string, emotes map[string]bool) (string, int) {
	var words []string
	letters := 0
	for _, word := range fields(text) {
		if emotes[word] || word[0] == '@' || word[0] == '!' || looksLikeEmote(word) || hasLink(word) {
			continue
		}
		n := 0
		for _, c := range word {
			if unicode.IsLetter(c) {
				n++
			}
		}
		if n == 0 {
			continue
		}
		letters += n
		words = append(words, strings.ToLower(squeezeLetters(word)))
	}
	return strings.Join(words, " "), letters
}

// looksLikeEmote reports whether a word has a capital after a small letter, as the codes of emotes have and words have not.
func looksLikeEmote(word string) bool {
	small := false
	for _, c := range word {
		if small && unicode.IsUpper(c) {
			return true
		}
		small = unicode.IsLower(c)
	}
	return false
}
